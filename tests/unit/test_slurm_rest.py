"""slurmrestd of versions that cannot be run here, played as their published descriptions say."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.errors import RefusedError, UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.base import EngineMeans, Launch, Native, NativeState, Order
from services.scheduler.backends.engines.slurm.batch import Batch, Limits, batches_of
from services.scheduler.backends.engines.slurm.bodies import job_of, nodes_of, partitions_of, rows_of, told
from services.scheduler.backends.engines.slurm.by_rest import RestDoor
from services.scheduler.backends.engines.slurm.choices import choose
from services.scheduler.backends.engines.slurm.engine import SlurmEngine
from services.scheduler.backends.engines.slurm.nodes import capacity_of, limits_of
from services.scheduler.backends.engines.slurm.rows import Row, seen_of
from services.scheduler.backends.engines.slurm.settings import RestSettings, SlurmSettings
from services.scheduler.backends.engines.slurm.tokens import has_run_out
from services.scheduler.backends.engines.slurm.versions import choose_version, offered_versions

NEWER = range(39, 45)
_AT = 1795722373
_SETTINGS = SlurmSettings(work="/w", rest=RestSettings(url="http://rest"))


def number(value: int | None, *, infinite: bool = False) -> dict[str, Any]:
    """Say a number as versions since 0.0.39 do."""
    return {"set": value is not None, "infinite": infinite, "number": value or 0}


def job(version: int, name: str, *states: str, code: int = 0, signal: int = 0, **more: Any) -> dict[str, Any]:
    """Say of a job what a version of the API says of it in the queue."""
    common = {"job_id": 7, "name": name, "nodes": "n1", "state_reason": "None", "restart_cnt": 0, "comment": "s1"}
    if version == 38:
        exit_code: Any = code << 8 | signal
        own = {"job_state": states[0], "submit_time": _AT, "exit_code": exit_code, "state_description": ""}
    elif version == 39:
        exit_code = {"status": "ERROR", "return_code": code, "signal": {"signal_id": signal, "name": "NONE"}}
        own = {"job_state": states[0], "submit_time": _AT, "exit_code": exit_code, "state_description": ""}
    else:
        parts = {"id": number(signal), "name": "NONE"}
        exit_code = {"status": ["ERROR"], "return_code": number(code), "signal": parts}
        own = {"job_state": list(states), "submit_time": number(_AT), "exit_code": exit_code, "state_description": ""}
    return common | own | more


def ended_job(version: int, name: str, state: str, code: int) -> dict[str, Any]:
    """Say of a job what a version of the API says of it in the accounting."""
    found = job(version, name, state, code=code)
    states: Any = state if version < 40 else [state]
    shared = {key: found[key] for key in ("job_id", "name", "nodes", "exit_code")}
    times = {"submission": _AT, "start": _AT + 1, "end": _AT + 2}
    comment = {"administrator": "", "job": "s1", "system": ""}
    return shared | {"state": {"current": states, "reason": "None"}, "time": times, "comment": comment}


def node(version: int) -> dict[str, Any]:
    """Say of a node what a version of the API says of it."""
    gres = {"gres": "gpu:a100:2(S:0-1)", "gres_used": "gpu:a100:1(IDX:0)"}
    common = {"name": "n1", "cpus": 4, "alloc_cpus": 1, "real_memory": 4000, "alloc_memory": 1000, "reason": "", **gres}
    state: Any = "idle" if version == 38 else ["MIXED", "DYNAMIC_NORM"]
    return common | {"state": state, "partitions": ["main"]} | ({"state_flags": []} if version == 38 else {})


def partition(version: int, minutes: int | None) -> dict[str, Any]:
    """Say of a partition what a version of the API says of it."""
    if version == 38:
        limit = -1 if minutes is None else minutes
        return {"name": "main", "state": "UP", "max_time_limit": limit, "flags": ["default"]}
    limit_now = number(minutes, infinite=minutes is None)
    return {"name": "main", "partition": {"state": ["UP"]}, "maximums": {"time": limit_now}}


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [38, *NEWER])
def test_a_job_of_any_version_is_read_alike(version: int) -> None:
    jobs = [
        job(version, "s1-a", "FAILED", code=3),
        job(version, "s1-b", "FAILED", signal=9),
        job(version, "s1-c", "PENDING", state_reason="Resources", nodes=""),
        job(version, "s1-d", "RUNNING", restart_cnt=1),
    ]
    rows = list(rows_of({"jobs": jobs}))
    seen = [seen_of(row, row.name, row.job) for row in rows]
    assert [(one.state.value, one.exit_code, one.ending) for one in seen] == [
        ("ended", 3, None),
        ("ended", 137, None),
        ("waiting", None, None),
        ("ended", None, Reason.INTERRUPTED),
    ]
    assert {(row.job, row.submitted, row.comment) for row in rows} == {("7", _AT, "s1")}


@pytest.mark.parametrize(
    ("states", "state", "ending"),
    [
        (("COMPLETED", "COMPLETING"), NativeState.RUNNING, None),
        (("RUNNING", "CONFIGURING", "POWER_UP_NODE"), NativeState.RUNNING, None),
        (("PENDING", "REQUEUE_HOLD"), NativeState.WAITING, None),
        (("NODE_FAIL",), NativeState.ENDED, Reason.LOST),
        (("CANCELLED", "SIGNALING"), NativeState.ENDED, Reason.CANCELED),
        (("OUT_OF_MEMORY",), NativeState.ENDED, Reason.MEMORY),
    ],
)
def test_a_state_has_flags_beside_it(states: tuple[str, ...], state: NativeState, ending: Reason | None) -> None:
    (row,) = rows_of({"jobs": [job(43, "s1-a", *states)]})
    seen = seen_of(row, row.name, row.job)
    assert (seen.state, seen.ending) == (state, ending)


@pytest.mark.parametrize("version", [38, *NEWER])
def test_the_accounting_of_any_version_is_read_alike(version: int) -> None:
    (row,) = rows_of({"jobs": [ended_job(version, "s1-a", "TIMEOUT", 0)]})
    assert (row.state, row.submitted, row.name, row.comment) == ("TIMEOUT", _AT, "s1-a", "")


@pytest.mark.parametrize("version", [38, *NEWER])
def test_room_is_read_alike(version: int) -> None:
    for minutes in (None, 10):
        partitions = partitions_of({"partitions": [partition(version, minutes)]})
        nodes = list(nodes_of({"nodes": [node(version)]}, partitions))
        assert limits_of(nodes)["main"] == minutes
        room = capacity_of(nodes, running=0, queued=0)
        assert (room.cpus, room.cpus_free, room.memory_free) == (4, 3, 3000 * 2**20)
        assert (room.gpus, room.gpus_free, room.gpu_models) == (2, 1, ("a100",))


@pytest.mark.parametrize("flag", ["DRAIN", "INVALID_REG", "BLOCKED", "NOT_RESPONDING", "REBOOT_ISSUED"])
def test_a_node_that_takes_no_work_is_left_out(flag: str) -> None:
    nodes = list(nodes_of({"nodes": [node(43) | {"state": ["IDLE", flag]}]}, {"main": (None, True, "UP")}))
    with pytest.raises(UnavailableError, match=f"n1 is .*{flag.lower()}"):
        capacity_of(nodes, running=0, queued=0)


def test_errors_are_said_with_the_words_of_the_controller() -> None:
    inner = "Unable to contact slurm controller (connect failure)"
    assert told({"errors": [{"error_code": 1800, "error": inner}]}) == inner
    general = "Batch job submission failed"
    assert told({"errors": [{"description": general, "error_number": 1800, "error": inner}]}) == f"{general}: {inner}"
    assert told({"errors": [{"description": f"{general}: {inner}", "error": inner}]}) == f"{general}: {inner}"


# --- what is said ----------------------------------------------------------------------------------------------------


def _order(name: str = "s1-a", **more: Any) -> Order:
    return Order(name, "ada", "lab", "t", Launch("#!/bin/sh\n", {"A": "b"}, Path("/p")), 1, 2**20, 1, 600, **more)


def _batch(**more: Any) -> Batch:
    order = _order(options={"exclusive": True, "nodelist": "n1", "gres": "nvme:1"}, **more)
    limits = Limits(site="s1", last_words=60, over_time=0, largest_array=2, partitions={})
    (batch,) = batches_of([(order, choose(order, _SETTINGS))], limits)
    return batch


@pytest.mark.parametrize("version", NEWER)
def test_a_job_is_submitted_in_the_words_of_the_version(version: int) -> None:
    said = job_of(_batch(), work="/w", path="/bin", version=version)["job"]
    assert isinstance(said, dict)
    assert said["environment"] == ["PATH=/bin", "A=b"]
    assert (said["time_limit"], said["memory_per_node"]) == (number(12), number(1))
    assert (said["tres_per_node"], said["required_nodes"]) == ("gres/gpu:1,gres/nvme:1", ["n1"])
    assert (said["shared"], "exclusive" in said, said["requeue"]) == (["none"], False, False)
    assert (said["kill_warning_flags"], said["kill_warning_delay"]) == (["BATCH_JOB"], number(60))


def test_0_0_38_has_words_of_its_own() -> None:
    said = job_of(_batch(), work="/w", path="/bin", version=38)["job"]
    assert isinstance(said, dict)
    assert (said["environment"], said["time_limit"], said["exclusive"]) == ({"PATH": "/bin", "A": "b"}, 12, "true")
    assert {"requeue", "shared", "kill_warning_signal"}.isdisjoint(said)


# --- which version ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "chosen"), [({36, 37, 38}, 38), ({39, 40, 41}, 41), ({42, 43, 44, 45}, 44), ({47, 46}, 46)]
)
def test_the_newest_that_is_known_is_spoken(offered: set[int], chosen: int) -> None:
    paths = [f"/{plugin}/v0.0.{version}/jobs/" for version in offered for plugin in ("slurm", "slurmdb")]
    description: dict[str, Any] = {"paths": {key: {} for key in [*paths, "/slurmdb/v0.0.99/jobs/", "/openapi/v3"]}}
    assert offered_versions(description) == offered
    assert choose_version(offered) == chosen


def test_a_server_without_a_version_is_of_no_use() -> None:
    assert offered_versions({"paths": None}) == offered_versions({}) == set()
    with pytest.raises(UnavailableError, match="offers no version"):
        choose_version(set())


class _Server:
    """It offers some versions, and has one job."""

    def __init__(self, *versions: int) -> None:
        self.versions = versions
        self.asked: list[str] = []
        self.jobs: list[dict[str, Any]] = []
        self.answers: dict[str, httpx.Response] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(f"{request.method} {path}")
        if path == "/openapi/v3":
            return httpx.Response(200, json={"paths": {f"/slurm/v0.0.{one}/jobs/": {} for one in self.versions}})
        plugin, word, what = path.strip("/").split("/", 2)
        version = int(word.rpartition(".")[2])
        if version not in self.versions:
            return httpx.Response(404, text="Unable find requested URL. Please view /openapi/v3 for API reference.")
        return self.answers.get(what) or self._answer(plugin, version, what, request)

    def _answer(self, plugin: str, version: int, what: str, request: httpx.Request) -> httpx.Response:
        found: dict[str, Any] = {"errors": [], "warnings": []}
        if what == "job/submit":
            name = json.loads(request.content)["job"]["name"]
            self.jobs.append(job(version, name, "PENDING", state_reason="Priority", nodes=""))
            found |= {"job_id": 7, "step_id": "batch"}
        elif what == "jobs":
            found |= {"jobs": self.jobs}
        elif what == "nodes":
            found |= {"nodes": [node(version)]}
        elif what == "partitions":
            found |= {"partitions": [partition(version, None)]}
        elif plugin == "slurmdb":
            found |= {"jobs": [ended_job(version, "s1-a", "FAILED", 3)]}
        return httpx.Response(200, json=found)


def _engine(server: _Server, **rest: Any) -> SlurmEngine:
    settings = RestSettings(url="http://rest", **rest)
    door = RestDoor(settings, work="/w", timeout=5, transport=httpx.MockTransport(server))
    return SlurmEngine(_SETTINGS, EngineMeans("hpc", "s1", Path("/nowhere")), door)


@pytest.mark.asyncio
@pytest.mark.parametrize("version", NEWER)
async def test_a_job_is_started_seen_stopped_and_looked_up(version: int) -> None:
    server = _Server(version - 1, version)
    engine = _engine(server)
    (answer,) = await engine.start([_order()])
    assert answer.native_id == f"7@{_AT}"
    native = Native("s1-a", answer.native_id)
    assert (await engine.look([native]))["s1-a"].state is NativeState.WAITING
    assert (await engine.capacity()).gpus_free == 1
    await engine.stop([native])
    assert server.asked[-1] == f"DELETE /slurm/v0.0.{version}/job/7"
    server.jobs.clear()
    assert (await engine.look([native]))["s1-a"].exit_code == 3
    assert server.asked.count("GET /openapi/v3") == 1


@pytest.mark.asyncio
async def test_a_server_that_comes_back_as_another_is_asked_again() -> None:
    server = _Server(39, 40)
    engine = _engine(server)
    await engine.look(())
    server.versions = (43, 44)
    with pytest.raises(UnavailableError, match="404"):
        await engine.look(())
    assert await engine.look(()) == {}
    assert server.asked[-1] == "GET /slurm/v0.0.44/jobs"


@pytest.mark.asyncio
async def test_a_version_that_was_named_is_spoken() -> None:
    server = _Server(39, 40, 41)
    engine = _engine(server, version="v0.0.40")
    for _ in range(2):
        await engine.look(())
    assert server.asked == ["GET /slurm/v0.0.40/jobs"] * 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"jobs": None}),
        httpx.Response(200, text="{"),
        httpx.Response(502, json={"message": "bad gateway"}),
        httpx.Response(503, json={"jobs": []}),
        httpx.Response(401, text="Authentication failure"),
        httpx.Response(500, json={"errors": [{"error": "Unspecified error"}], "jobs": []}),
    ],
    ids=["nothing", "a list", "null", "half", "gateway", "unavailable", "who", "errors"],
)
async def test_what_is_no_queue_is_no_empty_one(answer: httpx.Response) -> None:
    server = _Server(43)
    server.answers["jobs"] = answer
    with pytest.raises(UnavailableError):
        await _engine(server).look(())


@pytest.mark.asyncio
async def test_a_refusal_is_in_the_controllers_words() -> None:
    server = _Server(43)
    error = {"description": "Batch job submission failed", "error": "Invalid partition name specified"}
    server.answers["job/submit"] = httpx.Response(500, json={"errors": [error]})
    (answer,) = await _engine(server).start([_order()])
    assert isinstance(answer.error, RefusedError)
    assert "Invalid partition name" in answer.error.detail


def test_a_row_is_known_by_its_number_time_and_name() -> None:
    (row,) = rows_of({"jobs": [job(43, "s1-a", "RUNNING")]})
    assert row.whole == Row("7", "s1-a", "PENDING", 0, 0, "", "", submitted=_AT).whole


def _token(claims: object) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    return ".".join([*(urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts), "c2ln"])


def test_a_token_says_itself_that_it_has_run_out() -> None:
    assert has_run_out(_token({"exp": time.time() - 1}))
    assert not has_run_out(_token({"exp": time.time() + 60}))
    others = ("", "word", "a.b.c", "ü.ü.ü", _token({}), _token([]), _token({"exp": "soon"}))
    assert not any(has_run_out(token) for token in others)
