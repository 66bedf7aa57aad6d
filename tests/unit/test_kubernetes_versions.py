"""What a release of Kubernetes knows and is told, and how the end of a pod is read where it is not said why."""

from __future__ import annotations

import pytest

from contracts.errors import UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.kubernetes.names import job_of
from services.scheduler.backends.engines.kubernetes.records import Job, Pod, Said
from services.scheduler.backends.engines.kubernetes.states import departed
from services.scheduler.backends.engines.kubernetes.versions import CURRENT, Release

_SPEC = {"backoffLimit": 0, "ttlSecondsAfterFinished": 1, "suspend": True, "podFailurePolicy": {}}


@pytest.mark.parametrize(
    ("word", "minor"), [("v1.36.0", 36), ("v1.20.2", 20), ("v1.28.5+k3s1", 28), ("v1.27.4-eks-8ccc7ba", 27)]
)
def test_a_release_is_read_as_distributors_write_it(word: str, minor: int) -> None:
    assert Release.of(Said.model_validate({"gitVersion": word, "major": "", "minor": ""})) == Release(minor)


@pytest.mark.parametrize("word", ["v1.18.9", "v0.0.0-master+$Format:%H$", "v2.0.0"])
def test_what_is_too_old_or_unknown_is_said_so(word: str) -> None:
    with pytest.raises(UnavailableError, match=r"works with 1\.19 and newer"):
        Release.of(Said.model_validate({"gitVersion": word}))


@pytest.mark.parametrize(
    ("minor", "known"),
    [
        (20, {"backoffLimit"}),
        (22, {"backoffLimit", "ttlSecondsAfterFinished", "suspend"}),
        (26, set(_SPEC)),
        (CURRENT.minor, set(_SPEC)),
    ],
)
def test_a_cluster_is_told_what_it_knows(minor: int, known: set[str]) -> None:
    assert set(Release(minor).known(_SPEC)) == known


def test_what_a_cluster_lacks_is_said_once_for_each() -> None:
    assert CURRENT.lacks == ()
    assert len(Release(28).lacks) < len(Release(20).lacks)
    assert all(lack.startswith("Kubernetes 1.20 has no ") for lack in Release(20).lacks)


@pytest.mark.parametrize("prefix", ["", "batch.kubernetes.io/"])
def test_a_pod_is_of_its_job_by_the_labels_of_any_release(prefix: str) -> None:
    assert job_of({f"{prefix}job-name": "s-1", f"{prefix}controller-uid": "u"}) == ("s-1", "u")
    assert job_of({}) == ("", "")


# As Kubernetes 1.20 was seen to say it.
_GONE = {"name": "p", "uid": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}


def _ended(**state: dict[str, object]) -> dict[str, object]:
    return {"phase": "Failed", "containerStatuses": [{"state": state}]}


@pytest.mark.parametrize(
    ("status", "ending", "code"),
    [
        ({"phase": "Running"}, Reason.INTERRUPTED, None),
        (_ended(waiting={"reason": "ContainerCreating"}), Reason.INTERRUPTED, None),
        (_ended(terminated={"exitCode": 137, "reason": "Error"}), Reason.INTERRUPTED, 137),
        (_ended(terminated={"exitCode": 137, "reason": "OOMKilled"}), Reason.MEMORY, 137),
        ({"phase": "Failed", "reason": "Evicted", "message": "short of memory"}, Reason.INTERRUPTED, None),
    ],
)
def test_a_pod_that_was_replaced_is_the_end_of_the_attempt(
    status: dict[str, object], ending: Reason, code: int | None
) -> None:
    pod = Pod.model_validate({"metadata": _GONE, "status": status})
    found = departed(Job(), pod, Reason.INTERRUPTED)
    assert (found.ending, found.exit_code) == (ending, code)
    assert found.reason
