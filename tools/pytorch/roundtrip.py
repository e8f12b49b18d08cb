#!/usr/bin/env python3
"""Takes the weights of every network of the zoo from PyTorch to the book and back, and the book's to PyTorch.

    make peers
    build/peers/bin/python tools/pytorch/roundtrip.py [NETWORK ...]

PyTorch writes each network four times: as it is, compiled and for parallel training, and in both kinds of half
precision. The book reads them and writes them again, which must give the same numbers bit by bit. Its scores for an
image must be PyTorch's, for PyTorch's weights and for those that it draws itself; the difference is in parts of the
largest score.
"""

import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lib" / "pytorch"))
from fixtures import image_of, networks

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
TOLERANCE = 1e-4


class Times(torch.nn.Module):
    """Multiplies by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def speednet() -> torch.nn.Module:
    """SpeedNet, whose batch norms' scales stay 1."""
    layers, before = [torch.nn.Conv2d(3, 24, 2, bias=False), torch.nn.GELU()], 24
    for n in (64, 256, 256):
        layers += [torch.nn.Conv2d(before, n, 3, padding=1, bias=False), torch.nn.MaxPool2d(2), torch.nn.BatchNorm2d(n),
                   torch.nn.GELU(), torch.nn.Conv2d(n, n, 3, padding=1, bias=False), torch.nn.BatchNorm2d(n),
                   torch.nn.GELU()]
        before = n
    layers += [torch.nn.MaxPool2d(3), torch.nn.Flatten(), torch.nn.Linear(before, 10), Times(1 / 9)]
    return torch.nn.Sequential(*layers)


def used(make, side: int, channels: int) -> torch.nn.Module:
    """A network whose weights are large enough for scores that differ, and whose batch norms have seen images."""
    torch.manual_seed(1)
    net = make().train()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() > 1:
                torch.nn.init.kaiming_uniform_(parameter, nonlinearity="relu")
        if any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules()):
            for _ in range(3):
                net(torch.randn(4, channels, side, side))
    return net.eval()


def difference(got: list[float], want: torch.Tensor) -> float:
    return float((torch.tensor(got) - want).abs().max() / want.abs().max())


def written(folder: Path, net: torch.nn.Module) -> dict:
    """The state of each form, by the name of its file."""
    state = net.state_dict()
    wrapped = torch.compile(torch.nn.DataParallel(net)).state_dict()
    assert all(name.startswith("_orig_mod.module.") for name in wrapped)
    save_file(state, folder / "plain.safetensors")
    save_file(wrapped, folder / "wrapped.safetensors")
    half = {}
    for form, dtype in (("half", torch.float16), ("bfloat16", torch.bfloat16)):
        half[form] = copy.deepcopy(net).to(dtype).state_dict()
        save_file(half[form], folder / f"{form}.safetensors")
    return {"plain": state, "wrapped": state, **half}


def same(file: Path, state: dict) -> bool:
    again = load_file(file)
    wanted = {name: t.float() for name, t in state.items() if not name.endswith("num_batches_tracked")}
    return again.keys() == wanted.keys() and all(torch.equal(again[name], t) for name, t in wanted.items())


def check(name: str, make, side: int, channels: int) -> bool:
    net = used(make, side, channels)
    with tempfile.TemporaryDirectory(dir=BUILD) as name_of_folder, torch.no_grad():
        folder = Path(name_of_folder)
        states = written(folder, net)
        subprocess.run([BUILD / "pytorch", name, folder], check=True)
        scores = json.loads((folder / "scores.json").read_text())
        changed = [form for form, state in states.items() if not same(folder / f"{form}-again.safetensors", state)]
        there = difference(scores["plain"], net(image_of(side, channels))[0])
        net.load_state_dict(load_file(folder / "own.safetensors"))  # strictly: no name may lack or be too many
        back = difference(scores["own"], net(image_of(side, channels))[0])
    right = not changed and there <= TOLERANCE and back <= TOLERANCE
    print(f"{name:20} {sum(p.numel() for p in net.parameters()):>11,} {there:>10.1e} {back:>10.1e}  "
          f"{'as it was' if not changed else 'changed: ' + ', '.join(changed)}{'' if right else '  WRONG'}", flush=True)
    return right


def main() -> int:
    known = {**networks(), "SpeedNet": (speednet, 32, 3)}
    unknown = [name for name in sys.argv[1:] if name not in known]
    if unknown:
        print(f"error: there is no network {unknown[0]}: there is {', '.join(known)}", file=sys.stderr)
        return 2
    BUILD.mkdir(exist_ok=True)
    subprocess.run(["go", "build", "-o", BUILD / "pytorch", "./tools/pytorch"], cwd=ROOT, check=True)
    print(f"{'network':20} {'parameters':>11} {'there':>10} {'back':>10}  file")
    results = [check(name, *known[name]) for name in sys.argv[1:] or known]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
