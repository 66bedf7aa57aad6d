"""Shows the main job of Shunter on real input, by the command line and the REST API alone; `make demo`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import httpx
import psutil

from deploy.local.servers import StartError

from .digits import packed_digits
from .gpus import train_on_gpus
from .scene import DemoError, Scene, check, open_scene, sha256_of, title

__all__ = ["main"]

_HERE = Path(__file__).parent
_FOLDER = Path(".demo")
_EPOCHS = "20"
_MARK = "DEMO_TREE"


def _upload(scene: Scene) -> None:
    title("2. A data set and a training script are uploaded, with a progress bar and checksums")
    (scene.folder / "digits.npz").write_bytes(packed_digits())
    (scene.folder / "train.py").write_bytes((_HERE / "train.py").read_bytes())
    for name in ("digits.npz", "train.py"):
        scene.shunter("files", "put", name, f"digits/{name}")
    scene.shunter("files", "ls", "digits")
    kept = {item["path"]: item["sha256"] for item in scene.get("/v1/files?prefix=digits/")["items"]}
    for name in ("digits.npz", "train.py"):
        check(f"the store has {name} with our sha256", holds=kept[f"digits/{name}"] == sha256_of(scene.folder / name))


def _train(scene: Scene) -> str:
    title("3. A training job: inputs from S3, a real model, the log live, model and log brought home")
    job_id: str = scene.ask(
        *("submit", "--name", "train-digits", "--walltime", "5m", "--memory", "1GiB"),
        *("--input", "digits/digits.npz", "--input", "digits/train.py", "--env", "OMP_NUM_THREADS=1"),
        *("--output", "model.joblib", "--output", "metrics.json"),
        *("--", "python", "train.py", "--epochs", _EPOCHS),
    )["id"]
    scene.shunter("logs", "--follow", job_id)
    scene.shunter("wait", job_id)
    said = {item["path"]: item["sha256"] for item in scene.get(f"/v1/jobs/{job_id}/files")["items"]}
    for path in ("outputs/model.joblib", "outputs/metrics.json", "logs/1/stdout"):
        target = scene.folder / "home" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        scene.shunter("files", "get", f"jobs/{job_id}/{path}", str(target.relative_to(scene.folder)))
        check(f"{path} has the sha256 that the API says", holds=sha256_of(target) == said[path])
    _try_the_model(scene)
    return job_id


def _try_the_model(scene: Scene) -> None:
    import joblib
    from sklearn.datasets import load_digits

    digits = load_digits()
    model = joblib.load(scene.folder / "home" / "outputs" / "model.joblib")
    accuracy = float(model.score(digits.data / 16.0, digits.target))
    check(f"the model that came home reads {accuracy:.1%} of all digits", holds=accuracy > 0.9)


def _look(scene: Scene, job_id: str) -> None:
    title("4. What runs and ran; one job in full")
    scene.shunter("ps")
    scene.shunter("show", job_id)
    job = scene.get(f"/v1/jobs/{job_id}")
    moves = [move["state"] for move in scene.get(f"/v1/jobs/{job_id}/history")["transitions"]]
    check(f"its states were {' > '.join(moves)}", holds=moves[0] == "accepted" and moves[-1] == "succeeded")
    used = job["usage"]
    check(
        f"it used {used['cpu_seconds']:.1f} CPU seconds and {(used['memory_peak'] or 0) / 2**20:.0f} MiB at its peak",
        holds=used["cpu_seconds"] > 0.5 and (used["memory_peak"] or 0) > 2**20,
    )


def _fail(scene: Scene) -> None:
    title("6. A job that fails, and one that is cancelled while it runs")
    script = "echo 'before the failure'; echo 'a last word' >&2; exit 3"
    job_id = scene.ask("submit", "--name", "fails", "--", "sh", "-c", script)["id"]
    scene.shunter("wait", job_id, code=1)
    job = scene.get(f"/v1/jobs/{job_id}")
    check("the failed job says failed, exit code 3", holds=(job["state"], job["exit_code"]) == ("failed", 3))
    log = scene.get(f"/v1/jobs/{job_id}/logs?stream=stdout")
    check("its log is kept", holds=b"before the failure" in log)


def _tree(mark: str) -> list[psutil.Process]:
    """Return the processes of a job, found by a variable of its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _cancel(scene: Scene) -> None:
    mark = f"{scene.demo['gateway']}-{time.time()}"
    script = "sleep 1000 & (sleep 1000 & sleep 1000) & for i in 1 2 3; do echo tick $i; done; sleep 1000"
    job_id = scene.ask("submit", "--name", "cancelled", "--env", f"{_MARK}={mark}", "--", "sh", "-c", script)["id"]
    scene.wait_for(job_id, "running")
    until = time.monotonic() + 10
    while len(_tree(mark)) < 5 and time.monotonic() < until:
        time.sleep(0.05)
    check(f"the job runs, as {len(_tree(mark))} processes", holds=len(_tree(mark)) >= 5)
    scene.shunter("cancel", "--wait", job_id)
    check("it says canceled", holds=scene.get(f"/v1/jobs/{job_id}")["state"] == "canceled")
    check("no process of its tree is left", holds=not _tree(mark))
    log = scene.get(f"/v1/jobs/{job_id}/logs?stream=stdout")
    check("what it had printed is kept", holds=log.splitlines() == [b"tick 1", b"tick 2", b"tick 3"])
    scene.shunter("ps")
    report = scene.ask("audit", "replay", user="admin")
    check("both are in the books, and the replay is equal", holds=report["equal"])


def _account(scene: Scene) -> None:
    title("5. What was used, and the same figures rebuilt from the event log alone")
    scene.shunter("usage", user="admin")
    scene.shunter("audit", "replay", user="admin")
    report = scene.ask("audit", "replay", user="admin")
    check(f"{report['events']} events give the same figures", holds=report["equal"] and not report["differences"])
    check("the figures are not empty", holds=report["live"]["total"]["segments"] > 0)
    check("live and replayed agree", holds=report["live"]["total"] == report["replayed"]["total"])


def _links(scene: Scene, job_id: str) -> None:
    title("7. Where to look")
    links = {
        "the job's workflow in the Temporal UI": scene.get(f"/v1/jobs/{job_id}")["links"]["temporal_ui"],
        "the gateway's API docs": f"{scene.demo['gateway']}/docs",
    }
    for name, url in links.items():
        answer = httpx.get(url, timeout=10, trust_env=False, follow_redirects=True).status_code
        check(f"{name} answers: {url}", holds=answer == 200)


def _play() -> None:
    title("1. The stack: NATS, Temporal, S3, gateway, scheduler, storage, accounting, runner")
    with open_scene(_FOLDER.absolute()) as scene:
        _upload(scene)
        job_id = _train(scene)
        _look(scene, job_id)
        _account(scene)
        _fail(scene)
        _cancel(scene)
        _links(scene, job_id)
        train_on_gpus(scene)
        title("That is all; the stack stops")


def main() -> int:
    """Run the demo; returns the exit code."""
    begun = time.monotonic()
    try:
        _play()
    except (DemoError, StartError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"\nThe demo took {time.monotonic() - begun:.0f} s. What came home lies in {_FOLDER}/home.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
