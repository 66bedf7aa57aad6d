"""Files: seen by their owner, kept as long as a job may need them, gone when they are deleted."""

from __future__ import annotations

import pytest

from contracts.commands import CompleteUpload, DeleteFile
from contracts.envelope import Context
from contracts.errors import ForbiddenError, InvalidError, NotFoundError
from contracts.events import FileDeleted, FileStored
from contracts.files import FileRecord, UploadPlan
from contracts.ids import workload_id
from contracts.model import now
from contracts.queries import DownloadFile, DownloadRunInputs, FreezeInputs, Frozen, OpenRunUpload
from contracts.runs import FrozenInput
from contracts.spec import Input
from services.storage.settings import StorageSettings
from services.storage.store import StoredFile, put_file
from tests.support.storage import (
    ADMIN,
    EVE,
    User,
    digest_of,
    fetch,
    opened,
    put_part,
    run_ticket,
    sweeper,
)

JOB = workload_id()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _freeze(user: User, *inputs: Input) -> list[FrozenInput]:
    frozen: Frozen = await user.ask(FreezeInputs(principal=user.principal, inputs=list(inputs)))
    return frozen.inputs


async def _run_downloads(user: User, inputs: list[FrozenInput], owner: str | None = None) -> dict[str, bytes]:
    answer = await user.ask(DownloadRunInputs(ticket=run_ticket(owner or user.principal.subject, JOB), inputs=inputs))
    return {target: (await fetch(url)).content for target, url in answer.urls.items()}


async def _run_upload(user: User, path: str, content: bytes, *, attempt: int = 1) -> FileRecord:
    question = OpenRunUpload(
        ticket=run_ticket(user.principal.subject, JOB, attempt), path=path, size=len(content), sha256=digest_of(content)
    )
    plan: UploadPlan = await user.ask(question)
    return await user.complete(plan, [await put_part(part, content) for part in plan.parts])


# --- who sees what ------------------------------------------------------------------------------------------------


async def test_files_of_others_do_not_exist(ada: User) -> None:
    await ada.put("secret.txt", b"mine")
    eve = User(ada.bus, EVE)
    for owner in (None, ada.principal.subject):
        with pytest.raises(NotFoundError):
            await eve.get("secret.txt", owner)
        with pytest.raises(NotFoundError):
            await eve.ask(DownloadFile(principal=EVE, path="secret.txt", owner=owner))
    with pytest.raises(NotFoundError):
        await eve.page(owner=ada.principal.subject)
    with pytest.raises(NotFoundError):
        await eve.delete("secret.txt")
    assert (await eve.page()).items == []
    with pytest.raises(InvalidError, match="no file"):
        await _freeze(eve, Input(source="secret.txt"))
    assert (await User(ada.bus, ADMIN).get("secret.txt", ada.principal.subject)).sha256 == digest_of(b"mine")


# --- bytes that outlive their name --------------------------------------------------------------------------------


async def test_overwritten_bytes_stay_for_running_jobs_until_the_sweep(ada: User, stored: StorageSettings) -> None:
    await ada.put("in.txt", b"old")
    frozen = await _freeze(ada, Input(source="in.txt"))
    new = await ada.put("in.txt", b"new")
    assert new.key != frozen[0].key
    assert await ada.get("in.txt") == new

    async with opened(stored) as (unit, objects):
        await sweeper(unit, objects).sweep()
        assert await _run_downloads(ada, frozen) == {"in.txt": b"old"}
        assert (await sweeper(unit, objects, retention=0).sweep()).objects
        assert not await objects.exists(frozen[0].key)
        assert await objects.exists(new.key)


async def test_a_deleted_file_is_gone_with_its_bytes_after_the_sweep(ada: User, stored: StorageSettings) -> None:
    record = await ada.put("a.txt", b"x")
    assert await ada.delete("a.txt") == 1
    with pytest.raises(NotFoundError):
        await ada.get("a.txt")
    (event,) = await ada.events(FileDeleted)
    assert (event.owner, event.path, event.key) == (ada.principal.subject, "a.txt", record.key)
    async with opened(stored) as (unit, objects):
        assert await objects.exists(record.key)
        await sweeper(unit, objects, retention=0).sweep()
        assert not await objects.exists(record.key)


# --- deleting -----------------------------------------------------------------------------------------------------


async def test_a_folder_is_deleted_with_all_that_is_in_it_and_nothing_beside_it(ada: User) -> None:
    for path in ("d/a", "d/e/b", "d.txt", "dd/a", "d0"):
        await ada.put(path, path.encode())
    with pytest.raises(NotFoundError):
        await ada.delete("d")
    assert await ada.delete("d", recursive=True) == 2
    assert [file.path for file in (await ada.page()).items] == ["d.txt", "d0", "dd/a"]
    assert {event.path for event in await ada.events(FileDeleted, 2)} == {"d/a", "d/e/b"}


async def test_deleting_nothing_is_refused(ada: User) -> None:
    for recursive in (False, True):
        with pytest.raises(NotFoundError):
            await ada.delete("nothing", recursive=recursive)


async def test_a_redelivered_deletion_deletes_once(ada: User) -> None:
    await ada.put("a.txt", b"x")
    await ada.redeliver(DeleteFile(principal=ada.principal, path="a.txt"), times=3)
    assert len(await ada.events(FileDeleted)) == 1


async def test_users_delete_what_their_jobs_left(ada: User) -> None:
    await _run_upload(ada, "outputs/model.bin", b"weights")
    assert await ada.delete(f"jobs/{JOB}", recursive=True) == 1


async def test_a_very_large_folder_is_deleted_in_several_steps(ada: User, stored: StorageSettings) -> None:
    """Rows are made by hand: only the deletion is of interest."""
    owner = ada.principal.subject
    async with opened(stored) as (unit, _), unit.begin(Context.start("service:test")) as work:
        for number in range(1001):
            file = StoredFile(owner, f"d/{number}", f"{owner}/{number}", 0, "0" * 64, "text/plain", None, now())
            await put_file(work.connection, file, "test")
    assert await ada.delete("d", recursive=True) == 1001
    assert (await ada.page()).items == []


# --- lists --------------------------------------------------------------------------------------------------------


async def test_a_listing_stops_at_folders_and_goes_on_page_by_page(ada: User) -> None:
    for path in ("a/1", "a/2", "a/3", "b", "c/1", "d"):
        await ada.put(path, b"")
    first = await ada.page(recursive=False, limit=2)
    assert ([f.path for f in first.folders], [f.path for f in first.items]) == (["a/"], ["b"])
    second = await ada.page(recursive=False, limit=2, cursor=first.next_cursor)
    assert ([f.path for f in second.folders], [f.path for f in second.items]) == (["c/"], ["d"])
    assert second.next_cursor is None
    assert [f.path for f in (await ada.page(prefix="a/", limit=2)).items] == ["a/1", "a/2"]


async def test_a_cursor_that_is_none_of_ours_is_refused(ada: User) -> None:
    with pytest.raises(InvalidError) as refusal:
        await ada.page(cursor="§")
    assert refusal.value.errors[0].field == "cursor"


# --- runs ---------------------------------------------------------------------------------------------------------


async def test_inputs_are_frozen_with_place_and_checksum(ada: User) -> None:
    one, two = await ada.put("one", b"1"), await ada.put("d/two", b"22")
    frozen = await _freeze(ada, Input(source="d/two", path="in/2"), Input(source="one"), Input(source="one", path="1b"))
    assert [(item.source, item.target, item.key, item.size, item.sha256) for item in frozen] == [
        ("d/two", "in/2", two.key, 2, two.sha256),
        ("one", "one", one.key, 1, one.sha256),
        ("one", "1b", one.key, 1, one.sha256),
    ]
    assert await _run_downloads(ada, frozen) == {"in/2": b"22", "one": b"1", "1b": b"1"}


async def test_folders_are_frozen_file_by_file_the_later_over_the_earlier(ada: User) -> None:
    one, two = await ada.put("d1/a", b"1"), await ada.put("d1/deep/b", b"2")
    await ada.put("d10/a", b"no part of d1")
    three = await ada.put("d2/a", b"3")
    folders = [Input(source=name, path="data", folder=True) for name in ("d1", "d2")]
    frozen = await _freeze(ada, *folders, Input(source="d1/a", path="single"))
    assert {item.target: item.key for item in frozen} == {
        "data/a": three.key,
        "data/deep/b": two.key,
        "single": one.key,
    }
    assert await _run_downloads(ada, frozen) == {"data/a": b"3", "data/deep/b": b"2", "single": b"1"}
    # What comes into the folder afterwards is no part of it.
    await ada.put("d1/late", b"4")
    assert len(frozen) == 3


async def test_a_file_is_no_folder_and_a_beginning_of_a_name_is_none_either(ada: User) -> None:
    await ada.put("d/file", b"1")
    for number, source in enumerate(("d/file", "d/fil", "nowhere")):
        inputs = [Input(source="d", folder=True)] * number + [Input(source=source, path="x", folder=True)]
        with pytest.raises(InvalidError) as refusal:
            await _freeze(ada, *inputs)
        assert refusal.value.errors[0].field == f"inputs.{number}.source"


async def test_an_output_goes_into_the_folder_that_its_job_names(ada: User) -> None:
    ticket = run_ticket(ada.principal.subject, JOB, folders=["artifact/first"])
    content = b"weights"
    question = OpenRunUpload(
        ticket=ticket, path="outputs/model/w", to="artifact/first", size=len(content), sha256=digest_of(content)
    )
    plan: UploadPlan = await ada.ask(question)
    stored = await ada.complete(plan, [await put_part(part, content) for part in plan.parts])
    assert stored.path == "artifact/first/model/w"
    with pytest.raises(InvalidError):
        await ada.ask(question.model_copy(update={"to": "artifact"}))


async def test_a_missing_input_is_named_by_its_place(ada: User) -> None:
    await ada.put("there", b"1")
    with pytest.raises(InvalidError) as refusal:
        await _freeze(ada, Input(source="there"), Input(source="nowhere"))
    (error,) = refusal.value.errors
    assert (error.field, error.message) == ("inputs.1.source", "there is no file nowhere")


async def test_a_runner_reaches_only_what_is_its_owners(ada: User) -> None:
    await ada.put("in", b"1")
    frozen = await _freeze(ada, Input(source="in"))
    with pytest.raises(NotFoundError):
        await _run_downloads(ada, frozen, owner=EVE.subject)
    with pytest.raises(ForbiddenError):
        await ada.ask(DownloadRunInputs(ticket="made up", inputs=frozen))


async def test_a_runner_brings_outputs_and_logs_home(ada: User) -> None:
    output = await _run_upload(ada, "outputs/model.txt", b"weights")
    await _run_upload(ada, "logs/2/stdout", b"", attempt=2)

    assert output.path == f"jobs/{JOB}/outputs/model.txt"
    assert {file.path for file in (await ada.page(prefix=f"jobs/{JOB}/")).items} == {
        f"jobs/{JOB}/outputs/model.txt",
        f"jobs/{JOB}/logs/2/stdout",
    }
    assert {event.workload_id for event in await ada.events(FileStored, 2)} == {JOB}
    assert await _run_downloads(ada, await _freeze(ada, Input(source=output.path))) == {"model.txt": b"weights"}


async def test_a_runner_writes_nowhere_else(ada: User) -> None:
    for path in ("elsewhere/a", "logs/1/stdout", "logs/22/stdout", "outputs"):
        with pytest.raises(InvalidError, match="must begin"):
            await _run_upload(ada, path, b"", attempt=2)


async def test_an_output_that_never_came_can_still_come(ada: User) -> None:
    question = OpenRunUpload(
        ticket=run_ticket(ada.principal.subject, JOB), path="outputs/a", size=1, sha256=digest_of(b"a")
    )
    plan: UploadPlan = await ada.ask(question)
    with pytest.raises(InvalidError, match="nothing has been uploaded"):
        await ada.complete(plan)
    await put_part(plan.parts[0], b"a")
    record: FileRecord = await ada.order(CompleteUpload(ticket=plan.ticket))
    assert record.sha256 == digest_of(b"a")
