"""Subscriptions whose owner has lost the rights by which they were told: they wait until their owner resumes them."""

from __future__ import annotations

from sqlalchemy import RowMapping

from contracts.envelope import Envelope, type_of
from contracts.identity_events import MembershipEnded, MembershipSet, UserChanged, UserDisabled
from contracts.principals import Level

from .records import principal_of, spec_of

__all__ = ["NOUNS", "why_withdrawn"]

NOUNS = frozenset(kind.name.partition(".")[0] for kind in (UserDisabled, MembershipEnded))
"""What such events are about."""


def why_withdrawn(envelope: Envelope, row: RowMapping) -> str:
    """Say why a subscription must not be served any more after an event, or nothing."""
    if envelope.owner != row["owner"]:
        return ""
    if envelope.type == type_of(UserDisabled):
        return "its owner was disabled"
    if spec_of(row).of == "mine":
        return ""
    if envelope.type == type_of(UserChanged):
        lost = principal_of(row).roles - envelope.unwrap(UserChanged).roles
        return f"its owner is no {', '.join(sorted(lost))} of the site any more" if lost else ""
    project = _no_more_administered(envelope)
    if project is None or principal_of(row).projects.get(project) is not Level.ADMIN:
        return ""
    return f"its owner does not administer {project} any more"


def _no_more_administered(envelope: Envelope) -> str | None:
    if envelope.type == type_of(MembershipEnded):
        return envelope.unwrap(MembershipEnded).project
    if envelope.type != type_of(MembershipSet):
        return None
    found = envelope.unwrap(MembershipSet)
    return None if found.level is Level.ADMIN else found.project
