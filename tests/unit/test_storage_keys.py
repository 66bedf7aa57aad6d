"""The jail: every owner has a part of the bucket of their own, and jobs write where users do not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidError
from contracts.runs import RunTicket
from services.storage.keys import is_key_of, new_key, owner_folder, require_own_path, run_path

OWNERS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,20}", fullmatch=True)
TICKET = RunTicket(owner="ada", workload_id="job-" + "0" * 32, attempt=2)


@given(OWNERS, OWNERS)
def test_no_two_owners_share_a_folder(one: str, other: str) -> None:
    assert (owner_folder(one) == owner_folder(other)) == (one == other)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", owner_folder(one))


@given(OWNERS, OWNERS)
def test_a_key_belongs_to_its_owner_alone(one: str, other: str) -> None:
    assert is_key_of(one, new_key(one))
    assert is_key_of(other, new_key(one)) == (one == other)


@pytest.mark.parametrize(
    "key", ["ada/../eve/" + "0" * 32, "ada/" + "0" * 31, "ada/" + "0" * 32 + "/x", "ada", "", "ada/" + "0" * 32 + "\n"]
)
def test_what_is_no_key_of_ours_is_nobodys(key: str) -> None:
    assert not is_key_of("ada", key)


@pytest.mark.parametrize("path", ["jobs", "jobs/a", "jobs/job-1/outputs/a"])
def test_users_do_not_write_where_jobs_write(path: str) -> None:
    with pytest.raises(InvalidError):
        require_own_path(path)


@pytest.mark.parametrize("path", ["job", "jobs.txt", "jobs2/a", "a/jobs/b"])
def test_users_write_anywhere_else(path: str) -> None:
    require_own_path(path)


@pytest.mark.parametrize("path", ["outputs/a/b", "logs/2/stdout"])
def test_a_run_writes_into_its_jobs_folder(path: str) -> None:
    assert run_path(TICKET, path) == f"jobs/{TICKET.workload_id}/{path}"


@pytest.mark.parametrize("path", ["outputs", "a", "logs/1/stdout", "logs/20/stdout", "logs/2"])
def test_a_run_writes_nowhere_else(path: str) -> None:
    with pytest.raises(InvalidError):
        run_path(TICKET, path)
