"""Mailjet's send API v3.1, and what speaks it: one message for each request."""

from __future__ import annotations

import asyncio
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ValidationError

from services.scheduler.webhooks.backoff import read_retry_after
from services.scheduler.webhooks.carrying import Outcome

from .sending import MailSender, short_words, trust
from .settings import Mailjet

__all__ = ["MailjetSender"]

_OURS = frozenset({401, 403, 408, 429})
"""Refusals that are about the site's account, or of the moment; the mail itself may be good."""


class _Fault(BaseModel):
    ErrorMessage: str = ""
    ErrorCode: str = ""


class _Message(BaseModel):
    Status: str = ""
    Errors: list[_Fault] = []


class _Answer(_Fault):
    """What is answered, as far as it matters: for each message, or for the request as a whole."""

    Messages: list[_Message] = []

    def words(self) -> str:
        """Return what went wrong."""
        faults = [fault for message in self.Messages for fault in message.Errors] or [self]
        return short_words("; ".join(f"{fault.ErrorCode} {fault.ErrorMessage}".strip() for fault in faults))

    @property
    def is_good(self) -> bool:
        """Say whether our one message was taken."""
        return [message.Status for message in self.Messages] == ["success"]


class MailjetSender(MailSender):
    """Hands mail to an HTTP API."""

    def __init__(self, settings: Mailjet, *, timeout: float) -> None:
        self.host = f"mailjet:{urlsplit(settings.url).hostname}"
        self._settings = settings
        self._timeout = timeout

    async def send(self, message: bytes, *, recipient: str, delivery: str) -> Outcome:
        """Hand one message over."""
        import httpx

        body = orjson.dumps({"Messages": [_parts(message, recipient, delivery)]})
        key, secret = (one.get_secret_value() for one in (self._settings.key, self._settings.secret))
        try:
            async with (
                asyncio.timeout(self._timeout),
                httpx.AsyncClient(
                    verify=trust(self._settings.ca_file), trust_env=False, timeout=self._timeout
                ) as client,
            ):
                answer = await client.post(
                    self._settings.url,
                    content=body,
                    headers={"content-type": "application/json"},
                    auth=(key, secret),
                )
        except (httpx.TransportError, OSError, TimeoutError) as error:
            return Outcome(good=False, error=f"the mail service could not be asked: {type(error).__name__}")
        return _outcome(answer.status_code, answer.content, answer.headers.get("retry-after"))


def _outcome(status: int, content: bytes, retry_after: str | None) -> Outcome:
    try:
        said = _Answer.model_validate_json(content)
    except ValidationError:
        said = _Answer()
    if status < 300 and said.is_good:
        return Outcome(good=True, status=status)
    final = 400 <= status < 500 and status not in _OURS
    words = f"answered {status} {said.words()}".strip()
    return Outcome(good=False, status=status, error=words, final=final, retry_after=read_retry_after(retry_after))


def _parts(raw: bytes, recipient: str, delivery: str) -> dict[str, Any]:
    """Say a message in the words of the API, which takes no message as a whole."""
    message = message_from_bytes(raw, EmailMessage, policy=SMTP)
    sender = message["From"].addresses[0]
    return {
        "From": {"Email": sender.addr_spec, "Name": sender.display_name},
        "To": [{"Email": recipient}],
        "Subject": str(message["Subject"]),
        "TextPart": _text(message, "plain"),
        "HTMLPart": _text(message, "html"),
        "CustomID": delivery,
    }


def _text(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content())
