"""The OpenAPI document: complete, consistent, and with examples that are true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import TypeAdapter

from contracts.batches import Batch, BatchSpec, order_of
from contracts.documents import read_documents
from contracts.explanations import Explanation
from contracts.files import DownloadUrl, Folder, FolderRecord, Moved, UploadPlan
from contracts.grants import Grant
from contracts.identity import (
    DisableWish,
    Inspection,
    InspectionWish,
    KeyPairRecord,
    KeyPairWish,
    LoginWish,
    MadeKeyPair,
    Member,
    MemberWish,
    MintedToken,
    PasswordWish,
    Project,
    ProjectWish,
    Revocation,
    RevocationWish,
    RootKeys,
    TokenRecord,
    TokenWish,
    User,
    UserWish,
)
from contracts.mail import MailStanding, MailWish
from contracts.principals import Principal
from contracts.queries import BackendView, History
from contracts.schedules import Schedule, ScheduleRun, ScheduleSpec
from contracts.shelves import FolderRule, OwnersUsage, Purged, Restored, StorageUsage, Version
from contracts.spec import JobSpec
from contracts.subscriptions import Delivery, Subscription, SubscriptionSpec
from contracts.tasks import Task
from contracts.usage import ReplayReport, UsageSummary
from services.gateway.api import (
    batch_examples,
    examples,
    folder_examples,
    grant_examples,
    hook_examples,
    identity_examples,
    mail_examples,
    schedule_examples,
)
from services.gateway.api.events import EventPage
from services.gateway.api.grants import GrantWish
from services.gateway.api.health import Readiness
from services.gateway.api.reference import render_reference
from services.gateway.api.views import FileView, JobFilesView, JobView, TaskLogPage
from services.gateway.app import create_app
from services.gateway.factory import Process
from services.gateway.settings import GatewaySection


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    process = cast(Process, SimpleNamespace(settings=GatewaySection()))
    return create_app(process).openapi()


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_every_route_is_described(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    ids = []
    for path, method, operation in _operations(document):
        place = f"{method} {path}"
        assert operation["summary"], place
        assert operation["tags"], place
        assert set(operation["tags"]) <= tags, place
        ids.append(operation["operationId"])
    assert len(ids) == len(set(ids))
    assert document["servers"]


def test_every_route_of_the_api_declares_its_problems_and_who_may_ask(document: dict[str, Any]) -> None:
    for path, method, operation in _operations(document):
        if not path.startswith("/v1/"):
            assert "security" not in operation
            continue
        place = f"{method} {path}"
        assert {"token": []} in operation["security"], place
        for status in ("400", "401", "403", "422", "503"):
            problem = operation["responses"][status]["content"]["application/problem+json"]
            assert problem["schema"] == {"$ref": "#/components/schemas/ProblemDocument"}, place
        if "{job_id}" in path:
            assert "404" in operation["responses"], place


def test_every_route_has_an_example(document: dict[str, Any]) -> None:
    for path, method, operation in _operations(document):
        place = f"{method} {path}"
        good = [response for code, response in operation["responses"].items() if code.startswith("2")]
        contents = [content for response in good for content in response.get("content", {}).values()]
        binary = any(content.get("schema", {}).get("format") == "binary" for content in contents)
        # Bytes and answers without a body have none.
        assert any("example" in content for content in contents) or binary or method in {"head", "delete"}, place
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = str(content.get("schema", {}))
            assert "examples" in content or "binary" in schema or "$ref" in schema, place


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for found in re.findall(r"#/components/schemas/([A-Za-z0-9_.-]+)", str(document)):
        assert found in document["components"]["schemas"]


def test_path_parameters_are_declared(document: dict[str, Any]) -> None:
    for path, method, operation in _operations(document):
        declared = {item["name"] for item in operation.get("parameters", []) if item["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path)), f"{method} {path}"


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        (JobView, examples.JOB),
        (History, examples.HISTORY),
        (Explanation, examples.EXPLANATION),
        (Task, examples.TASK),
        (TaskLogPage, examples.TASK_LOGS),
        (JobFilesView, examples.JOB_FILES),
        (FileView, examples.FILE),
        (UploadPlan, examples.PLAN),
        (DownloadUrl, examples.DOWNLOAD),
        (UsageSummary, examples.USAGE),
        (ReplayReport, examples.REPLAY),
        (EventPage, examples.EVENTS),
        (BackendView, examples.BACKEND),
        (Principal, examples.PRINCIPAL),
        (Readiness, examples.READY),
        (Batch, batch_examples.BATCH),
        (Schedule, schedule_examples.SCHEDULE),
        (ScheduleRun, schedule_examples.RUN),
        (Subscription, hook_examples.SUBSCRIPTION),
        (Delivery, hook_examples.DELIVERY),
        (Delivery, hook_examples.PING),
        (MailStanding, mail_examples.STANDING),
        (User, identity_examples.USER),
        (Project, identity_examples.PROJECT),
        (Member, identity_examples.MEMBER),
        (MintedToken, identity_examples.MINTED),
        (TokenRecord, identity_examples.TOKEN),
        (Inspection, identity_examples.INSPECTION),
        (Revocation, identity_examples.REVOCATION),
        (RootKeys, identity_examples.ROOT_KEYS),
        (KeyPairRecord, identity_examples.KEY),
        (MadeKeyPair, identity_examples.MADE_KEY),
        (FolderRecord, folder_examples.FOLDER),
        (Folder, folder_examples.MADE),
        (Moved, folder_examples.MOVED),
        (FolderRule, folder_examples.RULE),
        (OwnersUsage, folder_examples.OWNER),
        (StorageUsage, folder_examples.USAGE),
        (Version, folder_examples.VERSION),
        (Restored, folder_examples.RESTORED),
        (Purged, folder_examples.PURGED),
        (Grant, grant_examples.GRANT),
        (Grant, grant_examples.FOLDER_GRANT),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_examples_are_what_the_models_say(kind: Any, example: object) -> None:
    TypeAdapter(kind).validate_python(example)


@pytest.mark.parametrize("name", list(examples.SPECS))
def test_the_examples_of_jobs_can_be_submitted(name: str) -> None:
    example = cast(dict[str, Any], examples.SPECS[name])
    JobSpec.model_validate(example["value"])


def test_the_examples_of_batches_can_be_submitted() -> None:
    for example in batch_examples.BATCHES.values():
        order_of(BatchSpec.model_validate(example["value"]).jobs)
    for example in batch_examples.YAMLS.values():
        (document,) = read_documents(example["value"])
        order_of(BatchSpec.model_validate(document.value).jobs)


@pytest.mark.parametrize("name", list(schedule_examples.SCHEDULES))
def test_the_examples_of_schedules_can_be_made(name: str) -> None:
    example = cast(dict[str, Any], schedule_examples.SCHEDULES[name])
    ScheduleSpec.model_validate(example["value"])


@pytest.mark.parametrize("name", list(mail_examples.WISHES))
def test_every_example_of_a_wish_for_mail_is_one(name: str) -> None:
    MailWish.model_validate(cast(dict[str, Any], mail_examples.WISHES[name])["value"])


@pytest.mark.parametrize("name", list(hook_examples.SUBSCRIPTIONS))
def test_the_examples_of_subscriptions_can_be_made(name: str) -> None:
    example = cast(dict[str, Any], hook_examples.SUBSCRIPTIONS[name])
    SubscriptionSpec.model_validate(example["value"])


@pytest.mark.parametrize(
    ("kind", "wishes"),
    [
        (UserWish, identity_examples.USER_WISHES),
        (DisableWish, identity_examples.DISABLING),
        (PasswordWish, identity_examples.PASSWORDS),
        (ProjectWish, identity_examples.PROJECT_WISHES),
        (MemberWish, identity_examples.MEMBER_WISHES),
        (TokenWish, identity_examples.TOKEN_WISHES),
        (InspectionWish, identity_examples.INSPECTING),
        (RevocationWish, identity_examples.REVOKING),
        (LoginWish, identity_examples.LOGINS),
        (KeyPairWish, identity_examples.KEY_WISHES),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_examples_of_wishes_of_identity_are_taken(kind: Any, wishes: dict[str, Any]) -> None:
    for wish in wishes.values():
        TypeAdapter(kind).validate_python(wish["value"])


@pytest.mark.parametrize("name", list(grant_examples.WISHES))
def test_the_examples_of_grants_can_be_put(name: str) -> None:
    example = cast(dict[str, Any], grant_examples.WISHES[name])
    GrantWish.model_validate(example["value"])


def test_the_reference_page_shows_every_route_and_runs_nothing(document: dict[str, Any]) -> None:
    page = render_reference(document)
    for path, _, operation in _operations(document):
        assert path in page
        assert operation["operationId"] in page
    assert "<script" not in page
    assert "http://cdn" not in page
    assert "https://cdn" not in page
