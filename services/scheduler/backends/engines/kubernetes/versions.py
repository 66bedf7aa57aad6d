"""Which Kubernetes it is, and what follows from that: an old one drops what it does not know without a word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from contracts.errors import UnavailableError

from .records import Said

__all__ = ["CURRENT", "Needs", "Release"]

_OLDEST: Final = 19
"""Before it neither `seccompProfile` nor immutable ConfigMaps were there by default."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Something that a cluster has by default since a release `1.since`, and what it means that it has it not."""

    field: str
    since: int
    without: str


_NEEDS: Final = (
    Needs("ttlSecondsAfterFinished", 21, "what has ended stays on it until we remove it, even if we never come back"),
    Needs("suspend", 22, "no queue of Kueue can be named, since a Job cannot wait there"),
    Needs(
        "podFailurePolicy",
        26,
        "it does not say why a pod was taken away: drained, preempted or deleted is all told as interrupted",
    ),
    Needs("backoffLimitPerIndex", 29, "each task of an array is a Job of its own, not an index of one"),
    Needs(
        "podReplacementPolicy",
        29,
        "a pod that is taken away is made anew before it has ended; the new one gets no work",
    ),
)


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Kubernetes: `1.minor`."""

    minor: int

    @classmethod
    def of(cls, said: Said) -> Release:
        """Read what a server says of itself."""
        found = re.match(r"v1\.(\d+)\.", said.git_version)
        if found is None or int(found[1]) < _OLDEST:
            raise UnavailableError(f"this is Kubernetes {said.git_version}; Shunter works with 1.{_OLDEST} and newer")
        return cls(int(found[1]))

    def has(self, field: str) -> bool:
        """Say whether it knows a field of Jobs."""
        return all(need.field != field or self.minor >= need.since for need in _NEEDS)

    def known(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Return a Job's `spec` without what it does not know."""
        return {field: value for field, value in spec.items() if self.has(field)}

    @property
    def tells_disruptions(self) -> bool:
        """Say whether pods have a condition that says why they were taken away; it came with the policy."""
        return self.has("podFailurePolicy")

    @property
    def lacks(self) -> tuple[str, ...]:
        """Return what it cannot do for us, for people."""
        return tuple(
            f"Kubernetes {self} has no {need.field} (since 1.{need.since}): {need.without}"
            for need in _NEEDS
            if self.minor < need.since
        )

    def __str__(self) -> str:
        return f"1.{self.minor}"


CURRENT: Final = Release(max(need.since for need in _NEEDS))
"""One that has everything."""
