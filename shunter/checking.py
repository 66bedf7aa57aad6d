"""Checks a backend by what its users see: tiny jobs that need every promise it makes, over REST, as the caller."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from contracts.backends import BackendState, BackendView
from contracts.errors import ShunterError
from contracts.spec import JobSpec
from contracts.states import Reason, WorkloadState
from shunter.client import Client
from shunter.models import JobView

__all__ = ["BackendCheck", "Kept", "Promise"]

_WORD = "promised"
_EXIT = 7
_RUN = """\
cat data/word.txt
cp data/word.txt result.txt
echo "to stderr" >&2
"""
_GPU = 'echo "gpus=${CUDA_VISIBLE_DEVICES-none}"\n'
_LONG = "exec sleep 900\n"
_SHORT_WALLTIME = 5.0


class Kept(StrEnum):
    """What came of a promise."""

    YES = "kept"
    NO = "broken"
    SKIPPED = "skipped"
    """It does not make this one."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One thing that a backend promises, and what came of it."""

    name: str
    kept: Kept
    detail: str

    def to_json(self) -> dict[str, str]:
        """Say it for scripts."""
        return {"promise": self.name, "outcome": self.kept.value, "detail": self.detail}


@dataclass(slots=True)
class BackendCheck:
    """Submits all jobs at once, so that a queue is waited for once, and looks at what came of each."""

    client: Client
    backend: BackendView
    image: str | None = None
    timeout: float = 600.0
    """Seconds that each job may take from its submit to its end, its time in queues among them."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of this kind of backend, as in `placement.options`."""
    sleep: Callable[[float], None] = time.sleep
    _folder: str = field(default_factory=lambda: f"shunter-check/{secrets.token_hex(6)}")
    _jobs: dict[str, str] = field(default_factory=dict)
    _refusals: dict[str, str] = field(default_factory=dict)

    def run(self, *, keep: bool = False) -> Iterator[Promise]:
        """Go through the promises one by one; with *keep* jobs and files stay for a look."""
        yield self._answers()
        try:
            self._submit_all()
            yield from self._runs()
            yield self._exit_code()
            yield self._cancel()
            yield self._walltime()
            yield self._array()
            yield self._gpu()
        finally:
            if not keep:
                self._clean_up()

    # --- out ----------------------------------------------------------------------------------------------------

    def _submit_all(self) -> None:
        with tempfile.TemporaryDirectory(prefix="shunter-check-") as folder:
            word = Path(folder) / "word.txt"
            word.write_text(f"{_WORD}\n")
            self.client.upload(word, f"{self._folder}/word.txt")
        inputs = [{"source": f"{self._folder}/word.txt", "path": "data/word.txt"}]
        self._submit("run", _RUN, inputs=inputs, outputs=[{"path": "result.txt"}])
        self._submit("exit", f"exit {_EXIT}\n")
        self._submit("cancel", _LONG)
        self._submit("walltime", _LONG, walltime=_SHORT_WALLTIME)
        if "arrays" in self.backend.capabilities:
            self._submit("array", "test {index} -lt 2\n", array={"count": 2})
        if self.backend.gpus:
            self._submit("gpu", _GPU, gpus={"count": 1})

    def _submit(
        self, name: str, script: str, *, walltime: float = 300.0, gpus: dict[str, int] | None = None, **more: Any
    ) -> None:
        """Submit one; what is refused breaks the promise that it was for."""
        placement: dict[str, Any] = {"backend": self.backend.backend}
        if self.options:
            placement["options"] = {self.backend.kind: self.options}
        if "array" in more:  # a script knows no places for numbers, arguments do
            more["argv"] = ["/bin/sh", "-c", script]
        else:
            more["script"] = script
        spec = {
            "name": f"check-{name}",
            "image": self.image,
            "resources": {"cpus": 1, "walltime": walltime, "gpus": gpus or {}},
            "placement": placement,
            "labels": {"shunter-check": self.backend.backend},
            **more,
        }
        try:
            self._jobs[name] = self.client.submit(JobSpec.model_validate(spec)).id
        except ShunterError as error:
            self._refusals[name] = error.detail

    # --- what came of it ----------------------------------------------------------------------------------------

    def _answers(self) -> Promise:
        seen = self.backend
        if seen.state is BackendState.DOWN:
            return Promise("answers", Kept.NO, seen.detail)
        if seen.state is BackendState.DRAINING:
            return Promise("answers", Kept.NO, "it is draining and gets no new work: `shunter backends resume`")
        room = "it does not say how large it is" if seen.cpus is None else f"{seen.cpus:g} cores, {seen.gpus} GPUs"
        return Promise("answers", Kept.YES, room)

    def _runs(self) -> Iterator[Promise]:
        job, told = self._end_of("run")
        if job is None or job.state is not WorkloadState.SUCCEEDED:
            yield Promise("run", Kept.NO, told)
            return
        began = (job.started_at - job.created_at).total_seconds() if job.started_at else 0.0
        yield Promise("run", Kept.YES, f"began {began:.1f} s after its submit")
        log = self.client.get_log(job.id).decode(errors="replace")
        yield _judge("input", _WORD in log, "it read the file that was brought", f"it printed {log[:200]!r}")
        errors = self.client.get_log(job.id, stream="stderr").decode(errors="replace")
        yield _judge("log", "to stderr" in errors, "both streams came home", f"stderr holds {errors[:200]!r}")
        yield self._output(job)
        used = job.usage
        yield _judge("usage", used is not None, f"{used.wall_seconds:.1f} s" if used else "", "nothing was measured")

    def _output(self, job: JobView) -> Promise:
        with tempfile.TemporaryDirectory(prefix="shunter-check-") as folder:
            target = Path(folder) / "result.txt"
            try:
                self.client.download_output(job.id, "outputs/result.txt", target)
            except ShunterError as error:
                return Promise("output", Kept.NO, error.detail)
            right = target.read_text() == f"{_WORD}\n"
        return _judge("output", right, "it came home whole", "it is another one than was written")

    def _exit_code(self) -> Promise:
        job, told = self._end_of("exit")
        right = job is not None and job.state is WorkloadState.FAILED and job.exit_code == _EXIT
        return _judge("exit code", right, f"{_EXIT} is {_EXIT}", told)

    def _cancel(self) -> Promise:
        if (name := self._jobs.get("cancel")) is None:
            return Promise("cancel", Kept.NO, self._refusals["cancel"])
        running = self._until_running(name)
        asked = time.monotonic()
        self.client.cancel(name)
        job, told = self._end_of("cancel")
        took = f"gone {time.monotonic() - asked:.1f} s after it was asked to end"
        right = running and job is not None and job.state is WorkloadState.CANCELED
        return _judge("cancel", right, took, told if running else "it did not begin to run")

    def _until_running(self, name: str) -> bool:
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            state = self.client.get_job(name).state
            if state is WorkloadState.RUNNING or state.is_terminal:
                return state is WorkloadState.RUNNING
            self.sleep(0.2)
        return False

    def _walltime(self) -> Promise:
        job, told = self._end_of("walltime")
        right = job is not None and job.state is WorkloadState.FAILED and job.reason is Reason.WALLTIME
        return _judge("walltime", right, f"it was ended after {_SHORT_WALLTIME:g} s", told)

    def _array(self) -> Promise:
        if "arrays" not in self.backend.capabilities:
            return Promise("array", Kept.SKIPPED, "it takes single jobs")
        job, told = self._end_of("array")
        right = job is not None and job.state is WorkloadState.SUCCEEDED
        return _judge("array", right, "both tasks ran", told)

    def _gpu(self) -> Promise:
        if not self.backend.gpus:
            return Promise("gpu", Kept.SKIPPED, "it has none")
        job, told = self._end_of("gpu")
        if job is None or job.state is not WorkloadState.SUCCEEDED:
            return Promise("gpu", Kept.NO, told)
        shown = self.client.get_log(job.id).decode(errors="replace").strip().removeprefix("gpus=")
        one = shown not in {"", "none"} and "," not in shown
        return _judge("gpu", one, f"it sees one: {shown}", f"CUDA_VISIBLE_DEVICES is {shown!r}, one was asked for")

    def _end_of(self, name: str) -> tuple[JobView | None, str]:
        """Wait for the end of a job; returns what to say of it where that is not what was promised."""
        if (job_id := self._jobs.get(name)) is None:
            return None, self._refusals.get(name, "it was not submitted")
        try:
            job = self.client.wait(job_id, timeout=self.timeout)
        except TimeoutError:
            found = self.client.explain(job_id)
            return None, f"{job_id} has not ended after {self.timeout:g} s: {found.message}"
        code = "" if job.exit_code is None else f", exit code {job.exit_code}"
        return job, f"{job_id} {job.state}{code} ({job.reason}): {job.message}"

    def _clean_up(self) -> None:
        for job_id in self._jobs.values():
            self.client.remove(job_id)
        if self._jobs or self._refusals:
            self.client.delete_file(self._folder, recursive=True)


def _judge(name: str, right: bool, yes: str, no: str) -> Promise:
    return Promise(name, Kept.YES if right else Kept.NO, yes if right else no)
