"""The container of one native job: what it is made of, and how little it may do."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from docker.types import ContainerConfig, DeviceRequest, HostConfig, LogConfig, Mount
from docker.utils import parse_devices
from pydantic import ValidationError

from contracts.errors import InvalidError
from services.scheduler.backends.engines.base import EngineMeans, Order
from services.scheduler.containers.bounds import API, bounds

from .labels import GPUS, RUNS, STAGE, labels_of, of_backend
from .room import Wants
from .settings import DockerOptions, DockerSettings

__all__ = ["PILOT", "WORK", "handing_over", "image_of", "running", "waiting"]

PILOT = "/shunter/pilot.pyz"
WORK = "/shunter/work"
"""Where runs are, on a volume that goes with the container."""
_TEMPORARY = "/tmp"  # noqa: S108 (the container's own)

_LOG = {"max-size": "256k", "max-file": "1"}
"""Programs do not write there: only the pilot does, when it cannot tell us otherwise."""


def image_of(order: Order, settings: DockerSettings) -> str:
    """Return the image of a native job."""
    image = order.image or settings.image
    if image is None:
        raise InvalidError.of("image", "this backend runs containers, and has no image for jobs that name none")
    return image


def waiting(order: Order, wants: Wants, settings: DockerSettings, means: EngineMeans) -> ContainerConfig:
    """Return the container that waits: never started itself, it holds everything that the one that runs will have.

    A fresh volume is root's. This one's root can be written to, so that its volumes can be handed over before.
    """
    return ContainerConfig(
        version=API,
        image=image_of(order, settings),
        command=None,
        entrypoint=["/bin/sh", "-c", order.launch.script, "shunter-pilot"],
        environment=_env(order, wants, settings),
        user=settings.user,
        working_dir=WORK,
        labels=labels_of(means, order, wants),
        stop_signal="SIGTERM",
        host_config=_host(order, wants, settings, means),
    )


def running(waits: Mapping[str, Any], gpus: Sequence[str], settings: DockerSettings) -> dict[str, Any]:
    """Return the one that runs, after the one that *waits*, as the engine shows it, with these GPUs."""
    config, host = dict(waits["Config"]), dict(waits["HostConfig"])
    has = [gpu for gpu in settings.gpus if gpu.id in gpus]
    requested = [gpu.id for gpu in has if not gpu.devices]
    nvidia = DeviceRequest(driver="nvidia", device_ids=requested, capabilities=[["gpu"]])
    host["Mounts"] = [mount for mount in host.get("Mounts") or [] if mount["Type"] == "bind"]
    host["VolumesFrom"] = [waits["Id"]]
    host["ReadonlyRootfs"] = settings.read_only
    host["Devices"] = parse_devices([device for gpu in has for device in gpu.devices])
    host["DeviceRequests"] = [nvidia] if requested else None
    config["Labels"] = {**config["Labels"], STAGE: RUNS, GPUS: " ".join(gpus)}
    config["Env"] = [*config["Env"], f"NVIDIA_VISIBLE_DEVICES={','.join(requested) or 'void'}"]
    config.pop("Hostname", None)
    return {**config, "HostConfig": host}


def handing_over(waits: Mapping[str, Any], settings: DockerSettings) -> bytes:
    """Return an archive that, unpacked at the root of what *waits*, makes its volumes those of the job's user."""
    into = io.BytesIO()
    uid, gid = map(int, settings.user.split(":"))
    with tarfile.open(fileobj=into, mode="w") as archive:
        for mount in waits["HostConfig"].get("Mounts") or []:
            if mount["Type"] == "volume":
                info = tarfile.TarInfo(mount["Target"].strip("/"))
                info.type, info.mode = tarfile.DIRTYPE, 0o1777 if mount["Target"] == _TEMPORARY else 0o700
                info.uid, info.gid = uid, gid
                archive.addfile(info)
    return into.getvalue()


def _env(order: Order, wants: Wants, settings: DockerSettings) -> dict[str, str]:
    env = {**order.launch.env, "SHUNTER_PILOT_WORK": WORK, "HOME": WORK, "TMPDIR": _TEMPORARY}
    if settings.pilot == "mount":
        env["SHUNTER_PILOT_FILE"] = PILOT
    if order.files:
        env["SHUNTER_PILOT_FILES"] = order.files
    if wants.gpus:
        # In a container that has only some of the machine's, they are counted from nought.
        env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(wants.gpus)))
    return env


def _host(order: Order, wants: Wants, settings: DockerSettings, means: EngineMeans) -> HostConfig:
    options = _options(order)
    return HostConfig(
        **bounds(cpus=wants.cpus, memory=wants.memory, pids=settings.pids),
        mounts=_mounts(order, settings, means),
        network_mode=settings.network,
        extra_hosts=settings.hosts or None,
        group_add=settings.groups or None,
        shm_size=options.shm and int(options.shm),
        log_config=LogConfig(type="json-file", config=_LOG),
    )


def _mounts(order: Order, settings: DockerSettings, means: EngineMeans) -> list[Mount]:
    places = dict.fromkeys((WORK, _TEMPORARY, *([order.files] if order.files else [])))
    mounts = [Mount(place, None, labels=of_backend(means)) for place in places]
    if settings.pilot == "mount":
        mounts.append(Mount(PILOT, str(order.launch.file.resolve()), type="bind", read_only=True))
    return mounts


def _options(order: Order) -> DockerOptions:
    try:
        return DockerOptions.model_validate(dict(order.options))
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(map(str, ("placement.options.docker", *wrong["loc"])))
        raise InvalidError.of(field, wrong["msg"]) from error
