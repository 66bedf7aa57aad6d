"""What the pilot hears and says, as JSON: the fields of `contracts.runs` and `contracts.pilots` that it needs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar

__all__ = [
    "Allocation",
    "Bundle",
    "Ending",
    "FrozenInput",
    "Input",
    "Orders",
    "Output",
    "OutputFile",
    "Step",
    "Task",
    "TaskFact",
    "TaskLog",
    "Terms",
    "Usage",
    "as_json",
    "read",
    "stamp",
]

_T = TypeVar("_T")


def stamp(moment: float) -> str:
    """Return seconds since 1970 as they are written everywhere: RFC 3339, in UTC, with microseconds."""
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read(kind: type[_T], raw: dict[str, Any]) -> _T:
    """Make a value of what was heard; what this version does not know is passed over."""
    known = {item.name for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in raw.items() if name in known and value is not None})


def as_json(value: Any) -> Any:
    """Return a value as it is said: without what is not set."""
    if dataclasses.is_dataclass(value):
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return {name: as_json(one) for name, one in fields.items() if one is not None and one not in ("", [])}
    if isinstance(value, list):
        return [as_json(one) for one in value]
    return value


@dataclass(frozen=True, eq=False, repr=False)
class FrozenInput:
    """An input as it was when the workload was accepted."""

    source: str
    target: str
    key: str
    size: int
    sha256: str


@dataclass(frozen=True, eq=False, repr=False)
class Input:
    """An input of the tasks of a bundle, with placeholders."""

    source: str
    target: str


@dataclass(frozen=True, eq=False, repr=False)
class Output:
    """What a program is to leave behind."""

    path: str
    required: bool = True
    to: str | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Bundle:
    """Some tasks of an array."""

    indices: str
    attempts: dict[str, int] = field(default_factory=dict)
    items: list[str] | None = None
    max_running: int | None = None
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    """One attempt."""

    workload_id: str
    attempt: int
    walltime: float
    ticket: str
    argv: list[str] | None = None
    script: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    inherit_env: bool = True
    files: str | None = None
    inputs: list[FrozenInput] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    cpus: float = 1.0
    memory: int | None = None
    gpus: int = 0
    gpu_model: str | None = None
    nodes: int = 1
    processes: int = 1
    traceparent: str | None = None
    bundle: Bundle | None = None

    @property
    def name(self) -> str:
        """Return the name of the attempt."""
        return f"{self.workload_id}.{self.attempt}"

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Task:
        """Make a task of what was heard."""
        whole = dict(raw)
        whole["inputs"] = [read(FrozenInput, item) for item in raw.get("inputs") or []]
        whole["outputs"] = [read(Output, item) for item in raw.get("outputs") or []]
        if raw.get("bundle"):
            whole["bundle"] = read(Bundle, raw["bundle"])
        return read(cls, whole)


@dataclass(frozen=True, eq=False, repr=False)
class Terms:
    """How a pilot works; the site's settings say it. Times in seconds."""

    slots: int = 1
    heartbeat: float = 60.0
    sample_every: float = 1.0
    hold: float = 0.015
    grace: float = 5.0
    farewell: float = 20.0
    patience: float = 86400.0
    transfers: int = 4
    live_logs: int = 256 * 2**20
    files: str = "auto"
    mpirun: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Ending:
    """Something that is to be ended early."""

    workload_id: str
    attempt: int
    reason: str | None = None
    tasks: str | None = None

    @property
    def name(self) -> str:
        """Return the name of the attempt."""
        return f"{self.workload_id}.{self.attempt}"


@dataclass(frozen=True, eq=False, repr=False)
class Orders:
    """What a pilot is to do next."""

    backend: str = ""
    over: bool = False
    task: Task | None = None
    more: bool = False
    end: list[Ending] = field(default_factory=list)
    terms: Terms = field(default_factory=Terms)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Orders:
        """Make orders of what was heard."""
        whole = dict(raw)
        if raw.get("task"):
            whole["task"] = Task.of(raw["task"])
        whole["end"] = [read(Ending, item) for item in raw.get("end") or []]
        whole["terms"] = read(Terms, raw.get("terms") or {})
        return read(cls, whole)


@dataclass(frozen=True, eq=False, repr=False)
class Allocation:
    """The room that an attempt holds."""

    backend: str
    node: str = ""
    cpus: float = 0.0
    memory: int = 0
    gpus: int = 0
    gpu_model: str = ""
    gpu_indices: list[int] = field(default_factory=list)


@dataclass(frozen=True, eq=False, repr=False)
class Usage:
    """What an attempt really used."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_peak: int | None = None
    gpu_seconds: float = 0.0
    gpu_memory_peak: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class OutputFile:
    """A file that was taken home."""

    path: str
    size: int
    sha256: str
    at: str | None = None


@dataclass(frozen=True, eq=False, repr=False)
class TaskLog:
    """Where in its bundle's pack the output of a task lies."""

    attempt: int
    stream: str
    bundle: int
    offset: int
    size: int


@dataclass(frozen=True, eq=False, repr=False)
class TaskFact:
    """What became of one task of a bundle."""

    index: int
    attempt: int
    state: str
    reason: str | None = None
    message: str = ""
    exit_code: int | None = None
    started_at: str | None = None
    finished_at: str | None = None
    usage: Usage | None = None
    gpu_model: str | None = None
    outputs: list[OutputFile] = field(default_factory=list)
    logs: list[TaskLog] = field(default_factory=list)


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """One step of an attempt."""

    step: str
    at: str
    allocation: Allocation | None = None
    usage: Usage | None = None
    exit_code: int | None = None
    reason: str | None = None
    message: str = ""
    tail: str = ""
    outputs: list[OutputFile] = field(default_factory=list)
    logs: list[OutputFile] = field(default_factory=list)
    tasks: list[TaskFact] = field(default_factory=list)
