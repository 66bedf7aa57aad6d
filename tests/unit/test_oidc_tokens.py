"""Tokens of OpenID Connect issuers: the good ones open the door, the forged ones do not."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from contracts.errors import ForbiddenError, UnauthenticatedError, UnavailableError
from contracts.principals import Level
from tests.support.tokens import ISSUER, NOW, FakeIssuer, bearer, rsa_key, segment

KEY = rsa_key()
OTHER = rsa_key("k1")


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer(KEY)


async def test_a_good_token_says_who_asks_and_until_when(issuer: FakeIssuer) -> None:
    passport = await issuer.way().authenticate(bearer(issuer.sign(groups=["vision:admin", "sound"])))
    assert passport
    assert (passport.way, passport.principal.subject, passport.principal.issuer) == ("oidc", "lab:ada", ISSUER)
    assert passport.principal.projects == {"vision": Level.ADMIN, "sound": Level.MEMBER}
    assert passport.expires_at
    assert passport.expires_at.timestamp() == NOW + 600


@pytest.mark.parametrize("word", ["token", "a.b", "a.b.c.d", "EpsBCjEKBmJpc2N1aXQ="])
async def test_what_is_no_jwt_is_left_to_other_ways(issuer: FakeIssuer, word: str) -> None:
    assert await issuer.way().authenticate(bearer(word)) is None


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ECKey.generate_key("P-256", {"kid": "e"}, private=True), "ES256"),
        (ECKey.generate_key("P-521", {"kid": "e"}, private=True), "ES512"),
        (OKPKey.generate_key("Ed25519", {"kid": "e"}, private=True), "Ed25519"),
        (KEY, "PS256"),
        (KEY, "RS512"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_allowed_algorithm_is_taken_and_no_other(key: Any, algorithm: str) -> None:
    issuer = FakeIssuer(key)
    token = issuer.sign(head={"alg": algorithm})
    assert await issuer.way(algorithms=[algorithm]).authenticate(bearer(token))
    with pytest.raises(UnauthenticatedError):
        await issuer.way(algorithms=["RS384"]).authenticate(bearer(token))


def _unsigned(algorithm: str) -> Callable[[FakeIssuer], str]:
    def forge(issuer: FakeIssuer) -> str:
        _, claims, signature = issuer.sign().split(".")
        return f"{segment({'alg': algorithm, 'kid': 'k1'})}.{claims}.{'' if algorithm == 'none' else signature}"

    return forge


def _signed_with_the_public_key(issuer: FakeIssuer) -> str:
    body = f"{segment({'alg': 'HS256', 'kid': 'k1'})}.{issuer.sign().split('.')[1]}"
    mac = hmac.new(KEY.as_pem(private=False), body.encode(), hashlib.sha256).digest()
    return f"{body}.{segment(mac)}"


def _changed(issuer: FakeIssuer) -> str:
    head, _, signature = issuer.sign().split(".")
    claims = {"iss": ISSUER, "aud": "shunter", "sub": "root", "exp": NOW + 600}
    return f"{head}.{segment(claims)}.{signature}"


def _forged(**head: Any) -> Callable[[FakeIssuer], str]:
    return lambda issuer: issuer.sign(key=OTHER, head=head)


def _claims(**claims: Any) -> Callable[[FakeIssuer], str]:
    return lambda issuer: issuer.sign(**claims)


FORGED: dict[str, Callable[[FakeIssuer], str]] = {
    "alg none": _unsigned("none"),
    "alg None": _unsigned("None"),
    "alg empty": _unsigned(""),
    "alg of another family": _unsigned("ES256"),
    "HS256 signed with the public key": _signed_with_the_public_key,
    "changed claims": _changed,
    "somebody else's key under a known name": _forged(),
    "kid climbs out of a folder": _forged(kid="../../../../dev/null"),
    "kid is SQL": _forged(kid="' UNION SELECT 'secret' --"),
    "kid is unknown": _forged(kid="k9"),
    "jku leads to the attacker": _forged(jku="https://attacker.test/keys", kid="evil"),
    "x5u leads to the attacker": _forged(x5u="https://attacker.test/cert", kid="evil"),
    "the key comes along": _forged(jwk=OTHER.as_dict(private=False)),
    "unknown crit": lambda issuer: _crit(issuer, {"crit": ["exp"], "exp": 1}),
    "unencoded payload": lambda issuer: _crit(issuer, {"crit": ["b64"], "b64": True}),
    "a logout token": lambda issuer: issuer.sign(head={"typ": "logout+jwt"}),
    "another audience": _claims(aud="other"),
    "no audience": _claims(aud=None),
    "a list of other audiences": _claims(aud=["a", "b"]),
    "an audience that is no word": _claims(aud={"shunter": True}),
    "another issuer": _claims(iss="https://attacker.test"),
    "the issuer with a slash more": _claims(iss=ISSUER + "/"),
    "no issuer": _claims(iss=None),
    "expired": _claims(exp=int(NOW) - 61),
    "no exp": _claims(exp=None),
    "exp is a word": _claims(exp="never"),
    "exp is true": _claims(exp=True),
    "exp never comes": _claims(exp=10**18),
    "exp is larger than any float": _claims(exp=10**400),
    "not valid yet": _claims(nbf=int(NOW) + 120),
    "issued in the future": _claims(iat=int(NOW) + 120),
    "bound to a key": _claims(cnf={"jkt": "x"}),
    "no subject": _claims(sub=None),
    "an empty subject": _claims(sub=""),
    "a subject of 300 characters": _claims(sub="a" * 300),
    "a token of 100 KB": _claims(more="x" * 100_000),
    "claims that are a list": lambda _: f"{segment({'alg': 'RS256'})}.{segment([1])}.AA",
    "a head that is a list": lambda _: f"{segment(['alg'])}.{segment({'iss': ISSUER})}.AA",
    "a head that is a word": lambda _: f"{segment('alg')}.{segment({'iss': ISSUER})}.AA",
    "claims of great depth": lambda _: f"{segment({'alg': 'RS256'})}.{segment(b'[' * 9000)}.AA",
    "no base64": lambda _: "%%%.%%%.%%%",
    "letters outside of ASCII": lambda _: "\xe9.\xe9.\xe9",
    "nothing between the dots": lambda _: "..",
}


def _crit(issuer: FakeIssuer, more: dict[str, Any]) -> str:
    # joserfc would not write it: the head is written by hand and signed as what it is.
    head, claims = segment({"alg": "RS256", "kid": "k1", **more}), issuer.sign().split(".")[1]
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    assert KEY.private_key
    return f"{head}.{claims}.{segment(KEY.private_key.sign(f'{head}.{claims}'.encode(), PKCS1v15(), SHA256()))}"


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_is_refused(issuer: FakeIssuer, name: str) -> None:
    way = issuer.way()
    assert await way.authenticate(bearer(issuer.sign()))
    token = FORGED[name](issuer)
    for _ in range(2):  # nor is it remembered as a good one
        with pytest.raises(UnauthenticatedError):
            await way.authenticate(bearer(token))
    assert set(issuer.asked) <= {"openid-configuration", "keys"}


async def test_clocks_may_differ_by_the_leeway(issuer: FakeIssuer) -> None:
    moment = int(NOW)
    for token in (issuer.sign(exp=moment - 50), issuer.sign(nbf=moment + 50), issuer.sign(iat=moment + 50)):
        assert await issuer.way().authenticate(bearer(token))
        with pytest.raises(UnauthenticatedError):
            await issuer.way(leeway=10).authenticate(bearer(token))


async def test_the_audience_may_stand_in_the_claim_that_the_issuer_uses(issuer: FakeIssuer) -> None:
    way = issuer.way(audience_claim="client_id")
    assert await way.authenticate(bearer(issuer.sign(aud=None, client_id="shunter")))
    for client in ("other", None):
        with pytest.raises(UnauthenticatedError):
            await way.authenticate(bearer(issuer.sign(aud="shunter", client_id=client)))


@pytest.mark.filterwarnings("ignore:Key size should be")
async def test_a_shared_secret_and_a_short_key_are_never_taken() -> None:
    short = RSAKey.generate_key(1024, {"kid": "short"}, private=True)
    issuer = FakeIssuer(OctKey.import_key("secret" * 8, {"kid": "oct"}), short, KEY)
    way = issuer.way()
    assert await way.authenticate(bearer(issuer.sign(key=KEY)))
    with pytest.raises(UnauthenticatedError):
        await way.authenticate(bearer(issuer.sign(key=short)))


async def test_a_checked_token_is_remembered_until_it_expires(issuer: FakeIssuer) -> None:
    way, token = issuer.way(), issuer.sign(exp=int(NOW) + 100)
    first = await way.authenticate(bearer(token))
    issuer.is_away = True
    assert await way.authenticate(bearer(token)) is first
    issuer.now += 161
    with pytest.raises(UnauthenticatedError):
        await way.authenticate(bearer(token))


async def test_a_checked_token_is_checked_again_after_a_while(issuer: FakeIssuer) -> None:
    way, token = issuer.way(remember=60), issuer.sign()
    first = await way.authenticate(bearer(token))
    issuer.now += 61
    second = await way.authenticate(bearer(token))
    assert second == first
    assert second is not first


async def test_what_a_checked_token_costs(issuer: FakeIssuer) -> None:
    way, connection = issuer.way(), bearer(issuer.sign())
    await way.authenticate(connection)
    began = time.thread_time()
    for _ in range(1000):
        await way.authenticate(connection)
    assert time.thread_time() - began < 0.3  # 0.3 ms each; it takes a hundredth of that


async def test_claims_are_asked_of_the_issuer_where_tokens_lack_them(issuer: FakeIssuer) -> None:
    issuer.user = {"sub": "ada", "groups": ["vision"], "exp": 1}
    way = issuer.way(userinfo=True)
    passport = await way.authenticate(bearer(issuer.sign()))
    assert passport
    assert passport.principal.projects == {"vision": Level.MEMBER}
    assert issuer.asked.count("user") == 1
    issuer.user = {"sub": "eve", "groups": ["vision"]}
    with pytest.raises(UnavailableError):
        await way.authenticate(bearer(issuer.sign(jti="2")))


async def test_only_members_come_in_where_the_site_wants_it(issuer: FakeIssuer) -> None:
    way = issuer.way(claims={"rules": ["groups"], "members_only": True})
    assert await way.authenticate(bearer(issuer.sign(groups=["vision"])))
    with pytest.raises(ForbiddenError):
        await way.authenticate(bearer(issuer.sign(groups=[])))
