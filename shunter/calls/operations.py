"""Calls of operators: how the site fares, and messages that could not be handled."""

from __future__ import annotations

from contracts.operations import ParkedChange, ParkedPage, ParkedView, SiteHealth

from .call import Call, Params, params_of, path_of, reads

__all__ = ["drop_parked", "get_parked", "get_site_health", "list_parked", "resend_parked"]


def get_site_health() -> Call[SiteHealth]:
    """Look at the whole site."""
    return Call("GET", path_of("v1/admin/health"), reads(SiteHealth))


def list_parked(
    *, service: str | None = None, subject: str | None = None, limit: int = 100, cursor: str | None = None
) -> Call[ParkedPage]:
    """List parked messages, oldest first."""
    params = params_of(service=service, subject=subject, limit=limit, cursor=cursor)
    return Call("GET", path_of("v1/admin/parked"), reads(ParkedPage), params)


def get_parked(sequence: int) -> Call[ParkedView]:
    """Look into one."""
    return Call("GET", path_of("v1/admin/parked", str(sequence)), reads(ParkedView))


def resend_parked(
    sequence: int | None = None, *, service: str | None = None, subject: str | None = None, everything: bool = False
) -> Call[ParkedChange]:
    """Send one, or those that fit, again."""
    params = _which(sequence, service, subject, everything=everything)
    path = (
        path_of("v1/admin/parked", "resend") if sequence is None else path_of("v1/admin/parked", f"{sequence}/resend")
    )
    return Call("POST", path, reads(ParkedChange), params)


def drop_parked(
    sequence: int | None = None, *, service: str | None = None, subject: str | None = None, everything: bool = False
) -> Call[ParkedChange]:
    """Drop one, or those that fit."""
    params = _which(sequence, service, subject, everything=everything)
    path = path_of("v1/admin/parked") if sequence is None else path_of("v1/admin/parked", str(sequence))
    return Call("DELETE", path, reads(ParkedChange), params)


def _which(sequence: int | None, service: str | None, subject: str | None, *, everything: bool) -> Params:
    if sequence is not None:
        return ()
    return params_of(service=service, subject=subject, all=True if everything else None)
