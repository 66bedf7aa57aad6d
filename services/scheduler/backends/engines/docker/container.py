"""The container of one native job: what it is made of, and how little it may do."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from docker.types import ContainerConfig, DeviceRequest, HostConfig, LogConfig, Mount

from contracts.errors import InvalidError
from services.scheduler.backends.engines.base import EngineMeans, Order

from .labels import Share, labels_of, of_backend
from .settings import DockerOptions, DockerSettings, Gpu

__all__ = ["PILOT", "WORK", "Container", "Places"]

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

    @property
    def places(self) -> Places:
        """Return the folders that it may write to."""
        uid, gid = map(int, self.settings.user.split(":"))
        return Places((WORK, _TEMPORARY, *([self.order.files] if self.order.files else [])), uid, gid)

    def config(self) -> ContainerConfig:
        """Return what the engine is to make."""
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
            host_config=self._host(),
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

    def _host(self) -> HostConfig:
        settings = self.settings
        options = DockerOptions.model_validate(dict(self.order.options))
        return HostConfig(
            version=_API,
            mounts=self._mounts(),
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
            shm_size=options.shm and int(options.shm),
            devices=[device for gpu in self._gpus for device in gpu.devices] or None,
            device_requests=self._requests(),
            log_config=LogConfig(type="json-file", config=_LOG),
        )

    def _mounts(self) -> list[Mount]:
        volumes = [Mount(place, None, labels=of_backend(self.means)) for place in self.places.paths]
        if self.settings.pilot == "mount":
            file = str(self.order.launch.file.resolve())
            volumes.append(Mount(PILOT, file, type="bind", read_only=True))
        return volumes

    @property
    def _gpus(self) -> Sequence[Gpu]:
        return [gpu for gpu in self.settings.gpus if gpu.id in self.share.gpus]

    def _requests(self) -> list[Mapping[str, object]] | None:
        ids = [gpu.id for gpu in self._gpus if not gpu.devices]
        return [DeviceRequest(driver="nvidia", device_ids=ids, capabilities=[["gpu"]])] if ids else None


@dataclass(frozen=True, slots=True)
class Places:
    """Folders that the user of the container may write to. A fresh volume is root's: it has to be handed over."""

    paths: tuple[str, ...]
    uid: int
    gid: int

    def archive(self, path: str) -> bytes:
        """Return what makes the volume at *path* the user's, when it is unpacked there."""
        into = io.BytesIO()
        with tarfile.open(fileobj=into, mode="w") as archive:
            info = tarfile.TarInfo("./")
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if path == _TEMPORARY else 0o700
            info.uid, info.gid = self.uid, self.gid
            archive.addfile(info)
        return into.getvalue()
