"""Trains a notebook with many settings of its parameters, here or on a cluster, and says which is best.

    sweep.py --set "lr=0.0003,0.001,0.003 batch=32,64 seed=1..3" NOTEBOOK

See README.md in this folder, and `make help` for the make target that calls this.
"""

import argparse
import contextlib
import difflib
import hashlib
import json
import os
import queue
import shutil
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "notebooks"))

import command

if __name__ == "__main__":
    command.begin()

import cluster
import early
import results
import space
import trial

import run
from execution import UserError, locked, ready, told
from files import replace

LAST = 20  # seconds that trainings have to save what they learned
# The files of a run.
FILES = {"config.json", "history.json", "model.safetensors", "result.json", "test.safetensors", "SHA256SUMS"}


class One:
    """A trial and what became of it."""

    def __init__(self, trial: space.Trial, order: dict):
        self.trial, self.order = trial, order
        about = [order["source"], order["values"], order["network"], order["version"]]
        self.key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        self.state = "waiting"  # then running, maybe paused and waiting again, then done, stopped, skipped or failed
        self.epochs, self.dir, self.error, self.started = [], None, "", 0.0


class Records:
    """The trials that were done, in a file that every sweep of the notebook adds to."""

    def __init__(self, path: Path):
        self.path, self.known = path, {}
        lines = path.read_bytes().splitlines() if path.exists() else []
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that was cut when the disk was full
                record = json.loads(line)
                self.known[record["key"]] = {"dir": record["dir"], "epochs": record["epochs"]}

    def of(self, one: One) -> dict | None:
        """The record of a trial whose run is still there, in the folder of runs that is used now."""
        record = self.known.get(one.key)
        if record and (runs_folder() / Path(record["dir"]).name / "SHA256SUMS").exists():
            return record
        return None

    def add(self, one: One) -> None:
        record = {"key": one.key, "parameters": one.trial.values(), "dir": one.dir, "epochs": one.epochs}
        with open(self.path, "a+b") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            cut = file.read() not in (b"", b"\n")  # the line before, when the disk was full
            file.write((cut * "\n" + json.dumps(record) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())


class Screen:
    """Lines, and below them in a terminal one that says where the sweep stands."""

    def __init__(self):
        self.live = sys.stdout.isatty()

    def line(self, text: str) -> None:
        print(("\r\x1b[K" if self.live else "") + text, flush=True)

    def status(self, text: str) -> None:
        if self.live:
            columns = os.get_terminal_size().columns
            print("\r\x1b[K" + text[: columns - 1], end="", flush=True)


class Interrupted(Exception):
    """Somebody asked the sweep to stop."""


class Sweep:
    """Does trials on a cluster."""

    def __init__(self, trials: list[One], records: Records, judge: early.Halving | early.Median | None, noted: list):
        self.all, self.records, self.judge, self.noted = trials, records, judge, noted
        self.screen, self.events, self.futures = Screen(), queue.SimpleQueue(), {}
        self.took = []  # seconds of the trials that were done now
        self.again = {}  # how often a trial was handed out
        self.hopeless, self.paused = set(), set()  # the keys of the trials that this sweep has stopped
        self.workers = None  # until they are counted

    def run(self, connection: cluster.Connection) -> None:
        """Does what is not done yet. With a judge, only the settings that do best with the first seed get others."""
        self.connection = connection
        connection.listen(lambda epoch: self.events.put(("epoch", epoch["key"], epoch)))
        if not self.judge:
            return self.work(self.all, judged=False)
        seed = self.all[0].trial.seed
        first = [one for one in self.all if one.trial.seed == seed]
        rest = [one for one in self.all if one.trial.seed != seed]
        going = first
        for share in self.judge.rungs:
            self.work(going, judged=True, until=share)
            going = self.promising(going, share)
        self.work(going, judged=True)
        kept = {setting.values for setting in results.ranking(first)[: early.best(len(first))] if setting.done}
        for one in rest:
            if one.state == "waiting" and one.trial.setting not in kept:
                one.state = "skipped"
        return self.work([one for one in rest if one.state != "skipped"], judged=False)

    def promising(self, trials: list[One], share: float) -> list[One]:
        """The trials that did best until they had done this share of their epochs. The others are stopped."""
        there = [one for one in trials if one.state in ("paused", "done")]
        there.sort(key=lambda one: results.accuracy(reached(share, one.epochs)), reverse=True)
        n = early.best(len(there))
        for one in there[n:]:
            if one.state == "paused":
                one.state = "stopped"
                self.screen.line(self.about(one))
        for one in there[:n]:
            if one.state == "paused":
                one.state = "waiting"
        return there[:n]

    def work(self, trials: list[One], judged: bool, until: float = 1) -> None:
        """Does these trials, as many at a time as there are workers, until they have done this share of their epochs.
        """
        self.until, self.paused = until, set()
        self.by_key = {one.key: one for one in trials}
        for one in trials:
            last = one.epochs[-1] if one.epochs else None
            if one.state == "waiting" and last and rung(until, last) <= last["epoch"] < last["epochs"]:
                one.state = "paused"  # it came that far before it was stopped
            if one.state == "done" and judged:
                for number, epoch in enumerate(one.epochs, 1):
                    self.judge.hopeless(one.key, number, len(one.epochs), results.accuracy(epoch))
                self.judge.ended(one.key, results.accuracy(results.kept(one.epochs)))
        while left := [one for one in trials if one.state in ("waiting", "running")]:
            if self.noted:
                raise Interrupted
            self.hand_out(left)
            self.screen.status(self.status())
            for kind, key, what in self.happened():
                if one := self.by_key.get(key):
                    {"epoch": self.tested, "end": self.ended}[kind](one, what, judged)

    def happened(self):
        """What workers tell, all that is there; waits a second for something."""
        with contextlib.suppress(queue.Empty):
            yield self.events.get(timeout=1)
            while True:
                yield self.events.get_nowait()

    def hand_out(self, left: list[One]) -> None:
        """Gives waiting trials to workers that have none."""
        workers = self.connection.workers()
        if workers != self.workers and not self.connection.local:
            self.screen.line(f"{many(workers, 'worker')}" + ("" if workers else ": waiting for one, see make worker"))
        self.workers = workers
        running = sum(one.state == "running" for one in left)
        for one in [one for one in left if one.state == "waiting"][: max(0, workers - running)]:
            one.state, one.started = "running", time.monotonic()
            n = self.again[one.key] = self.again.get(one.key, 0) + 1
            future = self.connection.submit(f"{one.key}-{n}", one.key, one.order)
            self.futures[one.key] = future
            future.add_done_callback(lambda future, key=one.key: self.events.put(("end", key, future)))

    def tested(self, one: One, epoch: dict, judged: bool) -> None:
        """An epoch of a trial was done."""
        if one.state != "running" or epoch["epoch"] != len(one.epochs) + 1:
            return  # of an attempt that died, or told twice
        one.epochs.append(epoch)
        if epoch["epoch"] == rung(self.until, epoch) < epoch["epochs"]:
            self.paused.add(one.key)
            self.connection.stop([one.key])
        elif judged and self.judge.hopeless(one.key, epoch["epoch"], epoch["epochs"], results.accuracy(epoch)):
            self.hopeless.add(one.key)
            self.connection.stop([one.key])

    def ended(self, one: One, future, judged: bool) -> None:
        """A trial came to an end, good or not."""
        outcome, error = self.connection.outcome(future)
        del self.futures[one.key]
        if outcome and outcome["stopped"] and one.key not in self.hopeless | self.paused:
            one.state, one.epochs = "waiting", []  # another sweep had asked for it, too, and stopped it
            return
        if error and self.noted:  # the signal has ended its worker, too
            one.state = "waiting"
            return
        if error:
            one.state, one.error = "failed", error
        elif outcome["stopped"]:
            one.state = "paused" if one.key in self.paused else "stopped"
            one.epochs = outcome["epochs"]
        else:
            one.state, one.epochs = "done", outcome["epochs"]
            one.dir = self.gathered(future, outcome)
            self.took.append(time.monotonic() - one.started)
            self.records.add(one)
        if judged:
            self.judge.ended(one.key, results.accuracy(results.kept(one.epochs)) if one.state == "done" else None)
        self.screen.line(self.about(one))

    def gathered(self, future, outcome: dict) -> str:
        """The folder of a trial's run among this machine's, to which it is copied if the worker has others."""
        there = Path(outcome["run"]["dir"])
        here = runs_folder() / there.name
        if not (here / "SHA256SUMS").exists():
            content = self.connection.files(future, str(there))
            lines = {f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in content.items()}
            if content.keys() < FILES or not lines >= set(outcome["sums"].splitlines()):
                raise UserError(f"the run {there.name} did not come whole from its worker: give the same command again")
            put(here, content)
        return str(here)

    def about(self, one: One) -> str:
        """What became of a trial, and where the sweep stands, in a line."""
        if one.state == "failed":
            told = f"failed twice: {one.error}"
        else:
            last = one.epochs[-1] if one.epochs else None
            if one.state == "done":
                last = results.kept(one.epochs)
            told = f"{results.accuracy(last):.2f} %" if last else ""
            if one.state == "paused":
                told += f" after epoch {len(one.epochs)}"
            if one.state == "stopped":
                told = f"stopped after epoch {len(one.epochs)} at {told}"
        return f"{one.trial}: {told} · {self.status()}"

    def status(self) -> str:
        """Where the sweep stands, in a line."""
        states = [one.state for one in self.all]
        running, waiting = states.count("running"), states.count("waiting") + states.count("paused")
        ended = len(states) - running - waiting
        told = [f"{ended} of {len(states)}", f"{running} running", f"{waiting} waiting"]
        done = [one for one in self.all if one.state == "done"]
        if done:
            best = max(done, key=lambda one: results.accuracy(results.kept(one.epochs)))
            told.append(f"best {results.accuracy(results.kept(best.epochs)):.2f} % ({best.trial})")
        if self.took and ended < len(states):
            left = sum(self.took) / len(self.took) * (waiting + running / 2)
            told.append(f"about {duration(left / max(1, self.workers or 0))} left")
        return " · ".join(told)

    def stop(self) -> None:
        """Has trainings save what they learned, and waits for that."""
        waiting = [one for one in self.all if one.state == "running"]
        self.connection.stop([one.key for one in waiting])
        end = time.monotonic() + LAST
        while not all(future.done() for future in self.futures.values()) and time.monotonic() < end:
            time.sleep(0.2)


def rung(share: float, epoch: dict) -> int:
    """After which epoch a training has done this share of all, as far as whole epochs allow."""
    return max(1, round(share * epoch["epochs"]))


def reached(share: float, epochs: list[dict]) -> dict:
    """How a training stood after this share, or at its end if Patience ended it before."""
    return epochs[min(rung(share, epochs[0]), len(epochs)) - 1]


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def many(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def put(here: Path, content: dict[str, bytes]) -> None:
    """Puts a run among this machine's, in one step. One sweep at a time does that, so what lies there half done is of
    one that was killed."""
    here.parent.mkdir(parents=True, exist_ok=True)
    with locked(here.parent, waits=True):
        for left in here.parent.glob(".gathered-*"):
            shutil.rmtree(left, ignore_errors=True)
        partial = here.with_name(f".gathered-{here.name}")
        for name in FILES:
            replace(partial / name, content[name])
        try:
            partial.rename(here)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            if not (here / "SHA256SUMS").exists():  # another sweep did not gather it meanwhile
                raise


def runs_folder() -> Path:
    """Where package train keeps runs."""
    if named := os.environ.get("CONVBOOK_RUNS"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "convbook", "runs")


def orders(path: Path, options) -> list[One]:
    """The trials that are asked for. Nothing is started before all is known to be right."""
    notebook = run.read(path)
    trials = space.trials(path.stem, notebook, options.set, options.trials, bool(options.many))
    # A sweep chooses by validation images: the notebook says how many of the training images to keep back for it.
    base = run.settings_of(notebook, "sweep")
    if options.profile == "smoke":
        base |= run.settings_of(notebook, "smoke")
    base = run.checked(path.stem, notebook, base)
    common = {"notebook": path.stem, "text": trial.text_of(notebook), "source": run.source_hash(notebook),
              "network": options.of, "version": trial.version()}
    return [One(one, {**common, "values": base | one.values()}) for one in trials]


def look_for_network(path: Path, wanted: str, first: One, signals: list) -> None:
    """Makes sure that the notebook trains the network that counts, before it is trained for hours: by its smoke
    settings."""
    notebook = run.read(path)
    smoke = run.checked(path.stem, notebook, run.settings_of(notebook, "smoke"))
    print(f"looking whether {path.stem} trains {wanted}", flush=True)
    found = trial.networks({**first.order, "values": first.order["values"] | smoke}, signals)
    if found is not None and wanted not in found:
        near = difflib.get_close_matches(wanted, found, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(f"{path.stem} trains no network {wanted}{hint}: it trains {', '.join(sorted(found)) or 'none'}")


def sweep(options) -> int:
    run.check_profile(options.profile)
    if not options.notebooks or len(paths := run.find(options.notebooks)) != 1:
        raise UserError("a sweep is of one notebook: say which, for instance NB=12")
    path = paths[0]
    ones = orders(path, options)
    judge = early.judge(options.early) if options.early else None
    ready()
    out = run.BUILD / "sweep"
    out.mkdir(parents=True, exist_ok=True)
    if options.profile == "smoke":
        os.environ["CONVBOOK_RUNS"] = str(out / "runs")
    records = Records(out / f"{path.stem}.jsonl")
    for one in ones:
        if record := records.of(one):
            one.state, one.epochs, one.dir = "done", record["epochs"], record["dir"]
    if before := sum(one.state == "done" for one in ones):
        print(f"{before} of {many(len(ones), 'trial')} {'was' if before == 1 else 'were'} done before", flush=True)
    with run.signals_noted() as noted:
        going = Sweep(ones, records, judge, noted)
        if options.of and not before:
            look_for_network(path, options.of, ones[0], noted)
        if before < len(ones) and not noted:
            try:
                with cluster.connect(options.cluster, options.cores) as connection:
                    try:
                        going.run(connection)
                    except Interrupted:
                        going.stop()
            except cluster.Gone as error:
                raise UserError(f"{error}: what was trained is kept, and the same command goes on from there") from None
        if noted:
            ended = sum(one.state in ("done", "stopped", "skipped") for one in ones)
            going.screen.line(
                f"stopped ({signal.Signals(noted[0]).name}) with {ended} of {many(len(ones), 'trial')} done: "
                "trainings keep what they learned, and the same command goes on from there")
            return 128 + noted[0]
    return report(ones, path.stem, options, out)


def report(ones: list[One], notebook: str, options, out: Path) -> int:
    """Prints the table and writes the files."""
    settings = results.ranking(ones)
    validated = {results.validates(epoch) for one in ones for epoch in one.epochs}
    by = "validation" if True in validated else "test"
    print("\n" + results.table(settings, by) + "\n\n" + results.told(settings, by, options.notebooks[0]))
    if by == "test":
        print("note: chosen by the test images, so these accuracies are too good: let the notebook keep validation "
              "images back (tools/sweep/README.md)")
    if len(validated) > 1:
        print("note: settings without validation images stand there with their accuracy on the test images, which is "
              "another measure: give all of them some")
    asked = f"{options.profile} {options.early} {options.trials} {options.set}" + (options.of and f" of {options.of}")
    name = out / f"{notebook}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"
    replace(Path(f"{name}.json"), results.as_json(settings, by, notebook, options).encode())
    replace(Path(f"{name}.csv"), results.as_csv(settings).encode())
    print(f"all of it is in {os.path.relpath(name)}.json and .csv")
    failed = [one for one in ones if one.state == "failed"]
    for one in failed:
        print(f"failed twice: {one.trial}: {one.error}", file=sys.stderr)
    return 1 if failed else 0


def obey(options: argparse.Namespace) -> int:
    """Does what the options say, if it can be done."""
    for name in ("trials", "cores"):
        text = getattr(options, name)
        if not (text.isascii() and text.isdigit() and len(text) < 7):
            raise UserError(f"{name.upper()} is a whole number from 0 to 999999, not {text!r}")
        setattr(options, name, int(text))
    if options.many not in ("", "yes"):
        raise UserError(f"MANY is yes or left out, not {options.many!r}")
    return sweep(options)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="sweep.py", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", help="one: its name, number or path")
    parser.add_argument("--set", default="", help='what to try, as in "lr=0.001,0.003 seed=1..3"')
    parser.add_argument("--trials", default="0", help="settings to draw, with lr=log(1e-4,1e-2)")
    parser.add_argument("--early", default="", help="halving or median: stop trainings that show no promise")
    parser.add_argument("--cores", default="1", help="cores for each training, 0 for all of a worker's")
    parser.add_argument("--of", default="", help="the network that counts, in a notebook that trains several")
    parser.add_argument("--many", default="", help="yes: more than 200 trainings are meant")
    parser.add_argument("--cluster", default="", help="a scheduler's address, as in tcp://host:8786")
    parser.add_argument("--profile", default="full", help="full (the default) or smoke")
    options = parser.parse_args(arguments)
    return told(lambda: obey(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
