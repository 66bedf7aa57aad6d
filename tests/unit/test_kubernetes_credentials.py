"""Credentials for Kubernetes that are none: what is said of them, without their content."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import UnavailableError
from services.scheduler.backends.engines.kubernetes.cluster import Cluster
from services.scheduler.backends.engines.kubernetes.kinds import JOBS
from services.scheduler.backends.engines.kubernetes.records import Record
from services.scheduler.backends.engines.kubernetes.settings import KubernetesSettings

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "kubeconfig cannot be read: No such file"),
        ("users: [{token: hunter2", "no credentials for the cluster: ParserError"),
        ("{}", "no credentials for the cluster: Invalid kube-config"),
    ],
)
async def test_credentials_that_are_none_are_told_of_without_their_content(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    if content is not None:
        kubeconfig.write_text(content)
    with pytest.raises(UnavailableError, match=reason) as caught:
        await Cluster(KubernetesSettings(kubeconfig=kubeconfig)).list(JOBS, Record)
    assert "hunter2" not in caught.value.detail


async def test_who_is_no_pod_needs_a_kubeconfig() -> None:
    with pytest.raises(UnavailableError, match="Service host/port is not set"):
        await Cluster(KubernetesSettings()).list(JOBS, Record)
