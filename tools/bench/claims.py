"""Trains a network of the book in PyTorch, for `make claims`: the same data, recipe and number of steps, PyTorch's own
initial weights, order and random changes.

    echo '{"work": …, "network": …, "folder": …, "permutation": …, "checkpoint": …}' |
        build/peers/bin/python tools/bench/claims.py

The work is what a row of figures/ledger.jsonl says of one, the network its description, and the folder has the data
set's files as the cache has them. What it reached is printed as JSON in the last line. A training that was interrupted
goes on from the checkpoint, which is written after each epoch. With CONVBOOK_BENCH_DEVICE=cuda it trains on a GPU.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path

# Threads that wait by spinning are many times slower beside other work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import networks
import numpy
import torch
from torch import nn
from torch.nn import functional

SHAPES = {"MNIST": (28, 28, 1), "CIFAR-10": (32, 32, 3)}
FILES = {  # pixels and labels, and how many bytes of a header come before them
    "MNIST": (("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
              ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"), 16, 8),
    "CIFAR-10": (("train-pixels", "train-labels"), ("test-pixels", "test-labels"), 0, 0),
}
DEVICE = torch.device(os.environ.get("CONVBOOK_BENCH_DEVICE") or "cpu")
# The others gain less by compiling than it takes, and little by a second thread, which waits beside other work.
LARGE = {"VGG16"} if DEVICE.type == "cpu" else set()


def read(data: dict, folder: Path, permutation: list[int] | None):
    """Training and test images as the network gets them, normalised, and their labels."""
    height, width, channels = SHAPES[data["set"]]
    *splits, images_from, labels_from = FILES[data["set"]]
    mean, std = (torch.tensor(data[key], dtype=torch.float32).reshape(1, -1, 1, 1) for key in ("mean", "std"))
    tensors = []
    for images, labels in splits:
        pixels = numpy.fromfile(folder / images, numpy.uint8, offset=images_from).reshape(-1, height * width, channels)
        if permutation:
            pixels = pixels[:, permutation]
        x = torch.from_numpy(pixels.reshape(-1, height, width, channels)).permute(0, 3, 1, 2).float() / 255
        y = torch.from_numpy(numpy.fromfile(folder / labels, numpy.uint8, offset=labels_from)).long()
        tensors += [(x - mean) / std, y]
    first = data.get("first") or len(tensors[0])
    black = (-mean / std).flatten().tolist()
    return *(t.to(DEVICE) for t in (tensors[0][:first], tensors[1][:first], tensors[2], tensors[3])), black


class Changes:
    """Moves training images and turns them left to right, each in its own way, as the book does on the device."""

    def __init__(self, data: dict, images: torch.Tensor, black: list[float]):
        self.images, self.most, self.kind = images, data.get("crop", 0), data.get("flip", "")
        around = [self.most] * 4
        if data.get("reflects"):
            self.images = functional.pad(images, around, mode="reflect")
        elif self.most:  # black around, in what black has become
            self.images = torch.stack([functional.pad(images[:, c], around, value=value)
                                       for c, value in enumerate(black)], 1)
        self.size = images.shape[-1]
        self.sides = torch.rand(len(images), device=DEVICE)  # for turns that alternate

    def batch(self, chosen: torch.Tensor, epoch: int) -> torch.Tensor:
        x = self.images[chosen]
        if self.most:
            places = (torch.randint(0, 2 * self.most + 1, (2, len(chosen), 1), device=DEVICE)
                      + torch.arange(self.size, device=DEVICE))
            picture = torch.arange(len(chosen), device=DEVICE).reshape(-1, 1, 1, 1)
            channel = torch.arange(x.shape[1], device=DEVICE).reshape(1, -1, 1, 1)
            x = x[picture, channel, places[0][:, None, :, None], places[1][:, None, None, :]]
        if self.kind:
            sides = (torch.rand(len(chosen), device=DEVICE) if self.kind == "random"
                     else (self.sides[chosen] + epoch % 2 / 2) % 1)
            x = torch.where((sides < 0.5).reshape(-1, 1, 1, 1), x.flip(3), x)
        return x


class Matrices(torch.optim.Muon):
    """Muon for convolutions. PyTorch's takes matrices, so each convolution's weights are seen as one, filters ×
    inputs."""

    def __init__(self, weights: list[nn.Parameter], **settings):
        # In channels-last order this is a view: a step on the matrix is one on the weights.
        self.pairs = [(w, nn.Parameter(w.detach().permute(0, 2, 3, 1).view(len(w), -1))) for w in weights]
        super().__init__([matrix for _, matrix in self.pairs], **settings)

    def step(self):
        for weights, matrix in self.pairs:
            matrix.grad = weights.grad.permute(0, 2, 3, 1).reshape(len(matrix), -1)
        super().step()


def optimizers(recipe: dict, net: nn.Module, steps: int):
    """The recipe's optimizers and what changes their rates after each step."""
    rate, decay = recipe["rate"], recipe.get("decay", 0)
    if recipe["optimizer"] == "SGD":
        made = [torch.optim.SGD(net.parameters(), rate, recipe.get("momentum", 0))]
    elif recipe["optimizer"] == "Adam":
        made = [torch.optim.Adam(net.parameters(), rate)]
    elif recipe["optimizer"] == "Muon":
        filters = [p for p in net.parameters() if p.dim() == 4]
        dense = [p for p in net.parameters() if p.dim() == 2]
        others = [p for p in net.parameters() if p.dim() == 1]  # biases, and batch norm's: no decay
        momentum = {"momentum": recipe["momentum"]} if recipe.get("momentum") else {}
        made = [Matrices(filters, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw", **momentum),
                torch.optim.AdamW([{"params": dense, "weight_decay": decay},
                                   {"params": others, "weight_decay": 0}], rate)]
    else:
        raise SystemExit(f"error: no optimizer {recipe['optimizer']} for PyTorch")
    if not recipe.get("warm_up"):
        return made, []
    return made, [torch.optim.lr_scheduler.OneCycleLR(o, [g["lr"] for g in o.param_groups], total_steps=steps,
                                                      pct_start=recipe["warm_up"], cycle_momentum=False) for o in made]


class Checkpoint:
    """All that a training goes on from: what has a state of its own, the random numbers, and what is known so far."""

    def __init__(self, path: str, parts: list, known: dict):
        self.path, self.parts, self.known = Path(path), parts, known
        if self.path.exists():
            try:
                saved = torch.load(self.path, map_location="cpu", weights_only=True)
            except Exception as error:
                raise SystemExit(f"error: {self.path} is damaged ({error}): delete it") from error
            for part, state in zip(parts, saved["parts"], strict=True):
                part.load_state_dict(state)
            torch.set_rng_state(saved["random"])
            if DEVICE.type == "cuda":
                torch.cuda.set_rng_state(saved["random on device"])
            known.update(saved["known"])

    def write(self):
        state = {"parts": [part.state_dict() for part in self.parts], "random": torch.get_rng_state(),
                 "known": self.known}
        if DEVICE.type == "cuda":
            state["random on device"] = torch.cuda.get_rng_state()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".new")  # always this one: cmd/claims lets one process at a time write it
        with open(unfinished, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.path)


def train(work: dict, network: dict, folder: Path, permutation: list[int] | None, checkpoint: str) -> dict:
    data, recipe = work["data"], work["recipe"]
    large = work["network"] in LARGE
    torch.set_num_threads(len(os.sched_getaffinity(0)) if large else 1)
    torch.manual_seed(work["seed"])
    net = networks.InPyTorch(network).net.to(DEVICE, memory_format=torch.channels_last)
    images, labels, test_images, test_labels, black = read(data, folder, permutation)
    changes = Changes(data, images, black)
    apply = torch.compile(net, dynamic=False) if large else net
    batches = (len(images) + recipe["batch"] - 1) // recipe["batch"]
    made, schedules = optimizers(recipe, net, batches * recipe["epochs"])
    criterion = functional.nll_loss if recipe["loss"] == "negative log-likelihood" else functional.cross_entropy
    smooth = {"label_smoothing": recipe["smoothing"]} if recipe.get("smoothing") else {}
    known = {"epochs": 0, "seconds": 0.0}
    file = Checkpoint(checkpoint, [net, *made, *schedules], known)
    for epoch in range(known["epochs"], recipe["epochs"]):
        net.train()
        start = time.perf_counter()
        order, losses = torch.randperm(len(images), device=DEVICE), []
        for chosen in order.split(recipe["batch"]):
            for optimizer in made:
                optimizer.zero_grad()
            net.zero_grad()  # of the convolutions, too, which Muon knows as matrices
            x = changes.batch(chosen, epoch).contiguous(memory_format=torch.channels_last)
            loss = criterion(apply(x), labels[chosen], **smooth)
            loss.backward()
            for optimizer in made:
                optimizer.step()
            for schedule in schedules:
                schedule.step()
            losses.append(loss.detach())
        train_loss = torch.stack(losses).mean().item()
        if not numpy.isfinite(train_loss):
            raise SystemExit("error: the loss is not a number")
        print(f"epoch {epoch + 1}: training loss {train_loss:.4f}", file=sys.stderr)
        known.update(epochs=epoch + 1, seconds=known["seconds"] + time.perf_counter() - start, train_loss=train_loss)
        file.write()
    net.eval()
    with torch.inference_mode():
        scores = torch.cat([net(x.contiguous(memory_format=torch.channels_last)) for x in test_images.split(250)])
    accuracy = 100 * (scores.argmax(1) == test_labels).float().mean().item()
    return {
        "parameters": sum(p.numel() for p in net.parameters()),
        "accuracy": round(accuracy, 4),
        "loss": criterion(scores, test_labels).item(),
        "train_loss": known["train_loss"],
        "seconds": known["seconds"],
        "device": "cpu" if DEVICE.type == "cpu" else f"cuda · {torch.cuda.get_device_name()}",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps(train(asked["work"], asked["network"], Path(asked["folder"]), asked["permutation"],
                           asked["checkpoint"])))
