"""Nomad as an engine: a batch job for each native job, over the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import httpx
from pydantic import TypeAdapter, ValidationError

from contracts.errors import InvalidError, RefusedError, ShunterError, UnavailableError
from services.scheduler.backends.base import Capability, Capacity
from services.scheduler.backends.engines.base import Engine, EngineMeans, Native, Order, Seen, Started

from .api import NomadApi, Rights
from .cluster import Cluster
from .jobspec import Terms, dressed, numbers_of, words_of
from .looking import Looking
from .reading import native_id
from .room import mhz_of, room_of
from .settings import NomadOptions, NomadSettings
from .template import BUILT_IN, Job, Templates
from .words import Validated

__all__ = ["NomadEngine"]

_VALIDATED = TypeAdapter(Validated)
_AT_ONCE = 16
"""Registrations that are under way at a time."""


class NomadEngine(Engine):
    """The name of a native job is the ID of its job, which Nomad takes only once in a namespace."""

    kind = "nomad"
    Settings = NomadSettings
    Options = NomadOptions
    capabilities = frozenset({Capability.GPUS, Capability.IMAGES})

    settings: NomadSettings

    def __init__(self, settings: NomadSettings, means: EngineMeans) -> None:
        super().__init__(settings, means)
        self._api = NomadApi(settings)
        self._cluster = Cluster(self._api, settings)
        self._templates = Templates(self._api)
        self._looking = Looking(self._cluster, f"{means.site}-")
        self._doors = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._api.close()

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Register jobs, each only if there is none of its name."""
        try:
            nodes = await self._cluster.nodes(fresh=False)
        except UnavailableError as error:
            return [Started(error=error) for _ in orders]
        centers = self.settings.datacenters or sorted({node.datacenter for node in nodes})
        mhz = self.settings.mhz or mhz_of(nodes)
        terms = [Terms(self.settings.namespace_of(order.project), tuple(centers), mhz) for order in orders]
        return list(await asyncio.gather(*map(self._start, orders, terms)))

    async def _start(self, order: Order, terms: Terms) -> Started:
        async with self._doors:
            try:
                await self._register(await self._job(order, terms), order.name, terms.namespace)
            except ShunterError as error:
                return Started(error=error)
        return Started(native_id(terms.namespace, order.name))

    async def _job(self, order: Order, terms: Terms) -> Job:
        try:
            options = NomadOptions.model_validate(dict(order.options))
        except ValidationError as error:
            said = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(["placement.options.nomad", *map(str, said["loc"])])
            raise InvalidError.of(where, said["msg"]) from error
        numbers, words = numbers_of(order, self.settings, terms), words_of(order, self.settings, terms)
        job = await self._templates.job(self._template(order), numbers, words, terms.namespace)
        return dressed(job, order, options, self.settings, terms)

    def _template(self, order: Order) -> Path:
        chosen = self.settings.image_template if order.image else self.settings.template
        return chosen or BUILT_IN

    async def _register(self, job: Job, name: str, namespace: str) -> None:
        where = {"namespace": namespace}
        body = {"Job": job, "EnforceIndex": True, "JobModifyIndex": 0}
        response = await self._api.send("POST", "/v1/jobs", Rights.SUBMIT_JOB, params=where, body=body)
        if response.is_success:
            return
        # Nomad has one status for many refusals: what is meant is found out by asking, not from its words.
        there = await self._api.send("GET", f"/v1/job/{name}", Rights.READ_JOB, params=where)
        if there.is_success:
            return
        await self._explain(response, job, namespace)

    async def _explain(self, response: httpx.Response, job: Job, namespace: str) -> None:
        if not await self._cluster.has_namespace(namespace):
            raise RefusedError(f"Nomad has no namespace {namespace!r}, or our token may do nothing in it")
        answer = await self._api.send(
            "POST", "/v1/validate/job", Rights.SUBMIT_JOB, params={"namespace": namespace}, body={"Job": job}
        )
        if answer.is_success and (found := self._api.read(answer, _VALIDATED)).validation_errors:
            raise RefusedError("Nomad refuses the job: " + "; ".join(found.validation_errors))
        self._api.check(response)

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:
        """List jobs once, and their allocations once if anything of ours changed."""
        return await self._looking.look(known)

    async def stop(self, natives: Collection[Native]) -> None:
        """Deregister jobs: SIGTERM, `kill_timeout`, SIGKILL. What Nomad knows of them stays until they are removed."""
        await self._deregister(natives, purge=False)

    async def remove(self, natives: Collection[Native]) -> None:
        """Purge jobs."""
        await self._deregister(natives, purge=True)

    async def _deregister(self, natives: Collection[Native], *, purge: bool) -> None:
        places = await self._looking.places_of(natives)
        await asyncio.gather(*(self._end(name, namespace, purge=purge) for name, namespace in places))

    async def _end(self, name: str, namespace: str, *, purge: bool) -> None:
        where = {"namespace": namespace}
        params = {**where, "purge": "true" if purge else "false"}
        async with self._doors:
            response = await self._api.send("DELETE", f"/v1/job/{name}", Rights.SUBMIT_JOB, params=params)
            if response.is_success:
                return
            # Versions differ in what they say of a job that is not there.
            there = await self._api.send("GET", f"/v1/job/{name}", Rights.READ_JOB, params=where)
        if there.status_code != httpx.codes.NOT_FOUND:
            self._api.check(response)

    async def capacity(self) -> Capacity:
        """Add up nodes and allocations."""
        nodes = await self._cluster.nodes()
        room = room_of(
            nodes,
            await self._cluster.allocs(),
            self.settings,
            self.settings.mhz or mhz_of(nodes),
            await self._cluster.models(nodes),
        )
        return self._looking.counted(room)
