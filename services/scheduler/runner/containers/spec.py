"""What a run in an image is made of: one container, which sees the run's folder and little else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from docker.types import ContainerConfig, DeviceRequest, HostConfig, LogConfig, Mount

from contracts.holdings import Allocation
from contracts.model import Model
from contracts.spec import Output
from services.scheduler.containers.bounds import API, bounds
from services.scheduler.runner.census import KEEPER
from services.scheduler.runner.journal import RunFolder
from services.scheduler.runner.settings import ContainerSection

__all__ = ["PLACE", "RUN", "WORKER", "Boxed", "config_of", "name_of", "read_only"]

PLACE = "/files"
"""Where a program finds its working folder that does not say where it expects it."""
SCRIPT = "/shunter/script"
WORKER, RUN = "shunter.worker", "shunter.run"
"""Labels: the folder of whose runs it is one, and which one."""

_INSIDE = f"""
trap : HUP INT QUIT USR1 USR2 ALRM TERM
unset {KEEPER}
exec 3>&2 2>/dev/null
("$@" 2>&3 3>&-)
exit $?
"""
"""The first process of the container. The kernel keeps from such a one the signals that it does not wait for: the
program is a child of it, and hears them. What this shell says of its death is not the program's to say."""

_GLOB = frozenset("*?[")
_LEAST_CPUS = 0.01


class Boxed(Model):
    """What the process that looks after a container has to know; it lies in the run's folder."""

    url: str
    timeout: float
    name: str
    config: dict[str, Any]


def name_of(folder: RunFolder) -> str:
    """Return the name of a run's container."""
    return f"shunter-{folder.name.replace('/', '-')}"


def config_of(
    *,
    image: str,
    folder: RunFolder,
    words: Sequence[str] | None,
    env: Mapping[str, str],
    place: str,
    shown: Sequence[str],
    allocation: Allocation,
    user: str,
    worker: str,
    section: ContainerSection,
) -> ContainerConfig:
    """Return the container of a run: without *words* it runs the script in its folder; *shown* can only be read."""
    # In a container that has only some of the machine's GPUs, they are counted from nought.
    gpus = [str(index) for index in allocation.gpu_indices]
    seen = {"NVIDIA_VISIBLE_DEVICES": ",".join(gpus) or "void"}
    if gpus:
        seen["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(len(gpus))))
    host = HostConfig(
        **bounds(cpus=max(allocation.cpus, _LEAST_CPUS), memory=allocation.memory, pids=section.processes),
        mounts=list(_mounts(folder, place, shown, script=words is None)),
        network_mode=section.network,
        read_only=section.read_only,
        # What is printed goes where any other run's goes.
        log_config=LogConfig(type="none"),
        device_requests=[DeviceRequest(driver="nvidia", device_ids=gpus, capabilities=[["gpu"]])] if gpus else None,
    )
    return ContainerConfig(
        version=API,
        image=image,
        command=list(words) if words is not None else _script(folder),
        entrypoint=["/bin/sh", "-c", _INSIDE, "shunter-box"],
        environment={"HOME": place, **env, "TMPDIR": "/tmp", "SHUNTER_FILES": place, **seen, KEEPER: "1"},  # noqa: S108
        user=user,
        working_dir=place,
        labels={WORKER: worker, RUN: folder.name},
        stop_signal="SIGTERM",
        host_config=host,
    )


def _script(folder: RunFolder) -> list[str]:
    return [SCRIPT] if folder.script.read_text().startswith("#!") else ["/bin/sh", SCRIPT]


def _mounts(folder: RunFolder, place: str, shown: Sequence[str], *, script: bool) -> Iterator[Mount]:
    yield Mount(place, str(folder.work), type="bind")
    yield Mount("/tmp", str(folder.temporary), type="bind")  # noqa: S108 (the container's own)
    if script:
        yield Mount(SCRIPT, str(folder.script), type="bind", read_only=True)
    for path in shown:
        yield Mount(f"{place}/{path}", str(folder.work / path), type="bind", read_only=True)


def read_only(inputs: Sequence[str], outputs: Sequence[Output]) -> list[str]:
    """Return what of a working folder cannot be written to: all inputs, as few paths as that takes.

    A folder that holds inputs, and in which nothing is to be left behind, is one as a whole.
    """
    kept = [_fixed(output.path) for output in outputs]
    found: dict[PurePosixPath, None] = {}
    for target in inputs:
        path = PurePosixPath(target)
        folders = [above for above in reversed(path.parents) if above != PurePosixPath()]
        found[next((above for above in folders if not any(_meet(above, one) for one in kept)), path)] = None
    return sorted(map(str, found))


def _fixed(pattern: str) -> PurePosixPath:
    """Return the folder in which everything lies that a pattern finds, or the one path that it names."""
    parts = PurePosixPath(pattern).parts
    return PurePosixPath(*parts[: next((n for n, part in enumerate(parts) if _GLOB & set(part)), len(parts))])


def _meet(one: PurePosixPath, other: PurePosixPath) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
