"""The original DECODE OpenCloud, run beside us from a folder of the operator's: its code is no part of this repository.

`SHUNTER_BENCH_DECODE` names a folder with clones of its `UserAPI` and, if it is at hand, its `WorkerAPI`. Both run
unmodified, with SQLite and local files; moto stands in for Amazon Cognito, and only the fetch of its keys is sent
there. Without a WorkerAPI something answers in its place at once, which is in the original's favour.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

__all__ = ["FOLDER", "find_original", "run_decode"]

FOLDER = "SHUNTER_BENCH_DECODE"
"""The environment variable that names the folder."""

_PINS = (
    *("boto3~=1.35", "python-dotenv~=1.0", "fastapi~=0.115.5", "fastapi-cloudauth~=0.4.3", "fastapi-utils~=0.8.0"),
    *("httpx~=0.27.2", "pydantic~=2.9", "requests~=2.32", "uvicorn~=0.32.0", "typing-inspect~=0.9.0"),
    *("sqlalchemy~=2.0.36", "humanize~=4.11", "mailjet-rest~=1.3", "python-multipart>=0.0.18", "pyyaml~=6.0"),
    *("psycopg2-binary~=2.9", "mypy-boto3-s3", "boto3-stubs[s3,rds]", "moto[server]==5.0.21"),
)
"""What its own lists of packages ask for, and moto."""

_HERE = Path(__file__).parent
_VENV = _HERE.parent.parent / ".bench" / "decode"
_REGION = "eu-central-1"
_KEY = "between-the-two"
_GROUPS = ("users", "workers", "cloud")


def find_original() -> Path | None:
    """Return the folder of the original, none if it is not at hand."""
    folder = Path(os.environ.get(FOLDER, ""))
    return folder if os.environ.get(FOLDER) and (folder / "UserAPI" / "api" / "main.py").is_file() else None


def _install() -> Path:
    """Make a virtual environment for it, once."""
    if not (_VENV / "bin" / "moto_server").exists():
        subprocess.run([sys.executable, "-m", "venv", str(_VENV)], check=True)
        subprocess.run([_VENV / "bin" / "pip", "install", "-q", *_PINS], check=True)
    return _VENV


@contextmanager
def run_decode(original: Path, folder: Path, port: int, applications: Path) -> Iterator[str]:
    """Run it with an `application_config.yaml`; gives the URL of its user-facing API."""
    python, moto = _install() / "bin" / "python", f"http://127.0.0.1:{port + 2}"
    worker = original / "WorkerAPI"
    with ExitStack() as open_:
        _start(open_, folder, "moto", [str(_VENV / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port + 2)], {})
        _wait(f"{moto}/moto-api/", folder / "moto.log")
        known = {
            **_make_pool(moto),
            "AWS_ENDPOINT_URL": moto,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": _REGION,
            "AUTH": "1",
            "FILESYSTEM": "local",
            "USER_DATA_ROOT_PATH": str(folder / "files"),
            "APPLICATION_CONFIG_FILE": str(applications),
            "INTERNAL_API_KEY_SECRET": _KEY,
            "WORKERFACING_API_URL": f"http://127.0.0.1:{port + 1}",
            "USERFACING_API_URL": f"http://127.0.0.1:{port}",
        }
        launch = [str(python), str(_HERE / "apps" / "decode_original.py"), moto]
        queue = ["api.main:workerfacing_app"] if (worker / "api").is_dir() else ["stand-in"]
        kept = {"QUEUE_DB_URL": f"sqlite:///{folder / 'queue.db'}", "DATABASE_URL": f"sqlite:///{folder / 'jobs.db'}"}
        where = worker if (worker / "api").is_dir() else original / "UserAPI"
        _start(open_, folder, "worker", [*launch, *queue, str(port + 1)], {**known, **kept}, where)
        _wait(f"http://127.0.0.1:{port + 1}/", folder / "worker.log")
        _start(open_, folder, "user", [*launch, "api.main:app", str(port)], {**known, **kept}, original / "UserAPI")
        _wait(f"http://127.0.0.1:{port}/", folder / "user.log")
        yield f"http://127.0.0.1:{port}"


def _start(
    open_: ExitStack,
    folder: Path,
    name: str,
    command: list[str],
    known: Mapping[str, str],
    where: Path | None = None,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = open_.enter_context((folder / f"{name}.log").open("w"))
    environment = {**os.environ, **known, "PYTHONPATH": str(where or folder)}
    process = subprocess.Popen(command, cwd=where or folder, env=environment, stdout=log, stderr=log)
    open_.callback(process.wait, 15)
    open_.callback(process.kill)


def _wait(url: str, log: Path) -> None:
    for _ in range(300):
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code < 500:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit(f"{url} did not answer:\n{log.read_text()[-2000:]}")


def _make_pool(moto: str) -> dict[str, str]:
    """Make the pool, the client and the groups that it expects of Amazon."""
    pool = _ask(moto, "CreateUserPool", PoolName="decode")["UserPool"]["Id"]
    flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    made = _ask(
        moto, "CreateUserPoolClient", UserPoolId=pool, ClientName="decode", GenerateSecret=True, ExplicitAuthFlows=flows
    )["UserPoolClient"]
    for group in _GROUPS:
        _ask(moto, "CreateGroup", UserPoolId=pool, GroupName=group)
    return {
        "COGNITO_REGION": _REGION,
        "COGNITO_USER_POOL_ID": pool,
        "COGNITO_CLIENT_ID": made["ClientId"],
        "COGNITO_SECRET": made.get("ClientSecret", ""),
    }


def _ask(moto: str, action: str, **words: Any) -> Any:
    scope = f"x/20260101/{_REGION}/cognito-idp/aws4_request"
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": f"AWSCognitoIdentityProviderService.{action}",
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    answer = httpx.post(moto, content=json.dumps(words), headers=headers, trust_env=False, timeout=30)
    return answer.raise_for_status().json()
