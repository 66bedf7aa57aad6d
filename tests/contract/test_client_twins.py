"""The two clients offer the same, so that knowing one is knowing both."""

from __future__ import annotations

import inspect

import pytest

from shunter.asynchronous import AsyncClient
from shunter.bulk import AsyncBulk, Bulk
from shunter.client import Client
from shunter.clusters import AsyncClusters, Clusters
from shunter.folders import AsyncFolders, Folders
from shunter.identity import AsyncIdentity, Identity
from shunter.operations import AsyncOperations, Operations
from shunter.sharing import AsyncSharing, Sharing

ONLY_SYNC = {"iter_jobs", "iter_files", "iter_events", "iter_tasks", "wait_until_known"}
"""Conveniences of the command line."""


def methods(kind: type) -> dict[str, inspect.Signature]:
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(method) for name, method in found if not name.startswith("_")}


def test_they_have_the_same_methods() -> None:
    assert set(methods(Client)) - ONLY_SYNC == set(methods(AsyncClient))


@pytest.mark.parametrize("name", sorted(set(methods(Client)) - ONLY_SYNC))
def test_each_method_takes_the_same(name: str) -> None:
    one, other = methods(Client)[name].parameters, methods(AsyncClient)[name].parameters
    # An asyncio program stops a transfer by cancelling its task.
    expected = {key: (item.kind, item.default) for key, item in one.items() if key != "stop"}
    assert {key: (item.kind, item.default) for key, item in other.items()} == expected


@pytest.mark.parametrize("name", sorted(methods(AsyncClient)))
def test_each_method_says_the_same_of_itself(name: str) -> None:
    if name != "close":
        assert getattr(Client, name).__doc__ == getattr(AsyncClient, name).__doc__


@pytest.mark.parametrize(
    ("kind", "twin"),
    [
        (Clusters, AsyncClusters),
        (Operations, AsyncOperations),
        (Identity, AsyncIdentity),
        (Folders, AsyncFolders),
        (Bulk, AsyncBulk),
    ],
)
def test_what_else_they_are_offered_is_the_same_too(kind: type, twin: type) -> None:
    one, other = methods(kind), methods(twin)
    assert {name: item.parameters for name, item in one.items()} == {
        name: item.parameters for name, item in other.items()
    }


def test_sharing_is_offered_by_both_in_the_same_words() -> None:
    one, other = methods(Sharing), methods(AsyncSharing)
    assert set(one) - ONLY_SYNC == set(other)
    for name, signature in other.items():
        expected = {key: item for key, item in one[name].parameters.items() if key != "stop"}
        assert dict(signature.parameters) == expected
        assert getattr(Sharing, name).__doc__ == getattr(AsyncSharing, name).__doc__
