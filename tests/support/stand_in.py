"""A tiny part for tests of the supervisor: answers `/readyz`, ends on SIGTERM, can be told to misbehave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

__all__ = ["run"]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def run(port: int | None = None) -> None:
    """Serve until SIGTERM. `STAND_IN=dies` ends at once, `deaf` ignores SIGTERM, `leaves` leaves an orphan behind."""
    behaviour = os.environ.get("STAND_IN", "")
    if behaviour == "dies":
        sys.exit("the stand-in does not want to")
    if behaviour == "leaves":
        subprocess.Popen(["setsid", "sleep", "1000"])
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "deaf" else lambda *_: sys.exit(0))
    HTTPServer(("127.0.0.1", port or int(os.environ["STAND_IN_PORT"])), _Handler).serve_forever()


if __name__ == "__main__":
    run(int(sys.argv[1]))
