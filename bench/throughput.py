"""Many short jobs at once, beside empty workflows on the same kind of Temporal."""

from __future__ import annotations

import asyncio
import time

import httpx

__all__ = ["jobs_per_second"]


async def jobs_per_second(url: str, token: str, count: int) -> tuple[float, float]:
    """Submit *count* jobs `true` and wait for all; returns (accepted per second, done per second)."""
    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=32)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, limits=limits) as client:
        gate = asyncio.Semaphore(16)

        async def submit() -> str:
            async with gate:
                answer = await client.post("/v1/jobs", json={"argv": ["true"]})
                return str(answer.raise_for_status().json()["id"])

        async def wait(job: str) -> None:
            async with gate:
                while True:
                    answer = await client.get(f"/v1/jobs/{job}", params={"wait": 30, "until": "terminal"})
                    if answer.raise_for_status().json()["state"] == "succeeded":
                        return

        began = time.perf_counter()
        jobs = await asyncio.gather(*(submit() for _ in range(count)))
        accepted = time.perf_counter() - began
        await asyncio.gather(*(wait(job) for job in jobs))
        return count / accepted, count / (time.perf_counter() - began)
