"""Job files as Nomad parses them: HCL into the JSON of its API, for what our templates and their like use."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import hcl2
from lark.exceptions import LarkError

__all__ = ["BadJobError", "parse_job"]

Block = dict[str, Any]
_OPTIONS = hcl2.SerializationOptions(
    strip_string_quotes=True, with_comments=False, explicit_blocks=False, preserve_heredocs=False
)
_UNITS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATIONS = frozenset({"kill_timeout", "interval", "delay", "max_delay", "shutdown_delay"})
_NAMES = {
    "cpu": "CPU", "memory": "MemoryMB", "size": "SizeMB", "attribute": "LTarget", "value": "RTarget",
    "operator": "Operand", "data": "EmbeddedTmpl", "destination": "DestPath", "env": "Envvars",
    "left_delimiter": "LeftDelim", "right_delimiter": "RightDelim", "perms": "Perms", "id": "ID",
    "max_file_size": "MaxFileSizeMB", "source": "SourcePath",
}  # fmt: skip


class BadJobError(Exception):
    """It cannot be parsed."""


def parse_job(text: str) -> Block:
    """Return the job in the words of the API; what is not said is null or left out, as Nomad does it."""
    try:
        found = hcl2.loads(text, serialization_options=_OPTIONS)
    except LarkError as error:
        raise BadJobError(f"error parsing: {str(error).splitlines()[0]}") from error
    jobs = _labelled(found, "job")
    if len(jobs) != 1:
        raise BadJobError("'job' block not found, or more than one")
    return _job(*jobs[0])


def _job(name: str, body: Block) -> Block:
    job = {"ID": name, "Name": name, **_plain(body, {"datacenters", "type", "priority", "namespace", "region", "id"})}
    job["Meta"] = _map(body, "meta")
    job["Constraints"] = _blocks(body, "constraint", _constraint)
    job["TaskGroups"] = [_group(*named) for named in _labelled(body, "group")]
    return job


def _group(name: str, body: Block) -> Block:
    group = {"Name": name, **_plain(body, {"count"}), "Meta": _map(body, "meta")}
    group["Constraints"] = _blocks(body, "constraint", _constraint)
    group["EphemeralDisk"] = next(iter(_blocks(body, "ephemeral_disk", _fields) or []), None)
    group["RestartPolicy"] = next(iter(_blocks(body, "restart", _fields) or []), None)
    group["Tasks"] = [_task(*named) for named in _labelled(body, "task")]
    return group


def _task(name: str, body: Block) -> Block:
    task = {"Name": name, **_plain(body, {"driver", "user", "leader", "kill_timeout", "kill_signal"})}
    task["Config"] = _map(body, "config")
    task["Env"] = {key: str(value) for key, value in (_map(body, "env") or {}).items()} or None
    task["Meta"] = _map(body, "meta")
    task["Constraints"] = _blocks(body, "constraint", _constraint)
    task["Templates"] = _blocks(body, "template", _fields)
    task["Artifacts"] = _blocks(body, "artifact", _artifact)
    task["Resources"] = next(iter(_blocks(body, "resources", _resources) or []), None)
    task["LogConfig"] = next(iter(_blocks(body, "logs", _fields) or []), None)
    return task


def _constraint(body: Block) -> Block:
    return {"Operand": "=", **_fields(body)}


def _artifact(body: Block) -> Block:
    return {
        "GetterSource": _value("source", body["source"]),
        "GetterOptions": _map(body, "options"),
        "GetterMode": body.get("mode"),
        "RelativeDest": body.get("destination"),
    }


def _resources(body: Block) -> Block:
    devices = [
        {"Name": name, "Count": said.get("count", 1), "Constraints": _blocks(said, "constraint", _constraint)}
        for name, said in _labelled(body, "device")
    ]
    return {**_plain(body, {"cpu", "cores", "memory"}), "Devices": devices or None}


def _fields(body: Block) -> Block:
    return _plain(body, set(body))


def _plain(body: Block, wanted: set[str]) -> Block:
    return {_name(key): _value(key, body[key]) for key in body if key in wanted}


def _name(key: str) -> str:
    return _NAMES.get(key) or "".join(part.capitalize() for part in key.split("_"))


def _value(key: str, value: Any) -> Any:
    if key in _DURATIONS and isinstance(value, str):
        found = re.fullmatch(r"(\d+)(ms|s|m|h)", value)
        if not found:
            raise BadJobError(f"{key}: {value!r} is no duration")
        return int(found[1]) * _UNITS[found[2]]
    if isinstance(value, str):
        return value.replace("$${", "${").replace("%%{", "%{")
    return [_value("", item) for item in value] if isinstance(value, list) else value


def _labelled(body: Block, key: str) -> list[tuple[str, Block]]:
    found = [(name, said) for block in body.get(key, []) for name, said in block.items()]
    if any("${" in name for name, _ in found):
        raise BadJobError("Invalid string literal; Template sequences are not allowed in this string.")
    return found


def _blocks(body: Block, key: str, make: Callable[[Block], Block]) -> list[Block] | None:
    return [make(block) for block in body.get(key, [])] or None


def _map(body: Block, key: str) -> Block | None:
    found = {name: _value("", value) for block in body.get(key, []) for name, value in block.items()}
    return found or None
