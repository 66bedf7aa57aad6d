"""decode's users, as tests play them: by their documented calls alone."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from zipfile import ZipFile

import httpx

from tests.support.stack import Stack

__all__ = ["PASSWORD", "DecodeUser", "job", "perform", "sign_up"]

PASSWORD = "a-good-Passw0rd"
_numbers = count(1)
_ENDED = {"finished", "error"}


class DecodeUser:
    """Somebody with a token, and what they do all day."""

    def __init__(self, client: httpx.Client, email: str) -> None:
        self.client = client
        self.email = email

    def ask(self, method: str, path: str, status: int, **more: Any) -> Any:
        """Send a request that must be answered so; returns the JSON, or the bytes."""
        answer = self.client.request(method, path, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        kind = answer.headers.get("content-type", "")
        return answer.json() if kind.startswith("application/json") and answer.content else answer.content

    def upload(self, folder: str, name: str, content: bytes) -> Any:
        """Upload a file through the gateway, as the frontend does: with a double slash."""
        return self.ask("POST", f"/files/{folder}//upload", 201, files={"file": (name, content)})

    def upload_as_told(self, folder: str, name: str, content: bytes) -> None:
        """Upload a file by the request that the API gives."""
        told = self.ask("POST", f"/files/{folder}//url", 201)
        perform(told, files={"file": (name, content)})

    def listing(self, path: str, **query: Any) -> list[str]:
        """Return the paths of what lies in a folder."""
        return [item["path"] for item in self.ask("GET", f"/files/{path}", 200, params=query)]

    def zipped(self, folder: str) -> dict[str, bytes]:
        """Download a folder, and return what is in the zip."""
        with ZipFile(io.BytesIO(self.ask("GET", f"/files/{folder}//download", 200))) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}

    def start(self, name: str, entrypoint: str = "decode/v0_10_1/train", status: int = 201, **more: Any) -> Any:
        """Start a job."""
        return self.ask("POST", "/jobs", status, json=job(name, entrypoint, **more))

    def until_ended(self, number: int, seconds: float = 60) -> tuple[dict[str, Any], list[str]]:
        """Return a job when it has ended, and the states that were seen."""
        ends = time.monotonic() + seconds
        seen: list[str] = []
        while True:
            found = self.ask("GET", f"/jobs/{number}", 200)
            if not seen or seen[-1] != found["status"]:
                seen.append(found["status"])
            if found["status"] in _ENDED:
                return found, seen
            assert time.monotonic() < ends, f"job {number} is still {found['status']}"


def perform(told: dict[str, Any], **more: Any) -> httpx.Response:
    """Do a request as it was told."""
    data = {"data": told["data"]} if told["data"] else {}
    answer = httpx.request(
        told["method"], told["url"], headers=told["headers"], **data, **more, trust_env=False, timeout=60
    )
    answer.raise_for_status()
    return answer


def job(
    name: str,
    entrypoint: str = "decode/v0_10_1/train",
    *,
    config: str | None = "c1",
    data: Iterable[str] = ("d1",),
    artifacts: Iterable[str] = (),
    env: dict[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return what is sent to start a job."""
    application, version, entry = entrypoint.split("/")
    files = {"config_id": config, "data_ids": list(data), "artifact_ids": list(artifacts)}
    return {
        "job_name": name,
        "environment": "local",
        "priority": 0,
        "application": {"application": application, "version": version, "entrypoint": entry},
        "attributes": {"files_down": files, "env_vars": env if env is not None else {}},
        "hardware": dict.fromkeys(("cpu_cores", "memory", "gpu_model", "gpu_archi", "gpu_mem")),
        **more,
    }


@contextmanager
def sign_up(stack: Stack, name: str = "ada", groups: list[str] | None = None) -> Iterator[DecodeUser]:
    """Make a user nobody has heard of and log in."""
    email = f"{name}-{next(_numbers)}@lab.example"
    with httpx.Client(base_url=f"{stack.url}/decode", trust_env=False, timeout=60) as client:
        form = {"username": email, "password": PASSWORD}
        client.post("/user", data={**form, **({"groups": groups} if groups else {})}).raise_for_status()
        token = client.post("/token", data=form)
        assert token.status_code == 201, token.text
        client.headers["Authorization"] = f"Bearer {token.json()['id_token']}"
        yield DecodeUser(client, email)
