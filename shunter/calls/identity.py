"""Calls about users, projects, tokens and key pairs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import orjson
from pydantic import BaseModel, SecretStr

from contracts.identity import (
    DisableWish,
    Inspection,
    InspectionWish,
    KeyPairPage,
    KeyPairWish,
    LoginWish,
    MadeKeyPair,
    Member,
    MemberPage,
    MemberWish,
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

from .call import Call, params_of, path_of, reads

__all__ = [
    "delete_key",
    "delete_project",
    "disable_user",
    "enable_user",
    "end_membership",
    "get_project",
    "get_token",
    "get_token_keys",
    "get_user",
    "inspect_token",
    "list_keys",
    "list_members",
    "list_projects",
    "list_tokens",
    "list_users",
    "login",
    "make_key",
    "mint_token",
    "put_project",
    "put_user",
    "revoke_block",
    "revoke_token",
    "set_member",
    "set_password",
]


def list_users(*, limit: int = 100, cursor: str | None = None) -> Call[UserPage]:
    """Return some users, by subject."""
    return Call("GET", path_of("v1/users"), reads(UserPage), params_of(limit=limit, cursor=cursor))


def get_user(subject: str) -> Call[User]:
    """Return what the site has written down of a user."""
    return Call("GET", path_of("v1/users", subject), reads(User))


def put_user(subject: str, wish: UserWish) -> Call[User]:
    """Write down what is to be known of a user."""
    return Call("PUT", path_of("v1/users", subject), reads(User), body=_body_of(wish))


def disable_user(subject: str, reason: str = "") -> Call[User]:
    """Shut a user out, at once and whatever they show."""
    return Call("POST", path_of("v1/users", subject, "disable"), reads(User), body=_body_of(DisableWish(reason=reason)))


def enable_user(subject: str) -> Call[User]:
    """Let a user in again."""
    return Call("POST", path_of("v1/users", subject, "enable"), reads(User))


def set_password(subject: str, wish: PasswordWish) -> Call[User]:
    """Give a user another password."""
    return Call("PUT", path_of("v1/users", subject, "password"), reads(User), body=_body_of(wish))


def list_projects(*, limit: int = 100, cursor: str | None = None) -> Call[ProjectPage]:
    """Return some projects, by name."""
    return Call("GET", path_of("v1/projects"), reads(ProjectPage), params_of(limit=limit, cursor=cursor))


def get_project(name: str) -> Call[Project]:
    """Return a project."""
    return Call("GET", path_of("v1/projects", name), reads(Project))


def put_project(name: str, wish: ProjectWish) -> Call[Project]:
    """Make a project, or give it another title."""
    return Call("PUT", path_of("v1/projects", name), reads(Project), body=_body_of(wish))


def delete_project(name: str) -> Call[None]:
    """Forget a project and who was in it."""
    return Call("DELETE", path_of("v1/projects", name), _nothing)


def list_members(name: str, *, limit: int = 100, cursor: str | None = None) -> Call[MemberPage]:
    """Return who is in a project, by subject."""
    return Call(
        "GET", path_of("v1/projects", name, "members"), reads(MemberPage), params_of(limit=limit, cursor=cursor)
    )


def set_member(name: str, subject: str, level: Level = Level.MEMBER) -> Call[Member]:
    """Let somebody be in a project."""
    return Call(
        "PUT", path_of("v1/projects", name, "members", subject), reads(Member), body=_body_of(MemberWish(level=level))
    )


def end_membership(name: str, subject: str) -> Call[None]:
    """Take somebody out of a project."""
    return Call("DELETE", path_of("v1/projects", name, "members", subject), _nothing)


def mint_token(wish: TokenWish) -> Call[MintedToken]:
    """Mint a token with some of one's own power."""
    return Call("POST", path_of("v1/tokens"), reads(MintedToken), body=_body_of(wish), repeatable=False)


def list_tokens(*, owner: str | None = None, limit: int = 100, cursor: str | None = None) -> Call[TokenPage]:
    """Return some tokens, newest first."""
    return Call("GET", path_of("v1/tokens"), reads(TokenPage), params_of(owner=owner, limit=limit, cursor=cursor))


def get_token(token_id: str) -> Call[TokenRecord]:
    """Return a token, not what opens the door."""
    return Call("GET", path_of("v1/tokens", token_id), reads(TokenRecord))


def revoke_token(token_id: str) -> Call[None]:
    """Revoke a token, and whatever was made from it."""
    return Call("DELETE", path_of("v1/tokens", token_id), _nothing)


def revoke_block(wish: RevocationWish) -> Call[Revocation]:
    """Revoke one block of a token, and what was made from it."""
    return Call("POST", path_of("v1/tokens/revocations"), reads(Revocation), body=_body_of(wish))


def inspect_token(token: str) -> Call[Inspection]:
    """Look into a token."""
    return Call(
        "POST", path_of("v1/tokens/inspect"), reads(Inspection), body=_body_of(InspectionWish(token=SecretStr(token)))
    )


def get_token_keys() -> Call[RootKeys]:
    """Return the public keys by which tokens are checked and narrowed."""
    return Call("GET", path_of("v1/tokens/keys"), reads(RootKeys))


def login(username: str, password: str) -> Call[MintedToken]:
    """Get a token for a name and a password."""
    return Call(
        "POST",
        path_of("v1/login"),
        reads(MintedToken),
        body=_body_of(LoginWish(username=username, password=SecretStr(password))),
        repeatable=False,
    )


def make_key(wish: KeyPairWish) -> Call[MadeKeyPair]:
    """Make a key pair with all of one's own power."""
    return Call("POST", path_of("v1/keys"), reads(MadeKeyPair), body=_body_of(wish), repeatable=False)


def list_keys(*, owner: str | None = None, limit: int = 100, cursor: str | None = None) -> Call[KeyPairPage]:
    """Return some key pairs."""
    return Call("GET", path_of("v1/keys"), reads(KeyPairPage), params_of(owner=owner, limit=limit, cursor=cursor))


def delete_key(access_key: str) -> Call[None]:
    """Let a key pair be worth nothing any more."""
    return Call("DELETE", path_of("v1/keys", access_key), _nothing)


def _nothing(_response: httpx.Response) -> None:
    return


def _body_of(wish: BaseModel) -> bytes:
    """Write a wish; what it holds of secrets is meant to be sent."""
    return orjson.dumps(_open(wish.model_dump(exclude_defaults=True)), default=_plain)


def _open(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return {name: _open(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return sorted(value)
