"""Whatever the object store does wrong is said in our own words, by who must act."""

from __future__ import annotations

import pytest
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3 import HTTPResponse
from urllib3.exceptions import ProtocolError

from contracts.errors import InternalError, InvalidError, NotFoundError, ShunterError, UnavailableError
from services.storage.faults_s3 import s3_translated


def _s3(code: str, status: int = 400) -> S3Error:
    return S3Error(HTTPResponse(status=status), code, "said the store", "/b/k", "1", "2")


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (_s3("NoSuchKey", 404), NotFoundError),
        (_s3("NoSuchUpload", 404), NotFoundError),
        (_s3("InvalidPart"), InvalidError),
        (_s3("SlowDown", 503), UnavailableError),
        (_s3("Unheard", 500), UnavailableError),
        (_s3("AccessDenied", 403), UnavailableError),
        (_s3("MethodNotAllowed", 405), InternalError),
        (ServerError("bad gateway", 502), UnavailableError),
        (InvalidResponseError(200, "text/html", "<html>"), UnavailableError),
        (ProtocolError("connection broken"), UnavailableError),
        (ConnectionRefusedError(), UnavailableError),
        (ConnectionResetError(), UnavailableError),
    ],
    ids=repr,
)
def test_errors_are_translated(raised: Exception, ours: type[ShunterError]) -> None:
    with pytest.raises(ShunterError) as found, s3_translated():
        raise raised
    assert type(found.value) is ours


def test_our_own_errors_pass() -> None:
    with pytest.raises(NotFoundError, match="mine"), s3_translated():
        raise NotFoundError("mine")
