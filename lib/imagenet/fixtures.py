"""Writes testdata/imagenet.json: what torchvision's preprocessing for ImageNet's weights makes of a picture.

The picture is not kept: it comes from a formula that the test in Go computes too.

    python -m venv venv && venv/bin/pip install --require-hashes -r ../../tools/requirements/peers.txt
    venv/bin/python fixtures.py
"""

import json
from pathlib import Path

import numpy
import torch
import torchvision
from PIL import Image
from torchvision import models

WIDTH, HEIGHT = 451, 300
EVERY = 13  # pixel of a row and row that is kept


def picture() -> Image.Image:
    """Waves of all lengths, others in each colour."""
    y, x, colour = numpy.mgrid[0:HEIGHT, 0:WIDTH, 0:3]
    return Image.fromarray(((x * x + 2 * y * y + (colour + 1) * x * y) // 64 % 256).astype(numpy.uint8))


def kept(x: torch.Tensor) -> list[float]:
    return [round(float(v), 5) for v in x[0, :, ::EVERY, ::EVERY].permute(1, 2, 0).flatten()]


def main() -> None:
    seen = {}
    for name, weights in (("ResNet-18", models.ResNet18_Weights), ("VGG-16", models.VGG16_Weights),
                          ("GoogLeNet", models.GoogLeNet_Weights)):
        seen[name] = weights.IMAGENET1K_V1.transforms()(picture())[None]
    # The builder makes the network with transform_input when it is given these weights.
    net = models.googlenet(transform_input=True, aux_logits=False, init_weights=False)
    seen["GoogLeNet"] = net._transform_input(seen["GoogLeNet"])
    about = {"torchvision": torchvision.__version__, "seen": {name: kept(x) for name, x in seen.items()}}
    path = Path(__file__).parent / "testdata" / "imagenet.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(about, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
