"""Many native jobs of one shape as one indexed Job, and the Job read as each of them. Nothing here asks anybody."""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Final

from contracts.ranges import Ranges

from .manifests import Manifests
from .pilot_file import PilotFile
from .records import Condition, Job, Pod

__all__ = ["INDEX_LABEL", "NAMES_NOTE", "Indexed", "batches_of", "index_of", "names_of", "shares_of"]

Manifest = dict[str, Any]

INDEX_LABEL: Final = "batch.kubernetes.io/job-completion-index"
"""The Job controller puts it on the pods of an indexed Job."""
NAMES_NOTE: Final = "shunter/names"
"""The annotation of an indexed Job that says the names of its native jobs, in the order of their indices."""

_MOST: Final = 100
"""Native jobs of one Job: what each has in its environment lies in one Secret, which holds a megabyte."""
_OWN: Final = PurePosixPath("/shunter/own")
_TAKE: Final = f". {_OWN}\n"
"""A pod takes its own variables; it sees those of no other."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """Makes the objects of several native jobs that are alike. The Job has the name of the first."""

    made: Sequence[Manifests]

    @property
    def name(self) -> str:
        """Return the name of the Job and of its Secret."""
        return self.made[0].name

    @property
    def namespace(self) -> str:
        """Return where all of them are."""
        return self.made[0].namespace

    @property
    def pilot(self) -> PilotFile | None:
        """Return the pilot; none if the jobs fetch it themselves."""
        return self.made[0].pilot

    def job(self) -> Manifest:
        """Return the Job. No index is tried twice, and the end of one is not that of the others."""
        job = self.made[0].job()
        job["metadata"]["annotations"] = {
            **job["metadata"]["annotations"],
            NAMES_NOTE: " ".join(one.name for one in self.made),
        }
        spec = job["spec"]
        del spec["backoffLimit"]
        spec |= {
            "completionMode": "Indexed",
            "completions": len(self.made),
            "parallelism": len(self.made),
            "backoffLimitPerIndex": 0,
        }
        for rule in spec["podFailurePolicy"]["rules"]:
            rule["action"] = "FailIndex"
        self._give_own(spec["template"]["spec"])
        return job

    def _give_own(self, pod: Manifest) -> None:
        """Have each pod find its own variables, which are a file of the Secret, in place of all."""
        container = pod["containers"][0]
        del container["envFrom"]
        container["command"] = ["/bin/sh", "-c", f"{_TAKE}{self.made[0].order.launch.script}"]
        mount = {"name": "own", "mountPath": str(_OWN), "subPathExpr": "$(JOB_COMPLETION_INDEX)", "readOnly": True}
        container["volumeMounts"].append(mount)
        pod["volumes"].append({"name": "own", "secret": {"secretName": self.name, "defaultMode": 0o440}})

    def secret(self) -> Manifest:
        """Return what holds the environments, a file for each index."""
        files = {str(index): _assignments(one.order.launch.env) for index, one in enumerate(self.made)}
        data = {index: b64encode(text.encode()).decode() for index, text in files.items()}
        return {**self.made[0].secret(), "data": data}


def _assignments(env: Mapping[str, str]) -> str:
    return "".join(f"export {key}={shlex.quote(value)}\n" for key, value in sorted(env.items()))


def batches_of(made: Sequence[Manifests]) -> list[list[Manifests]]:
    """Put native jobs together that are alike but for their names and environments, such as the tasks of an array.

    Where a queue lets Jobs go, or a quota lets pods be made, each is a Job of its own: it goes when there is room
    for it, and can be taken back before.
    """
    alike: dict[str, list[Manifests]] = {}
    for one in made:
        queued = one.options.queue or one.names.settings.queue or one.names.settings.quota
        alike.setdefault(one.name if queued else _shape(one), []).append(one)
    return [group[begin : begin + _MOST] for group in alike.values() for begin in range(0, len(group), _MOST)]


def _shape(one: Manifests) -> str:
    job = replace(one, order=replace(one.order, name="")).job()
    return json.dumps([job, sorted(one.order.launch.env)], sort_keys=True)


# --- how each stands ----------------------------------------------------------------------------------------------


def names_of(job: Job) -> list[str]:
    """Return the names of the native jobs that a Job is, by index; of a plain one its own."""
    said = job.metadata.annotations.get(NAMES_NOTE, "") if job.spec.completion_mode == "Indexed" else ""
    return said.split() or [job.metadata.name]


def index_of(pod: Pod) -> str:
    """Return the index that a pod is of; empty if it is of a plain Job."""
    return pod.metadata.labels.get(INDEX_LABEL, "")


def shares_of(job: Job) -> list[tuple[str, Job]]:
    """Return, by index, a Job for each native job, as it would be if it were one of its own."""
    if job.spec.completion_mode != "Indexed":
        return [("", job)]
    completed, failed = (_indices(text) for text in (job.status.completed_indexes, job.status.failed_indexes))
    ended = job.condition("Failed")
    shares: list[tuple[str, Job]] = []
    for index, name in enumerate(names_of(job)):
        meta = job.metadata.model_copy(update={"name": name, "uid": f"{job.metadata.uid}/{index}"})
        if index in completed:
            conditions = [Condition(type="Complete", status="True")]
        elif index in failed:
            conditions = [Condition(type="Failed", status="True", reason="FailedIndex")]
        else:
            conditions = [ended] if ended else []
        status = job.status.model_copy(update={"conditions": conditions})
        shares.append((str(index), job.model_copy(update={"metadata": meta, "status": status})))
    return shares


def _indices(text: str) -> Ranges:
    return Ranges.parse(text) if text else Ranges(())
