"""What differs from task to task of a bundle: arguments, environment, inputs and outputs, words filled in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from contracts.arrays import fill
from contracts.holdings import Allocation
from contracts.ranges import Ranges
from contracts.runs import FrozenInput, RunBundle, RunTask
from contracts.spec import Output
from services.scheduler.pilot.census import MARKER
from services.scheduler.pilot.process import find_program

from .bundle_folder import Key
from .environment import environment, visible_gpus
from .journal import RunFolder
from .settings import RunnerSection

__all__ = ["BundleTexts"]


class BundleTexts:
    """Fills in a bundle's texts."""

    def __init__(self, *, task: RunTask, bundle: RunBundle, folder: RunFolder, section: RunnerSection) -> None:
        self.indices = list(Ranges.parse(bundle.indices))
        self._task = task
        self._bundle = bundle
        self._folder = folder
        self._section = section
        self._items = dict(zip(self.indices, bundle.items, strict=True)) if bundle.items is not None else {}
        self._base: dict[str, str] | None = None
        self._script: list[str] | None = None
        self._programs: dict[str, list[str]] = {}

    def keys(self) -> list[Key]:
        """Return the tasks and the numbers of their attempts."""
        return [(index, self._bundle.attempts.get(index, 1)) for index in self.indices]

    def env(self, key: Key, folder: RunFolder, allocation: Allocation, *, has_gpus: bool) -> dict[str, str]:
        """Return the environment of a task."""
        index, attempt = key
        item = self._items.get(index)
        if self._base is None:
            self._base = environment(
                *(self._task, self._folder, allocation),
                path=self._section.path,
                inherit=self._section.inherit,
                has_gpus=has_gpus,
            )
        env = dict(self._base)
        env.update({name: fill(value, index, item) for name, value in self._task.env.items()})
        env["TMPDIR"] = str(folder.temporary)
        env["SHUNTER_ATTEMPT"] = str(attempt)
        env["SHUNTER_ARRAY_INDEX"] = str(index)
        if item is not None:
            env["SHUNTER_ARRAY_ITEM"] = item
        env[MARKER] = folder.name
        if has_gpus:
            env.update(visible_gpus(allocation))
        return env

    def argv(self, key: Key, folder: RunFolder, env: Mapping[str, str]) -> list[str]:
        """Return the program and its arguments; raises `SpawnError` if there is no such program."""
        if self._task.script is not None:
            self._script = self._script or self._folder.write_script(self._task.script)
            return self._script
        index, item = key[0], self._items.get(key[0])
        argv = [fill(word, index, item) for word in self._task.argv or [""]]
        if "/" in argv[0] or env["PATH"] != (self._base or {}).get("PATH"):
            return find_program(argv, env["PATH"], folder.work)
        # A program that lies in a folder of the PATH lies there for all tasks.
        if argv[0] not in self._programs:
            found = find_program(argv[:1], env["PATH"], folder.work)
            if found[0].startswith(str(folder.path) + os.sep):
                return [*found, *argv[1:]]
            self._programs[argv[0]] = found
        return [*self._programs[argv[0]], *argv[1:]]

    def words(self, key: Key, folder: RunFolder) -> list[str] | None:
        """Return what is run in an image; none if it is the script, which is then in the task's folder."""
        if self._task.script is not None:
            folder.write_script(self._task.script)
            return None
        index, item = key[0], self._items.get(key[0])
        return [fill(word, index, item) for word in self._task.argv or [""]]

    def targets(self, index: int) -> list[str]:
        """Return where the inputs of a task lie in its folder."""
        return [*(target for _, target in self.shared_targets(index)), *(own.target for own in self.own_inputs(index))]

    @property
    def script(self) -> Path:
        """Return where the script of all tasks lies, if they have one."""
        return self._folder.script

    def own_inputs(self, index: int) -> list[FrozenInput]:
        """Return the inputs that only this task reads."""
        item = self._items.get(index)
        found = []
        for wanted in self._bundle.sources:
            frozen = self._bundle.inputs[fill(wanted.source, index, item)]
            found.append(frozen.model_copy(update={"target": fill(wanted.target, index, item)}))
        return found

    def shared_targets(self, index: int) -> list[tuple[str, str]]:
        """Return the inputs that all tasks read: how each lies in the shared folder, and where this task expects it."""
        item = self._items.get(index)
        return [(frozen.target, fill(frozen.target, index, item)) for frozen in self._task.inputs]

    def outputs(self, index: int) -> list[Output]:
        """Return what this task is to leave behind."""
        item = self._items.get(index)
        return [output.model_copy(update={"path": fill(output.path, index, item)}) for output in self._task.outputs]
