"""What the loader of large bodies can do at most: a server that sends a file from the kernel and keeps what it gets."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["run_bulk"]

_PIECE = 2**20


@contextmanager
def run_bulk(file: Path) -> Iterator[str]:
    """Serve a file to every GET, and write the body of every POST beside it, through to the disk."""
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        with suppress(KeyboardInterrupt):
            _serve(listener, file)
        os._exit(0)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        listener.close()


def _serve(listener: socket.socket, file: Path) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection, file), daemon=True).start()


def _answer(connection: socket.socket, file: Path) -> None:
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(_PIECE)
        words, _, rest = head.partition(b"\r\n\r\n")
        if words.startswith(b"GET"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % file.stat().st_size)
            with file.open("rb") as source:
                connection.sendfile(source)
            return
        lengths = [line for line in words.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        _keep(connection, file.with_suffix(".kept"), rest, int(lengths[0].partition(b":")[2]) - len(rest))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def _keep(connection: socket.socket, place: Path, first: bytes, left: int) -> None:
    buffer = bytearray(_PIECE)
    with place.open("wb", buffering=0) as sink:
        sink.write(first)
        while left > 0 and (count := connection.recv_into(buffer)):
            sink.write(memoryview(buffer)[:count])
            left -= count
        os.fsync(sink.fileno())
