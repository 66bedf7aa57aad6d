"""Statements on the tables of tokens, revocations and key pairs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.identity import KeyPairRecord, TokenRecord, TokenScopes
from services.chassis.unit import upsert_for
from services.gateway.tables import KEY_PAIRS, REVOCATIONS, TOKENS

__all__ = [
    "add_key_pair",
    "add_revocation",
    "add_token",
    "delete_key_pair",
    "find_key_pair",
    "find_token",
    "forget_expired",
    "key_pair_page",
    "mark_revoked",
    "token_page",
]


def _token(row: Row[Any]) -> TokenRecord:
    return TokenRecord(
        id=row.id,
        name=row.name,
        owner=row.owner,
        scopes=TokenScopes.model_validate_json(row.scopes, extra="ignore"),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        revocation_id=row.revocation_id,
        key_id=row.key_id,
    )


async def add_token(connection: AsyncConnection, token: TokenRecord) -> None:
    """Write a token down."""
    await connection.execute(insert(TOKENS).values({**dict(token), "scopes": token.scopes.model_dump_json()}))


async def find_token(connection: AsyncConnection, token_id: str) -> TokenRecord | None:
    """Return a token that was minted here."""
    row = (await connection.execute(select(TOKENS).where(TOKENS.c.id == token_id))).first()
    return _token(row) if row else None


async def token_page(
    connection: AsyncConnection, *, owner: str | None, before: tuple[datetime, str] | None, limit: int
) -> list[TokenRecord]:
    """Return tokens, newest first, from behind a place on."""
    statement = select(TOKENS)
    if owner is not None:
        statement = statement.where(TOKENS.c.owner == owner)
    if before is not None:
        at, token_id = before
        earlier = and_(TOKENS.c.created_at == at, TOKENS.c.id < token_id)
        statement = statement.where(or_(TOKENS.c.created_at < at, earlier))
    statement = statement.order_by(TOKENS.c.created_at.desc(), TOKENS.c.id.desc())
    return [_token(row) for row in await connection.execute(statement.limit(limit))]


async def mark_revoked(connection: AsyncConnection, revocation_id: str, at: datetime) -> str | None:
    """Mark the token whose first block this is; returns its identifier if there is one."""
    place = TOKENS.c.revocation_id == revocation_id
    found = await connection.execute(update(TOKENS).where(place).values(revoked_at=at).returning(TOKENS.c.id))
    token_id: str | None = found.scalar()
    return token_id


async def add_revocation(
    connection: AsyncConnection,
    *,
    revocation_id: str,
    owner: str | None,
    reason: str,
    at: datetime,
    expires_at: datetime | None,
) -> bool:
    """Let a block be worth nothing; says whether it was worth something before."""
    added = await connection.execute(
        upsert_for(connection)(REVOCATIONS)
        .values(revocation_id=revocation_id, owner=owner, reason=reason, at=at, expires_at=expires_at)
        .on_conflict_do_nothing(index_elements=["revocation_id"])
    )
    return bool(added.rowcount)


async def forget_expired(connection: AsyncConnection, before: datetime) -> None:
    """Forget tokens that ended before a moment, and the revocations of what did."""
    await connection.execute(delete(REVOCATIONS).where(REVOCATIONS.c.expires_at < before))
    await connection.execute(delete(TOKENS).where(TOKENS.c.expires_at < before))


def _key_pair(row: Row[Any]) -> KeyPairRecord:
    return KeyPairRecord(access_key=row.access_key, name=row.name, owner=row.owner, created_at=row.created_at)


async def add_key_pair(connection: AsyncConnection, pair: KeyPairRecord, *, sealed: str, claims: str) -> None:
    """Write a key pair down."""
    values = {**pair.model_dump(exclude={"secret_key"}), "sealed": sealed, "claims": claims}
    await connection.execute(insert(KEY_PAIRS).values(values))


async def find_key_pair(connection: AsyncConnection, access_key: str) -> KeyPairRecord | None:
    """Return a key pair without its secret."""
    row = (await connection.execute(select(KEY_PAIRS).where(KEY_PAIRS.c.access_key == access_key))).first()
    return _key_pair(row) if row else None


async def key_pair_page(
    connection: AsyncConnection, *, owner: str | None, after: str, limit: int
) -> list[KeyPairRecord]:
    """Return key pairs by access key, from behind *after* on."""
    statement = select(KEY_PAIRS).where(KEY_PAIRS.c.access_key > after)
    if owner is not None:
        statement = statement.where(KEY_PAIRS.c.owner == owner)
    rows = await connection.execute(statement.order_by(KEY_PAIRS.c.access_key).limit(limit))
    return [_key_pair(row) for row in rows]


async def delete_key_pair(connection: AsyncConnection, access_key: str) -> bool:
    """Forget a key pair; says whether there was one."""
    return bool((await connection.execute(delete(KEY_PAIRS).where(KEY_PAIRS.c.access_key == access_key))).rowcount)
