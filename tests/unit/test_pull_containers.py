"""What the container of a run is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.holdings import Allocation
from contracts.spec import Output
from services.scheduler.runner.containers.spec import config_of, read_only
from services.scheduler.runner.journal import RunFolder
from services.scheduler.runner.settings import ContainerSection


@pytest.mark.parametrize(
    ("inputs", "outputs", "shown"),
    [
        (["data/a", "data/deep/b", "config/c"], ["model"], ["config", "data"]),
        (["numbers.txt", "sorted/before.txt"], ["sorted/all.txt", "numbers.csv"], ["numbers.txt", "sorted/before.txt"]),
        (["run/in/a", "run/in/b", "run/x"], ["run/out/*.pt"], ["run/in", "run/x"]),
        (["data/a"], ["**/*.txt"], ["data/a"]),
        (["data/a"], ["data"], ["data/a"]),
        ([], ["out"], []),
    ],
    ids=["folders", "beside-outputs", "below", "anywhere", "overwritten", "none"],
)
def test_inputs_can_only_be_read_and_outputs_can_be_written(
    inputs: list[str], outputs: list[str], shown: list[str]
) -> None:
    assert read_only(inputs, [Output(path=path) for path in outputs]) == shown


def test_a_container_has_its_bounds_and_its_gpus_and_nothing_else(tmp_path: Path) -> None:
    room = Allocation(backend="pull", cpus=1.5, memory=2**30, gpus=2, gpu_indices=[1, 3])
    config = config_of(
        image="lab/train:1",
        folder=RunFolder(tmp_path / "job-1.1"),
        words=["python", "train.py"],
        env={"SEED": "7"},
        place="/files",
        shown=["data"],
        allocation=room,
        user="1000:1000",
        worker="/w",
        section=ContainerSection(url="unix:///run/engine.sock", network="lab"),
    )
    host = config["HostConfig"]
    assert (config["User"], config["Cmd"], config["WorkingDir"]) == ("1000:1000", ["python", "train.py"], "/files")
    assert not host.get("Privileged")
    assert (host["CapDrop"], host["SecurityOpt"], host["ReadonlyRootfs"]) == (["ALL"], ["no-new-privileges"], True)
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (1_500_000_000, 2**30, 2**30)
    assert (host["NetworkMode"], host["PidsLimit"]) == ("lab", 4096)
    assert [(mount["Target"], mount["ReadOnly"]) for mount in host["Mounts"]] == [
        *(("/files", False), ("/tmp", False), ("/files/data", True))
    ]
    assert host["DeviceRequests"][0]["DeviceIDs"] == ["1", "3"]
    assert {"CUDA_VISIBLE_DEVICES=0,1", "NVIDIA_VISIBLE_DEVICES=1,3", "SEED=7"} <= set(config["Env"])
