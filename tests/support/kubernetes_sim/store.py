"""The objects of a simulated cluster: versions, uids, finalizers, and a history for those who watch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

__all__ = ["Happened", "Key", "Obj", "Store", "stamp"]

Obj = dict[str, Any]
Key = tuple[str, str, str]
"""Plural, namespace, name."""
Happened = tuple[int, str, str, Obj]
"""Version, type, plural, the object as it was then."""


def stamp(after: float = 0.0) -> str:
    """Return the present, or what comes after it, as the API writes it."""
    return (datetime.now(UTC) + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """All objects. Whoever changes one says so by `touch`."""

    def __init__(self, minor: int = 36, remembered: int = 10_000) -> None:
        self.minor = minor
        """The release, `1.minor`, as which the whole cluster behaves."""
        self.objects: dict[Key, Obj] = {}
        self.version = 1000
        self.history: deque[Happened] = deque(maxlen=remembered)
        self.forgotten = self.version
        """The version before which nobody can begin to watch."""
        self._listeners: set[asyncio.Queue[Happened]] = set()

    def of(self, plural: str, namespace: str = "") -> list[Obj]:
        """Return all of a kind, or those of a namespace."""
        return [item for key, item in self.objects.items() if key[0] == plural and namespace in {"", key[1]}]

    def get(self, plural: str, namespace: str, name: str) -> Obj | None:
        """Return one."""
        return self.objects.get((plural, namespace, name))

    def add(self, plural: str, item: Obj) -> Obj:
        """Take in a new one."""
        meta = item["metadata"]
        meta |= {"uid": str(uuid4()), "creationTimestamp": stamp(), "generation": 1}
        item.setdefault("status", {})
        self.objects[plural, meta.get("namespace", ""), meta["name"]] = item
        self._say("ADDED", plural, item)
        return item

    def touch(self, plural: str, item: Obj) -> None:
        """Note that one was changed; it goes when nothing keeps it any more."""
        meta = item["metadata"]
        key = (plural, meta.get("namespace", ""), meta["name"])
        if self.objects.get(key) is not item:
            return
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            del self.objects[key]
            self._say("DELETED", plural, item)
        else:
            self._say("MODIFIED", plural, item)

    def delete(self, plural: str, item: Obj, grace: float = 0.0) -> None:
        """Have one go; at once, unless finalizers keep it."""
        item["metadata"].setdefault("deletionTimestamp", stamp(grace))
        self.touch(plural, item)

    def forget(self) -> None:
        """Forget what has happened: who watches has to list anew."""
        self.forgotten = self.version
        self.history.clear()

    def listen(self) -> asyncio.Queue[Happened]:
        """Hear of everything that happens from now on."""
        queue: asyncio.Queue[Happened] = asyncio.Queue()
        self._listeners.add(queue)
        return queue

    def leave(self, queue: asyncio.Queue[Happened]) -> None:
        """Hear no more."""
        self._listeners.discard(queue)

    def since(self, version: int) -> Iterator[Happened]:
        """Return what happened after a version."""
        return (happened for happened in list(self.history) if happened[0] > version)

    def _say(self, kind: str, plural: str, item: Obj) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        if len(self.history) == self.history.maxlen:
            self.forgotten = self.history[0][0]
        happened = (self.version, kind, plural, deepcopy(item))
        self.history.append(happened)
        for queue in self._listeners:
            queue.put_nowait(happened)
