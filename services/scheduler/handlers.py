"""The scheduler's edge to the bus."""

from __future__ import annotations

from pydantic import ValidationError

from contracts.commands import CancelWorkload, RetryWorkload, StartWorkload, SubmitWorkload
from contracts.queries import BackendView, GetHistory, GetTask, GetWorkload, ListBackends, ListTasks, ListWorkloads
from contracts.runs import RunReport
from contracts.subjects import report_subject
from services.chassis.bus import Bus, Delivery
from services.chassis.errors import invalid_from

from .backends.registry import Backends, Standing
from .reports import ReportService
from .service import WorkloadService

__all__ = ["register"]


def register(bus: Bus, *, service: WorkloadService, reports: ReportService, backends: Backends) -> None:
    """Connect what the scheduler does with what it hears."""

    async def take_report(raw: bytes, delivery: Delivery) -> None:
        try:
            report = RunReport.model_validate_json(raw, extra="ignore")
        except ValidationError as error:
            raise invalid_from(error) from error
        await reports.take(report, delivery)

    async def list_backends(_query: ListBackends) -> list[BackendView]:
        return [_view(standing) for standing in await backends.standings()]

    bus.handle_commands(
        {
            SubmitWorkload: service.submit,
            CancelWorkload: service.cancel,
            StartWorkload: service.start,
            RetryWorkload: service.retry,
        }
    )
    bus.answer_queries(
        {
            GetWorkload: service.get,
            GetHistory: service.history,
            ListWorkloads: service.page,
            ListTasks: service.tasks.page,
            GetTask: service.tasks.get,
            ListBackends: list_backends,
        }
    )
    bus.follow("RUNS", report_subject(), "scheduler-reports", take_report)


def _view(standing: Standing) -> BackendView:
    backend, room = standing.backend, standing.capacity
    known = (
        {}
        if room is None
        else {
            **{name: getattr(room, name) for name in ("cpus", "cpus_free", "memory", "memory_free")},
            **{name: getattr(room, name) for name in ("gpus", "gpus_free", "running", "queued")},
            "gpu_models": list(room.gpu_models),
        }
    )
    return BackendView(
        backend=backend.name,
        kind=backend.kind,
        healthy=not standing.trouble,
        detail=standing.trouble,
        capabilities=sorted(backend.capabilities),
        **known,
    )
