"""Trains a convolutional network on scikit-learn's digits on the one GPU that it sees; needs PyTorch with CUDA."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["main"]

_SIDE = 8
"""Pixels."""
_HELD_BACK = 0.25
"""The share of the images that the network never sees, for testing."""
_BATCH = 2048


def _load(path: Path, seed: int) -> tuple[Any, Any, Any, Any]:
    with np.load(path) as found:
        images, labels = found["images"].astype("float32") / 16.0, found["labels"].astype("int64")
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = np.split(order, [int(len(order) * _HELD_BACK)])
    square = images.reshape(-1, 1, _SIDE, _SIDE)
    places = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    shifted = np.concatenate([np.roll(square[train], place, axis=(2, 3)) for place in places])
    parts = (shifted, np.tile(labels[train], len(places)), square[test], labels[test])
    return tuple(torch.from_numpy(part).cuda() for part in parts)


def _network() -> Any:
    layers = (
        *(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(64, 256, 3, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(256 * _SIDE * _SIDE, 512), nn.ReLU(), nn.Linear(512, 10)),
    )
    return nn.Sequential(*layers).cuda()


def _train(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    images, labels, test_images, test_labels = _load(arguments.data, arguments.seed)
    torch.manual_seed(arguments.seed)
    model = _network()
    optimizer, judge = torch.optim.Adam(model.parameters(), 1e-3), nn.CrossEntropyLoss()
    begun = time.time()
    for epoch in range(1, arguments.epochs + 1):
        for batch in torch.randperm(len(labels), device="cuda").split(_BATCH):
            optimizer.zero_grad()
            loss = judge(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
        if epoch % 20 == 0 or epoch == arguments.epochs:
            print(json.dumps({"epoch": epoch, "loss": round(loss.item(), 5)}), flush=True)
    torch.cuda.synchronize()
    ended = time.time()
    accuracy = float((model(test_images).argmax(1) == test_labels).float().mean())
    rate = len(labels) * arguments.epochs / (ended - begun)
    return model, {"accuracy": accuracy, "began": begun, "ended": ended, "images_per_second": rate}


def main() -> None:
    """Train, and leave `model.pt` and `metrics.json` behind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("digits.npz"))
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit(f"no GPU is visible: CUDA_VISIBLE_DEVICES is {os.environ.get('CUDA_VISIBLE_DEVICES')!r}")
    model, metrics = _train(arguments)
    metrics["gpus"] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    metrics["visible"] = os.environ.get("CUDA_VISIBLE_DEVICES")
    torch.save(model.state_dict(), "model.pt")
    Path("metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


if __name__ == "__main__":
    main()
