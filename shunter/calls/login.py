"""How one gets in."""

from __future__ import annotations

from contracts.model import Model

from .call import Call, reads

__all__ = ["LoginMethod", "LoginMethods", "list_login_methods"]


class LoginMethod(Model):
    """One way in."""

    kind: str
    name: str
    issuer: str | None = None
    client_id: str | None = None
    scope: str | None = None
    resource: str | None = None
    audience: str | None = None


class LoginMethods(Model):
    """Every way in that the site offers."""

    methods: list[LoginMethod]


def list_login_methods() -> Call[LoginMethods]:
    """Ask for them; no credentials are needed."""
    return Call("GET", "/v1/login/methods", reads(LoginMethods))
