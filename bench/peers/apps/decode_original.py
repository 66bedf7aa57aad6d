"""Starts a part of the original: `decode_original.py MOTO APP PORT`. Only the fetch of Cognito's keys is redirected.

Run by the original's own Python, which has packages that ours has not.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI

_AMAZON = "https://cognito-idp."


def _redirect(moto: str) -> None:
    session = import_module("requests").Session
    plain = session.request

    def request(self: Any, method: str, url: str, **more: Any) -> Any:
        if url.startswith(_AMAZON):
            # moto sees by the signature for whom it stands in, and looks no further at it.
            region = urlsplit(url).netloc.split(".")[1]
            scope = f"x/20260101/{region}/cognito-idp/aws4_request"
            more["headers"] = {"authorization": f"AWS4-HMAC-SHA256 Credential={scope}, Signature=0"}
            url = moto + urlsplit(url).path
        return plain(self, method, url, **more)

    session.request = request


def _stand_in() -> FastAPI:
    """Return what takes each job of the queue and does nothing with it."""
    app = FastAPI()

    @app.get("/")
    async def root() -> dict[str, str]:
        return {}

    @app.post("/_jobs", status_code=201)
    async def take(job: dict[str, Any]) -> dict[str, Any]:
        return job

    return app


def _main() -> None:
    moto, name, port = sys.argv[1:]
    _redirect(moto)
    app = _stand_in() if name == "stand-in" else name
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    _main()
