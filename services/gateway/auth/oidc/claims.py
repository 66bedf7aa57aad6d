"""From an issuer's claims to a user of this site: the name, the projects, the roles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from contracts.errors import ForbiddenError, UnauthenticatedError
from contracts.mail import known_address
from contracts.principals import Level, Principal, Role

from .settings import ClaimRule, IssuerSettings

__all__ = ["ClaimReader"]

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ODD = re.compile(r"[^A-Za-z0-9._@-]")
"""What is written as `+` and two hex digits for each byte; a plus itself too, so that no two names become one."""

_MOST_VALUES = 2000
_LONGEST = 1024
"""Values of a claim, and characters of one, that are looked at."""


class ClaimReader:
    """Reads the claims of one issuer's tokens."""

    def __init__(self, settings: IssuerSettings) -> None:
        self._settings = settings
        self._rules = [(rule, re.compile(rule.match)) for rule in settings.claims.to_rules()]

    def read(self, claims: Mapping[str, Any]) -> Principal:
        """Return whom the claims are about; they must have been verified."""
        projects: dict[str, Level] = {}
        roles: set[Role] = set()
        for rule, pattern in self._rules:
            for found in _matches(pattern, claims, rule):
                _give(rule, found.groupdict(), projects, roles)
        if self._settings.claims.members_only and not projects and not roles:
            raise ForbiddenError(f"{self._settings.name} says of no project here that you are in it")
        try:
            return Principal(
                subject=self._subject(claims),
                issuer=self._settings.issuer,
                projects=projects,
                roles=frozenset(roles),
                email=self._email(claims),
            )
        except ValidationError:
            raise UnauthenticatedError("the token names its user in a way that cannot be used here") from None

    def _email(self, claims: Mapping[str, Any]) -> str | None:
        name = self._settings.claims.email
        if name is None or claims.get("email_verified", True) not in (True, "true"):
            return None
        return known_address(_claim(claims, name))

    def _subject(self, claims: Mapping[str, Any]) -> str:
        value = _claim(claims, self._settings.claims.subject)
        if not isinstance(value, str) or not value:
            raise UnauthenticatedError("the token does not say who its user is")
        return self._settings.prefix + _ODD.sub(_spelled, value)


def _spelled(found: re.Match[str]) -> str:
    return "".join(f"+{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


def _claim(claims: Mapping[str, Any], path: str | list[str]) -> Any:
    """Return the value of a claim, none if there is none."""
    if isinstance(path, str):
        if path in claims:
            return claims[path]
        path = path.split(".")
    value: Any = claims
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _matches(pattern: re.Pattern[str], claims: Mapping[str, Any], rule: ClaimRule) -> Iterator[re.Match[str]]:
    value = _claim(claims, rule.claim)
    # Some issuers give a single value as it is, and several in one text.
    values = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    for item in values[:_MOST_VALUES]:
        if isinstance(item, str) and len(item) <= _LONGEST and (found := pattern.fullmatch(item)):
            yield found


def _give(rule: ClaimRule, words: Mapping[str, str | None], projects: dict[str, Level], roles: set[Role]) -> None:
    """Add what one value gives; a word that means nothing here gives nothing."""
    word, role_word, project = words.get("level"), words.get("role"), words.get("project")
    level = rule.level if word is None else rule.levels.get(word)
    role = rule.role if role_word is None else rule.roles.get(role_word)
    if level is None or (role_word is not None and role is None):
        return
    if role is not None:
        roles.add(role)
    if project and _PROJECT.fullmatch(project) and projects.get(project) is not Level.ADMIN:
        projects[project] = level
