"""What the configuration of a cluster decides for us, and how Slurm writes times."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

__all__ = ["ConfigFacts", "minutes_of", "read_config"]

_SPAN = re.compile(r"^(?:(?P<days>\d+)-)?(?:(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+)$")


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """Lines of `scontrol show config` that decide something for us."""

    over_time: int = 0
    """`OverTimeLimit`: minutes by which a job may run longer than it said."""
    largest_array: int = 1001
    """`MaxArraySize`: the smallest index that no task may have."""
    has_accounting: bool = False
    """Whether `sacct` answers from slurmdbd."""
    has_completions: bool = False
    """Whether `sacct --completion` answers from the file of ended jobs."""
    booted: str = ""
    """`BOOT_TIME`: when the controller was started."""
    kept: float = 300.0
    """`MinJobAge`: seconds for which the queue knows jobs that have ended."""


def minutes_of(words: str) -> int | None:
    """Read a time limit such as `1-00:00:00`, `30:00` or `infinite`, which is None."""
    found = _SPAN.match(words.strip())
    if found is None:
        return None
    parts = {name: int(value or 0) for name, value in found.groupdict().items()}
    return parts["days"] * 1440 + parts["hours"] * 60 + parts["minutes"]


def read_config(text: str) -> ConfigFacts:
    """Read `scontrol show config`."""
    values = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in text.splitlines())}
    over = values.get("OverTimeLimit", "0").split()[0]
    return ConfigFacts(
        over_time=int(over) if over.isdigit() else 10**6,
        largest_array=int(values.get("MaxArraySize", "1001")),
        has_accounting=values.get("AccountingStorageType", "").endswith("slurmdbd"),
        booted=values.get("BOOT_TIME", ""),
        kept=_seconds(values.get("MinJobAge", "300 sec")),
        has_completions=values.get("JobCompType", "").endswith("filetxt"),
    )


def _seconds(words: str) -> float:
    """Read a span such as `300 sec`; 0 is forever."""
    return float(words.split(maxsplit=1)[0]) or math.inf
