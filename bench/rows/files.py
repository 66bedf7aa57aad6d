"""Upload and download of 1 GB by our client and presigned URLs, beside the bare minio client on the same store."""

from __future__ import annotations

import os
import time
from pathlib import Path

import yaml
from minio import Minio

from bench.ground import Ground
from bench.table import Figure, Row
from shunter.client import Client
from tests.support.stack import Stack

__all__ = ["ROW"]


def _measure(ground: Ground) -> list[Figure]:
    size = ground.size(1000, 50) * 10**6
    local, back = ground.folder / "big", ground.folder / "back"
    with local.open("wb") as file:
        for _ in range(size // 10**6):
            file.write(os.urandom(10**6))
    turns = []
    for _ in range(ground.size(2, 1)):
        _touch(local)
        turns.append((_ours(ground.stack, local, back), _bare(ground.stack, local, back)))
    ours = [min(turn[0][part] for turn in turns) for part in (0, 1)]
    bare = [min(turn[1][part] for turn in turns) for part in (0, 1)]
    local.unlink()
    back.unlink()
    total, beside = sum(ours), sum(bare)
    for name, mine, theirs in zip(("upload", "download"), ours, bare, strict=True):
        ROW.notes.append(f"{name}: {size / mine / 1e6:.0f} MB/s, bare {size / theirs / 1e6:.0f} MB/s")
    return [Figure("up and down", f"{total:.1f} s", f"minio client {beside:.1f} s", beside / total, 0.8)]


def _touch(local: Path) -> None:
    """Make it another file: one whose owner has its content already would not be sent at all."""
    with local.open("r+b") as file:
        file.write(os.urandom(10**6))


def _ours(stack: Stack, local: Path, back: Path) -> tuple[float, float]:
    with Client(stack.url, token=stack.tokens["owner"]) as client:
        began = time.perf_counter()
        client.upload(local, "bench/big")
        middle = time.perf_counter()
        client.download("bench/big", back)
        return middle - began, time.perf_counter() - middle


def _bare(stack: Stack, local: Path, back: Path) -> tuple[float, float]:
    settings = yaml.safe_load((stack.data / "shunter.yaml").read_text())["storage"]
    s3 = settings["s3"]
    place = s3["endpoint"].removeprefix("http://")
    store = Minio(place, access_key=s3["access_key"], secret_key=s3["secret_key"], secure=False)
    began = time.perf_counter()
    store.fput_object(settings["bucket"], "bench-bare", str(local))
    middle = time.perf_counter()
    store.fget_object(settings["bucket"], "bench-bare", str(back))
    ended = time.perf_counter()
    store.remove_object(settings["bucket"], "bench-bare")
    return middle - began, ended - middle


ROW = Row("files", "1 GB up and down through presigned URLs", _measure)
