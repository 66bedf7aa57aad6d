"""Examples of users, projects, tokens and key pairs, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

__all__ = [
    "DISABLING",
    "INSPECTING",
    "INSPECTION",
    "KEY",
    "KEY_WISHES",
    "LOGINS",
    "MADE_KEY",
    "MEMBER",
    "MEMBER_WISHES",
    "MINTED",
    "PASSWORDS",
    "PROJECT",
    "PROJECT_WISHES",
    "REVOCATION",
    "REVOKING",
    "ROOT_KEYS",
    "TOKEN",
    "TOKEN_WISHES",
    "USER",
    "USER_WISHES",
]

_AT = "2026-11-20T10:00:00.000000Z"
_UNTIL = "2026-12-20T10:00:00.000000Z"
_BLOCK = "6ed2b74d5bf54bde3b8382e768a33019fdd65acb160dfb7b8c1ae5d413121f3e" * 2

USER: dict[str, Any] = {
    "subject": "ada",
    "display_name": "Ada",
    "email": "ada@example.org",
    "roles": [],
    "projects": {"vision": "member"},
    "disabled": False,
    "disabled_reason": "",
    "has_password": True,
    "revision": 3,
    "created_at": _AT,
    "changed_at": _AT,
}
USER_WISHES: dict[str, Any] = {
    "user": {"summary": "An ordinary user", "value": {"display_name": "Ada", "email": "ada@example.org"}},
    "admin": {"summary": "An admin of the site", "value": {"display_name": "Root", "roles": ["admin"]}},
}
DISABLING: dict[str, Any] = {"why": {"summary": "Say why", "value": {"reason": "left the lab"}}}
PASSWORDS: dict[str, Any] = {
    "own": {
        "summary": "One's own",
        "value": {"password": "a new long password", "current": "the present password"},
    },
    "others": {"summary": "Somebody's, by an admin", "value": {"password": "a first long password"}},
}

PROJECT: dict[str, Any] = {
    "name": "vision",
    "title": "Computer vision",
    "members": 2,
    "revision": 1,
    "created_at": _AT,
    "changed_at": _AT,
}
PROJECT_WISHES: dict[str, Any] = {"project": {"summary": "With a title", "value": {"title": "Computer vision"}}}
MEMBER: dict[str, Any] = {"project": "vision", "subject": "ada", "level": "member", "at": _AT}
MEMBER_WISHES: dict[str, Any] = {
    "member": {"summary": "A member", "value": {"level": "member"}},
    "admin": {"summary": "An admin of the project", "value": {"level": "admin"}},
}

TOKEN: dict[str, Any] = {
    "id": f"tok-{_BLOCK[:32]}",
    "name": "nightly",
    "owner": "ada",
    "scopes": {
        "read_only": False,
        "jobs": [],
        "projects": ["vision"],
        "paths": [],
        "max_gpus": 2,
        "addresses": [],
        "roles": [],
    },
    "created_at": _AT,
    "expires_at": _UNTIL,
    "revoked_at": None,
    "revocation_id": _BLOCK,
    "key_id": 1,
}
MINTED: dict[str, Any] = {**TOKEN, "token": "EpYCCqsBCgNhZGE…"}
TOKEN_WISHES: dict[str, Any] = {
    "robot": {
        "summary": "For a robot: two GPUs at most, one project",
        "value": {"name": "nightly", "lifetime": "30d", "scopes": {"projects": ["vision"], "max_gpus": 2}},
    },
    "reader": {"summary": "To look only", "value": {"name": "dashboard", "scopes": {"read_only": True}}},
}
ROOT_KEYS: dict[str, Any] = {"keys": [{"id": 1, "algorithm": "ed25519", "public_key": _BLOCK[:64]}]}
INSPECTING: dict[str, Any] = {"token": {"summary": "A token", "value": {"token": "EpYCCqsBCgNhZGE…"}}}
INSPECTION: dict[str, Any] = {
    "valid": True,
    "reason": "",
    "id": TOKEN["id"],
    "owner": "ada",
    "expires_at": _UNTIL,
    "blocks": [
        {
            "source": 'user("ada");\nissuer("static");\ncheck if time($time), $time < 2026-12-20T10:00:00Z;\n',
            "revocation_id": _BLOCK,
            "revoked": False,
        }
    ],
}
REVOKING: dict[str, Any] = {
    "shown": {
        "summary": "The last narrowing of a token, and what was made from it",
        "value": {"token": "EpYCCqsBCgNhZGE…", "reason": "it was in a log"},
    },
    "named": {"summary": "A block by its id, by an admin", "value": {"revocation_id": _BLOCK}},
}
REVOCATION: dict[str, Any] = {"revocation_id": _BLOCK, "owner": "ada", "at": _AT, "reason": "it was in a log"}
LOGINS: dict[str, Any] = {
    "login": {"summary": "A name and a password", "value": {"username": "ada", "password": "a long password"}}
}

KEY: dict[str, Any] = {
    "access_key": "SHK0193E7A4C2D87B1E9F5A",
    "name": "laptop",
    "owner": "ada",
    "created_at": _AT,
}
MADE_KEY: dict[str, Any] = {**KEY, "secret_key": "shown once"}
KEY_WISHES: dict[str, Any] = {"key": {"summary": "With a name", "value": {"name": "laptop"}}}
