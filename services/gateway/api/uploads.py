"""`/v1/uploads` and `/v1/downloads`: URLs by which bytes pass the gateway by."""

from __future__ import annotations

from pydantic import Field
from starlette.responses import Response

from contracts.errors import ConflictError, NotFoundError, OverQuotaError
from contracts.files import DownloadUrl, PartDone, Sha256, UploadPlan
from contracts.model import Model
from contracts.spec import FilePath
from contracts.transfers import LARGEST_FORM, FolderPath, FormUpload
from services.gateway.lean import Router

from . import examples
from .answers import answers, json_answer
from .context import Services
from .views import FileView

__all__ = ["CompletedUpload", "NewDownload", "NewForm", "NewUpload", "Ticket", "router"]

router = Router(prefix="/v1", tags=["transfers"])


class NewUpload(Model):
    """A file that shall come."""

    path: FilePath = Field(examples=["data/digits.csv"])
    size: int = Field(ge=0, le=5 * 2**40, examples=[1048576])
    sha256: Sha256 | None = None
    """Verified when it is complete; without it storage computes it."""
    content_type: str = Field(default="application/octet-stream", max_length=256, pattern=r"^[\x20-\x7e]+$")
    owner: str | None = Field(default=None, max_length=256)
    """Who shares the folder that it goes into; by default it is the caller's own file."""


class Ticket(Model):
    """An upload that was begun."""

    ticket: str = Field(max_length=16_384, examples=["eyJwYXRoIjoi…"])


class CompletedUpload(Ticket):
    """An upload whose parts are all there."""

    parts: list[PartDone] = Field(default=[], max_length=10_000)


class NewForm(Model):
    """A folder into which files shall come from a browser."""

    folder: FolderPath = Field(default="", examples=["data/d1"])
    owner: str | None = Field(default=None, max_length=256)
    """Who shares the folder; by default it is the caller's own."""
    most: int = Field(default=LARGEST_FORM, ge=1, le=LARGEST_FORM)
    """Bytes that one file may have."""
    expires: float = Field(default=600.0, gt=0, le=7 * 86400, allow_inf_nan=False)
    """Seconds that the form is good for."""


class NewDownload(Model):
    """A file that shall be fetched."""

    path: FilePath = Field(examples=["data/digits.csv"])
    owner: str | None = Field(default=None, max_length=256)
    expires: float = Field(default=3600.0, gt=0, le=7 * 86400, allow_inf_nan=False)
    """Seconds that the URL is good for."""


@router.post(
    "/uploads",
    summary="Begin an upload",
    operation_id="openUpload",
    description=(
        "A plan without parts says that the caller has a file of this checksum already: complete it, nothing need be "
        "sent. What a quota has no room for is refused here, and so is what is on its way besides."
    ),
    response_model=UploadPlan,
    responses=answers(NotFoundError, ConflictError, OverQuotaError, example=examples.PLAN),
)
async def open_upload(upload: NewUpload, services: Services) -> Response:
    plan = await services.files().plan(
        upload.path, upload.size, upload.sha256, upload.content_type, upload.owner, reuse=True
    )
    return json_answer(plan)


@router.post(
    "/uploads/resume",
    summary="Take an upload up again",
    operation_id="resumeUpload",
    response_model=UploadPlan,
    responses=answers(NotFoundError, example=examples.PLAN),
)
async def resume_upload(upload: Ticket, services: Services) -> Response:
    return json_answer(await services.files().resume(upload.ticket))


@router.post(
    "/uploads/complete",
    summary="Complete an upload",
    operation_id="completeUpload",
    response_model=FileView,
    status_code=201,
    responses=answers(NotFoundError, ConflictError, example=examples.FILE, status=201),
)
async def complete_upload(upload: CompletedUpload, services: Services) -> Response:
    record = await services.files().complete(upload.ticket, upload.parts)
    return json_answer(FileView.of(record), status=201)


@router.post(
    "/uploads/form",
    summary="Get a form by which a browser uploads files into a folder",
    operation_id="openForm",
    description=(
        "POST each file to `url` as `multipart/form-data`: first the `fields` as they are, then the file in a field "
        "`file`. It appears in the folder under the name that the browser gives it, checked, as soon as anybody looks. "
        "The form can be used for many files, until it expires."
    ),
    response_model=FormUpload,
    responses=answers(NotFoundError, OverQuotaError, example=examples.FORM),
)
async def open_form(form: NewForm, services: Services) -> Response:
    found = await services.streams().form_upload(form.folder, owner=form.owner, expires=form.expires, most=form.most)
    return json_answer(found)


@router.post(
    "/downloads",
    summary="Get a URL to download a file",
    operation_id="presignDownload",
    response_model=DownloadUrl,
    responses=answers(NotFoundError, example=examples.DOWNLOAD),
)
async def presign_download(download: NewDownload, services: Services) -> Response:
    return json_answer(await services.files().url(download.path, download.owner, download.expires))
