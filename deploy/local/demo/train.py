"""Trains a small neural network on scikit-learn's digits; the job of the demo. Needs only what lies beside it."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.neural_network import MLPClassifier

__all__ = ["main"]

_SIDE = 8
"""Pixels."""
_HELD_BACK = 0.25
"""The share of the images that the network never sees, for testing."""


def _load(path: Path, seed: int) -> tuple[Any, Any, Any, Any]:
    with np.load(path) as found:
        images, labels = found["images"] / 16.0, found["labels"]
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = np.split(order, [int(len(order) * _HELD_BACK)])
    shifted = [_shift(images[train], down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return np.concatenate(shifted), np.tile(labels[train], len(shifted)), images[test], labels[test]


def _shift(images: Any, down: int, right: int) -> Any:
    """Move each image by a pixel, so that the network learns shapes rather than places."""
    return np.roll(images.reshape(-1, _SIDE, _SIDE), (down, right), axis=(1, 2)).reshape(len(images), -1)


def _train(arguments: argparse.Namespace) -> tuple[MLPClassifier, dict[str, float]]:
    images, labels, test_images, test_labels = _load(arguments.data, arguments.seed)
    print(f"{len(labels)} images to learn from, {len(test_labels)} to test with", flush=True)
    model = MLPClassifier(hidden_layer_sizes=(256, 128), batch_size=64, random_state=arguments.seed)
    classes = np.unique(labels)
    metrics: dict[str, float] = {}
    for epoch in range(1, arguments.epochs + 1):
        begun = time.monotonic()
        model.partial_fit(images, labels, classes=classes)
        metrics = {
            "epoch": epoch,
            "loss": round(float(model.loss_), 4),
            "accuracy": round(float(model.score(test_images, test_labels)), 4),
            "seconds": round(time.monotonic() - begun, 3),
        }
        print(json.dumps(metrics), flush=True)
    return model, metrics


def main() -> None:
    """Train, and leave `model.joblib` and `metrics.json` behind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("digits.npz"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    model, metrics = _train(arguments)
    joblib.dump(model, "model.joblib")
    Path("metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


if __name__ == "__main__":
    main()
