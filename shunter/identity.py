"""Users, projects, tokens and key pairs: a client's `identity`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from contracts.identity import (
    Inspection,
    KeyPairPage,
    KeyPairWish,
    MadeKeyPair,
    Member,
    MemberPage,
    MintedToken,
    PasswordWish,
    Project,
    ProjectPage,
    ProjectWish,
    Revocation,
    RevocationWish,
    RootKeys,
    TokenPage,
    TokenRecord,
    TokenWish,
    User,
    UserPage,
    UserWish,
)
from contracts.principals import Level

from .calls import identity as calls

__all__ = ["AsyncIdentity", "Identity"]


class Identity:
    """What one may do about oneself, and admins about everybody."""

    def __init__(self, send: Callable[[Any], Any]) -> None:
        self._send = send

    def list_users(self, *, limit: int = 100, cursor: str | None = None) -> UserPage:
        """Return some users, by subject."""
        found: UserPage = self._send(calls.list_users(limit=limit, cursor=cursor))
        return found

    def get_user(self, subject: str) -> User:
        """Return what the site has written down of a user."""
        found: User = self._send(calls.get_user(subject))
        return found

    def put_user(self, subject: str, wish: UserWish) -> User:
        """Write down what is to be known of a user."""
        found: User = self._send(calls.put_user(subject, wish))
        return found

    def disable_user(self, subject: str, reason: str = "") -> User:
        """Shut a user out, at once and whatever they show."""
        found: User = self._send(calls.disable_user(subject, reason))
        return found

    def enable_user(self, subject: str) -> User:
        """Let a user in again."""
        found: User = self._send(calls.enable_user(subject))
        return found

    def set_password(self, subject: str, wish: PasswordWish) -> User:
        """Give a user another password."""
        found: User = self._send(calls.set_password(subject, wish))
        return found

    def list_projects(self, *, limit: int = 100, cursor: str | None = None) -> ProjectPage:
        """Return some projects, by name."""
        found: ProjectPage = self._send(calls.list_projects(limit=limit, cursor=cursor))
        return found

    def get_project(self, name: str) -> Project:
        """Return a project."""
        found: Project = self._send(calls.get_project(name))
        return found

    def put_project(self, name: str, wish: ProjectWish) -> Project:
        """Make a project, or give it another title."""
        found: Project = self._send(calls.put_project(name, wish))
        return found

    def delete_project(self, name: str) -> None:
        """Forget a project and who was in it."""
        self._send(calls.delete_project(name))

    def list_members(self, name: str, *, limit: int = 100, cursor: str | None = None) -> MemberPage:
        """Return who is in a project, by subject."""
        found: MemberPage = self._send(calls.list_members(name, limit=limit, cursor=cursor))
        return found

    def set_member(self, name: str, subject: str, level: Level = Level.MEMBER) -> Member:
        """Let somebody be in a project."""
        found: Member = self._send(calls.set_member(name, subject, level))
        return found

    def end_membership(self, name: str, subject: str) -> None:
        """Take somebody out of a project."""
        self._send(calls.end_membership(name, subject))

    def mint_token(self, wish: TokenWish) -> MintedToken:
        """Mint a token with some of one's own power."""
        found: MintedToken = self._send(calls.mint_token(wish))
        return found

    def list_tokens(self, *, owner: str | None = None, limit: int = 100, cursor: str | None = None) -> TokenPage:
        """Return some tokens, newest first."""
        found: TokenPage = self._send(calls.list_tokens(owner=owner, limit=limit, cursor=cursor))
        return found

    def get_token(self, token_id: str) -> TokenRecord:
        """Return a token, not what opens the door."""
        found: TokenRecord = self._send(calls.get_token(token_id))
        return found

    def revoke_token(self, token_id: str) -> None:
        """Revoke a token, and whatever was made from it."""
        self._send(calls.revoke_token(token_id))

    def revoke_block(self, wish: RevocationWish) -> Revocation:
        """Revoke one block of a token, and what was made from it."""
        found: Revocation = self._send(calls.revoke_block(wish))
        return found

    def inspect_token(self, token: str) -> Inspection:
        """Look into a token."""
        found: Inspection = self._send(calls.inspect_token(token))
        return found

    def get_token_keys(self) -> RootKeys:
        """Return the public keys by which tokens are checked and narrowed."""
        found: RootKeys = self._send(calls.get_token_keys())
        return found

    def login(self, username: str, password: str) -> MintedToken:
        """Get a token for a name and a password."""
        found: MintedToken = self._send(calls.login(username, password))
        return found

    def make_key(self, wish: KeyPairWish) -> MadeKeyPair:
        """Make a key pair with all of one's own power."""
        found: MadeKeyPair = self._send(calls.make_key(wish))
        return found

    def list_keys(self, *, owner: str | None = None, limit: int = 100, cursor: str | None = None) -> KeyPairPage:
        """Return some key pairs."""
        found: KeyPairPage = self._send(calls.list_keys(owner=owner, limit=limit, cursor=cursor))
        return found

    def delete_key(self, access_key: str) -> None:
        """Let a key pair be worth nothing any more."""
        self._send(calls.delete_key(access_key))


class AsyncIdentity:
    """What one may do about oneself, and admins about everybody."""

    def __init__(self, send: Callable[[Any], Awaitable[Any]]) -> None:
        self._send = send

    async def list_users(self, *, limit: int = 100, cursor: str | None = None) -> UserPage:
        """Return some users, by subject."""
        found: UserPage = await self._send(calls.list_users(limit=limit, cursor=cursor))
        return found

    async def get_user(self, subject: str) -> User:
        """Return what the site has written down of a user."""
        found: User = await self._send(calls.get_user(subject))
        return found

    async def put_user(self, subject: str, wish: UserWish) -> User:
        """Write down what is to be known of a user."""
        found: User = await self._send(calls.put_user(subject, wish))
        return found

    async def disable_user(self, subject: str, reason: str = "") -> User:
        """Shut a user out, at once and whatever they show."""
        found: User = await self._send(calls.disable_user(subject, reason))
        return found

    async def enable_user(self, subject: str) -> User:
        """Let a user in again."""
        found: User = await self._send(calls.enable_user(subject))
        return found

    async def set_password(self, subject: str, wish: PasswordWish) -> User:
        """Give a user another password."""
        found: User = await self._send(calls.set_password(subject, wish))
        return found

    async def list_projects(self, *, limit: int = 100, cursor: str | None = None) -> ProjectPage:
        """Return some projects, by name."""
        found: ProjectPage = await self._send(calls.list_projects(limit=limit, cursor=cursor))
        return found

    async def get_project(self, name: str) -> Project:
        """Return a project."""
        found: Project = await self._send(calls.get_project(name))
        return found

    async def put_project(self, name: str, wish: ProjectWish) -> Project:
        """Make a project, or give it another title."""
        found: Project = await self._send(calls.put_project(name, wish))
        return found

    async def delete_project(self, name: str) -> None:
        """Forget a project and who was in it."""
        await self._send(calls.delete_project(name))

    async def list_members(self, name: str, *, limit: int = 100, cursor: str | None = None) -> MemberPage:
        """Return who is in a project, by subject."""
        found: MemberPage = await self._send(calls.list_members(name, limit=limit, cursor=cursor))
        return found

    async def set_member(self, name: str, subject: str, level: Level = Level.MEMBER) -> Member:
        """Let somebody be in a project."""
        found: Member = await self._send(calls.set_member(name, subject, level))
        return found

    async def end_membership(self, name: str, subject: str) -> None:
        """Take somebody out of a project."""
        await self._send(calls.end_membership(name, subject))

    async def mint_token(self, wish: TokenWish) -> MintedToken:
        """Mint a token with some of one's own power."""
        found: MintedToken = await self._send(calls.mint_token(wish))
        return found

    async def list_tokens(self, *, owner: str | None = None, limit: int = 100, cursor: str | None = None) -> TokenPage:
        """Return some tokens, newest first."""
        found: TokenPage = await self._send(calls.list_tokens(owner=owner, limit=limit, cursor=cursor))
        return found

    async def get_token(self, token_id: str) -> TokenRecord:
        """Return a token, not what opens the door."""
        found: TokenRecord = await self._send(calls.get_token(token_id))
        return found

    async def revoke_token(self, token_id: str) -> None:
        """Revoke a token, and whatever was made from it."""
        await self._send(calls.revoke_token(token_id))

    async def revoke_block(self, wish: RevocationWish) -> Revocation:
        """Revoke one block of a token, and what was made from it."""
        found: Revocation = await self._send(calls.revoke_block(wish))
        return found

    async def inspect_token(self, token: str) -> Inspection:
        """Look into a token."""
        found: Inspection = await self._send(calls.inspect_token(token))
        return found

    async def get_token_keys(self) -> RootKeys:
        """Return the public keys by which tokens are checked and narrowed."""
        found: RootKeys = await self._send(calls.get_token_keys())
        return found

    async def login(self, username: str, password: str) -> MintedToken:
        """Get a token for a name and a password."""
        found: MintedToken = await self._send(calls.login(username, password))
        return found

    async def make_key(self, wish: KeyPairWish) -> MadeKeyPair:
        """Make a key pair with all of one's own power."""
        found: MadeKeyPair = await self._send(calls.make_key(wish))
        return found

    async def list_keys(self, *, owner: str | None = None, limit: int = 100, cursor: str | None = None) -> KeyPairPage:
        """Return some key pairs."""
        found: KeyPairPage = await self._send(calls.list_keys(owner=owner, limit=limit, cursor=cursor))
        return found

    async def delete_key(self, access_key: str) -> None:
        """Let a key pair be worth nothing any more."""
        await self._send(calls.delete_key(access_key))
