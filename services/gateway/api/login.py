"""`/v1/login/methods`: how one gets in; open to everybody, for who is not in yet must know."""

from __future__ import annotations

from typing import Literal

from fastapi import Request
from starlette.responses import Response

from contracts.model import Model
from services.gateway.auth.oidc.settings import IssuerSettings
from services.gateway.lean import Router
from services.gateway.settings import IdentitySettings

from .answers import answers, json_answer
from .context import process_of
from .parameters import refuse_unknown

__all__ = ["EXAMPLE", "LoginMethod", "LoginMethods", "router"]

EXAMPLE = {
    "methods": [
        {
            "kind": "oidc",
            "name": "egi",
            "issuer": "https://aai.egi.eu/auth/realms/egi",
            "client_id": "shunter-cli",
            "scope": "openid profile email offline_access",
        },
        {"kind": "token", "name": "token"},
    ]
}

router = Router(prefix="/v1/login", tags=["site"])


class LoginMethod(Model):
    """One way in."""

    kind: Literal["oidc", "certificate", "local", "token", "password"]
    name: str
    """What to call it, where there are several."""
    issuer: str | None = None
    """Of `oidc`: below it lies its discovery document."""
    client_id: str | None = None
    """Whom the command line says that it is (RFC 8628); none: tokens of this issuer are got elsewhere."""
    scope: str | None = None
    resource: str | None = None
    audience: str | None = None
    """Parameters to ask for a token with, where they are given."""


class LoginMethods(Model):
    """Every way in that the site offers."""

    methods: list[LoginMethod]


@router.get(
    "/methods",
    summary="Show how one gets in",
    operation_id="getLoginMethods",
    description="Needs no credentials.",
    response_model=LoginMethods,
    responses=answers(example=EXAMPLE),
)
async def get_methods(request: Request) -> Response:
    refuse_unknown(request)
    return json_answer(LoginMethods(methods=_methods(process_of(request).settings.identity)))


def _methods(identity: IdentitySettings) -> list[LoginMethod]:
    found = [_of_issuer(one) for one in identity.issuers]
    if identity.certificates:
        found.append(LoginMethod(kind="certificate", name="certificate"))
    if identity.local:
        found.append(LoginMethod(kind="local", name="local"))
    return [*found, LoginMethod(kind="token", name="token")]


def _of_issuer(settings: IssuerSettings) -> LoginMethod:
    login = settings.login
    more = login.model_dump(exclude_none=True) if login else {}
    return LoginMethod(kind="oidc", name=settings.name, issuer=settings.issuer, **more)
