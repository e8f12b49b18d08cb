"""Writes testdata/networks.json: what PyTorch makes of one image with each network of the zoo.

Weights are not kept. They come from a formula that the test in Go computes too, so the fixture stays small: only
the names and shapes of the weights, in PyTorch's order, and the ten scores. tools/pytorch/roundtrip.py takes the same
networks through files.

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
from torchvision.models.googlenet import BasicConv2d, Inception

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


class Network(nn.Module):
    """A sequence up to the flattened image and one after it, with torchvision's names."""

    def __init__(self, features: list[nn.Module], *classifier: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(*classifier) if len(classifier) > 1 else classifier[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


def dense(inputs: int, hidden: int) -> list[nn.Module]:
    return [nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(hidden, CLASSES)]


def alexnet() -> nn.Module:
    """AlexNet as in its paper: groups, and LRN by the paper's alpha, which is a fifth of PyTorch's."""
    lrn = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
    return Network([
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(), lrn, nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), lrn, nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)], *dense(256 * 36, 4096))


def zfnet(third: int, fourth: int, fifth: int) -> nn.Module:
    lrn = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
    return Network([
        nn.Conv2d(3, 96, 7, 2, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), lrn,
        nn.Conv2d(96, 256, 5, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), lrn,
        nn.Conv2d(256, third, 3, padding=1), nn.ReLU(),
        nn.Conv2d(third, fourth, 3, padding=1), nn.ReLU(),
        nn.Conv2d(fourth, fifth, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)], *dense(fifth * 36, 4096))


def small(window: int, filters: list[int]) -> nn.Module:
    """SmallAlexNet and SmallZFNet, by the windows of the first two layers."""
    layers, before = [], 3
    for i, n in enumerate(filters):
        kernel = window if i < 2 else 3
        layers += [nn.Conv2d(before, n, kernel, padding=kernel // 2), nn.ReLU()]
        if i in (0, 1, 4):
            layers.append(nn.MaxPool2d(3, 2))
        before = n
    return Network(layers, *dense(before * 9, 256))


def notes_vgg(plan: list) -> nn.Module:
    """The notes' VGG16 and its relatives: batch norm after every convolution, and one dense layer."""
    layers, before = [], 3
    for n in plan:
        if n == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(before, n, 3, padding=1), nn.BatchNorm2d(n), nn.ReLU()]
            before = n
    return Network([*layers, nn.AvgPool2d(1, 1)], nn.Linear(512, CLASSES))


class FC2Layer(nn.Module):
    """The notes' network of two hidden layers."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(28 * 28, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
                                     nn.Linear(hidden, CLASSES), nn.LogSoftmax(dim=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(torch.flatten(x, 1))


class TwoConvolutions(nn.Module):
    """The notes' CNN and Net."""

    def __init__(self, channels: list[int], side: int, units: list[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels[0], channels[1], 5)
        self.conv2 = nn.Conv2d(channels[1], channels[2], 5)
        self.fc1 = nn.Linear(channels[2] * side * side, units[0])
        for i in range(1, len(units)):
            setattr(self, f"fc{i + 1}", nn.Linear(units[i - 1], units[i]))
        self.dense = len(units)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        for i in range(1, self.dense):
            x = torch.relu(getattr(self, f"fc{i}")(x))
        x = getattr(self, f"fc{self.dense}")(x)
        return torch.log_softmax(x, 1) if self.dense == 2 else x


def small_resnet() -> nn.Module:
    """ResNet-18 for small images, as others have it for CIFAR-10: no pooling at first, and a first layer of 3 × 3."""
    net = torchvision.models.resnet18(num_classes=CLASSES)
    net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    return net


class SmallGoogLeNet(nn.Module):
    """torchvision's GoogLeNet with a quarter of the filters, 5 × 5 in the third branch, and one convolution as stem."""

    def __init__(self) -> None:
        super().__init__()
        whole = torchvision.models.googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False)
        self.conv1 = BasicConv2d(3, 48, kernel_size=3, padding=1)
        self.modules_in_order, before = [], 48
        for name, module in whole.named_children():
            if not name.startswith("inception"):
                continue
            convolutions = [m.out_channels // 4 for m in module.modules() if isinstance(m, nn.Conv2d)]
            if name in ("inception4a", "inception5a"):
                self.modules_in_order.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            mine = Inception(before, *convolutions)
            mine.branch3[1].conv = nn.Conv2d(convolutions[3], convolutions[4], 5, padding=2, bias=False)
            setattr(self, name, mine)
            self.modules_in_order.append(mine)
            before = convolutions[0] + convolutions[2] + convolutions[4] + convolutions[5]
        self.fc = nn.Linear(before, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        for module in self.modules_in_order:
            x = module(x)
        return self.fc(x.mean((2, 3)))


def networks() -> dict:
    """How to make each network of the zoo, and the side and the channels of its images."""
    models = torchvision.models
    plan = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]
    longer = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
    all_networks = {
        "FC2Layer": (lambda: FC2Layer(8), 28, 1),
        "CNN": (lambda: TwoConvolutions([1, 6, 6], 4, [50, CLASSES]), 28, 1),
        "Net": (lambda: TwoConvolutions([3, 6, 16], 5, [120, 84, CLASSES]), 32, 3),
        "VGG16": (lambda: notes_vgg(plan), 32, 3),
        "SmallVGG-16": (lambda: notes_vgg(longer), 32, 3),
        "SmallAlexNet": (lambda: small(5, [24, 64, 96, 96, 64]), 32, 3),
        "SmallZFNet": (lambda: small(3, [24, 64, 128, 256, 128]), 32, 3),
        "SmallGoogLeNet": (SmallGoogLeNet, 32, 3),
        "SmallResNet-18": (small_resnet, 32, 3),
        "AlexNet": (alexnet, 227, 3),
        "ZFNet": (lambda: zfnet(384, 384, 256), 224, 3),
        "ZFNet-larger": (lambda: zfnet(512, 1024, 512), 224, 3),
        "AlexNet-one-tower": (lambda: models.alexnet(num_classes=CLASSES), 224, 3),
    }
    for layers in (11, 13, 16, 19):
        make = functools.partial(getattr(models, f"vgg{layers}"), num_classes=CLASSES, init_weights=False)
        all_networks[f"VGG-{layers}"] = (make, 224, 3)
    for name, auxiliary in (("GoogLeNet", False), ("GoogLeNet-auxiliary", True)):
        make = functools.partial(models.googlenet, num_classes=CLASSES, aux_logits=auxiliary, init_weights=False)
        all_networks[name] = (make, 224, 3)
    for layers in (18, 34, 50, 101, 152):
        all_networks[f"ResNet-{layers}"] = (
            functools.partial(getattr(models, f"resnet{layers}"), num_classes=CLASSES), 224, 3)
    return all_networks


def image_of(side: int, channels: int) -> torch.Tensor:
    """The image that both sides look at: [1, channels, side, side]"""
    image = 2 * numbers(side * side * channels, 0).reshape(1, side, side, channels) - 1
    return torch.from_numpy(image.transpose(0, 3, 1, 2).copy())


def main() -> None:
    fixtures = []
    with torch.no_grad():
        for name, (make, side, channels) in networks().items():
            net = make().eval()
            state = net.state_dict()
            fill(state)
            scores = net(image_of(side, channels))[0]
            fixtures.append({"network": name, "size": side, "channels": channels, "scores": [float(s) for s in scores],
                             "weights": [[key, list(t.shape)] for key, t in state.items()
                                         if not key.endswith("num_batches_tracked")]})
            print(name, [f"{s:.4g}" for s in scores[:3]])
    about = {"torch": torch.__version__, "torchvision": torchvision.__version__, "networks": fixtures}
    path = Path(__file__).parent / "testdata" / "networks.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(about, separators=(",", ":")).replace('{"network"', '\n{"network"') + "\n")


if __name__ == "__main__":
    main()
