"""Times VGG16 and Net on an NVIDIA GPU, beside PyTorch and JAX: steps, inference, and ten epochs to their accuracy.

    make bench-gpu        all of it, in less than ten minutes; the Python that runs it brings PyTorch and JAX for CUDA

PyTorch runs as the lecture notes write it, with a DataLoader, and at its best: the data set and its augmentation on the
GPU, channels last, compiled, TF32. The book runs with TF32, too, which is XLA's default, and JAX as in
`make bench-peers`. Before anything is timed, scores and gradients are compared, in full float32.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

import numpy
import peers

DATA = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convbook" / "data" / "cifar10"
WORKS = ["Net, epoch", "VGG16, step", "VGG16, inference"]
RECIPES = {  # batch, means, standard deviations, augmented: those of notebooks 12 and 13
    "Net": (64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), False),
    "VGG16": (128, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010), True),
}


def split(name: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The images, uint8 [image, 32, 32, 3], and labels of train or test, as `make data` leaves them."""
    labels = numpy.fromfile(DATA / f"{name}-labels", numpy.uint8)
    pixels = numpy.fromfile(DATA / f"{name}-pixels", numpy.uint8).reshape(len(labels), 32, 32, 3)
    return pixels, labels.astype(numpy.int64)


def network(name: str, mode: str):
    """The network on the device, with TF32 where that has it."""
    return peers.PyTorch(next(work for work in WORKS if work.startswith(name)), mode, tf32=True).net


def loader_epochs(name: str, epochs: int, device: str) -> tuple[float, float]:
    """Trains as the notes do: torchvision's transforms in two worker processes. Returns seconds and accuracy."""
    import torch
    from PIL import Image
    from torchvision import transforms
    batch, mean, std, augmented = RECIPES[name]
    last = [transforms.ToTensor(), transforms.Normalize(mean, std)]
    first = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()] if augmented else []

    class Photos(torch.utils.data.Dataset):
        def __init__(self, which: str, transform):
            self.pixels, self.labels = split(which)
            self.transform = transform

        def __len__(self) -> int:
            return len(self.labels)

        def __getitem__(self, i: int):
            return self.transform(Image.fromarray(self.pixels[i])), self.labels[i]

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--device", default="cuda", help="cpu tries the script itself, where there is no GPU")
    parser.add_argument("--out", default=str(peers.CLONE / "build" / "bench-gpu.json"))
    options = parser.parse_args()
    import torch
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: PyTorch sees no CUDA device: run this where `nvidia-smi` shows a GPU, "
                         "with a PyTorch for CUDA")
    name = torch.cuda.get_device_name() if options.device == "cuda" else "this processor"
    print(f"{name}, PyTorch {torch.__version__}", flush=True)
    os.environ["CONVBOOK_BENCH_DEVICE"] = peers.DEVICE = options.device  # of this process, and of those it starts
    found = {"device": name, "seconds": {}, "epochs": {}}
    for work in WORKS:
        os.environ["GOMLX_BACKEND"] = f"xla:{options.device}"
        seconds = peers.compare(work, ["PyTorch, channels last", "PyTorch, compiled", "JAX"], options.rounds)
        found["seconds"][work] = seconds
        print(peers.report(work, seconds), flush=True)
    for net in RECIPES:
        for who, train in (("convbook", lambda n, e, d: our_epochs(n, e)), ("PyTorch, DataLoader", loader_epochs),
                           ("PyTorch, tuned", tuned_epochs)):
            took, accuracy = train(net, options.epochs, options.device)
            found["epochs"][f"{net}, {who}"] = {"seconds": took, "accuracy": accuracy}
            print(f"{net}, {options.epochs} epochs, {who}: {took:.1f} s, {accuracy:.2f} %", flush=True)
    Path(options.out).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
