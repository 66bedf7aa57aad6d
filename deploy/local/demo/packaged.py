"""`python -m deploy.local.demo.packaged`: what the applications of the demo start; needs nothing but Shunter.

`train` fits a curve to whatever file it is given: the file's bytes, in order, are what is to be learnt.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

__all__ = ["main"]

_MOST = 4096
"""Bytes of a file that are learnt."""

_WAVES = 8
"""Terms of the curve, besides its mean."""


def _read_parameters(path: str) -> dict[str, float]:
    """Return the figures of a configuration, wherever they stand in it."""
    found = yaml.safe_load(Path(path).read_text()) if path else None
    given = found if isinstance(found, dict) else {}
    return {
        "epochs": int(given.get("epochs", 50)),
        "rate": float(given.get("rate", 0.5)),
        "pause": float(given.get("pause", 0.0)),
    }


def _read_points(path: str) -> list[float]:
    raw = Path(path).read_bytes()[:_MOST] if path else b""
    return [byte / 255 for byte in raw] or [0.0]


def _features(count: int) -> list[list[float]]:
    """Return what the curve is made of at each point."""
    return [
        [1.0, *(math.cos(math.pi * wave * (place + 0.5) / count) for wave in range(1, _WAVES + 1))]
        for place in range(count)
    ]


def _step(weights: list[float], features: list[list[float]], points: list[float], rate: float) -> float:
    """Go a step down the slope; returns the loss before it."""
    misses = [
        sum(weight * feature for weight, feature in zip(weights, row, strict=True)) - point
        for row, point in zip(features, points, strict=True)
    ]
    for number in range(len(weights)):
        slope = sum(miss * row[number] for miss, row in zip(misses, features, strict=True)) / len(points)
        weights[number] -= rate * slope
    return sum(miss * miss for miss in misses) / len(points)


def _train(arguments: argparse.Namespace) -> int:
    parameters, points = _read_parameters(arguments.param_path), _read_points(arguments.calib_path)
    features, weights = _features(len(points)), [0.0] * (_WAVES + 1)
    losses = []
    for epoch in range(int(parameters["epochs"])):
        losses.append(_step(weights, features, points, parameters["rate"]))
        print(f"epoch {epoch + 1}: loss {losses[-1]:.6f}", flush=True)
        time.sleep(parameters["pause"])
    model, log = Path(arguments.model_path), Path(arguments.log_path)
    for folder in (model, log):
        folder.mkdir(parents=True, exist_ok=True)
    (model / "model.json").write_text(json.dumps({"weights": weights, "loss": losses[-1] if losses else None}))
    (log / "losses.csv").write_text("".join(f"{epoch},{loss}\n" for epoch, loss in enumerate(losses, 1)))
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    """Draw the curve of a model that an earlier job left behind."""
    weights = json.loads(Path(arguments.model).read_text())["weights"]
    curve = [sum(w * f for w, f in zip(weights, row, strict=True)) for row in _features(32)]
    output = Path(arguments.output_path)
    output.mkdir(parents=True, exist_ok=True)
    (output / "curve.csv").write_text("".join(f"{value:.6f}\n" for value in curve))
    print(f"{os.environ.get('GREETING', 'drawn')}: {len(curve)} points", flush=True)
    return 0


def _fail(_arguments: argparse.Namespace) -> int:
    print("this application fails, as it is meant to", file=sys.stderr, flush=True)
    return 3


def main(words: Sequence[str] | None = None) -> int:
    """Run one of the programs; returns its exit code."""
    parser = argparse.ArgumentParser(prog="packaged")
    programs = parser.add_subparsers(required=True)
    train = programs.add_parser("train")
    for name in ("calib_path", "param_path", "model_path", "log_path"):
        train.add_argument(f"--{name}", default="")
    train.set_defaults(run=_train)
    predict = programs.add_parser("predict")
    predict.add_argument("--model", required=True)
    predict.add_argument("--output_path", required=True)
    predict.set_defaults(run=_predict)
    programs.add_parser("fail").set_defaults(run=_fail)
    arguments = parser.parse_args(words)
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
