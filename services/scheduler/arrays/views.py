"""Shows the tasks of arrays; those that never had their turn have no rows and are made up here."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable

from contracts.errors import InvalidError, NotFoundError
from contracts.principals import Principal
from contracts.queries import GetTask, ListTasks, TaskPage
from contracts.ranges import Ranges
from contracts.states import Reason, WorkloadState
from contracts.tasks import Task, TaskState
from services.chassis.unit import UnitOfWork
from services.scheduler.records import Record

from . import store
from .bundling import array_of
from .keeping import Keeping

__all__ = ["ArrayViews"]

_CURSOR = re.compile(r"t[0-9]{1,9}")
_FIELDS = tuple(name for name in Task.model_fields if name not in {"item", "outputs", "logs"})

FindVisible = Callable[[Principal, str], Awaitable[Record]]


class ArrayViews:
    """Answers questions about tasks."""

    def __init__(self, *, unit: UnitOfWork, find_visible: FindVisible) -> None:
        self._unit = unit
        self._find_visible = find_visible
        self._keeping = Keeping()

    async def page(self, query: ListTasks) -> TaskPage:
        """Return some tasks by their number."""
        row = await self._array(query.principal, query.workload_id)
        start = 0 if query.cursor is None else _read_cursor(query.cursor)
        look = query.limit + 1
        async with self._unit.reading() as connection:
            kept = await store.find_array(connection, row["id"])
            states = [state.value for state in query.states]
            found = await store.page_of_tasks(connection, row["id"], states, start, look)
            rows = {item["index"]: dict(item) for item in found}
            for index in _without_rows(row, kept, query, start, look - len(rows)):
                rows[index] = _made_up(row, kept, index)
            items = await self._keeping.items(connection, kept)
        shown = sorted(rows)[: query.limit]
        more = _write_cursor(sorted(rows)[query.limit]) if len(rows) > query.limit else None
        return TaskPage(items=[_task(rows[index], items) for index in shown], next_cursor=more)

    async def get(self, query: GetTask) -> Task:
        """Return one task."""
        row = await self._array(query.principal, query.workload_id)
        async with self._unit.reading() as connection:
            kept = await store.find_array(connection, row["id"])
            found = await store.find_task(connection, row["id"], query.index)
            items = await self._keeping.items(connection, kept)
        if found is None and query.index not in array_of(row).tasks:
            raise NotFoundError(f"{query.workload_id} has no task {query.index}")
        return _task(dict(found) if found else _made_up(row, kept, query.index), items)

    async def _array(self, principal: Principal, workload_id: str) -> Record:
        row = await self._find_visible(principal, workload_id)
        if row["tasks"] is None:
            raise NotFoundError(f"{workload_id} is no array and has no tasks")
        return row


def _without_rows(row: Record, kept: Record, query: ListTasks, start: int, limit: int) -> list[int]:
    """Return some tasks that were never handed out, from the number *start* on."""
    if limit <= 0:
        return []
    numbers = array_of(row).tasks
    left = numbers.after(kept["position"])
    withdrawn = Ranges.parse(kept["withdrawn"]) & numbers if kept["withdrawn"] else Ranges(())
    # What was canceled before its turn has no row either, on whichever side of the position it lies.
    both = left | withdrawn
    wanted = set(query.states)
    found: list[int] = []
    for first, last in both.runs:
        for index in range(max(first, start), last + 1):
            if not wanted or _state_of(row, withdrawn, index) in wanted:
                found.append(index)
                if len(found) == limit:
                    return found
    return found


def _state_of(row: Record, withdrawn: Ranges, index: int) -> TaskState:
    over = WorkloadState(row["state"]).is_terminal
    return TaskState.CANCELED if over or index in withdrawn else TaskState.PENDING


def _made_up(row: Record, kept: Record, index: int) -> Record:
    withdrawn = Ranges.parse(kept["withdrawn"]) if kept["withdrawn"] else Ranges(())
    state = _state_of(row, withdrawn, index)
    reason = Reason.CANCELED.value if state is TaskState.CANCELED else None
    return {
        **dict.fromkeys(_FIELDS),
        "index": index,
        "state": state.value,
        "attempt": 0,
        "message": "",
        "reason": reason,
    }


def _task(row: Record, items: list[str] | None) -> Task:
    values = {name: row[name] for name in _FIELDS}
    item = items[row["index"]] if items else None
    return Task.model_validate(
        {**values, "item": item, "outputs": row.get("outputs") or [], "logs": row.get("logs") or []}, extra="ignore"
    )


def _write_cursor(index: int) -> str:
    return base64.urlsafe_b64encode(f"t{index}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, binascii.Error):
        text = ""
    if not _CURSOR.fullmatch(text):
        raise InvalidError.of("cursor", "this is no cursor of this list")
    return int(text[1:])
