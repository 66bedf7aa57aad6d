"""The names of jobs: `<seconds>.<milliseconds>` for psik's clients, and what each run of one is called here."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable

from contracts.ids import workload_id_from

__all__ = ["BACKEND", "CUT", "JOB", "NAME", "RUN", "SEALED", "Stamps", "native_id", "upload_folder", "uploads_of"]

JOB, RUN = "psik.job", "psik.ndx"
"""Labels of every run: which job's, and which in the row."""

BACKEND, NAME, CUT, SEALED = "psik.backend", "psik.name", "psik.cut", "psik.client"
"""Labels of some: the backend as the client called it, a name that is none of ours, what was not there to be asked
for, and the sealed secret of those who may report."""

_NOBODY = ""
"""No subject is empty: nobody's `Idempotency-Key` makes such an identifier."""

_STAMP = re.compile(r"[0-9]{1,15}\.[0-9]{0,9}")


def native_id(jobid: str, ndx: int) -> str:
    """Return the identifier of a run of a job; whoever knows the one knows the other, without asking."""
    return workload_id_from(_NOBODY, f"psik {jobid} {ndx}")


def uploads_of(jobid: str) -> str:
    """Return where in its owner's files lies what was uploaded for a job."""
    return f"psik/{jobid}/"


def upload_folder(jobid: str, ndx: int) -> str:
    """Return where lies what was uploaded for one run of a job."""
    return f"{uploads_of(jobid)}{ndx}/"


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


class Stamps:
    """Gives out names: the present moment, later than any before. Other processes may give out the same one."""

    def __init__(self, clock: Callable[[], int] = _milliseconds) -> None:
        self._clock = clock
        self._last = 0

    @staticmethod
    def is_stamp(text: str) -> bool:
        """Say whether a text has the form of a name."""
        return bool(_STAMP.fullmatch(text))

    def next(self) -> str:
        """Return a name that this process has not given out."""
        self._last = max(self._clock(), self._last + 1)
        return f"{self._last // 1000}.{self._last % 1000:03d}"

    def skip(self) -> None:
        """Get out of step with whoever gives out the same names at the same time."""
        self._last += secrets.randbelow(16)
