"""What every run on this node works with."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .carrier import Carrier
from .census import Census
from .gpus import Gpus
from .isolation.isolation import Isolation
from .link import Link
from .settings import RunnerSection
from .views import Views

if TYPE_CHECKING:
    from .containers.containers import Containers

__all__ = ["Means"]


@dataclass(frozen=True, slots=True)
class Means:
    """The node's own things, shared by all runs."""

    link: Link
    carrier: Carrier
    census: Census
    gpus: Gpus
    section: RunnerSection
    views: Views
    isolation: Isolation
    containers: Containers | None = None
    """What runs images, if anything does."""
    spare: deque[Path] = field(default_factory=deque)
    """Empty folders for tasks to come."""
