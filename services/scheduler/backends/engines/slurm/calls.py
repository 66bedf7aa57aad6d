"""Slurm's commands as objects: what is called, pure, and what its answer says, pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from contracts.errors import UnavailableError

from .batch import Batch
from .rows import Detail, Row
from .words import refusal

__all__ = [
    "Answer",
    "Call",
    "end",
    "list_details",
    "list_ended",
    "list_nodes",
    "list_queue",
    "parse_details",
    "parse_ended",
    "parse_row",
    "parse_submitted",
    "show_config",
    "submit",
    "warn",
]


@dataclass(frozen=True, slots=True)
class Call:
    """A command with its input; secrets are in the environment only."""

    argv: tuple[str, ...]
    stdin: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    enough: float | None = None
    """Seconds after which it has done what it can, and is ended."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    stdout: str
    stderr: str
    status: int

    def expect(self, what: str) -> str:
        """Return the output of a command that only fails when Slurm is away."""
        if self.status != 0:
            raise UnavailableError(f"{what}: {self.stderr.strip() or f'exit code {self.status}'}", retry_after=5.0)
        return self.stdout


_QUEUE = "JobArrayID:|,SubmitTime:|,Name:|,State:|,exit_code:|,RestartCnt:|,NodeList:|,Reason:"
_DETAILS = "ArrayJobID:|,SubmitTime:|,Name:|,Comment:"
_NODES = (
    "NodeList:|,Partition:|,Available:|,Time:|,CPUsState:|,Memory:|,AllocMem:|,Gres:|,GresUsed:|,StateLong:|,Reason:"
)
_TOLD = 2.0
"""Seconds in which a signal is surely given."""

_ENDED = "JobID,Submit,JobName,State,ExitCode,NodeList"
_WHOLE = {"LC_ALL": "C", "SLURM_BITSTR_LEN": "0", "SLURM_TIME_FORMAT": "%s"}
"""Lists of the tasks of an array are not cut short, and times are seconds since 1970, whatever the time zone."""


def submit(batch: Batch, work: str) -> Call:
    """Build `sbatch`."""
    options = batch.choices.options
    given: dict[str, object] = {
        "job-name": batch.name,
        "comment": batch.comment,
        "chdir": work,
        "output": f"{work}/logs/{'%A_%a' if batch.tasks else '%j'}.log",
        "nodes": batch.nodes,
        "ntasks": batch.processes,
        "ntasks-per-node": batch.processes_per_node if batch.nodes > 1 else None,
        "cpus-per-task": batch.cpus,
        "mem": batch.memory and f"{batch.memory}M",
        "gres": batch.gres,
        "time": batch.minutes,
        "signal": f"B:TERM@{batch.warn}" if batch.warn else None,
        "array": f"0-{batch.tasks - 1}" if batch.tasks else None,
        "nice": batch.nice,
        "export": "ALL",
        "partition": options.partition,
        "account": options.account,
        "qos": options.qos,
        "reservation": options.reservation,
        "constraint": options.constraint,
        "nodelist": options.nodelist,
    }
    flags = ("--parsable", "--no-requeue", *(("--exclusive",) if options.exclusive else ()))
    words = (f"--{name}={value}" for name, value in given.items() if value)
    return Call(("sbatch", *flags, *words), batch.script, batch.env)


def parse_submitted(answer: Answer) -> str:
    """Return the number of the job; `RefusedError` in Slurm's own words, or `UnavailableError`."""
    if answer.status != 0:
        raise refusal(answer.stderr, f"sbatch ended with {answer.status}")
    lines = answer.stdout.split()
    number = lines[-1].partition(";")[0] if lines else ""
    if not number.isdigit():
        raise UnavailableError(f"sbatch said no number: {answer.stdout.strip()!r}", retry_after=5.0)
    return number


def list_queue() -> Call:
    """Build the question for all jobs of our user, also those that ended lately."""
    return Call(("squeue", "--me", "--all", "--noheader", "--states=all", f"--Format={_QUEUE}"), env=_WHOLE)


def parse_row(line: str) -> Row | None:
    """Read a line of the queue; None if it is something else."""
    parts = line.split("|", 7)
    if len(parts) != 8 or not parts[4].isdigit():
        return None
    job, submitted, name, state, status, restarts, nodes, reason = parts
    return Row(job, name, state, int(status), int(restarts or 0), nodes, reason.strip(), "", _time(submitted))


def _time(word: str) -> int:
    return int(word) if word.isdigit() else 0


def list_details(numbers: Collection[str]) -> Call:
    """Build the question for the comments of jobs and arrays, and when they were submitted."""
    argv = ("squeue", "--all", "--noheader", "--states=all", f"--jobs={','.join(numbers)}")
    return Call((*argv, f"--Format={_DETAILS}"), env=_WHOLE)


def parse_details(text: str) -> Iterator[Detail]:
    """Read the answer: each array is in it once or several times."""
    for line in dict.fromkeys(text.splitlines()):
        parts = line.split("|", 3)
        if len(parts) == 4:
            number, submitted, name, comment = parts
            yield Detail(number, _time(submitted), name, comment.strip())


def list_ended(ids: Iterable[str], *, completions: bool) -> Call:
    """Build the question for jobs that the queue has forgotten."""
    source = ("--completion",) if completions else ()
    argv = ("sacct", *source, "--duplicates", "--noheader", "--parsable2", "--allocations", f"--jobs={','.join(ids)}")
    return Call((*argv, f"--format={_ENDED}"), env=_WHOLE)


def parse_ended(text: str) -> Iterator[Row]:
    """Read what `sacct` knows."""
    for line in text.splitlines():
        parts = line.split("|", 5)
        if len(parts) == 6:
            job, submitted, name, state, code, nodes = parts
            exit_code, _, signal = code.partition(":")
            status = (int(exit_code or 0) << 8) | int(signal or 0)
            yield Row(job, name, state, status, 0, nodes, "", submitted=_time(submitted))


def warn(ids: Collection[str]) -> Call:
    """Build what tells the pilots of jobs that run, and not their programs.

    A task of an array is told at once, but while others of its array wait, Slurm 22.05 says that it should be tried
    later, and `scancel` does so for a minute. Never say `--state=PENDING`: tasks that wait are one record, and all go.
    """
    tasks = any("_" in native_id for native_id in ids)
    return Call(("scancel", "--batch", "--signal=TERM", *ids), enough=_TOLD if tasks else None)


def end(ids: Collection[str]) -> Call:
    """Build what ends jobs with all their processes."""
    return Call(("scancel", *ids))


def list_nodes(partitions: Collection[str] = ()) -> Call:
    """Build the question for all nodes."""
    wanted = (f"--partition={','.join(partitions)}",) if partitions else ()
    return Call(("sinfo", "--Node", "--noheader", *wanted, f"--Format={_NODES}"), env=_WHOLE)


def show_config() -> Call:
    """Build the question for the configuration."""
    return Call(("scontrol", "show", "config"), env=_WHOLE)
