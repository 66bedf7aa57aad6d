"""A schedule says when it is due, and refuses what it cannot mean; the client and the command line speak of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.schedules import ScheduleSpec
from services.gateway.api import schedule_examples
from services.scheduler.schedules.timing import calendars, next_runs
from tests.support.rest import FakeServer
from tests.support.terminal import Terminal

JOB = {"argv": ["true"]}
ID = schedule_examples.SCHEDULE["id"]


def spec(**given_: Any) -> ScheduleSpec:
    return ScheduleSpec.model_validate({"name": "n", "job": JOB, **given_})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cron": "60 25 32 13 8"}, "cron"),
        ({"cron": "* * * *"}, "cron"),
        ({"cron": "* * * * * *"}, "cron"),
        ({"cron": "@every 1s"}, "cron"),
        ({"cron": "0 0 31 2 *"}, "cron"),
        ({"cron": "0 0 L * *"}, "cron"),
        ({"cron": "0 0 * * MON#2"}, "cron"),
        ({"cron": "\x00 * * * *"}, "cron"),
        ({"every": "9s"}, "every"),
        ({"every": -1}, "every"),
        ({"every": "400d"}, "every"),
        ({"every": "1h", "time_zone": "Mars/Olympus"}, "time_zone"),
        ({"every": "1h", "time_zone": "../../etc/passwd"}, "time_zone"),
        ({"every": "1h", "overlap": "maybe"}, "overlap"),
        ({"every": "1h", "max_runs": 0}, "max_runs"),
        ({"every": "1h", "start_at": "2030-01-01T00:00:00"}, "start_at"),
        ({"every": "1h", "job": {"argv": []}}, "job.argv"),
        ({"every": "1h", "minute": 3}, "minute"),
        ({}, ""),
        ({"every": "1h", "start_at": "2030-01-02T00:00:00Z", "end_at": "2030-01-01T00:00:00Z"}, ""),
        ({"every": "1h", "job": {**JOB, "start_at": "2030-01-01T00:00:00Z"}}, ""),
    ],
)
def test_what_it_cannot_mean_is_refused_with_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(**change)
    assert {".".join(str(part) for part in error["loc"]) for error in caught.value.errors()} == {field}


def runs(found: ScheduleSpec, after: str, count: int = 3) -> list[str]:
    return [f"{moment:%m-%d %H:%M}" for moment in next_runs(found, datetime.fromisoformat(after), count)]


def test_cron_is_read_in_its_time_zone() -> None:
    found = spec(cron="30 2 * * *", time_zone="Europe/Berlin")
    assert runs(found, "2030-01-01T00:00:00+00:00", 1) == ["01-01 01:30"]
    assert runs(found, "2030-07-01T02:00:00+00:00", 1) == ["07-02 00:30"]


def test_a_time_that_a_change_of_clocks_leaves_out_is_left_out() -> None:
    found = spec(cron="30 2 * * *", time_zone="Europe/Berlin")
    assert runs(found, "2030-03-30T12:00:00+00:00", 2) == ["04-01 00:30", "04-02 00:30"]


def test_day_and_weekday_are_either_enough_unless_one_is_a_star() -> None:
    assert len(calendars("0 0 1 * SUN")) == 2
    (both,) = calendars("0 0 * * SUN")
    assert both.weekdays == {0}
    (sunday,) = calendars("0 0 * * 7")
    assert sunday.weekdays == {0}


def test_cron_and_interval_together_are_due_at_both_and_once_where_they_meet() -> None:
    found = spec(cron="0 * * * *", every="40m")
    assert runs(found, "2030-01-01T00:00:00+00:00", 4) == ["01-01 00:40", "01-01 01:00", "01-01 01:20", "01-01 02:00"]


def test_nothing_is_due_before_the_start_or_after_the_end() -> None:
    found = spec(every="1h", start_at="2030-01-01T10:00:00Z", end_at="2030-01-01T11:30:00Z")
    assert runs(found, "2030-01-01T00:00:00+00:00") == ["01-01 10:00", "01-01 11:00"]


@given(
    st.integers(min_value=10, max_value=10**6),
    st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 (the zone is given)
)
def test_an_interval_is_due_later_and_evenly(seconds: int, after: datetime) -> None:
    first, second = next_runs(spec(every=seconds), after, 2)
    assert after < first <= after + timedelta(seconds=seconds)
    assert second - first == timedelta(seconds=seconds)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def terminal(server: FakeServer, tmp_path: Path) -> Terminal:
    return Terminal(server, tmp_path)


def test_the_command_line_makes_a_schedule(terminal: Terminal, server: FakeServer) -> None:
    server.on("POST", "/v1/schedules", httpx.Response(201, json=schedule_examples.SCHEDULE))
    made = terminal.run("schedule", "create", "-n", "r", "--cron", "0 3 * * *", "--cpus", "2", "--", "python", "r.py")
    assert made.code == 0
    assert ID in made.out
    sent = ScheduleSpec.model_validate_json(server.requests[-1].content)
    assert (sent.name, sent.cron, sent.job.argv, sent.job.resources.cpus) == ("r", "0 3 * * *", ["python", "r.py"], 2)


def test_the_command_line_names_what_is_wrong_with_its_line(terminal: Terminal, server: FakeServer) -> None:
    text = "name: r\ncron: 61 * * * *\njob:\n  argv: [true]\n  cpus: 2\n"
    refused = terminal.run("schedule", "create", "-f", "-", stdin=text)
    assert refused.code == 2
    assert "cron: " in refused.err
    assert "Bad minute (line 2)" in refused.err
    assert "job.cpus: Extra inputs are not permitted (line 5)" in refused.err
    assert not server.requests


def test_a_schedule_is_found_by_its_name(terminal: Terminal, server: FakeServer) -> None:
    server.on("GET", "/v1/schedules", {"items": [schedule_examples.SCHEDULE]})
    server.on("POST", f"/v1/schedules/{ID}/trigger", httpx.Response(201, json=schedule_examples.RUN))
    server.on("POST", f"/v1/schedules/{ID}/pause", httpx.Response(202, json={"id": ID, "status": "pending"}))
    server.on("DELETE", f"/v1/schedules/{ID}", httpx.Response(204))
    assert schedule_examples.RUN["job_id"] in terminal.run("schedule", "trigger", "nightly-report").out
    assert "kept" in terminal.run("schedule", "pause", "nightly-report").out
    assert terminal.run("schedule", "rm", "nightly-report", "--json").json() == {"id": ID, "status": "deleted"}
    assert "30 2 * * MON-FRI" in terminal.run("schedule", "list").out
