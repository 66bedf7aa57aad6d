"""The keys of an issuer: read once, read again when they must be, and kept while the issuer is away."""

from __future__ import annotations

import asyncio

import pytest

from contracts.errors import UnauthenticatedError
from services.gateway.auth.oidc.authenticator import OidcTokens
from tests.support.tokens import FakeIssuer, bearer, rsa_key

OLD, NEW = rsa_key("old"), rsa_key("new")


async def _opens(way: OidcTokens, token: str) -> bool:
    try:
        return bool(await way.authenticate(bearer(token)))
    except UnauthenticatedError:
        return False


async def test_keys_are_read_once_for_many_tokens() -> None:
    issuer = FakeIssuer(OLD)
    way = issuer.way()
    tokens = [issuer.sign(jti=str(n)) for n in range(20)]
    assert all(await asyncio.gather(*(_opens(way, token) for token in tokens)))
    assert issuer.asked == ["openid-configuration", "keys"]


async def test_a_new_key_is_found_by_its_first_token_and_the_old_one_goes() -> None:
    issuer = FakeIssuer(OLD)
    way = issuer.way()
    assert await _opens(way, issuer.sign())
    issuer.now += 31
    issuer.keys = [NEW]
    assert await _opens(way, issuer.sign(key=NEW))
    assert not await _opens(way, issuer.sign(key=OLD, jti="2"))


async def test_unknown_keys_have_the_issuer_asked_once_in_thirty_seconds() -> None:
    issuer = FakeIssuer(OLD)
    way = issuer.way()
    assert await _opens(way, issuer.sign())
    issuer.now += 31
    for number in range(50):
        assert not await _opens(way, issuer.sign(key=NEW, head={"kid": f"guess-{number}"}))
    assert issuer.asked.count("keys") == 2
    issuer.now += 29
    issuer.keys = [NEW]
    assert not await _opens(way, issuer.sign(key=NEW))
    issuer.now += 2
    assert await _opens(way, issuer.sign(key=NEW))


async def test_known_keys_serve_while_the_issuer_is_away() -> None:
    issuer = FakeIssuer(OLD)
    way = issuer.way()
    assert await _opens(way, issuer.sign())
    issuer.is_away = True
    issuer.now += 3 * 86400
    late = int(issuer.now) + 600
    assert await _opens(way, issuer.sign(exp=late))
    assert not await _opens(way, issuer.sign(key=NEW, exp=late))
    issuer.is_away, issuer.keys = False, [NEW]
    issuer.now += 31
    assert await _opens(way, issuer.sign(key=NEW, exp=late))


async def test_old_keys_are_read_again_while_nobody_waits() -> None:
    issuer = FakeIssuer(OLD)
    way = issuer.way(keys_for=3600)
    assert await _opens(way, issuer.sign())
    issuer.now += 3601
    late = int(issuer.now) + 600
    assert await _opens(way, issuer.sign(exp=late))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert issuer.asked.count("keys") == 2


async def test_an_issuer_that_was_never_there_is_asked_again_soon() -> None:
    issuer = FakeIssuer(OLD)
    issuer.is_away = True
    way = issuer.way()
    assert not await _opens(way, issuer.sign())
    issuer.is_away = False
    issuer.now += 3
    assert await _opens(way, issuer.sign())


@pytest.mark.parametrize("document", [{"issuer": "https://other.test", "jwks_uri": "https://issuer.test/realm/keys"}])
async def test_the_discovery_document_of_another_issuer_is_not_believed(document: dict[str, str]) -> None:
    issuer = FakeIssuer(OLD)
    issuer.document = document
    assert not await _opens(issuer.way(), issuer.sign())
    assert "keys" not in issuer.asked


async def test_keys_without_a_name_are_tried_one_by_one() -> None:
    issuer = FakeIssuer(OLD, NEW)
    way = issuer.way()
    for number, key in enumerate((OLD, NEW)):
        token = issuer.sign(key=key, head={"kid": None}, jti=str(number))
        assert await _opens(way, token)
