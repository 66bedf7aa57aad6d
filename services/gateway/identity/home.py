"""Identity as the process has it: what is read at the start and kept true, by what is heard and from time to time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from contracts.envelope import Context
from contracts.errors import ShunterError
from contracts.model import now
from contracts.subjects import event_subject
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.unit import UnitOfWork
from services.gateway.auth.biscuits import Biscuits
from services.gateway.auth.keypairs import KeyPairs
from services.gateway.auth.passwords import Passwords
from services.gateway.auth.roots import open_secrets
from services.gateway.auth.sealing import Sealer
from services.gateway.auth.signer import Signer
from services.gateway.auth.tokens import principal_of
from services.gateway.settings import IdentitySettings

from .credentials import forget_expired
from .register import Register
from .store import read_known

__all__ = ["Identity"]

_NEWS = (
    *("user.changed", "user.disabled", "user.enabled", "membership.set", "membership.ended"),
    *("project.deleted", "token.revoked", "key.created", "key.deleted"),
)
"""Events of other replicas after which the tables are read again."""

_MANY = 2000
"""Rows that are read without a thread's help, in some milliseconds."""

_SWEEP_EVERY = timedelta(hours=1)
_KEPT_AFTER_END = timedelta(days=30)

log = structlog.get_logger(__name__)


class Identity:
    """Everything about users that lives as long as the process."""

    def __init__(self, settings: IdentitySettings, unit: UnitOfWork, bus: Bus, data: Path) -> None:
        secrets = open_secrets(settings, data)
        self.settings = settings
        self.unit = unit
        self.register = Register(principal_of(user) for user in settings.users)
        self.sealer = Sealer(secrets.seals)
        self.signer = Signer(secrets)
        self.biscuits = Biscuits(self.signer, self.register)
        self.passwords = Passwords(unit, self.register)
        self.key_pairs = KeyPairs(self.register, self.sealer, settings.users)
        self._bus = bus
        self._turn = asyncio.Lock()
        self._asked = 0
        self._done = 0
        self._heard = asyncio.Event()
        self._swept_at = now()

    async def refresh(self) -> None:
        """Read again; when this returns, whatever was committed before the call is known."""
        self._asked += 1
        mine = self._asked
        async with self._turn:
            if self._done >= mine:  # somebody who came later has read for us too
                return
            reading = self._asked
            # A thread costs memory and time: it is for sites with many users.
            small = self.register.size < _MANY
            async with self.unit.looking_up() if small else self.unit.reading() as connection:
                known = await read_known(connection, now())
            self.register.take(known)
            self._done = reading

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep what is known true while the block runs."""
        await self.refresh()

        async def hear(_message: Any) -> None:
            self._heard.set()

        async def look() -> None:
            self._heard.set()

        self._bus.on_return.append(look)
        with translated("NATS"):
            subscriptions = [
                await self._bus.connection.subscribe(event_subject(*name.split(".")), cb=hear) for name in _NEWS
            ]
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._bus.on_return.remove(look)
            for subscription in subscriptions:
                with suppress(Exception):  # NATS may be away, or the connection closed before us
                    await subscription.unsubscribe()

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.refresh):
                    await self._heard.wait()
            self._heard.clear()
            try:
                await self.refresh()
                await self._sweep()
            except (SQLAlchemyError, ShunterError, OSError) as error:
                # What was known stays known; the next look may succeed.
                log.warning("identity.not_refreshed", error=repr(error))
                await asyncio.sleep(1.0)

    async def _sweep(self) -> None:
        if now() - self._swept_at < _SWEEP_EVERY:
            return
        async with self.unit.begin(Context.start("service:gateway")) as work:
            await forget_expired(work.connection, now() - _KEPT_AFTER_END)
        self._swept_at = now()
