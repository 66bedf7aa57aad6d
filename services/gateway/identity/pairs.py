"""Key pairs, for whoever made them."""

from __future__ import annotations

import secrets

from contracts.errors import ForbiddenError, NotFoundError
from contracts.identity import KeyPairPage, KeyPairRecord, KeyPairWish, MadeKeyPair
from contracts.identity_events import KeyCreated, KeyDeleted
from contracts.model import now
from services.chassis.policy import sees_all
from services.gateway.callers import Caller

from . import credentials
from .cursors import read_cursor, write_cursor
from .home import Identity
from .rights import require_first_hand

__all__ = ["KeyPairService"]


class KeyPairService:
    """Makes and deletes key pairs for one caller."""

    def __init__(self, identity: Identity, caller: Caller) -> None:
        self._identity = identity
        self._caller = caller

    async def make(self, wish: KeyPairWish) -> MadeKeyPair:
        """Make a key pair with all of the caller's power; its secret is shown this once."""
        require_first_hand(self._caller, "make key pairs")
        passport = self._caller.passport
        claimed = (passport.claimed or passport.principal).model_copy(update={"token": None})
        secret = secrets.token_urlsafe(32)
        pair = KeyPairRecord(
            access_key=f"SHK{secrets.token_hex(10).upper()}", name=wish.name, owner=claimed.subject, created_at=now()
        )
        sealed = self._identity.sealer.seal(secret)
        async with self._identity.unit.begin(self._caller.context) as work:
            await credentials.add_key_pair(work.connection, pair, sealed=sealed, claims=claimed.model_dump_json())
            work.send(KeyCreated(owner=pair.owner, access_key=pair.access_key, key_name=pair.name, at=pair.created_at))
        await self._identity.refresh()
        return MadeKeyPair(**dict(pair), secret_key=secret)

    async def page(self, *, owner: str | None, limit: int, cursor: str | None) -> KeyPairPage:
        """Return some key pairs: one's own, or for those who see all anybody's."""
        principal = self._caller.principal
        wanted = owner if sees_all(principal) else principal.subject
        if owner not in {None, wanted}:
            return KeyPairPage(items=[])
        after = read_cursor("keys", cursor)
        async with self._identity.unit.reading() as connection:
            found = await credentials.key_pair_page(connection, owner=wanted, after=after, limit=limit + 1)
        more = len(found) > limit
        return KeyPairPage(
            items=found[:limit], next_cursor=write_cursor("keys", found[limit - 1].access_key) if more else None
        )

    async def delete(self, access_key: str) -> None:
        """Let a key pair be worth nothing any more."""
        principal = self._caller.principal
        async with self._identity.unit.begin(self._caller.context) as work:
            found = await credentials.find_key_pair(work.connection, access_key)
            if found is None or (found.owner != principal.subject and not sees_all(principal)):
                raise NotFoundError(f"there is no key {access_key}")
            if found.owner != principal.subject and not principal.is_admin:
                raise ForbiddenError("a key pair is deleted by its owner or by admins of the site")
            await credentials.delete_key_pair(work.connection, access_key)
            work.send(KeyDeleted(owner=found.owner, access_key=access_key, at=now()))
        await self._identity.refresh()
