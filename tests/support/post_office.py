"""A mail server in a process of its own, that takes, refuses, delays and drops mail by what its address says.

`refuse@…` is refused for good. `later-2@…` is put off twice, `drop-1@…` is taken once without an answer, `cut-1@…` is
cut off once before anything was taken, and `slow@…` is answered after a while. All other mail is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

__all__ = ["PostOffice", "run_post_office"]

_SLOW = 10.0
"""Seconds."""


@dataclass
class PostOffice:
    """The mail server, as a test sees it."""

    port: int
    folder: Path

    def letters(self, recipient: str | None = None) -> list[EmailMessage]:
        """Return what was taken, in order."""
        found = []
        for path in sorted(self.folder.glob("*.eml")):
            message = message_from_bytes(path.read_bytes(), EmailMessage, policy=POLICY)
            if recipient in {None, str(message["To"])}:
                found.append(message)
        return found

    def tries(self, recipient: str) -> int:
        """Return how often somebody wanted to leave mail for an address."""
        path = self.folder / "tries.txt"
        return path.read_text().split("\n").count(recipient) if path.exists() else 0

    async def until(self, count: int, recipient: str | None = None, seconds: float = 30) -> list[EmailMessage]:
        """Wait until so many letters were taken."""
        async with asyncio.timeout(seconds):
            while True:
                if len(found := await asyncio.to_thread(self.letters, recipient)) >= count:
                    return found
                await asyncio.sleep(0.05)


@asynccontextmanager
async def run_post_office(
    folder: Path, *, password: str = "", certificate: tuple[Path, Path] | None = None, implicit: bool = False
) -> AsyncIterator[PostOffice]:
    """Run one; with a *password*, and with TLS (STARTTLS unless *implicit*)."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 (a test may wait)
    words = ["--folder", str(folder), *(["--implicit"] if implicit else [])]
    if certificate:
        words += ["--certificate", str(certificate[0]), "--key", str(certificate[1])]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.post_office", *words),
        env={**os.environ, "POST_OFFICE_PASSWORD": password},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield PostOffice(int(await process.stdout.readline()), folder)
    finally:
        process.kill()
        await process.wait()


class _Clerk:
    """Decides what becomes of mail."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: Counter[str] = Counter()
        self._taken = 0

    def _has_more(self, word: str, address: str) -> bool:
        """Say whether the number in an address is not used up for what it asks for."""
        local = address.partition("@")[0]
        name, _, number = local.partition("-")
        if name != word:
            return False
        self._seen[address] += 1
        return self._seen[address] <= int(number or "1000000")

    async def handle_RCPT(  # noqa: N802 (aiosmtpd calls it)
        self, server: Any, session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        del session
        with (self._folder / "tries.txt").open("a") as file:
            file.write(f"{address}\n")
        if address.startswith("refuse@"):
            return "550 5.1.1 there is nobody of this name"
        if self._has_more("later", address):
            return "451 4.3.0 come again"
        if self._has_more("cut", address):
            server.transport.abort()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 (aiosmtpd calls it)
        self, server: Any, session: Session, envelope: Envelope
    ) -> str:
        del session
        address = envelope.rcpt_tos[0]
        if address.startswith("slow@"):
            await asyncio.sleep(_SLOW)
        assert isinstance(envelope.content, bytes)
        self._taken += 1
        part = self._folder / f"{self._taken:06}.part"
        part.write_bytes(envelope.content)
        part.rename(part.with_suffix(".eml"))
        if self._has_more("drop", address):
            server.transport.abort()  # taken, and nobody is told
        return "250 OK"


def _authenticator(password: str) -> Any:
    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"shunter", password.encode())
        return AuthResult(success=good, handled=False)

    return check


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def _serve(options: argparse.Namespace) -> None:
    password, clerk = os.environ.get("POST_OFFICE_PASSWORD", ""), _Clerk(options.folder)
    context = _tls(options.certificate, options.key)
    starts_tls = context is not None and not options.implicit

    def make() -> SMTP:
        return SMTP(
            clerk,
            hostname="post.example.org",
            tls_context=context if starts_tls else None,
            require_starttls=starts_tls,
            authenticator=_authenticator(password) if password else None,
            auth_required=bool(password),
            auth_require_tls=starts_tls,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if options.implicit else None)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 (whoever started it waits for this)
    await server.serve_forever()


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--implicit", action="store_true")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    _main()
