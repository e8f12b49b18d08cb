"""Writes testdata/networks.json: what PyTorch makes of one image with each network of the zoo.

Weights are not kept. They come from a formula that the test in Go computes too, so the fixture stays small: only
the names and shapes of the weights, in PyTorch's order, and the ten scores.

    python -m venv venv && venv/bin/pip install --require-hashes -r ../../tools/requirements/peers.txt
    venv/bin/python fixtures.py
"""

import functools
import json
import math
from pathlib import Path

import numpy
import torch
import torchvision
from torch import nn

CLASSES = 10


def numbers(n: int, stream: int) -> numpy.ndarray:
    """n numbers from 0 to below 1: the i-th is a hash of i and the stream."""
    x = numpy.arange(n, dtype=numpy.uint32) + numpy.uint32((stream * 0x9E3779B9) % 2**32)
    x = (x ^ (x >> 16)) * numpy.uint32(0x21F0AAAD)
    x = (x ^ (x >> 15)) * numpy.uint32(0x735A2D97)
    x = x ^ (x >> 15)
    return (x >> 8).astype(numpy.float32) / numpy.float32(2**24)


def fill(state: dict) -> None:
    """Weights uniform with variance 2/inputs (He), and batch norms that do something."""
    stream = 0
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        stream += 1
        u = numbers(tensor.numel(), stream).reshape(tensor.shape)
        if tensor.dim() > 1:
            bound = numpy.float32(math.sqrt(6 / (tensor.numel() // tensor.shape[0])))
            values = (2 * u - 1) * bound
        elif name.endswith(("running_var", "weight")):
            values = u + numpy.float32(0.5)
        else:
            values = (2 * u - 1) * numpy.float32(0.1)
        tensor.copy_(torch.from_numpy(values))


def alexnet() -> nn.Module:
    """AlexNet as in its paper: groups, and LRN by the paper's alpha, which is a fifth of PyTorch's."""
    lrn = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(), lrn, nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), lrn, nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), *dense())


def zfnet(third: int, fourth: int, fifth: int) -> nn.Module:
    lrn = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
    return nn.Sequential(
        nn.Conv2d(3, 96, 7, 2, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), lrn,
        nn.Conv2d(96, 256, 5, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), lrn,
        nn.Conv2d(256, third, 3, padding=1), nn.ReLU(),
        nn.Conv2d(third, fourth, 3, padding=1), nn.ReLU(),
        nn.Conv2d(fourth, fifth, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), *dense(fifth))


def dense(channels: int = 256) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(channels * 36, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, CLASSES)]


def main() -> None:
    models = torchvision.models
    networks = {"AlexNet": (alexnet, 227), "ZFNet": (lambda: zfnet(384, 384, 256), 224),
                "ZFNet-larger": (lambda: zfnet(512, 1024, 512), 224),
                "AlexNet-one-tower": (lambda: models.alexnet(num_classes=CLASSES), 224)}
    for layers in (11, 13, 16, 19):
        make = functools.partial(getattr(models, f"vgg{layers}"), num_classes=CLASSES, init_weights=False)
        networks[f"VGG-{layers}"] = (make, 224)
    networks["GoogLeNet"] = (lambda: models.googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False), 224)
    for layers in (18, 34, 50, 101, 152):
        networks[f"ResNet-{layers}"] = (functools.partial(getattr(models, f"resnet{layers}"), num_classes=CLASSES), 224)

    fixtures = []
    with torch.no_grad():
        for name, (make, size) in networks.items():
            net = make().eval()
            state = net.state_dict()
            fill(state)
            image = 2 * numbers(size * size * 3, 0).reshape(1, size, size, 3) - 1
            scores = net(torch.from_numpy(image.transpose(0, 3, 1, 2).copy()))[0]
            fixtures.append({"network": name, "size": size, "scores": [float(s) for s in scores],
                             "weights": [[key, list(t.shape)] for key, t in state.items()
                                         if not key.endswith("num_batches_tracked")]})
            print(name, [f"{s:.4g}" for s in scores[:3]])
    about = {"torch": torch.__version__, "torchvision": torchvision.__version__, "networks": fixtures}
    path = Path(__file__).parent / "testdata" / "networks.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(about, separators=(",", ":")).replace('{"network"', '\n{"network"') + "\n")


if __name__ == "__main__":
    main()
