"""Starts the parts, waits until all answer, restarts what dies, stops all. One thread, no event loop: it forks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import psutil

from .parts import STOP_ORDER, Part
from .ports import ISSUER
from .processes import Child, launch
from .screen import Screen, last_lines
from .servers import StartError

__all__ = ["StopRequestedError", "Supervisor", "is_ready"]

_STOP = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_SIGNALS = _STOP | {signal.SIGCHLD}
_LONGEST_PAUSE = 15.0
_STEADY = 60.0
"""Seconds after which a part that was restarted counts as well again."""
_PROBE_EVERY = 0.05


class StopRequestedError(Exception):
    """Somebody wants the stack to stop."""


def is_ready(part: Part) -> bool:
    """Ask a part whether it can work."""
    url = urlsplit(part.ready_url)
    connection = HTTPConnection(url.hostname or "", url.port, timeout=4)
    try:
        connection.request("GET", f"{url.path}?{url.query}")
        status = connection.getresponse().status
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return status < 500 if part.is_server else status == 200


@dataclass(slots=True)
class Supervisor:
    """The parent of all parts."""

    parts: Mapping[str, Part]
    screen: Screen
    restart: bool = True
    changed: Callable[[], None] = lambda: None
    """Called when a part has another process."""
    children: dict[str, Child] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    _pauses: dict[str, float] = field(default_factory=dict)
    _mask: set[signal.Signals] = field(default_factory=set)

    def __post_init__(self) -> None:
        # Signals are fetched one by one where we wait, so that nothing happens in between.
        self._mask = {signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)}

    def start(self, names: Iterable[str]) -> None:
        """Start parts; they come up side by side."""
        for name in names:
            self.children[name] = launch(self.parts[name], self._mask)

    def wait_until_ready(self, names: Iterable[str], until: float) -> None:
        """Return when all of them answer; raise `StartError` when one dies or it takes too long."""
        begun, waiting = time.monotonic(), list(names)
        while waiting:
            for dead in self._pass_time(_PROBE_EVERY):
                raise StartError(f"{dead.part.name} ended while starting; its log says:\n{last_lines(dead.part.log)}")
            for name in [name for name in waiting if is_ready(self.parts[name])]:
                waiting.remove(name)
                self.screen.say(f"  {name:10} ready after {time.monotonic() - begun:.1f} s")
            if waiting and time.monotonic() > until:
                logs = "\n".join(f"  {name}: {self.parts[name].log}" for name in waiting)
                raise StartError(f"not ready in time: {', '.join(waiting)}; see\n{logs}")

    def watch(self) -> None:
        """Keep the parts running until somebody wants to stop."""
        while True:
            pause = min(self._due.values()) - time.monotonic() if self._due else 3600.0
            for dead in self._pass_time(max(pause, 0.0)):
                self._note_death(dead)
            for name in [name for name, due in self._due.items() if due <= time.monotonic()]:
                del self._due[name]
                self.start([name])
                self.screen.say(f"{name}: restarted as pid {self.children[name].pid}")
                self.changed()

    def _note_death(self, dead: Child) -> None:
        part = dead.part
        self.screen.say(f"{part.name}: died; its log {part.log} ends with:\n{last_lines(part.log)}")
        if self.restart:
            lived = time.time() - dead.started
            pause = 1.0 if lived > _STEADY else self._pauses.get(part.name, 1.0)
            self._pauses[part.name] = min(pause * 2, _LONGEST_PAUSE)
            self._due[part.name] = time.monotonic() + pause
        self.changed()

    def _pass_time(self, seconds: float) -> list[Child]:
        """Wait for a signal, at most so long; returns what has died."""
        got = signal.sigtimedwait(_SIGNALS, seconds)
        if got and got.si_signo in _STOP:
            raise StopRequestedError(signal.Signals(got.si_signo).name)
        return self._reap()

    def _reap(self) -> list[Child]:
        """Forget the parts that have ended, and let go of orphans that we had adopted."""
        gone: set[int] = set()
        with suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                gone.add(pid)
        dead = [child for child in self.children.values() if child.pid in gone]
        for child in dead:
            del self.children[child.part.name]
        return dead

    def stop(self) -> None:
        """Stop all, who asks before who answers; a second signal makes it quick. Nothing is left behind."""
        hurry = False
        for group in (*STOP_ORDER, (ISSUER,)):
            hurry = self._stop_group([name for name in group if name in self.children], hurry=hurry)
        self._end_stragglers()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _stop_group(self, names: list[str], *, hurry: bool) -> bool:
        children = {name: self.children[name] for name in names}
        begun = time.monotonic()
        for child in children.values():
            _send(child, signal.SIGKILL if hurry or child.part.kill else signal.SIGTERM)
        while children:
            got = signal.sigtimedwait(_SIGNALS, 0.2)
            hurry = hurry or bool(got and got.si_signo in _STOP)
            for dead in self._reap():
                children.pop(dead.part.name, None)
            for child in children.values():
                if hurry or time.monotonic() - begun > child.part.grace:
                    _send(child, signal.SIGKILL)
        return hurry

    def _end_stragglers(self) -> None:
        # Orphans of the parts have become our children; whatever is still there did not end when told.
        left = psutil.Process().children(recursive=True)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=5)
        self._reap()


def _send(child: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(child.pid, number)
