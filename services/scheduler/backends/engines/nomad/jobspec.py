"""An order as a batch job of Nomad."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from contracts.errors import InvalidError, UnavailableError
from services.scheduler.backends.engines.base import Order

from .settings import Constraint, NomadOptions, NomadSettings
from .template import Job, main_task

__all__ = ["Terms", "dressed", "numbers_of", "words_of"]

_SECOND = 10**9
_MIB = 2**20
_ENTRY = "${NOMAD_TASK_DIR}/shunter.sh"
_DELIMITERS = "<[shunter[", "]shunter]>"
"""Nothing in the script is to be taken for a template of Consul's."""
_OPENING = """\
#!/bin/sh
: "${SHUNTER_PILOT_WORK:=${NOMAD_TASK_DIR:-.}/runs}"
export SHUNTER_PILOT_WORK
mkdir -p "$SHUNTER_PILOT_WORK"
"""
_ITS_GPUS = """\
if [ -z "${CUDA_VISIBLE_DEVICES:-}" ] && [ -n "${NVIDIA_VISIBLE_DEVICES:-}" ]; then
  case "$NVIDIA_VISIBLE_DEVICES" in
    all|none|void) ;;
    *) CUDA_VISIBLE_DEVICES="$NVIDIA_VISIBLE_DEVICES"; export CUDA_VISIBLE_DEVICES ;;
  esac
fi
"""
"""Nomad says which devices a task was given in the words of NVIDIA's container runtime; programs look elsewhere."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the order becomes on this cluster."""

    namespace: str
    datacenters: tuple[str, ...]
    mhz: int
    """What one CPU is."""


def numbers_of(order: Order, settings: NomadSettings, terms: Terms) -> dict[str, int]:
    """Return the numbers that a template may use; some by the names that the first templates gave them."""
    cores = max(1, math.ceil(order.cpus))
    memory = math.ceil((order.memory or settings.memory) / _MIB)
    disk = math.ceil(settings.disk / _MIB)
    return {
        "CPUS": cores,
        "CORES": cores,
        "CPU_NUM": cores,
        "MHZ": max(1, math.ceil(order.cpus * terms.mhz)),
        "MEMORY_MB": memory,
        "RAM": memory,
        "DISK_MB": disk,
        "DISK": disk,
        "GPUS": order.gpus,
        "GPU_NUM": order.gpus,
        "PRIORITY": min(100, max(1, settings.priority + order.priority)),
        "WALLTIME": math.ceil(order.walltime),
    }


def words_of(order: Order, settings: NomadSettings, terms: Terms) -> dict[str, str]:
    """Return the words that a template may use. None of them holds anything that Nomad would fill in later."""
    image = order.image or ""
    if "${" in image:
        raise InvalidError.of("image", "'${' cannot be in the name of an image")
    name, _, tag = image.rpartition(":") if ":" in image.rsplit("/", 1)[-1] else (image, "", "latest")
    env = order.launch.env
    return {
        "NAME": order.name,
        "JOB_UUID": order.name,
        "HOSTNAME": order.name,
        "OWNER": _tame(order.owner),
        "PROJECT": _tame(order.project or ""),
        "TITLE": _tame(order.title),
        "NAMESPACE": terms.namespace,
        "DRIVER": settings.image_driver if order.image else settings.driver,
        "IMAGE": image,
        "DOCKER_IMAGE": name,
        "DOCKER_TAG": tag,
        "GPU_MODEL": _tame(order.gpu_model or ""),
        "PILOT_URL": env.get("SHUNTER_PILOT_URL", ""),
        "PILOT_SHA256": env.get("SHUNTER_PILOT_SHA256", ""),
    }


def _tame(word: str) -> str:
    """Return what a user wrote as one line of bounded length, in which Nomad finds nothing to fill in."""
    line = "".join(letter if letter.isprintable() else " " for letter in word)
    return line.replace("${", "$ {")[:200]


def dressed(job: Job, order: Order, options: NomadOptions, settings: NomadSettings, terms: Terms) -> Job:
    """Return the template's *job* with everything that must be so, whatever the template says."""
    if order.nodes > 1:
        raise InvalidError.of(
            "resources.nodes", "a native job on Nomad is one allocation on one node: ask for nodes: 1"
        )
    group, task = main_task(job)
    job |= {
        "ID": order.name,
        "Name": order.name,
        "Type": "batch",
        "Namespace": terms.namespace,
        "Region": settings.region,
        "Priority": job.get("Priority") or numbers_of(order, settings, terms)["PRIORITY"],
        "Datacenters": _datacenters(job.get("Datacenters") or list(terms.datacenters), options.datacenters),
        "Constraints": [*(job.get("Constraints") or []), *_constraints(order, options, settings)],
    }
    group |= {
        "Count": 1,
        # What ended is ours to start again: elsewhere perhaps, and with another attempt.
        "RestartPolicy": {"Attempts": 0, "Interval": 1800 * _SECOND, "Delay": 15 * _SECOND, "Mode": "fail"},
        "ReschedulePolicy": {"Attempts": 0, "Interval": 0, "Unlimited": False},
    }
    _dress(task, order, settings, terms)
    return job


def _datacenters(open_ones: list[str], wished: list[str]) -> list[str]:
    """Return those of the site that a job wants to go to; the site may have said a pattern (Nomad 1.5 and newer)."""
    if not wished:
        return open_ones
    found = [name for name in wished if any(fnmatchcase(name, pattern) for pattern in open_ones)]
    if not found:
        offered = ", ".join(open_ones) or "none"
        raise InvalidError.of(
            "placement.options.nomad.datacenters", f"none of them is open to jobs; there are: {offered}"
        )
    return found


def _dress(task: Job, order: Order, settings: NomadSettings, terms: Terms) -> None:
    numbers = numbers_of(order, settings, terms)
    given: Mapping[str, Any] = task.get("Resources") or {}
    room = {"Cores": numbers["CORES"]} if settings.cores else {"CPU": numbers["MHZ"]}
    if given.get("CPU") or given.get("Cores"):
        room = {}
    task |= {
        "Leader": True,
        "KillSignal": "SIGTERM",
        "KillTimeout": task.get("KillTimeout") or round(settings.kill_timeout * _SECOND),
        "RestartPolicy": None,
        "Config": _started(order) | (task.get("Config") or {}),
        "Env": _environment(order) | (task.get("Env") or {}),
        "Resources": {"MemoryMB": numbers["MEMORY_MB"], **_said(given), **room, **_devices(order, settings)},
        "Templates": [*(task.get("Templates") or []), _script(order)],
    }
    if settings.user:
        task["User"] = settings.user


def _said(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def _started(order: Order) -> dict[str, Any]:
    """Return what the driver is told; a template may say otherwise, key by key."""
    if order.image:
        return {"image": order.image, "entrypoint": ["/bin/sh", _ENTRY]}
    return {"command": "/bin/sh", "args": [_ENTRY]}


def _environment(order: Order) -> dict[str, str]:
    if any("${" in value for value in order.launch.env.values()):
        raise UnavailableError("the pilot's environment holds '${', which Nomad would fill in")
    hidden = {} if order.gpus or order.image else {"CUDA_VISIBLE_DEVICES": ""}
    return {**hidden, **order.launch.env}


def _script(order: Order) -> Job:
    left, right = _DELIMITERS
    return {
        "EmbeddedTmpl": _OPENING + (_ITS_GPUS if order.gpus else "") + order.launch.script,
        "DestPath": "local/shunter.sh",
        "Perms": "0755",
        "ChangeMode": "noop",
        "LeftDelim": left,
        "RightDelim": right,
    }


def _devices(order: Order, settings: NomadSettings) -> dict[str, list[Job]]:
    if not order.gpus:
        return {}
    constraints: list[Job] = []
    if order.gpu_model and not settings.gpu_meta:
        constraints.append(_model("${device.model}", order.gpu_model))
    if order.gpu_memory:
        memory = f"{math.ceil(order.gpu_memory / _MIB)} MiB"
        constraints.append({"LTarget": "${device.attr.memory}", "Operand": ">=", "RTarget": memory})
    return {"Devices": [{"Name": settings.gpu_device, "Count": order.gpus, "Constraints": constraints}]}


def _constraints(order: Order, options: NomadOptions, settings: NomadSettings) -> list[Job]:
    found = [_constraint(each) for each in (*settings.constraints, *options.constraints)]
    if options.node_class:
        found.append({"LTarget": "${node.class}", "Operand": "=", "RTarget": options.node_class})
    if order.gpus and order.gpu_model and settings.gpu_meta:
        found.append(_model(f"${{meta.{settings.gpu_meta}}}", order.gpu_model))
    return found


def _constraint(said: Constraint) -> Job:
    return {"LTarget": said.attribute, "Operand": said.operator, "RTarget": said.value}


def _model(attribute: str, model: str) -> Job:
    """Take a model for a whole word of the full one: `A100` is an `NVIDIA A100-SXM4-40GB`, `T4` is no `T400`."""
    escaped = "".join(letter if letter.isalnum() or letter in " _" else f"\\{letter}" for letter in model)
    return {"LTarget": attribute, "Operand": "regexp", "RTarget": rf"(?i)(^|[^a-z0-9]){escaped}($|[^a-z0-9])"}
