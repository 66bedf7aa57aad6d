"""Tokens, for whoever minted them: made, listed, looked into, revoked."""

from __future__ import annotations

from datetime import datetime, timedelta

from contracts.envelope import Context
from contracts.errors import ForbiddenError, InvalidError, NotFoundError, ShunterError
from contracts.identity import (
    Inspection,
    MintedToken,
    Revocation,
    RevocationWish,
    TokenBlock,
    TokenPage,
    TokenRecord,
    TokenScopes,
    TokenWish,
)
from contracts.identity_events import TokenMinted, TokenRevoked
from contracts.model import now, rfc3339
from contracts.principals import Principal
from services.chassis.policy import sees_all
from services.gateway.auth.biscuits import ShownToken, token_id_of
from services.gateway.auth.passport import Passport
from services.gateway.auth.signer import LONGEST
from services.gateway.callers import Caller

from . import credentials
from .cursors import read_cursor, write_cursor
from .home import Identity
from .rights import require_first_hand

__all__ = ["IdentityDesk", "TokenService", "login", "mint"]

_ROOM = LONGEST // 2
"""Characters of a new token: as much is left for its holder to narrow it."""


async def mint(
    identity: Identity,
    context: Context,
    claimed: Principal,
    wish: TokenWish,
) -> MintedToken:
    """Make a token for somebody, as their way in knows them."""
    at = now().replace(microsecond=0)
    expires_at = at + max(timedelta(seconds=round(wish.lifetime.total_seconds())), timedelta(seconds=1))
    biscuit = identity.signer.sign(claimed, wish.scopes, expires_at)
    token = biscuit.to_base64()
    if len(token) > _ROOM:
        raise InvalidError.of("scopes", "make the token too long to be narrowed: name fewer jobs, projects or paths")
    revocation_id = biscuit.revocation_ids[0]
    record = TokenRecord(
        id=token_id_of(revocation_id),
        name=wish.name,
        owner=claimed.subject,
        scopes=wish.scopes,
        created_at=at,
        expires_at=expires_at,
        revocation_id=revocation_id,
        key_id=identity.signer.key_id,
    )
    async with identity.unit.begin(context) as work:
        await credentials.add_token(work.connection, record)
        work.send(
            TokenMinted(
                owner=record.owner,
                token_id=record.id,
                token_name=record.name,
                expires_at=expires_at,
                scopes=record.scopes,
                at=at,
            )
        )
    return MintedToken(**dict(record), token=token)


async def login(
    identity: Identity, context: Context, username: str, password: str, *, lifetime: timedelta | None = None
) -> MintedToken:
    """Give a token with all of a user's power for their name and password; *lifetime* is the settings' by default."""
    passport = identity.register.admit(await identity.passwords.check(username, password))
    scopes = TokenScopes(roles=passport.principal.roles)
    wish = TokenWish(name="login", lifetime=lifetime or identity.settings.login_lifetime, scopes=scopes)
    return await mint(identity, context, passport.claimed or passport.principal, wish)


class TokenService:
    """Makes and revokes tokens for one caller."""

    def __init__(self, identity: Identity, caller: Caller) -> None:
        self._identity = identity
        self._caller = caller

    async def mint(self, wish: TokenWish) -> MintedToken:
        """Make a token with some of the caller's power."""
        require_first_hand(self._caller, "mint tokens")
        principal = self._caller.principal
        if others := set(wish.scopes.projects) - set(principal.projects):
            raise InvalidError.of("scopes.projects", f"you are not a member of {min(others)!r}")
        if roles := wish.scopes.roles - principal.roles:
            raise InvalidError.of("scopes.roles", f"you are no {min(roles)} of the site")
        claimed = self._caller.passport.claimed or principal
        return await mint(self._identity, self._caller.context, claimed, wish)

    async def page(self, *, owner: str | None, limit: int, cursor: str | None) -> TokenPage:
        """Return some tokens, newest first: one's own, or for those who see all anybody's."""
        principal = self._caller.principal
        wanted = owner if sees_all(principal) else principal.subject
        if owner not in {None, wanted}:
            return TokenPage(items=[])
        before = _read_place(read_cursor("tokens", cursor))
        async with self._identity.unit.reading() as connection:
            found = await credentials.token_page(connection, owner=wanted, before=before, limit=limit + 1)
        last = found[limit - 1] if len(found) > limit else None
        place = write_cursor("tokens", f"{rfc3339(last.created_at)}|{last.id}") if last else None
        return TokenPage(items=found[:limit], next_cursor=place)

    async def get(self, token_id: str) -> TokenRecord:
        """Return a token, not what opens the door."""
        async with self._identity.unit.looking_up() as connection:
            found = await credentials.find_token(connection, token_id)
        principal = self._caller.principal
        if found is None or (found.owner != principal.subject and not sees_all(principal)):
            raise NotFoundError(f"there is no token {token_id}")
        return found

    async def revoke(self, token_id: str) -> None:
        """Let a token be worth nothing any more, and whatever was made from it."""
        found = await self.get(token_id)
        self._require_owner(found.owner)
        await self._revoke(found.revocation_id, found.owner, "", found.expires_at)

    async def revoke_block(self, wish: RevocationWish) -> Revocation:
        """Do it to one block of a token: what was made from the token before that block stays good."""
        if wish.token:
            shown = self._look_into(wish.token.get_secret_value())
            if shown is None:
                raise InvalidError.of("token", "is no token of this site")
            owner = shown.claimed.subject
            self._require_owner(owner)
            return await self._revoke(shown.ids[-1], owner, wish.reason, shown.expires_at)
        if not self._caller.principal.is_admin:
            raise ForbiddenError("show the token itself; by its id alone a block is revoked by admins of the site")
        return await self._revoke(wish.revocation_id or "", None, wish.reason, None)

    def _require_owner(self, owner: str) -> None:
        principal = self._caller.principal
        if owner != principal.subject and not principal.is_admin:
            raise ForbiddenError("a token is revoked by its owner or by admins of the site")

    async def _revoke(
        self, revocation_id: str, owner: str | None, reason: str, expires_at: datetime | None
    ) -> Revocation:
        at = now()
        async with self._identity.unit.begin(self._caller.context) as work:
            new = await credentials.add_revocation(
                work.connection,
                revocation_id=revocation_id,
                owner=owner,
                reason=reason,
                at=at,
                expires_at=expires_at,
            )
            if new:
                token_id = await credentials.mark_revoked(work.connection, revocation_id, at)
                work.send(
                    TokenRevoked(owner=owner, revocation_id=revocation_id, token_id=token_id, reason=reason, at=at)
                )
        await self._identity.refresh()
        return Revocation(revocation_id=revocation_id, owner=owner, at=at, reason=reason)

    def inspect(self, token: str) -> Inspection:
        """Say what a token is; of one that is none of ours, only that."""
        try:
            shown = self._look_into(token)
        except ShunterError as error:
            return Inspection(valid=False, reason=error.detail)
        if shown is None:
            return Inspection(valid=False, reason="its signatures are not of this site")
        register = self._identity.register
        blocks = [
            TokenBlock(source=shown.biscuit.block_source(number), revocation_id=one, revoked=register.is_revoked([one]))
            for number, one in enumerate(shown.ids)
        ]
        reason = ""
        try:
            shown.require_alive()
            register.admit(self._identity.biscuits.passport_for(shown))
        except ShunterError as error:
            reason = error.detail
        return Inspection(
            valid=not reason,
            reason=reason,
            id=shown.id,
            owner=shown.claimed.subject,
            expires_at=shown.expires_at,
            blocks=blocks,
        )

    def _look_into(self, token: str) -> ShownToken | None:
        return self._identity.biscuits.look_into(token.strip())


def _read_place(place: str) -> tuple[datetime, str] | None:
    if not place:
        return None
    moment, bar, token_id = place.partition("|")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not bar:
        raise InvalidError.of("cursor", "this is no cursor of this list")
    return at, token_id


class IdentityDesk:
    """Gives out tokens where somebody else's API does."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def mint(self, passport: Passport, lifetime: timedelta) -> str:
        """Return a token with the power of whoever has this passport, but for their roles on the site."""
        if passport.way == "token":
            raise ForbiddenError("a token cannot be used to mint tokens; narrow it")
        claimed = passport.claimed or passport.principal
        context = Context.start(f"user:{claimed.subject}")
        return (await mint(self._identity, context, claimed, TokenWish(name="api", lifetime=lifetime))).token

    def inspect(self, text: str) -> list[str]:
        """Return the source of each block of a token, whoever signed it."""
        from biscuit_auth import BiscuitValidationError, UnverifiedBiscuit

        if len(text) > LONGEST:
            raise InvalidError("it is too long")
        try:
            found = UnverifiedBiscuit.from_base64(text)
            return [found.block_source(number) for number in range(found.block_count())]
        except BiscuitValidationError as error:
            raise InvalidError("it does not read as one") from error
