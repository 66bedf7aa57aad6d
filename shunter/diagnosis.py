"""Is all well between here and the server? Each check says what it found and what to do about it."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from contracts.errors import ForbiddenError, NotFoundError, ShunterError, UnauthenticatedError
from contracts.operations import Severity

from .client import Client

__all__ = ["Finding", "diagnose"]

_CLOCKS = 5.0
"""Seconds that two clocks may differ; presigned URLs are refused at a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    ok: bool
    detail: str
    advice: str = ""
    """What to do, if it is not well."""
    severity: str = ""
    cause: str = ""
    evidence: tuple[str, ...] = ()


def diagnose(client: Client, *, present: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[Finding]:
    """Check one thing after the other; ends early when nothing further can be asked."""
    url = client.connection.url
    try:
        readiness = client.get_readiness()
    except ShunterError as error:
        advice = "start one with `shunter up`, or name another with SHUNTER_URL or --url"
        yield Finding("server", ok=False, detail=f"{url}: {error.detail}", advice=advice)
        return
    yield Finding("server", ok=True, detail=url)
    yield from _read_parts(readiness)
    yield _compare_clocks(readiness.get("date"), present())
    who = _ask_who(client)
    yield who
    if who.ok:
        yield _round_trip(client)
        yield from _look_at_site(client)


def _read_parts(readiness: Mapping[str, Any]) -> Iterator[Finding]:
    """Read what each part says, `ok` or what is wrong; a part may have parts."""
    for name, said in sorted((readiness.get("checks") or {}).items()):
        advice = f"look into the log of {name}; on this machine: `shunter up` starts parts again that died"
        yield Finding(f"ready: {name}", ok=said == "ok", detail=str(said), advice="" if said == "ok" else advice)


def _compare_clocks(date: str | None, present: datetime) -> Finding:
    try:
        apart = (present - parsedate_to_datetime(str(date))).total_seconds()
    except (TypeError, ValueError):
        return Finding("clock", ok=True, detail="the server does not say what time it has")
    ok = abs(apart) <= _CLOCKS
    advice = "" if ok else "set this machine's clock (NTP): presigned URLs depend on it"
    return Finding("clock", ok=ok, detail=f"{abs(apart):.0f} s from the server's", advice=advice)


def _ask_who(client: Client) -> Finding:
    try:
        who = client.who_am_i()
    except UnauthenticatedError as error:
        advice = "put a token into SHUNTER_TOKEN, --token-file or the profile"
        return Finding("credentials", ok=False, detail=error.detail, advice=advice)
    except ShunterError as error:
        return Finding("credentials", ok=False, detail=error.detail, advice="see above: a part is not ready")
    return Finding("credentials", ok=True, detail=f"you are {who.subject}")


def _look_at_site(client: Client) -> Iterator[Finding]:
    """Say what operators would see; whoever is none is told nothing."""
    try:
        site = client.operations.look()
    except (ForbiddenError, NotFoundError):
        return
    except ShunterError as error:
        yield Finding("site", ok=False, detail=error.detail, advice="see above: a part is not ready")
        return
    yield Finding("site", ok=site.status == "ok", detail=f"{site.status}: {len(site.findings)} findings")
    for one in site.findings:
        yield Finding(
            check=one.code,
            ok=one.severity is Severity.NOTE,
            detail=one.what,
            advice=one.remedy,
            severity=one.severity.value,
            cause=one.cause,
            evidence=tuple(one.evidence),
        )
    for name, word in site.probes.items():
        if word != "ok":
            yield Finding(f"probe: {name}", ok=False, detail=word, advice="it could not be looked at: see its log")


def _round_trip(client: Client) -> Finding:
    """Bring a small file and fetch it, by presigned URLs, as every transfer does."""
    remote = f"shunter-doctor/{secrets.token_hex(8)}.bin"
    with tempfile.TemporaryDirectory() as folder:
        sent, got = Path(folder, "sent"), Path(folder, "got")
        sent.write_bytes(secrets.token_bytes(1024))
        try:
            client.upload(sent, remote)
            client.download(remote, got)
        except ShunterError as error:
            advice = "the store must be reachable from here, not only from the server: check its public address"
            return Finding("files", ok=False, detail=error.detail, advice=advice)
        finally:
            with suppress(ShunterError):
                client.delete_file(remote)
    return Finding("files", ok=True, detail="a presigned upload and download of 1 KiB agree")
