"""Which tokens are let through without their checks being run: those that check nothing but their end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from biscuit_auth import BiscuitBuilder, BlockBuilder, KeyPair

from contracts.errors import ForbiddenError, UnauthenticatedError
from contracts.model import now
from services.gateway.auth.biscuits import Biscuits, ShownToken
from services.gateway.auth.passport import Facts
from services.gateway.auth.signer import Signer
from services.gateway.identity.register import Register

_END = "2999-01-01T00:00:00Z"
_FACTS = Facts(method="POST", path="/v1/jobs", resource=None, address="", client="", service="shunter")


class _Signer(Signer):
    """Opens what it made itself."""

    def __init__(self) -> None:
        self.keys = KeyPair()

    def open(self, token: str) -> object:  # type: ignore[override]
        from biscuit_auth import Biscuit

        return Biscuit.from_base64(token, self.keys.public_key)


def _shown(first: str = "", *blocks: str) -> ShownToken:
    signer = _Signer()
    said = f'user("ada"); issuer("shunter"); projects("member checkers"); {first}'
    token = BiscuitBuilder(said).build(signer.keys.private_key)
    for block in blocks:
        token = token.append(BlockBuilder(block))
    found = Biscuits(signer, Register()).look_into(token.to_base64())
    assert found is not None
    return found


@pytest.mark.parametrize("blocks", [(), (f"check if time($t), $t <= {_END};",), ('note("x");',)])
def test_one_that_checks_only_its_end_is_plain(blocks: tuple[str, ...]) -> None:
    shown = _shown(f"check if time($t), $t < {_END};", *blocks)
    assert shown.is_plain
    shown.require(_FACTS)


@pytest.mark.parametrize(
    "block",
    [
        'check if operation("GET");',
        'check all operation($o), $o == "GET";',
        'check if time($t), $t <= 2999-01-01T00:00:00Z, operation("GET");',
        'reads($o) <- operation($o), $o == "GET"; check if reads($o);',
        'reject if operation("POST");',
        'note("\\n"); check if\n operation("GET");',
    ],
)
def test_one_that_checks_anything_else_is_none_and_is_refused(block: str) -> None:
    shown = _shown(f"check if time($t), $t < {_END};", block)
    assert not shown.is_plain
    with pytest.raises(ForbiddenError):
        shown.require(_FACTS)


def test_a_word_in_a_text_is_doubted_and_does_no_harm() -> None:
    shown = _shown("", 'note("please check if this works");')
    assert not shown.is_plain
    shown.require(_FACTS)


def test_a_plain_one_still_ends() -> None:
    ended = (now() - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    shown = _shown("", f"check if time($t), $t <= {ended};")
    assert shown.is_plain
    with pytest.raises(UnauthenticatedError, match="expired"):
        shown.require(_FACTS)
