"""What we call things on a cluster, and how they are found again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from services.scheduler.backends.engines.base import EngineMeans, Native

from .settings import KubernetesSettings

__all__ = ["FIELD_MANAGER", "QUEUE_LABEL", "Address", "Names", "job_of"]

FIELD_MANAGER: Final = "shunter"
QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"

_LONGEST = 63
_PREFIXES: Final = ("batch.kubernetes.io/", "")
"""Of what the Job controller puts on the pods of a Job; before 1.27 there was none."""


def job_of(labels: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and the uid of the Job that a pod is of."""
    found = [
        next((labels[prefix + word] for prefix in _PREFIXES if prefix + word in labels), "")
        for word in ("job-name", "controller-uid")
    ]
    return found[0], found[1]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a native job is: `namespace/uid` is its native id, with `/index` behind it if it shares a Job."""

    namespace: str
    uid: str
    index: str = ""

    @classmethod
    def of(cls, native: Native) -> Address | None:
        """Read a native id; none if it was not known."""
        namespace, _, rest = native.native_id.partition("/")
        uid, _, index = rest.partition("/")
        return cls(namespace, uid, index) if uid else None

    def __str__(self) -> str:
        return "/".join(filter(None, (self.namespace, self.uid, self.index)))


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one backend of one Shunter."""

    settings: KubernetesSettings
    means: EngineMeans

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels of everything that is ours."""
        return {"app.kubernetes.io/managed-by": "shunter", **self._marks}

    @property
    def _marks(self) -> dict[str, str]:
        return {"shunter/site": _value(self.means.site), "shunter/backend": _value(self.means.backend)}

    @property
    def selector(self) -> str:
        """Return what finds the native jobs and their pods, and nobody else's."""
        return ",".join(f"{key}={value}" for key, value in self._marks.items())

    def namespace(self, project: str | None) -> str:
        """Return the namespace of a project's jobs."""
        template = self.settings.project_namespaces
        return self.settings.namespace if template is None or project is None else _label(template, project)

    @property
    def watched(self) -> str | None:
        """Return the one namespace that all is in; none if there are several."""
        return self.settings.namespace if self.settings.project_namespaces is None else None


def _value(word: str) -> str:
    """Make a label's value of a word; one that cannot be one is told from others alike by its hash."""
    if re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", word):
        return word
    return f"{re.sub(r'[^A-Za-z0-9]', '', word)[:40]}-{_mark(word)}".lstrip("-")


def _mark(word: str) -> str:
    return sha256(word.encode()).hexdigest()[:8]


def _label(template: str, project: str) -> str:
    """Make a DNS label of a project's name; what had to be changed is told from others alike by its hash."""
    name = template.replace("{project}", project)
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if plain == name and len(name) <= _LONGEST:
        return name
    return f"{plain[: _LONGEST - 9].rstrip('-')}-{_mark(name)}".lstrip("-")
