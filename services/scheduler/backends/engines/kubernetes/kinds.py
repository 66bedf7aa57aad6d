"""The kinds of objects that we speak of, and where they are in the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "CONFIG_MAPS",
    "EVENTS",
    "JOBS",
    "NAMESPACES",
    "NODES",
    "PODS",
    "QUOTAS",
    "REVIEWS",
    "SECRETS",
    "WORKLOADS",
    "Kind",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object."""

    plural: str
    version: str = "v1"
    group: str = ""
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the path of one, or of all of a namespace or of the cluster."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}{inside}/{self.plural}" + (f"/{name}" if name else "")

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


JOBS: Final = Kind("jobs", group="batch")
PODS: Final = Kind("pods")
NODES: Final = Kind("nodes", namespaced=False)
SECRETS: Final = Kind("secrets")
CONFIG_MAPS: Final = Kind("configmaps")
NAMESPACES: Final = Kind("namespaces", namespaced=False)
QUOTAS: Final = Kind("resourcequotas")
EVENTS: Final = Kind("events")
REVIEWS: Final = Kind("selfsubjectaccessreviews", group="authorization.k8s.io", namespaced=False)
WORKLOADS: Final = Kind("workloads", version="v1beta1", group="kueue.x-k8s.io")
