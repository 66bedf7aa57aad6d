"""A copy of the cluster's objects that are ours, kept fresh by a watch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Generic, TypeVar

import structlog

from contracts.errors import ShunterError, UnavailableError

from .cluster import Cluster
from .errors import AnswerError, translated, unavailable
from .kinds import Kind
from .records import Record, Status

__all__ = ["Mirror"]

R = TypeVar("R", bound=Record)

_log = structlog.get_logger(__name__)
_REMEMBERED = 1000


class Mirror(Generic[R]):
    """All objects of one kind, by uid: listed once, then a watch tells what changes, and goes on where it was."""

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        model: type[R],
        *,
        namespace: str | None,
        labels: str,
        changed: Callable[[R, bool], None],
        pause: float,
    ) -> None:
        self.items: dict[str, R] = {}
        self._cluster = cluster
        self._kind = kind
        self._model = model
        self._namespace = namespace
        self._labels = labels
        self._changed = changed
        self._pause = pause
        self._version = ""
        self._trouble: ShunterError | None = None
        self._heard = asyncio.Event()
        self._put: dict[str, R] = {}
        self._gone: deque[str] = deque(maxlen=_REMEMBERED)

    async def run(self) -> None:
        """Keep the copy fresh, for ever."""
        while True:
            try:
                with translated():
                    await self._list()
                    await self._follow()
            except ShunterError as error:
                self._stumble(error)
            except Exception as error:  # noqa: BLE001 (a mirror that ends shows old news for ever)
                # Whatever it was, what we knew grows old, and the next list may come through.
                _log.exception("cluster.failed", kind=str(self._kind))
                self._stumble(unavailable(error))
            await asyncio.sleep(self._pause)

    async def fresh(self, patience: float) -> None:
        """Return when the copy is one; raises what stands in the way."""
        try:
            await asyncio.wait_for(self._heard.wait(), patience)
        except TimeoutError:
            raise UnavailableError(
                f"the cluster has not said yet what {self._kind} there are", retry_after=5.0
            ) from None
        if self._trouble is not None:
            raise UnavailableError(self._trouble.detail, retry_after=self._trouble.retry_after)

    def put(self, item: R) -> None:
        """Take in what we have just made: the watch may be slower than we are."""
        uid = item.metadata.uid
        if uid not in self._gone and uid not in self.items:
            self._put[uid] = self.items[uid] = item
            self._changed(item, False)

    def _stumble(self, error: ShunterError) -> None:
        if self._trouble is None:
            _log.warning("cluster.trouble", kind=str(self._kind), reason=error.detail)
        self._trouble = error
        self._heard.set()

    def _settle(self) -> None:
        self._trouble = None
        self._heard.set()

    async def _list(self) -> None:
        self._put.clear()
        found, self._version = await self._cluster.list(
            self._kind, self._model, namespace=self._namespace, labels=self._labels
        )
        listed = {item.metadata.uid: item for item in found}
        for uid in self.items.keys() - listed.keys() - self._put.keys():
            self._changed(self.items.pop(uid), True)
        for uid, item in listed.items():
            if self.items.get(uid) != item:
                self.items[uid] = item
                self._changed(item, False)
        self._settle()

    async def _follow(self) -> None:
        """Watch until the server no longer knows where we were, or does not let us."""
        while True:
            begun, connected = monotonic(), False
            try:
                watch = self._cluster.watch(self._kind, self._version, namespace=self._namespace, labels=self._labels)
                async with watch as happenings:
                    connected = True
                    self._settle()
                    async for happening in happenings:
                        self._take(*happening)
            except AnswerError as error:
                # Too old a version, or we are not let watch: everything is listed again, and that says what is wrong.
                _log.info("cluster.unwatched", kind=str(self._kind), reason=str(error))
                return
            except UnavailableError:
                if not connected:
                    raise
            if monotonic() - begun < self._pause:
                await asyncio.sleep(self._pause)

    def _take(self, kind: str, found: Any) -> None:
        if kind == "ERROR":
            status = Status.model_validate(found)
            raise AnswerError("WATCH", self._kind.path(), status)
        if kind == "BOOKMARK":
            self._version = Record.model_validate(found).metadata.resource_version
            return
        item = self._model.model_validate(found)
        self._version = item.metadata.resource_version
        uid = item.metadata.uid
        if kind == "DELETED":
            self._gone.append(uid)
            self.items.pop(uid, None)
            self._changed(item, True)
        else:
            self.items[uid] = item
            self._changed(item, False)
