"""Where to go from a job."""

from __future__ import annotations

from contracts.model import Model

__all__ = ["JobLinks", "Linker", "job_path"]


def job_path(job_id: str) -> str:
    """Return where a job is shown."""
    return f"/v1/jobs/{job_id}"


_HERE = b"{job}"
"""Where the identifier goes in links that are written beforehand."""


class JobLinks(Model):
    """Where to go from a job."""

    self: str
    history: str
    logs: str
    files: str
    temporal_ui: str | None = None
    """Its workflow, for operators."""


class Linker:
    """Makes the links of jobs."""

    def __init__(self, *, temporal_ui: str | None, namespace: str) -> None:
        self._workflows = f"{temporal_ui.rstrip('/')}/namespaces/{namespace}/workflows/" if temporal_ui else None
        self._written = self.links_of(_HERE.decode()).model_dump_json().encode()
        self._pending = b"".join((b'{"id":"', _HERE, b'","status":"pending","links":', self._written, b"}"))

    def links_of(self, job_id: str) -> JobLinks:
        """Return the links of one job."""
        path = job_path(job_id)
        workflow = self._workflows + job_id if self._workflows else None
        return JobLinks.model_construct(
            self=path, history=f"{path}/history", logs=f"{path}/logs", files=f"{path}/files", temporal_ui=workflow
        )

    def pending_of(self, job_id: str) -> bytes:
        """Return what is said of a job whose command is kept and not handled yet, written."""
        return self._pending.replace(_HERE, job_id.encode())

    def json_of(self, job_id: str) -> bytes:
        """Return the same, written."""
        return self._written.replace(_HERE, job_id.encode())
