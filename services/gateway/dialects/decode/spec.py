"""A decode job as one of ours, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from contracts.applications import ApplicationCall
from contracts.errors import InvalidError
from contracts.mail import Notify
from contracts.spec import JobSpec, clean_path
from contracts.states import WorkloadState

from .models import Environments, HardwareSpecs, InputJobAttributes, JobCreate
from .settings import DecodeSettings, Environment
from .states import JobStates, status_of

__all__ = ["JOB", "OUTPUTS", "folders_of", "job_of", "name_of", "native_spec"]

JOB = {"decode.job": "1"}
"""The label of every job that came in here."""

_ASKED, _NAME = "decode.asked", "decode.name"
"""Labels: what was asked for as far as our spec says it otherwise, and a name that is none of ours."""

OUTPUTS = ("output", "log", "artifact")
"""What jobs leave behind: each in the area of this name, in a folder of the job's name."""

_MEGABYTE = 2**20

_SLASH = "\N{DIVISION SLASH}"
"""Stands for `/` in our names, which have none."""


def native_spec(wish: JobCreate, settings: DecodeSettings) -> JobSpec:
    """Return what is run; raises `InvalidError` for folders that cannot be, and what speaks against our spec."""
    return JobSpec(
        name=wish.job_name.replace("/", _SLASH),
        unique_name=True,
        application=_call(wish),
        resources=_resources(wish.hardware or HardwareSpecs()),
        placement=_placement(wish.environment, settings),
        priority=wish.priority or 0,
        notify=Notify(required=False) if settings.mail else None,
        labels={**JOB, _ASKED: _asked(wish), **({_NAME: wish.job_name} if "/" in wish.job_name else {})},
    )


def _call(wish: JobCreate) -> ApplicationCall:
    named = wish.application
    return ApplicationCall(
        application=named.application,
        version=named.version,
        entrypoint=named.entrypoint,
        inputs=_inputs(wish.attributes.files_down),
        env=wish.attributes.env_vars or {},
        outputs=folders_of(wish.job_name),
    )


def _inputs(wanted: InputJobAttributes) -> dict[str, list[str]]:
    if wanted.config_id is None:
        raise InvalidError("config_id: name a folder of config/")
    named = {
        "config_id": [_folder("config", wanted.config_id)],
        "data_ids": [_folder("data", name) for name in wanted.data_ids or ()],
        "artifact_ids": [_folder("artifact", name) for name in wanted.artifact_ids or ()],
    }
    return {argument: folders for argument, folders in named.items() if folders}


def _folder(area: str, name: str) -> str:
    """Return a folder of an area; there is no way out of it."""
    try:
        return f"{area}/{clean_path(name.strip('/'))}"
    except ValueError as error:
        raise InvalidError(f"{area}/{name[:64]}: {error}") from None


def folders_of(name: str) -> dict[str, str]:
    """Return where what a job leaves behind is kept."""
    return {area: f"{area}/{name}" for area in OUTPUTS}


def _resources(wanted: HardwareSpecs) -> dict[str, Any]:
    """Return what was asked for and nothing else: the rest is the application's to say."""
    gpu = {
        "model": wanted.gpu_model,
        "architecture": wanted.gpu_archi,
        "memory": wanted.gpu_mem and wanted.gpu_mem * _MEGABYTE,
    }
    gpus = {name: value for name, value in gpu.items() if value is not None}
    found = {
        "cpus": wanted.cpu_cores,
        "memory": wanted.memory and wanted.memory * _MEGABYTE,
        "gpus": {"count": 1, **gpus} if gpus else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _placement(environment: Environments, settings: DecodeSettings) -> dict[str, Any]:
    place = settings.environments.get(environment or "any", Environment())
    found = place.model_dump(exclude_defaults=True)
    return {**found, "environment": environment} if found and environment else found


def _asked(wish: JobCreate) -> str:
    hardware = wish.hardware.model_dump(exclude_none=True) if wish.hardware else None
    said = {"environment": wish.environment, "hardware": hardware, "env": wish.attributes.env_vars is not None}
    return orjson.dumps(said).decode()


# --- and back ---------------------------------------------------------------------------------------------------


def name_of(record: Mapping[str, Any]) -> str:
    """Return the name of a job as its owner wrote it."""
    return str(record["labels"].get(_NAME, record["name"]))


def job_of(record: Mapping[str, Any], email: str) -> dict[str, Any]:
    """Return a job of ours, as it was written, as decode shows it to its owner."""
    asked = orjson.loads(record["labels"][_ASKED])
    call, name = record["spec"]["application"], name_of(record)
    status = status_of(WorkloadState(record["state"]), record.get("phase", ""))
    return {
        "id": record["number"],
        "date_created": _naive(record["created_at"]),
        "date_started": _naive(record["started_at"]),
        "date_finished": _naive(record["finished_at"]),
        "status": status,
        "runtime_details": _details(record, status),
        "paths_out": folders_of(name),
        "job_name": name,
        "environment": asked["environment"],
        "priority": record["spec"]["priority"],
        "application": {part: call[part] for part in ("application", "version", "entrypoint")},
        "attributes": {
            "files_down": _ids(call["inputs"]),
            "env_vars": call["env"] if asked["env"] else None,
        },
        "hardware": dict.fromkeys(HardwareSpecs.model_fields) | (asked["hardware"] or {}),
        "user_id": record["owner"],
        "user_email": email,
    }


def _details(record: Mapping[str, Any], status: JobStates) -> str | None:
    """Return why a job failed and the end of its log, or how far the log of one that runs has come.

    Whoever has finished has its files to tell of it, and nothing else does.
    """
    if status is JobStates.FINISHED:
        return None
    said = [record["message"]] if status is JobStates.ERROR and record["message"] else []
    if tail := record.get("tail"):
        said.append(f"Logs:\n{tail}")
    return "\n".join(said) or None


def _ids(inputs: Mapping[str, list[str]]) -> dict[str, Any]:
    def names(argument: str) -> list[str]:
        return [folder.partition("/")[2] for folder in inputs.get(argument, ())]

    return {
        "config_id": next(iter(names("config_id")), None),
        "data_ids": names("data_ids"),
        "artifact_ids": names("artifact_ids"),
    }


def _naive(moment: str | None) -> str | None:
    """Return a moment as decode writes it: in UTC, without saying so."""
    return moment.removesuffix("Z") if moment else None
