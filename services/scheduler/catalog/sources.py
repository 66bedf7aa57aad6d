"""Where the file lies: on a disk, or in an S3 store. Both tell cheaply whether it was changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from contracts.errors import UnavailableError

from .settings import ApplicationSettings, S3Access

if TYPE_CHECKING:
    from minio import Minio

__all__ = ["FileSource", "ObjectSource", "Source", "source_of"]

_SCHEME = "s3://"
_MISSING = {"NoSuchKey", "NoSuchBucket"}
_CONNECT, _READ = 3.0, 10.0
"""Seconds."""


class Source(Protocol):
    """One file. Raises `UnavailableError` where nobody can say."""

    @property
    def name(self) -> str:
        """Return what people call it."""

    @property
    def is_near(self) -> bool:
        """Say whether a look costs nothing."""

    async def stamp(self) -> str | None:
        """Return what is another one after each change; None while there is no file."""

    async def read(self) -> bytes | None:
        """Return its bytes, if it is there."""


def source_of(settings: ApplicationSettings, data: Path, s3: S3Access) -> Source:
    """Return the source that the settings name."""
    if not settings.file.startswith(_SCHEME):
        return FileSource(data.absolute() / settings.file)
    bucket, _, key = settings.file.removeprefix(_SCHEME).partition("/")
    if not bucket or not key:
        raise ValueError(f"scheduler.applications.file: {settings.file} names no object; write s3://<bucket>/<key>")
    return ObjectSource(settings.s3 or s3, bucket, key)


class FileSource:
    """A file on this machine."""

    is_near = True

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path

    async def stamp(self) -> str | None:
        """Return when it was changed, its size and which file it is: editors put new ones in its place."""
        try:
            known = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UnavailableError(f"{self.name}: {error.strerror}") from error
        return f"{known.st_mtime_ns}-{known.st_size}-{known.st_ino}"

    async def read(self) -> bytes | None:
        """Return its bytes, if it is there."""
        try:
            return await asyncio.to_thread(self._path.read_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UnavailableError(f"{self.name}: {error.strerror}") from error


class ObjectSource:
    """An object of an S3 store."""

    is_near = False

    def __init__(self, access: S3Access, bucket: str, key: str) -> None:
        self.name = f"{_SCHEME}{bucket}/{key}"
        self._access = access
        self._bucket, self._key = bucket, key
        self._client: Minio | None = None

    async def stamp(self) -> str | None:
        """Return what the store says of its bytes."""
        return await asyncio.to_thread(self._stamp)

    async def read(self) -> bytes | None:
        """Return its bytes, if it is there."""
        return await asyncio.to_thread(self._read)

    def _stamp(self) -> str | None:
        known = self._if_there(lambda client: client.stat_object(self._bucket, self._key))
        return None if known is None else f"{known.etag}-{known.last_modified}"

    def _read(self) -> bytes | None:
        response = self._if_there(lambda client: client.get_object(self._bucket, self._key))
        if response is None:
            return None
        try:
            return bytes(response.data)
        finally:
            response.close()
            response.release_conn()

    def _if_there(self, call: Callable[[Minio], Any]) -> Any:
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        try:
            return call(self._open())
        except S3Error as error:
            if error.code in _MISSING:
                return None
            raise UnavailableError(f"{self.name}: the store says {error.code}") from error
        except (MinioException, HTTPError, OSError) as error:
            raise UnavailableError(f"{self.name}: the store does not answer: {type(error).__name__}") from error

    def _open(self) -> Minio:
        """Make the client when it is needed first: most sites have a file."""
        if self._client is None:
            import urllib3
            from minio import Minio

            timeout = urllib3.Timeout(connect=_CONNECT, read=_READ)
            self._client = Minio(
                self._access.endpoint,
                access_key=self._access.access_key,
                secret_key=self._access.secret_key.get_secret_value(),
                secure=self._access.secure,
                region=self._access.region,
                http_client=urllib3.PoolManager(timeout=timeout, retries=urllib3.Retry(total=1)),
            )
        return self._client
