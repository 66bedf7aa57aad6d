"""What a 403 means: the cluster's own answer to whether we have the right, not the words of its refusal."""

from __future__ import annotations

from contracts.errors import RefusedError, ShunterError, UnavailableError

from .cluster import Cluster
from .errors import AnswerError, said
from .kinds import QUOTAS, REVIEWS, Kind
from .records import Quota, Review

__all__ = ["forbidden"]

_AGAIN = 30.0


async def forbidden(cluster: Cluster, error: AnswerError, verb: str, kind: Kind, namespace: str) -> ShunterError:
    """Return what a 403 to an attempt to make something means."""
    told = error.status.message
    try:
        # What is applied is made where it is not there yet, which is a right of its own.
        for needed in dict.fromkeys([verb, "create"]):
            if not await _may(cluster, needed, kind, namespace):
                what = f"{needed} {kind} in the namespace {namespace!r}"
                return UnavailableError(f"we lack the right to {what} (403): {told}", retry_after=_AGAIN)
        # We may, so something else said no: a quota, which is a matter of time, or a rule of the site's.
        if await _is_full(cluster, kind, namespace):
            return UnavailableError(f"the quota of the namespace {namespace!r} is used up: {told}", retry_after=_AGAIN)
    except AnswerError as other:
        return said(other)
    return RefusedError(f"a rule of the cluster refuses it: {told}")


async def _may(cluster: Cluster, verb: str, kind: Kind, namespace: str) -> bool:
    wanted = {"namespace": namespace, "verb": verb, "group": kind.group, "resource": kind.plural}
    question = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wanted},
    }
    return (await cluster.create(REVIEWS, None, question, Review)).status.allowed


async def _is_full(cluster: Cluster, kind: Kind, namespace: str) -> bool:
    quotas, _ = await cluster.list(QUOTAS, Quota, namespace=namespace)
    names = {f"count/{kind}", kind.plural}
    return any(
        quota.status.used.get(name, 0.0) >= quota.status.hard[name]
        for quota in quotas
        for name in names & quota.status.hard.keys()
    )
