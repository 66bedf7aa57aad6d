"""Declares the streams, as `contracts.subjects` lists them."""

from __future__ import annotations

from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError

from contracts.subjects import STREAMS, Retention, StreamSpec

__all__ = ["declare_streams"]


def _config(spec: StreamSpec, replicas: int) -> StreamConfig:
    work = spec.retention is Retention.WORK
    return StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        retention=RetentionPolicy.WORK_QUEUE if work else RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=spec.max_age,
        max_bytes=spec.max_bytes,
        max_msg_size=-1,
        duplicate_window=spec.duplicate_window,
        allow_direct=True,
        num_replicas=replicas,
    )


async def declare_streams(jetstream: JetStreamContext, replicas: int = 1) -> None:
    """Make each stream that is missing; one that exists keeps what the operator made of it."""
    for spec in STREAMS:
        try:
            await jetstream.add_stream(_config(spec, replicas))
        except BadRequestError as error:
            # 10058: the name is in use with another configuration, which is the operator's right.
            if error.err_code != 10058:
                raise
