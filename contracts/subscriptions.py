"""Standing subscriptions to events, and what is on its way to their targets."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from .hooks import FormatName, HookUrl, Secret
from .ids import WorkloadId
from .model import Model, Timestamp
from .spec import ProjectName
from .states import WorkloadState
from .words import plain_line

__all__ = [
    "Delivery",
    "DeliveryId",
    "DeliveryState",
    "Subscription",
    "SubscriptionId",
    "SubscriptionSpec",
    "SubscriptionState",
]

SubscriptionId = Annotated[str, StringConstraints(pattern=r"^sub-[0-9a-f]{32}$")]
"""A subscription's identifier, e.g. `sub-0193e7…`."""

DeliveryId = Annotated[str, StringConstraints(pattern=r"^dlv-[0-9a-f]{32}$")]
"""A delivery's identifier, e.g. `dlv-0193e7…`."""

EventType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9.]{0,127}$")]
"""The beginning of an event's type, such as `workload.moved` or `schedule`."""


class SubscriptionSpec(Model):
    """Which events are to be sent where."""

    name: str | None = Field(default=None, max_length=128, pattern=r"^[^\x00-\x1f\x7f/]+$", examples=["ci-bot"])
    url: HookUrl = Field(examples=["https://hooks.example.org/shunter"])
    secret: Secret | None = Field(default=None, repr=False)
    """What bodies are signed with (`x-hub-signature-256`); write-only, at most 256 bytes."""
    types: list[EventType] = Field(default=[], max_length=32, examples=[["workload.moved"]])
    """Beginnings of types, with or without `org.shunter.`; by default all but those about deliveries."""
    states: list[WorkloadState] = Field(default=[], max_length=len(WorkloadState), examples=[["failed", "lost"]])
    """Only moves of jobs into these states."""
    of: Literal["mine", "visible"] = "mine"
    """Only what the owner owns; or all that they might see by the rights they had at the last change of this."""
    job: WorkloadId | None = None
    """Only about this job."""
    project: ProjectName | None = None
    """Only what belongs to this project."""
    job_name: str | None = Field(default=None, max_length=128)
    """Only about jobs of this name."""
    labels: dict[str, Annotated[str, StringConstraints(max_length=256)]] = Field(default={}, max_length=16)
    """Only about jobs with all these labels."""
    format: FormatName = "cloudevents"
    """How bodies are written."""

    @field_validator("name", "job_name")
    @classmethod
    def _check_line(cls, value: str | None) -> str | None:
        return None if value is None else plain_line(value)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if len(set(self.types)) != len(self.types) or len(set(self.states)) != len(self.states):
            raise ValueError("a type or a state is named twice")
        return self

    def hidden(self) -> SubscriptionSpec:
        """Return it as it may be shown."""
        return self.model_copy(update={"secret": None})


class SubscriptionState(StrEnum):
    """Whether a subscription is served."""

    ACTIVE = "active"
    PAUSED = "paused"
    DELETED = "deleted"


class Subscription(Model):
    """A subscription as its owner sees it."""

    id: SubscriptionId
    owner: str
    spec: SubscriptionSpec
    signed: bool = False
    """Whether there is a secret; it is never shown."""
    state: SubscriptionState
    reason: str = ""
    """Why it is paused, if nobody wanted that: its target said that it is gone."""
    revision: int = 1
    """Counts the changes, from 1."""
    created_at: Timestamp
    updated_at: Timestamp


class DeliveryState(StrEnum):
    """What became of an event on its way to one target."""

    WAITING = "waiting"
    """For its turn, for the next try, or for its subscription to be resumed."""
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up; it can be sent again."""
    DROPPED = "dropped"
    """Its subscription was deleted before."""


class Delivery(Model):
    """An event on its way to one target."""

    id: DeliveryId
    owner: str
    project: str | None = None
    subscription_id: SubscriptionId | None = None
    """The subscription; none for the callback of a job, and for mail about it."""
    workload_id: WorkloadId | None = None
    """The job that it is about, if it is about one."""
    event_id: str
    """The same for every try, so that the receiver can tell a repetition."""
    event_type: str
    channel: Literal["webhook", "mail"] = "webhook"
    """How it travels."""
    url: str
    """Where to; of a mail `mailto:` and the address."""
    state: DeliveryState
    attempts: int = 0
    status: int | None = None
    """Of the target's last answer; none if there was none."""
    error: str = ""
    """Why the last try failed."""
    next_at: Timestamp | None = None
    """When the next try is due."""
    created_at: Timestamp
    updated_at: Timestamp
