"""Writes mail from templates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .settings import Mail

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Composer", "Letter"]

_OURS = Path(__file__).parent / "templates"
_WRITTEN = SMTP.clone(max_line_length=998)
"""Headers are not folded: a link that is too long for a line would be encoded, and not be found by mail programs."""
_SUBJECT, _TEXT, _HTML = "job.subject.txt", "job.txt", "job.html"


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail says: the words that templates may use."""

    job: str
    """Its identifier."""
    name: str
    """Its name; the identifier where it has none."""
    owner: str
    state: str
    message: str
    """Why it is in this state, if there is more to say."""
    exit_code: int | None
    attempt: int
    backend: str
    wall_seconds: float | None
    at: datetime
    opt_out: str
    """The link for who wants no more mail; empty if there is none."""
    site: str
    """What the site calls itself."""


class Composer:
    """Makes whole messages; reads the templates with the first one, for most sites never send any."""

    def __init__(self, settings: Mail) -> None:
        self._settings = settings

    def compose(self, letter: Letter, *, recipient: str, delivery: str) -> bytes:
        """Return the message as it is sent, with every try: same bytes, same `Message-ID`, same date."""
        sender = self._settings.sender
        if sender is None:
            return b""  # the site has stopped sending mail since somebody asked for this
        message = EmailMessage(policy=SMTP)
        message["Subject"] = " ".join(self._render(_SUBJECT, letter).split())
        message["From"] = Address(self._settings.sender_name, addr_spec=sender)
        message["To"] = Address(addr_spec=recipient)
        message["Date"] = letter.at
        message["Message-ID"] = f"<{delivery}@{sender.rpartition('@')[2]}>"
        # RFC 3834: no answering machine should answer.
        message["Auto-Submitted"] = "auto-generated"
        message["Shunter-Job"] = letter.job
        if letter.opt_out:
            # RFC 8058: a mail program may POST there when its user says so.
            message["List-Unsubscribe"] = f"<{letter.opt_out}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.set_content(self._render(_TEXT, letter), cte="quoted-printable")
        message.add_alternative(self._render(_HTML, letter), subtype="html", cte="quoted-printable")
        return message.as_bytes(policy=_WRITTEN)

    def _render(self, template: str, letter: Letter) -> str:
        return self._templates.get_template(template).render(mail=letter)

    @cached_property
    def _templates(self) -> Environment:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

        folders = [folder for folder in (self._settings.templates, _OURS) if folder]
        return Environment(
            loader=FileSystemLoader(folders),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
