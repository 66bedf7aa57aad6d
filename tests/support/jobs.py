"""Short words for what end-to-end tests do with jobs, over the public API."""

from __future__ import annotations

import time
from typing import Any

import httpx

__all__ = ["cancel", "get", "logs", "submit", "until", "until_ended"]

ENDED = {"succeeded", "failed", "canceled", "lost"}


def submit(client: httpx.Client, *argv: str, **spec: Any) -> str:
    """Submit a job and return its id, whether it was accepted at once or will be."""
    answer = client.post("/v1/jobs", json={**({"argv": list(argv)} if argv else {}), **spec})
    assert answer.status_code in {201, 202}, answer.text
    return str(answer.json()["id"])


def get(client: httpx.Client, job: str) -> dict[str, Any]:
    """Return the record."""
    found: dict[str, Any] = client.get(f"/v1/jobs/{job}").raise_for_status().json()
    return found


def until(client: httpx.Client, job: str, *states: str, seconds: float = 60) -> dict[str, Any]:
    """Wait until the job is in one of *states*; the gateway or the scheduler may be away meanwhile."""
    last: Any = None
    # Waiting on the server for a change would pass over a state that the job is in already.
    params: dict[str, str | int] = {"wait": 2, "until": "terminal"} if set(states) == ENDED else {}
    until_then = time.monotonic() + seconds
    while time.monotonic() < until_then:
        try:
            last = client.get(f"/v1/jobs/{job}", params=params)
            if last.status_code == 200 and last.json()["state"] in states:
                return dict(last.json())
        except httpx.TransportError as error:
            last = error
        time.sleep(0.02)
    raise AssertionError(f"{job} was not {states} within {seconds} s: {getattr(last, 'text', last)}")


def until_ended(client: httpx.Client, job: str, seconds: float = 60) -> dict[str, Any]:
    """Wait for the end."""
    return until(client, job, *ENDED, seconds=seconds)


def cancel(client: httpx.Client, job: str) -> httpx.Response:
    """Ask for the end."""
    return client.post(f"/v1/jobs/{job}/cancel")


def logs(client: httpx.Client, job: str, stream: str = "stdout") -> bytes:
    """Return the output."""
    return client.get(f"/v1/jobs/{job}/logs", params={"stream": stream}).raise_for_status().content
