# What Shunter's token must be allowed, and no more:
#
#   nomad acl policy apply shunter policy.hcl
#   nomad acl token create -name shunter -policy shunter
#
# Say one such block for each namespace that `nomad.namespace` and `nomad.namespaces` name.
# Whoever else has `read-job` in one of them sees the environment of its jobs, where the credentials of each pilot are.
namespace "default" {
  capabilities = ["list-jobs", "read-job", "submit-job"]
}

# The room there is, GPU models and datacenters.
node {
  policy = "read"
}
