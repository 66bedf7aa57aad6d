"""Starting native jobs: what has to be there before, then the Job, which is the moment at which it is started."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from time import monotonic
from typing import Final, TypeVar

import structlog
from pydantic import ValidationError

from contracts.errors import ConflictError, FieldError, InvalidError, RefusedError, ShunterError, UnavailableError
from services.scheduler.backends.engines.base import Order

from .cluster import Cluster
from .errors import AnswerError, said, translated
from .indexed import Indexed
from .kinds import CONFIG_MAPS, JOBS, NAMESPACES, QUOTAS, SECRETS, Kind
from .manifests import Manifests, config_map, namespace_of, owned
from .names import Names
from .pilot_file import PilotFile, read_pilot
from .placing import placing
from .records import Job
from .rights import forbidden
from .settings import KubernetesOptions

__all__ = ["Starter"]

T = TypeVar("T")

_log = structlog.get_logger(__name__)
_BELIEVED: Final = 300.0
"""Seconds for which the pilot is believed to lie where we put it."""


class Starter:
    """Starts native jobs. The same order twice is one."""

    def __init__(self, cluster: Cluster, names: Names, gpu_labels: Callable[[], Awaitable[list[str]]]) -> None:
        self._cluster = cluster
        self._names = names
        self._settings = names.settings
        self._gpu_labels = gpu_labels
        self._pilots: dict[Path, tuple[float, PilotFile | None]] = {}
        self._laid: dict[tuple[str, str], float] = {}
        self._laying = asyncio.Lock()
        self._doubtful: dict[str, tuple[str, float]] = {}
        """Where the secrets are of Jobs that may or may not have been made, and since when."""
        self._settling = asyncio.Lock()

    async def start(self, made: Manifests | Indexed) -> Job:
        """Start one Job, or find it started. An error leaves nothing behind, unless nobody knows what came of it."""
        await self._lay_pilot(made)
        async with self._settling:
            self._doubtful.pop(made.name, None)
        secret = made.secret()
        await self._make("patch", SECRETS, made.namespace, lambda: self._cluster.apply(SECRETS, made.namespace, secret))
        try:
            job = await self._make_job(made)
        except RefusedError:
            await self._cluster.delete(SECRETS, made.namespace, made.name)
            raise
        except ShunterError:
            self._doubtful[made.name] = (made.namespace, monotonic())
            raise
        await self._bequeath(secret, job)
        return job

    async def settle(self, there: Collection[str]) -> None:
        """Remove the secrets of Jobs that turned out not to have been made. *there* are those that are."""
        doubtful = self._doubtful.items()
        due = [(name, space) for name, (space, at) in doubtful if monotonic() - at > self._settings.timeout]
        if due:
            async with self._settling:
                for name, namespace in due:
                    if self._doubtful.pop(name, None) and name not in there:
                        with translated():
                            await self._cluster.delete(SECRETS, namespace, name)

    async def prepared(self, order: Order) -> Manifests:
        """Return what is to be made for an order; raises `RefusedError` for what no cluster of this sort runs."""
        try:
            options = KubernetesOptions.model_validate(dict(order.options))
        except ValidationError as error:
            raise _invalid(error) from error
        if order.nodes > 1:
            raise InvalidError.of(
                "resources.nodes", "a native job on Kubernetes is one pod on one node: ask for nodes: 1"
            )
        with translated():
            release = await self._cluster.release()
        if (options.queue or self._settings.queue) and not release.has("suspend"):
            raise RefusedError(f"Kubernetes {release} has no Jobs that wait in a queue of Kueue")
        labels = await self._gpu_labels() if order.gpus and order.gpu_model else []
        place = placing(self._settings, options, order, labels)
        return Manifests(self._names, order, options, place, self._pilot(order.launch.file), release)

    def _pilot(self, file: Path) -> PilotFile | None:
        if self._settings.pilot == "fetch" or not self._settings.volumes:
            return None
        changed = file.stat().st_mtime
        known = self._pilots.get(file)
        if known is None or known[0] != changed:
            known = self._pilots[file] = (changed, read_pilot(file))
        return known[1]

    async def _lay_pilot(self, made: Manifests | Indexed) -> None:
        if made.pilot is None:
            return
        namespace, place = made.namespace, (made.namespace, made.pilot.name)
        manifest = config_map(made.pilot, namespace, self._names.labels)
        async with self._laying:
            if monotonic() - self._laid.get(place, -_BELIEVED) > _BELIEVED:
                await self._make(
                    "patch", CONFIG_MAPS, namespace, lambda: self._cluster.apply(CONFIG_MAPS, namespace, manifest)
                )
                self._laid[place] = monotonic()

    async def _make_job(self, made: Manifests | Indexed) -> Job:
        try:
            return await self._make(
                "create", JOBS, made.namespace, lambda: self._cluster.create(JOBS, made.namespace, made.job(), Job)
            )
        except _ThereError:
            found = await self._cluster.get(JOBS, made.namespace, made.name, Job)
        if not self._names.labels.items() <= found.metadata.labels.items():
            raise ConflictError(f"a Job {made.name!r} of somebody else's is there")
        if found.metadata.deletion_timestamp:
            raise UnavailableError(f"the Job {made.name!r} is being deleted", retry_after=2.0)
        return found

    async def _bequeath(self, secret: dict[str, object], job: Job) -> None:
        """Have the secret go when the Job does. We remove it too, so that a failure here does no harm."""
        try:
            await self._cluster.apply(SECRETS, job.metadata.namespace, owned(secret, job))
        except (AnswerError, ShunterError) as error:
            _log.warning("secret.unowned", job=job.metadata.name, reason=str(error))

    async def _make(self, verb: str, kind: Kind, namespace: str, request: Callable[[], Awaitable[T]]) -> T:
        """Have something made in a namespace, which is made first if it is missing and we are to make it."""
        for is_last in (not self._settings.create_namespaces, True):
            try:
                return await request()
            except AnswerError as error:
                code = error.status.code
                if code == 404 and not is_last:
                    await self._make_namespace(namespace)
                    continue
                if code == 404:
                    raise RefusedError(f"the cluster has no namespace {namespace!r}") from error
                if code == 403:
                    raise await forbidden(self._cluster, error, verb, kind, namespace) from error
                if code == 409 and verb == "create":
                    raise _ThereError from error
                raise said(error) from error
        raise AssertionError("the last try returns or raises")

    async def _make_namespace(self, name: str) -> None:
        for manifest in namespace_of(name, self._settings.quota, self._names.labels):
            kind = NAMESPACES if manifest["kind"] == "Namespace" else QUOTAS
            try:
                await self._cluster.apply(kind, name, manifest)
            except AnswerError as error:
                if error.status.code == 403:
                    raise await forbidden(self._cluster, error, "patch", kind, name) from error
                raise said(error) from error


class _ThereError(Exception):
    """What was to be made is there already."""


def _invalid(error: ValidationError) -> InvalidError:
    prefix = "placement.options.kubernetes"
    fields = [
        FieldError(field=".".join([prefix, *(str(part) for part in item["loc"])]), message=item["msg"])
        for item in error.errors(include_url=False)
    ]
    return InvalidError(f"{fields[0].field}: {fields[0].message}", errors=fields)
