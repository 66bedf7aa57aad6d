"""Key pairs: an access key that names somebody, and a secret that signs requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

from starlette.requests import HTTPConnection, Request

from contracts.errors import UnauthenticatedError
from contracts.model import now
from contracts.principals import Principal
from contracts.signing import BODY_HEADER, NO_BODY, SCHEME, Signature
from services.gateway.bodies import is_file
from services.gateway.identity.register import STATIC, Register
from services.gateway.settings import StaticUser

from .authenticator import Authenticator
from .passport import Passport
from .sealing import Sealer

__all__ = ["KeyPairs", "OpenedKey", "SignedRequests"]

_FILES = "/v1/files/"
"""Where uploads are held to the checksum that they name."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """Whom an access key names, and the secret that proves it. Never logged, never sent."""

    passport: Passport
    secret: str


class KeyPairs:
    """Finds key pairs; what every dialect with signatures of its own asks."""

    def __init__(self, register: Register, sealer: Sealer, users: Iterable[StaticUser] = ()) -> None:
        self._register = register
        self._sealer = sealer
        self._static = {
            user.access_key: (user.subject, user.secret_key.get_secret_value())
            for user in users
            if user.access_key and user.secret_key
        }

    def find(self, access_key: str) -> OpenedKey | None:
        """Return the key pair of this name. The caller checks the signature, then has the door admit the passport."""
        if static := self._static.get(access_key):
            subject, secret = static
            principal = self._register.renewed(Principal(subject=subject, issuer=STATIC))
            return OpenedKey(Passport(principal, "key"), secret)
        if known := self._register.known.keys.get(access_key):
            claimed = Principal.model_validate_json(known.claims, extra="ignore")
            return OpenedKey(Passport(self._register.renewed(claimed), "key"), self._sealer.open(known.sealed))
        return None


class SignedRequests(Authenticator):
    """Knows users by `Authorization: Shunter-HMAC-SHA256 Credential=…, Date=…, Nonce=…, Signature=…`."""

    def __init__(self, pairs: KeyPairs, *, window: float) -> None:
        """*window*: seconds by which a signature's date may differ from now."""
        self._pairs = pairs
        self._window = window
        self._seen: set[tuple[str, str]] = set()
        self._order: deque[tuple[float, tuple[str, str]]] = deque()

    async def authenticate(self, connection: HTTPConnection) -> Passport | None:
        """Return whose key signed this very request, just now and for the first time."""
        scheme, _, text = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        signature = Signature.read(text)
        if signature is None:
            raise UnauthenticatedError(f"the signature must read: {SCHEME} Credential=…, Date=…, Nonce=…, Signature=…")
        body = await _body_sha256(connection)
        key = self._pairs.find(signature.access_key)
        scope = connection.scope
        query = scope.get("query_string", b"").decode("latin-1")
        target = scope.get("raw_path", scope["path"].encode()).decode("latin-1") + (f"?{query}" if query else "")
        fits = signature.fits(
            key.secret if key else "",
            method=scope["method"],
            host=connection.headers.get("host", ""),
            target=target,
            body_sha256=body,
        )
        if key is None or not fits:
            raise UnauthenticatedError("the signature is not right")
        self._require_fresh(signature, scope["method"])
        return key.passport

    def _require_fresh(self, signature: Signature, method: str) -> None:
        moment = now().timestamp()
        try:
            signed_at = signature.at.timestamp()
        except ValueError:
            raise UnauthenticatedError("the date of the signature is none") from None
        if abs(moment - signed_at) > self._window:
            raise UnauthenticatedError(f"the request was not signed within {self._window:g} s of now")
        if method in _SAFE:
            return
        while self._order and self._order[0][0] < moment:
            self._seen.discard(self._order.popleft()[1])
        mark = (signature.access_key, signature.nonce)
        if mark in self._seen:
            raise UnauthenticatedError("this very request was sent before: sign it anew")
        self._seen.add(mark)
        self._order.append((moment + 2 * self._window, mark))


async def _body_sha256(connection: HTTPConnection) -> str:
    """Return the checksum that was signed; of a file, whose bytes come later, its route checks that it is true."""
    said = connection.headers.get(BODY_HEADER, NO_BODY).lower()
    if is_file(connection.scope):
        if BODY_HEADER not in connection.headers or not connection.scope["path"].startswith(_FILES):
            raise UnauthenticatedError(f"a signed upload goes to {_FILES} and names its sha256 in {BODY_HEADER}")
        return said
    body = await connection.body() if isinstance(connection, Request) else b""
    if not compare_digest(sha256(body).hexdigest(), said):
        raise UnauthenticatedError(f"{BODY_HEADER} is not the sha256 of the body")
    return said
