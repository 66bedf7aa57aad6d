"""The embedded stack as its user sees it: up, down, and one part by hand."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .configuration import config_path, write_configuration
from .dialect import dialect_names
from .parts import NAMES, SERVICES, Part, make_parts
from .ports import ISSUER, PortPlan, is_free, require_free
from .preload import preload
from .processes import adopt_orphans, become, is_alive
from .records import end_leftovers, read_record, stack_lock, write_record
from .screen import Screen
from .servers import StartError
from .slimming import give_back_program
from .supervisor import StopRequestedError, Supervisor

__all__ = ["UpOptions", "down", "run_service", "up"]

_SERVERS = ("nats", "temporal", "s3")
_DOWN_WITHIN = 90.0
"""Seconds; each service drains for 15 at most."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """How to run the stack."""

    data: Path
    port: int = 8800
    """The first of sixteen ports in a row."""
    demo: bool = False
    """Whether to make demo users, who need a token; else whoever sits at this machine may come in."""
    oidc: bool = False
    """Whether the demo users have accounts at an OpenID Connect issuer, which runs beside the stack."""
    restart: bool = True
    """Whether a part that dies is started again."""
    detach: bool = False
    """Whether to return when all is ready, and leave the stack running."""
    wait: float = 60
    """Seconds that all parts have to become ready."""
    as_json: bool = False


def up(options: UpOptions) -> int:
    """Run the stack until Ctrl-C or SIGTERM; returns the exit code."""
    return _detached(options) if options.detach else _run(options, lambda: None)


def _run(options: UpOptions, when_ready: Callable[[], None]) -> int:
    data = options.data.absolute()
    way_out = f"`shunter down --data {data}` stops it" if options.detach else "Ctrl-C stops it"
    screen = Screen(as_json=options.as_json, way_out=way_out)
    try:
        plan = PortPlan(options.port)
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with stack_lock(data):
            if left := end_leftovers(data):
                screen.say(f"ended what a killed stack had left: {', '.join(left)}")
            require_free(plan, issuer=options.oidc)
            return _run_locked(options, data, plan, screen, when_ready)
    except StartError as error:
        screen.say(f"shunter up: {error}")
        return 1


def _run_locked(options: UpOptions, data: Path, plan: PortPlan, screen: Screen, when_ready: Callable[[], None]) -> int:
    write_configuration(data, plan, demo=options.demo, dialects=dialect_names(), oidc=options.oidc)
    (data / "logs").mkdir(exist_ok=True)
    adopt_orphans()
    parts = make_parts(data, plan, issuer=options.oidc)
    supervisor = Supervisor(parts=parts, screen=screen, restart=options.restart)

    def record(*, ready: bool = True) -> None:
        write_record(data, plan, supervisor.children, ready=ready, demo=options.demo)

    supervisor.changed = record
    code = 0
    try:
        _start_all(options, supervisor, record)
        screen.show(read_record(data) or {}, supervisor.children, data / "logs")
        when_ready()
        supervisor.watch()
    except StopRequestedError as request:
        screen.say(f"{request}: stopping")
    except StartError as error:
        screen.say(f"shunter up: {error}")
        code = 1
    finally:
        supervisor.stop()
        record(ready=False)
    screen.say("all stopped")
    return code


def _start_all(options: UpOptions, supervisor: Supervisor, record: Callable[..., None]) -> None:
    until = time.monotonic() + options.wait
    supervisor.screen.say("starting nats, temporal and s3")
    begun = [*_SERVERS, *([ISSUER] if ISSUER in supervisor.parts else [])]
    supervisor.start(begun)
    record(ready=False)
    preload(SERVICES.values())
    supervisor.wait_until_ready(begun, until)
    services = [name for name in NAMES if name not in _SERVERS]
    supervisor.screen.say(f"starting {', '.join(services)}")
    supervisor.start(services)
    record(ready=False)
    supervisor.wait_until_ready([name for name in services if name != "gateway"], until)
    supervisor.wait_until_ready(["gateway"], until)
    for name in _SERVERS:
        give_back_program(supervisor.children[name].pid)
    record()


def _detached(options: UpOptions) -> int:
    """Run the stack in a session of its own; what it says until it is ready is said here."""
    source, sink = os.pipe()
    errors, error_sink = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        for number, target in ((sink, 1), (error_sink, 2)):
            os.dup2(number, target)
        os.closerange(3, 1024)
        os._exit(_run(options, lambda: _let_go(options.data.absolute())))
    os.close(sink)
    os.close(error_sink)
    _copy({source: 1, errors: 2})
    ended, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else 0


def _copy(pipes: dict[int, int]) -> None:
    """Copy from each pipe until nobody writes into any."""
    import selectors

    with selectors.DefaultSelector() as selector:
        for source, target in pipes.items():
            selector.register(source, selectors.EVENT_READ, target)
        while selector.get_map():
            for key, _ in selector.select():
                if chunk := os.read(key.fd, 65536):
                    os.write(key.data, chunk)
                else:
                    selector.unregister(key.fd)


def _let_go(data: Path) -> None:
    """Leave the terminal: from now on what we say goes into a log."""
    sink = os.open(data / "logs" / "stack.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (sink, 1), (sink, 2)):
        os.dup2(source, target)


def down(data: Path) -> int:
    """Stop the stack that runs on *data*, wherever it was started; returns the exit code."""
    screen = Screen()
    record = read_record(data.absolute())
    if not record or not is_alive(record["pid"], record["started"]):
        screen.say(f"no stack runs on {data}")
        return 0
    os.kill(record["pid"], signal.SIGTERM)
    until = time.monotonic() + _DOWN_WITHIN
    while time.monotonic() < until:
        if not is_alive(record["pid"], record["started"]):
            screen.say("all stopped")
            return 0
        time.sleep(0.05)
    screen.say(f"the stack (pid {record['pid']}) still runs after {_DOWN_WITHIN:.0f} s")
    return 1


def run_service(name: str, data: Path) -> int:
    """Run one part of a stack in the foreground, as its data folder says; for one that died and is not restarted."""
    screen = Screen()
    try:
        become(_absent_part(name, data.absolute()))
    except StartError as error:
        screen.say(f"shunter service: {error}")
    return 1


def _absent_part(name: str, data: Path) -> Part:
    record = read_record(data)
    if name not in NAMES:
        raise StartError(f"there is no part {name!r}; the parts are: {', '.join(NAMES)}")
    if record is None or not config_path(data).exists():
        raise StartError(f"no stack ever ran on {data}; start one with `shunter up --data {data}`")
    running = record["parts"].get(name)
    if running and is_alive(running["pid"], running["started"]):
        raise StartError(f"{name} still runs, as pid {running['pid']}")
    part = make_parts(data, PortPlan(record["port"]))[name]
    if not is_free(part.port):
        raise StartError(f"somebody listens on port {part.port} already")
    return part
