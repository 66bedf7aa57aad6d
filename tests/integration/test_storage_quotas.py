"""Quotas: what is too much is refused before a byte flows, and what is on its way counts as if it were there."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from contracts.errors import ForbiddenError, NotFoundError, OverQuotaError
from contracts.file_commands import DropFolderRule, SetFolderRule
from contracts.file_events import FolderRuled, FolderUnruled
from contracts.file_queries import CheckRoom, GetStorageUsage, ListFolderRules, ListOwners
from contracts.files import UploadPlan
from contracts.ids import workload_id
from contracts.principals import Principal, Role
from contracts.queries import CheckRunRoom, OpenRunUpload, OpenUpload
from contracts.shelves import Amount, FolderRoom, FolderRule, FolderRulePage, FolderRuleSpec, OwnersPage
from contracts.transfers import FormUpload, OpenForm
from services.storage.settings import StorageSettings
from tests.support.storage import (
    ADMIN,
    EVE,
    User,
    digest_of,
    opened,
    put_part,
    run_ticket,
    sweeper,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

_MIB = 2**20
QUOTA = 10 * _MIB


@pytest.fixture(scope="module")
def special() -> dict[str, Any]:
    """Everybody has 10 MiB unless a rule says more."""
    return {"quota": QUOTA}


async def _announce(user: User, path: str, size: int) -> UploadPlan:
    plan: UploadPlan = await user.ask(OpenUpload(principal=user.principal, path=path, size=size))
    return plan


async def test_ten_sparse_gigabytes_are_refused_before_a_byte_flows(ada: User) -> None:
    with pytest.raises(OverQuotaError) as refusal:
        await _announce(ada, "sparse.bin", 10 * 2**30)
    assert "10.0GiB" in refusal.value.detail
    assert (await ada.usage()).uploads.size == 0


async def test_what_is_on_its_way_counts(ada: User) -> None:
    await _announce(ada, "a", 6 * _MIB)
    with pytest.raises(OverQuotaError, match="on their way"):
        await _announce(ada, "b", 6 * _MIB)
    found = await ada.usage()
    assert (found.quota, found.size, found.uploads.files, found.uploads.size) == (QUOTA, 0, 1, 6 * _MIB)
    await _announce(ada, "b", 4 * _MIB)


async def test_of_many_at_once_only_those_come_for_which_there_is_room(ada: User) -> None:
    wishes = [_announce(ada, f"{number}", 3 * _MIB) for number in range(8)]
    ended = await asyncio.gather(*wishes, return_exceptions=True)
    assert sum(isinstance(one, UploadPlan) for one in ended) == 3
    assert all(isinstance(one, UploadPlan | OverQuotaError) for one in ended)


async def test_an_upload_that_was_given_up_gives_its_room_back(ada: User, stored: StorageSettings) -> None:
    plan = await _announce(ada, "a", 8 * _MIB)
    with pytest.raises(OverQuotaError):
        await _announce(ada, "b", 8 * _MIB)
    assert (await ada.resume(plan.ticket)).parts, "its own room is no obstacle"
    async with opened(stored) as (unit, objects):
        await sweeper(unit, objects, abandoned_after=-7200).sweep()
    await _announce(ada, "b", 8 * _MIB)


async def test_files_count_once_and_no_more_when_they_are_gone(ada: User) -> None:
    await ada.put("a", b"1" * 100)
    await ada.put("a", b"2" * 40)
    await ada.put("d/b", b"3" * 2)
    found = await ada.usage()
    assert (found.files, found.size, found.versions.size, found.trash.size) == (2, 42, 100, 0)
    await ada.move("d", "e", folder=True)
    await ada.put("x", b"4" * 8)
    await ada.move("x", "a", replace=True)
    found = await ada.usage()
    assert (found.files, found.size) == (2, 10)
    await ada.delete("e", recursive=True)
    found = await ada.usage()
    assert (found.files, found.size, found.trash.size) == (1, 8, 2)


async def test_a_folder_has_a_quota_of_its_own(ada: User) -> None:
    rule = await ada.rule("small", quota=100)
    assert (rule.path, rule.quota, rule.changed_by) == ("small", 100, ada.principal.subject)
    await ada.put("small/deep/a", b"1" * 80)
    with pytest.raises(OverQuotaError, match="small/"):
        await _announce(ada, "small/b", 30)
    await _announce(ada, "small/deep/a", 100)
    await _announce(ada, "smaller", 1000)
    await ada.put("else/where", b"2" * 30)
    for wish in (ada.move("else/where", "small/where"), ada.move("else", "small/else", folder=True)):
        with pytest.raises(OverQuotaError):
            await wish
    await ada.move("small/deep", "small/deeper", folder=True)


async def test_only_admins_say_what_all_files_may_come_to(ada: User) -> None:
    owner = ada.principal.subject
    more = SetFolderRule(principal=ada.principal, rule=FolderRuleSpec(quota=100 * _MIB))
    with pytest.raises(ForbiddenError):
        await ada.order(more, FolderRule)
    with pytest.raises(NotFoundError):
        await ada.order(SetFolderRule(principal=EVE, owner=owner, path="d", rule=FolderRuleSpec(quota=1)), FolderRule)
    assert (await ada.rule(None, quota=100 * _MIB)).changed_by == ADMIN.subject
    await _announce(ada, "a", 50 * _MIB)

    await ada.rule("d", expires_after=timedelta(days=1))
    page: FolderRulePage = await ada.ask(ListFolderRules(principal=ada.principal))
    assert [(rule.path, rule.quota, rule.expires_after) for rule in page.items] == [
        (None, 100 * _MIB, None),
        ("d", None, timedelta(days=1)),
    ]
    drop = DropFolderRule(principal=ada.principal, path="d")
    await ada.order(drop, FolderRule)
    with pytest.raises(NotFoundError):
        await ada.order(drop, FolderRule)
    assert (await ada.events(FolderUnruled))[0].rule.path == "d"
    assert await ada.events(FolderRuled)


async def test_what_jobs_bring_home_is_counted_and_refused_where_there_is_no_room(ada: User) -> None:
    await ada.rule(None, quota=100)
    job = workload_id()

    async def bring(path: str, size: int, attempt: int = 1) -> UploadPlan:
        ticket = run_ticket(ada.principal.subject, job, attempt)
        wish = OpenRunUpload(ticket=ticket, path=path, size=size, sha256=digest_of(b"1" * size))
        plan: UploadPlan = await ada.ask(wish)
        return plan

    with pytest.raises(OverQuotaError, match="your files may come to"):
        await bring("outputs/large", 10 * _MIB)
    assert (await ada.usage()).uploads == Amount()
    first = await bring("outputs/a", 60)
    with pytest.raises(OverQuotaError, match="on their way"):
        await bring("outputs/b", 60)
    again = await bring("outputs/a", 60, attempt=2)  # the first one was lost, or its URLs were too old
    await ada.complete(again, [await put_part(part, b"1" * 60) for part in again.parts])
    await ada.complete(first, [await put_part(part, b"1" * 60) for part in first.parts])
    log = await bring("logs/1/stdout", 50)
    await ada.complete(log, [await put_part(part, b"1" * 50) for part in log.parts])
    found = await ada.usage()
    assert (found.files, found.size, found.uploads.size) == (2, 110, 0), "logs count and are never refused"
    with pytest.raises(OverQuotaError):
        await bring("outputs/c", 1)
    await bring("outputs/empty", 0)


async def test_what_can_never_be_kept_is_not_taken_by_the_store_nor_by_us(ada: User) -> None:
    await ada.rule("small", quota=100)
    form: FormUpload = await ada.ask(OpenForm(principal=ada.principal, folder="small/in"))
    assert form.most == 100
    async with httpx.AsyncClient(trust_env=False) as http:
        refused = await http.post(form.url, data=form.fields, files={"file": ("large", b"1" * 101)})
        taken = await http.post(form.url, data=form.fields, files={"file": ("fits", b"1" * 100)})
    assert (refused.is_client_error, taken.is_success) == (True, True)
    room: FolderRoom = await ada.ask(CheckRoom(principal=ada.principal, folder="small/in", size=100))
    assert room.largest == 100
    with pytest.raises(OverQuotaError, match="small/"):
        await ada.ask(CheckRoom(principal=ada.principal, folder="small/in", size=101))
    ticket = run_ticket(ada.principal.subject, workload_id(), folders=["small/out"])
    with pytest.raises(OverQuotaError, match="small/"):
        await ada.ask(CheckRunRoom(ticket=ticket, path="outputs/a", to="small/out", size=101))
    assert (await ada.ask(CheckRunRoom(ticket=ticket, path="outputs/a", size=101))).largest == QUOTA


async def test_whoever_sees_everything_sees_what_everybody_has(ada: User) -> None:
    await ada.put("a", b"12345")
    owner = ada.principal.subject
    auditor = Principal(subject="aud", roles=frozenset({Role.AUDITOR}))
    everybody: dict[str, int] = {}
    cursor: str | None = None
    while True:
        page: OwnersPage = await ada.ask(ListOwners(principal=auditor, limit=2, cursor=cursor))
        everybody |= {one.owner: one.size for one in page.items}
        if (cursor := page.next_cursor) is None:
            break
    assert everybody[owner] == 5
    assert (await ada.ask(GetStorageUsage(principal=auditor, owner=owner))).size == 5
    with pytest.raises(ForbiddenError):
        await ada.ask(ListOwners(principal=ada.principal))
    with pytest.raises(NotFoundError):
        await ada.ask(GetStorageUsage(principal=EVE, owner=owner))
