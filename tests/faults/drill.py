"""One drill: work and faults on a running stack, what was promised meanwhile, and the reckoning afterwards."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.fault_stack import FaultStack, scaled
from tests.support.invariants import jobs_of, records_of
from tests.support.laws import Evidence, FileSeen, Promise, Run, broken, by_job

__all__ = ["ENDED", "PATIENT", "USERS", "Drill", "Order", "Outcome"]

USERS = ("owner", "other")
ENDED = frozenset({"succeeded", "failed", "canceled", "lost"})

_IMPATIENT = 1.2
"""Seconds that users wait for an answer while things are broken."""
PATIENT = 30.0
"""The same while nothing is broken, or for what a drill rests on."""
_STEADY = 15.0
"""Seconds after which findings that did not change are the outcome."""
_BODIES: Mapping[str, str] = {
    "ok": "echo done",
    "nap": "sleep 1; echo done",
    "fail": "echo done; exit 3",
    "flaky": "[ $SHUNTER_ATTEMPT -ge 2 ] || exit 7; echo done",
    "long": "sleep 600",
    "held": "echo done",
    "stage": "cat input.bin > output.bin; echo done",
}


@dataclass(slots=True)
class Order:
    """A submit, whether or not anybody knows yet what became of it."""

    user: str
    kind: str
    key: str
    body: dict[str, Any]
    source: str | None = None
    retry_of: int | None = None
    job: str | None = None
    """Its id, once an answer named it."""
    may_be_canceled: bool = False
    is_canceled: bool = False
    """Whether a cancel was answered with 2xx."""
    is_pending: bool = False
    """Whether the answer was 202: it is kept, and may still be refused for what only the scheduler knows."""
    is_done_with: bool = False
    """Whether it was released or canceled at the end, if it had to be."""
    void: bool = False
    """Whether it was refused, as it had to be."""

    @property
    def ends(self) -> frozenset[str]:
        """Return how it may end."""
        natural = {"fail": "failed", "failed": "failed", "long": "canceled"}.get(self.kind, "succeeded")
        if not self.may_be_canceled:
            return frozenset({natural})
        # A cancel takes a job that has just failed its chance of another attempt.
        return frozenset({natural, "canceled"} | ({"failed"} if self.kind == "flaky" else set()))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a drill."""

    broken: list[str]
    settled: float
    jobs: int
    events: int


@dataclass(slots=True)
class Drill:
    """Work and faults. Nothing here raises because the stack misbehaves: that is found at the reckoning."""

    stack: FaultStack
    name: str
    folder: Path
    settle_limit: float = 60.0
    orders: list[Order] = field(default_factory=list)
    files: dict[tuple[str, str], tuple[bytes, bool]] = field(default_factory=dict)
    """What was sent by whom to where, and whether it is known to have arrived."""
    trace: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Answers that must never be given."""
    began: float = field(default_factory=time.monotonic)
    _first_event: int = 0
    _older: set[str] = field(default_factory=set)
    _billed: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._first_event = len(self.stack.read_events())
        self._older = {job for user in USERS for job in jobs_of(self.stack.client(user))}
        self._billed = self._bill()

    def note(self, text: str) -> None:
        """Write into the trace."""
        self.trace.append(f"{time.monotonic() - self.began:7.2f} {text}")

    # --- work ---------------------------------------------------------------------------------------------------

    def submit(self, user: str, kind: str, source: str | None = None) -> None:
        """Ask for a job, once."""
        if source is not None and not self.files[user, source][1]:
            return
        number = len(self.orders)
        witness = f'echo "$SHUNTER_JOB_ID $SHUNTER_ATTEMPT %s" >> {self.folder}/witness'
        script = "\n".join([witness % "begin", f"trap '{witness % 'end'}' EXIT", _BODIES[kind]])
        body: dict[str, Any] = {"script": script, "hold": kind == "held", "name": f"{self.name}-{number}-{kind}"}
        if kind == "flaky":
            body["retries"] = {"max": 1, "backoff": 0}
        if kind == "stage":
            body |= {"inputs": [{"source": source, "path": "input.bin"}], "outputs": [{"path": "output.bin"}]}
        order = Order(user, kind, f"{self.name}-{number}", body, source)
        self.orders.append(order)
        self._send(order)

    def adopt(self, user: str, job: str, *, ends: str = "succeeded") -> None:
        """Take a job that a test submitted itself among those that are reckoned with."""
        self.orders.append(Order(user, ends, job, {}, job=job))

    def retry(self, number: int) -> None:
        """Run an earlier job again, if it has ended."""
        before = self.orders[number]
        order = Order(before.user, before.kind, f"{self.name}-{len(self.orders)}", {}, before.source, number)
        order.may_be_canceled = False
        self.orders.append(order)
        self._send(order)

    def _send(self, order: Order) -> None:
        headers = {"Idempotency-Key": order.key}
        path, body = "/v1/jobs", order.body or None
        if order.retry_of is not None:
            before = self.orders[order.retry_of]
            if before.job is None:
                order.void = True
                return
            path = f"/v1/jobs/{before.job}/retry"
        answer = self._ask(order.user, "POST", path, json=body, headers=headers)
        self.note(f"  {order.kind} {order.key}: {_brief(answer)}")
        if answer is None or answer.status_code >= 500:
            return
        if answer.status_code in {200, 201, 202}:
            order.job = str(answer.json()["id"])
            order.is_pending = answer.status_code == 202
        elif order.retry_of is not None and answer.status_code in {404, 409}:
            order.void = True  # it has not ended, or nobody has heard of it yet
        else:
            self.wrong.append(f"{order.key}: {answer.status_code} {answer.text[:300]}")
            order.void = True

    def cancel(self, number: int) -> None:
        """Cancel a job that somebody has asked for."""
        order = self.orders[number]
        if order.job is None:
            return
        order.may_be_canceled = True
        answer = self._ask(order.user, "POST", f"/v1/jobs/{order.job}/cancel")
        self.note(f"  {_brief(answer)}")
        order.is_canceled |= answer is not None and answer.is_success

    def release(self, number: int) -> bool:
        """Let a held job go; says whether nothing is left to do."""
        order = self.orders[number]
        if order.job is None:
            return order.void
        answer = self._ask(order.user, "POST", f"/v1/jobs/{order.job}/start")
        self.note(f"  {_brief(answer)}")
        return answer is not None and (answer.is_success or answer.status_code == 409)

    def upload(self, user: str, path: str, content: bytes, *, patience: float = _IMPATIENT) -> None:
        """Send a file, once."""
        answer = self._ask(user, "PUT", f"/v1/files/{path}", patience=patience, content=content)
        self.note(f"  {_brief(answer)}")
        self.files[user, path] = (content, answer is not None and answer.status_code in {200, 201})

    def look(self, user: str) -> None:
        """List jobs; whatever comes must be the user's own."""
        answer = self._ask(user, "GET", "/v1/jobs", params={"limit": "50"})
        self.note(f"  {_brief(answer)}")
        if answer is not None and answer.status_code == 200:
            foreign = [item["id"] for item in answer.json()["items"] if item["owner"] != user]
            if foreign:
                self.wrong.append(f"I8: {user} was shown {foreign}")

    def job_of(self, number: int) -> str:
        """Return the id of a job; for what got no answer it is asked again, under the same key."""
        order, ends = self.orders[number], time.monotonic() + scaled(30)
        while order.job is None and time.monotonic() < ends:
            self._send(order)
        assert order.job, self.trace
        return order.job

    def _ask(
        self, user: str, method: str, path: str, *, patience: float = _IMPATIENT, **more: Any
    ) -> httpx.Response | None:
        try:
            return self.stack.client(user, patience).request(method, path, **more)
        except httpx.TransportError:
            return None

    # --- the reckoning ------------------------------------------------------------------------------------------

    def reckon(self) -> Outcome:
        """Undo all faults, wait until everything has come to rest, and look for what is broken."""
        healed = time.monotonic()
        self.note("the faults end")
        self.stack.heal()
        self.note(f"every part is ready; did not stop in time and were killed: {self.stack.overdue or 'none'}")
        self.stack.overdue.clear()
        limit = healed + scaled(self.settle_limit)
        self._finish_orders(limit)
        self._await_ends(limit)
        self.note("all jobs have ended")
        seen = self._gather(time.monotonic() - healed)
        found, since = self.wrong + broken(seen), time.monotonic()
        # What is still broken after a while stays broken.
        while found and time.monotonic() < min(limit, since + _STEADY):
            time.sleep(0.3)
            before, seen = found, self._gather(time.monotonic() - healed)
            found = self.wrong + broken(seen)
            since = since if found == before else time.monotonic()
        self.note(f"settled after {seen.settled:.1f} s")
        return Outcome(found, seen.settled, len(seen.promises), len(seen.events))

    def _finish_orders(self, limit: float) -> None:
        """Ask again for what got no answer, let go what is held, end what would never end."""
        for order in self.orders:
            while order.job is None and not order.void and time.monotonic() < limit:
                self._send(order)
        for number, order in enumerate(self.orders):
            while self._is_left(order) and time.monotonic() < limit:
                if order.kind == "long":
                    self.cancel(number)
                    order.is_done_with = order.is_canceled
                else:
                    order.is_done_with = self.release(number)
                time.sleep(0 if order.is_done_with else 0.1)

    def _is_left(self, order: Order) -> bool:
        """Say whether a job would never end by itself."""
        wanted = order.kind in {"held", "long"} and order.job is not None and not order.is_done_with
        return wanted and not self._is_refused(order)

    def _await_ends(self, limit: float) -> None:
        for order in self.orders:
            while order.job and time.monotonic() < limit and not self._is_refused(order):
                path = f"/v1/jobs/{order.job}?wait=2&until=terminal"
                answer = self.stack.client(order.user).get(path)
                if answer.status_code == 200 and answer.json()["state"] in ENDED:
                    break
                time.sleep(0.05)

    def _is_refused(self, order: Order) -> bool:
        if order.retry_of is not None and order.is_pending:
            events = self.stack.read_events()[self._first_event :]
            self._void_refused(events, set(by_job(events)))
        return order.void

    def _gather(self, settled: float) -> Evidence:
        """Look at everything; only what belongs to this drill is looked at job by job."""
        admin = self.stack.client("admin")
        events = self.stack.read_events()[self._first_event :]
        told = by_job(events)
        self._void_refused(events, set(told))
        promises = [_promise(order) for order in self.orders if order.job and not order.void]
        records = records_of(admin, set(told) | {promise.job for promise in promises})
        report = admin.post("/v1/audit/replay", timeout=60).raise_for_status().json()
        mine = {user: set(jobs_of(self.stack.client(user))) - self._older for user in USERS}
        return Evidence(
            events=events,
            records=records,
            promises=promises,
            listed={user: sorted(jobs) for user, jobs in mine.items()},
            strangers=[*self._strangers(promises), *(f"{job} moved again" for job in set(told) & self._older)],
            owners_told={user: self._owners_told(user) for user in USERS},
            runs=self._runs(),
            alive=_alive({promise.job for promise in promises}),
            outputs=self._outputs(promises, records),
            files=[*self._uploads(), *self._results(records)],
            billed={owner: hours - self._billed.get(owner, 0.0) for owner, hours in self._bill().items()},
            replay_equal=report["equal"],
            differences=report["differences"],
            settled=settled,
            settle_limit=scaled(self.settle_limit),
        )

    def _void_refused(self, events: list[dict[str, Any]], known: set[str]) -> None:
        """Strike out repeats that were refused after their 202, as the log says; submits are never refused so late."""
        refusals = sum(event["data"].get("command") == "workload.retry" for event in events)
        late = [order for order in self.orders if order.retry_of is not None and order.is_pending]
        for order in [order for order in late if order.job not in known][:refusals]:
            order.void = True

    def _bill(self) -> dict[str, float]:
        answer = self.stack.client("admin").get("/v1/usage", params={"group_by": "owner"}).raise_for_status()
        return {row["owner"]: row["figures"]["wall_hours"] for row in answer.json()["rows"]}

    def _strangers(self, promises: list[Promise]) -> list[str]:
        """Try to see what is somebody else's."""
        found: list[str] = []
        for promise in promises[:4]:
            stranger = next(user for user in USERS if user != promise.owner)
            for path in ("", "/history", "/logs"):
                status = self.stack.client(stranger).get(f"/v1/jobs/{promise.job}{path}").status_code
                if status != 404:
                    found.append(f"{stranger} got {status} for {promise.owner}'s {promise.job}{path}")
        return found

    def _owners_told(self, user: str) -> list[str | None]:
        params = {"since_sequence": 1, "limit": 1000}
        page = self.stack.client(user).get("/v1/events", params=params).raise_for_status().json()
        return [item["event"].get("owner") for item in page["items"]]

    def _runs(self) -> list[Run]:
        witness = self.folder / "witness"
        lines = witness.read_text().splitlines() if witness.exists() else []
        return [Run(job, int(attempt), what) for job, attempt, what in (line.split() for line in lines)]

    def _outputs(self, promises: list[Promise], records: Mapping[str, Any]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for promise in promises:
            if records.get(promise.job, {}).get("state") == "succeeded":
                answer = self.stack.client(promise.owner).get(f"/v1/jobs/{promise.job}/logs")
                found[promise.job] = answer.content if answer.is_success else f"{answer.status_code}".encode()
        return found

    def _uploads(self) -> list[FileSeen]:
        """Read back what users sent; what is known to have arrived must be there."""
        found: list[FileSeen] = []
        for (user, path), (content, arrived) in self.files.items():
            client = self.stack.client(user)
            items = client.get("/v1/files", params={"prefix": path}).raise_for_status().json()["items"]
            recorded = next((item["sha256"] for item in items if item["path"] == path), None)
            if recorded is not None or arrived:
                read = client.get(f"/v1/files/{path}")
                wanted = frozenset({_sha(content)})
                found.append(FileSeen(user, path, recorded or "nothing", _sha(read.content), wanted))
        return found

    def _results(self, records: Mapping[str, Any]) -> list[FileSeen]:
        """Read back what jobs made of their inputs."""
        found: list[FileSeen] = []
        for order in self.orders:
            if not order.source or not order.job or records.get(order.job, {}).get("state") != "succeeded":
                continue
            path = f"/v1/jobs/{order.job}/files/outputs/output.bin"
            read = self.stack.client(order.user).get(path)
            recorded = next((item["sha256"] for item in records[order.job]["outputs"]), "nothing")
            wanted = frozenset({_sha(self.files[order.user, order.source][0])})
            found.append(FileSeen(order.user, path, recorded, _sha(read.content), wanted))
        return found


def _promise(order: Order) -> Promise:
    assert order.job
    ends = frozenset({"canceled"}) if order.kind == "long" else order.ends
    once = order.kind in {"ok", "nap", "held", "stage"}
    return Promise(order.job, order.user, ends, output=b"done\n" if order.kind in _BODIES else None, once=once)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _brief(answer: httpx.Response | None) -> str:
    if answer is None:
        return "no answer"
    return f"{answer.status_code} {'' if answer.is_success else answer.text[:160]}"


def _alive(jobs: set[str]) -> list[tuple[str, int]]:
    """Return the attempts of which a process lives."""
    found: list[tuple[str, int]] = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            if environ.get("SHUNTER_JOB_ID") in jobs and process.status() != psutil.STATUS_ZOMBIE:
                found.append((environ["SHUNTER_JOB_ID"], int(environ["SHUNTER_ATTEMPT"])))
        except psutil.Error:
            continue
    return found
