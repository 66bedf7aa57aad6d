"""`/v1/batches`: many jobs in one request, all or none."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Header, Path, Request
from starlette.responses import Response

from contracts.batches import Batch, BatchSpec
from contracts.documents import checked, read_documents
from contracts.errors import ConflictError, InvalidError, MismatchError, NotFoundError, OverQuotaError, TooLargeError
from contracts.queries import BatchPage
from services.gateway.bodies import YAML_TYPES
from services.gateway.lean import Router

from . import batch_examples as examples
from .answers import answers, json_answer
from .context import Cursor, Limit, Name, Services
from .pages import next_link
from .preferences import read_idempotency_key, read_preference
from .reading import body_of, read_json
from .views import Pending

__all__ = ["router"]

router = Router(prefix="/v1/batches", tags=["batches"])

_PENDING = {202: ("The scheduler is away or at it; the command is kept and will be handled.", Pending)}
_KEY = Header(alias="Idempotency-Key", description="The same key and request twice make one.", examples=["sweep-1"])
_PREFER = Header(alias="Prefer", description="`wait=N` (seconds) or `respond-async` (RFC 7240).", examples=["wait=5"])

_LONGEST_YAML = 2**20
"""Bytes. YAML is read a hundred times slower than JSON, which may be as long as any body."""

BatchAt = Annotated[
    str,
    Path(
        pattern=r"^bat-[0-9a-f]{32}$",
        description="The batch's identifier.",
        examples=["bat-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"],
    ),
]


@router.post(
    "",
    summary="Submit many jobs, all or none",
    operation_id="createBatch",
    status_code=201,
    response_model=Batch,
    openapi_extra=body_of(BatchSpec, examples.BATCHES, yaml=examples.YAMLS),
    responses=answers(
        *(ConflictError, MismatchError, OverQuotaError, TooLargeError),
        example=examples.BATCH,
        status=201,
        more={200: ("The key was used before, for the same request: this is what it made.", Batch), **_PENDING},
    ),
)
async def post_batch(
    request: Request,
    services: Services,
    idempotency_key: Annotated[str | None, _KEY] = None,
    prefer: Annotated[str | None, _PREFER] = None,
) -> Response:
    key, preference = read_idempotency_key(idempotency_key), read_preference(prefer)
    spec = await _read(request)
    batch_id, batch, replayed = await services.batches().create(spec, key=key, wait=preference.wait)
    headers = {"Location": f"/v1/batches/{batch_id}", **preference.to_headers()}
    if batch is None:
        return _pending(batch_id, headers)
    if replayed:
        return json_answer(batch, headers={**headers, "Idempotent-Replayed": "true"})
    return json_answer(batch, status=201, headers=headers)


@router.get(
    "",
    summary="List batches, newest first, without their jobs",
    operation_id="listBatches",
    response_model=BatchPage,
    responses=answers(example={"items": [{**examples.BATCH, "jobs": []}], "next_cursor": None}),
)
async def list_batches(
    request: Request,
    services: Services,
    limit: Limit = 50,
    cursor: Cursor = None,
    owner: Name = None,
    name: Name = None,
) -> Response:
    page = await services.batches().page(limit=limit, cursor=cursor, owner=owner, name=name)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.get(
    "/{batch_id}",
    summary="Show a batch with its jobs",
    operation_id="getBatch",
    response_model=Batch,
    responses=answers(NotFoundError, example=examples.BATCH),
)
async def get_batch(batch_id: BatchAt, services: Services) -> Response:
    return json_answer(await services.batches().get(batch_id))


@router.post(
    "/{batch_id}/cancel",
    summary="End all jobs of a batch",
    operation_id="cancelBatch",
    status_code=202,
    response_model=Batch | Pending,
    responses=answers(NotFoundError, example=examples.BATCH, status=202),
)
async def cancel_batch(batch_id: BatchAt, services: Services) -> Response:
    batch = await services.batches().cancel(batch_id)
    return _pending(batch_id) if batch is None else json_answer(batch, status=202)


def _pending(batch_id: str, headers: dict[str, str] | None = None) -> Response:
    return json_answer(Pending(id=batch_id), status=202, headers={"Retry-After": "1", **(headers or {})})


async def _read(request: Request) -> BatchSpec:
    """Read the body by its type: JSON, or YAML where it says so."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.encode() not in YAML_TYPES:
        return await read_json(request, BatchSpec)
    raw = await request.body()
    if len(raw) > _LONGEST_YAML:
        raise TooLargeError(f"YAML may have {_LONGEST_YAML} bytes; send JSON")
    return await asyncio.to_thread(_read_yaml, raw)


def _read_yaml(raw: bytes) -> BatchSpec:
    try:
        documents = read_documents(raw.decode())
    except UnicodeDecodeError as error:
        raise InvalidError("the body is not UTF-8") from error
    if len(documents) != 1:
        raise InvalidError(f"the body holds {len(documents)} documents; a batch is one")
    return checked(BatchSpec, documents[0].value, "the batch", documents[0])
