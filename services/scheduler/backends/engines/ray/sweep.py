"""Takes jobs out of Ray's queue.

`stop` reaches a job only once it runs, and nothing else of Ray's API ends one that waits: it would hold its place, and
have an autoscaler start nodes, until it is started in vain. So a small job of its own, which needs no room, kills what
would start them; for all that wait at once.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable
from typing import Any

from .answers import RayJob
from .settings import RaySettings

__all__ = ["is_sweep", "sweep"]

_PROGRAM = """\
import base64, json, sys
import ray
from ray.util.state import list_actors
names = set(json.loads(base64.b64decode(sys.argv[1])))
ray.init(address="auto", namespace="SUPERVISOR_ACTOR_RAY_NAMESPACE", log_to_driver=False)
for actor in list_actors(filters=[("class_name", "=", "JobSupervisor")], limit=10000):
    name = actor.name.removeprefix("_ray_internal_job_actor_")
    if name in names and actor.state in ("DEPENDENCIES_UNREADY", "PENDING_CREATION"):
        try:
            ray.kill(ray.get_actor(actor.name))
        except ValueError:
            pass
"""
"""The names of the process that runs a job are Ray's own, the same in all its versions that know the API of jobs."""


def sweep(names: Iterable[str], site: str, settings: RaySettings) -> dict[str, Any]:
    """Return the request for a job that takes others out of the queue, unless they have begun."""
    told = base64.b64encode(json.dumps(sorted(names)).encode()).decode("ascii")
    program = base64.b64encode(_PROGRAM.encode()).decode("ascii")
    return {
        "submission_id": f"{_prefix(site)}{secrets.token_hex(8)}",
        "entrypoint": f"{settings.python} -c \"import base64; exec(base64.b64decode('{program}'))\" {told}",
    }


def is_sweep(job: RayJob, site: str) -> bool:
    """Say whether a job is such a one of ours."""
    return (job.submission_id or "").startswith(_prefix(site))


def _prefix(site: str) -> str:
    # A dot is in no name of a native job, so that no word of a site can be mistaken for this one.
    return f"sweep.{site}."
