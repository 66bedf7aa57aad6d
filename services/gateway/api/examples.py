"""Examples that OpenAPI shows; a test holds each against its model."""

from __future__ import annotations

from typing import Any

from fastapi.openapi.models import Example

__all__ = [
    "BACKEND",
    "BACKEND_DRAINED",
    "CANCEL",
    "DOWNLOAD",
    "EVENTS",
    "EXPLANATION",
    "FILE",
    "HISTORY",
    "JOB",
    "JOB_FILES",
    "LOG",
    "PLAN",
    "PRINCIPAL",
    "READY",
    "REPLAY",
    "RETRY",
    "SPECS",
    "START",
    "TASK",
    "TASK_LOGS",
    "USAGE",
]

_ID = "job-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"
_SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_ACCEPTED, _STARTED, _ENDED = (
    "2026-01-31T12:00:00.000000Z",
    "2026-01-31T12:00:01.000000Z",
    "2026-01-31T12:01:01.000000Z",
)

_SPEC = {
    "name": "train-digits",
    "argv": ["python", "train.py"],
    "inputs": [{"source": "demo/train.py"}, {"source": "demo/digits.csv"}],
    "outputs": [{"path": "model.joblib"}],
    "resources": {"cpus": 1.0, "memory": "512MiB", "walltime": "10m"},
}

SPECS: dict[str, Example] = {
    "training": Example(summary="Train a model", value=_SPEC),
    "script": Example(summary="A shell script", value={"script": "echo hello\nsleep 1\n"}),
    "waiting": Example(
        summary="When another has succeeded, but not before a moment",
        value={
            "argv": ["python", "evaluate.py"],
            "priority": 10,
            "start_at": "2030-01-31T18:00:00Z",
            "after": [{"job": _ID, "on": "success", "delay": "5m"}],
        },
    ),
    "array": Example(
        summary="A hundred tasks, eight at a time",
        value={
            "argv": ["python", "fit.py", "--seed", "{index}"],
            "array": {"count": 100, "max_running": 8},
            "outputs": [{"path": "result-{index}.json"}],
        },
    ),
    "application": Example(
        summary="An application of the site",
        value={
            "name": "first-model",
            "application": {
                "application": "decode",
                "version": "v0_10_1",
                "entrypoint": "train",
                "inputs": {"config_id": ["config/c1"], "data_ids": ["data/d1", "data/d2"]},
                "outputs": {"artifact": "artifact/first-model"},
            },
        },
    ),
    "folder": Example(
        summary="A whole folder comes, and what is made of it goes where it belongs",
        value={
            "argv": ["python", "data/fit.py"],
            "inputs": [{"source": "data/beads", "path": "data", "folder": True}],
            "outputs": [{"path": "model", "to": "artifact/beads"}],
        },
    ),
    "told": Example(
        summary="Somebody is told of its end",
        value={
            "argv": ["python", "train.py"],
            "callback": {
                "url": "https://hooks.example.org/shunter",
                "secret": "a long random word",
                "events": ["succeeded", "failed", "canceled", "lost"],
            },
        },
    ),
    "held": Example(summary="Wait for a start", value={"argv": ["true"], "hold": True, "labels": {"team": "vision"}}),
}

APPLICATIONS: dict[str, Any] = {
    "applications": {
        "decode": {
            "v0_10_1": {
                "train": {
                    "app": {"cmd": ["/docker/entrypoint.sh", "--train", "--model_path=/files/model"], "env": []},
                    "handler": {
                        "image_url": "registry.example.org/decode:v0_10_1",
                        "files_down": {"config_id": "config", "data_ids": "data", "artifact_ids": "artifact"},
                        "files_up": {"log": "log", "artifact": "model"},
                    },
                    "aws_resources": {"hardware": {"MEMORY": 8000, "VCPU": 4, "GPU": 1}, "timeout": 18000},
                }
            }
        }
    },
    "sha256": _SHA,
    "loaded_at": _ACCEPTED,
    "faults": [],
}

CANCEL: dict[str, Example] = {
    "all": Example(summary="The whole job", value={}),
    "some": Example(summary="Some tasks of an array", value={"tasks": "3,7-10"}),
}
START: dict[str, Example] = {
    "as it is": Example(summary="With what it was submitted with", value={}),
    "more": Example(summary="With one more file", value={"inputs": [{"source": "data/late.csv", "path": "late.csv"}]}),
}
RETRY: dict[str, Example] = {
    "all": Example(summary="All of it", value={}),
    "failed": Example(summary="The tasks of an array that failed", value={"tasks": "failed"}),
}

_ALLOCATION = {"backend": "local", "node": "node-1", "cpus": 1.0, "memory": 536870912}
_USAGE = {"wall_seconds": 60.0, "cpu_seconds": 57.2, "memory_peak": 201326592}
_OUTPUTS = [{"path": "outputs/model.joblib", "size": 73210, "sha256": _SHA}]
_LOGS = [{"path": "logs/1/stdout", "size": 1024, "sha256": _SHA}]

JOB: dict[str, Any] = {
    "id": _ID,
    "kind": "job",
    "owner": "ada",
    "project": "vision",
    "name": "train-digits",
    "labels": {},
    "spec": _SPEC,
    "state": "succeeded",
    "reason": "exited",
    "message": "",
    "attempt": 1,
    "backend": "local",
    "native_id": f"{_ID}.1",
    "exit_code": 0,
    "revision": 6,
    "created_at": _ACCEPTED,
    "updated_at": _ENDED,
    "started_at": _STARTED,
    "finished_at": _ENDED,
    "allocation": _ALLOCATION,
    "usage": _USAGE,
    "outputs": _OUTPUTS,
    "logs": _LOGS,
    "links": {
        "self": f"/v1/jobs/{_ID}",
        "history": f"/v1/jobs/{_ID}/history",
        "logs": f"/v1/jobs/{_ID}/logs",
        "files": f"/v1/jobs/{_ID}/files",
        "temporal_ui": None,
    },
}

EXPLANATION: dict[str, Any] = {
    "workload_id": _ID,
    "state": "accepted",
    "why": "turn",
    "message": "about 3 go before it, by priority or because their owners have less",
    "since": _ACCEPTED,
    "position": 4,
    "evidence": {"backend": "local", "given": 4, "not_started": 2, "cpus": 2.0, "cpus_free": 0.0, "priority": 0},
    "next_step": "it goes by itself; `hold` keeps it, `cancel` ends it",
}

TASK: dict[str, Any] = {
    "index": 7,
    "item": None,
    "state": "succeeded",
    "attempt": 1,
    "reason": "exited",
    "exit_code": 0,
    "started_at": _STARTED,
    "finished_at": _ENDED,
    "usage": _USAGE,
    "outputs": [{"path": "outputs/result-7.json", "size": 512, "sha256": _SHA}],
    "logs": [{"attempt": 1, "stream": "stdout", "bundle": 1, "offset": 4096, "size": 120}],
}

TASK_LOGS: dict[str, Any] = {
    "items": [
        {
            "index": 7,
            "attempt": 1,
            "stream": "stdout",
            "size": 120,
            "href": f"/v1/jobs/{_ID}/tasks/7/logs?stream=stdout&attempt=1",
        }
    ],
    "next_cursor": None,
}

HISTORY: dict[str, Any] = {
    "workload_id": _ID,
    "transitions": [
        {"revision": 1, "state": "accepted", "at": _ACCEPTED, "attempt": 1, "reason": "submitted"},
        {
            "revision": 2,
            "state": "running",
            "at": _STARTED,
            "attempt": 1,
            "reason": "started",
            "backend": "local",
            "allocation": _ALLOCATION,
        },
    ],
}

JOB_FILES: dict[str, Any] = {"items": [*_OUTPUTS, *_LOGS]}

LOG = "epoch 1: loss 0.41\nepoch 2: loss 0.18\n"

FILE: dict[str, Any] = {
    "path": "data/digits.csv",
    "owner": "ada",
    "size": 1048576,
    "sha256": _SHA,
    "content_type": "text/csv",
    "created_at": _ACCEPTED,
}

PLAN: dict[str, Any] = {
    "ticket": "eyJwYXRoIjoi…",
    "part_size": 67108864,
    "parts": [{"number": 1, "offset": 0, "size": 1048576, "url": "http://s3.example/shunter/ada/…?X-Amz-Signature=…"}],
    "done": [],
    "expires_at": _ENDED,
}

DOWNLOAD: dict[str, Any] = {
    "url": "http://s3.example/shunter/ada/…?X-Amz-Signature=…",
    "size": 1048576,
    "sha256": _SHA,
    "expires_at": _ENDED,
}

FORM: dict[str, Any] = {
    "url": "http://s3.example/shunter",
    "fields": {"key": "forms/0193e7a4c2d87b1e9f5a3c6d8e0f1a2b/${filename}", "policy": "eyJleHBpcmF0aW9u…"},
    "folder": "data/d1",
    "most": 5368709120,
    "expires_at": _ENDED,
}

_FIGURES = {"segments": 1, "wall_hours": 0.0167, "cpu_hours": 0.0167, "cpu_hours_used": 0.0159}
_SUMMARY = {
    "rows": [{"owner": "ada", "project": "vision", "day": "2026-01-31", "figures": _FIGURES}],
    "total": _FIGURES,
    "open_segments": 0,
    "sequence": 42,
}

USAGE: dict[str, Any] = _SUMMARY

REPLAY: dict[str, Any] = {
    "equal": True,
    "events": 42,
    "last_sequence": 42,
    "seconds": 0.02,
    "live": _SUMMARY,
    "replayed": _SUMMARY,
    "differences": [],
    "started_at": _ENDED,
}

EVENTS: dict[str, Any] = {
    "items": [
        {
            "sequence": 41,
            "event": {
                "specversion": "1.0",
                "id": "0193e7a4c2d87b1e9f5a3c6d8e0f1a2c",
                "source": "/services/scheduler",
                "type": "org.shunter.workload.moved.v1",
                "subject": _ID,
                "time": _STARTED,
                "datacontenttype": "application/json",
                "actor": "service:scheduler",
                "correlationid": "0193e7a4c2d87b1e9f5a3c6d8e0f1a2d",
                "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "owner": "ada",
                "project": "vision",
                "data": {"workload_id": _ID, "old": "queued", "new": "running", "attempt": 1, "reason": "started"},
            },
        }
    ],
    "next_sequence": 42,
}

BACKEND: dict[str, Any] = {
    "backend": "local",
    "kind": "local",
    "healthy": True,
    "cpus": 2.0,
    "cpus_free": 1.0,
    "memory": 8589934592,
    "memory_free": 6442450944,
    "running": 1,
    "state": "up",
    "site": "basement",
    "cost": {"cpu_hour": 0.02, "gpu_hour": 1.5},
}

BACKEND_DRAINED: dict[str, Any] = {
    **BACKEND,
    "state": "draining",
    "drain": {"by": "root", "at": _ENDED, "message": "new disks on Friday"},
}

PRINCIPAL: dict[str, Any] = {"subject": "ada", "issuer": "static", "projects": {"vision": "member"}, "roles": []}

_WELL = {"service": "scheduler", "ready": True, "checks": {"nats": "ok", "database": "ok"}, "version": "0.1.0"}

READY: dict[str, Any] = {
    "service": "gateway",
    "ready": True,
    "checks": {"nats": "ok", "scheduler": "ok"},
    "version": "0.1.0",
    "services": [_WELL],
}
