"""However a connection to the store gets lost, it is the day that is bad and not the job."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.errors import UnavailableError
from contracts.files import Part
from contracts.runs import FrozenInput, RunTask
from services.gateway import transfer as gateway
from services.scheduler.runner.transfer import Transfer
from tests.support.rest import Stream

_LOST: list[Exception] = [
    httpx.ConnectError("refused"),
    httpx.ReadError("reset"),
    # httpcore over anyio, when the reset comes between the connection and its first use
    AttributeError("'NoneType' object has no attribute 'getpeername'"),
]
_SHA = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def _client(*answers: Exception | bytes) -> httpx.AsyncClient:
    left = deque(answers)

    def handle(_: httpx.Request) -> httpx.Response:
        answer = left.popleft()
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(200, stream=Stream(answer))

    return httpx.AsyncClient(transport=httpx.MockTransport(handle))


class _Link:
    """Storage, as far as a runner asks it for inputs."""

    async def ask(self, question: Any) -> Any:
        class Answer:
            urls = {item.target: "http://store.test/object" for item in question.inputs}

        return Answer()


@pytest.mark.parametrize("lost", _LOST, ids=lambda error: type(error).__name__)
async def test_a_runner_fetches_again(lost: Exception, tmp_path: Path) -> None:
    task = RunTask(workload_id="job-" + "1" * 32, attempt=1, owner="ann", walltime=60, ticket="ticket")
    item = FrozenInput(source="a", target="a.txt", key="ann/1", size=5, sha256=_SHA)
    async with _client(lost, b"hello") as http:
        transfer = Transfer(link=_Link(), http=http, task=task, patience=30, parallel=1)  # type: ignore[arg-type]
        await transfer.fetch([item], tmp_path, tmp_path)
    assert (tmp_path / "a.txt").read_bytes() == b"hello"


@pytest.mark.parametrize("lost", _LOST, ids=lambda error: type(error).__name__)
async def test_the_gateway_says_that_the_store_is_away(lost: Exception) -> None:
    async with _client(lost, lost) as http:
        with pytest.raises(UnavailableError, match="does not answer"):
            await gateway.Transfer(http).open("http://store.test/object")
        part = Part(number=1, offset=0, size=0, url="http://store.test/part")
        with pytest.raises(UnavailableError, match="does not answer"):
            await gateway.Transfer(http).put(part, gateway.Body(_nothing()))


async def _nothing() -> AsyncIterator[bytes]:
    for piece in list[bytes]():
        yield piece
