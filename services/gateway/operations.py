"""The operators' view: every service's own findings, and what the streams show. It always answers, whatever is down."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

from nats.js.api import ConsumerInfo, StreamInfo

from contracts.errors import ShunterError
from contracts.model import now
from contracts.operations import Diagnosis, Finding, Severity, SiteHealth
from contracts.queries import Diagnose
from contracts.subjects import STREAMS
from services.chassis.bus import Bus
from services.chassis.doctor import Doctor, probe_dependencies
from services.chassis.errors import translated
from services.chassis.health import HealthBook
from services.chassis.policy import require_operator

from .callers import Caller
from .figures import SERVICES

__all__ = ["OperationsService"]

_SERVICE_WITHIN = 4.0
_STREAMS_WITHIN = 3.0
_BEHIND = 1000
"""Messages that a consumer may have before it before that is worth a word."""
_NEARLY = 0.85
_QUEUES = frozenset({"TASKS"})
"""Streams in which waiting is no lag: jobs wait there for room."""
_WORST_FIRST = (Severity.CRITICAL, Severity.WARNING, Severity.NOTE)


class OperationsService:
    """Looks at the whole site for one operator."""

    def __init__(self, *, bus: Bus, caller: Caller, health: HealthBook) -> None:
        require_operator(caller.principal)
        self._bus = bus
        self._health = health

    async def look(self) -> SiteHealth:
        """Ask everything at once; what does not answer is a finding."""
        begun = time.perf_counter()
        doctor = Doctor("gateway")
        doctor.add("gateway", probe_dependencies("gateway", self._health.look), patience=_SERVICE_WITHIN)
        doctor.add("streams", self._streams, patience=_STREAMS_WITHIN)
        doctor.add("consumers", self._consumers, patience=_STREAMS_WITHIN)
        probes: dict[str, str] = {}
        for service in SERVICES:
            doctor.add(service, partial(self._service, service, probes), patience=_SERVICE_WITHIN + 1)
        own = await doctor.look()
        probes |= own.probes
        findings = _merged(own.findings)
        worst = {finding.severity for finding in findings}
        unseen = any(word != "ok" for word in probes.values())
        failing = Severity.CRITICAL in worst
        degraded = Severity.WARNING in worst or unseen
        return SiteHealth(
            status="failing" if failing else "degraded" if degraded else "ok",
            at=now(),
            seconds=time.perf_counter() - begun,
            findings=findings,
            probes=dict(sorted(probes.items())),
        )

    async def _service(self, service: str, probes: dict[str, str]) -> list[Finding]:
        try:
            found: Diagnosis = await self._bus.ask(Diagnose(), service=service, timeout=_SERVICE_WITHIN)
        except ShunterError as error:
            return [_silent(service, error.detail)]
        probes.update({f"{service}: {name}": word for name, word in found.probes.items()})
        return found.findings

    async def _streams(self) -> list[Finding]:
        with translated("NATS"):
            streams = {info.config.name: info for info in await self._bus.jetstream.streams_info()}
            account = await self._bus.jetstream.account_info()
        found = [_missing(spec.name) for spec in STREAMS if spec.name not in streams]
        found += [finding for info in streams.values() for finding in _limits_of(info)]
        if account.limits.max_storage > 0 and account.storage > _NEARLY * account.limits.max_storage:
            found.append(_nearly_full("JetStream", account.storage, account.limits.max_storage))
        parked = streams.get("PARKED")
        if parked and parked.state.messages:
            found.append(_parked(parked.state.messages))
        return found

    async def _consumers(self) -> list[Finding]:
        found: list[Finding] = []
        for spec in STREAMS:
            with translated("NATS"):
                consumers = await self._bus.jetstream.consumers_info(spec.name)
            for info in consumers:
                if info.config.durable_name:
                    found += _lag_of(spec.name, info)
        return found


def _silent(service: str, detail: str) -> Finding:
    return Finding(
        code="service-silent",
        severity=Severity.CRITICAL,
        part=service,
        what=f"{service} does not answer",
        evidence=[detail],
        cause="it is down, starting, or cut off from NATS",
        remedy=f"shunter service {service} --data <data>   (after a look into <data>/logs/{service}.log)",
    )


def _missing(name: str) -> Finding:
    return Finding(
        code="stream-missing",
        severity=Severity.CRITICAL,
        part=name,
        what=f"the stream {name} is not there",
        cause="NATS lost its store, or somebody removed the stream",
        remedy="restart the services: each declares the streams at its start and refills EVENTS from its outbox",
    )


def _limits_of(info: StreamInfo) -> Iterable[Finding]:
    limit, used = info.config.max_bytes or -1, info.state.bytes
    if limit > 0 and used > _NEARLY * limit:
        yield _nearly_full(str(info.config.name), used, limit)


def _nearly_full(name: str, used: int, limit: int) -> Finding:
    return Finding(
        code="stream-nearly-full",
        severity=Severity.WARNING,
        part=name,
        what=f"{name} holds {used / 2**20:.0f} of {limit / 2**20:.0f} MiB",
        evidence=[f"bytes={used}", f"limit={limit}"],
        cause="more is kept than the limit was made for; streams with a limit drop their oldest messages then",
        remedy=f"nats stream edit {name} --max-bytes=<more>, or let its messages live shorter",
    )


def _parked(count: int) -> Finding:
    return Finding(
        code="messages-parked",
        severity=Severity.WARNING,
        part="PARKED",
        what=f"{count} messages could not be handled and wait for you",
        evidence=[f"messages={count}"],
        cause="a bug of ours or a message that makes no sense: each says its error",
        remedy="shunter parked list; then `shunter parked resend <n>` or `shunter parked drop <n>`",
    )


def _lag_of(stream: str, info: ConsumerInfo) -> Iterable[Finding]:
    pending, held, again = info.num_pending or 0, info.num_ack_pending or 0, info.num_redelivered or 0
    evidence = [f"stream={stream}", f"pending={pending}", f"in_hand={held}", f"redelivered={again}"]
    service = info.name.partition("-")[0]
    unattended = pending and not held and not info.num_waiting
    if unattended:
        yield Finding(
            code="consumer-unattended",
            severity=Severity.CRITICAL,
            part=info.name,
            what=f"{pending} messages of {stream} wait and nobody asks {info.name} for them",
            evidence=evidence,
            cause=f"the {service} that reads them is down or hangs",
            remedy=f"shunter service {service} --data <data>",
        )
    elif pending > _BEHIND and stream not in _QUEUES:
        yield Finding(
            code="consumer-behind",
            severity=Severity.WARNING,
            part=info.name,
            what=f"{info.name} is {pending} messages behind",
            evidence=evidence,
            cause="more comes than is handled, or it has just begun again from the start",
            remedy="look again in a minute; if it grows, see the load of the service and its database",
        )
    if again > _BEHIND // 100:
        yield Finding(
            code="consumer-repeats",
            severity=Severity.WARNING,
            part=info.name,
            what=f"{again} messages of {stream} were handed out more than once and are not done",
            evidence=evidence,
            cause="their handler fails, or what it needs is away",
            remedy=f"grep -E 'message.(failed|postponed)' <data>/logs/{service}.log",
        )


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """Say once what several parts saw, the worst first."""
    by_key: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        key = (finding.code, finding.part, finding.what)
        known = by_key.get(key)
        by_key[key] = finding if known is None else _joined(known, finding)
    return sorted(by_key.values(), key=lambda finding: (_WORST_FIRST.index(finding.severity), finding.code))


def _joined(one: Finding, other: Finding) -> Finding:
    return one.model_copy(update={"evidence": list(dict.fromkeys([*one.evidence, *other.evidence]))})
