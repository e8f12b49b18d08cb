"""Times the book's networks beside PyTorch's and JAX's: the same work, in turns, on the same machine.

    make bench-peers              the works of `go run ./cmd/bench -list`, five rounds
    make bench-peers ROUNDS=9

First all of them compute the same from the same weights: scores of test images and gradients of a batch, to 1e-4. Then
each gets its own process, and they take turns, round by round. What comes out are ratios: a peer's time by the book's.

Where the processor multiplies bfloat16, PyTorch's autocast to it is timed beside the book's convolutions in it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

CLONE = Path(__file__).resolve().parents[2]
OURS = CLONE / "build" / "bench"
PEERS = ["PyTorch", "PyTorch, channels last", "PyTorch, compiled", "JAX"]
BFLOAT16 = "bfloat16"

# Network, images, batch, steps in a round: what `go run ./cmd/bench` has. 0 steps: an epoch; -1: 1,000 test images.
WORKS = {
    "FC2Layer, epoch": ("FC2Layer", (60000, 28, 28, 1), 64, 0),
    "CNN, epoch": ("CNN", (60000, 28, 28, 1), 64, 0),
    "Net, epoch": ("Net", (50000, 32, 32, 3), 64, 0),
    "VGG16, step": ("VGG16", (50000, 32, 32, 3), 128, 1),
    "VGG16, inference": ("VGG16", (50000, 32, 32, 3), 128, -1),
}
LAYERS = {
    "FC2Layer": ["flatten", ("dense", 8), "relu", ("dense", 8), "relu", ("dense", 10), "log-softmax"],
    "CNN": [("conv", 6, 5, 0), "relu", "pool", ("conv", 6, 5, 0), "relu", "pool", "flatten",
            ("dense", 50), "relu", ("dense", 10), "log-softmax"],
    "Net": [("conv", 6, 5, 0), "relu", "pool", ("conv", 16, 5, 0), "relu", "pool", "flatten",
            ("dense", 120), "relu", ("dense", 84), "relu", ("dense", 10)],
    "VGG16": [layer for filters in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)
              for layer in (["pool"] if filters == 0 else [("conv", filters, 3, 1), "batch-norm", "relu"])]
             + ["flatten", ("dense", 10)],
}
RATE, MOMENTUM = 0.001, 0.5
DEVICE = os.environ.get("CONVBOOK_BENCH_DEVICE", "cpu")  # gpu.py sets it


def normalised(pixels: numpy.ndarray) -> numpy.ndarray:
    mean, std = (0.1307, 0.3081) if pixels.shape[-1] == 1 else (0.5, 0.5)
    return ((pixels / numpy.float32(255) - numpy.float32(mean)) / numpy.float32(std)).astype(numpy.float32)


def read(path: str) -> dict[str, numpy.ndarray]:
    """A safetensors file of float32."""
    content = Path(path).read_bytes()
    length = int.from_bytes(content[:8], "little")
    arrays = {}
    for name, entry in json.loads(content[8:8 + length]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            array = numpy.frombuffer(content[8 + length:][begin:end], numpy.float32).reshape(entry["shape"])
            arrays[name] = array.copy()  # PyTorch wants to be able to write
    return arrays


def made_up(work: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Images and labels to time with: their content does not matter for the time."""
    random = numpy.random.default_rng(0)
    shape = WORKS[work][1]
    return random.integers(0, 256, shape, dtype=numpy.uint8), random.integers(0, 10, shape[0])


def sequential(name: str, shape: tuple[int, int, int]):
    """The network of LAYERS in PyTorch for images of height × width × channels, with PyTorch's own initial weights, and
    height, width and channels of what is made flat, by the number of the layer that follows."""
    from torch import nn
    (height, width, channels), layers, flattened, flat = shape, [], {}, None
    for layer in LAYERS[name]:
        kind = layer if isinstance(layer, str) else layer[0]
        if kind == "conv":
            _, filters, kernel, padding = layer
            layers.append(nn.Conv2d(channels, filters, kernel, padding=padding))
            height, width, channels = height + 2 * padding - kernel + 1, width + 2 * padding - kernel + 1, filters
        elif kind == "pool":
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        elif kind == "flatten":
            layers.append(nn.Flatten())
            flat = height * width * channels
            flattened[len(layers)] = (height, width, channels)
        elif kind == "dense":
            layers.append(nn.Linear(flat, layer[1]))
            flat = layer[1]
        elif kind == "batch-norm":
            layers.append(nn.BatchNorm2d(channels))
        else:
            layers.append({"relu": nn.ReLU(), "log-softmax": nn.LogSoftmax(1)}[kind])
    return nn.Sequential(*layers), flattened


class PyTorch:
    """A network in PyTorch as its users write it, with the data set as one tensor: no worker processes to wait for."""

    def __init__(self, work: str, mode: str, tf32: bool = False):
        import torch
        torch.set_num_threads(os.cpu_count() or 1)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        self.torch, self.work = torch, work
        self.name, self.shape, self.batch, self.steps = WORKS[work]
        torch.manual_seed(1)
        net, self.flattened = sequential(self.name, self.shape[1:])
        self.net = net.to(DEVICE)
        self.last = mode in ("channels last", BFLOAT16)
        if self.last:
            self.net = self.net.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.net.parameters(), RATE, MOMENTUM)
        apply = torch.compile(self.net) if mode in ("compiled", BFLOAT16) else self.net
        self.apply = torch.autocast(DEVICE, torch.bfloat16)(apply) if mode == BFLOAT16 else apply

    def image_tensor(self, images: numpy.ndarray):
        x = self.torch.from_numpy(numpy.ascontiguousarray(normalised(images).transpose(0, 3, 1, 2))).to(DEVICE)
        return x.contiguous(memory_format=self.torch.channels_last) if self.last else x

    def load(self, work: str) -> None:
        images, labels = made_up(work)
        self.images, self.labels = self.image_tensor(images), self.torch.from_numpy(labels).to(DEVICE)

    def variables(self):
        """The parameters with their names in the book and how to bring the book's arrays into PyTorch's order."""
        counts = {}
        for i, layer in enumerate(self.net):
            kind = {"Conv2d": "conv", "Linear": "dense", "BatchNorm2d": "batch-norm"}.get(type(layer).__name__)
            if kind:
                counts[kind] = counts.get(kind, 0) + 1
                name = f"{kind}{counts[kind]}"
            if kind == "conv":
                yield f"{name}/weights", layer.weight, lambda a: a.transpose(3, 2, 0, 1)
                yield f"{name}/bias", layer.bias, lambda a: a.reshape(-1)
            elif kind == "dense":
                shape = self.flattened.get(i)
                yield f"{name}/weights", layer.weight, lambda a, s=shape: (
                    a.T if s is None else a.reshape(*s, -1).transpose(3, 2, 0, 1).reshape(a.shape[1], -1))
                yield f"{name}/bias", layer.bias, lambda a: a.reshape(-1)
            elif kind == "batch-norm":
                yield f"{name}/scale", layer.weight, lambda a: a.reshape(-1)
                yield f"{name}/shift", layer.bias, lambda a: a.reshape(-1)

    def differences(self, ours: dict) -> dict[str, float]:
        """How far scores and gradients are from ours, as a share of the largest."""
        torch = self.torch
        with torch.no_grad():
            for name, parameter, convert in self.variables():
                parameter.copy_(torch.from_numpy(numpy.ascontiguousarray(convert(ours[f"weights/{name}"]))))
        self.net.eval()
        with torch.no_grad():
            scores = self.apply(self.image_tensor(ours["test"])).float().cpu().numpy()
        self.net.train()
        labels = torch.from_numpy(ours["labels"]).long().to(DEVICE)
        loss = torch.nn.functional.cross_entropy(self.apply(self.image_tensor(ours["batch"])), labels)
        loss.backward()
        found = {"scores": far(scores, ours["scores"])}
        variables = {name: (parameter, convert) for name, parameter, convert in self.variables()}
        for name in compared(self.work, variables):
            parameter, convert = variables[name]
            found[name] = far(parameter.grad.cpu().numpy(), convert(ours[f"gradients/{name}"]))
        return found

    def round(self) -> None:
        torch = self.torch
        if self.steps < 0:
            self.net.eval()
            with torch.inference_mode():
                self.apply(self.images[:1000]).sum().item()
            return
        order = torch.randperm(len(self.images), device=DEVICE)
        steps = self.steps or (len(self.images) + self.batch - 1) // self.batch
        for i in range(steps):
            chosen = order[i * self.batch:(i + 1) * self.batch]
            self.optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(self.apply(self.images[chosen]), self.labels[chosen])
            loss.backward()
            self.optimizer.step()
        loss.item()


class JAX:
    """The same network in plain JAX, compiled step by step, the data set on the device."""

    def __init__(self, work: str, mode: str):
        import jax
        self.jax, self.work = jax, work
        self.name, self.shape, self.batch, self.steps = WORKS[work]
        self.parameters = {}
        self.step = jax.jit(self.train, donate_argnums=(0, 1))
        self.infer = jax.jit(lambda p, x: self.network(p, x, False))

    def network(self, parameters, x, training: bool):
        jax, jnp, counts = self.jax, self.jax.numpy, {}
        for layer in LAYERS[self.name]:
            kind = layer if isinstance(layer, str) else layer[0]
            counts[kind] = counts.get(kind, 0) + 1
            own = f"{kind}{counts[kind]}"
            if kind == "conv":
                padding = [(layer[3], layer[3])] * 2
                x = jax.lax.conv_general_dilated(x, parameters[f"{own}/weights"], (1, 1), padding,
                                                 dimension_numbers=("NHWC", "HWIO", "NHWC"))
                x = x + parameters[f"{own}/bias"]
            elif kind == "pool":
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            elif kind == "flatten":
                x = x.reshape(x.shape[0], -1)
            elif kind == "dense":
                x = x @ parameters[f"{own}/weights"] + parameters[f"{own}/bias"]
            elif kind == "relu":
                x = jnp.maximum(x, 0)
            elif kind == "log-softmax":
                x = jax.nn.log_softmax(x)
            elif kind == "batch-norm":  # before training its averages are 0 and 1
                mean, variance = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if training else (0, 1)
                x = (x - mean) * jax.lax.rsqrt(variance + 1e-5)
                x = x * parameters[f"{own}/scale"] + parameters[f"{own}/shift"]
        return x

    def loss(self, parameters, x, labels):
        logs = self.jax.nn.log_softmax(self.network(parameters, x, True))
        return -logs[self.jax.numpy.arange(len(labels)), labels].mean()

    def train(self, parameters, velocity, images, labels, chosen):
        loss, gradients = self.jax.value_and_grad(self.loss)(parameters, images[chosen], labels[chosen])
        velocity = self.jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, gradients)
        return self.jax.tree.map(lambda p, v: p - RATE * v, parameters, velocity), velocity, loss

    def use(self, ours: dict) -> None:
        self.parameters = {name.removeprefix("weights/"): self.jax.numpy.asarray(a) for name, a in ours.items()
                           if name.startswith("weights/") and not name.endswith(("/mean", "/variance"))}
        self.velocity = self.jax.tree.map(self.jax.numpy.zeros_like, self.parameters)

    def load(self, work: str) -> None:
        images, labels = made_up(work)
        self.images, self.labels = self.jax.numpy.asarray(normalised(images)), self.jax.numpy.asarray(labels)

    def differences(self, ours: dict) -> dict[str, float]:
        self.use(ours)
        found = {"scores": far(self.infer(self.parameters, normalised(ours["test"])), ours["scores"])}
        gradient = self.jax.jit(self.jax.grad(self.loss))
        gradients = gradient(self.parameters, normalised(ours["batch"]), ours["labels"].astype(int))
        for name in compared(self.work, gradients):
            found[name] = far(gradients[name], ours[f"gradients/{name}"])
        return found

    def round(self) -> None:
        if self.steps < 0:
            self.infer(self.parameters, self.images[:1000]).block_until_ready()
            return
        order = numpy.random.default_rng().permutation(len(self.images))
        steps = self.steps or len(self.images) // self.batch  # without the short batch: it would be compiled apart
        for i in range(steps):
            self.parameters, self.velocity, loss = self.step(
                self.parameters, self.velocity, self.images, self.labels, order[i * self.batch:(i + 1) * self.batch])
        loss.block_until_ready()


def far(got, want) -> float:
    """The size of the difference as a share of the size."""
    got, want = numpy.asarray(got, numpy.float64), numpy.asarray(want, numpy.float64)
    return float(numpy.linalg.norm(got - want) / numpy.linalg.norm(want))


def compared(work: str, gradients):
    """Those of the gradients that are compared: a bias before a batch norm has none but what rounding makes."""
    normed = "batch-norm" in LAYERS[WORKS[work][0]]
    return [name for name in gradients if not (normed and name.startswith("conv") and name.endswith("/bias"))]


def peer(name: str, work: str, tf32: bool = False):
    kind, _, mode = name.partition(", ")
    return PyTorch(work, mode, tf32) if kind == "PyTorch" else JAX(work, mode)


def serve(name: str, work: str, file: str) -> None:
    """A process that does a round for each line it reads."""
    made = peer(name, work, tf32=True)
    if name == "JAX":
        made.use(read(file))
    made.load(work)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        made.round()
        print(time.perf_counter() - start, flush=True)


class Process:
    def __init__(self, command: list[str]):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CLONE)
        self.line()

    def line(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"error: {' '.join(map(str, self.process.args))} ended: see above")
        return line

    def round(self) -> float:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.line())

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(work: str, peers: list[str], rounds: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "ours.safetensors")
        # TF32, which only a GPU has, is for the timing.
        exact = os.environ | {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
        subprocess.run([str(OURS), "-agree", work, file], check=True, cwd=CLONE, env=exact)
        for name in peers:
            told = subprocess.run([sys.executable, __file__, "--agree", name, work, file], check=True, cwd=CLONE,
                                  env=exact, stdout=subprocess.PIPE, text=True).stdout
            found = json.loads(told.splitlines()[-1])
            worst = max(found, key=found.get)
            print(f"{work}: {name} agrees to {found[worst]:.1e} ({worst})", flush=True)
            if not found[worst] <= (0.1 if name.endswith(BFLOAT16) else 1e-4):
                raise SystemExit(f"error: {work}: {name} and the book differ by {found[worst]:.1e} in {worst}: "
                                 "not timed")
        processes = {"convbook": Process([str(OURS), "-serve", work])}
        if any(name.endswith(BFLOAT16) for name in peers):
            processes[f"convbook, {BFLOAT16}"] = Process([str(OURS), "-serve", work, "-precision", BFLOAT16])
        for name in peers:
            processes[name] = Process([sys.executable, __file__, "--serve", name, work, file])
        seconds = {name: [] for name in processes}
        for i in range(rounds + 1):
            for name, process in processes.items():
                time.sleep(0.5)  # until the threads of the one before have stopped waiting for more work in a loop
                took = process.round()
                if i > 0:  # the first round warms up, and compiles
                    seconds[name].append(took)
        for process in processes.values():
            process.stop()
    return seconds


def report(work: str, seconds: dict) -> str:
    lines = [f"{work}: convbook {statistics.median(seconds['convbook']):.4f} s"]
    for name, theirs in seconds.items():
        if name != "convbook":
            ours = seconds["convbook"]
            if name == f"PyTorch, {BFLOAT16}":
                ours = seconds[f"convbook, {BFLOAT16}"]
            ratios = sorted(t / o for t, o in zip(theirs, ours))
            lines.append(f"  {name:<24} {statistics.median(theirs):.4f} s   {statistics.median(ratios):.2f} "
                         f"({ratios[0]:.2f} – {ratios[-1]:.2f})")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="*", help="all if none")
    parser.add_argument("--rounds", type=int, default=5)
    usual = PEERS + [f"PyTorch, {BFLOAT16}"] * ("avx512_bf16" in Path("/proc/cpuinfo").read_text())
    parser.add_argument("--peers", default=";".join(usual), help="names with ; between them")
    parser.add_argument("--out", default=str(CLONE / "build" / "bench-peers.json"))
    parser.add_argument("--serve", nargs=3, metavar=("PEER", "WORK", "FILE"), help=argparse.SUPPRESS)
    parser.add_argument("--agree", nargs=3, metavar=("PEER", "WORK", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(*options.serve)
    if options.agree:
        name, work, file = options.agree
        print(json.dumps(peer(name, work).differences(read(file))))
        return None
    for work in options.works:
        if work not in WORKS:
            parser.error(f"there is no work {work!r}: there is {'; '.join(WORKS)}")
    found = {}
    for work in options.works or WORKS:
        found[work] = compare(work, options.peers.split(";"), options.rounds)
        print(report(work, found[work]), flush=True)
    Path(options.out).write_text(json.dumps(found, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
