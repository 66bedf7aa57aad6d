"""The objects of the store, one by one over S3: their files on the disk cannot be copied while it writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import urllib3
from minio import Minio
from minio.error import S3Error

from .servers import StartError

__all__ = ["Bucket", "StoredObject"]

_TIMEOUT = urllib3.Timeout(connect=3.0, read=60.0)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's name and size."""

    key: str
    size: int


class Bucket:
    """One bucket."""

    def __init__(self, *, endpoint: str, access_key: str, secret_key: str, region: str, name: str) -> None:
        self._name = name
        self._client = Minio(
            endpoint,
            access_key=access_key,
            secret_key=secret_key,
            secure=False,
            region=region,
            http_client=urllib3.PoolManager(timeout=_TIMEOUT, retries=urllib3.Retry(total=3, backoff_factor=0.3)),
        )

    def objects(self) -> Iterator[StoredObject]:
        """Give every object."""
        try:
            for item in self._client.list_objects(self._name, recursive=True):
                if not item.is_dir:
                    yield StoredObject(str(item.object_name), int(item.size or 0))
        except S3Error as error:
            if error.code != "NoSuchBucket":
                raise StartError(f"the store refuses: {error.code}") from error
        except urllib3.exceptions.HTTPError as error:
            raise StartError(f"the store does not answer: {error}") from error

    @contextmanager
    def read(self, key: str) -> Iterator[tuple[IO[bytes], str]]:
        """Open an object; gives its bytes and content type."""
        answer = self._client.get_object(self._name, key)
        try:
            yield answer, str(answer.headers.get("Content-Type", "application/octet-stream"))  # type: ignore[misc]
        finally:
            answer.close()
            answer.release_conn()

    def make(self) -> None:
        """Make the bucket."""
        if not self._client.bucket_exists(self._name):
            self._client.make_bucket(self._name)

    def write(self, key: str, source: Any, size: int, content_type: str) -> None:
        """Store an object."""
        self._client.put_object(self._name, key, source, size, content_type=content_type)
