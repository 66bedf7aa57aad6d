"""The document's third story on the demo stack, by curl: a token is fetched, narrowed to reading, and held to it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import biscuit_auth
import httpx

from tests.support.stack import Stack


def _curl(url: str, token: str, *more: str) -> tuple[int, str]:
    """Call as a user does; the token goes by standard input, so that no list of processes shows it."""
    command = ["curl", "-s", "-w", "\n%{http_code}", "--config", "-", *more, url]
    config = f'header = "Authorization: Bearer {token}"\n'
    done = subprocess.run(command, input=config, capture_output=True, text=True, check=True, timeout=30)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_a_read_only_token_can_get_and_is_refused_post(stack: Stack) -> None:
    base = f"{stack.url}/psik/v1"
    status, token = _curl(f"{base}/token", stack.tokens["owner"])
    assert status == 200
    body = ["-X", "POST", "-H", "Content-Type: application/json", "-d", '{"script": "hostname"}']
    status, jobid = _curl(f"{base}/jobs/new", token, *body)
    assert status == 200
    reader = _narrowed(stack, token, 'check if mode("GET")')
    assert _curl(f"{base}/jobs/{json.loads(jobid)}/state", reader) == (200, '"new"')
    assert _curl(f"{base}/jobs", reader)[0] == 200
    refused = _curl(f"{base}/jobs", reader, *body)
    assert refused[0] == 403
    assert json.loads(refused[1])["detail"]
    assert _curl(f"{base}/jobs/{json.loads(jobid)}", reader, "-X", "DELETE")[0] == 403
    # The other word of the document's language for the same, and one job only.
    one = _narrowed(stack, token, f'check if operation("GET"), path("/v1/jobs/{json.loads(jobid)}")')
    assert _curl(f"{base}/jobs/{json.loads(jobid)}", one)[0] == 200
    assert _curl(f"{base}/jobs", one)[0] == 403


def _narrowed(stack: Stack, token: str, check: str) -> str:
    """Append a check with the library alone, as any holder can: the public key is all that is needed."""
    keys = httpx.get(f"{stack.url}/v1/tokens/keys", trust_env=False).json()["keys"]
    library: Any = biscuit_auth  # its types are those of an older release
    public = library.PublicKey.from_bytes(bytes.fromhex(keys[-1]["public_key"]), library.Algorithm.Ed25519)
    return str(library.Biscuit.from_base64(token, public).append(library.BlockBuilder(check)).to_base64())
