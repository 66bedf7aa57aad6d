"""The first words of a pilot on its node: it has the file, checks it, and goes on in it.

This text is a part of the launch script, so it holds no single quote. One process does, with little of the library,
what took five: a short job is begun sooner.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from hashlib import sha256

__all__ = ["boot"]

_PAUSES = (0, 1, 2, 4, 8, 16)
"""Seconds before each try to fetch the pilot."""
_WITHIN = 60
_PART = 2**20


def boot(file: str) -> None:
    """Run the pilot that lies in a *file*, or that is to be fetched, if it is the right one; never returns."""
    content = _read(file) if file else _fetch(os.environ["SHUNTER_PILOT_URL"])
    if not _is_right(content):
        raise _end(93, "is not the right one", f"its checksum is {sha256(content).hexdigest()}")
    sys.path.insert(0, file or _keep(content))
    __import__("shunter_pilot.main", fromlist=["run"]).run()


def _is_right(content: bytes) -> bool:
    return sha256(content).hexdigest() == os.environ["SHUNTER_PILOT_SHA256"]


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as there:  # noqa: PTH123 (what is loaded here stays in memory as long as the job lives)
            return there.read()
    except OSError as error:
        raise _end(92, f"is not at {file}", str(error.strerror)) from error


def _fetch(url: str) -> bytes:
    why = ""
    for pause in _PAUSES:
        time.sleep(pause)
        try:
            content = _by_hand(url)
            return content if _is_right(content) else _by_library(url)
        except Exception as error:  # noqa: BLE001 (whatever it is, it may be over in a moment)
            why = str(error)
    raise _end(92, "cannot be fetched", why)


def _by_hand(url: str) -> bytes:
    """Return what a plain address gives, as most stores do; nothing if the library is to be asked, which is slow."""
    place, _, path = url.partition("://")[2].partition("/")
    host, _, port = place.rpartition(":")
    if not port.isdigit():
        return b""
    with socket.create_connection((host, int(port)), _WITHIN) as wire:
        wire.sendall(f"GET /{path} HTTP/1.0\r\nHost: {place}\r\nConnection: close\r\n\r\n".encode())
        head, _, content = b"".join(iter(lambda: wire.recv(_PART), b"")).partition(b"\r\n\r\n")
    return content if head.split(b" ", 2)[1:2] == [b"200"] else b""


def _by_library(url: str) -> bytes:
    from urllib.request import ProxyHandler, build_opener

    with build_opener(ProxyHandler({})).open(url, timeout=_WITHIN) as found:
        content: bytes = found.read()
        return content


def _keep(content: bytes) -> str:
    """Write the pilot into a folder of its own, which goes with it."""
    why = ""
    name = "shunter-pilot-{}-{}".format(os.environ.get("SHUNTER_PILOT_NAME", "job"), os.getpid())
    for place in (os.environ.get("SHUNTER_PILOT_WORK"), os.environ.get("TMPDIR"), "/tmp", "."):  # noqa: S108
        if place:
            folder = os.path.join(place, name)  # noqa: PTH118
            file = os.path.join(folder, "pilot.pyz")  # noqa: PTH118
            try:
                os.makedirs(place, exist_ok=True)  # noqa: PTH103
                os.mkdir(folder, 0o700)  # noqa: PTH102
                os.environ["SHUNTER_PILOT_FETCHED"] = folder
                with open(file, "xb") as new:  # noqa: PTH123
                    new.write(content)
            except OSError as error:
                why = str(error)
            else:
                return file
    raise _end(92, "has no folder", f"{why}; set TMPDIR")


def _end(code: int, what: str, why: str) -> SystemExit:
    sys.stderr.write(f"shunter: the pilot {what} on {socket.gethostname()}: {why}\n")
    if fetched := os.environ.get("SHUNTER_PILOT_FETCHED"):
        from shutil import rmtree

        rmtree(fetched, ignore_errors=True)
    return SystemExit(code)
