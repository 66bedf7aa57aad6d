"""Upload tickets say what was agreed, and cannot be made up or taken for something else."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from contracts.errors import ForbiddenError
from contracts.runs import RunTicket
from services.chassis.tickets import Tickets
from services.storage.uploads import TICKET_AGE, UploadTicket

KEY = SecretStr("k" * 40)
TICKET = UploadTicket(
    owner="ada", path="a", key="ada/" + "0" * 32, upload_id="u", size=1, content_type="text/plain", part_size=5
)


def test_a_ticket_says_what_was_agreed() -> None:
    tickets = Tickets(KEY, UploadTicket)
    assert tickets.read(tickets.issue(TICKET), TICKET_AGE) == TICKET


def test_a_ticket_of_another_site_or_kind_is_refused() -> None:
    tickets = Tickets(KEY, UploadTicket)
    run = RunTicket(owner="ada", workload_id="job-" + "0" * 32, attempt=1)
    for forged in (Tickets(SecretStr("x" * 40), UploadTicket).issue(TICKET), Tickets(KEY, RunTicket).issue(run), ""):
        with pytest.raises(ForbiddenError):
            tickets.read(forged, TICKET_AGE)
