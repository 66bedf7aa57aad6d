"""The gateway's tables: whom the site knows, and what it gave them to come in with."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, String, Table, Text, false

from services.chassis.database import Moment, add_chassis_tables, new_metadata

__all__ = ["INBOX", "KEY_PAIRS", "MEMBERSHIPS", "METADATA", "OUTBOX", "PROJECTS", "REVOCATIONS", "TOKENS", "USERS"]

METADATA = new_metadata()
INBOX, OUTBOX = add_chassis_tables(METADATA)

_WORD = String(256).with_variant(String(256, collation="C"), "postgresql")
"""Compared byte by byte everywhere, so that pages go on where they ended."""

USERS = Table(
    "users",
    METADATA,
    Column("subject", _WORD, primary_key=True),
    Column("display_name", String(256)),
    Column("email", String(256)),
    Column("roles", String(256), nullable=False, server_default=""),
    Column("disabled", Boolean, nullable=False, server_default=false()),
    Column("disabled_reason", String(1024), nullable=False, server_default=""),
    Column("password_hash", String(256)),
    Column("revision", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
)
"""What the site has written down of users. Whoever comes in by another way needs no row."""

PROJECTS = Table(
    "projects",
    METADATA,
    Column("name", _WORD, primary_key=True),
    Column("title", String(256), nullable=False, server_default=""),
    Column("revision", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
)

MEMBERSHIPS = Table(
    "memberships",
    METADATA,
    Column("project", _WORD, primary_key=True),
    Column("subject", _WORD, primary_key=True, index=True),
    Column("level", String(16), nullable=False),
    Column("at", Moment, nullable=False),
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("revocation_id", String(256), nullable=False, unique=True),
    Column("owner", _WORD, nullable=False, index=True),
    Column("name", String(128), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("key_id", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("revoked_at", Moment),
)
"""The tokens that were minted, not what opens a door: that is shown once."""

REVOCATIONS = Table(
    "revocations",
    METADATA,
    Column("revocation_id", String(256), primary_key=True),
    Column("owner", _WORD),
    Column("reason", String(1024), nullable=False, server_default=""),
    Column("at", Moment, nullable=False),
    Column("expires_at", Moment, index=True),
)
"""Blocks that are worth nothing any more; forgotten when they would be worth nothing anyway."""

KEY_PAIRS = Table(
    "key_pairs",
    METADATA,
    Column("access_key", String(64), primary_key=True),
    Column("owner", _WORD, nullable=False, index=True),
    Column("name", String(128), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("claims", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)
"""The secret is sealed, for it must be known to check a signature; *claims* is what its maker's way in said of them."""
