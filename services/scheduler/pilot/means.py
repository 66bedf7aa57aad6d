"""What every run of a pilot works with."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .census import Census
from .gpus import Gpus
from .link import Link
from .system import node_name
from .views import Views
from .words import Allocation, Task, Terms

if TYPE_CHECKING:
    from .transfer import Transfer
    from .wire import Wire

__all__ = ["Means"]


@dataclass
class Means:
    """The pilot's own things, shared by its runs."""

    link: Link
    terms: Terms
    backend: str
    work: Path
    """The folder of the runs' folders."""
    given: Mapping[str, str]
    """The environment that the cluster gave us."""
    census: Census
    gpus: Gpus
    views: Views
    mounted: str = ""
    """A folder that the engine has put where programs expect theirs."""
    ca: str = ""
    _threads: ThreadPoolExecutor | None = None
    _wire: Wire | None = None

    def transfer(self, task: Task) -> Transfer:
        """Return the transfers of a run; what they need is loaded when the first file travels."""
        from .transfer import Transfer, open_threads
        from .wire import Wire

        if self._threads is None or self._wire is None:
            self._threads, self._wire = open_threads(self.terms.transfers), Wire(self.ca)
        return Transfer(link=self.link, threads=self._threads, wire=self._wire, task=task, patience=self.terms.patience)

    def allocation(self, task: Task) -> Allocation:
        """Return the room that a task holds here."""
        said = self.given.get("CUDA_VISIBLE_DEVICES", "") if task.gpus else ""
        return Allocation(
            backend=self.backend,
            node=node_name(),
            cpus=task.cpus,
            memory=task.memory or 0,
            gpus=task.gpus,
            gpu_model=(self.gpus.model or task.gpu_model or "") if task.gpus else "",
            gpu_indices=[int(word) for word in said.split(",") if word.strip().isdigit()],
        )
