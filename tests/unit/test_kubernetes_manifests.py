"""The objects that we give a Kubernetes cluster: good by its published schemas, safe, and as the site allows."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.errors import InvalidError, RefusedError
from services.scheduler.backends.engines.base import EngineMeans, Launch, Order
from services.scheduler.backends.engines.kubernetes.manifests import Manifests, config_map, namespace_of, owned
from services.scheduler.backends.engines.kubernetes.names import Names
from services.scheduler.backends.engines.kubernetes.pilot_file import PilotFile, read_pilot
from services.scheduler.backends.engines.kubernetes.placing import placing
from services.scheduler.backends.engines.kubernetes.records import Job, Meta
from services.scheduler.backends.engines.kubernetes.settings import KubernetesOptions, KubernetesSettings
from services.scheduler.backends.engines.kubernetes.versions import CURRENT
from tests.support.kubernetes_sim.documents import faults_of

_PILOT = PilotFile(b"the pilot")
_LABELS = ["NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3"]
_FULL: dict[str, Any] = {
    "image_pull_secrets": ["registry"],
    "node_selector": {"pool": "batch"},
    "tolerations": [{"key": "batch", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}],
    "priority_class": "low",
    "queue": "lab",
    "service_account": "jobs",
    "runtime_class": "gvisor",
    "memory": 2**30,
    "scratch": "20Gi",
    "gpus": {"mi300": {"resource": "amd.com/gpu", "node_selector": {"gpu": "mi300"}, "tolerations": [{"key": "amd"}]}},
}


def _names(**settings: Any) -> Names:
    return Names(KubernetesSettings.model_validate(settings), EngineMeans("k8s", "s0f1", Path("/nowhere")))


def _order(**values: Any) -> Order:
    launch = Launch(script="exec true", env={"SHUNTER_PILOT_TOKEN": "hush", "SHUNTER_X": "é"}, file=Path("/nowhere"))
    usual = {"name": "s0f1-abc-1", "owner": "ada", "project": "lab", "title": "A job", "launch": launch}
    figures = {"cpus": 1.5, "memory": 2**28, "gpus": 0, "walltime": 60.5}
    return Order(**{**usual, **figures, **values})


def _made(
    order: Order, options: dict[str, Any] | None = None, pilot: PilotFile | None = _PILOT, **settings: Any
) -> Manifests:
    names = _names(**settings)
    chosen = KubernetesOptions.model_validate(options or {})
    return Manifests(names, order, chosen, placing(names.settings, chosen, order, _LABELS), pilot, CURRENT)


def _pod(made: Manifests) -> dict[str, Any]:
    spec: dict[str, Any] = made.job()["spec"]["template"]["spec"]
    return spec


_ORDERS = [
    {},
    {"gpus": 2},
    {"gpus": 1, "gpu_model": "a100", "gpu_memory": 50 * 2**30},
    {"gpus": 1, "gpu_model": "MI300"},
    {"files": "/files", "image": "example.org/a:1", "memory": None, "project": None, "title": ""},
]


@pytest.mark.parametrize(
    ("values", "settings", "pilot"), list(product(_ORDERS, ({}, _FULL, {**_FULL, "volumes": False}), (None, _PILOT)))
)
def test_every_object_is_good_by_the_published_schemas(
    values: dict[str, Any], settings: dict[str, Any], pilot: PilotFile | None
) -> None:
    order = _order(**values)
    if order.gpu_model == "MI300" and not settings:
        return
    made = _made(order, pilot=pilot, **settings)
    job = Job(metadata=Meta(name=order.name, uid="1234"))
    objects = [made.job(), made.secret(), owned(made.secret(), job)]
    objects += namespace_of("lab", {"requests.cpu": "64", "requests.nvidia.com/gpu": "8"}, made.names.labels)
    objects.append(config_map(_PILOT, "shunter", made.names.labels))
    assert [faults_of(item) for item in objects] == [[]] * len(objects)


def test_a_field_that_there_is_not_would_be_found() -> None:
    job = _made(_order()).job()
    job["spec"]["template"]["spec"]["restartPolicies"] = "Never"
    assert [fault["field"] for fault in faults_of(job)] == ["spec.template.spec"]


def test_a_pod_has_no_more_rights_than_restricted_ones() -> None:
    pod = _pod(_made(_order()))
    (container,) = pod["containers"]
    assert pod["securityContext"] | {"fsGroup": 0} == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert {key for volume in pod["volumes"] for key in volume} == {"name", "emptyDir", "configMap"}


def test_secrets_are_in_the_secret_alone() -> None:
    made = _made(_order())
    assert "hush" not in str(made.job())
    assert made.secret()["data"] == {"SHUNTER_PILOT_TOKEN": "aHVzaA==", "SHUNTER_X": "w6k="}


def test_what_runs_is_one_try_within_its_time() -> None:
    spec = _made(_order(), pull=100).job()["spec"]
    pod = spec["template"]["spec"]
    assert (spec["backoffLimit"], spec["completions"], pod["restartPolicy"]) == (0, 1, "Never")
    # Waiting for room is not counted, so it is the pod's limit and not the Job's.
    assert (pod["activeDeadlineSeconds"], "activeDeadlineSeconds" in spec) == (161, False)


def test_resources_are_asked_for_and_are_the_limit() -> None:
    (container,) = _pod(_made(_order(gpus=2)))["containers"]
    room = {"cpu": "1500m", "memory": str(2**28), "nvidia.com/gpu": "2"}
    assert container["resources"] == {"requests": room, "limits": room}


def test_the_working_folder_is_where_the_program_expects_it() -> None:
    (container,) = _pod(_made(_order(files="/files")))["containers"]
    assert {"name": "files", "mountPath": "/files"} in container["volumeMounts"]
    assert {"name": "SHUNTER_PILOT_FILES", "value": "/files"} in container["env"]


def test_a_pilot_that_is_fetched_is_not_mounted(tmp_path: Path) -> None:
    (container,) = _pod(_made(_order(), pilot=None))["containers"]
    assert [mount["name"] for mount in container["volumeMounts"]] == ["work"]
    assert "SHUNTER_PILOT_FILE" not in {item["name"] for item in container["env"]}
    (tmp_path / "large").write_bytes(b"x" * 2**20)
    (tmp_path / "small").write_bytes(b"x")
    assert read_pilot(tmp_path / "large") is None
    assert read_pilot(tmp_path / "small") == PilotFile(b"x")


def test_a_pod_without_volumes_works_in_its_image_under_the_same_limit() -> None:
    pod = _pod(_made(_order(), pilot=None, volumes=False, scratch="20Gi"))
    (container,) = pod["containers"]
    assert (pod["volumes"], container["volumeMounts"], container["workingDir"]) == ([], [], "/tmp")
    assert {"name": "SHUNTER_PILOT_WORK", "value": "/tmp"} in container["env"]
    assert container["resources"]["limits"]["ephemeral-storage"] == "20Gi"
    pod = _pod(_made(_order(files="/files"), pilot=None, volumes=False))
    assert [volume["name"] for volume in pod["volumes"]] == ["files"]


# --- where it goes ----------------------------------------------------------------------------------------------


def test_a_model_of_gpu_is_found_by_the_label_of_nodes() -> None:
    pod = _pod(_made(_order(gpus=1, gpu_model="a100", gpu_memory=50 * 2**30)))
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "nvidia.com/gpu.product", "operator": "In", "values": _LABELS[:2]},
        {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["51199"]},
    ]


def test_a_model_that_the_site_named_has_its_own_resource() -> None:
    pod = _pod(_made(_order(gpus=1, gpu_model="MI300"), **_FULL))
    assert pod["containers"][0]["resources"]["limits"]["amd.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"pool": "batch", "gpu": "mi300"}
    assert {"key": "amd", "operator": "Exists"} in pod["tolerations"]


def test_a_model_that_no_node_has_is_refused() -> None:
    with pytest.raises(RefusedError, match="no GPU 'b200'"):
        _made(_order(gpus=1, gpu_model="b200"))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"queue": "night"}, "queue"),
        ({"priority_class": "system-node-critical"}, "priority_class"),
        ({"node_selector": {"kubernetes.io/hostname": "n1"}}, "node_selector.kubernetes.io/hostname"),
    ],
)
def test_what_the_site_does_not_allow_is_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        _made(_order(), options)
    assert [item.field for item in caught.value.errors] == [f"placement.options.kubernetes.{field}"]


def test_what_the_site_allows_is_done() -> None:
    allowed: dict[str, Any] = {"queues": ["night"], "priority_classes": ["high"], "selectable": ["zone"]}
    made = _made(_order(), {"queue": "night", "priority_class": "high", "node_selector": {"zone": "b"}}, **allowed)
    job, pod = made.job(), _pod(made)
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "night"
    assert job["spec"]["suspend"] is True
    assert (pod["priorityClassName"], pod["nodeSelector"]) == ("high", {"zone": "b"})


@pytest.mark.parametrize("options", [{"queues": "x"}, {"node_selector": {"a b": "c"}}, {"queue": "Not A Label"}])
def test_options_that_are_none_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KubernetesOptions.model_validate(options)


# --- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("project", "namespace"),
    [
        ("physics", "lab-physics"),
        (None, "shunter"),
        ("Physics", "lab-physics-"),
        ("a" * 80, "lab-aaa"),
        ("../kube-system", "lab-kube-system-"),
        ("…", "lab-"),
    ],
)
def test_a_namespace_is_a_label_and_of_one_project(project: str | None, namespace: str) -> None:
    found = _names(project_namespaces="lab-{project}").namespace(project)
    assert found.startswith(namespace)
    assert len(found) <= 63
    assert found.replace("-", "").isalnum()
    assert found == found.lower().strip("-")


def test_projects_alike_have_different_namespaces() -> None:
    names = _names(project_namespaces="lab-{project}")
    assert len({names.namespace(project) for project in ("physics", "Physics", "PHYSICS", "phy sics")}) == 4


def test_a_backend_whose_name_cannot_be_a_label_is_told_apart() -> None:
    settings = KubernetesSettings()
    selectors = {
        Names(settings, EngineMeans(backend, "s0f1", Path("/nowhere"))).selector
        for backend in ("k8s", "k8s-", "k8s_", "-")
    }
    assert len(selectors) == 4
    assert all(selector.rpartition("=")[2][-1].isalnum() for selector in selectors)


def test_a_quota_needs_namespaces_of_ours() -> None:
    with pytest.raises(ValidationError, match="create_namespaces"):
        KubernetesSettings(quota={"requests.cpu": "1"})
