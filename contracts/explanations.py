"""Why a workload is where it is."""

from __future__ import annotations

from enum import StrEnum

from .ids import WorkloadId
from .model import Model, Timestamp
from .states import WorkloadState

__all__ = ["Explanation", "Why"]


class Why(StrEnum):
    """The one reason that decides; when it is gone, the workload goes on or the next reason shows."""

    HELD = "held"
    """Somebody holds it."""
    DEPENDENCY = "dependency"
    """It waits for the end of others."""
    START_AT = "start_at"
    """Its time has not come, or the pause after those that it waited for."""
    USER_LIMIT = "user_limit"
    """Its owner runs as many as one may."""
    PROJECT_LIMIT = "project_limit"
    """Its project runs as many as one may."""
    BACKEND_AWAY = "backend_away"
    """Nobody answers for the backends that could run it."""
    TURN = "turn"
    """Others go before it."""
    BACKEND_FULL = "backend_full"
    """It is the next one, as soon as there is room."""
    HANDED_OVER = "handed_over"
    """It was let go and is on its way to the backend."""
    BACKEND_QUEUE = "backend_queue"
    """It waits in the backend's own queue."""
    STARTING = "starting"
    RUNNING = "running"
    FINISHING = "finishing"
    """Its process has ended; outputs are on the way, or another attempt follows."""
    CANCELING = "canceling"
    ENDED = "ended"


class Explanation(Model):
    """Why a workload is where it is, on what grounds, and what comes next."""

    workload_id: WorkloadId
    state: WorkloadState
    why: Why
    message: str
    """One sentence for people."""
    since: Timestamp
    """When it came to this state."""
    position: int | None = None
    """Its place among all that wait for the same backends, 1 being the next; none if it is not its turn to wait."""
    evidence: dict[str, int | float | str | list[str]] = {}
    """Figures and identifiers behind the reason; only what the caller may see."""
    next_step: str = ""
    """What will happen, or what can be done."""
