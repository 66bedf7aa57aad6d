"""From claims to users, projects and roles, as the site's configuration says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.errors import UnauthenticatedError
from contracts.principals import Level, Principal, Role
from services.gateway.auth.oidc.claims import ClaimReader
from services.gateway.auth.oidc.settings import IssuerSettings
from services.gateway.settings import IdentitySettings

MEMBER, ADMIN = Level.MEMBER, Level.ADMIN


def _read(claims: dict[str, Any], **meaning: Any) -> Principal:
    settings = {"name": "lab", "issuer": "https://issuer.test", "audiences": ["x"], "claims": meaning}
    return ClaimReader(IssuerSettings.model_validate(settings)).read({"sub": "ada", **claims})


@pytest.mark.parametrize(
    ("preset", "claims", "projects"),
    [
        (
            "egi",
            {"eduperson_entitlement": ["urn:mace:egi.eu:group:vo.x.eu:role=member#aai.egi.eu"]},
            {"vo.x.eu": MEMBER},
        ),
        ("egi", {"eduperson_entitlement": ["urn:mace:egi.eu:group:vo.x.eu:role=admin#aai.egi.eu"]}, {"vo.x.eu": ADMIN}),
        ("egi", {"eduperson_entitlement": ["urn:mace:egi.eu:group:vo:sub:role=admin#aai.egi.eu"]}, {"vo": MEMBER}),
        ("egi", {"eduperson_entitlement": ["urn:mace:egi.eu:group:vo:role=admin#evil.test"]}, {}),
        ("egi", {"eduperson_entitlement": ["urn:mace:evil.test:group:vo:role=admin#aai.egi.eu"]}, {}),
        ("egi", {"eduperson_entitlement": "urn:mace:egi.eu:group:vo:role=member#aai.egi.eu"}, {"vo": MEMBER}),
        (
            "keycloak",
            {"realm_access": {"roles": ["access:vo:admin", "access:other", "x"]}},
            {"vo": ADMIN, "other": MEMBER},
        ),
        ("keycloak", {"realm_access": {"roles": ["access:vo:emperor"]}}, {}),
        ("keycloak", {"realm_access": ["access:vo:admin"]}, {}),
        ("cognito", {"cognito:groups": ["vision", "sound:admin"]}, {"vision": MEMBER, "sound": ADMIN}),
        ("groups", {"groups": ["vision", "vision:admin", "vision"]}, {"vision": ADMIN}),
        ("groups", {"groups": ["/leading/slash", "../..", "a" * 65, "", 7, None, ["x"]]}, {}),
        ("groups", {"groups": {"vision": True}}, {}),
    ],
)
def test_a_preset_reads_the_groups_of_its_issuer(
    preset: str, claims: dict[str, Any], projects: dict[str, Level]
) -> None:
    assert _read(claims, rules=[preset]).projects == projects


def test_the_first_project_is_the_default() -> None:
    assert _read({"groups": ["sound", "vision"]}, rules=["groups"]).default_project == "sound"


def test_rules_of_the_site_give_roles_and_levels() -> None:
    rules = [
        {"claim": "groups", "match": "shunter-admins", "role": "admin"},
        {"claim": "groups", "match": "site-(?P<role>\\w+)", "roles": {"auditors": "auditor"}},
        {"claim": ["https://lab.test/teams"], "match": "(?P<project>\\w+)/(?P<level>\\w+)", "levels": {"pi": "admin"}},
    ]
    found = _read(
        {"groups": ["shunter-admins", "site-auditors", "site-kings"], "https://lab.test/teams": ["a/pi", "b/student"]},
        rules=rules,
    )
    assert found.roles == {Role.ADMIN, Role.AUDITOR}
    assert found.projects == {"a": ADMIN}
    assert _read({"groups": ["not-shunter-admins", "shunter-admins2"]}, rules=rules).roles == frozenset()


def test_nobody_becomes_somebody_else_by_their_name() -> None:
    names = ["ada", "ada|1", "ada 1", "ada+7C1", "ada:1", "Ada", "ada\u0301", "\u00e1da", "a/b", "ada\n"]
    found = [_read({"sub": name}).subject for name in names]
    assert len(set(found)) == len(names)
    assert all(subject.startswith("lab:") and subject.count(":") == 1 for subject in found)
    assert found[:2] == ["lab:ada", "lab:ada+7C1"]


def test_the_name_may_come_from_another_claim_and_stand_alone() -> None:
    assert _read({"email": "ada@lab.test"}, subject="email", prefix="").subject == "ada@lab.test"
    for claims in ({}, {"email": ""}, {"email": ["a"]}, {"email": 7}, {"email": "@x"}):
        with pytest.raises(UnauthenticatedError):
            _read(claims, subject="email", prefix="")


def _issuer(**more: Any) -> dict[str, Any]:
    return {"name": "lab", "issuer": "https://issuer.test", "audiences": ["x"], **more}


@pytest.mark.parametrize(
    "settings",
    [
        _issuer(issuer="http://issuer.test"),
        _issuer(issuer="http://127.0.0.1.evil.test"),
        _issuer(issuer="http://localhost@evil.test"),
        _issuer(issuer="ftp://issuer.test"),
        _issuer(issuer="https://issuer.test/?x=1"),
        _issuer(audiences=[]),
        _issuer(audiences=[""]),
        _issuer(algorithms=["HS256"]),
        _issuer(algorithms=["none"]),
        _issuer(algorithms=[]),
        _issuer(leeway=3600),
        _issuer(claims={"prefix": "no-colon"}),
        _issuer(claims={"rules": ["unknown"]}),
        _issuer(claims={"rules": [{"claim": "groups", "match": "("}]}),
        _issuer(claims={"rules": [{"claim": "groups", "match": "x"}]}),
        _issuer(claims={"rules": [{"claim": "groups", "match": "(?P<projekt>x)"}]}),
        _issuer(claimes={}),
    ],
)
def test_settings_that_would_open_too_much_or_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        IdentitySettings.model_validate({"issuers": [settings]})


def test_issuers_whose_users_could_be_confused_are_refused() -> None:
    other = {"name": "two", "issuer": "https://two.test"}
    IdentitySettings.model_validate({"issuers": [_issuer(), _issuer(**other)]})
    for clash in (
        _issuer(name="two"),
        _issuer(issuer="https://two.test"),
        _issuer(**other, claims={"prefix": "lab:"}),
    ):
        with pytest.raises(ValidationError):
            IdentitySettings.model_validate({"issuers": [_issuer(), clash]})


@pytest.mark.parametrize(
    ("claims", "email"),
    [
        ({"email": "ada@example.org"}, "ada@example.org"),
        ({"email": "ada@example.org", "email_verified": True}, "ada@example.org"),
        ({"email": "ada@example.org", "email_verified": "true"}, "ada@example.org"),
        ({"email": "ada@example.org", "email_verified": False}, None),
        ({"email": "ada@example.org", "email_verified": "false"}, None),
        ({"email": "ada@example.org", "email_verified": ["x"]}, None),
        ({"email": "no address"}, None),
        ({"email": ["ada@example.org"]}, None),
        ({}, None),
    ],
)
def test_an_address_is_taken_that_somebody_has_checked(claims: dict[str, Any], email: str | None) -> None:
    assert _read(claims).email == email
    assert _read(claims, email=None).email is None


def test_an_address_may_stand_in_another_claim() -> None:
    assert _read({"contact": {"mail": "ada@example.org"}}, email="contact.mail").email == "ada@example.org"
