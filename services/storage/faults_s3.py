"""What goes wrong with the object store, said in our own error tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from contracts.errors import InternalError, InvalidError, NotFoundError, ShunterError, UnavailableError

__all__ = ["s3_translated"]

_MISSING = {"NoSuchKey", "NoSuchUpload", "ResourceNotFound"}
_PARTS = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall"}
_OPERATORS = {
    *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "NoSuchBucket"),
    *("InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "OperationAborted", "XMinioServerNotReady"),
}
"""An operator, or time, puts these right; the message waits until then."""


@contextmanager
def s3_translated() -> Iterator[None]:
    """Say errors of minio and of the network as ours."""
    try:
        yield
    except S3Error as error:
        raise _ours(error) from error
    except (MinioException, HTTPError, OSError) as error:
        raise UnavailableError(f"the object store does not answer: {type(error).__name__}", retry_after=2.0) from error


def _ours(error: S3Error) -> ShunterError:
    code = str(error.code)
    if code in _MISSING:
        return NotFoundError("the object store has no such object or upload")
    if code in _PARTS:
        return InvalidError.of("parts", f"the object store does not take them: {code}")
    if code in _OPERATORS or error.response.status >= 500:
        return UnavailableError(f"the object store cannot serve us: {code}", retry_after=5.0)
    return InternalError(f"the object store refused us: {code}")
