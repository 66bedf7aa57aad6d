"""The demo's training on real GPUs, where this machine has one and PyTorch; two jobs at once, and one without."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from .scene import Scene, check, title

__all__ = ["train_on_gpus"]

_SCRIPT = Path(__file__).parent / "train_gpu.py"
_WAIT = 300
"""Seconds: the first program on a GPU waits for CUDA and PyTorch to be read from the disk."""


def train_on_gpus(scene: Scene) -> None:
    """Show what a user of GPUs gets; where there is none, nothing is shown."""
    local = next(found for found in scene.get("/v1/backends")["items"] if found["backend"] == "local")
    if not local["gpus"]:
        return
    title(f"8. The training on a GPU: this machine has {local['gpus']}, {', '.join(local['gpu_models'])}")
    if not importlib.util.find_spec("torch"):
        print("   left out: PyTorch is not installed here")
        return
    (scene.folder / _SCRIPT.name).write_bytes(_SCRIPT.read_bytes())
    scene.shunter("files", "put", _SCRIPT.name, f"digits/{_SCRIPT.name}")
    jobs = [_submit(scene, f"gpu-{number}", "--gpus", "1") for number in (1, 2)]
    without = _submit(scene, "no-gpu")
    scene.shunter("wait", without, code=1)
    said = scene.get(f"/v1/jobs/{without}/logs?stream=stderr").decode()
    check("a job that asked for no GPU sees none", holds="CUDA_VISIBLE_DEVICES is ''" in said)
    for job in jobs:
        scene.shunter("wait", "--timeout", str(_WAIT), job)
    _judge(scene, jobs, local["gpu_models"])
    scene.shunter("usage", "--by", "gpu_model", user="admin")
    report = scene.ask("audit", "replay", user="admin")
    hours = report["live"]["total"]["gpu_hours"]
    check(f"{hours:.4f} hours of GPUs are in the books, and the replay is equal", holds=hours > 0 and report["equal"])


def _submit(scene: Scene, name: str, *more: str) -> str:
    asked = scene.ask(
        *("submit", "--name", name, "--walltime", "5m", *more),
        *("--input", "digits/digits.npz", "--input", f"digits/{_SCRIPT.name}"),
        *("--output", "model.pt", "--output", "metrics.json"),
        *("--", "python", _SCRIPT.name),
    )
    return str(asked["id"])


def _judge(scene: Scene, jobs: list[str], models: list[str]) -> None:
    metrics = [scene.get(f"/v1/jobs/{job}/files/outputs/metrics.json") for job in jobs]
    for job, told in zip(jobs, metrics, strict=True):
        found = scene.get(f"/v1/jobs/{job}")
        used, given = found["usage"], found["allocation"]
        check(
            f"it saw one GPU, {told['gpus'][0]}, by CUDA_VISIBLE_DEVICES={told['visible']}",
            holds=len(told["gpus"]) == 1
            and told["gpus"][0] in models
            and told["visible"] == ",".join(map(str, given["gpu_indices"])),
        )
        check(
            f"NVML: {used['gpu_seconds']:.1f} GPU seconds in {used['wall_seconds']:.1f} s, "
            f"{used['gpu_memory_peak'] / 2**20:.0f} MiB at the peak; {told['images_per_second']:,.0f} images/s, "
            f"accuracy {told['accuracy']:.1%}",
            holds=0 < used["gpu_seconds"] <= used["wall_seconds"] and used["gpu_memory_peak"] > 2**28,
        )
    first, second = sorted(metrics, key=lambda one: float(one["began"]))
    apart = first["visible"] != second["visible"] or first["ended"] <= second["began"]
    check("the two never had one GPU at the same time", holds=apart)
