"""The parts of the embedded stack: three servers, four services, one runner."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import servers
from .configuration import Secrets, config_path, issuer_key
from .issuer import issuer_server
from .ports import ISSUER, PortPlan
from .sign_in import accounts

__all__ = ["NAMES", "SERVICES", "STOP_ORDER", "Part", "make_parts"]

SERVICES: Mapping[str, str] = {
    "scheduler": "services.scheduler.main",
    "storage": "services.storage.main",
    "accounting": "services.accounting.main",
    "runner": "services.scheduler.runner.main",
    "gateway": "services.gateway.main",
}
"""Our own processes, in the order of their start; each module has a `run()`."""

NAMES = ("nats", "temporal", "s3", *SERVICES)

STOP_ORDER = (("gateway",), ("runner",), ("scheduler",), ("storage", "accounting"), ("s3", "temporal"), ("nats",))
"""Who asks stops before who answers; those of one group stop together."""

_NICE: Mapping[str, int] = {"scheduler": 2, "storage": 2, "temporal": 5, "accounting": 5, "runner": 5}
"""Where cores are short, who takes work in goes before who runs it, and figures can wait. Jobs come after all of us."""

_GRACE = 25.0
"""Seconds; a service drains for 15 at most, and the runner ends its users' processes meanwhile."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stack."""

    name: str
    argv: tuple[str, ...]
    url: str
    """What others reach it by."""
    ready_url: str
    """Answers below 500 (a server) or 200 (a service) when the part can work."""
    log: Path
    port: int
    module: str = ""
    """A service's module, to be forked; empty for a server, which is executed."""
    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path("/")
    kill: bool = False
    """Whether SIGKILL is the way to stop it."""
    grace: float = 5.0
    """Seconds between SIGTERM and SIGKILL."""
    nice: int = 0
    """How far it steps back for others, as `nice` counts it."""

    @property
    def is_server(self) -> bool:
        """Say whether it is somebody else's program."""
        return not self.module


def make_parts(data: Path, plan: PortPlan, *, issuer: bool = False) -> dict[str, Part]:
    """Describe all parts of a stack whose configuration has been written, in the order of their start."""
    kept = Secrets(data)
    specs: tuple[servers.ServerSpec, ...] = (
        servers.nats_server(
            data / "nats",
            port=plan["nats"],
            monitor_port=plan["nats monitor"],
            user="shunter",
            password=kept.get("nats_password"),
            issuer=issuer_key(kept),
        ),
        servers.temporal_server(
            data / "temporal",
            port=plan["temporal"],
            ui_port=plan["temporal ui"],
            http_port=plan["temporal http"],
            metrics_port=plan["temporal metrics"],
        ),
        servers.s3_server(
            data / "s3",
            port=plan["s3"],
            access_key=kept.get("s3_access_key", 15),
            secret_key=kept.get("s3_secret_key"),
            spare=plan.s3_inner,
        ),
    )
    if issuer:
        specs += (issuer_server(data / ISSUER, port=plan[ISSUER], accounts=accounts(kept)),)
    parts = [_server(spec, data, plan) for spec in specs]
    parts += [_service(name, module, data, plan) for name, module in SERVICES.items()]
    return {part.name: part for part in parts}


def _server(spec: servers.ServerSpec, data: Path, plan: PortPlan) -> Part:
    scheme = {"nats": "nats://", "s3": "http://", ISSUER: "http://"}.get(spec.name, "")
    return Part(
        name=spec.name,
        argv=spec.argv,
        url=f"{scheme}127.0.0.1:{plan[spec.name]}",
        ready_url=spec.ready_url,
        log=data / "logs" / f"{spec.name}.log",
        port=plan[spec.name],
        env=spec.env,
        folder=spec.folder or data,
        kill=spec.kill,
        nice=_NICE.get(spec.name, 0),
    )


def _service(name: str, module: str, data: Path, plan: PortPlan) -> Part:
    url = f"http://127.0.0.1:{plan[name]}"
    return Part(
        name=name,
        argv=(sys.executable, "-m", module),
        url=url,
        ready_url=f"{url}/readyz",
        log=data / "logs" / f"{name}.log",
        port=plan[name],
        module=module,
        env={"SHUNTER_CONFIG": str(config_path(data))},
        folder=data,
        grace=_GRACE,
        nice=_NICE.get(name, 0),
    )
