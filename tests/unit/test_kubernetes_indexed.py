"""Which native jobs are one indexed Job, how that looks, and how it is read as each of them."""

from __future__ import annotations

import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from contracts.states import Reason
from services.scheduler.backends.engines.base import EngineMeans, Launch, Native, NativeState, Order
from services.scheduler.backends.engines.kubernetes.indexed import Indexed, batches_of, names_of, shares_of
from services.scheduler.backends.engines.kubernetes.manifests import Manifests
from services.scheduler.backends.engines.kubernetes.names import Address, Names
from services.scheduler.backends.engines.kubernetes.pilot_file import PilotFile
from services.scheduler.backends.engines.kubernetes.placing import placing
from services.scheduler.backends.engines.kubernetes.records import Job
from services.scheduler.backends.engines.kubernetes.settings import KubernetesOptions, KubernetesSettings
from services.scheduler.backends.engines.kubernetes.states import Patience, stand
from services.scheduler.backends.engines.kubernetes.versions import CURRENT
from tests.support.kubernetes_sim.documents import faults_of


def _made(name: str, settings: dict[str, Any] | None = None, **values: Any) -> Manifests:
    names = Names(KubernetesSettings.model_validate(settings or {}), EngineMeans("k8s", "s0f1", Path("/nowhere")))
    env = {"SHUNTER_PILOT_NAME": name, "SHUNTER_PILOT_TOKEN": f"it's of {name}\n"}
    launch = Launch(script="exec true", env=env, file=Path("/nowhere"))
    figures = {"cpus": 1.0, "memory": None, "gpus": 0, "walltime": 60.0}
    order = Order(
        **{"name": name, "owner": "ada", "project": "lab", "title": "A", "launch": launch, **figures, **values}
    )
    options = KubernetesOptions.model_validate(dict(order.options))
    return Manifests(
        names, order, options, placing(names.settings, options, order, []), PilotFile(b"the pilot"), CURRENT
    )


def _names(groups: list[list[Manifests]]) -> list[list[str]]:
    return [[one.name for one in group] for group in groups]


def test_those_that_differ_in_name_and_environment_only_are_one_job() -> None:
    made = [_made("a"), _made("b", cpus=2.0), _made("c"), _made("d", owner="eve"), _made("e", title="B"), _made("f")]
    assert _names(batches_of(made)) == [["a", "c", "f"], ["b"], ["d"], ["e"]]


def test_no_more_are_one_job_than_a_secret_holds() -> None:
    assert [len(group) for group in batches_of([_made(f"n{number}") for number in range(250)])] == [100, 100, 50]


@pytest.mark.parametrize("settings", [{"queue": "lab"}, {"create_namespaces": True, "quota": {"requests.cpu": "4"}}])
def test_where_a_queue_or_a_quota_decides_each_is_a_job_of_its_own(settings: dict[str, Any]) -> None:
    assert _names(batches_of([_made("a", settings), _made("b", settings)])) == [["a"], ["b"]]


def test_the_objects_are_good_by_the_published_schemas() -> None:
    together = Indexed([_made("a", files="/files"), _made("b", files="/files")])
    job, secret = together.job(), together.secret()
    assert (faults_of(job), faults_of(secret)) == ([], [])
    spec = job["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (2, 2, "Indexed")
    assert "backoffLimit" not in spec
    assert spec["podFailurePolicy"]["rules"][0]["action"] == "FailIndex"
    assert names_of(_read(job)) == ["a", "b"]
    assert "hush" not in str(job)
    assert "it's of" not in str(job)


def test_a_pod_takes_its_own_variables_as_they_are(tmp_path: Path) -> None:
    together = Indexed([_made("a"), _made("b")])
    container = together.job()["spec"]["template"]["spec"]["containers"][0]
    assert "envFrom" not in container
    (own,) = [mount for mount in container["volumeMounts"] if mount["name"] == "own"]
    assert own["subPathExpr"] == "$(JOB_COMPLETION_INDEX)"
    file = tmp_path / "own"
    file.write_bytes(b64decode(together.secret()["data"]["1"]))
    assert b"of a" not in file.read_bytes()
    script = (
        container["command"][-1]
        .replace(own["mountPath"], str(file))
        .replace("exec true", 'printf %s "$SHUNTER_PILOT_TOKEN"')
    )
    said = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True)
    assert said.stdout == b"it's of b\n"


def _read(job: dict[str, Any], **status: Any) -> Job:
    meta = {**job["metadata"], "uid": "u-1"}
    return Job.model_validate({**job, "metadata": meta, "status": status})


@pytest.mark.parametrize(
    ("status", "states"),
    [
        ({}, "WWW"),
        ({"completedIndexes": "0", "failedIndexes": "2"}, "CWF"),
        ({"completedIndexes": "0-2", "conditions": [{"type": "Complete", "status": "True"}]}, "CCC"),
        ({"completedIndexes": "1", "conditions": [{"type": "Failed", "status": "True", "reason": "Deadline"}]}, "FCF"),
    ],
)
def test_each_index_is_read_as_a_job_of_its_own(status: dict[str, Any], states: str) -> None:
    job = _read(Indexed([_made(name) for name in "abc"]).job(), **status)
    found = [stand(share, [], "", lambda _uid, _word: 0.0, Patience(1.0, 1.0, 1.0)) for _, share in shares_of(job)]
    assert [one.name for one in found] == ["a", "b", "c"]
    for index, (one, state) in enumerate(zip(found, states, strict=True)):
        assert Address.of(Native(one.name, one.native_id)) == Address("shunter", "u-1", str(index))
        assert one.state is (NativeState.WAITING if state == "W" else NativeState.ENDED)
        assert one.ending is (Reason.LOST if state == "F" else None)


def test_a_plain_job_is_itself() -> None:
    job = _read(_made("a").job())
    assert (names_of(job), shares_of(job)) == (["a"], [("", job)])
