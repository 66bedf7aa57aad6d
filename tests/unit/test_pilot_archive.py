"""The pilot's file: the same sources make the same bytes, and it needs nothing but Python."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from services.scheduler.pilots.archive import build, write_archive


def test_the_same_sources_make_the_same_bytes(tmp_path: Path) -> None:
    first = build()
    build.cache_clear()
    assert build() == first
    made = write_archive(tmp_path)
    assert (made.path.read_bytes(), made.sha256) == (first, hashlib.sha256(first).hexdigest())
    before = made.path.stat().st_mtime_ns
    assert write_archive(tmp_path) == made
    assert made.path.stat().st_mtime_ns == before


def test_it_is_small_and_holds_its_library_with_the_licence() -> None:
    raw = build()
    assert len(raw) < 400_000
    names = zipfile.ZipFile(io.BytesIO(raw)).namelist()
    assert {"__main__.py", "shunter_pilot/main.py", "nats/aio/client.py"} <= set(names)
    assert [name for name in names if "LICENSE" in name]
    assert not [name for name in names if name.startswith("/") or ".." in name]


def test_it_starts_without_anything_of_ours(tmp_path: Path) -> None:
    made = write_archive(tmp_path)
    words = "import shunter_pilot.crew, shunter_pilot.bundle, shunter_pilot.transfer, nats.aio.client"
    foreign = "import sys; print([name for name in sys.modules if name.split('.')[0] in {'contracts', 'services'}])"
    code = f"import sys; sys.path.insert(0, {str(made.path)!r}); {words}; {foreign}"
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
    )
    assert ended.stdout.strip() == "[]"
