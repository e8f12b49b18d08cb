"""Times the book's networks beside PyTorch's and JAX's: the same work, in turns, on the same machine.

    make bench-peers              the works of `go run ./cmd/bench -list`, five rounds
    make bench-peers ROUNDS=9

First all of them compute the same from the same weights: scores of test images and gradients of a batch, to 1e-4. Then
each gets its own process, and they take turns, round by round. What comes out are ratios: a peer's time by the book's.
And how much memory the rounds take, beside what is there before: libraries, images, weights, and the book's momentum.

Where the processor multiplies bfloat16, PyTorch's autocast to it is timed beside the book's convolutions in it.
"""

import argparse
import functools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import networks
import numpy
from options import at_least, heed_signals, keep

CLONE = Path(__file__).resolve().parents[2]
OURS = CLONE / "build" / "bench"
PEERS = ["PyTorch", "PyTorch, channels last", "PyTorch, compiled", "JAX"]
BFLOAT16 = "bfloat16"

RATE, MOMENTUM = 0.001, 0.5
DEVICE = os.environ.get("CONVBOOK_BENCH_DEVICE", "cpu")  # gpu.py sets it


@functools.cache
def works() -> dict[str, dict]:
    """The book's works by name: network, images (training images, height, width, channels), batch, steps in a round (0
    for an epoch, -1 for none, but a test) and test images."""
    told = subprocess.run([str(OURS), "-describe"], check=True, cwd=CLONE, stdout=subprocess.PIPE, text=True).stdout
    return {work["name"]: work for work in json.loads(told)}


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
    shape = works()[work]["images"]
    return random.integers(0, 256, shape, dtype=numpy.uint8), random.integers(0, 10, shape[0])


class PyTorch:
    """A network in PyTorch as its users write it, with the data set as one tensor: no worker processes to wait for."""

    def __init__(self, work: str, mode: str, tf32: bool = False):
        import torch
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        self.torch, self.work = torch, works()[work]
        torch.manual_seed(1)
        made = networks.InPyTorch(self.work["network"])
        self.net, self.variables = made.net.to(DEVICE), made.variables
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

    def differences(self, ours: dict) -> dict[str, float]:
        """How far scores and gradients are from ours, as a share of the largest."""
        torch = self.torch
        with torch.no_grad():
            for name, (parameter, convert) in self.variables.items():
                parameter.copy_(torch.from_numpy(numpy.ascontiguousarray(convert(ours[f"weights/{name}"]))))
        for module in self.net.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # ours drop nothing, either
        self.net.eval()
        with torch.no_grad():
            scores = self.apply(self.image_tensor(ours["test"])).float().cpu().numpy()
        self.net.train()
        labels = torch.from_numpy(ours["labels"]).long().to(DEVICE)
        loss = torch.nn.functional.cross_entropy(self.apply(self.image_tensor(ours["batch"])), labels)
        loss.backward()
        found = {"scores": far(scores, ours["scores"])}
        for name in compared(self.work, self.variables):
            parameter, convert = self.variables[name]
            found[name] = far(parameter.grad.cpu().numpy(), convert(ours[f"gradients/{name}"]))
        return found

    def round(self) -> None:
        torch = self.torch
        batch, steps = self.work["batch"], self.work["steps"]
        if steps < 0:
            self.net.eval()
            with torch.inference_mode():
                self.apply(self.images[:self.work["tests"]]).sum().item()
            return
        order = torch.randperm(len(self.images), device=DEVICE)
        for i in range(steps or math.ceil(len(self.images) / batch)):
            chosen = order[i * batch:(i + 1) * batch]
            self.optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(self.apply(self.images[chosen]), self.labels[chosen])
            loss.backward()
            self.optimizer.step()
        loss.item()


class JAX:
    """The same network in plain JAX, compiled step by step, the data set on the device."""

    def __init__(self, work: str, mode: str):
        import jax
        self.jax, self.work = jax, works()[work]
        self.parameters = {}
        self.step = jax.jit(self.train, donate_argnums=(0, 1))
        self.infer = jax.jit(lambda p, x: networks.in_jax(self.work["network"], p, x, False))

    def loss(self, parameters, x, labels):
        logs = self.jax.nn.log_softmax(networks.in_jax(self.work["network"], parameters, x, True))
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
        batch, steps = self.work["batch"], self.work["steps"]
        if steps < 0:
            self.infer(self.parameters, self.images[:self.work["tests"]]).block_until_ready()
            return
        order = numpy.random.default_rng().permutation(len(self.images))
        for i in range(steps or len(self.images) // batch):  # without the short batch: it would be compiled apart
            self.parameters, self.velocity, loss = self.step(
                self.parameters, self.velocity, self.images, self.labels, order[i * batch:(i + 1) * batch])
        loss.block_until_ready()


def far(got, want) -> float:
    """The size of the difference as a share of the size."""
    got, want = numpy.asarray(got, numpy.float64), numpy.asarray(want, numpy.float64)
    return float(numpy.linalg.norm(got - want) / numpy.linalg.norm(want))


def compared(work: dict, gradients):
    """Those of the gradients that are compared: a bias before a batch norm has none but what rounding makes."""
    found = networks.kinds(work["network"]["layers"])
    return [name for name in gradients
            if not ("batch-norm" in found and "conv" in name.split("/")[-2] and name.endswith("/bias"))]


def tolerance(peer: str, work: str, what: str) -> float:
    """How far scores or a gradient may be from ours. Among the millions of values in a large or a branching network
    there are some so close to 0 that rounding decides whether they pass a ReLU, and some so close to each other that it
    decides which is the largest. Rounding to bfloat16 changes the small gradients of a first layer by a third, and
    those of the first of fifty by more than their size, before anything is learned: there, only scores are compared."""
    described = works()[work]
    branching = networks.kinds(described["network"]["layers"]) & {"branches", "residual"}
    large = bool(branching) or described["images"][1] > 100
    if peer.endswith(BFLOAT16):
        return 0.1 if what == "scores" else math.inf if large else 0.5
    return 0.05 if large and what != "scores" else 1e-4


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

    def ready(self) -> None:
        """Waits until it has read its data, and notes what memory that takes."""
        self.line()
        self.before = self.memory("VmRSS")

    def memory(self, name: str) -> int:
        """What Linux tells of its memory, in bytes."""
        told = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(told.split(f"{name}:")[1].split()[0])

    def forget(self) -> None:
        """The most memory that it had is from now on the most since now: it was that of a compiler."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def took(self) -> int:
        """The most memory that its rounds took, in bytes."""
        return self.memory("VmHWM") - self.before

    def line(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"error: {' '.join(map(str, self.process.args))} ended: see above")
        return line

    def round(self) -> float:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.line())

    def warm(self) -> None:
        """The first rounds, in which it compiles."""
        self.ready()
        self.round()

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def able(peers: list[str], work: str) -> list[str]:
    """Those of the peers that can do the work."""
    return [name for name in peers
            if name != "JAX" or networks.kinds(works()[work]["network"]["layers"]) <= networks.JAX_KINDS]


def exact() -> dict[str, str]:
    """The environment in which they are compared. TF32, which only a GPU has, is for the timing."""
    changed = {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    if DEVICE == "cuda":
        changed["GOMLX_BACKEND"] = "xla:cuda,tf32=false"
    return os.environ | changed


def write_ours(work: str, file: str) -> None:
    """Writes our weights, scores and gradients to the file."""
    subprocess.run([str(OURS), "-agree", work, file], check=True, cwd=CLONE, env=exact())


def agree(work: str, peer: str, file: str) -> None:
    """Compares a peer's scores and gradients with ours, which are in the file."""
    told = subprocess.run([sys.executable, __file__, "--agree", peer, work, file], check=True, cwd=CLONE,
                          env=exact(), stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(told.splitlines()[-1])
    wrong = [what for what in found if not found[what] <= tolerance(peer, work, what)]  # or no number
    worst = wrong[0] if wrong else max(found, key=lambda what: found[what] / tolerance(peer, work, what))
    print(f"{work}: {peer} agrees to {found[worst]:.1e} ({worst} of {len(found)})", flush=True)
    if wrong:
        raise SystemExit(f"error: {work}: {peer} and the book differ by {found[worst]:.1e} in {worst}: not timed")


def started(work: str, peers: list[str], file: str) -> dict[str, Process]:
    """The processes that do the work, by peer."""
    processes = {"convbook": Process([str(OURS), "-serve", work])}
    if any(name.endswith(BFLOAT16) for name in peers):
        processes[f"convbook, {BFLOAT16}"] = Process([str(OURS), "-serve", work, "-precision", BFLOAT16])
    for name in peers:
        processes[name] = Process([sys.executable, __file__, "--serve", name, work, file])
    return processes


def timed(processes: dict[str, Process], rounds: int) -> dict:
    """Seconds of each round and bytes that the rounds took, by peer. All are ready."""
    pause = 0.5 if DEVICE == "cpu" else 0.05  # until the threads of the one before no longer wait for work in a loop
    seconds = {name: [] for name in processes}
    for i in range(rounds + 1):
        for name, process in processes.items():
            time.sleep(pause)
            took = process.round()
            if i > 0:  # the first round warms up, and compiles
                seconds[name].append(took)
            else:
                process.forget()
    memory = {name: process.took() for name, process in processes.items()}
    for process in processes.values():
        process.stop()
    return {"seconds": seconds, "bytes": memory}


def compare(work: str, peers: list[str], rounds: int) -> dict:
    """Seconds of each round and bytes that the rounds took, by peer, if they agree."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "ours.safetensors")
        write_ours(work, file)
        for name in peers:
            agree(work, name, file)
        processes = started(work, peers, file)
        for process in processes.values():
            process.ready()
        return timed(processes, rounds)


def report(work: str, found: dict) -> str:
    seconds = found["seconds"]
    megabytes = {name: f"{taken / 1e6:,.0f} MB" for name, taken in found["bytes"].items()}
    lines = [f"{work}: convbook {statistics.median(seconds['convbook']):.4f} s, {megabytes['convbook']}"]
    for name, theirs in seconds.items():
        ours = seconds.get(f"convbook, {BFLOAT16}" if name == f"PyTorch, {BFLOAT16}" else "convbook")
        if name != "convbook" and ours:
            ratios = sorted(t / o for t, o in zip(theirs, ours))
            lines.append(f"  {name:<24} {statistics.median(theirs):.4f} s   {statistics.median(ratios):.2f} "
                         f"({ratios[0]:.2f} – {ratios[-1]:.2f})   {megabytes[name]}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="*", help="all if none")
    parser.add_argument("--rounds", type=at_least(1), default=5)
    usual = PEERS + [f"PyTorch, {BFLOAT16}"] * ("avx512_bf16" in Path("/proc/cpuinfo").read_text())
    parser.add_argument("--peers", default=";".join(usual), help="names with ; between them")
    parser.add_argument("--out", default=str(CLONE / "build" / "bench-peers.json"))
    parser.add_argument("--serve", nargs=3, metavar=("PEER", "WORK", "FILE"), help=argparse.SUPPRESS)
    parser.add_argument("--agree", nargs=3, metavar=("PEER", "WORK", "FILE"), help=argparse.SUPPRESS)
    heed_signals()
    options = parser.parse_args()
    if options.serve:
        return serve(*options.serve)
    if options.agree:
        name, work, file = options.agree
        print(json.dumps(peer(name, work).differences(read(file))))
        return None
    for work in options.works:
        if work not in works():
            parser.error(f"there is no work {work!r}: there is {'; '.join(works())}")
    found = {}
    for work in options.works or [name for name, work in works().items() if work["steps"] <= 1]:
        found[work] = compare(work, able(options.peers.split(";"), work), options.rounds)
        print(report(work, found[work]), flush=True)
        keep(Path(options.out), found)
    return None


if __name__ == "__main__":
    main()
