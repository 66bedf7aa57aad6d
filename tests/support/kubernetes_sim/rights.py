"""Who may do what on a simulated cluster, by the manifests that a real one would be given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Right", "Rights"]


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one kind of object, in one namespace or everywhere."""

    verb: str
    group: str
    plural: str
    namespace: str = ""
    """Empty: everywhere."""


@dataclass(slots=True)
class Rights:
    """What is granted, and what of it was used."""

    granted: set[Right] | None = None
    """None: everything."""
    used: set[Right] = field(default_factory=set)

    @classmethod
    def read(cls, manifest: Path) -> Rights:
        """Read the Roles and ClusterRoles of a manifest; those that are bound count."""
        documents = [item for item in yaml.safe_load_all(manifest.read_text()) if item]
        bound = {
            (item["roleRef"]["kind"], item["roleRef"]["name"], item["metadata"].get("namespace", ""))
            for item in documents
            if item["kind"] in {"RoleBinding", "ClusterRoleBinding"}
        }
        roles = {(item["kind"], item["metadata"]["name"]): item for item in documents if item["kind"].endswith("Role")}
        granted = {right for kind, name, namespace in bound for right in _rules(roles[kind, name]["rules"], namespace)}
        return cls(granted)

    def may(self, verb: str, group: str, plural: str, namespace: str) -> bool:
        """Say whether it is allowed."""
        if self.granted is None or plural == "selfsubjectaccessreviews":
            return True
        matching = {Right(verb, group, plural, scope) for scope in {"", namespace}} & self.granted
        return bool(matching)

    def use(self, verb: str, group: str, plural: str, namespace: str) -> bool:
        """Say whether it is allowed, and note that it was wanted."""
        if self.granted is not None:
            self.used |= {Right(verb, group, plural, scope) for scope in {"", namespace}} & self.granted
        return self.may(verb, group, plural, namespace)


def _rules(rules: list[dict[str, Any]], namespace: str) -> set[Right]:
    return {
        Right(verb, group, plural, namespace)
        for rule in rules
        for group in rule.get("apiGroups", [""])
        for plural in [*rule.get("resources", []), *rule.get("nonResourceURLs", [])]
        for verb in rule["verbs"]
    }
