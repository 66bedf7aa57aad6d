"""Calls about backends: how they stand, where a job would go, and taking them out of service."""

from __future__ import annotations

import json

from contracts.backends import BackendView
from contracts.placements import PlacementView
from contracts.spec import JobSpec

from .call import Call, params_of, path_of, reads

__all__ = ["drain_backend", "get_backend", "place_job", "resume_backend"]


def get_backend(name: str) -> Call[BackendView]:
    """Get one backend."""
    return Call("GET", path_of("v1/backends", name), reads(BackendView))


def place_job(spec: JobSpec) -> Call[PlacementView]:
    """Ask where a job would go; nothing is kept."""
    body = spec.model_dump_json(exclude_unset=True).encode()
    return Call("POST", path_of("v1/jobs"), reads(PlacementView), params_of(dry_run=True), body=body)


def drain_backend(name: str, message: str = "") -> Call[BackendView]:
    """Have a backend given no new work."""
    body = json.dumps({"message": message}).encode()
    return Call("POST", path_of("v1/admin/backends", name, "drain"), reads(BackendView), body=body, hold=5.0)


def resume_backend(name: str) -> Call[BackendView]:
    """Have a backend given work again."""
    return Call("POST", path_of("v1/admin/backends", name, "resume"), reads(BackendView), hold=5.0)
