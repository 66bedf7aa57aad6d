"""psik's clients, as tests play them: curl, raw bytes on a socket, and a gateway that serves psik alone."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.servers import free_ports
from tests.support.stack import Stack, shunter

__all__ = ["DOCUMENT", "ENDED", "JOBID", "Story", "exchange", "run_psik_port", "until"]

DOCUMENT = Path(__file__).parents[1] / "contract" / "documents" / "psik"
"""The calls of psik_api's own document: requests as bytes, and what must be answered."""

JOBID = re.compile(r"[0-9]{10}\.[0-9]{3}")
ENDED = frozenset({"completed", "failed", "canceled"})


@contextmanager
def run_psik_port(stack: Stack, *, local: bool = True) -> Iterator[httpx.Client]:
    """Serve psik at the root of a port of its own, as where psik_api was; *local* asks nobody for a name."""
    (port,) = free_ports(1)
    environment = {**os.environ, "SHUNTER_GATEWAY__IDENTITY__LOCAL": str(local).lower()}
    command = [shunter(), "gateway", "--dialect", "psik", "--port", str(port), "--data", str(stack.data)]
    with (stack.data / "psik-port.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            _wait(client, process)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _wait(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "the gateway ended"
        try:
            if client.get("/v1/openapi.json").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the gateway does not answer")


def until(look: Callable[[], object], wanted: Callable[[object], bool], seconds: float = 30.0) -> object:
    """Look again and again until what is seen is wanted."""
    ends = time.monotonic() + seconds
    while not wanted(seen := look()):
        assert time.monotonic() < ends, f"still {seen!r}"
        time.sleep(0.02)
    return seen


def exchange(address: tuple[str, int], request: bytes) -> tuple[int, str]:
    """Send a request as it is, and return the status and the body of its answer."""
    head, _, body = request.partition(b"\r\n\r\n")
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(head + b"\r\n\r\n")
        if b"Expect: 100-continue" in head:
            assert connection.recv(4096).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(body)
        answer = b""
        while not _is_whole(answer):
            piece = connection.recv(65536)
            assert piece, f"the connection was closed after {answer!r}"
            answer += piece
    status = int(answer.split(b" ", 2)[1])
    return status, answer.partition(b"\r\n\r\n")[2].decode()


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: ([0-9]+)", head)
    return bool(end and length and len(body) >= int(length[1]))


@dataclass(frozen=True, slots=True)
class Story:
    """Runs the lines of the document with the machine's own curl."""

    host: str
    folder: Path

    def run(self, part: str, jobid: str = "") -> str:
        """Return what curl printed."""
        script = f'. "{DOCUMENT / "stories.sh"}"; {part}'
        environment = {"PATH": os.environ["PATH"], "HOST": self.host, "JOBID": jobid, "HOME": str(self.folder)}
        done = subprocess.run(
            ["sh", "-c", script], env=environment, cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout
