"""Calls about batches."""

from __future__ import annotations

import httpx

from contracts.batches import Batch, BatchSpec
from contracts.ids import message_id
from shunter.models import BatchList, BatchSubmission

from .call import Call, params_of, path_of, reads

__all__ = ["cancel_batch", "get_batch", "list_batches", "submit_batch"]

_BATCHES = "v1/batches"


def submit_batch(spec: BatchSpec, *, key: str | None = None) -> Call[BatchSubmission]:
    """Submit many jobs, all or none; the key makes a second sending harmless."""
    headers = {"Idempotency-Key": key or message_id()}
    body = spec.model_dump_json(exclude_unset=True).encode()
    return Call("POST", path_of(_BATCHES), _read_submission, headers=headers, body=body, hold=90.0)


def _read_submission(response: httpx.Response) -> BatchSubmission:
    if response.status_code == 202:
        return BatchSubmission(id=str(response.json()["id"]))
    batch = reads(Batch)(response)
    return BatchSubmission(id=batch.id, batch=batch, repeated=response.status_code == 200)


def list_batches(
    *, name: str | None = None, owner: str | None = None, limit: int = 50, cursor: str | None = None
) -> Call[BatchList]:
    """List a page of batches, newest first."""
    params = params_of(name=name, owner=owner, limit=limit, cursor=cursor)
    return Call("GET", path_of(_BATCHES), reads(BatchList), params)


def get_batch(batch_id: str) -> Call[Batch]:
    """Get one batch with its jobs."""
    return Call("GET", path_of(_BATCHES, batch_id), reads(Batch))


def cancel_batch(batch_id: str) -> Call[Batch | None]:
    """End all jobs of a batch; none means that the command is kept until later."""
    return Call("POST", path_of(_BATCHES, batch_id, "cancel"), _read_or_pending, hold=5.0)


def _read_or_pending(response: httpx.Response) -> Batch | None:
    return None if response.json().get("status") == "pending" else reads(Batch)(response)
