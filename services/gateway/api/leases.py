"""`/v1/leases`: work for machines of elsewhere, which take it, say how it goes, and bring the results."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Header, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from contracts.errors import ConflictError, ForbiddenError, NotFoundError, OverQuotaError
from contracts.files import PartDone, Sha256, UploadPlan
from contracts.leases import Leases, LeaseStanding, LeaseView, Offer
from contracts.model import Model
from contracts.queries import RunDownloads
from contracts.runs import Step, Stream
from contracts.spec import BackendName, FilePath
from services.gateway.lean import Router
from services.gateway.leases import Whose

from . import lease_examples as examples
from .answers import answers, json_answer
from .context import Services
from .views import FileView

__all__ = ["CompletedLeaseUpload", "LeaseDownloads", "LeaseReport", "LeaseUpload", "NewLeases", "Printed", "router"]

router = Router(prefix="/v1/leases", tags=["leases"])

Number = Annotated[int, Path(ge=1, lt=2**53, description="The lease's number.", examples=[7])]
Token = Annotated[
    str, Header(alias="Shunter-Lease", max_length=128, description="The token of the lease.", examples=["k3…"])
]


class NewLeases(Model):
    """What a worker has room for."""

    backend: BackendName = Field(examples=["pull"])
    worker: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["lab-7"])
    """Which of the caller's machines asks."""
    offer: Offer
    limit: int = Field(default=1, ge=0, le=64)
    """How much work; 0 only says that the worker is there."""
    older_than: float = Field(default=0.0, ge=0, le=86400, allow_inf_nan=False)
    """Seconds for which work that any sort of machine may take must have waited."""


class LeaseReport(Model):
    """What happened."""

    steps: list[Step] = Field(min_length=1, max_length=100)


class LeaseDownloads(Model):
    """Which inputs are wanted."""

    targets: list[FilePath] = Field(min_length=1, max_length=10_000, examples=[["digits.csv"]])


class LeaseUpload(Model):
    """An output or a log that shall come."""

    path: FilePath = Field(examples=["outputs/model.pt"])
    """Below the job's folder: `outputs/…` or `logs/<attempt>/…`."""
    to: FilePath | None = None
    """The folder that takes the place of `outputs`, if the job has its results brought there."""
    size: int = Field(ge=0, le=5 * 2**40)
    sha256: Sha256


class CompletedLeaseUpload(Model):
    """An upload whose parts are all there."""

    ticket: str = Field(max_length=32_768)
    parts: list[PartDone] = Field(default=[], max_length=10_000)


class Printed(Model):
    """Some bytes that the program printed."""

    stream: Stream | Literal["pack"]
    """Tasks of an array have one together, the pack."""
    offset: int = Field(ge=0, le=2**62)
    """Where in the stream the first byte stands."""
    data: bytes = Field(default=b"", max_length=2**20)
    """In base64."""
    end: bool = False
    """That was all."""


@router.post(
    "",
    summary="Take work",
    description="Lends what fits, the most urgent and oldest first. Whoever says nothing for `keep_within` loses it.",
    operation_id="takeLeases",
    response_model=Leases,
    responses=answers(ForbiddenError, NotFoundError, example=examples.LEASES),
)
async def take_leases(
    request: Request,
    wanted: NewLeases,
    services: Services,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for work, if there is none.")] = 0.0,
) -> Response:
    found = await services.leases().take(
        wanted.backend,
        wanted.offer,
        worker=wanted.worker,
        limit=wanted.limit,
        older_than=wanted.older_than,
        wait=wait,
        is_gone=request.is_disconnected,
    )
    return json_answer(found)


@router.get(
    "/{number}",
    summary="Show a lease",
    operation_id="getLease",
    response_model=LeaseView,
    responses=answers(ForbiddenError, NotFoundError, example=examples.VIEW),
)
async def get_lease(number: Number, services: Services) -> Response:
    return json_answer(await services.leases().view(number))


@router.post(
    "/{number}/reports",
    summary="Say how it goes",
    description="404 says that the lease is lost: what it was for must be ended. `ending` says that it must end soon.",
    operation_id="reportLease",
    response_model=LeaseStanding,
    responses=answers(ForbiddenError, NotFoundError, example=examples.STANDING),
)
async def report_lease(report: LeaseReport, number: Number, services: Services, token: Token = "") -> Response:
    return json_answer(await services.leases().report(Whose(number, token), report.steps))


@router.post(
    "/{number}/downloads",
    summary="Get URLs of inputs",
    operation_id="presignLeaseInputs",
    response_model=RunDownloads,
    responses=answers(ForbiddenError, NotFoundError, example=examples.URLS),
)
async def lease_downloads(wanted: LeaseDownloads, number: Number, services: Services, token: Token = "") -> Response:
    return json_answer(await services.leases().urls(Whose(number, token), wanted.targets))


@router.post(
    "/{number}/uploads",
    summary="Begin to bring a result",
    operation_id="openLeaseUpload",
    response_model=UploadPlan,
    responses=answers(ForbiddenError, NotFoundError, ConflictError, OverQuotaError, example=examples.PLAN),
)
async def open_lease_upload(upload: LeaseUpload, number: Number, services: Services, token: Token = "") -> Response:
    return json_answer(
        await services.leases().plan(Whose(number, token), upload.path, upload.to, upload.size, upload.sha256)
    )


@router.post(
    "/{number}/uploads/complete",
    summary="Complete a result",
    operation_id="completeLeaseUpload",
    response_model=FileView,
    status_code=201,
    responses=answers(ForbiddenError, NotFoundError, ConflictError, example=examples.FILE, status=201),
)
async def complete_lease_upload(
    upload: CompletedLeaseUpload, number: Number, services: Services, token: Token = ""
) -> Response:
    record = await services.leases().complete(Whose(number, token), upload.ticket, upload.parts)
    return json_answer(FileView.of(record), status=201)


@router.post(
    "/{number}/logs",
    summary="Show what the program prints",
    operation_id="printLeaseLogs",
    response_model=LeaseStanding,
    responses=answers(ForbiddenError, NotFoundError, example=examples.STANDING),
)
async def print_lease_logs(printed: Printed, number: Number, services: Services, token: Token = "") -> Response:
    await services.leases().print(Whose(number, token), printed.stream, printed.offset, printed.data, end=printed.end)
    return json_answer(LeaseStanding(number=number))
