"""Files and functions stay small enough to be read in one go."""

from __future__ import annotations

import ast

from tests.architecture.sources import PACKAGES, ROOT, sources

_FOLDERS = (*PACKAGES, "tests", "bench")
_FILE = 400
_FUNCTION = 50


def test_no_file_is_longer_than_400_lines() -> None:
    paths = [path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > len(sources())
    counts = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
    long = {name: count for name, count in counts.items() if count > _FILE}
    assert long == {}, f"split these files (lines): {long}"


def test_no_function_is_longer_than_50_lines() -> None:
    long = {
        f"{source.at(node)} {node.name}": lines
        for source in sources()
        if "migrations" not in source.path.parts
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > _FUNCTION
    }
    assert long == {}, f"split these functions (lines): {long}"
