"""Jobs' records as the scheduler wrote them: passed on as they are, and read only as far as an answer needs it."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any

import orjson

from contracts.states import WorkloadState
from contracts.workloads import Workload

from .links import Linker

__all__ = ["JobRecord", "RecordPage"]


class JobRecord:
    """The JSON of a `Workload`. Whoever wrote it has checked it; to check it again costs more than all the rest."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @cached_property
    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = orjson.loads(self.raw)
        return fields

    @property
    def id(self) -> str:
        """Return the job's identifier."""
        return str(self._fields["id"])

    @property
    def revision(self) -> int:
        """Return how many moves it has made."""
        return int(self._fields["revision"])

    @property
    def batch(self) -> int:
        """Return how many batches of tasks of an array have moved."""
        return int((self._fields.get("tasks") or {}).get("batch", 0))

    @property
    def state(self) -> WorkloadState:
        """Return where it stands."""
        return WorkloadState(self._fields["state"])

    @property
    def created_at(self) -> datetime:
        """Return when it was let in."""
        return datetime.fromisoformat(self._fields["created_at"])

    def to_workload(self) -> Workload:
        """Read all of it."""
        return Workload.model_validate_json(self.raw, extra="ignore")

    def with_links(self, links: bytes) -> bytes:
        """Return the JSON that users see: the record and where to go from it."""
        return b"".join((self.raw[:-1], b',"links":', links, b"}"))


class RecordPage:
    """The JSON of a `WorkloadPage`."""

    def __init__(self, raw: bytes) -> None:
        self._fields: dict[str, Any] = orjson.loads(raw)

    @property
    def items(self) -> list[dict[str, Any]]:
        """Return the records, as they were written."""
        items: list[dict[str, Any]] = self._fields["items"]
        return items

    @property
    def next_cursor(self) -> str | None:
        """Return where the next page begins."""
        cursor: str | None = self._fields.get("next_cursor")
        return cursor

    def with_links(self, linker: Linker) -> bytes:
        """Return the JSON that users see."""
        items = [{**item, "links": orjson.Fragment(linker.json_of(item["id"]))} for item in self._fields["items"]]
        return orjson.dumps({"items": items, "next_cursor": self.next_cursor})
