"""The nodes of a simulated cluster: each pod's command really runs, as a process group of this machine."""

from __future__ import annotations

import asyncio
import os
import signal
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

import psutil

from services.scheduler.backends.engines.kubernetes.records import quantity

from .store import Obj, Store

__all__ = ["Kubelet"]

_LOOK: Final = 0.02
_TAIL: Final = 2048


class Kubelet:
    """Runs the pods of all nodes that are alive. What a container sees under a mount's path is a folder of ours."""

    def __init__(self, store: Store, folder: Path, images: set[str]) -> None:
        self._store = store
        self._folder = folder
        self._images = images
        self.dead: set[str] = set()
        """Nodes that do nothing any more and say nothing."""
        self.to_kill: dict[str, str] = {}
        """What is to happen to a pod, by its uid: the reason that its container ends with."""
        self._running: dict[str, asyncio.Task[None]] = {}
        self._begun: set[str] = set()

    def step(self) -> None:
        """Begin what was placed, and let go of what never ran."""
        for pod in self._store.of("pods"):
            uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName", "")
            running = self._running.get(uid)
            if node in self.dead or (running and not running.done()):
                continue
            if pod["metadata"].get("deletionTimestamp"):
                self._release(pod)
            elif node and pod["status"]["phase"] == "Pending" and self._is_ready(pod):
                self._running[uid] = asyncio.create_task(self._run(pod))

    async def close(self) -> None:
        """End every process."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _is_ready(self, pod: Obj) -> bool:
        """Say whether its container can be made; what keeps it is told in its status."""
        container = pod["spec"]["containers"][0]
        image = container["image"]
        if " " in image or image != image.lower():
            return self._wait(pod, "InvalidImageName", f'Failed to apply default image tag "{image}"')
        if image not in self._images:
            again = pod["metadata"]["uid"] in self._begun
            self._begun.add(pod["metadata"]["uid"])
            word = "ImagePullBackOff" if again else "ErrImagePull"
            return self._wait(pod, word, f'failed to pull image "{image}": not found')
        namespace = pod["metadata"]["namespace"]
        for source in container.get("envFrom", []):
            name = source["secretRef"]["name"]
            if self._store.get("secrets", namespace, name) is None:
                return self._wait(pod, "CreateContainerConfigError", f'secret "{name}" not found')
        for volume in pod["spec"].get("volumes", []):
            name = volume.get("secret", {}).get("secretName")
            if name and self._store.get("secrets", namespace, name) is None:
                return self._wait(pod, "ContainerCreating", "")
            name = volume.get("configMap", {}).get("name")
            if name and self._store.get("configmaps", namespace, name) is None:
                return self._wait(pod, "ContainerCreating", "")
        return True

    def _wait(self, pod: Obj, reason: str, message: str) -> bool:
        waiting = [_status(pod, {"waiting": {"reason": reason, "message": message}})]
        if pod["status"].get("containerStatuses") != waiting:
            pod["status"]["containerStatuses"] = waiting
            self._store.touch("pods", pod)
        return False

    async def _run(self, pod: Obj) -> None:
        uid = pod["metadata"]["uid"]
        output = self._folder / uid / "output"
        process = await self._spawn(pod, output)
        pod["status"] |= {"phase": "Running", "containerStatuses": [_status(pod, {"running": {}})]}
        self._store.touch("pods", pod)
        try:
            reason = await self._attend(pod, process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if pod["spec"]["nodeName"] in self.dead:
            return
        self._end(pod, process.returncode or 0, reason, output)
        if pod["metadata"].get("deletionTimestamp"):
            self._release(pod)

    async def _attend(self, pod: Obj, process: asyncio.subprocess.Process) -> str:
        """Wait until its process has ended, and say what the node did about it if anything."""
        begun, told = monotonic(), 0.0
        ended = asyncio.create_task(process.wait())
        limit = quantity(pod["spec"]["containers"][0]["resources"].get("limits", {}).get("memory", "0"))
        while not ended.done():
            await asyncio.wait([ended], timeout=_LOOK)
            deadline = pod["spec"].get("activeDeadlineSeconds")
            if pod["spec"]["nodeName"] in self.dead:
                return "dead"
            if reason := self.to_kill.pop(pod["metadata"]["uid"], ""):
                return reason
            if limit and _memory(process.pid) > limit:
                return "OOMKilled"
            if deadline and monotonic() - begun > deadline:
                return "DeadlineExceeded"
            if pod["metadata"].get("deletionTimestamp") and not told:
                told = monotonic()
                with suppress(ProcessLookupError):
                    process.terminate()
            if told and monotonic() - told > pod["spec"].get("terminationGracePeriodSeconds", 30):
                return ""
        return ""

    async def _spawn(self, pod: Obj, output: Path) -> asyncio.subprocess.Process:
        container = pod["spec"]["containers"][0]
        places = self._mount(pod, container)
        environment = {"PATH": os.environ["PATH"]}
        for source in container.get("envFrom", []):
            secret = self._store.get("secrets", pod["metadata"]["namespace"], source["secretRef"]["name"])
            assert secret is not None
            environment |= {key: b64decode(value).decode() for key, value in secret["data"].items()}
        environment |= _given(pod, container)
        command = [_placed(word, places) for word in container["command"]]
        with output.open("wb") as file:
            return await asyncio.create_subprocess_exec(
                *command,
                env={key: _placed(value, places) for key, value in environment.items()},
                cwd=_placed(container["workingDir"], places),
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def _mount(self, pod: Obj, container: Obj) -> dict[str, str]:
        """Make the folders of a pod's mounts, and return where they are by the path that the container has for them."""
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        places = {}
        for mount in container.get("volumeMounts", []):
            folder = self._folder / pod["metadata"]["uid"] / "volumes" / mount["name"]
            folder.mkdir(parents=True, exist_ok=True)
            inside = mount.get("subPathExpr", "")
            for name, value in _given(pod, container).items():
                inside = inside.replace(f"$({name})", value)
            places[mount["mountPath"]] = str(folder / inside)
            for name, content in self._files(pod, volumes[mount["name"]], inside).items():
                (folder / name).write_bytes(b64decode(content))
        return places

    def _files(self, pod: Obj, volume: Obj, inside: str) -> dict[str, str]:
        """Return what lies in a volume, or the one file of it that is mounted."""
        namespace, files = pod["metadata"]["namespace"], dict[str, str]()
        for kind, plural, name, held in (
            ("configMap", "configmaps", "name", "binaryData"),
            ("secret", "secrets", "secretName", "data"),
        ):
            if source := volume.get(kind):
                found = self._store.get(plural, namespace, source[name])
                assert found is not None
                files |= found[held]
        return {name: content for name, content in files.items() if inside in {"", name}}

    def _end(self, pod: Obj, code: int, reason: str, output: Path) -> None:
        status = pod["status"]
        code = 137 if reason == "OOMKilled" else code if code >= 0 else 128 - code
        failed = bool(code or reason)
        end = {
            "exitCode": code,
            "reason": reason if reason == "OOMKilled" else "Error" if failed else "Completed",
            "message": output.read_bytes()[-_TAIL:].decode(errors="replace") if failed else "",
        }
        status |= {
            "phase": "Failed" if failed else "Succeeded",
            "containerStatuses": [_status(pod, {"terminated": end})],
        }
        if reason == "DeadlineExceeded":
            status |= {"reason": reason, "message": "Pod was active on the node longer than the specified deadline"}
        elif reason == "Evicted":
            status |= {"reason": reason, "message": "The node was low on resource: memory."}
        self._store.touch("pods", pod)

    def _release(self, pod: Obj) -> None:
        """Tell the cluster that nothing of a pod runs here; then it goes."""
        if pod["status"]["phase"] not in {"Succeeded", "Failed"}:
            pod["status"]["phase"] = "Failed"
            self._store.touch("pods", pod)
        finalizers = pod["metadata"].get("finalizers", [])
        if "sim/node" in finalizers:
            pod["metadata"]["finalizers"] = [item for item in finalizers if item != "sim/node"]
            self._store.touch("pods", pod)


def _given(pod: Obj, container: Obj) -> dict[str, str]:
    """Return the environment that a container says itself, with what it takes from its pod's annotations."""
    given = {}
    for item in container.get("env", []):
        path = item.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
        key = path.removeprefix("metadata.annotations['").removesuffix("']")
        given[item["name"]] = pod["metadata"]["annotations"][key] if path else item["value"]
    return given


def _status(pod: Obj, state: Obj) -> Obj:
    container = pod["spec"]["containers"][0]
    return {"name": container["name"], "image": container["image"], "state": state}


def _placed(text: str, places: dict[str, str]) -> str:
    for path, folder in places.items():
        text = text.replace(path, folder)
    return text


def _memory(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])
    except psutil.Error:
        return 0
