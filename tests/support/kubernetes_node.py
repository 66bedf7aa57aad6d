"""A node of a real Kubernetes cluster: a kubelet, and a container engine of its own."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from .docker_engine import Dockerd
from .docker_images import import_image, make_busybox_tar

__all__ = ["PAUSE", "KubernetesNode"]

PAUSE = "shunter-test/pause:1"
"""What holds the network of a pod, and does nothing else."""

_WAITS = 'ENTRYPOINT ["/bin/sh", "-c", "trap exit TERM; while :; do sleep 1000000 & wait; done"]'
_HIDDEN = ("/var/log/pods", "/var/log/containers", "/var/lib/kubelet/device-plugins")
"""Folders that a kubelet takes for its own, wherever it is told to work."""
_TUNED = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1", "vm/panic_on_oom": "0"}
"""What it sets of the kernel for the whole machine; ours reads and writes files instead."""


@dataclass
class KubernetesNode:
    """One node. Its kubelet can be killed and started again, and so can its engine."""

    name: str
    folder: Path
    kubelet: Path
    kubeconfig: Path
    ca: Path
    certificate: Path
    key: Path
    engine: Dockerd
    port: int
    health: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Return where pods reach this machine."""
        return self.engine.address

    @property
    def log(self) -> str:
        """Return what the kubelet has said so far."""
        return (self.folder / "kubelet.log").read_text(errors="replace")

    def prepare(self) -> None:
        """Make the image that every pod begins with."""
        with self.engine.client() as client:
            import_image(client, PAUSE, make_busybox_tar(), _WAITS)

    def start(self) -> None:
        """Start the kubelet."""
        (self.folder / "kubelet.yaml").write_text(yaml.safe_dump(self._config()))
        with (self.folder / "kubelet.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-euc", self._script(), "sh", *self._argv()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )

    def kill(self) -> None:
        """Kill the kubelet; its pods run on."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end; its pods run on."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _script(self) -> str:
        """Return what gives it folders and settings of the kernel of its own, and becomes it."""
        lines = []
        for place, path in enumerate(_HIDDEN):
            own = self.folder / "hidden" / str(place)
            own.mkdir(parents=True, exist_ok=True)
            Path(path).mkdir(parents=True, exist_ok=True)
            lines.append(f"mount --bind {own} {path}")
        for name, value in _TUNED.items():
            file = self.folder / "hidden" / name.replace("/", ".")
            file.write_text(f"{value}\n")
            lines.append(f"mount --bind {file} /proc/sys/{name}")
        return "\n".join([*lines, 'exec "$@"'])

    def _argv(self) -> list[str]:
        folder = self.folder
        words = [str(self.kubelet), f"--config={folder / 'kubelet.yaml'}", f"--kubeconfig={self.kubeconfig}"]
        words += [f"--hostname-override={self.name}", f"--root-dir={folder / 'kubelet'}", f"--cert-dir={folder}"]
        words += ["--container-runtime=docker", f"--docker-endpoint={self.engine.url}"]
        words += [f"--container-runtime-endpoint=unix://{folder / 'shim.sock'}"]
        words += [f"--experimental-dockershim-root-directory={folder / 'shim'}"]
        words += [f"--pod-infra-container-image={PAUSE}", "--image-pull-progress-deadline=5s"]
        return words

    def _config(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "127.0.0.1",
            "port": self.port,
            "readOnlyPort": 0,
            "healthzPort": self.health,
            "tlsCertFile": str(self.certificate),
            "tlsPrivateKeyFile": str(self.key),
            "authentication": {
                "x509": {"clientCAFile": str(self.ca)},
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
            },
            "authorization": {"mode": "AlwaysAllow"},
            # Containers are in the control group of the test's engine.
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "hairpinMode": "none",
            "clusterDNS": [self.address],
            "clusterDomain": "cluster.test",
            "volumePluginDir": str(self.folder / "plugins"),
            "nodeStatusUpdateFrequency": "2s",
            "nodeStatusReportFrequency": "2s",
            "nodeLeaseDurationSeconds": 4,
            "syncFrequency": "5s",
            "evictionHard": {"memory.available": "1Mi", "nodefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "maxPods": 110,
            "kubeAPIQPS": 100,
            "kubeAPIBurst": 200,
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
        }
