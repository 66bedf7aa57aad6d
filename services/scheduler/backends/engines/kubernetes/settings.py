"""What a site says of its Kubernetes cluster, and what a job may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

__all__ = ["Gpus", "KubernetesOptions", "KubernetesSettings", "Toleration"]

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Label = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
LabelKey = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
]
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Toleration(_Strict):
    """A taint that does not keep our pods away."""

    key: str | None = None
    """Every taint, if none."""
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Gpus(_Strict):
    """How the GPUs of one model are asked for."""

    resource: LabelKey = "nvidia.com/gpu"
    """What their device plugin calls them."""
    node_selector: dict[LabelKey, Label] = {}
    """The nodes that have them."""
    tolerations: list[Toleration] = []


class KubernetesOptions(_Strict):
    """`placement.options.kubernetes` of a job. What is not allowed by the site's settings is refused."""

    queue: DnsLabel | None = None
    """The local queue of Kueue."""
    priority_class: str | None = None
    node_selector: dict[LabelKey, Label] = {}


class KubernetesSettings(_Strict):
    """One cluster. All times in seconds."""

    kubeconfig: Path | None = None
    """Without one we are a pod of the cluster ourselves, and its service account is used."""
    context: str | None = None
    namespace: DnsLabel = "shunter"
    project_namespaces: str | None = Field(default=None, pattern=r"^[-a-z0-9]*\{project\}[-a-z0-9]*$")
    """Such as `lab-{project}`: each project has a namespace of its own; what is in no project goes to `namespace`."""
    create_namespaces: bool = False
    """Whether a namespace that is missing is made."""
    quota: dict[str, Quantity] = {}
    """What may be used at most in a namespace that we make, such as `requests.cpu: "64"`."""
    image: str = "docker.io/library/python:3.12-slim"
    """Of jobs that name none. Python 3.9 or newer is in it."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: list[str] = []
    image_patience: float = Field(default=60.0, ge=0)
    """For how long an image that cannot be pulled, or a container that cannot be made, is tried again."""
    pull: float = Field(default=900.0, ge=0)
    """What pulling an image may take on top of a job's walltime."""
    pilot: Literal["mount", "fetch"] = "mount"
    """Whether the pilot lies in a ConfigMap, or is fetched from the store by each job."""
    volumes: bool = True
    """Whether a job works in a volume of its own. Without one (and with the pilot fetched, and no folder asked for by
    the job) a pod has none and begins 0.3 s sooner: that is how long a kubelet waits before it looks a second time
    whether they are there. Then work is done in `/tmp` of the image, into which anybody may write."""
    gpu_resource: LabelKey = "nvidia.com/gpu"
    gpu_label: LabelKey = "nvidia.com/gpu.product"
    """The label of a node that says which model its GPUs are."""
    gpu_memory_label: LabelKey = "nvidia.com/gpu.memory"
    """The one that says how much memory each has, in MiB."""
    gpus: dict[str, Gpus] = {}
    """By model, where the label is not enough."""
    node_selector: dict[LabelKey, Label] = {}
    tolerations: list[Toleration] = []
    selectable: list[LabelKey] = []
    """The labels of nodes by which jobs may choose."""
    priority_class: str | None = None
    priority_classes: list[str] = []
    """Those that jobs may name besides."""
    queue: DnsLabel | None = None
    """The local queue of Kueue for jobs that name none."""
    queues: list[DnsLabel] = []
    """Those that jobs may name besides."""
    service_account: DnsLabel | None = None
    """Of the pods; its token is not in them."""
    runtime_class: str | None = None
    user: int = Field(default=65532, ge=1)
    group: int = Field(default=65532, ge=1)
    memory: int | None = Field(default=None, ge=1)
    """Bytes that a job gets that asks for no memory; none is no request and no limit."""
    scratch: Quantity | None = None
    """How much a job may write into its folders; without volumes, into its container."""
    grace: int = Field(default=30, ge=1)
    """Time for the last words of a pod that is ended."""
    lost_after: int = Field(default=120, ge=1)
    """Silence of a node after which what ran there is given up."""
    kept: int = Field(default=86_400, ge=0)
    """For how long the cluster keeps what has ended, if nobody removes it."""
    timeout: float = Field(default=15.0, gt=0)
    again: float = Field(default=2.0, gt=0)
    """The pause before everything is listed again after trouble; so often it is, too, where watching is not allowed."""
    page: int = Field(default=500, ge=1)
    """Objects that are listed in one request."""
    at_once: int = Field(default=16, ge=1)
    """Requests at the same time."""
    room_every: float = Field(default=5.0, gt=0)
    """For how long what was counted of the nodes is believed."""

    @model_validator(mode="after")
    def _quota_has_a_place(self) -> Self:
        if self.quota and not self.create_namespaces:
            raise ValueError("quota: only namespaces that we make get one; say create_namespaces: true")
        return self
