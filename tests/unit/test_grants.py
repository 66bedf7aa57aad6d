"""Grants: who is meant, what they allow, and when they are over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from sqlalchemy import String
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.commands import ShareWorkload
from contracts.errors import ForbiddenError, NotFoundError, OverQuotaError
from contracts.grants import MOST_GRANTS, Grant, Right
from contracts.ids import workload_id
from contracts.model import now
from contracts.principals import Level, Principal, Role
from services.chassis.database import close_engine, make_engine, new_metadata
from services.chassis.grants import Grants, add_grants_table, require_found
from services.chassis.policy import Power, grantees_of, power_by, power_over, require_power

MOMENT = now()
LATER = MOMENT + timedelta(hours=1)
OWNER = Principal(subject="ann", projects={"optics": Level.MEMBER})
BOB = Principal(subject="bob", projects={"optics": Level.MEMBER, "lasers": Level.ADMIN}, token="t1")
METADATA = new_metadata()
GRANTS = Grants(add_grants_table(METADATA, String(64)), "job")


@pytest_asyncio.fixture
async def connection() -> AsyncIterator[AsyncConnection]:
    engine = make_engine("sqlite+aiosqlite://")
    async with engine.connect() as connection:
        await connection.run_sync(METADATA.create_all)
        yield connection
    await close_engine(engine)


def _grant(grantee: str, right: Right = Right.READ, **more: object) -> Grant:
    known = {"resource": "job:x", "owner": "ann", "created_by": "ann", "created_at": MOMENT}
    return Grant.model_validate({**known, "grantee": grantee, "right": right, **more})


def test_something_is_granted_to_a_user_their_projects_and_their_token() -> None:
    assert grantees_of(BOB) == ["user:bob", "project:optics", "project:lasers", "token:t1"]
    assert grantees_of(Principal(subject="eve")) == ["user:eve"]


@pytest.mark.parametrize("word", ["group:x", "user:", "eve", "user:a b", "user:a/b", "project:" + "x" * 300, "user:é"])
def test_what_names_nobody_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="grantee"):
        ShareWorkload(workload_id=workload_id(), principal=OWNER, grantee=word)


def test_whoever_owns_administers_or_audits_needs_no_grant() -> None:
    root = Principal(subject="root", roles=frozenset({Role.ADMIN}))
    kim = Principal(subject="kim", roles=frozenset({Role.AUDITOR}))
    powers = [power_over(who, "ann", "lasers") for who in (OWNER, BOB, root, kim, Principal(subject="eve"))]
    assert powers == [Power.OWN, Power.OWN, Power.OWN, Power.READ, Power.NONE]
    assert power_over(BOB, "ann", "optics") is Power.NONE


def test_no_grant_makes_an_owner() -> None:
    assert power_by([]) is Power.NONE
    assert power_by([Right.READ]) is Power.READ
    assert power_by([Right.READ, Right.CONTROL]) is Power.CONTROL
    assert max(power_by([right]) for right in Right) < Power.OWN


def test_what_one_may_not_see_does_not_exist_and_the_rest_is_forbidden() -> None:
    with pytest.raises(NotFoundError):
        require_power(Power.NONE, Power.READ, "job-1")
    with pytest.raises(NotFoundError):
        require_power(Power.NONE, Power.OWN, "job-1")
    with pytest.raises(ForbiddenError, match="may be read by you, but not changed"):
        require_power(Power.READ, Power.CONTROL, "job-1")
    with pytest.raises(ForbiddenError, match="may be controlled by you, but not shared or deleted"):
        require_power(Power.CONTROL, Power.OWN, "job-1")
    require_power(Power.CONTROL, Power.READ, "job-1")


async def test_a_grant_is_over_at_its_moment(connection: AsyncConnection) -> None:
    await GRANTS.put(connection, _grant("user:bob", expires_at=LATER), "x")
    before, after = LATER - timedelta(microseconds=1), LATER
    assert await GRANTS.power(connection, "ann", ["x"], BOB, before) is Power.READ
    assert await GRANTS.power(connection, "ann", ["x"], BOB, after) is Power.NONE
    assert await GRANTS.words_with_any(connection, BOB, before) == ["user:bob"]
    assert await GRANTS.words_with_any(connection, BOB, after) == []
    for moment, number in ((before, 1), (after, 0)):
        page = await GRANTS.page_received(connection, BOB, at=moment, limit=10, cursor=None)
        assert len(page.items) == len(await GRANTS.all_of(connection, "ann", "x", moment)) == number
    grant = await GRANTS.find(connection, "ann", "x", "user:bob")
    assert require_found(grant, "user:bob", before) == grant
    with pytest.raises(NotFoundError):
        require_found(grant, "user:bob", after)


async def test_the_largest_of_several_grants_counts(connection: AsyncConnection) -> None:
    await GRANTS.put(connection, _grant("user:bob"), "x")
    await GRANTS.put(connection, _grant("token:t1", Right.CONTROL), "x")
    await GRANTS.put(connection, _grant("project:optics"), "y")
    found = await GRANTS.powers(connection, "ann", ["x", "y", "z"], BOB, MOMENT)
    assert found == {"x": Power.CONTROL, "y": Power.READ}
    assert await GRANTS.powers(connection, "eve", ["x"], BOB, MOMENT) == {}
    assert await GRANTS.power(connection, "ann", ["x"], BOB.model_copy(update={"token": None}), MOMENT) is Power.READ


async def test_a_grant_is_replaced_and_taken_back(connection: AsyncConnection) -> None:
    await GRANTS.put(connection, _grant("user:bob"), "x")
    await GRANTS.put(connection, _grant("user:bob", Right.CONTROL), "x", 7)
    assert await GRANTS.all_of(connection, "ann", "x", MOMENT) == [_grant("user:bob", Right.CONTROL)]
    assert await GRANTS.drop(connection, "ann", "x", "user:bob")
    assert not await GRANTS.drop(connection, "ann", "x", "user:bob")


async def test_a_thing_has_so_many_grants_and_what_expired_makes_room(connection: AsyncConnection) -> None:
    for number in range(MOST_GRANTS):
        await GRANTS.put(connection, _grant(f"user:u{number}", expires_at=LATER), "x")
    with pytest.raises(OverQuotaError):
        await GRANTS.require_room(connection, "ann", "x", MOMENT)
    await GRANTS.require_room(connection, "ann", "y", MOMENT)
    await GRANTS.require_room(connection, "ann", "x", LATER)
