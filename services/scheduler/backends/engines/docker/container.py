"""The container of one native job: what it is made of, and how little it may do."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from docker.types import ContainerConfig, DeviceRequest, HostConfig, LogConfig, Mount
from pydantic import ValidationError

from contracts.errors import InvalidError
from services.scheduler.backends.engines.base import EngineMeans, Order

from .labels import HOLDS, Share, labels_of, of_backend
from .settings import DockerOptions, DockerSettings, Gpu

__all__ = ["PILOT", "WORK", "Container"]

PILOT = "/shunter/pilot.pyz"
WORK = "/shunter/work"
"""Where runs are, on a volume that goes with the container."""
_TEMPORARY = "/tmp"  # noqa: S108 (the container's own)

_API = "1.41"
"""The version of the engine's API whose words are used; newer ones know them too."""

_LOG = {"max-size": "256k", "max-file": "1"}
"""Programs do not write there: only the pilot does, when it cannot tell us otherwise."""


@dataclass(frozen=True, slots=True)
class Container:
    """One native job in the words of the engine."""

    order: Order
    settings: DockerSettings
    means: EngineMeans
    share: Share

    @property
    def image(self) -> str:
        """Return its image."""
        image = self.order.image or self.settings.image
        if image is None:
            raise InvalidError.of("image", f"{self.means.backend!r} runs containers, and has no image for jobs without")
        return image

    def check(self) -> None:
        """Refuse what the job says about it, if that cannot be."""
        try:
            _ = self._options
        except ValidationError as error:
            wrong = error.errors()[0]
            field = ".".join(map(str, ("placement.options.docker", *wrong["loc"])))
            raise InvalidError.of(field, wrong["msg"]) from error

    @property
    def _options(self) -> DockerOptions:
        return DockerOptions.model_validate(dict(self.order.options))

    @property
    def places(self) -> dict[str, int]:
        """Return the folders that it may write to, with their modes."""
        return {WORK: 0o700, _TEMPORARY: 0o1777, **({self.order.files: 0o700} if self.order.files else {})}

    def holder(self) -> ContainerConfig:
        """Return one that is never started: its volumes are handed over to the user of the job before that begins.

        A fresh volume is root's, and one whose image cannot be written to takes nothing at its root.
        """
        labels = of_backend(self.means)
        volumes = [Mount(place, None, labels=labels) for place in self.places]
        return ContainerConfig(
            version=_API,
            image=self.image,
            command=["none"],
            labels={**labels, HOLDS: self.order.name},
            host_config=HostConfig(version=_API, mounts=volumes, network_mode=self.settings.network),
        )

    def archive(self) -> bytes:
        """Return what, unpacked at the root of the holder, makes its volumes the user's."""
        into = io.BytesIO()
        uid, gid = map(int, self.settings.user.split(":"))
        with tarfile.open(fileobj=into, mode="w") as archive:
            for place, mode in self.places.items():
                info = tarfile.TarInfo(place.strip("/"))
                info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, uid, gid
                archive.addfile(info)
        return into.getvalue()

    def config(self, holder: str) -> ContainerConfig:
        """Return the one that runs, with the volumes of *holder*."""
        launch = self.order.launch
        return ContainerConfig(
            version=_API,
            image=self.image,
            command=None,
            entrypoint=["/bin/sh", "-c", launch.script, "shunter-pilot"],
            environment=self._env(),
            user=self.settings.user,
            working_dir=WORK,
            labels=labels_of(self.means, self.order, self.share),
            stop_signal="SIGTERM",
            host_config=self._host(holder),
        )

    def _env(self) -> dict[str, str]:
        env = {**self.order.launch.env, "SHUNTER_PILOT_WORK": WORK, "HOME": WORK, "TMPDIR": _TEMPORARY}
        if self.settings.pilot == "mount":
            env["SHUNTER_PILOT_FILE"] = PILOT
        if self.order.files:
            env["SHUNTER_PILOT_FILES"] = self.order.files
        # An image may ask for all GPUs by this variable; only those that were asked for by us are for it.
        env["NVIDIA_VISIBLE_DEVICES"] = ",".join(gpu.id for gpu in self._gpus if not gpu.devices) or "void"
        if self._gpus:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(len(self._gpus))))
        return env

    def _host(self, holder: str) -> HostConfig:
        settings = self.settings
        return HostConfig(
            version=_API,
            mounts=self._mounts(),
            volumes_from=[holder],
            network_mode=settings.network,
            extra_hosts=settings.hosts or None,
            restart_policy={"Name": "no"},
            read_only=settings.read_only,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            group_add=settings.groups or None,
            nano_cpus=round(self.share.cpus * 1e9),
            # The same for memory and swap together: none of it is swap.
            mem_limit=self.share.memory or None,
            memswap_limit=self.share.memory or None,
            pids_limit=settings.pids,
            shm_size=self._options.shm and int(self._options.shm),
            devices=[device for gpu in self._gpus for device in gpu.devices] or None,
            device_requests=self._requests(),
            log_config=LogConfig(type="json-file", config=_LOG),
        )

    def _mounts(self) -> list[Mount]:
        file = str(self.order.launch.file.resolve())
        return [Mount(PILOT, file, type="bind", read_only=True)] if self.settings.pilot == "mount" else []

    @property
    def _gpus(self) -> Sequence[Gpu]:
        return [gpu for gpu in self.settings.gpus if gpu.id in self.share.gpus]

    def _requests(self) -> list[Mapping[str, object]] | None:
        ids = [gpu.id for gpu in self._gpus if not gpu.devices]
        return [DeviceRequest(driver="nvidia", device_ids=ids, capabilities=[["gpu"]])] if ids else None
