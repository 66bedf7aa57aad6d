"""The object store, by the minio client: each call in a thread, big objects in pieces."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.datatypes import Part, PostPolicy
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from contracts.errors import NotFoundError, UnavailableError
from contracts.model import now

from .digests import Digests
from .disposition import attachment
from .faults_s3 import s3_translated
from .objects import Arrival, Content, Form, StoredPart
from .settings import S3Settings

__all__ = ["S3Objects"]

_PIECE = 2**20
_TIMEOUT = urllib3.Timeout(connect=3.0, read=30.0)
_RETRIES = urllib3.Retry(total=2, connect=1, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504])

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

_T = TypeVar("_T")
_Headers = dict[str, str | list[str] | tuple[str]]


class S3Objects:
    """One bucket."""

    def __init__(self, settings: S3Settings, bucket: str) -> None:
        self._bucket = bucket
        self._client = _client(settings, settings.endpoint)
        self._public = _client(settings, settings.public_endpoint or settings.endpoint)
        # Two pools, so that a short call never waits behind the reading of large objects.
        self._calls = ThreadPoolExecutor(settings.calls, "s3-call")
        self._readers = ThreadPoolExecutor(settings.readers, "s3-read")
        self._closing = threading.Event()

    def close(self) -> None:
        """Let go of the threads; objects that are being read are put aside."""
        self._closing.set()
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def check(self) -> None:
        """Make sure that the bucket is there, making it if it is not; raises when the store does not answer."""
        await self._call(self._ensure_bucket)

    async def tidy(self, age: timedelta) -> int:
        """Return 0: what a crash of ours leaves over in a bucket has no bytes; its lifecycle rules are the site's."""
        del age
        return 0

    async def presign_get(self, key: str, expires: timedelta, *, filename: str, content_type: str) -> str:
        """Return a URL that gives the object under a name."""
        headers: _Headers = {
            "response-content-disposition": attachment(filename),
            "response-content-type": content_type,
        }
        return await self._call(
            lambda: str(
                self._public.get_presigned_url("GET", self._bucket, key, expires=expires, response_headers=headers)
            )
        )

    async def presign_gets(self, keys: Sequence[str], expires: timedelta) -> list[str]:
        """Return a URL for each object."""
        return await self._call(
            lambda: [str(self._public.presigned_get_object(self._bucket, key, expires)) for key in keys]
        )

    async def presign_put(self, key: str, expires: timedelta) -> str:
        """Return a URL that takes the whole object."""
        return await self._call(lambda: str(self._public.presigned_put_object(self._bucket, key, expires)))

    async def presign_parts(self, key: str, upload_id: str, numbers: Sequence[int], expires: timedelta) -> list[str]:
        """Return a URL that takes it, for each part."""

        def sign() -> list[str]:
            return [
                self._public.get_presigned_url(
                    "PUT",
                    self._bucket,
                    key,
                    expires=expires,
                    extra_query_params={"uploadId": upload_id, "partNumber": str(number)},
                )
                for number in numbers
            ]

        return await self._call(sign)

    async def begin(self, key: str, content_type: str, size: int) -> str:
        """Begin an upload in parts and return its id; a bucket does not say how much room it has."""
        del size
        headers: _Headers = {"Content-Type": content_type}
        return await self._call(lambda: str(self._client._create_multipart_upload(self._bucket, key, headers)))  # noqa: SLF001 (minio has no public call)

    async def parts(self, key: str, upload_id: str) -> list[StoredPart]:
        """Return the parts that are there."""
        return await self._call(lambda: self._list_parts(key, upload_id))

    async def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> None:
        """Make the object of its parts; their URLs are worth nothing from now on."""
        chosen = [Part(part.number, part.etag) for part in parts]
        await self._call(lambda: self._client._complete_multipart_upload(self._bucket, key, upload_id, chosen))  # noqa: SLF001 (as above)

    async def abort(self, key: str, upload_id: str) -> None:
        """Drop an upload and its parts."""
        await self._call(lambda: self._abort(key, upload_id))

    async def exists(self, key: str) -> bool:
        """Say whether the object is there."""
        return await self._call(lambda: self._exists(key))

    async def measure(self, key: str, expected_size: int, part_size: int | None = None) -> Content:
        """Read the object through for its checksum, if it has the right size."""
        with s3_translated():
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._readers, self._read, key, expected_size, part_size)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, a thousand at most."""
        await self._call(lambda: self._delete(keys))

    async def form(self, prefix: str, expires: timedelta, most: int) -> Form:
        """Return a form that takes files under a prefix."""
        policy = PostPolicy(self._bucket, now() + expires)
        policy.add_starts_with_condition("key", prefix)
        policy.add_content_length_range_condition(0, most)
        signed: dict[str, str] = await self._call(lambda: self._public.presigned_post_policy(policy))
        within: str = await self._call(lambda: self._public.presigned_get_object(self._bucket, prefix, expires))
        # In the style of the bucket's host, which only the client knows.
        url = within.partition("?")[0].removesuffix(f"/{prefix}")
        return Form(url, {"key": f"{prefix}${{filename}}", **signed})

    async def arrivals(self, prefix: str) -> list[Arrival]:
        """Return what came below a prefix."""
        return await self._call(lambda: self._list(prefix))

    async def adopt(self, arrival: Arrival, key: str) -> None:
        """Copy what arrived to a key of its own."""
        await self._call(lambda: self._copy(arrival, key))

    async def _call(self, function: Callable[[], _T]) -> _T:
        with s3_translated():
            return await asyncio.get_running_loop().run_in_executor(self._calls, function)

    def _ensure_bucket(self) -> None:
        if self._client.bucket_exists(self._bucket):
            return
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise

    def _list_parts(self, key: str, upload_id: str) -> list[StoredPart]:
        found: list[Part] = []
        marker: str | None = None
        while True:
            page = self._client._list_parts(self._bucket, key, upload_id, part_number_marker=marker)  # noqa: SLF001
            found += page.parts
            if not page.is_truncated:
                break
            marker = str(page.next_part_number_marker)
        found.sort(key=lambda part: (part.part_number, part.last_modified or _LONG_AGO))
        return [StoredPart(part.part_number, part.size or 0, part.etag) for part in found]

    def _abort(self, key: str, upload_id: str) -> None:
        try:
            self._client._abort_multipart_upload(self._bucket, key, upload_id)  # noqa: SLF001
        except S3Error as error:
            if error.code != "NoSuchUpload":
                raise

    def _exists(self, key: str) -> bool:
        try:
            self._client.stat_object(self._bucket, key)
        except S3Error as error:
            if error.code != "NoSuchKey":
                raise
            return False
        return True

    def _read(self, key: str, expected_size: int, part_size: int | None) -> Content:
        response = self._client.get_object(self._bucket, key)
        try:
            size = int(response.headers["Content-Length"])
            if size != expected_size:
                return Content(size, "")
            digests = Digests(part_size)
            while piece := response.read(_PIECE):
                if self._closing.is_set():
                    raise UnavailableError("the service is stopping; the object is read again later")
                digests.update(piece)
            return digests.content()
        finally:
            response.close()
            response.release_conn()

    def _list(self, prefix: str) -> list[Arrival]:
        found = self._client.list_objects(self._bucket, prefix, recursive=True)
        return [Arrival(one.object_name, one.size, f"{one.etag} {one.last_modified}") for one in found]

    def _copy(self, arrival: Arrival, key: str) -> None:
        etag = arrival.tag.partition(" ")[0]
        try:
            self._client.copy_object(self._bucket, key, CopySource(self._bucket, arrival.key, match_etag=etag))
        except S3Error as error:
            if error.code != "PreconditionFailed":
                raise
            raise NotFoundError("another file came under the same name meanwhile") from error

    def _delete(self, keys: Sequence[str]) -> None:
        errors = list(self._client.remove_objects(self._bucket, [DeleteObject(key) for key in keys]))
        left = [error for error in errors if error.code != "NoSuchKey"]
        if left:
            raise UnavailableError(f"the object store did not delete {len(left)} objects: {left[0].code}")


def _client(settings: S3Settings, endpoint: str) -> Minio:
    scheme, separator, host = endpoint.rpartition("://")
    return Minio(
        host,
        settings.access_key,
        settings.secret_key.get_secret_value(),
        secure=scheme == "https" if separator else settings.secure,
        # With the region known, signing a URL asks nobody.
        region=settings.region,
        http_client=urllib3.PoolManager(
            maxsize=settings.calls + settings.readers, timeout=_TIMEOUT, retries=_RETRIES, block=False
        ),
    )
