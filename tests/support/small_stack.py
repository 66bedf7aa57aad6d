"""A stack of two stand-ins, one executed and one forked, for tests of the supervisor. Runs in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from deploy.local.parts import Part
from deploy.local.processes import adopt_orphans
from deploy.local.screen import Screen
from deploy.local.servers import StartError
from deploy.local.supervisor import StopRequestedError, Supervisor

__all__ = ["main"]

_ROOT = Path(__file__).parents[2]


def _part(name: str, port: int, folder: Path, behaviour: str) -> Part:
    url = f"http://127.0.0.1:{port}"
    return Part(
        name=name,
        argv=(sys.executable, "-m", "tests.support.stand_in", str(port)),
        url=url,
        ready_url=f"{url}/readyz",
        log=folder / f"{name}.log",
        port=port,
        module="" if name == "nats" else "tests.support.stand_in",
        env={"STAND_IN": behaviour, "STAND_IN_PORT": str(port)},
        folder=_ROOT,
        grace=0.5,
    )


def main(folder: Path, first: int, second: int, behaviour: str) -> int:
    """Run it; prints a line with the processes when it is ready and whenever they change."""
    adopt_orphans()
    parts = {"nats": _part("nats", first, folder, ""), "gateway": _part("gateway", second, folder, behaviour)}
    supervisor = Supervisor(parts=parts, screen=Screen(as_json=True))

    def tell() -> None:
        sys.stdout.write(json.dumps({name: child.pid for name, child in supervisor.children.items()}) + "\n")
        sys.stdout.flush()

    supervisor.changed = tell
    try:
        supervisor.start(parts)
        supervisor.wait_until_ready(parts, time.monotonic() + 20)
        tell()
        supervisor.watch()
    except StopRequestedError:
        return 0
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        supervisor.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
