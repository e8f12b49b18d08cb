"""Times what a reader waits for: from running an edited cell to its first loss, in the book's kernel. Cold is with no
compiled program kept from before, warm with those of the cell before its edit.

    cell.py [--rounds 3]

`make bench` runs it after cmd/bench and adds its results to build/bench.json.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from jupyter_client.manager import start_new_kernel
from options import at_least, heed_signals, keep

CLONE = Path(__file__).resolve().parents[2]
OUT = CLONE / "build" / "bench.json"

# What a notebook has before its training: its imports and its data.
BEFORE = """%noautoget
import (
	"example.org/convbook/lib/cell"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/train"
	"example.org/convbook/lib/zoo"
)

var photos = dataset.CIFAR10().Normalize(0.5, 0.5)

%%
cell.Device()"""

CELL = """%%
cell.Must(train.Task{{
	Net: zoo.{network}, Data: photos,
	Config: train.Config{{Epochs: 1, Batch: {batch}, Seed: 1, Optimizer: train.Adam({rate})}},
}}.Fit())"""

# Networks and images per step, as the chapters have them.
WORKS = {"Net(10)": 64, "VGG16(10)": 128, "SmallAlexNet(10)": 64, "SmallZFNet(10)": 64, "SmallVGG(11, 10)": 64,
         "SmallGoogLeNet(10)": 64, "SmallResNet(18, 16, 10)": 64}


def run(manager, client, code: str, wanted: str, stop: bool = False) -> tuple[float, str]:
    """Runs a cell, and tells after how many seconds it had printed what is wanted, and what it had printed then."""
    started, seconds, printed = time.monotonic(), None, ""
    request = client.execute(code)
    while True:
        message = client.get_iopub_msg(timeout=600)
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "stream" and seconds is None:
            printed += message["content"]["text"]
            if wanted in printed:
                seconds = time.monotonic() - started
                if stop:
                    manager.interrupt_kernel()
        elif message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            if seconds is None:
                sys.exit(f"error: the cell did not print {wanted!r} but {printed.strip()!r}")
            return seconds, printed.strip()


def measure(rounds: int, folder: Path) -> list[dict]:
    compiled = folder / "compiled"
    environment = {**os.environ, "CONVBOOK_COMPILED": str(compiled), "CONVBOOK_RUNS": str(folder / "runs")}
    manager, client = start_new_kernel(kernel_name="convbook", startup_timeout=120, env=environment,
                                       cwd=str(CLONE / "notebooks"))
    try:
        _, device = run(manager, client, BEFORE, "PJRT")
        times, edits = {}, 0
        for _ in range(rounds):
            for network, batch in WORKS.items():
                shutil.rmtree(compiled, ignore_errors=True)
                for state in "cold", "warm":
                    edits += 1  # each cell has a rate that none had before
                    cell = CELL.format(network=network, batch=batch, rate=0.001 + edits / 1e6)
                    seconds, _ = run(manager, client, cell, "Train:", stop=True)
                    times.setdefault(f"edited cell to first loss, {network}, {state}", []).append(seconds)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()  # not at once: GoNB ends its own helpers then
    return [{"name": name, "device": device, "median_seconds": statistics.median(seconds), "seconds": seconds}
            for name, seconds in times.items()]


def known() -> dict[str, dict]:
    """The results that are there, by their names."""
    try:
        return {r["name"]: r for r in json.loads(OUT.read_text())} if OUT.exists() else {}
    except (OSError, ValueError, TypeError, KeyError) as wrong:
        sys.exit(f"error: {OUT} is not what cmd/bench writes ({wrong!r}): remove it, or make bench again")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=at_least(1), default=3)
    heed_signals()
    options = parser.parse_args()
    merged = known()  # a file that is broken is found before minutes of work
    with tempfile.TemporaryDirectory(prefix="convbook-") as folder:
        results = measure(options.rounds, Path(folder))
    for r in results:
        least, most = min(r["seconds"]), max(r["seconds"])
        print(f"{r['name']:56} median {r['median_seconds']:6.2f} s, from {least:.2f} to {most:.2f} s")
    merged |= {r["name"]: r for r in results}
    keep(OUT, sorted(merged.values(), key=lambda r: r["name"]))


if __name__ == "__main__":
    main()
