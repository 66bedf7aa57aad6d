"""Secrets of clusters are in files, or in what does not show itself: never in plain words of the settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, SecretStr

from contracts.errors import InvalidError
from services.scheduler.backends.engines.kinds import BUILT_IN, kinds, load

_TELLING = re.compile(r"token|password|passphrase|secret|credential|private_key|jwt", re.IGNORECASE)
_NAMES_ONLY = frozenset({"kubernetes.image_pull_secrets"})
"""What names a secret of the cluster and is none."""


def _plain(model: type[BaseModel], at: str) -> Iterator[str]:
    """Return the fields that hold a secret in plain words, with all fields of the models in it."""
    for name, field in model.model_fields.items():
        for kind in _kinds_of(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _plain(kind, f"{at}.{name}")
            elif _TELLING.search(name) and kind not in {Path, SecretStr, NoneType, bool, float, int}:
                yield f"{at}.{name}"


def _kinds_of(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        for one in get_args(annotation):
            yield from _kinds_of(one)
    elif origin in {list, dict, tuple, set, frozenset}:
        yield origin
        for one in get_args(annotation):
            yield from _kinds_of(one)
    else:
        yield annotation


@pytest.mark.parametrize("kind", sorted(set(kinds()) - BUILT_IN))
def test_settings_of_a_cluster_hold_no_secret_in_plain_words(kind: str) -> None:
    try:
        engine = load(kind)
    except InvalidError as error:
        pytest.skip(error.detail)
    assert set(_plain(engine.Settings, kind)) - _NAMES_ONLY == set()
    if engine.Options:
        assert set(_plain(engine.Options, f"{kind}.options")) == set()


def test_a_secret_in_plain_words_would_be_found() -> None:
    class Inner(BaseModel):
        api_token: str | None = None
        token_file: Path | None = None

    class Outer(BaseModel):
        password: SecretStr
        parts: list[Inner] = []
        secrets: dict[str, str] = {}

    assert set(_plain(Outer, "x")) == {"x.parts.api_token", "x.secrets"}
