"""A service account on a real cluster, with the rights of a manifest of ours and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from services.scheduler.backends.engines.kubernetes.cluster import Cluster
from services.scheduler.backends.engines.kubernetes.kinds import Kind
from services.scheduler.backends.engines.kubernetes.records import Record

__all__ = ["close_account", "open_account"]

_RBAC = "rbac.authorization.k8s.io"
_KINDS = {
    "Namespace": Kind("namespaces", namespaced=False),
    "ServiceAccount": Kind("serviceaccounts"),
    "Role": Kind("roles", group=_RBAC),
    "RoleBinding": Kind("rolebindings", group=_RBAC),
    "ClusterRole": Kind("clusterroles", group=_RBAC, namespaced=False),
    "ClusterRoleBinding": Kind("clusterrolebindings", group=_RBAC, namespaced=False),
}
_SECONDS = 7200


class _Token(Record):
    status: dict[str, Any]


async def open_account(admin: Cluster, kubeconfig: Path, manifest: Path, namespace: str, folder: Path) -> Path:
    """Apply a manifest, in a namespace of its own; returns the kubeconfig of its service account.

    What is of the whole cluster is told from others' by the namespace's name.
    """
    for kind, made in _documents(manifest, namespace):
        await admin.apply(kind, namespace, made)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": _SECONDS}}
    given = await admin.create(Kind("serviceaccounts/shunter/token"), namespace, asked, _Token)
    return _kubeconfig(kubeconfig, given.status["token"], folder / f"{namespace}.kubeconfig")


async def close_account(admin: Cluster, manifest: Path, namespace: str) -> None:
    """Delete what was made; what is in the namespace goes with it."""
    for kind, made in _documents(manifest, namespace):
        if not kind.namespaced:
            await admin.delete(kind, "", made["metadata"]["name"])


def _documents(manifest: Path, namespace: str) -> Iterator[tuple[Kind, dict[str, Any]]]:
    for document in yaml.safe_load_all(manifest.read_text()):
        made = _moved(document, namespace)
        yield _KINDS[made["kind"]], made


def _moved(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    meta = document["metadata"]
    if "namespace" in meta:
        meta["namespace"] = namespace
    elif document["kind"] == "Namespace":
        meta["name"] = namespace
    else:
        meta["name"] = f"{meta['name']}-{namespace}"
    if document["kind"] == "ClusterRoleBinding":
        document["roleRef"]["name"] = f"{document['roleRef']['name']}-{namespace}"
    for subject in document.get("subjects", []):
        subject["namespace"] = namespace
    return document


def _kubeconfig(admins: Path, token: str, path: Path) -> Path:
    """Write how the account reaches the cluster that an admin's kubeconfig leads to."""
    known = yaml.safe_load(admins.read_text())
    context = next(item["context"] for item in known["contexts"] if item["name"] == known["current-context"])
    cluster = next(item for item in known["clusters"] if item["name"] == context["cluster"])
    if "certificate-authority" in cluster["cluster"]:
        cluster["cluster"]["certificate-authority"] = str(admins.parent / cluster["cluster"]["certificate-authority"])
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "account",
        "clusters": [cluster],
        "users": [{"name": "account", "user": {"token": token}}],
        "contexts": [{"name": "account", "context": {"cluster": cluster["name"], "user": "account"}}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))
    return path
