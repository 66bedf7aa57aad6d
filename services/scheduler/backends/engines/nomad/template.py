"""The `nomad.hcl` of a site: numbers are filled in before Nomad parses it, words after, so that none becomes syntax."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from contracts.errors import UnavailableError

from .api import NomadApi, Rights

__all__ = ["BUILT_IN", "Job", "Templates", "filled", "main_task", "source_of"]

Job = dict[str, Any]
"""A job as Nomad's API takes it; its shape is Nomad's, and mostly the site's."""

BUILT_IN = Path(__file__).with_name("nomad.hcl")
_NUMBERS = re.compile(
    r"(?<!\$)\$\{(CPUS|CORES|MHZ|MEMORY_MB|DISK_MB|GPUS|PRIORITY|WALLTIME|CPU_NUM|RAM|DISK|GPU_NUM)\}"
)
_LABEL = re.compile(r'^(\s*job\s+)"[^"\n]*"', re.MULTILINE)
"""Nomad takes no `${...}` in a label; what it would be called there is said by us anyway."""
_PLACE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_PARSED = TypeAdapter(Job)
_MOST = 1000
"""How many parsed templates are kept: one for each set of numbers."""


class Templates:
    """Template files, parsed by Nomad; one that was parsed with the same numbers is not parsed again."""

    def __init__(self, api: NomadApi) -> None:
        self._api = api
        self._parsed: dict[str, Job] = {}

    async def job(self, file: Path, numbers: Mapping[str, int], words: Mapping[str, str], namespace: str) -> Job:
        """Return the job that a template makes of these."""
        source = source_of(_text(file), numbers)
        if source not in self._parsed:
            parsed = await self._parse(source, file, namespace)
            while len(self._parsed) >= _MOST:
                self._parsed.pop(next(iter(self._parsed)))
            self._parsed[source] = parsed
        job: Job = filled(deepcopy(self._parsed[source]), words)
        return job

    async def _parse(self, source: str, file: Path, namespace: str) -> Job:
        body = {"JobHCL": source, "Canonicalize": False}
        response = await self._api.send(
            "POST", "/v1/jobs/parse", Rights.SUBMIT_JOB, params={"namespace": namespace}, body=body
        )
        if response.status_code == 400:
            raise UnavailableError(f"Nomad cannot parse the template {file.name}: {response.text.strip()[:500]}")
        self._api.check(response)
        parsed = self._api.read(response, _PARSED)
        main_task(parsed)
        return parsed


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise UnavailableError(f"the template of Nomad's jobs cannot be read: {error}") from error


def source_of(text: str, numbers: Mapping[str, int]) -> str:
    """Return what Nomad is to parse: with the numbers, and with a label that it takes."""
    return _LABEL.sub(r'\1"shunter"', _NUMBERS.sub(lambda found: str(numbers[found[1]]), text))


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """Return *value* with the words in the places that are named after them; what is filled in is not looked at again.

    Places that we do not know are Nomad's, such as `${NOMAD_TASK_DIR}`.
    """
    if isinstance(value, str):
        return _PLACE.sub(lambda found: words.get(found[1], found[0]), value)
    if isinstance(value, list):
        return [filled(item, words) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, words) for key, item in value.items()}
    return value


def main_task(job: Job) -> tuple[Job, Job]:
    """Return the only group, and the task in it that is to become the pilot: `main`, or the only one."""
    groups = job.get("TaskGroups") or []
    tasks = (groups[0].get("Tasks") or []) if len(groups) == 1 else []
    found = [task for task in tasks if task.get("Name") == "main"] or (tasks if len(tasks) == 1 else [])
    if not found:
        raise UnavailableError("the template of Nomad's jobs must have one group, and in it one task named 'main'")
    return groups[0], found[0]
