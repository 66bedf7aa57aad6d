"""Who may do what with a workload: the policy, and what was granted where that is not enough."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFoundError
from contracts.events import WorkloadShared
from contracts.grants import Grant, job_resource
from contracts.model import now
from contracts.principals import Principal
from services.chassis.grants import Grants
from services.chassis.policy import Power, is_visible, power_over, require_power, scope_of, sees_all
from services.chassis.unit import Work

from .records import Record
from .tables import grants, workloads

__all__ = [
    "GRANTS",
    "pass_on",
    "require_on",
    "require_there",
    "shared_event",
    "shared_words",
    "visible_among",
    "write_grant",
]

GRANTS = Grants(grants, "job")
"""What is shared with whom."""


async def require_on(
    connection: AsyncConnection,
    row: Record | None,
    principal: Principal,
    workload_id: str,
    needed: Power = Power.READ,
) -> Record:
    """Return the row of a workload, or refuse; for grants is looked only where nothing else lets *principal* in."""
    there = require_there(row, workload_id)
    power = power_over(principal, there["owner"], there["project"])
    if power < needed:
        power = max(power, await GRANTS.power(connection, there["owner"], [there["id"]], principal, now()))
    require_power(power, needed, workload_id)
    return there


def require_there(row: Record | None, workload_id: str) -> Record:
    """Return the row of a workload that is still there, or refuse."""
    if row is None or row["removed_at"] is not None:
        raise NotFoundError(f"{workload_id} does not exist")
    return row


async def visible_among(
    connection: AsyncConnection, rows: Iterable[RowMapping | Record], principal: Principal
) -> set[str]:
    """Return which of some workloads *principal* may see, by id."""
    scope, moment = scope_of(principal), now()
    visible: set[str] = set()
    others: dict[str, list[str]] = {}
    for row in rows:
        if row["removed_at"] is not None:
            continue
        if is_visible(scope, row["owner"], row["project"]):
            visible.add(row["id"])
        else:
            others.setdefault(row["owner"], []).append(row["id"])
    for owner, ids in others.items():
        visible |= set(await GRANTS.powers(connection, owner, ids, principal, moment))
    return visible


async def shared_words(connection: AsyncConnection, principal: Principal, *, shared: bool | None = None) -> list[str]:
    """Return by which words something is shared with whoever asks for a list, if that belongs into it."""
    if shared is False or (shared is None and sees_all(principal)):
        return []
    return await GRANTS.words_with_any(connection, principal, now())


async def write_grant(connection: AsyncConnection, workload_id: str, grant: Grant) -> None:
    """Write a grant down, with the workload's place in lists."""
    place = (await connection.execute(select(workloads.c.seq).where(workloads.c.id == workload_id))).scalar()
    await GRANTS.put(connection, grant, workload_id, place)


async def pass_on(work: Work, old: str, row: Record) -> None:
    """Share a workload that repeats another one with those with whom the other one is shared."""
    moment = now()
    for grant in await GRANTS.all_of(work.connection, row["owner"], old, moment):
        again = grant.model_copy(update={"resource": job_resource(row["id"]), "created_at": moment})
        await write_grant(work.connection, row["id"], again)
        work.send(shared_event(row, again))


def shared_event(row: Record, grant: Grant) -> WorkloadShared:
    """Return the event of a grant."""
    return WorkloadShared(
        workload_id=row["id"],
        owner=row["owner"],
        project=row["project"],
        revision=row["revision"],
        grant=grant,
        at=now(),
    )
