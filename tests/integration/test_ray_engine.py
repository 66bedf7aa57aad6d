"""The engine of Ray on a real cluster: a head, and a second node with declared GPUs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from contracts.errors import InvalidError, RefusedError, UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.base import Native, NativeState
from tests.support.ray_cluster import RayCluster
from tests.support.ray_jobs import RaySite, order, ray_site

_SECRET = 'it\'s "quoted" $HOME `no`\nand long'
_TELL = 'printf "%s\\n" "$CUDA_VISIBLE_DEVICES" "$SECRET" "$RAY_JOB_CONFIG_JSON_ENV_VAR" "$GREETING" > "$TO"'


@pytest_asyncio.fixture
async def ray(ray_cluster: RayCluster, tmp_path: Path) -> AsyncIterator[RaySite]:
    async with ray_site(ray_cluster, tmp_path) as found:
        yield found


async def test_jobs_get_what_they_ask_for_and_end_as_they_ended(ray: RaySite, tmp_path: Path) -> None:
    names = {word: ray.name(word) for word in ("gpu", "again", "three", "killed", "half", "huge", "missing")}
    greeting = {"env_vars": {"GREETING": "hello"}}
    a100 = {"gpus": 1, "gpu_model": "a100"}
    huge = order(names["huge"], "true", gpus=50)
    count = order(names["again"], f"echo once >> {tmp_path / 'count'}")
    started = await ray.engine.start(
        [
            huge,
            order(
                names["gpu"],
                _TELL,
                {"SECRET": _SECRET, "TO": str(tmp_path / "gpu")},
                **a100,
                options={"runtime_env": greeting},
            ),
            count,
            count,
            order(names["three"], "echo some words; exit 3"),
            order(names["killed"], "kill -9 $$"),
            order(
                names["half"],
                _TELL,
                {"TO": str(tmp_path / "half")},
                gpus=1,
                cpus=0.5,
                memory=2**27,
                options={"gpu_fraction": 0.5},
            ),
            order(
                names["missing"],
                "true",
                options={"runtime_env": {"working_dir": "gcs://_ray_pkg_0123456789abcdef.zip"}},
            ),
            order(ray.name("model"), "true", gpus=1, gpu_model="H200"),
            order(ray.name("odd"), "true", options={"gpu_fraction": 0.5}),
            order(ray.name("image"), "true", image="debian"),
        ]
    )
    assert [type(one.error) for one in started] == [type(None)] * 8 + [RefusedError, InvalidError, RefusedError]
    assert {one.native_id for one in started[:8]} == set(names.values())
    seen = await ray.ended(set(names.values()) - {names["huge"]})

    told = (tmp_path / "gpu").read_text()
    devices, rest = told.split("\n", 1)
    assert devices in {"0", "1", "2", "3"}
    assert rest.startswith(_SECRET + "\n")
    assert rest.endswith("\nhello\n")
    assert json.loads(rest.removeprefix(_SECRET).split("\n")[1])["metadata"]["shunter"] == ""
    assert (tmp_path / "count").read_text() == "once\n"
    assert (tmp_path / "half").read_text().split("\n")[0] in {"0", "1"}

    ends = {word: (seen[name].exit_code, seen[name].ending) for word, name in names.items() if word != "huge"}
    assert ends == {
        "gpu": (0, None),
        "again": (0, None),
        "three": (3, None),
        "killed": (137, None),
        "half": (0, None),
        "missing": (None, Reason.REFUSED),
    }
    assert seen[names["gpu"]].node.endswith(".3")
    assert "some words" in seen[names["three"]].reason
    assert seen[names["huge"]].state is NativeState.WAITING
    assert seen[names["huge"]].reason == "no node is large enough: CPU 1, the most 4; GPU 50, the most 4"
    await ray.clear()
    assert not await ray.engine.look([])


async def test_a_secret_is_in_no_log_of_ray(ray: RaySite, ray_cluster: RayCluster) -> None:
    name = ray.name()
    await ray.engine.start([order(name, "echo end", {"WORD": "quite-secret"})])
    await ray.ended([name])
    logs = _read_all(Path(ray_cluster.folder, "r"))
    assert any(b"\nend\n" in log for log in logs)
    assert not any(b"quite-secret" in log for log in logs)


def _read_all(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.rglob("*") if file.is_file()]


async def test_what_is_stopped_says_its_last_words_and_what_waits_leaves_the_queue(
    ray: RaySite, tmp_path: Path
) -> None:
    runs, waits, ended = ray.name("runs"), ray.name("waits"), ray.name("ended")
    script = f"trap 'sleep 1; echo last > {tmp_path / 'words'}; exit 9' TERM; touch {tmp_path / 'up'}; sleep 100 & wait"
    await ray.engine.start(
        [order(runs, script), order(waits, "true", cpus=3, options={"resources": {"none": 1}}), order(ended, "true")]
    )
    await ray.until(lambda _: (tmp_path / "up").exists())
    await ray.ended([ended])
    natives = [Native(name, name) for name in (runs, waits, ended, ray.name("gone"))]
    await ray.engine.stop(natives)
    await ray.engine.stop(natives)
    seen = await ray.ended([runs, waits])
    assert (tmp_path / "words").read_text() == "last\n"
    assert seen[runs].ending is Reason.CANCELED
    assert seen[ended].ending is None
    await ray.engine.remove(natives)
    assert not await ray.engine.look([])


async def test_a_package_is_importable(ray: RaySite, ray_cluster: RayCluster, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("greeting.py", "words = 'from afar'")
    headers = {"Authorization": f"Bearer {ray_cluster.token}"}
    async with httpx.AsyncClient(base_url=ray_cluster.url, headers=headers) as http:
        (await http.put("/api/packages/gcs/_ray_pkg_feedbeef.zip", content=packed.getvalue())).raise_for_status()
    name = ray.name()
    script = f"python -c 'import greeting; print(greeting.words)' > {tmp_path / 'words'}"
    options = {"runtime_env": {"working_dir": "gcs://_ray_pkg_feedbeef.zip"}, "labels": {"gpu-type": "in(A100, H100)"}}
    await ray.engine.start([order(name, script, options=options)])
    seen = await ray.ended([name])
    assert seen[name].exit_code == 0, seen[name]
    assert seen[name].node.endswith(".3")
    assert (tmp_path / "words").read_text() == "from afar\n"


async def test_the_room_is_that_of_the_nodes(ray: RaySite) -> None:
    capacity = await ray.engine.capacity()
    assert (capacity.cpus, capacity.gpus, capacity.largest_cpus, capacity.largest_gpus) == (8, 6, 4, 4)
    assert capacity.gpu_models == ("A100",)
    assert 0 < capacity.largest_memory < capacity.memory
    assert capacity.memory_free <= capacity.memory


async def test_a_wrong_token_is_said(ray_cluster: RayCluster, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong")
    async with ray_site(ray_cluster, tmp_path, token_file=ray_cluster.token_file) as right:
        right.engine.settings.token_file = tmp_path / "token"
    with pytest.raises(UnavailableError, match=r"token_file"):
        async with ray_site(ray_cluster, tmp_path, token_file=str(tmp_path / "token")) as ray:
            await ray.engine.look([])
