"""The book's networks in PyTorch and in JAX, made of the description that `go run ./cmd/bench -describe` prints."""

import math
from collections.abc import Callable, Iterator


def labelled(layers: list[dict], prefix: str) -> Iterator[tuple[dict, str]]:
    """The layers of a block with their paths, as in the names of the book's variables: unit1/conv1."""
    counts: dict[str, int] = {}
    for layer in layers:
        label = layer.get("name") or layer["kind"]
        counts[label] = counts.get(label, 0) + 1
        yield layer, f"{prefix}{label}{counts[label]}"


def lanes(layers: list[dict]) -> dict[str, list[dict]]:
    """The layers of a block with parallel ways through it, by lane; the main one of a residual block has no name."""
    found: dict[str, list[dict]] = {}
    for layer in layers:
        found.setdefault(layer.get("lane", ""), []).append(layer)
    return found


def kinds(layers: list[dict]) -> set[str]:
    """The kinds of all layers, and of those in them."""
    return {layer["kind"] for layer in layers}.union(*(kinds(layer.get("layers", [])) for layer in layers))


def places(size: int, layer: dict) -> int:
    """How many windows there are along a side."""
    room = size + 2 * layer.get("padding", 0) - layer["kernel"]
    stride = layer["stride"]
    if layer.get("ceil"):
        count = math.ceil(room / stride) + 1
        return count if (count - 1) * stride < size + layer.get("padding", 0) else count - 1
    return room // stride + 1


class InPyTorch:
    """A network in PyTorch with PyTorch's own initial weights, and its parameters by the names of the book's variables,
    each with what brings the book's array into PyTorch's order."""

    def __init__(self, description: dict):
        self.variables: dict[str, tuple[object, Callable]] = {}
        self.flat: tuple[int, ...] | None = None  # height, width and channels of what was made flat just before
        self.net, _ = self.sequence(description["layers"], "", tuple(description["input"]))

    def sequence(self, layers: list[dict], prefix: str, shape: tuple):
        from torch import nn
        modules = []
        for layer, path in labelled(layers, prefix):
            module, shape = self.layer(layer, path, shape)
            modules.append(module)
        return nn.Sequential(*modules), shape

    def layer(self, layer: dict, path: str, shape: tuple):
        from torch import nn
        kind, padding = layer["kind"], layer.get("padding", 0)
        if kind in ("conv", "max-pool", "avg-pool"):
            after = (places(shape[0], layer), places(shape[1], layer), layer.get("filters", shape[2]))
            if kind == "conv":
                module = nn.Conv2d(shape[2], after[2], layer["kernel"], layer["stride"], padding,
                                   groups=layer["groups"], bias=not layer.get("no_bias", False))
                self.keep(path, module, lambda a: a.transpose(3, 2, 0, 1), "weights", "bias")
            elif kind == "max-pool":
                module = nn.MaxPool2d(layer["kernel"], layer["stride"], padding, ceil_mode=layer.get("ceil", False))
            else:
                module = nn.AvgPool2d(layer["kernel"], layer["stride"], padding)
            return module, after
        if kind == "dense":
            flat, self.flat = self.flat, None
            module = nn.Linear(shape[0], layer["units"])
            self.keep(path, module, lambda a: a.T if flat is None else (
                a.reshape(*flat, -1).transpose(3, 2, 0, 1).reshape(a.shape[1], -1)), "weights", "bias")
            return module, (layer["units"],)
        if kind == "batch-norm":
            module = nn.BatchNorm2d(shape[2], layer["epsilon"])
            self.keep(path, module, lambda a: a.reshape(-1), "scale", "shift")
            return module, shape
        if kind == "flatten":
            self.flat = shape
            return nn.Flatten(), (math.prod(shape),)
        if kind == "global-avg-pool":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (shape[2],)
        if kind == "lrn":  # PyTorch's alpha is five times the paper's
            return nn.LocalResponseNorm(layer["channels"], 5e-4, 0.75, 2), shape
        if kind == "sequential":
            return self.sequence(layer["layers"], f"{path}/", shape)
        if kind in ("residual", "branches"):
            return self.block(kind, lanes(layer["layers"]), path, shape)
        return {"relu": nn.ReLU, "log-softmax": lambda: nn.LogSoftmax(1),
                "dropout": lambda: nn.Dropout(layer["rate"])}[kind](), shape

    def block(self, kind: str, ways: dict, path: str, shape: tuple):
        modules, shapes = {}, {}
        for lane, layers in ways.items():
            prefix = f"{path}/{lane}/" if lane else f"{path}/"
            modules[lane], shapes[lane] = self.sequence(layers, prefix, shape)
        if kind == "residual":
            return residual(modules[""], modules.get("shortcut")), shapes[""]
        height, width, _ = next(iter(shapes.values()))
        return branches(list(modules.values())), (height, width, sum(s[2] for s in shapes.values()))

    def keep(self, path: str, module, convert: Callable, weight: str, bias: str) -> None:
        self.variables[f"{path}/{weight}"] = (module.weight, convert)
        if module.bias is not None:
            self.variables[f"{path}/{bias}"] = (module.bias, lambda a: a.reshape(-1))


def residual(inside, shortcut):
    from torch import nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside, self.shortcut = inside, shortcut

        def forward(self, x):
            return self.inside(x) + (x if self.shortcut is None else self.shortcut(x))

    return Residual()


def branches(ways):
    import torch

    class Branches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.ways = torch.nn.ModuleList(ways)

        def forward(self, x):
            return torch.cat([way(x) for way in self.ways], 1)

    return Branches()


JAX_KINDS = {"conv", "dense", "flatten", "relu", "log-softmax", "max-pool", "batch-norm"}  # that in_jax has


def in_jax(description: dict, parameters: dict, x, training: bool):
    """The scores of a network without blocks, of images in the order NHWC."""
    import jax
    from jax import numpy as jnp
    for layer, path in labelled(description["layers"], ""):
        kind = layer["kind"]
        if kind == "conv":
            x = jax.lax.conv_general_dilated(
                x, parameters[f"{path}/weights"], (layer["stride"],) * 2, [(layer.get("padding", 0),) * 2] * 2,
                dimension_numbers=("NHWC", "HWIO", "NHWC")) + parameters[f"{path}/bias"]
        elif kind == "max-pool":
            window, strides = (1, layer["kernel"], layer["kernel"], 1), (1, layer["stride"], layer["stride"], 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, "VALID")
        elif kind == "flatten":
            x = x.reshape(x.shape[0], -1)
        elif kind == "dense":
            x = x @ parameters[f"{path}/weights"] + parameters[f"{path}/bias"]
        elif kind == "relu":
            x = jnp.maximum(x, 0)
        elif kind == "log-softmax":
            x = jax.nn.log_softmax(x)
        elif kind == "batch-norm":  # before training its averages are 0 and 1
            mean, variance = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if training else (0, 1)
            x = (x - mean) * jax.lax.rsqrt(variance + layer["epsilon"])
            x = x * parameters[f"{path}/scale"] + parameters[f"{path}/shift"]
    return x
