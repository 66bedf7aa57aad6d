"""What the scheduler and a runner say to each other about one attempt."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .holdings import TAIL, Allocation, OutputFile, Usage
from .ids import WorkloadId
from .model import Message, Model, Timestamp
from .spec import Input, Output
from .states import Reason
from .tasks import TaskFact

__all__ = [
    "ControlReply",
    "ControlRun",
    "FrozenInput",
    "LogChunk",
    "RunBundle",
    "RunReport",
    "RunTask",
    "RunTicket",
    "RunnerCapacity",
    "Step",
    "StepName",
    "Stream",
    "run_name",
]

Stream = Literal["stdout", "stderr"]


_MOST = 2**63 - 1
"""No figure is larger; it would not fit into a column, nor into JSON as others read it."""


def run_name(workload_id: str, attempt: int) -> str:
    """Return the name of an attempt, which is also its native identifier on the local backend."""
    return f"{workload_id}.{attempt}"


class FrozenInput(Model):
    """An input as it was when the workload was accepted; what is fetched must match."""

    source: str
    target: str
    key: str
    """The object that holds the bytes; it never changes."""
    size: int
    sha256: str


class RunBundle(Model):
    """Some tasks of an array, to be run side by side as there is room; all else in the `RunTask` is theirs alike."""

    indices: str
    """Their numbers, such as `3,7-10`."""
    attempts: dict[int, int] = {}
    """Of those that are not in their first attempt."""
    items: list[str] | None = None
    """One for each number, in their order."""
    max_running: int | None = None
    inputs: dict[str, FrozenInput] = {}
    """By their source, of the inputs whose source differs from task to task."""
    sources: list[Input] = []
    """Those inputs, with their placeholders."""


class RunTask(Message):
    """Run this attempt. Published to `tasks.<backend>.<workload>.<attempt>`."""

    name: ClassVar[str] = "run.task"

    workload_id: WorkloadId
    attempt: int
    owner: str
    project: str | None = None
    job_name: str | None = None
    argv: list[str] | None = None
    script: str | None = None
    env: dict[str, str] = {}
    inherit_env: bool = True
    files: str | None = None
    """Where the program expects its working folder, such as `/files`; none if it takes it as it is."""
    inputs: list[FrozenInput] = []
    outputs: list[Output] = []
    cpus: float = 1.0
    memory: int | None = None
    gpus: int = 0
    gpu_model: str | None = None
    gpu_memory: int | None = None
    gpu_architecture: str | None = None
    nodes: int = 1
    processes: int = 1
    """Among them `cpus`, `memory` and `gpus` are divided."""
    options: dict[str, dict[str, Any]] = {}
    """By kind of backend, what only that kind understands."""
    image: str | None = None
    """The container image to run it in, on backends that can."""
    environment: str | None = None
    """What sort of machine is to take it; none is any."""
    priority: int = 0
    walltime: float
    """Seconds."""
    ticket: str
    """Opaque; shown to storage to fetch inputs and to store outputs and logs of this attempt."""
    traceparent: str | None = None
    bundle: RunBundle | None = None
    """Given for an array: `attempt` is then the number of the bundle, and room and time are those of each task."""

    @model_validator(mode="after")
    def _check_room(self) -> Self:
        # A node that gave such room away would never have any again.
        figures = (self.cpus, self.walltime, self.memory or 0, self.gpus, self.gpu_memory or 0)
        if not all(math.isfinite(figure) and 0 <= figure <= _MOST for figure in figures) or self.attempt < 1:
            raise ValueError("attempt, cpus, memory, gpus and walltime must be numbers that can be")
        return self


class StepName(StrEnum):
    """How far an attempt has come."""

    STARTING = "starting"
    RUNNING = "running"
    ALIVE = "alive"
    """A sign of life with the usage so far; sent every few seconds."""
    TASKS = "tasks"
    """What became of some tasks of a bundle."""
    EXITED = "exited"
    """The user's process has ended; outputs and logs are going home."""
    DONE = "done"
    """Nothing of the attempt is left on the node. The last step."""


class Step(Model):
    """One step of an attempt."""

    step: StepName
    at: Timestamp
    phase: str = Field(default="", max_length=64, pattern=r"^[a-z-]*$")
    """How far it has come within this step, in the backend's own word."""
    allocation: Allocation | None = None
    usage: Usage | None = None
    exit_code: int | None = None
    reason: Reason | None = None
    """With `done`, and with `exited` if it was made end, how: `exited`, `signaled`, `walltime`, `canceled`, `memory`,
    `staging`, `interrupted` or `refused`."""
    message: str = ""
    tail: str = Field(default="", max_length=4 * TAIL)
    """With `alive` and `done`: the end of what the program has printed, if that is news."""
    outputs: list[OutputFile] = []
    logs: list[OutputFile] = []
    tasks: list[TaskFact] = []
    """With `tasks`; `allocation` is then the room of each."""


class RunReport(Message):
    """What happened to an attempt. Published to `runs.<workload>.<attempt>.report`; repeats are harmless."""

    name: ClassVar[str] = "run.report"

    workload_id: WorkloadId
    attempt: int
    number: int
    """Counts the reports of one attempt, from 1."""
    runner: str
    native_id: str
    steps: list[Step] = Field(min_length=1)


class ControlRun(Message):
    """Ask a runner to end an attempt, or what it knows of it. Core request to `control.<backend>`."""

    name: ClassVar[str] = "run.control"

    action: Literal["cancel", "observe", "capacity"]
    workload_id: WorkloadId | None = None
    attempt: int | None = None
    tasks: str | None = None
    """With `cancel`: only these tasks of a bundle."""


class LogChunk(Model):
    """The headers of a log message; its body are the raw bytes."""

    OFFSET: ClassVar[str] = "Shunter-Offset"
    """Where in the attempt's stream the first byte stands."""
    END: ClassVar[str] = "Shunter-End"
    """`1` on the empty message that closes a stream."""


class RunnerCapacity(Model):
    """The room of one resident runner."""

    cpus: float
    cpus_free: float
    memory: int
    memory_free: int
    gpus: int = 0
    gpus_free: int = 0
    gpu_models: list[str] = []
    running: int = 0
    waiting: int = 0
    """Attempts that were taken from the queue and wait for room."""


class ControlReply(Model):
    """A runner's answer to a `ControlRun`."""

    runner: str
    node: str = ""
    known: bool = False
    """Whether the runner has the attempt, or had it lately."""
    ended: bool = False
    """Whether the attempt is over; its `done` report is sent or being sent."""
    capacity: RunnerCapacity | None = None
    at: Timestamp | None = None
    """What time the runner has."""


class RunTicket(Model):
    """What a `RunTask.ticket` says, signed with the site's key: this attempt may fetch and store for its owner."""

    owner: str
    project: str | None = None
    workload_id: WorkloadId
    attempt: int
    folders: list[str] = []
    """Folders of its owner's in which it may store outputs, besides its own."""
