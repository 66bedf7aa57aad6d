"""The scheduler's side of pilots: who they are, what is next for them, and what they are to end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from contracts.envelope import Context
from contracts.errors import ForbiddenError
from contracts.model import now
from contracts.pilots import NextTask, PilotOrders, PilotTerms, PilotTicket, RunEnding
from services.chassis.tickets import Tickets
from services.chassis.unit import UnitOfWork
from services.scheduler.natives import store
from services.scheduler.records import Record

from .callout import Grant

__all__ = ["PilotDesk", "TermsOf"]

_TOKEN_LIVES = timedelta(days=400).total_seconds()
"""The longest walltime is a year, and a native job may wait before it starts; the table says whether it is over."""

_CONTEXT = Context.start("service:scheduler")

TermsOf = Callable[[str], PilotTerms]
"""Returns how pilots on a backend of this name work."""


class PilotDesk:
    """Answers pilots by the table of native jobs: an attempt is given out once, to one process."""

    def __init__(self, *, unit: UnitOfWork, tickets: Tickets[PilotTicket], terms_of: TermsOf) -> None:
        self._unit = unit
        self._tickets = tickets
        self._terms_of = terms_of

    def token(self, native: str, backend: str) -> str:
        """Return the token of one native job."""
        return self._tickets.issue(PilotTicket(backend=backend, native=native))

    async def admit(self, name: str, token: str) -> Grant:
        """Say what a pilot may; raises `ForbiddenError` for who is none."""
        ticket = self._tickets.read(token, _TOKEN_LIVES)
        if ticket.native != name:
            raise ForbiddenError("the token is another native job's")
        async with self._unit.looking_up() as connection:
            is_alive = store.is_alive(await store.find_native(connection, name))
            attempts = await store.attempts_of(connection, name) if is_alive else []
        return Grant(native=name, attempts=tuple(attempts), is_alive=is_alive)

    async def next(self, query: NextTask) -> PilotOrders:
        """Say what a pilot is to do next."""
        ticket = self._tickets.read(query.token, _TOKEN_LIVES)
        name, incarnation = ticket.native, query.incarnation
        if not query.number:
            async with self._unit.looking_up() as connection:
                native = await store.find_native(connection, name)
                endings = await store.to_end(connection, name)
            return self._orders(ticket, native, incarnation, PilotOrders(backend=ticket.backend, end=_of(endings)))
        async with self._unit.begin(_CONTEXT) as work:
            task = await store.hand_over(work.connection, name, incarnation, query.number, now())
            native = await store.find_native(work.connection, name)
            endings = await store.to_end(work.connection, name)
        more = task is not None and native is not None and native["size"] > 1
        orders = PilotOrders(backend=ticket.backend, task=task, more=more, end=_of(endings))
        return self._orders(ticket, native, incarnation, orders)

    def _orders(self, ticket: PilotTicket, native: Record | None, incarnation: str, orders: PilotOrders) -> PilotOrders:
        if native is None or not store.is_alive(native) or native["incarnation"] not in {None, incarnation}:
            return PilotOrders(backend=ticket.backend, over=True)
        terms = self._terms_of(ticket.backend).model_copy(update={"slots": native["slots"]})
        return orders.model_copy(update={"terms": terms})


def _of(endings: list[Record]) -> list[RunEnding]:
    return [
        RunEnding(workload_id=row["workload_id"], attempt=row["attempt"], reason=row["ending"], tasks=row["part"])
        for row in endings
    ]
