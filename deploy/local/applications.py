"""The applications of a demo stack: written once into its data folder, then its owner's to change."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

__all__ = ["APPLICATIONS", "write_applications"]

APPLICATIONS = "application_config.yaml"
"""The file's name in the data folder, where the scheduler looks for it."""

_HEADER = """\
# What users may start by name. `shunter up --demo` wrote this once; change it as you like:
# it is read again within seconds, and while it is broken, what it said before is still offered.
# Programs run in a folder of their own that they see as /files.
"""

_ALL = {"config_id": "config", "data_ids": "data", "artifact_ids": "artifact"}


def write_applications(data: Path) -> None:
    """Write the file, unless there is one."""
    path = data / APPLICATIONS
    if not path.exists():
        path.write_text(_HEADER + yaml.safe_dump(_applications(), sort_keys=False, width=120))


def _applications() -> dict[str, Any]:
    program = [shlex.quote(sys.executable), "-m", "deploy.local.demo.packaged"]
    train = [
        *(*program, "train"),
        "--calib_path=$(find /files/data -type f | sort | head -n 1)",
        "--param_path=$(find /files/config -name '*.yaml' | head -n 1)",
        *("--model_path=/files/model", "--log_path=/files/log"),
    ]
    predict = [
        *(*program, "predict"),
        "--model=$(find /files/artifact -name model.json | head -n 1)",
        "--output_path=/files/output",
    ]
    return {
        "decode": {"v0_10_1": {"train": _entrypoint(train, {"log": "log", "artifact": "model"}, timeout=18000)}},
        "curve": {
            "v1": {
                "predict": _entrypoint(predict, {"output": "output"}, env=["GREETING"], timeout=600),
                "fail": _entrypoint([*program, "fail"], {"output": "output", "log": "log"}, timeout=600),
            }
        },
    }


def _entrypoint(cmd: list[str], files_up: dict[str, str], *, timeout: int, env: list[str] | None = None) -> Any:
    return {
        "app": {"cmd": cmd, "env": env or []},
        "handler": {"files_down": dict(_ALL), "files_up": files_up},
        "aws_resources": {"hardware": {"MEMORY": 256, "VCPU": 1}, "timeout": timeout},
    }
