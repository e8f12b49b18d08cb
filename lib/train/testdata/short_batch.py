"""Writes short_batch.json: what PyTorch makes of two epochs of a small network with batch norm whose last batch is
short.

    python -m venv venv && venv/bin/pip install --require-hashes -r ../../../tools/requirements/peers.txt
    venv/bin/python short_batch.py
"""

import json
from pathlib import Path

import numpy
import torch
from torch import nn

IMAGES, BATCH, EPOCHS, CLASSES = 21, 8, 2, 4
RATE, MOMENTUM = 0.1, 0.5


class NHWC(nn.Module):
    """Flattens as the book does: height, width, channels."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


def main() -> None:
    random = numpy.random.default_rng(1)
    pixels = random.integers(0, 256, (IMAGES, 8, 8, 2), dtype=numpy.uint8)
    labels = random.integers(0, CLASSES, IMAGES)
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), NHWC(),
                        nn.Linear(27, CLASSES))
    conv, norm, dense = net[0], net[1], net[5]

    def variables() -> dict:
        """The network's variables by the book's names, in the book's order of axes."""
        values = {"conv1/weights": conv.weight.permute(2, 3, 1, 0), "conv1/bias": conv.bias,
                  "batch-norm1/scale": norm.weight,
                  "batch-norm1/shift": norm.bias, "batch-norm1/mean": norm.running_mean,
                  "batch-norm1/variance": norm.running_var,
                  "dense1/weights": dense.weight.T, "dense1/bias": dense.bias}
        return {name: [float(f"{x:.9g}") for x in value.detach().flatten().tolist()] for name, value in values.items()}

    start, orders, losses = variables(), [], []
    optimizer = torch.optim.SGD(net.parameters(), RATE, MOMENTUM)
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float() / 255
    for _ in range(EPOCHS):
        order = random.permutation(IMAGES)
        orders.append(order.tolist())
        for first in range(0, IMAGES, BATCH):
            chosen = order[first:first + BATCH]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(images[chosen]), torch.from_numpy(labels[chosen]))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    about = {"torch": torch.__version__, "batch": BATCH, "classes": CLASSES, "rate": RATE, "momentum": MOMENTUM,
             "pixels": pixels.flatten().tolist(), "labels": labels.tolist(), "start": start, "orders": orders,
             "losses": losses,
             "end": variables()}
    text = json.dumps(about, separators=(",", ":")).replace(',"', ',\n"')
    (Path(__file__).parent / "short_batch.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
