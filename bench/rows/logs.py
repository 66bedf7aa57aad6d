"""The output of a running job, followed end to end: megabytes a second, and nothing lost."""

from __future__ import annotations

import base64
import hashlib
import json
import time

import httpx

from bench.ground import Ground
from bench.table import Figure, Row

__all__ = ["ROW"]

_PRINT = (
    "import sys\nline = 'x' * 63 + '\\n'\nblock = line * 16384\nfor _ in range({blocks}): sys.stdout.write(block)\n"
)


def _measure(ground: Ground) -> list[Figure]:
    blocks = ground.size(100, 10)
    client = ground.stack.client("owner")
    spec = {"argv": ["python3", "-c", _PRINT.format(blocks=blocks)]}
    wanted = hashlib.sha256((b"x" * 63 + b"\n") * 16384 * blocks).hexdigest()
    began = time.perf_counter()
    job = client.post("/v1/jobs", json=spec).raise_for_status().json()["id"]
    size, digest = _follow(client, job)
    seconds = time.perf_counter() - began
    rate = size / seconds / 1e6
    lost = 0 if digest == wanted else 1
    return [
        Figure("follow", f"{rate:.0f} MB/s, {size / 1e6:.0f} MB", "", rate, 20, "MB/s"),
        Figure("bytes as written", "equal" if not lost else "differ", "", lost, 0, small_is_good=True),
    ]


def _follow(client: httpx.Client, job: str) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    with client.stream(
        "GET", f"/v1/jobs/{job}/logs", params={"follow": True, "stream": "stdout"}, timeout=120
    ) as answer:
        kind = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: ") and kind == "end":
                break
            elif line.startswith("data: ") and kind == "log":
                found = json.loads(line[6:])
                raw = base64.b64decode(found["base64"]) if "base64" in found else found["text"].encode()
                size += len(raw)
                digest.update(raw)
    return size, digest.hexdigest()


ROW = Row("logs", "log follow, from the job's `write` to the client", _measure)
