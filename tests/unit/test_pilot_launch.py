"""The script that becomes the pilot: it finds Python, fetches and checks the file, and says clearly what is wrong."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.scheduler.pilots.launching import SCRIPT
from tests.support.pilots import old_python

_WORDS = (
    b"import os, sys\ndef run(): print('started', sys.path[0] == os.environ.get('SHUNTER_PILOT_FILE', sys.path[0]))\n"
)
_TOOLS = ("sh", "mkdir", "rm", "hostname", "tail", "sleep")
_BY_TOOLS = SCRIPT.replace("  https:*)", "  http:*)")
"""The script that takes a plain address for one with TLS, which is a tool's business where there is one."""


def _pilot() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("shunter_pilot/__init__.py", "")
        archive.writestr("shunter_pilot/main.py", _WORDS)
    return sink.getvalue()


_PILOT = _pilot()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/pilot").write_bytes(_PILOT)
    handler = partial(_Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/pilot?secret=1"
        server.shutdown()


def _node(tmp_path: Path, *tools: str, python: str = "") -> dict[str, str]:
    """Return the environment of a node that has only these programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (*_TOOLS, *tools):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not here")
        (folder / name).symlink_to(found)
    work = {"SHUNTER_PILOT_WORK": str(tmp_path / "work"), "SHUNTER_PILOT_NAME": "n"}
    named = {"SHUNTER_PILOT_PYTHON": python} if python else {}
    return {"PATH": str(folder), "SHUNTER_PILOT_SHA256": sha256(_PILOT).hexdigest(), **work, **named}


def _run(env: dict[str, str], script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["/bin/sh", "-c", script], env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("tool", ["curl", "wget", ""])
def test_it_fetches_the_pilot_with_what_is_there(tmp_path: Path, url: str, tool: str) -> None:
    assert _BY_TOOLS != SCRIPT
    env = _node(tmp_path, *([tool] if tool else []), python=old_python())
    ended = _run({**env, "SHUNTER_PILOT_URL": url}, _BY_TOOLS)
    assert (ended.returncode, ended.stdout) == (0, "started True\n"), ended.stderr


@pytest.mark.parametrize("way", ["by hand", "by library"])
def test_it_fetches_the_pilot_from_a_plain_address_by_itself(tmp_path: Path, url: str, way: str) -> None:
    other = "_by_library" if way == "by hand" else "_by_hand"
    script = SCRIPT.replace(f"def {other}(url: str) -> bytes:", f'def {other}(url: str) -> bytes:\n    return b""')
    assert script != SCRIPT
    ended = _run({**_node(tmp_path, python=old_python()), "SHUNTER_PILOT_URL": url}, script)
    assert (ended.returncode, ended.stdout) == (0, "started True\n"), ended.stderr


def test_it_takes_a_file_that_lies_there(tmp_path: Path) -> None:
    file = tmp_path / "pilot"
    file.write_bytes(_PILOT)
    ended = _run({**_node(tmp_path, python=old_python()), "SHUNTER_PILOT_FILE": str(file)})
    assert (ended.returncode, ended.stdout) == (0, "started True\n"), ended.stderr
    missing = _run({**os.environ, "SHUNTER_PILOT_FILE": "/no/such/file", "SHUNTER_PILOT_SHA256": ""})
    assert missing.returncode == 92
    assert "the pilot is not at /no/such/file" in missing.stderr


def test_without_a_python_that_is_new_enough_it_says_so(tmp_path: Path) -> None:
    env = _node(tmp_path)
    old = Path(env["PATH"], "python3")
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    ended = _run(env, _only_in_path(SCRIPT))
    assert ended.returncode == 91
    assert "there is no Python 3.9 or newer" in ended.stderr


def test_a_shim_is_gone_through_once(tmp_path: Path) -> None:
    env = _node(tmp_path)
    shim = Path(env["PATH"], "python3")
    shim.write_text(f'#!/bin/sh\necho once >>{tmp_path}/asked\nexec {old_python()} "$@"\n')
    shim.chmod(0o755)
    file = tmp_path / "pilot"
    file.write_bytes(_PILOT)
    ended = _run({**env, "SHUNTER_PILOT_FILE": str(file)})
    assert (ended.returncode, ended.stdout) == (0, "started True\n"), ended.stderr
    assert (tmp_path / "asked").read_text() == "once\n"


@pytest.mark.parametrize(("version", "code"), [("Python 3.8.20", 91), ("Python 3.10.1", 0), ("Python 4.0", 91)])
def test_it_goes_by_the_version_that_python_says(tmp_path: Path, version: str, code: int) -> None:
    env = _node(tmp_path)
    python = Path(env["PATH"], "python3")
    # What leads to it says that it leads to itself, and of itself what the test wants.
    python.write_text(
        f"#!/bin/sh\ncase $1$4 in\n-V) echo {version!r} ;;\n*print*) echo {python} ;;\n"
        f'*) exec {old_python()} "$@" ;;\nesac\n'
    )
    python.chmod(0o755)
    file = tmp_path / "pilot"
    file.write_bytes(_PILOT)
    ended = _run({**env, "SHUNTER_PILOT_FILE": str(file)}, _only_in_path(SCRIPT))
    assert ended.returncode == code, ended.stderr


def _only_in_path(script: str) -> str:
    """Return the script without the fixed places: what a node has there is not ours to take away."""
    return script.replace("/usr/bin/python3 /usr/local/bin/python3", "").replace("/usr/libexec/", "/none/")


@pytest.mark.parametrize("way", [SCRIPT, _BY_TOOLS], ids=["by itself", "by tools"])
def test_what_cannot_be_fetched_or_is_another_file_is_told(tmp_path: Path, url: str, way: str) -> None:
    env = {**_node(tmp_path, "curl", python=old_python()), "SHUNTER_PILOT_URL": url}
    wrong = _run({**env, "SHUNTER_PILOT_SHA256": "0" * 64}, way)
    assert wrong.returncode == 93
    assert "not the right one" in wrong.stderr
    impatient = way.replace("1 2 4 8 16 0", "0").replace("(0, 1, 2, 4, 8, 16)", "(0,)")
    missing = _run({**env, "SHUNTER_PILOT_URL": url.replace("/pilot?", "/nothing?")}, impatient)
    assert missing.returncode == 92
    assert "cannot be fetched" in missing.stderr
    assert "404" in missing.stderr
    assert not list(tmp_path.glob("work/*"))


def test_it_holds_no_secret_and_shows_none() -> None:
    words = [line for line in SCRIPT.splitlines() if "SHUNTER_PILOT_URL" in line]
    assert all("printf" in line or "environ" in line or line.startswith("case ") for line in words), words
    assert "TOKEN" not in SCRIPT
