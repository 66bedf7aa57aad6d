"""Batches, as users ask for them: everything is the scheduler's; this says it on the bus and waits."""

from __future__ import annotations

from contracts.batches import Batch, BatchSpec, jobs_of, order_of
from contracts.commands import CancelBatch, CreateBatch
from contracts.ids import workload_id, workload_id_from
from contracts.model import now
from contracts.queries import BatchPage, GetBatch, ListBatches
from contracts.secrets import replace_secrets
from services.chassis.bus import Bus
from services.chassis.sealing import Sealer

from .callers import Caller
from .demand import gpus_of
from .jobs import hash_of

__all__ = ["BatchService"]

_PREFIX = "bat"

_LONGEST = 60.0
"""Seconds that a batch may take to be let in before 202 is said."""


class BatchService:
    """Submits, shows and ends batches for one caller. None means: the command is kept and will be handled later."""

    def __init__(self, *, bus: Bus, caller: Caller, wait: float, sealer: Sealer) -> None:
        self._bus = bus
        self._caller = caller
        self._wait = wait
        self._sealer = sealer

    async def create(self, spec: BatchSpec, *, key: str | None, wait: float | None) -> tuple[str, Batch | None, bool]:
        """Hand jobs in; returns the id, the record, and whether an earlier request with the same key had made it."""
        order_of(spec.jobs)  # what is wrong in itself need not travel
        principal = self._caller.principal
        batch_id = workload_id_from(principal.subject, key, _PREFIX) if key else workload_id(_PREFIX)
        jobs = jobs_of(batch_id, spec)
        self._caller.require(gpus=sum(gpus_of(job) for job in jobs))
        asked_at = now()
        command = CreateBatch(
            batch_id=batch_id,
            principal=principal,
            spec=replace_secrets(spec, self._sealer.seal),
            request_hash=hash_of(replace_secrets(spec, self._sealer.mark)) if key else "",
        )
        seconds = min(self._wait + len(spec.jobs) / 50, _LONGEST) if wait is None else wait
        batch: Batch | None = await self._bus.order(command, self._caller.context, wait=seconds, answer=Batch)
        return batch_id, batch, bool(key and batch and batch.created_at < asked_at)

    async def cancel(self, batch_id: str) -> Batch | None:
        """End all jobs of a batch."""
        command = CancelBatch(batch_id=batch_id, principal=self._caller.principal)
        wait = max(self._wait, 1.0)
        batch: Batch | None = await self._bus.order(command, self._caller.context, wait=wait, answer=Batch)
        return batch

    async def get(self, batch_id: str) -> Batch:
        """Return one batch with its jobs."""
        batch: Batch = await self._bus.ask(GetBatch(principal=self._caller.principal, batch_id=batch_id))
        return batch

    async def page(self, *, limit: int, cursor: str | None, owner: str | None, name: str | None) -> BatchPage:
        """Return some batches, newest first."""
        query = ListBatches(principal=self._caller.principal, limit=limit, cursor=cursor, owner=owner, batch_name=name)
        page: BatchPage = await self._bus.ask(query)
        return page
