"""Every module says what it is for and what it gives, and has a name that says something."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.sources import Source, sources

_FORBIDDEN = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py", "manager.py", "shared.py"}
_HANDLER_DECORATORS = {"get", "post", "put", "patch", "delete", "head", "api_route", "command", "callback", "handler"}
"""Such a decorator documents the function: its summary or help text is in it."""

_Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def test_every_module_has_a_docstring() -> None:
    silent = [source.name for source in sources() if not source.is_empty_by_rule and not ast.get_docstring(source.tree)]
    assert silent == [], f"say in a line what these modules are for: {silent}"


def test_everything_public_has_a_docstring() -> None:
    silent = [f"{source.at(node)} {node.name}" for source in sources() for node in _undocumented(source)]
    assert silent == [], f"tell the caller in a line what these do: {silent}"


def _undocumented(source: Source) -> Iterator[_Documented]:
    if "migrations" in source.path.parts:
        return
    for node in source.tree.body:
        if isinstance(node, _Documented) and _is_public(node):
            if not ast.get_docstring(node) and not _is_handler(node):
                yield node
            if isinstance(node, ast.ClassDef):
                yield from (
                    inner
                    for inner in node.body
                    if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
                    and _is_public(inner)
                    and not ast.get_docstring(inner)
                    and not _is_handler(inner)
                )


def _is_public(node: _Documented) -> bool:
    return not node.name.startswith("_")


def _is_handler(node: _Documented) -> bool:
    """Say whether a decorator such as `@router.get(...)` or a property's `.setter` documents it."""
    names = {
        called.attr
        for decorator in node.decorator_list
        if isinstance(called := decorator.func if isinstance(decorator, ast.Call) else decorator, ast.Attribute)
    }
    return bool(names & (_HANDLER_DECORATORS | {"setter"}))


def test_every_module_says_what_it_gives() -> None:
    silent = [source.name for source in sources() if not _may_be_silent(source) and not _has_all(source)]
    assert silent == [], f"these modules have no __all__: {silent}"


def _may_be_silent(source: Source) -> bool:
    return source.is_empty_by_rule or "migrations" in source.path.parts or source.path.parent.name == "alembic"


def _has_all(source: Source) -> bool:
    return any(
        isinstance(node, ast.Assign)
        and any(isinstance(name, ast.Name) and name.id == "__all__" for name in node.targets)
        for node in source.tree.body
    )


def test_what_a_module_gives_is_there() -> None:
    wrong = [f"{source.name}: {name}" for source in sources() for name in _promised(source) - _defined(source)]
    assert wrong == [], f"these names of __all__ are not defined: {wrong}"


def _promised(source: Source) -> set[str]:
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return set(ast.literal_eval(node.value))
    return set()


def _defined(source: Source) -> set[str]:
    names: set[str] = set()
    for node in source.tree.body:
        if isinstance(node, _Documented):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_every_init_is_empty() -> None:
    full = [source.name for source in sources() if source.is_empty_by_rule and source.text.strip()]
    assert full == [], f"Temporal's sandbox runs each __init__.py above a workflow; empty these: {full}"


def test_no_file_has_a_name_that_says_nothing() -> None:
    vague = [source.name for source in sources() if source.path.name in _FORBIDDEN]
    assert vague == [], f"name these after what is in them: {vague}"
