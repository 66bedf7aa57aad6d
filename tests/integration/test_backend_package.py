"""A kind of backend that comes from a package of a site's own: found by its entry point, held to the same contract."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGES = _ROOT / "tests" / "support" / "packages"


def _run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(_PACKAGES), str(_ROOT)])
    env = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run([sys.executable, *words], cwd=_ROOT, env=env, capture_output=True, text=True, check=False)


def test_it_is_a_kind_like_any_other_and_its_settings_are_checked() -> None:
    code = (
        "from services.scheduler.backends.engines.kinds import kinds, load\n"
        "from services.scheduler.settings import BackendSettings\n"
        "assert 'tiny' in kinds() and load('tiny').__name__ == 'TinyEngine'\n"
        "BackendSettings(name='own', kind='tiny', tiny={'folder': '/tmp/tiny'})\n"
        "BackendSettings(name='own', kind='tiny', tiny={})\n"
    )
    done = _run("-c", code)
    assert done.returncode == 1
    assert "folder" in done.stderr
    assert "Field required" in done.stderr


def test_the_contract_of_engines_holds_for_it() -> None:
    options = ("-q", "-k", "outside", "-p", "no:cacheprovider")
    done = _run("-m", "pytest", "tests/contract/test_engines.py", *options, SHUNTER_TEST_ENGINE="shunter_tiny:stand")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
