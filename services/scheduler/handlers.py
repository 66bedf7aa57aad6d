"""The scheduler's edge to the bus."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from contracts.backends import DrainBackend, GetBackend, ListBackends, ResumeBackend
from contracts.commands import (
    CancelBatch,
    CancelWorkload,
    CreateBatch,
    CreateSchedule,
    DeleteSchedule,
    HoldWorkload,
    PauseSchedule,
    RemoveWorkload,
    ReplaceSchedule,
    ResumeSchedule,
    RetryWorkload,
    ShareWorkload,
    StartWorkload,
    SubmitWorkload,
    TriggerSchedule,
    UnshareWorkload,
)
from contracts.errors import InvalidError
from contracts.glances import GlanceWorkloads
from contracts.hook_commands import (
    CreateSubscription,
    DeleteSubscription,
    PauseSubscription,
    Redeliver,
    ReplaceSubscription,
    ResumeSubscription,
    TestSubscription,
)
from contracts.hook_queries import GetDelivery, GetSubscription, ListDeliveries, ListSubscriptions
from contracts.leases import GetLease, ReportLease, TakeLeases, UseLease
from contracts.mail_commands import RefuseMail, WishMail
from contracts.mail_queries import GetMailStanding, ReadMailTicket
from contracts.placements import PlaceWorkload
from contracts.queries import (
    ExplainWorkload,
    FindWorkload,
    GetBatch,
    GetHistory,
    GetSchedule,
    GetTask,
    GetWorkload,
    ListApplications,
    ListBatches,
    ListSchedules,
    ListTasks,
    ListWorkloads,
    NextTask,
    WorkloadGrants,
    WorkloadsSharedWith,
)
from contracts.runs import RunReport
from contracts.subjects import report_subject
from services.chassis.bus import Bus, CommandHandler, Delivery, QueryHandler
from services.chassis.errors import invalid_from

from .batches.service import BatchService
from .parts import Parts
from .placing.views import BackendDesk
from .reports import READER
from .schedules.service import ScheduleService
from .webhooks.service import HookService

__all__ = ["register"]


def register(bus: Bus, parts: Parts) -> None:
    """Connect what the scheduler does with what it hears."""
    service, batches, schedules = parts.service, parts.batches, parts.schedules

    async def take_report(raw: bytes, delivery: Delivery) -> None:
        try:
            report = RunReport.model_validate_json(raw, extra="ignore")
        except ValidationError as error:
            raise invalid_from(error) from error
        if delivery.subject != report_subject(report.workload_id, report.attempt):
            # Whoever may speak of one attempt may not speak of another.
            raise InvalidError(f"a report of {report.native_id} came on the subject {delivery.subject}")
        await parts.reports.take(report, delivery)

    bus.handle_commands(
        {
            SubmitWorkload: service.submit,
            CancelWorkload: service.cancel,
            HoldWorkload: service.hold,
            StartWorkload: service.start,
            RetryWorkload: service.retry,
            RemoveWorkload: service.remove,
            ShareWorkload: parts.sharing.share,
            UnshareWorkload: parts.sharing.unshare,
            **_many_commands(batches, schedules),
            **_hook_commands(parts.hooks.service),
            **_other_commands(parts),
        }
    )
    bus.answer_queries(
        {
            GetWorkload: service.get,
            FindWorkload: service.find,
            GetHistory: service.history,
            ExplainWorkload: parts.explainer.explain,
            ListWorkloads: service.page,
            WorkloadGrants: parts.sharing.given,
            WorkloadsSharedWith: parts.sharing.received,
            GlanceWorkloads: service.glance,
            **_many_queries(batches, schedules),
            **_hook_queries(parts.hooks.service),
            **_other_queries(parts),
            ListTasks: service.tasks.page,
            GetTask: service.tasks.get,
        }
    )
    bus.follow("RUNS", [report_subject()], READER, take_report)


def _many_commands(batches: BatchService, schedules: ScheduleService) -> dict[type[Any], CommandHandler]:
    return {
        CreateBatch: batches.create,
        CancelBatch: batches.cancel,
        CreateSchedule: schedules.create,
        ReplaceSchedule: schedules.replace,
        PauseSchedule: schedules.pause,
        ResumeSchedule: schedules.resume,
        TriggerSchedule: schedules.trigger,
        DeleteSchedule: schedules.delete,
    }


def _many_queries(batches: BatchService, schedules: ScheduleService) -> dict[type[Any], QueryHandler]:
    return {
        GetBatch: batches.get,
        ListBatches: batches.page,
        GetSchedule: schedules.get,
        ListSchedules: schedules.page,
    }


def _other_commands(parts: Parts) -> dict[type[Any], CommandHandler]:
    """Return those about backends, outside workers and mail."""
    return {
        DrainBackend: parts.placing.drains.drain,
        ResumeBackend: parts.placing.drains.resume,
        TakeLeases: parts.leases.take,
        ReportLease: parts.leases.report,
        WishMail: parts.mail.service.wish,
        RefuseMail: parts.mail.service.refuse,
    }


def _other_queries(parts: Parts) -> dict[type[Any], QueryHandler]:
    """Return those about backends, outside workers, pilots, mail and applications."""
    desk = BackendDesk(parts.backends)
    return {
        ListBackends: desk.all,
        GetBackend: desk.get,
        PlaceWorkload: parts.previewer.preview,
        GetLease: parts.leases.get,
        UseLease: parts.leases.use,
        GetMailStanding: parts.mail.service.get,
        ReadMailTicket: parts.mail.service.read,
        NextTask: parts.pilots.desk.next,
        ListApplications: parts.shelf.answer,
    }


def _hook_commands(hooks: HookService) -> dict[type[Any], CommandHandler]:
    return {
        CreateSubscription: hooks.create,
        ReplaceSubscription: hooks.replace,
        PauseSubscription: hooks.pause,
        ResumeSubscription: hooks.resume,
        DeleteSubscription: hooks.delete,
        TestSubscription: hooks.test,
        Redeliver: hooks.redeliver,
    }


def _hook_queries(hooks: HookService) -> dict[type[Any], QueryHandler]:
    return {
        GetSubscription: hooks.get,
        ListSubscriptions: hooks.page,
        GetDelivery: hooks.get_delivery,
        ListDeliveries: hooks.delivery_page,
    }
