"""What differs from task to task of a bundle: arguments, environment, inputs and outputs, words filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from .census import MARKER
from .environment import environment
from .folder import RunFolder
from .means import Means
from .process import find_program
from .ranges import numbers_of
from .words import Bundle, FrozenInput, Input, Output, Task, read

__all__ = ["BundleTexts", "Key", "fill"]

Key = tuple[int, int]
"""A task's number and attempt."""

_PLACE = re.compile(r"\{(index|item)\}")


def fill(text: str, index: int, item: str | None) -> str:
    """Put a task's number and item into a text; what else stands in braces is left as it is."""
    if "{i" not in text:
        return text
    word = str(index) if item is None else item
    return _PLACE.sub(lambda found: str(index) if found[1] == "index" else word, text)


class BundleTexts:
    """Fills in a bundle's texts."""

    def __init__(self, *, task: Task, bundle: Bundle, folder: RunFolder, means: Means) -> None:
        self._task = task
        self._bundle = bundle
        self._folder = folder
        self._means = means
        indices = numbers_of(bundle.indices)
        self._items = dict(zip(indices, bundle.items)) if bundle.items is not None else {}
        # As JSON has it, numbers are words where they are names.
        self.keys: list[Key] = [(index, int(bundle.attempts.get(str(index), 1))) for index in indices]
        self._base = environment(task, folder, means.backend, given=means.given, mpirun=means.terms.mpirun)
        self._script: list[str] | None = None

    def env(self, key: Key, folder: RunFolder) -> dict[str, str]:
        """Return the environment of a task."""
        index, attempt = key
        item = self._items.get(index)
        env = dict(self._base)
        env.update({name: fill(value, index, item) for name, value in self._task.env.items()})
        env["TMPDIR"] = str(folder.temporary)
        env["SHUNTER_ATTEMPT"] = str(attempt)
        env["SHUNTER_ARRAY_INDEX"] = str(index)
        if item is not None:
            env["SHUNTER_ARRAY_ITEM"] = item
        env[MARKER] = folder.name
        return env

    def argv(self, key: Key, folder: RunFolder, env: Mapping[str, str]) -> list[str]:
        """Return the program and its arguments; raises `SpawnError` if there is no such program."""
        if self._task.script is not None:
            self._script = self._script or self._folder.write_script(self._task.script)
            return self._script
        index, item = key[0], self._items.get(key[0])
        argv = [fill(word, index, item) for word in self._task.argv or [""]]
        return find_program(argv, env["PATH"], folder.work)

    def own_inputs(self, index: int) -> list[FrozenInput]:
        """Return the inputs that only this task reads."""
        item = self._items.get(index)
        found = []
        for raw in self._bundle.sources:
            wanted = read(Input, {"target": raw.get("path") or raw["source"].rpartition("/")[2], **raw})
            frozen = read(FrozenInput, self._bundle.inputs[fill(wanted.source, index, item)])
            found.append(replace(frozen, target=fill(wanted.target, index, item)))
        return found

    def shared_targets(self, index: int) -> list[tuple[str, str]]:
        """Return the inputs that all tasks read: how each lies in the shared folder, and where this task expects it."""
        item = self._items.get(index)
        return [(frozen.target, fill(frozen.target, index, item)) for frozen in self._task.inputs]

    def outputs(self, index: int) -> list[Output]:
        """Return what this task is to leave behind."""
        item = self._items.get(index)
        return [replace(output, path=fill(output.path, index, item)) for output in self._task.outputs]
