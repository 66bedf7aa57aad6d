"""The life of one pilot: from the first word to the scheduler until all is told."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .crew import FENCED, Crew
from .link import Address, Link, complain
from .system import become_subreaper
from .words import Orders

if TYPE_CHECKING:
    from .means import Means

__all__ = ["serve"]

_LATER = ("census", "process", "gpus", "views", "means", "output", "finishing", "attempt")
"""What is loaded while the scheduler looks for its first answer."""

_TURNS = 4
"""Of the loop, after which a first question is on its way."""


async def serve(given: Mapping[str, str], folder: str) -> int:
    """Work until there is nothing to do any more; returns the exit code of the native job."""
    become_subreaper()
    name, token = given["SHUNTER_PILOT_NAME"], given["SHUNTER_PILOT_TOKEN"]
    link = Link(Address(given["SHUNTER_NATS_URL"], name, token, given.get("SHUNTER_CA", "")))
    crew = Crew(link=link, token=token, incarnation=os.urandom(16).hex())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, crew.interrupt)
    link.start(crew.answer)
    try:
        orders = await _first(crew, link)
        if orders.over or (orders.task is None and not orders.more):
            complain("there is nothing to do here (any more)")
            return FENCED
        return await crew.work(_means(link, orders, given, folder), orders)
    finally:
        await link.close()


async def _first(crew: Crew, link: Link) -> Orders:
    """Return the first orders; none if the cluster wants its room back before they come."""
    asking, leaving = asyncio.ensure_future(crew.ask()), asyncio.ensure_future(crew.leaving.wait())
    loading = asyncio.ensure_future(_load(link))
    try:
        await asyncio.wait({asking, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return asking.result() if asking.done() else Orders(over=True)
    finally:
        asking.cancel()
        leaving.cancel()
        loading.cancel()


async def _load(link: Link) -> None:
    """Load what is needed next as soon as there is a question to wait for; whatever is not loaded is so when used."""
    await link.returned.wait()
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    for name in _LATER:
        import_module(f".{name}", __package__)


def _means(link: Link, orders: Orders, given: Mapping[str, str], folder: str) -> Means:
    from .census import Census
    from .gpus import detect
    from .means import Means
    from .views import Views

    mounted = given.get("SHUNTER_PILOT_FILES", "")
    return Means(
        link=link,
        terms=orders.terms,
        backend=orders.backend,
        work=Path(folder),
        given=given,
        census=Census(),
        gpus=detect(given),
        views=Views(orders.terms.files, mounted),
        mounted=mounted,
        ca=given.get("SHUNTER_CA", ""),
    )
