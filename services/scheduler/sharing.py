"""Sharing a workload: owners let others read or control it, and take that back."""

from __future__ import annotations

from contracts.commands import ShareWorkload, UnshareWorkload
from contracts.events import WorkloadUnshared
from contracts.grants import Grant, GrantPage, WorkloadGrants, WorkloadsSharedWith, job_resource
from contracts.model import now
from services.chassis.bus import Delivery
from services.chassis.grants import renewed, require_found
from services.chassis.policy import Power, grantees_of, power_over
from services.chassis.unit import UnitOfWork, Work

from . import store
from .records import Record
from .rights import GRANTS, require_on, shared_event, write_grant

__all__ = ["SharingService"]


class SharingService:
    """Keeps and tells who may do what with a workload besides its owner."""

    def __init__(self, *, unit: UnitOfWork) -> None:
        self._unit = unit

    async def share(self, command: ShareWorkload, delivery: Delivery) -> Grant:
        """Grant a right; the same again changes nothing, another one replaces it."""
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                return await self._as_it_is(command)
            row = await self._owned(work, command)
            known = await GRANTS.find(work.connection, row["owner"], row["id"], command.grantee)
            grant = renewed(known, command, job_resource(row["id"]), row["owner"])
            if grant == known:
                return grant
            if known is None:
                await GRANTS.require_room(work.connection, row["owner"], row["id"], grant.created_at)
            await write_grant(work.connection, row["id"], grant)
            work.send(shared_event(row, grant))
            return grant

    async def unshare(self, command: UnshareWorkload, delivery: Delivery) -> Grant:
        """Take a grant back; it is over for whoever has it with the commit."""
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                return await self._as_it_is(command)
            row = await self._owned(work, command)
            known = await GRANTS.find(work.connection, row["owner"], row["id"], command.grantee)
            grant = require_found(known, command.grantee, now())
            await GRANTS.drop(work.connection, row["owner"], row["id"], command.grantee)
            work.send(_unshared(row, grant))
            return grant

    async def given(self, query: WorkloadGrants) -> GrantPage:
        """Return what is granted on a workload: all of it to those who may share it, else their own."""
        async with self._unit.reading() as connection:
            found = await store.find(connection, query.workload_id)
            row = await require_on(connection, found, query.principal, query.workload_id)
            mine = None if power_over(query.principal, row["owner"], row["project"]) else grantees_of(query.principal)
            if query.grantee is not None:
                mine = [query.grantee] if mine is None or query.grantee in mine else []
            return await GRANTS.page_given(
                connection, row["owner"], row["id"], grantees=mine, at=now(), limit=query.limit, cursor=query.cursor
            )

    async def received(self, query: WorkloadsSharedWith) -> GrantPage:
        """Return what others share with the principal."""
        async with self._unit.reading() as connection:
            return await GRANTS.page_received(
                connection, query.principal, at=now(), limit=query.limit, cursor=query.cursor
            )

    async def _owned(self, work: Work, command: ShareWorkload | UnshareWorkload) -> Record:
        journey = await store.open_journey(work, command.workload_id)
        row = journey.row if journey else None
        return await require_on(work.connection, row, command.principal, command.workload_id, Power.OWN)

    async def _as_it_is(self, command: ShareWorkload | UnshareWorkload) -> Grant:
        """Answer a command that was handled before."""
        async with self._unit.reading() as connection:
            found = await store.find(connection, command.workload_id)
            row = await require_on(connection, found, command.principal, command.workload_id, Power.OWN)
            grant = await GRANTS.find(connection, row["owner"], row["id"], command.grantee)
        return require_found(grant, command.grantee, now())


def _unshared(row: Record, grant: Grant) -> WorkloadUnshared:
    return WorkloadUnshared(
        workload_id=row["id"],
        owner=row["owner"],
        project=row["project"],
        revision=row["revision"],
        grant=grant,
        at=now(),
    )
