"""What every run on this node works with."""

from __future__ import annotations

from dataclasses import dataclass

from .carrier import Carrier
from .census import Census
from .gpus import Gpus
from .link import Link
from .settings import RunnerSection

__all__ = ["Means"]


@dataclass(frozen=True, slots=True)
class Means:
    """The node's own things, shared by all runs."""

    link: Link
    carrier: Carrier
    census: Census
    gpus: Gpus
    section: RunnerSection
