"""The graph of a batch is sorted or refused; files of many jobs are read within bounds."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.batches import BatchAfter, BatchJob, BatchSpec, BatchState, job_ids, jobs_of, order_of, state_of
from contracts.documents import read_documents
from contracts.errors import InvalidError
from contracts.states import WorkloadState
from services.gateway.api import batch_examples
from tests.support.rest import FakeServer
from tests.support.terminal import Terminal

S = WorkloadState
BATCH = "bat-" + "0" * 32


def job(key: str, *after: str) -> BatchJob:
    return BatchJob(key=key, argv=["true"], after=[BatchAfter(key=other) for other in after])


@given(st.data())
def test_whoever_is_waited_for_comes_first(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 20))
    keys = data.draw(st.permutations([f"k{number}" for number in range(count)]))
    ranks = {f"k{number}": number for number in range(count)}
    jobs = []
    for key in keys:
        earlier = [other for other in keys if ranks[other] < ranks[key]]
        some = st.lists(st.sampled_from(earlier), unique=True, max_size=5) if earlier else st.just([])
        jobs.append(job(key, *data.draw(some)))
    order = order_of(jobs)
    assert sorted(order) == list(range(count))
    came = {jobs[place].key: position for position, place in enumerate(order)}
    assert all(came[str(item.key)] < came[one.key] for one in jobs for item in one.after)


@given(st.integers(2, 30), st.integers(0, 29))
def test_a_circle_is_found_wherever_it_is(length: int, first: int) -> None:
    ring = [job(f"k{number}", f"k{(number + 1) % length}") for number in range(length)]
    rotated = ring[first % length :] + ring[: first % length]
    with pytest.raises(InvalidError, match="these wait for each other: "):
        order_of([job("free"), *rotated, job("behind", "k0")])


def test_keys_become_the_same_identifiers_every_time_and_names_where_none_is_given() -> None:
    spec = BatchSpec(jobs=[job("a"), BatchJob(key="b", name="second", argv=["true"], after=[BatchAfter(key="a")])])
    ids = job_ids(BATCH, spec)
    assert ids == job_ids(BATCH, spec)
    assert ids != job_ids("bat-" + "1" * 32, spec)
    first, second = jobs_of(BATCH, spec)
    assert (first.name, second.name) == ("a", "second")
    assert [item.job for item in second.after] == [ids["a"]]


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({S.SUCCEEDED: 2}, BatchState.SUCCEEDED),
        ({S.SUCCEEDED: 2, S.RUNNING: 1, S.FAILED: 1}, BatchState.ACTIVE),
        ({S.SUCCEEDED: 2, S.FAILED: 1, S.CANCELED: 1}, BatchState.FAILED),
        ({S.LOST: 1}, BatchState.FAILED),
        ({S.SUCCEEDED: 2, S.CANCELED: 1}, BatchState.CANCELED),
    ],
)
def test_a_batch_stands_as_its_jobs_do(counts: dict[S, int], state: BatchState) -> None:
    assert state_of(counts) is state


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 60_000, "deeper than 100 levels"),
        ("- " * 60_000, "deeper than 100 levels"),
        ("a: " * 200, "no YAML"),
        ("a: &a {b: *a}", "deeper than 100 levels, or in itself"),
        ("a: &a [*a]", "deeper than 100 levels, or in itself"),
        (
            "x0: &x0 [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"x{n}: &x{n} [{','.join([f'*x{n - 1}'] * 10)}]\n" for n in range(1, 9)),
            "values, counting aliases",
        ),
        ("? [a]\n: b", "must be a word"),
        ("a: 1\na: 2", "given twice"),
        ("a: !!python/object/new:os.system [x]", "no YAML"),
        ("a: \x07", "no YAML"),
        ("just words", "a mapping of fields"),
        ("", "holds no spec"),
    ],
)
def test_a_text_that_is_no_spec_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidError, match=why):
        read_documents(text)


def test_anchors_and_merges_are_read_and_every_place_has_a_line() -> None:
    (found,) = read_documents("jobs:\n- &a\n  key: x\n  argv: [a]\n- <<: *a\n  key: y\n")
    assert found.value["jobs"] == [{"key": "x", "argv": ["a"]}, {"key": "y", "argv": ["a"]}]
    assert found.line_of(["jobs", 0, "argv"]) == 4
    assert found.line_of(["jobs", 1, "key"]) == 6
    assert found.line_of(["jobs", 7, "nothing"]) == 2


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def terminal(server: FakeServer, tmp_path: Path) -> Terminal:
    return Terminal(server, tmp_path)


MANY = "jobs:\n- {key: a, argv: ['true']}\n- {key: b, argv: ['true'], after: [{key: a, on: any}]}\n"


@pytest.mark.parametrize(
    "text", [MANY, "key: a\nargv: ['true']\n---\nkey: b\nargv: ['true']\nafter: [{key: a, on: any}]\n"]
)
def test_a_file_of_many_is_one_batch(terminal: Terminal, server: FakeServer, text: str) -> None:
    server.on("POST", "/v1/batches", httpx.Response(201, json=batch_examples.BATCH))
    made = terminal.run("submit", "-f", "-", "--cpus", "2", "--idempotency-key", "k", stdin=text)
    assert made.code == 0
    assert batch_examples.BATCH["id"] in made.out
    (request,) = server.requests
    assert request.headers["idempotency-key"] == "k"
    sent = BatchSpec.model_validate_json(request.content)
    assert [(one.key, one.resources.cpus) for one in sent.jobs] == [("a", 2), ("b", 2)]
    assert [item.on for item in sent.jobs[1].after] == ["any"]


def test_a_dry_run_sends_nothing_and_finds_circles(terminal: Terminal, server: FakeServer) -> None:
    fine = terminal.run("submit", "-f", "-", "--dry-run", stdin=MANY)
    assert fine.code == 0
    assert '"key": "b"' in fine.out
    circle = MANY.replace("{key: a, argv: ['true']}", "{key: a, argv: ['true'], after: [{key: b}]}")
    refused = terminal.run("submit", "-f", "-", "--dry-run", stdin=circle)
    assert refused.code == 2
    assert "a → b → a" in refused.err
    wrong = terminal.run("submit", "-f", "-", "--dry-run", stdin=MANY.replace("on: any", "on: maybe"))
    assert "jobs.1.after.0.on" in wrong.err
    assert "(line 3)" in wrong.err
    assert not server.requests


def test_waiting_for_a_batch_ends_with_its_outcome(terminal: Terminal, server: FakeServer) -> None:
    ended = {**batch_examples.BATCH, "state": "failed", "counts": {"failed": 2}}
    done = {"id": batch_examples.BATCH["jobs"][0]["job_id"], "owner": "ada", "spec": {"argv": ["true"]}}
    moments = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    server.on("POST", "/v1/batches", httpx.Response(201, json=batch_examples.BATCH))
    server.on("GET", f"/v1/jobs/{done['id']}", {**done, **moments, "state": "failed", "reason": "exited"})
    server.on("GET", f"/v1/batches/{batch_examples.BATCH['id']}", ended)
    waited = terminal.run("submit", "-f", "-", "--wait", "--json", stdin=MANY)
    assert waited.code == 1
    assert '"state": "failed"' in waited.out
