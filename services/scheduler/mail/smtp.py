"""SMTP (RFC 5321): a connection for each mail."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.scheduler.webhooks.carrying import Outcome

from .sending import MailSender, short_words, trust
from .settings import Smtp

if TYPE_CHECKING:
    import aiosmtplib

__all__ = ["SmtpSender"]

_OK = 250
_PERMANENT = 500


class SmtpSender(MailSender):
    """Hands mail to a mail server."""

    def __init__(self, settings: Smtp, *, sender: str, timeout: float) -> None:
        self.host = f"smtp:{settings.host}"
        self._settings = settings
        self._sender = sender
        self._timeout = timeout

    async def send(self, message: bytes, *, recipient: str, delivery: str) -> Outcome:
        """Hand one message over. Who refuses this mail for good (5xx) is not asked again; who refuses us is."""
        import aiosmtplib

        del delivery  # the message's own `Message-ID` names it
        settings = self._settings
        try:
            async with asyncio.timeout(self._timeout):  # of the whole; the library's own is for each step
                await aiosmtplib.send(
                    message,
                    sender=self._sender,
                    recipients=[recipient],
                    hostname=settings.host,
                    port=settings.port,
                    username=settings.user,
                    password=settings.password.get_secret_value() if settings.password else None,
                    use_tls=settings.tls == "implicit",
                    start_tls=settings.tls == "starttls",
                    tls_context=None if settings.tls == "none" else trust(settings.ca_file),
                    timeout=self._timeout,
                )
        except aiosmtplib.SMTPAuthenticationError as error:
            return Outcome(good=False, status=error.code, error="the mail server does not take this site's password")
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _refused(error.recipients[0], final=True)
        except aiosmtplib.SMTPDataError as error:
            return _refused(error, final=True)
        except aiosmtplib.SMTPResponseException as error:
            return _refused(error, final=False)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return Outcome(good=False, error=f"the mail server could not be asked: {type(error).__name__}")
        return Outcome(good=True, status=_OK)


def _refused(error: aiosmtplib.SMTPResponseException, *, final: bool) -> Outcome:
    """Say what a server refuses; *final*: whether it speaks of this mail, so that its 5xx are for good."""
    words = f"{error.code} {short_words(error.message)}"
    return Outcome(good=False, status=error.code, error=words, final=final and error.code >= _PERMANENT)
