"""Times CNN, Net, VGG16 and ResNet-50 on an NVIDIA GPU, beside PyTorch and JAX, and trains Net and VGG16.

    make bench-gpu        all of it, in a quarter of an hour or more, with a python3 that has PyTorch and JAX for CUDA

PyTorch runs as the lecture notes write it, with a DataLoader, and at its best: the data set and its augmentation on the
GPU, channels last, compiled, TF32. The book runs with TF32, too, which is XLA's default, and JAX as in
`make bench-peers`. A work's programs start, and compile, at the same time, while scores and gradients are compared in
full float32; then those that agree take turns.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import peers
from options import at_least, heed_signals, keep

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convbook" / "data"
WORKS = ["CNN, epoch", "Net, epoch", "VGG16, 100 steps", "VGG16, inference", "ResNet-50, step"]
PEERS = ["PyTorch, channels last", "PyTorch, compiled", f"PyTorch, {peers.BFLOAT16}", "JAX"]
NOTES = 3  # epochs of the training as in the notes, whose data set keeps the GPU waiting
FAILED: list[str] = []
RECIPES = {  # batch, means, standard deviations, augmented: those of notebooks 12 and 13
    "Net": (64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), False),
    "VGG16": (128, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010), True),
}


def split(name: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The images, uint8 [image, 32, 32, 3], and labels of train or test, as `make data` leaves them."""
    places = [Path(folder) for folder in (os.environ.get("CONVBOOK_DATA"), CACHE) if folder]
    data = next((place / "cifar10" for place in places if (place / "cifar10" / "train-pixels").exists()), None)
    if not data:
        raise SystemExit(f"CIFAR-10 is not in {' or '.join(map(str, places))}, as `make data` leaves it there")
    labels = numpy.fromfile(data / f"{name}-labels", numpy.uint8)
    pixels = numpy.fromfile(data / f"{name}-pixels", numpy.uint8).reshape(len(labels), 32, 32, 3)
    return pixels, labels.astype(numpy.int64)


def network(name: str, mode: str):
    """The network on the device, with TF32 where that has it."""
    return peers.PyTorch(next(work for work in WORKS if work.startswith(name)), mode, tf32=True).net


class Photos:
    """CIFAR-10 as a data set of PyTorch. It is here, and not in a function, for worker processes to find it."""

    def __init__(self, which: str, transform):
        self.pixels, self.labels = split(which)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int):
        from PIL import Image
        return self.transform(Image.fromarray(self.pixels[i])), self.labels[i]


def loader_epochs(name: str, epochs: int, device: str) -> tuple[float, float]:
    """Trains as the notes do: torchvision's transforms in two worker processes. Returns seconds and accuracy."""
    import torch
    from torchvision import transforms
    batch, mean, std, augmented = RECIPES[name]
    last = [transforms.ToTensor(), transforms.Normalize(mean, std)]
    first = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()] if augmented else []

    photos = Photos("train", transforms.Compose(first + last))
    train = torch.utils.data.DataLoader(photos, batch, shuffle=True, num_workers=2)
    test = torch.utils.data.DataLoader(Photos("test", transforms.Compose(last)), 1000, num_workers=2)
    net = network(name, "")
    optimizer = torch.optim.Adam(net.parameters(), 0.001)
    start = time.perf_counter()
    for _ in range(epochs):
        for x, wanted in train:
            x, wanted = x.to(device), wanted.to(device)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), wanted).backward()
            optimizer.step()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    net.eval()
    with torch.inference_mode():
        right = sum((net(x.to(device)).argmax(1).cpu() == wanted).sum().item() for x, wanted in test)
    return seconds, right / 100


def tuned_epochs(name: str, epochs: int, device: str) -> tuple[float, float]:
    """The same training with PyTorch at its best. The seconds are without those of compiling, as the book's are."""
    import torch
    batch, mean, std, augmented = RECIPES[name]
    torch.backends.cudnn.benchmark = True
    net = network(name, "channels last")
    apply = torch.compile(net)
    optimizer = torch.optim.Adam(net.parameters(), 0.001, fused=True)

    def on_device(which: str):
        pixels, labels = split(which)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device), torch.from_numpy(labels).to(device)

    center = torch.tensor(mean, device=device).view(1, 3, 1, 1) * 255
    scale = torch.tensor(std, device=device).view(1, 3, 1, 1) * 255

    def normalised(x):
        return ((x.float() - center) / scale).contiguous(memory_format=torch.channels_last)

    images, labels = on_device("train")
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    window = torch.arange(32, device=device)

    def chosen(i):
        if not augmented:
            return normalised(images[i])
        n = len(i)
        rows = (torch.randint(0, 9, (n, 1), device=device) + window).view(n, 1, 32, 1)
        columns = torch.randint(0, 9, (n, 1), device=device) + window
        columns = torch.where(torch.rand(n, 1, device=device) < 0.5, columns, columns.flip(1)).view(n, 1, 1, 32)
        return normalised(padded[i.view(n, 1, 1, 1), torch.arange(3, device=device).view(1, 3, 1, 1), rows, columns])

    def step(i):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(apply(chosen(i)), labels[i]).backward()
        optimizer.step()

    state = {key: value.clone() for key, value in net.state_dict().items()}
    step(torch.arange(batch, device=device))  # compiles
    net.load_state_dict(state)
    optimizer.state.clear()
    start = time.perf_counter()
    for _ in range(epochs):
        order = torch.randperm(len(images), device=device)
        for first in range(0, len(order) - batch + 1, batch):  # without the short batch: it would be compiled apart
            step(order[first:first + batch])
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    net.eval()
    test, wanted = on_device("test")
    with torch.inference_mode():
        right = sum((net(normalised(test[i:i + 1000])).argmax(1) == wanted[i:i + 1000]).sum().item()
                    for i in range(0, len(test), 1000))
    return seconds, right / 100


def our_epochs(name: str, epochs: int) -> tuple[float, float]:
    result = subprocess.run([str(peers.OURS), "-train", name, "-epochs", str(epochs)], check=True, cwd=peers.CLONE,
                            stdout=subprocess.PIPE, text=True)
    found = json.loads(result.stdout.splitlines()[-1])
    return found["train_seconds"], found["test_accuracy"]


def attempt(what: str, do: Callable):
    """What do returns; None if it fails, which is told and does not keep the rest from being measured."""
    try:
        return do()
    except (SystemExit, Exception) as error:
        FAILED.append(what)
        print(f"{what}: {error}", file=sys.stderr, flush=True)
        return None


def time_work(work: str, rounds: int) -> dict | None:
    """What peers.timed tells of the work. A peer that fails or disagrees is left out; None if we fail."""
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(20) as pool:
        file = str(Path(folder) / "ours.safetensors")
        if not attempt(work, lambda: peers.write_ours(work, file) or True):
            return None
        names = peers.able(PEERS, work)
        processes = peers.started(work, names, file)

        def at_once(name: str, do: Callable, *arguments: str):
            return pool.submit(attempt, f"{work}, {name}", lambda: do(*arguments) or True)

        begun = [(name, at_once(name, process.warm)) for name, process in processes.items()]
        begun += [(name, at_once(name, peers.agree, work, name, file)) for name in names]
        unfit = {name for name, ended in begun if not ended.result()}  # nothing else runs while they are timed
        for name in unfit:
            processes.pop(name).stop()
        return attempt(work, lambda: peers.timed(processes, rounds)) if "convbook" in processes else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="*", default=WORKS, help="some of " + "; ".join(WORKS))
    parser.add_argument("--rounds", type=at_least(1), default=5)
    parser.add_argument("--epochs", type=at_least(0), default=10, help="to train Net and VGG16 for; 0: not at all")
    parser.add_argument("--device", default="cuda", help="cpu tries the script itself, where there is no GPU")
    parser.add_argument("--out", default=str(peers.CLONE / "build" / "bench-gpu.json"))
    heed_signals()
    options = parser.parse_args()
    for work in options.works:
        if work not in peers.works():
            parser.error(f"there is no work {work!r}: there is {'; '.join(peers.works())}")
    import torch
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: PyTorch sees no CUDA device: run this where `nvidia-smi` shows a GPU, "
                         "with a PyTorch for CUDA")
    name = torch.cuda.get_device_name() if options.device == "cuda" else "this processor"
    print(f"{name}, PyTorch {torch.__version__}", flush=True)
    os.environ["CONVBOOK_BENCH_DEVICE"] = peers.DEVICE = options.device  # of this process, and of those it starts
    os.environ["GOMLX_BACKEND"] = f"xla:{options.device}"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # JAX would take three quarters of the GPU's memory
    found = {"device": name, "torch": torch.__version__, "seconds": {}, "epochs": {}}
    for work in options.works:
        if told := time_work(work, options.rounds):
            found["seconds"][work] = told
            print(peers.report(work, told), flush=True)
            keep(Path(options.out), found)
    for net in RECIPES if options.epochs else []:
        for who, train in (("convbook", lambda n, e, d: our_epochs(n, e)), ("PyTorch, tuned", tuned_epochs),
                           ("PyTorch, DataLoader", loader_epochs)):
            epochs = min(options.epochs, NOTES) if train is loader_epochs else options.epochs
            told = attempt(f"{net}, {who}", lambda t=train, n=net, e=epochs: t(n, e, options.device))
            if told:
                found["epochs"][f"{net}, {who}"] = {"epochs": epochs, "seconds": told[0], "accuracy": told[1]}
                print(f"{net}, {epochs} epochs, {who}: {told[0]:.1f} s, {told[1]:.2f} %", flush=True)
                keep(Path(options.out), found)
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
