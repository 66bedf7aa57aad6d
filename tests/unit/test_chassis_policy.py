"""Rights: owner, project admin, site admin, auditor; what one may not see does not exist."""

from __future__ import annotations

import pytest

from contracts.errors import ForbiddenError, InvalidError, NotFoundError
from contracts.principals import Level, Principal, Role
from services.chassis.policy import bill_to, is_visible, owner_or_self, require_visible, scope_of, sees_all

OWNER = Principal(subject="ann", projects={"optics": Level.MEMBER})
MEMBER = Principal(subject="bob", projects={"optics": Level.MEMBER})
LEADER = Principal(subject="eve", projects={"optics": Level.ADMIN, "lasers": Level.MEMBER})
ADMIN = Principal(subject="root", roles=frozenset({Role.ADMIN}))
AUDITOR = Principal(subject="kim", roles=frozenset({Role.AUDITOR}))


@pytest.mark.parametrize(
    ("who", "sees", "changes"),
    [(OWNER, True, True), (MEMBER, False, False), (LEADER, True, True), (ADMIN, True, True), (AUDITOR, True, False)],
    ids=lambda value: value.subject if isinstance(value, Principal) else "",
)
def test_who_sees_a_thing_and_who_changes_it(who: Principal, *, sees: bool, changes: bool) -> None:
    assert is_visible(scope_of(who), "ann", "optics") is sees
    if not sees:
        with pytest.raises(NotFoundError, match="job-1 does not exist"):
            require_visible(who, "ann", "optics", "job-1")
        with pytest.raises(NotFoundError):
            require_visible(who, "ann", "optics", "job-1", to_change=True)
        return
    require_visible(who, "ann", "optics", "job-1")
    if changes:
        require_visible(who, "ann", "optics", "job-1", to_change=True)
    else:
        with pytest.raises(ForbiddenError):
            require_visible(who, "ann", "optics", "job-1", to_change=True)


def test_a_leader_of_one_project_sees_nothing_of_another_nor_what_has_none() -> None:
    assert not is_visible(scope_of(LEADER), "ann", "lasers")
    assert not is_visible(scope_of(LEADER), "ann", None)
    assert not is_visible(scope_of(LEADER), None, None)
    assert sees_all(AUDITOR)
    assert not sees_all(LEADER)


def test_one_asks_for_ones_own_things_unless_one_sees_everything() -> None:
    assert owner_or_self(OWNER, None) == owner_or_self(OWNER, "ann") == "ann"
    assert owner_or_self(ADMIN, "ann") == "ann"
    with pytest.raises(NotFoundError):
        owner_or_self(MEMBER, "ann")
    with pytest.raises(NotFoundError):
        owner_or_self(LEADER, "ann")


def test_the_bill_goes_to_a_project_of_ones_own() -> None:
    assert bill_to(LEADER, None) == "optics"
    assert bill_to(LEADER, "lasers") == "lasers"
    assert bill_to(ADMIN, "optics") == "optics"
    assert bill_to(ADMIN, None) is None
    with pytest.raises(InvalidError, match="you are in: optics") as raised:
        bill_to(MEMBER, "lasers")
    assert raised.value.errors[0].field == "project"
