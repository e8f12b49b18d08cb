"""Times how long it takes to open a folder of 50,000 PNGs, beside torchvision's ImageFolder with as many workers.

    make bench-folder

Both decode every picture once to bytes of 32 × 32 × 3. After that ours are kept; ImageFolder decodes them anew in every
epoch, so its time is that of each of them. The folder, CIFAR-10's training photographs, is made in build/.
"""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from torchvision import datasets, transforms

CLONE = Path(__file__).resolve().parents[2]
FOLDER = CLONE / "build" / "cifar10-pngs"
ROUNDS = 3


def ours(cache: str) -> dict:
    """A new process that keeps what it decodes in this cache, or finds it there."""
    done = subprocess.run([CLONE / "build" / "bench", "-folder", FOLDER], stdout=subprocess.PIPE, text=True, check=True,
                          env=os.environ | {"XDG_CACHE_HOME": cache})
    return json.loads(done.stdout.splitlines()[-1])


def torchvisions(workers: int) -> float:
    """Seconds until every picture was decoded once."""
    start = time.perf_counter()
    pictures = datasets.ImageFolder(FOLDER, transforms.PILToTensor())
    batches = torch.utils.data.DataLoader(pictures, batch_size=256, num_workers=workers)
    seen = sum(len(labels) for _, labels in batches)
    assert seen == len(pictures)
    return time.perf_counter() - start


def main() -> None:
    workers = len(os.sched_getaffinity(0))
    if not FOLDER.exists():
        subprocess.run([CLONE / "build" / "bench", "-folder", FOLDER], check=True)
    torchvisions(workers)  # brings the files into memory
    for turn in range(ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            first, later = ours(cache), [ours(cache) for _ in range(5)]
        theirs = torchvisions(workers)
        slowest = max(one["seconds"] for one in later)
        print(f"round {turn + 1}: {first['pictures']} pictures, first opening {first['seconds']:.2f} s with "
              f"{first['bytes'] >> 20} MB of memory, later ones {1000 * slowest:.0f} ms at most with "
              f"{later[0]['bytes'] >> 20} MB; torchvision with {workers} workers {theirs:.2f} s")


if __name__ == "__main__":
    main()
