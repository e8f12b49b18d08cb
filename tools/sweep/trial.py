"""One trial, as a worker does it: the notebook with the trial's parameters, up to the cell that trains.

A worker is a process of Dask with this module on its path. It runs one trial at a time, in a kernel of its own.
"""

import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "notebooks"))

import nbformat

import execution
import run

TOPIC = "convbook-sweep"  # under which workers tell of epochs
EARLY = "stopped early"  # why a trial ends that shows no promise
running = {}  # the trials that run in this process, by their keys


class Failed(Exception):
    """A trial that did not end well, told in one line."""


def version() -> str:
    """Identifies what notebooks are built on: the book's library and what it requires."""
    files = [file for kind in ("*.go", "*.c", "*.h") for file in sorted((run.CLONE / "lib").rglob(kind))]
    total = hashlib.sha256()
    for file in [*files, run.CLONE / "go.mod", run.CLONE / "go.sum"]:
        if not file.name.endswith("_test.go"):
            total.update(str(file.relative_to(run.CLONE)).encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


def share() -> list[int]:
    """The cores that this worker's trials may use: as many as CONVBOOK_CORES says of those that the process has.
    Workers that Dask started together have names that end in a number, which says which; one that stands alone has all.
    """
    from distributed import get_worker

    mine = sorted(os.sched_getaffinity(os.getpid()))
    cores = int(os.environ.get("CONVBOOK_CORES", "0"))
    number = re.search(r"(?:^|-cores-)([0-9]+)$", str(get_worker().name))
    if not cores or not number:
        return mine
    parts = max(1, len(mine) // cores)
    first = int(number[1]) % parts * cores
    return mine[first : first + cores]


class Training(execution.Execution):
    """Executes a notebook until it has trained what the trial is about."""

    def __init__(self, path: Path, values: dict, network: str, cores: list[int]):
        super().__init__(path, path.with_suffix(".out.ipynb"), values, 0, cores)
        self.folder = run.NOTEBOOKS
        self.epochs = path.with_suffix(".epochs.jsonl")
        self.network = network
        self.environment["CONVBOOK_EPOCHS"] = str(self.epochs)

    def trained(self) -> dict | None:
        """The run that the trial is about: the first that was trained, or the first of the network. A notebook may load
        others before."""
        dirs = {epoch["dir"] for epoch in self.tested()}
        return next((run for run in self.runs() if run["dir"] in dirs), None)

    def begin(self, cell, cell_index: int) -> None:
        if self.trained():
            raise execution.Stopped
        super().begin(cell, cell_index)

    def tested(self) -> list[dict]:
        """How the run stood after each epoch until now."""
        mine = [line for line in self.noted() if self.network in ("", line["network"])]
        return [line for line in mine if line["dir"] == mine[0]["dir"]]

    def noted(self) -> list[dict]:
        """The epochs of all networks until now."""
        text = self.epochs.read_text() if self.epochs.exists() else ""
        return [json.loads(line) for line in text.splitlines(True) if line.endswith("\n")]


def train(key: str, order: dict, tell=None) -> dict:
    """Does a trial and returns its run, or how far it came before it was stopped. The order has the notebook's name and
    text, the parameters' values, the network that counts and the book's version."""
    if order["version"] != version():
        raise Failed(f"the book on {os.uname().nodename} is another version than the one that sent the trial: bring "
                     "both to the same commit, or give the command again if lib was changed meanwhile")
    if tell is None:
        from distributed import get_worker
        tell = lambda epoch: get_worker().log_event(TOPIC, {"key": key, **epoch})  # noqa: E731
    folder = Path(tempfile.mkdtemp(prefix="convbook-sweep-", dir=execution.temporary()))
    try:
        path = folder / f"{order['notebook']}.ipynb"
        path.write_text(order["text"])
        return watched(key, Training(path, order["values"], order["network"], share()), tell)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def networks(order: dict, signals: list) -> set[str] | None:
    """The networks that a notebook trains with an order's values, up to the one that counts. None if it does not come
    that far, or if a signal is noted."""
    with tempfile.TemporaryDirectory(prefix="convbook-sweep-", dir=execution.temporary()) as folder:
        path = Path(folder, f"{order['notebook']}.ipynb")
        path.write_text(order["text"])
        training = Training(path, order["values"], order["network"], None)
        training.environment["CONVBOOK_RUNS"] = str(Path(folder, "runs"))  # so it trains, and finds nothing
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            going = pool.submit(training.run)
            while not going.done():
                concurrent.futures.wait([going], 0.5)
                training.watch()
                if signals:
                    training.stop("stopped")
        found = {epoch["network"] for epoch in training.noted()}
        return None if going.exception() and order["network"] not in found else found


def watched(key: str, training: Training, tell) -> dict:
    """Executes the notebook and tells of each epoch meanwhile."""
    running[key] = training
    told = 0
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            going = pool.submit(training.run)
            while not going.done() or told < len(training.tested()):
                concurrent.futures.wait([going], 0.5)
                training.watch()
                for epoch in training.tested()[told:]:
                    tell(epoch)
                    told += 1
    finally:
        del running[key]
    found, epochs = training.trained(), training.tested()
    if found:
        sums = (Path(found["dir"]) / "SHA256SUMS").read_text()
        return {"stopped": False, "run": found, "epochs": epochs, "sums": sums}
    if training.why == EARLY:
        return {"stopped": True, "epochs": epochs}
    if error := going.exception():
        raise Failed(str(error))
    what = f"{training.network} with train.Fit" if training.network else "anything with train.Fit"
    raise Failed(f"no cell of the notebook trains {what}")


def stop(keys: list[str]) -> None:
    """Stops those of the trials that run in this process. Their trainings keep what they learned."""
    for key in keys:
        if key in running:
            running[key].stop(EARLY)


def files(folder: str) -> dict[str, bytes]:
    """The files of a finished run, for whoever has another disk."""
    return {file.name: file.read_bytes() for file in Path(folder).iterdir() if file.is_file()}


def text_of(notebook) -> str:
    """A notebook as it is sent to workers: without its outputs."""
    sent = nbformat.from_dict(json.loads(json.dumps(notebook)))
    for cell in sent.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(sent)
