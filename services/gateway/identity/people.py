"""Users, for whoever may see or change them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from contracts.errors import ConflictError, ForbiddenError, NotFoundError
from contracts.identity import PasswordWish, User, UserPage, UserWish
from contracts.identity_events import UserChanged, UserCreated, UserDisabled, UserEnabled
from contracts.model import now
from services.chassis.policy import sees_all
from services.chassis.unit import Work
from services.gateway.callers import Caller

from . import store
from .cursors import read_cursor, write_cursor
from .home import Identity
from .rights import require_first_hand

__all__ = ["UserService"]


class UserService:
    """Shows and changes users for one caller: oneself, or, for admins of the site, anybody."""

    def __init__(self, identity: Identity, caller: Caller) -> None:
        self._identity = identity
        self._caller = caller

    async def page(self, *, limit: int, cursor: str | None) -> UserPage:
        """Return some users, by subject."""
        only = None if sees_all(self._caller.principal) else self._caller.principal.subject
        after = read_cursor("users", cursor)
        async with self._identity.unit.reading() as connection:
            found = await store.user_page(connection, after=after, only=only, limit=limit + 1)
        more = len(found) > limit
        return UserPage(
            items=found[:limit], next_cursor=write_cursor("users", found[limit - 1].subject) if more else None
        )

    async def get(self, subject: str) -> User:
        """Return what is written down of a user."""
        self._require_visible(subject)
        async with self._identity.unit.looking_up() as connection:
            found = await store.find_user(connection, subject)
        if found is None:
            raise _unknown(subject)
        return found

    async def put(self, subject: str, wish: UserWish, revision: int | None) -> tuple[User, bool]:
        """Write down what is to be known of a user, if it is still at *revision*; says whether they are new."""
        self._require_operator(subject)
        if subject == self._caller.principal.subject and self._would_lose_admin(wish):
            raise ConflictError("you cannot take your own rights away: another admin can")
        created = False

        async def change(work: Work, known: User | None) -> None:
            nonlocal created
            at = now()
            created = await store.change_user(work.connection, subject, at, **store.columns_of(wish))
            said = {"owner": subject, "at": at, **dict(wish)}
            if created:
                work.send(UserCreated(**said))
            else:
                work.send(UserChanged(**said, revision=known.revision + 1 if known else 1))

        return await self._change(subject, change, revision), created

    def _would_lose_admin(self, wish: UserWish) -> bool:
        entry = self._identity.register.entry(self._caller.principal.subject)
        return bool(entry.roles - wish.roles)

    async def disable(self, subject: str, reason: str) -> User:
        """Shut a user out, at once and whatever they show."""
        self._require_operator(subject)
        if subject == self._caller.principal.subject:
            raise ConflictError("you cannot shut yourself out: another admin can")

        async def change(work: Work, known: User | None) -> None:
            if not known or not known.disabled:
                at = now()
                await store.change_user(work.connection, subject, at, disabled=True, disabled_reason=reason)
                work.send(UserDisabled(owner=subject, at=at, reason=reason))

        return await self._change(subject, change)

    async def enable(self, subject: str) -> User:
        """Let a user in again."""
        self._require_operator(subject)

        async def change(work: Work, known: User | None) -> None:
            if known is None:
                raise _unknown(subject)
            if known.disabled:
                at = now()
                await store.change_user(work.connection, subject, at, disabled=False, disabled_reason="")
                work.send(UserEnabled(owner=subject, at=at))

        return await self._change(subject, change)

    async def set_password(self, subject: str, wish: PasswordWish) -> User:
        """Give a user another password: their own with the present one, or as an admin anybody's."""
        require_first_hand(self._caller, "set passwords")
        self._require_visible(subject)
        own = subject == self._caller.principal.subject
        if not own:
            self._require_operator(subject)
        await self._require_current(subject, wish, own=own)
        hashed = await self._identity.passwords.hash(wish.password.get_secret_value())

        async def change(work: Work, known: User | None) -> None:
            at = now()
            created = await store.change_user(work.connection, subject, at, password_hash=hashed)
            said = {"owner": subject, "at": at}
            if known:
                said |= {"display_name": known.display_name, "email": known.email, "roles": known.roles}
            if created:
                work.send(UserCreated(**said))
            else:
                revision = known.revision + 1 if known else 1
                work.send(UserChanged(**said, revision=revision, password_changed=True))

        return await self._change(subject, change)

    async def _require_current(self, subject: str, wish: PasswordWish, *, own: bool) -> None:
        """Refuse who only found an open session: that must not be enough to take an account over."""
        async with self._identity.unit.looking_up() as connection:
            known = await store.find_user(connection, subject)
        if own and known and known.has_password:
            if wish.current is None:
                raise ForbiddenError("show your present password as `current`")
            await self._identity.passwords.check(subject, wish.current.get_secret_value())

    async def _change(
        self, subject: str, change: Callable[[Work, User | None], Awaitable[None]], revision: int | None = None
    ) -> User:
        async with self._identity.unit.begin(self._caller.context) as work:
            known = await store.find_user(work.connection, subject, to_change=True)
            if revision is not None and (known is None or known.revision != revision):
                raise ConflictError(f"the user is not at revision {revision} any more")
            await change(work, known)
            found = await store.find_user(work.connection, subject)
        await self._identity.refresh()
        if found is None:
            raise _unknown(subject)
        return found

    def _require_visible(self, subject: str) -> None:
        if subject != self._caller.principal.subject and not sees_all(self._caller.principal):
            raise _unknown(subject)

    def _require_operator(self, subject: str) -> None:
        self._require_visible(subject)
        if not self._caller.principal.is_admin:
            raise ForbiddenError("this is for admins of the site")


def _unknown(subject: str) -> NotFoundError:
    return NotFoundError(f"nothing is known of a user {subject}")
