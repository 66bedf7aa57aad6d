"""Starts parts of the embedded stack when told to, each with an environment of its own. Runs in its own process.

Services are imported once and forked, as `shunter up` does it, so that a part that was killed is back at once. Unlike
`up` it restarts nothing by itself. One line of JSON in, one out.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from deploy.local.configuration import write_configuration
from deploy.local.parts import SERVICES, Part, make_parts
from deploy.local.ports import PortPlan
from deploy.local.preload import preload
from deploy.local.processes import adopt_orphans, end_with_parent, launch

__all__ = ["main"]

_REAP_EVERY = 0.05


def main(data: Path, port: int) -> int:
    """Serve until the input ends; then everything ends."""
    end_with_parent(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    adopt_orphans()
    plan = PortPlan(port)
    (data / "logs").mkdir(parents=True, exist_ok=True)
    write_configuration(data, plan, demo=True)
    parts = make_parts(data, plan)
    try:
        pids = {name: _launch(parts[name], {}) for name in ("nats", "temporal", "s3")}
        preload(SERVICES.values())
        _say({name: {"port": part.port, "ready_url": part.ready_url} for name, part in parts.items()} | {"pids": pids})
        while (line := _next_line()) is not None:
            order = json.loads(line)
            _say({"pid": _launch(parts[order["start"]], order["env"], skewed="SHUNTER_TEST_SKEW" in order["env"])})
    finally:
        _end_all()
    return 0


def _launch(part: Part, env: dict[str, str], *, skewed: bool = False) -> int:
    mask = {signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, set())}
    env = {**part.env, **env, "SHUNTER_TEST_MODULE": part.module}
    return launch(replace(part, env=env, module="tests.support.skewed" if skewed else part.module), mask).pid


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _next_line() -> str | None:
    """Wait for an order; children that have ended are let go meanwhile."""
    while not select.select([sys.stdin], [], [], _REAP_EVERY)[0]:
        _reap()
    return sys.stdin.readline() or None


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end_all() -> None:
    left = psutil.Process().children(recursive=True)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5)
    _reap()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
