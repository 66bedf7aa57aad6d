"""Calls about mail."""

from __future__ import annotations

import httpx

from contracts.mail import MailStanding, MailWish

from .call import Call, path_of, reads

__all__ = ["get_mail", "set_mail"]

_MAIL = path_of("v1/mail")


def get_mail() -> Call[MailStanding]:
    """Ask how it stands with one's mail."""
    return Call("GET", _MAIL, reads(MailStanding))


def set_mail(*, opted_out: bool) -> Call[MailStanding | None]:
    """Get no mail, or get it again. None: the command is kept until later."""
    body = MailWish(opted_out=opted_out).model_dump_json().encode()
    return Call("PUT", _MAIL, _read_or_pending, body=body, hold=5.0)


def _read_or_pending(response: httpx.Response) -> MailStanding | None:
    return None if response.status_code == 202 else reads(MailStanding)(response)
