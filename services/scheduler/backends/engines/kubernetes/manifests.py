"""The objects that we make, as the API takes them. Nothing here asks anybody."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from services.scheduler.backends.engines.base import Order

from .names import QUEUE_LABEL, Names
from .pilot_file import PilotFile
from .placing import Placing
from .records import Job
from .settings import KubernetesOptions
from .versions import Release

__all__ = ["Manifests", "config_map", "namespace_of", "owned"]

Manifest = dict[str, Any]

_PILOT: Final = PurePosixPath("/shunter/pilot")
_WORK: Final = PurePosixPath("/shunter/work")
_OF_IMAGE: Final = PurePosixPath("/tmp")  # noqa: S108 (the pod's own)
"""Where a pod works that has no volumes."""
_PILOT_KEY: Final = "pilot.pyz"


@dataclass(frozen=True, slots=True)
class Manifests:
    """Makes the objects of one native job."""

    names: Names
    order: Order
    options: KubernetesOptions
    placing: Placing
    pilot: PilotFile | None
    """None if the job fetches it itself."""
    release: Release
    """What it does not know is left out."""

    @property
    def name(self) -> str:
        """Return the name of the Job and of its Secret."""
        return self.order.name

    @property
    def namespace(self) -> str:
        """Return where all of them are."""
        return self.names.namespace(self.order.project)

    def job(self) -> Manifest:
        """Return the Job."""
        settings = self.names.settings
        queue = self.options.queue or settings.queue
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                **self._meta(),
                "labels": self.names.labels | ({QUEUE_LABEL: queue} if queue else {}),
                "annotations": self._annotations(),
            },
            "spec": self.release.known({
                "backoffLimit": 0,
                "completions": 1,
                "parallelism": 1,
                "ttlSecondsAfterFinished": settings.kept,
                # Kueue lets it go when there is room.
                "suspend": queue is not None,
                # A pod that was pushed out is not made again: the attempt is another one then. The reason outlives it.
                "podReplacementPolicy": "Failed",
                "podFailurePolicy": {
                    "rules": [
                        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
                    ]
                },
                "template": {
                    "metadata": {"labels": self.names.labels, "annotations": self._annotations()},
                    "spec": self._pod(),
                },
            }),
        }  # fmt: skip

    def secret(self) -> Manifest:
        """Return what holds the environment of this one native job."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**self._meta(), "labels": self.names.labels},
            "type": "Opaque",
            "data": {key: b64encode(value.encode()).decode() for key, value in sorted(self.order.launch.env.items())},
        }

    def _meta(self) -> Manifest:
        return {"name": self.order.name, "namespace": self.namespace}

    def _annotations(self) -> dict[str, str]:
        order = self.order
        told = {"owner": order.owner, "project": order.project or "", "title": order.title}
        return {f"shunter/{key}": value for key, value in told.items() if value}

    def _pod(self) -> Manifest:
        settings = self.names.settings
        optional: Manifest = {
            "priorityClassName": self.options.priority_class or settings.priority_class,
            "runtimeClassName": settings.runtime_class,
            "serviceAccountName": settings.service_account,
            "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
            "nodeSelector": self.placing.node_selector,
            "affinity": self.placing.affinity,
        }
        return {
            "restartPolicy": "Never",
            # Counted from when a node takes it, unlike the Job's own limit, so that waiting costs nothing of it.
            "activeDeadlineSeconds": math.ceil(self.order.walltime + settings.pull),
            "terminationGracePeriodSeconds": settings.grace,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": settings.user,
                "runAsGroup": settings.group,
                "fsGroup": settings.group,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "tolerations": self.placing.tolerations,
            "containers": [self._container()],
            "volumes": self._volumes(),
            **{key: value for key, value in optional.items() if value},
        }

    def _container(self) -> Manifest:
        settings, order = self.names.settings, self.order
        work = str(_WORK if settings.volumes else _OF_IMAGE)
        own = {"SHUNTER_PILOT_WORK": work, "HOME": work}
        if self.pilot:
            own["SHUNTER_PILOT_FILE"] = str(_PILOT / _PILOT_KEY)
        if order.files:
            own["SHUNTER_PILOT_FILES"] = order.files
        return {
            "name": "pilot",
            "image": order.image or settings.image,
            "imagePullPolicy": settings.image_pull_policy,
            "command": ["/bin/sh", "-c", order.launch.script],
            "workingDir": work,
            "envFrom": [{"secretRef": {"name": order.name}}],
            "env": [{"name": key, "value": value} for key, value in own.items()],
            "resources": self._resources(),
            # What it said last is in the pod's status, so that nobody needs the right to read logs.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": self._mounts(),
        }

    def _resources(self) -> Manifest:
        order = self.order
        settings = self.names.settings
        memory = order.memory or settings.memory
        room: Manifest = {"cpu": f"{max(1, round(order.cpus * 1000))}m"}
        if memory:
            room["memory"] = str(memory)
        if order.gpus:
            room[self.placing.gpu_resource] = str(order.gpus)
        if settings.scratch and not settings.volumes:
            room["ephemeral-storage"] = settings.scratch
        return {"requests": room, "limits": room}

    def _mounts(self) -> list[Manifest]:
        mounts: list[Manifest] = []
        if self.names.settings.volumes:
            mounts.append({"name": "work", "mountPath": str(_WORK)})
        if self.pilot:
            mounts.append({"name": "pilot", "mountPath": str(_PILOT), "readOnly": True})
        if self.order.files:
            mounts.append({"name": "files", "mountPath": self.order.files})
        return mounts

    def _volumes(self) -> list[Manifest]:
        settings = self.names.settings
        empty = {"sizeLimit": settings.scratch} if settings.scratch else {}
        volumes: list[Manifest] = [{"name": "work", "emptyDir": empty}] if settings.volumes else []
        if self.order.files:
            volumes.append({"name": "files", "emptyDir": empty})
        if self.pilot:
            volumes.append({"name": "pilot", "configMap": {"name": self.pilot.name, "defaultMode": 0o444}})
        return volumes


def owned(secret: Manifest, job: Job) -> Manifest:
    """Return the secret so that it goes when the Job does."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.metadata.name, "uid": job.metadata.uid}
    return {**secret, "metadata": {**secret["metadata"], "ownerReferences": [owner]}}


def config_map(pilot: PilotFile, namespace: str, labels: Mapping[str, str]) -> Manifest:
    """Return what holds the pilot; its name says which, so that it never changes."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": pilot.name, "namespace": namespace, "labels": dict(labels)},
        "immutable": True,
        "binaryData": {_PILOT_KEY: b64encode(pilot.content).decode()},
    }


def namespace_of(name: str, quota: Mapping[str, str], labels: Mapping[str, str]) -> list[Manifest]:
    """Return a namespace for one project, in which no pod has more rights than ours, and its quota if there is one."""
    secure = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    made: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**labels, **secure}}}
    ]
    if quota:
        made.append({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "shunter", "namespace": name, "labels": dict(labels)},
            "spec": {"hard": dict(quota)},
        })  # fmt: skip
    return made
