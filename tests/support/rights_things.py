"""What the requests of the rights matrix are about: made when a path, a query or a body first names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .stack import Stack

__all__ = ["Things", "mint"]


def mint(stack: Stack, user: str, **wish: Any) -> dict[str, Any]:
    """Return a new token of somebody's, and what it is."""
    found: dict[str, Any] = stack.client(user).post("/v1/tokens", json=wish).raise_for_status().json()
    return found


class Things(dict[str, str]):
    """The owner's, by the names that the routes have for them; jobs and folders are shared with the guest for reading.

    Most routes name one of them, so the others are not made.
    """

    def __init__(self, stack: Stack, operation: str, number: int, *, owner: str, guest: str) -> None:
        super().__init__(
            owner=owner,
            grantee=f"user:{guest}",
            index="0",
            sequence="1",
            number="9007199254740990",
            version="0" * 32,
            delivery_id=f"dlv-{'0' * 32}",
            subject=owner if operation in {"getUser", "setPassword"} else f"matrix-user-{number}",
        )
        self._stack, self._operation, self._number = stack, operation, number
        self._owner, self._admin = stack.client(owner), stack.client("admin")
        self._makers: dict[str, Callable[[], None]] = {
            "job_id": self._make_job,
            "folder": self._make_folder,
            "path": self._make_folder,
            "batch_id": self._make_batch,
            "schedule_id": self._make_schedule,
            "subscription_id": self._make_subscription,
            "token_id": self._make_token,
            "minted": self._make_token,
            "access_key": self._make_key,
            "name": self._make_name,
        }
        if "User" in operation:
            self._admin.put(f"/v1/users/{self['subject']}", json={}).raise_for_status()

    def __missing__(self, name: str) -> str:
        self._makers[name]()
        return self[name]

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._owner.post(f"/v1/{path}", json=body).raise_for_status().json()
        return found

    def _make_job(self) -> None:
        spec: dict[str, Any] = {"argv": ["true"], "hold": True}
        if self._operation == "holdJob" or "Task" in self._operation:
            # One that waits, so that it can be held, and has tasks.
            spec = {"argv": ["true"], "start_at": "2040-01-01T00:00:00Z", "array": {"count": 2}}
        self["job_id"] = self._post("jobs", spec)["id"]
        grant = f"/v1/jobs/{self['job_id']}/grants/{self['grantee']}"
        self._owner.put(grant, json={"right": "read"}).raise_for_status()

    def _make_folder(self) -> None:
        self["folder"] = folder = f"matrix-{self._number}"
        file = f"{folder}/data.bin"
        self["path"] = folder if self._operation in {"getFolder", "zipFolder"} else file
        self._owner.put(f"/v1/files/{file}", content=b"data").raise_for_status()
        where = {"folder": folder}
        if self._operation == "dropFolderRule":
            self._owner.put("/v1/folder-rules", params=where, json={"quota": "1GB"}).raise_for_status()
        grant = f"/v1/folder-grants/{self['grantee']}"
        self._owner.put(grant, params=where, json={"right": "read"}).raise_for_status()

    def _make_batch(self) -> None:
        self["batch_id"] = self._post("batches", {"jobs": [{"key": "a", "argv": ["true"], "hold": True}]})["id"]

    def _make_schedule(self) -> None:
        schedule = {"name": f"matrix-{self._number}", "job": {"argv": ["true"]}, "every": "24h"}
        self["schedule_id"] = self._post("schedules", schedule)["id"]
        if self._operation == "resumeSchedule":
            self._owner.post(f"/v1/schedules/{self['schedule_id']}/pause").raise_for_status()

    def _make_subscription(self) -> None:
        hook = {"name": "matrix", "url": "http://127.0.0.1:9/matrix"}
        self["subscription_id"] = self._post("subscriptions", hook)["id"]

    def _make_token(self) -> None:
        minted = mint(self._stack, self["owner"], name="matrix")
        self.update(token_id=minted["id"], minted=minted["token"])

    def _make_key(self) -> None:
        self["access_key"] = self._post("keys", {"name": "matrix"})["access_key"]

    def _make_name(self) -> None:
        if "Backend" in self._operation:
            self["name"] = "pull"  # no work of the other tests goes there unless it names it
            return
        self["name"] = f"matrix-{self._number}"
        if "Project" in self._operation or "Member" in self._operation:
            project = f"/v1/projects/{self['name']}"
            self._admin.put(project, json={}).raise_for_status()
            self._admin.put(f"{project}/members/{self['subject']}", json={"level": "member"})
