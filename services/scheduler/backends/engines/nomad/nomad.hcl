# The job of one native job of Shunter. A site that wants more copies this file and names it in `nomad.template`
# (jobs without an image) or `nomad.image_template` (jobs with one); docs/how-to/nomad.md says what is filled in.
#
# Numbers (${MHZ}, ${MEMORY_MB}, ...) are filled in before Nomad parses this file, words (${NAME}, ${OWNER}, ...)
# after that, so that no word can become syntax. Everything else in ${...} is Nomad's own, and the job is called as
# Shunter calls it, whatever its label says.
# Shunter sets what is not said here: how the pilot is started, its environment, devices, and that nothing is restarted.

job "shunter" {
  type     = "batch"
  priority = ${PRIORITY}

  meta {
    owner   = "${OWNER}"
    project = "${PROJECT}"
    title   = "${TITLE}"
  }

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  group "run" {
    ephemeral_disk {
      size = ${DISK_MB}
    }

    task "main" {
      driver = "${DRIVER}"

      resources {
        memory = ${MEMORY_MB}
      }

      logs {
        max_files     = 2
        max_file_size = 5
      }
    }
  }
}
