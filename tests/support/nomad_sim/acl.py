"""Who may do what: tokens with policies as Nomad's, and a list of what was needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import hcl2

__all__ = ["Acl", "DeniedError", "Policy"]

_OPTIONS = hcl2.SerializationOptions(strip_string_quotes=True, with_comments=False, explicit_blocks=False)
_CAPABILITIES = frozenset({"list-jobs", "read-job", "submit-job", "dispatch-job", "read-logs", "read-fs", "deny"})


class DeniedError(Exception):
    """The token is not enough."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a token may do."""

    namespaces: dict[str, frozenset[str]] = field(default_factory=dict)
    """Capabilities by patterns of namespaces."""
    node: str = ""
    management: bool = False

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Read a policy file; what Nomad would not take is an error."""
        found = hcl2.loads(text, serialization_options=_OPTIONS)
        if unknown := set(found) - {"namespace", "node"}:
            raise ValueError(f"no such rule: {unknown}")
        spaces = {name: frozenset(said["capabilities"]) for each in found["namespace"] for name, said in each.items()}
        if wrong := frozenset().union(*spaces.values()) - _CAPABILITIES:
            raise ValueError(f"no such capability: {wrong}")
        return cls(spaces, found["node"][0]["policy"] if "node" in found else "")

    def allows(self, right: str, namespace: str) -> bool:
        """Say whether it grants something."""
        if self.management:
            return True
        if right.startswith("node:"):
            return self.node == "write" or (self.node == "read" and right == "node:read")
        return any(right in granted for name, granted in self.namespaces.items() if fnmatchcase(namespace, name))


@dataclass
class Acl:
    """Tokens, if there are any; without, everybody may do everything."""

    tokens: dict[str, Policy] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)
    """Every right that a call was allowed by."""

    def policy(self, secret: str | None) -> Policy:
        """Return what somebody may do."""
        if not self.tokens:
            return Policy(management=True)
        if secret is None:
            return Policy()
        if secret not in self.tokens:
            raise DeniedError("ACL token not found")
        return self.tokens[secret]

    def check(self, policy: Policy, right: str, namespace: str = "default") -> None:
        """Refuse what is not allowed."""
        if not policy.allows(right, namespace):
            raise DeniedError("Permission denied")
        if not policy.management:
            self.needed.add(right)
