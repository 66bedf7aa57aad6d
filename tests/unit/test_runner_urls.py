"""A job with thousands of inputs asks for their URLs as they are needed."""

from __future__ import annotations

from typing import Any, cast

import pytest

from contracts.errors import InvalidError
from contracts.queries import DownloadRunInputs, RunDownloads
from contracts.runs import FrozenInput
from services.scheduler.runner.urls import FRESH_URLS, Urls


class _Link:
    """Storage, which counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def ask(self, query: DownloadRunInputs) -> RunDownloads:
        self.asked.append(len(query.inputs))
        number = len(self.asked)
        return RunDownloads(urls={item.target: f"{item.key}?{number}" for item in query.inputs})


def _inputs(count: int) -> list[FrozenInput]:
    return [FrozenInput(source=f"s{n}", target=f"t{n}", key=f"k{n}", size=1, sha256="0" * 64) for n in range(count)]


async def test_urls_come_some_at_a_time_and_each_once() -> None:
    link, inputs = _Link(), _inputs(1201)
    urls = Urls(cast(Any, link), "ticket", inputs)
    assert [await urls.of(item) for item in inputs] == [f"k{n}?{n // 500 + 1}" for n in range(1201)]
    assert link.asked == [500, 500, 201]


async def test_what_is_too_old_is_asked_for_anew_until_it_is_clear_that_it_is_refused() -> None:
    link, inputs = _Link(), _inputs(600)
    urls = Urls(cast(Any, link), "ticket", inputs)
    await urls.of(inputs[0])
    for number in range(2, FRESH_URLS + 1):
        urls.forget(inputs[1])
        assert await urls.of(inputs[1]) == f"k1?{number}"
    with pytest.raises(InvalidError, match="input t1"):
        urls.forget(inputs[1])
    assert await urls.of(inputs[599]) == f"k599?{FRESH_URLS + 1}"  # others are not judged by it
