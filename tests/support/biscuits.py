"""Tokens as an attacker, or their holder far from the gateway, makes them."""

from __future__ import annotations

from typing import Any

import httpx
from biscuit_auth import Biscuit, BiscuitBuilder, BlockBuilder, PublicKey

__all__ = ["bearer", "forge", "mint", "narrow"]


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


async def mint(client: httpx.AsyncClient, headers: dict[str, str], **wish: Any) -> Any:
    """Mint a token over REST."""
    answer = await client.post("/v1/tokens", json={"name": "test", **wish}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def narrow(token: str, public_key: PublicKey, source: str) -> str:
    """Append a block, whatever it says."""
    return str(Biscuit.from_base64(token, public_key).append(BlockBuilder(source)).to_base64())


def forge(private_key: Any, source: str, *, key_id: int | None = 1) -> str:
    """Sign a token with a key of one's own."""
    builder = BiscuitBuilder(source)
    if key_id is not None:
        builder.set_root_key_id(key_id)
    return str(builder.build(private_key).to_base64())
