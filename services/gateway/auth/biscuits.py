"""Shunter's own tokens: Biscuits, which their holder can narrow without asking anybody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection

from contracts.errors import ForbiddenError, UnauthenticatedError
from contracts.mail import known_address
from contracts.model import now
from contracts.principals import Level, Principal, Role
from services.gateway.identity.register import Register

from .authenticator import Authenticator
from .facts import bearer_of
from .passport import Facts, Passport
from .signer import Signer

if TYPE_CHECKING:
    from biscuit_auth import Biscuit

__all__ = ["Biscuits", "ShownToken", "token_id_of"]

_KEPT = 2048
"""Tokens whose signatures were checked and are not checked again."""

_PATIENCE = timedelta(milliseconds=200)
"""What the checks of one request may take. The library's own limit is 1 ms by the clock, which a busy machine exceeds
now and then, and then refuses what is right."""

_UNTIL = re.compile(
    r"check if time\((\$\w+)\), \1 <=? (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ);?",
)

_CONDITION = re.compile(r"\b(?:check|reject|deny)\b|<-")
"""What a block may hold that refuses anything, or what such things could rest on."""
_FACTS = "time({time}); operation({method}); mode({method}); path({path}); service({service}); gpus({gpus});"


def token_id_of(revocation_id: str) -> str:
    """Return the identifier of a token by the revocation id of its first block."""
    return f"tok-{revocation_id[:32]}"


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token whose signatures are right: who made it, until when it lives, and what it forbids."""

    biscuit: Biscuit
    register: Register
    claimed: Principal
    use: frozenset[Role]
    """The roles that it may use, if its owner has them."""
    ids: tuple[str, ...]
    """A revocation id for each block."""
    expires_at: datetime | None
    """The earliest end that its blocks name in the usual words."""
    is_timed: bool
    """Whether its blocks speak of time in other words too."""
    minds_projects: bool
    """Whether its blocks speak of projects."""
    is_plain: bool = False
    """Whether its blocks refuse nothing but what comes after its end."""

    @property
    def id(self) -> str:
        """Return the token's identifier, which all that were made from it share."""
        return token_id_of(self.ids[0])

    def require(self, facts: Facts) -> None:
        """Refuse what the token is not for."""
        self.require_alive()
        if not self.minds_projects or not any(self._passes(facts, name) for name in self._projects()):
            self._run(facts, None)

    def narrow(self, principal: Principal, facts: Facts) -> Principal:
        """Refuse what the token is not for, and leave out the rights that it does not carry."""
        self.require_alive()
        projects: Mapping[str, Level] = principal.projects
        if self.minds_projects:
            projects = {name: level for name, level in projects.items() if self._passes(facts, name)}
        if not self.minds_projects or not projects:
            self._run(facts, None)
        roles = principal.roles & self.use
        if len(projects) == len(principal.projects) and roles == principal.roles:
            return principal
        return principal.model_copy(update={"projects": dict(projects), "roles": roles})

    def _projects(self) -> list[str]:
        principal = self.register.renewed(self.claimed)
        return [*principal.projects, *(name for name, _ in self.register.entry(principal.subject).projects)]

    def require_alive(self) -> None:
        """Refuse a token that was revoked or has ended, whatever it is for."""
        if self.register.is_revoked(self.ids):
            raise UnauthenticatedError("the token was revoked")
        if self.expires_at and now() >= self.expires_at:
            raise UnauthenticatedError("the token has expired")

    def _passes(self, facts: Facts, project: str) -> bool:
        try:
            self._run(facts, project)
        except ForbiddenError:
            return False
        return True

    def _run(self, facts: Facts, project: str | None) -> None:
        if self.is_plain:
            return
        from biscuit_auth import AuthorizationError, DataLogError

        try:
            _authorizer(facts, project).build(self.biscuit).authorize()
        except (AuthorizationError, DataLogError) as error:
            reason = str(error).rpartition("checks failed: ")[2][:512]
            raise ForbiddenError(f"the token is not for this: {reason}") from None


def _authorizer(facts: Facts, project: str | None) -> Any:
    from biscuit_auth import AuthorizerBuilder, Policy

    source = _FACTS
    values: dict[str, object] = {
        "time": now(),
        "method": facts.method,
        "path": facts.path,
        "service": facts.service,
        "gpus": facts.gpus,
    }
    optional = {"resource": facts.resource, "address": facts.address, "client": facts.client, "project": project}
    for name, value in optional.items():
        if value:
            source += f" {name}({{{name}}});"
            values[name] = value
    found: Any = AuthorizerBuilder(source, values)
    limits = found.limits()
    limits.max_time = _PATIENCE
    found.set_limits(limits)
    found.add_policy(Policy("allow if true"))
    return found


class Biscuits(Authenticator):
    """Knows users by `Authorization: Bearer <Biscuit>`."""

    def __init__(self, signer: Signer, register: Register) -> None:
        self.signer = signer
        self._register = register
        self._kept: dict[bytes, Passport] = {}

    async def authenticate(self, connection: HTTPConnection) -> Passport | None:
        """Return whose token this is; the door checks what it is for."""
        token = bearer_of(connection)
        if not token:
            return None
        passport = self.passport_of(token)
        if passport is None:
            return None
        renewed = self._register.renewed(passport.principal)
        if renewed is passport.principal:
            return passport
        return replace(passport, principal=renewed.model_copy(update={"token": passport.principal.token}))

    def passport_of(self, token: str) -> Passport | None:
        """Return what a token says if it is one of ours; whether it is over is not looked at."""
        digest = sha256(token.encode()).digest()
        if kept := self._kept.get(digest):
            return kept
        shown = self.look_into(token)
        if shown is None:
            return None
        if len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        passport = self._kept[digest] = self.passport_for(shown)
        return passport

    @staticmethod
    def passport_for(shown: ShownToken) -> Passport:
        """Return the passport of whoever shows a token."""
        principal = shown.claimed.model_copy(update={"token": shown.id})
        return Passport(principal, "token", caveats=shown, expires_at=shown.expires_at)

    def look_into(self, token: str) -> ShownToken | None:
        """Return what a token says if its signatures are right."""
        biscuit = self.signer.open(token)
        if biscuit is None or (said := _read_authority(biscuit)) is None:
            return None
        sources = [biscuit.block_source(number) for number in range(biscuit.block_count())]
        ends, timed = _times(sources)
        return ShownToken(
            biscuit=biscuit,
            register=self._register,
            claimed=said[0],
            use=said[1],
            ids=tuple(biscuit.revocation_ids),
            expires_at=min(ends, default=None),
            is_timed=timed,
            minds_projects=any("project(" in source for source in sources),
            is_plain=not any(_is_condition(line.strip()) for source in sources for line in source.splitlines()),
        )


def _read_authority(biscuit: Biscuit) -> tuple[Principal, frozenset[Role]] | None:
    """Read the first block, which only we can have written: these questions see what no later one says."""
    from biscuit_auth import AuthorizerBuilder, Rule

    builder: Any = AuthorizerBuilder()
    limits = builder.limits()
    limits.max_time = _PATIENCE
    builder.set_limits(limits)
    world = builder.build(biscuit)

    def terms(rule: str) -> list[list[Any]]:
        return [fact.terms for fact in world.query(Rule(rule))]

    users, issuers = terms("found($u) <- user($u)"), terms("found($i) <- issuer($i)")
    if len(users) != 1 or len(issuers) != 1:
        return None
    lines = [line.split(" ", 1) for found in terms("found($p) <- projects($p)") for line in found[0].split("\n")]
    principal = Principal(
        subject=users[0][0],
        issuer=issuers[0][0],
        projects={name: Level(level) for level, name in lines},
        roles=frozenset(Role(found[0]) for found in terms("found($r) <- role($r)")),
        email=next((known_address(found[0]) for found in terms("found($e) <- email($e)")), None),
    )
    return principal, frozenset(Role(found[0]) for found in terms("found($r) <- use($r)"))


def _is_condition(line: str) -> bool:
    """Say whether a line may refuse a request for another reason than its time; a doubtful one does."""
    return _CONDITION.search(line) is not None and _UNTIL.fullmatch(line) is None


def _times(sources: list[str]) -> tuple[list[datetime], bool]:
    """Return the ends that blocks name in the usual words, and whether they speak of time in others."""
    ends, timed = [], False
    for source in sources:
        for line in source.splitlines():
            if found := _UNTIL.fullmatch(line.strip()):
                ends.append(datetime.fromisoformat(found[2]).astimezone(UTC))
            elif "time(" in line:
                timed = True
    return ends, timed
