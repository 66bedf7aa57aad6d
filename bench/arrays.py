"""Arrays of short tasks: how many are done in a second, and what the runner and the scheduler take meanwhile."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.stack import run_stack

__all__ = ["ArrayFigures", "main", "measure"]


@dataclass(frozen=True, slots=True)
class ArrayFigures:
    """What one array showed."""

    tasks: int
    accepted: float
    """Seconds until the submit was answered."""
    seconds: float
    """From the submit until the array had ended."""

    @property
    def per_second(self) -> float:
        """Return tasks done in a second, from submit to end."""
        return self.tasks / self.seconds


async def measure(url: str, token: str, tasks: int, *, cpus: float = 0.1) -> ArrayFigures:
    """Run an array of *tasks* times `true`; each asks for *cpus* cores, so that several run side by side."""
    headers = {"Authorization": f"Bearer {token}"}
    spec = {"argv": ["true"], "array": {"count": tasks}, "resources": {"cpus": cpus}}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120) as client:
        began = time.perf_counter()
        job = (await client.post("/v1/jobs", json=spec)).raise_for_status().json()
        accepted = time.perf_counter() - began
        while job["state"] not in {"succeeded", "failed", "lost", "canceled"}:
            answer = await client.get(f"/v1/jobs/{job['id']}", params={"wait": 60, "until": "terminal"})
            job = answer.raise_for_status().json()
        seconds = time.perf_counter() - began
    if job["tasks"]["succeeded"] != tasks:
        raise SystemExit(f"the array ended as {job['state']}: {job['tasks']}")
    return ArrayFigures(tasks, accepted, seconds)


def main() -> None:
    """Start a stack, run an array, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tasks", type=int, nargs="+", default=[100, 10_000], help="sizes of arrays, one after another"
    )
    parser.add_argument("--cpus", type=float, default=0.1, help="cores of each task (default 0.1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shunter-bench-") as name, run_stack(Path(name) / "stack") as stack:
        print(f"load {os.getloadavg()[0]:.2f}")
        for tasks in options.tasks:
            found = asyncio.run(measure(stack.url, stack.tokens["owner"], tasks, cpus=options.cpus))
            print(
                f"{tasks} tasks `true`: accepted in {found.accepted:.3f} s, {found.seconds:.2f} s to the end, "
                f"{found.per_second:.0f} tasks/s, load {os.getloadavg()[0]:.2f}"
            )


if __name__ == "__main__":
    main()
