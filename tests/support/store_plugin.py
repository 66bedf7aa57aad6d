"""Which stores the tests of services use, and what pytest says of that at the end.

In tests/integration a test uses small servers of its own, or, with `--stores=containers`, an account, databases and
buckets of its own on one NATS of three servers, one PostgreSQL and one S3 in containers. Those marked `own_stores` keep
servers of their own; why, their mark says.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .docker_engine import EngineAbsentError
from .postgres import stop_postgres
from .store_containers import Places, StoreContainers
from .stores import Stores, choose

__all__ = [
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure_node",
    "pytest_fixture_setup",
    "pytest_runtest_call",
    "pytest_runtest_protocol",
    "pytest_runtest_teardown",
    "pytest_sessionfinish",
    "pytest_sessionstart",
    "pytest_terminal_summary",
]

_ON = pytest.StashKey[StoreContainers]()
_STORES = pytest.StashKey[Stores]()
_WHY_NOT = pytest.StashKey[str]()
_FIXTURES = pytest.StashKey[set[str]]()
"""Those of a node that stand on the containers."""
_MODULES = Path(__file__).resolve().parents[1] / "integration"
_PROPERTY = "stores"
_CONTAINERS, _NONE = "in containers", "none"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice."""
    parser.addoption(
        "--stores",
        choices=["own", "containers", "best"],
        default="own",
        help="tests/integration on small servers of each test's own; on NATS thrice, PostgreSQL and S3 in containers"
        " (skipped where there can be none); or on the best of both that this machine can have",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the containers, in the process that started all others."""
    config = session.config
    told = getattr(config, "workerinput", {}).get(_PROPERTY)
    if told is not None:
        _take(config, told)
    elif config.getoption("--stores") != "own" and not hasattr(config, "workerinput"):
        containers = StoreContainers()
        try:
            containers.start()
        except EngineAbsentError as error:
            config.stash[_WHY_NOT] = str(error)
            return
        config.stash[_ON] = containers
        _use(config, containers.places)


def _take(config: pytest.Config, told: dict[str, Any]) -> None:
    if told["why_not"]:
        config.stash[_WHY_NOT] = told["why_not"]
    else:
        _use(config, Places.load(told["places"]), (told["number"], told["count"]))


def _use(config: pytest.Config, places: Places, share: tuple[int, int] = (0, 1)) -> None:
    found = config.stash[_STORES] = Stores(places, share)
    choose(found)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell another process of this run where they listen, and which accounts are its own."""
    config: pytest.Config = node.config
    containers = config.stash.get(_ON, None)
    if config.getoption("--stores") != "own":
        node.workerinput[_PROPERTY] = {
            "why_not": config.stash.get(_WHY_NOT, ""),
            "places": containers.places.dump() if containers else "",
            "number": int(node.gateway.id.removeprefix("gw")),
            "count": node.workerinput["workercount"],
        }


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop them, and what else the tests of this process shared."""
    asyncio.run(stop_postgres())
    containers = session.config.stash.get(_ON, None)
    if containers is not None:
        containers.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is wished on containers where there can be none."""
    why = config.stash.get(_WHY_NOT, "")
    if why and config.getoption("--stores") == "containers":
        for item in items:
            item.add_marker(pytest.mark.skip(reason=f"there are no containers here: {why}"))


# --- Each test ------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Say whether a test uses the containers, and note whether it did."""
    found = item.config.stash.get(_STORES, None)
    if found is None or not item.path.is_relative_to(_MODULES):
        return (yield)
    mark = item.get_closest_marker("own_stores")
    found.active = mark is None
    try:
        return (yield)
    finally:
        found.active = False


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Remember which fixtures stand on the containers: one of a module serves many tests."""
    found = request.config.stash.get(_STORES, None)
    before = found.uses if found else 0
    try:
        return (yield)
    finally:
        if found and found.uses > before:
            request.node.stash.setdefault(_FIXTURES, set()).add(fixturedef.argname)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Note what a test stood on."""
    found = item.config.stash.get(_STORES, None)
    before = found.uses if found else 0
    try:
        return (yield)
    finally:
        if found and item.path.is_relative_to(_MODULES):
            item.user_properties.append((_PROPERTY, _kind(item, used=found.uses > before)))


def _kind(item: pytest.Item, *, used: bool) -> str:
    if mark := item.get_closest_marker("own_stores"):
        return str(mark.args[0])
    for node in item.listchain():
        used |= not node.stash.get(_FIXTURES, set()).isdisjoint(getattr(item, "fixturenames", ()))
    return _CONTAINERS if used else _NONE


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Drop the databases of a module when it is over."""
    try:
        return (yield)
    finally:
        found = item.config.stash.get(_STORES, None)
        if found and found.has_made and (nextitem is None or nextitem.path != item.path):
            # A thread's own loop: what pytest-asyncio keeps for later tests is left alone.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, found.tidy()).result()


# --- What is said -----------------------------------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many tests of services ran on which stores, and why some have their own."""
    say = terminalreporter.write_line
    if why := config.stash.get(_WHY_NOT, ""):
        say(f"stores: NO CONTAINERS HERE ({why})")
    if _ON not in config.stash:
        if config.getoption("--stores") != "containers":
            say("stores: tests of services had small servers of their own (`make test STORES=best`: production's)")
        return
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    kinds = Counter(value for report in reports for name, value in report.user_properties if name == _PROPERTY)
    say(f"stores: {kinds.pop(_CONTAINERS, 0)} tests of services on NATS thrice, PostgreSQL and S3 in containers")
    say(f"stores: {kinds.pop(_NONE, 0)} need none")
    for why, count in kinds.most_common():
        say(f"stores: {count} with their own: {why}")
