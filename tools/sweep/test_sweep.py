"""Tests of what a sweep tries, of what it says, and of how it goes, on a stand-in for a cluster."""

import argparse
import contextlib
import csv
import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
import warnings
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "notebooks"))

import cluster
import early
import nbformat
import psutil
import results
import space
import sweep
import trial
from nbformat.v4 import new_code_cell, new_notebook

import execution
import run

ENGINE = importlib.util.find_spec("distributed") and importlib.util.find_spec("optuna")

PARAMETERS = """var (
	lr      = 0.01
	batch   = 64
	epochs  = 4
	mirror  = false
	name    = "plain"
	seed    = 1
)
"""


def notebook_of(*sources: str, sweep=None):
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), *(new_code_cell(one) for one in sources)]
    notebook = new_notebook(cells=cells)
    notebook.metadata["convbook"] = {"smoke": {"epochs": 1}, **({"sweep": sweep} if sweep else {})}
    notebook.metadata["kernelspec"] = {"name": "convbook", "display_name": "Go (convbook)", "language": "go"}
    return notebook


def trials(text: str, draws=0, many=False) -> list[space.Trial]:
    return space.trials("10_x", notebook_of(), text, draws, many)


class Space(unittest.TestCase):
    def test_a_grid_has_every_combination_with_one_seed_after_the_other(self):
        self.assertEqual([str(one) for one in trials("lr=0.001,0.01 seed=1..2 batch=32,64")], [
            "lr=0.001 batch=32 seed=1", "lr=0.001 batch=64 seed=1", "lr=0.01 batch=32 seed=1",
            "lr=0.01 batch=64 seed=1", "lr=0.001 batch=32 seed=2", "lr=0.001 batch=64 seed=2",
            "lr=0.01 batch=32 seed=2", "lr=0.01 batch=64 seed=2"])

    def test_values_have_the_types_of_the_parameters(self):
        one = trials("lr=1 mirror=true name='two words' epochs=-1..-1")[0]
        self.assertEqual(one.values(), {"lr": 1.0, "mirror": True, "name": "two words", "epochs": -1})
        self.assertIsInstance(one.values()["lr"], float)
        again = trials(str(one))[0]
        self.assertEqual(again, one)

    def test_what_is_wrong_is_told_in_a_line(self):
        for text, told in {
            "": "nothing is to be varied: say what, for instance",
            "rate=1,2": "10_x has no parameter rate: it has lr, batch, epochs, mirror, name, seed",
            "lr=": "lr= has an empty value",
            "lr=0.1,,0.2": "has an empty value",
            "lr=0.1,fast": "lr is a number (0.01 if not set), not 'fast'",
            "lr=0.1,1e-1": "lr=0.1,1e-1 has 0.1 twice",
            "seed=3..1": "seed=3..1 is empty: a range goes up, as in seed=1..3",
            "lr=1..3": "lr=1..3: a range is of whole numbers",
            "lr=log(0,1)": "only numbers above 0 have a logarithm",
            "lr=log(1e-2,1e-4)": "is empty: its first number must be the smaller one",
            "name=log(a,b)": "log draws numbers, and name is none",
            "lr=log(1e-4,1e-2)": "lr is drawn at random: say how many settings to try, for instance TRIALS=30",
            "seed=log(1,9)": "seeds are not drawn",
            "seed=1..10000": "that is 10,000 trainings: if you mean it, add MANY=yes",
            "seed=1..10000000000": "that is 10,000,000,000 trainings, more than the 100,000 that a sweep may have",
            "seed=-9223372036854775808..9223372036854775807": "that is 18,446,744,073,709,551,616 trainings, more than",
            "lr=uniform(-1e308,1e308)": "lr=uniform(-1e308,1e308) is wider than all numbers",
        }.items():
            with self.subTest(text), self.assertRaises(execution.UserError) as caught:
                trials(text)
            self.assertIn(told, str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))
        with self.assertRaisesRegex(execution.UserError, "TRIALS=3 is for what is drawn"):
            trials("lr=0.1,0.2", draws=3)
        with self.assertRaisesRegex(execution.UserError, r"batch=1..9000000000000000000 is a list of 9,000,000,.*: "
                                    r"draw from them, as with batch=uniform\(1,9000000000000000000\)"):
            trials("lr=log(1e-4,1e-2) batch=1..9000000000000000000", draws=3)
        self.assertEqual(len(trials("seed=1..1000", many=True)), 1000)

    @unittest.skipUnless(ENGINE, "Optuna is not installed")
    def test_drawn_settings_lie_within_their_bounds_and_are_always_the_same(self):
        drawn = trials("lr=log(1e-4,1e-2) batch=16..64 mirror=true,false seed=1..2", draws=40)
        self.assertEqual(drawn, trials("lr=log(1e-4,1e-2) batch=16..64 mirror=true,false seed=1..2", draws=40))
        self.assertEqual(len(drawn), 80)
        rates = [one.values()["lr"] for one in drawn]
        self.assertTrue(all(1e-4 <= rate <= 1e-2 for rate in rates))
        below = sum(rate < 1e-3 for rate in rates) / len(rates)  # half of the decades; of an even spread a tenth
        self.assertTrue(0.25 < below < 0.75, below)
        self.assertEqual({one.values()["mirror"] for one in drawn}, {True, False})
        self.assertTrue(all(16 <= one.values()["batch"] <= 64 for one in drawn))

    @unittest.skipUnless(ENGINE, "Optuna is not installed")
    def test_few_digits_change_no_bounds_and_nothing_that_was_listed(self):
        for one in trials("lr=uniform(0.12345,0.12346)", draws=20):
            self.assertTrue(0.12345 <= one.values()["lr"] <= 0.12346, one)
        listed = trials("lr=0.99991,0.99992 batch=uniform(1,64)", draws=20)
        self.assertEqual({one.values()["lr"] for one in listed}, {0.99991, 0.99992})


def history(*accuracies: float, validates=True) -> list[dict]:
    """What package train notes of epochs."""
    held = {"validation_loss": 1.0} if validates else {}
    return [{"dir": "/runs/Net-1a", "network": "Net", "epoch": i, "epochs": len(accuracies), "test_loss": 1.0,
             "test_accuracy": accuracy - 1, "train_seconds": 2.0 * i, **held,
             **({"validation_accuracy": accuracy} if validates else {})} for i, accuracy in enumerate(accuracies, 1)]


def one_of(one: space.Trial, state="waiting", epochs=()) -> sweep.One:
    order = {"source": "s", "values": one.values(), "network": "", "version": "v"}
    made = sweep.One(one, order)
    made.state, made.epochs = state, list(epochs)
    return made


class Results(unittest.TestCase):
    def setUp(self):
        grid = trials("lr=0.1,0.2,0.3,0.4 batch=32 seed=1..2")
        accuracies = {"lr=0.1 batch=32 seed=1": 60, "lr=0.1 batch=32 seed=2": 62,
                      "lr=0.2 batch=32 seed=1": 70, "lr=0.2 batch=32 seed=2": 70.5}
        self.all = [one_of(one) for one in grid]
        for one in self.all:
            if accuracy := accuracies.get(str(one.trial)):
                one.state, one.epochs, one.dir = "done", history(50, accuracy), "/runs/Net-1a"
            elif one.trial.seed == 1:
                one.state, one.epochs = "stopped", history(*([40] if one.trial.values()["lr"] == 0.3 else [45]))
            else:
                one.state = "skipped"

    def test_the_table_has_the_best_on_top_and_only_what_differs(self):
        self.assertEqual(results.table(results.ranking(self.all), "validation").split("\n"), [
            "lr   validation, %  seeds",
            "0.2  70.25 ± 0.35   2",
            "0.1  61.00 ± 1.41   2",
            "0.4  –              0      stopped at 45.00 after epoch 1, 1 not tried",
            "0.3  –              0      stopped at 40.00 after epoch 1, 1 not tried"])

    def test_the_best_comes_with_a_command_and_with_its_test_accuracy(self):
        self.assertEqual(results.told(results.ranking(self.all), "validation", "12").split("\n"), [
            "best over 2 seeds: 70.25 ± 0.35 % of the validation images, 69.25 ± 0.35 % of the test images, "
            "by which nothing was chosen",
            'use it: make run NB=12 P="lr=0.2 batch=32"'])

    def test_the_command_survives_a_shell(self):
        for text in ["plain", "two words", "$HOME `id`", 'a"b\\c', "it's", "我"]:
            best = one_of(space.Trial((("name", text), ("mirror", True)), 1), "done", history(50))
            command = results.told(results.ranking([best]), "validation", "12").rpartition("make run NB=12 P=")[2]
            given = subprocess.run(["sh", "-c", f"printf %s {command}"], capture_output=True, text=True).stdout
            self.assertEqual(run.split_settings(given), {"name": text, "mirror": "true"})
        seeds = [one_of(space.Trial((), 1), "done", history(50))]
        self.assertTrue(results.told(results.ranking(seeds), "validation", "12").endswith("make run NB=12"))

    def test_a_parameter_may_be_called_epochs(self):
        ones = [one_of(one, "done", history(*[50] * one.values()["epochs"]))
                for one in trials("epochs=1,3 mirror=true")]
        ones[0].epochs[-1]["test_accuracy"] = 60
        rows = list(csv.DictReader(io.StringIO(results.as_csv(results.ranking(ones)))))
        self.assertEqual([(row["epochs"], row["epochs_done"], row["mirror"]) for row in rows],
                         [("1", "1", "true"), ("3", "3", "true")])

    def test_of_a_run_that_keeps_its_best_epoch_that_one_counts(self):
        kept, last = (one_of(one, "done", history(50, 70, 60)) for one in trials("lr=1,2 mirror=true"))
        kept.epochs[-1]["kept"] = 2
        for epoch in kept.epochs + last.epochs:
            epoch["epochs"] = 20  # both ended early
        settings = results.ranking([last, kept])
        self.assertEqual([setting.accuracies for setting in settings], [[70], [60]])
        row = next(csv.DictReader(io.StringIO(results.as_csv(settings))))
        self.assertEqual((row["epochs_done"], row["validation_accuracy"], row["test_accuracy"], row["train_seconds"]),
                         ("3", "70", "69", "6.0"))
        self.assertEqual([sweep.reached(share, kept.epochs)["epoch"] for share in (0.05, 0.1, 0.5, 1)], [1, 2, 3, 3])

    def test_an_accuracy_of_0_is_one(self):
        # package train leaves out what is 0.
        epoch = {"validation_loss": 2.3, "test_loss": 2.3, "test_accuracy": 10.0}
        self.assertEqual(results.accuracy(epoch), 0)
        epoch = {"validation_accuracy": 100.0, "test_loss": 0.0, "test_accuracy": 90.0}
        self.assertEqual(results.accuracy(epoch), 100)

    def test_all_is_kept_as_json_and_csv(self):
        settings = results.ranking(self.all)
        kept = json.loads(results.as_json(settings, "validation", "12_x", argparse.Namespace(set="lr=…", of="")))
        self.assertEqual([s["parameters"]["lr"] for s in kept["settings"]], [0.2, 0.1, 0.4, 0.3])
        self.assertEqual((kept["settings"][0]["accuracy"], len(kept["settings"][0]["trials"])), (70.25, 2))
        rows = list(csv.DictReader(io.StringIO(results.as_csv(settings))))
        self.assertEqual((len(rows), rows[0]["lr"], rows[0]["validation_accuracy"], rows[0]["test_accuracy"]),
                         (8, "0.2", "70", "69"))
        self.assertEqual([row["state"] for row in rows].count("skipped"), 2)

    def test_without_validation_the_test_images_count(self):
        epochs = history(50, 60, validates=False)
        self.assertEqual((results.accuracy(epochs[-1]), results.validates(epochs[-1])), (59, False))


class Future:
    def add_done_callback(self, call):
        self.call = call

    def done(self):
        return True


class StandIn:
    """A cluster on which trainings go as they are told to, one epoch of each in turn."""

    local = True

    def __init__(self, accuracies: dict, workers=2, fails=()):
        self.accuracies, self.slots, self.fails = accuracies, workers, dict(fails)
        self.running, self.stopped, self.trained, self.most = {}, set(), [], 0
        self.kept = {}  # how many epochs of a training were done before

    def listen(self, handler):
        self.handler = handler

    def workers(self):
        self.step()
        return self.slots

    def submit(self, name, key, order):
        future = Future()
        self.stopped.discard(key)
        text = space.written(order["values"])
        self.trained.append(text)
        self.running[key] = (future, history(*self.accuracies.get(text, [])), text)
        for epoch in self.running[key][1][: self.kept.get(text, 0)]:
            self.handler({"key": key, **epoch})
        future.told = self.kept.get(text, 0)
        self.most = max(self.most, len(self.running))
        return future

    def step(self):
        """Every running training does an epoch."""
        for key, (future, epochs, text) in list(self.running.items()):
            told = future.told
            if key in self.stopped or text in self.fails or told == len(epochs):
                del self.running[key]
                future.outcome = self.end(key, epochs[:told], text)
                future.call(future)
            else:
                future.told = told + 1
                self.handler({"key": key, **epochs[told]})

    def end(self, key, epochs, text):
        if text in self.fails:
            return None, self.fails[text]
        if key in self.stopped:
            return {"stopped": True, "epochs": epochs}, ""
        return {"stopped": False, "epochs": epochs, "run": {"dir": "/runs/Net-1a"}, "sums": ""}, ""

    def outcome(self, future):
        return future.outcome

    def stop(self, keys):
        self.stopped.update(keys)


class Going(unittest.TestCase):
    def go(self, text: str, cluster: StandIn, judge=None, noted=()):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.records = sweep.Records(folder / "x.jsonl")
        self.all = [one_of(one) for one in trials(text)]
        going = sweep.Sweep(self.all, self.records, judge, list(noted))
        self.enterContext(mock.patch.dict(os.environ, {"CONVBOOK_RUNS": str(folder.parent)}))
        with mock.patch.object(sweep.Sweep, "gathered", lambda *_: str(folder)), \
                contextlib.redirect_stdout(io.StringIO()) as printed:
            going.run(cluster)
        (folder / "SHA256SUMS").touch()
        return printed.getvalue()

    def states(self) -> dict:
        return {str(one.trial): one.state for one in self.all}

    def test_every_trial_is_done_once_and_noted(self):
        accuracies = {f"lr={lr} seed={seed}": [10, 100 * lr + seed] for lr in (0.1, 0.2) for seed in (1, 2)}
        stand_in = StandIn(accuracies)
        printed = self.go("lr=0.1,0.2 seed=1..2", stand_in)
        self.assertEqual(set(self.states().values()), {"done"})
        self.assertEqual(stand_in.trained, ["lr=0.1 seed=1", "lr=0.2 seed=1", "lr=0.1 seed=2", "lr=0.2 seed=2"])
        self.assertEqual(stand_in.most, 2)  # at a time: there are two workers
        self.assertIn("lr=0.2 seed=2: 22.00 % · 4 of 4 · 0 running · 0 waiting · best 22.00 % (lr=0.2 seed=2)", printed)
        known = sweep.Records(self.records.path)
        self.assertEqual([known.of(one)["epochs"] for one in self.all], [one.epochs for one in self.all])
        (Path(known.of(self.all[0])["dir"]) / "SHA256SUMS").unlink()
        self.assertIsNone(known.of(self.all[0]), "a run that was removed is trained again")

    def test_a_trial_that_fails_does_not_stop_the_others(self):
        stand_in = StandIn({"lr=0.2": [20]}, fails={"lr=0.1": "the loss became NaN"})
        printed = self.go("lr=0.1,0.2", stand_in)
        self.assertEqual(self.states(), {"lr=0.1": "failed", "lr=0.2": "done"})
        self.assertIn("lr=0.1: failed twice: the loss became NaN · ", printed)

    def test_a_trial_that_another_sweep_stopped_is_done_again(self):
        stand_in = StandIn({"lr=0.1": [10, 20]})
        submit = stand_in.submit

        def once(name, key, order):
            future = submit(name, key, order)
            if name.endswith("-1"):
                stand_in.stopped.add(key)
            return future
        stand_in.submit = once
        self.go("lr=0.1", stand_in)
        self.assertEqual((self.states(), len(stand_in.trained)), ({"lr=0.1": "done"}, 2))

    def test_a_signal_stops_it(self):
        with self.assertRaises(sweep.Interrupted):
            self.go("lr=0.1,0.2", StandIn({}), noted=[2])

    def test_a_trial_whose_worker_gets_the_signal_has_not_failed(self):
        for noted, state in (([15], "waiting"), ([], "failed")):
            one = one_of(trials("lr=0.1")[0], "running")
            going = sweep.Sweep([one], None, None, noted)
            going.futures[one.key], going.connection = None, mock.Mock(outcome=lambda _: (None, "its worker died"))
            with contextlib.redirect_stdout(io.StringIO()):
                going.ended(one, None, judged=False)
            self.assertEqual(one.state, state)

    @unittest.skipUnless(ENGINE, "Optuna is not installed")
    def test_early_stopping_finds_the_best_with_half_of_the_epochs(self):
        # Trainings that get nearer to their accuracy by a half in every epoch; noise of a seed.
        finals = {0.1: 50, 0.2: 60, 0.3: 70, 0.4: 65, 0.5: 40, 0.6: 30}
        accuracies = {f"lr={lr} seed={seed}": [final * (1 - 0.5 ** epoch) + seed / 10 for epoch in range(1, 9)]
                      for lr, final in finals.items() for seed in (1, 2, 3)}
        for rule in ("halving", "median"):
            with self.subTest(rule):
                self.go("lr=0.1,0.2,0.3,0.4,0.5,0.6 seed=1..3", StandIn(accuracies), early.judge(rule))
                best = results.ranking(self.all)[0]
                self.assertEqual((dict(best.values), len(best.done)), ({"lr": 0.3}, 3))
                done = sum(len(one.epochs) for one in self.all)
                self.assertLessEqual(done, 0.5 * 18 * 8)
                self.assertIn("stopped", self.states().values())
                self.assertIn("skipped", self.states().values())
                again = {one.trial.setting for one in self.all if one.trial.seed > 1 and one.state != "skipped"}
                self.assertTrue(all(one.state == "done" for one in self.all if one.trial.setting in again))

    @unittest.skipUnless(ENGINE, "Optuna is not installed")
    def test_an_epoch_that_is_done_again_is_judged_once(self):
        judge = early.judge("median")
        with warnings.catch_warnings(record=True) as warned:
            self.assertEqual([judge.hopeless("a", epoch, 4, 50) for epoch in (1, 2, 1, 2)], [False] * 4)
        self.assertEqual(warned, [])

    def test_halving_compares_all_trainings_after_the_same_epochs(self):
        # The later, the better: whoever judged each when it gets there would let all of them go on.
        accuracies = {f"lr=0.{lr} seed={seed}": [10 * lr * epoch for epoch in range(1, 9)]
                      for lr in range(1, 10) for seed in (1, 2)}
        stand_in = StandIn(accuracies, fails={"lr=0.8 seed=1": "the loss became NaN"})
        printed = self.go("lr=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9 seed=1..2", stand_in, early.judge("halving"))
        states = {str(one.trial): (one.state, len(one.epochs)) for one in self.all}
        self.assertEqual(states["lr=0.8 seed=1"][0], "failed")
        for lr in range(1, 6):  # a third of the eight that are left is three
            state, epochs = states[f"lr=0.{lr} seed=1"]
            self.assertEqual((state, epochs < 6), ("stopped", True))
            self.assertEqual(states[f"lr=0.{lr} seed=2"], ("skipped", 0))
        self.assertEqual(states["lr=0.6 seed=1"][0], "stopped")  # one of three, but never fewer than two
        for lr in (7, 9):
            self.assertEqual((states[f"lr=0.{lr} seed=1"], states[f"lr=0.{lr} seed=2"]), (("done", 8), ("done", 8)))
        self.assertIn("lr=0.1 seed=1: stopped after epoch", printed)

    def test_halving_goes_on_with_what_was_done_before(self):
        accuracies = {f"lr=0.{lr}": [10 * lr * epoch for epoch in range(1, 9)] for lr in range(1, 7)}
        stand_in = StandIn(accuracies)
        ones = [one_of(one) for one in trials("lr=0.1,0.2,0.3,0.4,0.5,0.6")]
        ones[0].state, ones[0].epochs = "done", history(*accuracies["lr=0.1"])
        ones[5].state, ones[5].epochs = "done", history(*accuracies["lr=0.6"])
        going = sweep.Sweep(ones, sweep.Records(Path("/nowhere/x")), early.judge("halving"), [])
        with mock.patch.object(sweep.Sweep, "gathered", lambda *_: ""), mock.patch.object(sweep.Records, "add"), \
                contextlib.redirect_stdout(io.StringIO()):
            going.run(stand_in)
        self.assertEqual([one.state for one in ones], ["done", "stopped", "stopped", "stopped", "done", "done"])
        self.assertNotIn("lr=0.6", stand_in.trained)

    def test_halving_trains_no_more_when_it_is_asked_for_again(self):
        accuracies = {f"lr=0.{lr}": [10 * lr * epoch for epoch in range(1, 9)] for lr in range(1, 10)}
        self.go("lr=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9", StandIn(accuracies, 9), early.judge("halving"))
        before, epochs = self.states(), {str(one.trial): len(one.epochs) for one in self.all}
        again = StandIn(accuracies, 9)
        again.kept = epochs  # what a training learned is told at once when it goes on
        self.go("lr=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9", again, early.judge("halving"))
        self.assertEqual((self.states(), {str(one.trial): len(one.epochs) for one in self.all}), (before, epochs))


class Gathered(unittest.TestCase):
    def test_runs_are_where_the_environment_says(self):
        nobody = mock.patch("pathlib.Path.home", side_effect=RuntimeError)  # as in a container of an unknown user
        for environment, folder in (({"CONVBOOK_RUNS": "/r"}, "/r"), ({"XDG_CACHE_HOME": "/c"}, "/c/convbook/runs"),
                                    ({"HOME": "/h"}, "/h/.cache/convbook/runs")):
            with nobody, mock.patch.dict(os.environ, environment, clear=True):
                self.assertEqual(str(sweep.runs_folder()), folder)

    def test_two_sweeps_may_gather_a_run_at_once(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.dict(os.environ, {"CONVBOOK_RUNS": str(folder)}))
        content = dict.fromkeys(sweep.FILES, b"")

        class Other:
            def files(self, *_):  # while the files come, the other sweep is done
                (folder / "Net-1a").mkdir()
                (folder / "Net-1a" / "SHA256SUMS").touch()
                return content

        (folder / ".gathered-Net-2b-123" / "weights").mkdir(parents=True)  # of a sweep that was killed
        going = sweep.Sweep([], None, None, [])
        going.connection = Other()
        outcome = {"run": {"dir": "/elsewhere/Net-1a"}, "sums": ""}
        self.assertEqual(going.gathered(None, outcome), str(folder / "Net-1a"))
        self.assertEqual([path.name for path in folder.iterdir()], ["Net-1a"])


class Report(unittest.TestCase):
    def test_a_notebook_may_have_a_dot_in_its_name(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        ones = [one_of(one, "done", history(50)) for one in trials("lr=0.1,0.2")]
        options = mock.Mock(notebooks=["10"], profile="full", early="", trials=0, set="lr=0.1,0.2", of="")
        with contextlib.redirect_stdout(io.StringIO()):
            sweep.report(ones, "10.my_x", options, folder)
        self.assertEqual(sorted(path.name.rpartition("-")[0] for path in folder.iterdir()), ["10.my_x", "10.my_x"])

    def test_settings_with_and_without_validation_are_no_comparison(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        options = mock.Mock(notebooks=["10"], profile="full", early="", trials=0, set="lr=0.1,0.2", of="")
        for second, told in ((False, True), (True, False)):
            ones = [one_of(one, "done", history(50)) for one in trials("lr=0.1,0.2")]
            ones[1].epochs = history(60, validates=second)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                sweep.report(ones, "10_x", options, folder)
            self.assertEqual("note: settings without validation images" in printed.getvalue(), told)


class Records(unittest.TestCase):
    def test_a_line_that_was_cut_is_no_record(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.jsonl"
            path.write_bytes(b'{"key": "a", "dir": "/nowhere", "epochs": []}\n{"key": "c"}\n[]\n\xff\n{"key": "b", "di')
            records = sweep.Records(path)
            self.assertEqual(list(records.known), ["a"])
            for key in "de":
                records.add(mock.Mock(key=key, dir="/nowhere", epochs=[], trial=mock.Mock(values=dict)))
            self.assertEqual(list(sweep.Records(path).known), ["a", "d", "e"])


class Command(unittest.TestCase):
    def test_a_sweep_keeps_the_validation_images_back_that_the_notebook_says(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "10_x.ipynb"
            nbformat.write(notebook_of(sweep={"batch": 5000, "mirror": True}), path)
            options = mock.Mock(set="lr=0.1,0.2", trials=0, many="", of="", profile="full")
            self.assertEqual([one.order["values"] for one in sweep.orders(path, options)], [
                {"batch": 5000, "mirror": True, "lr": 0.1}, {"batch": 5000, "mirror": True, "lr": 0.2}])
            options.profile, options.set = "smoke", "batch=7"
            self.assertEqual([one.order["values"] for one in sweep.orders(path, options)], [
                {"batch": 7, "mirror": True, "epochs": 1}])

    def test_what_is_wrong_is_told_before_anything_starts(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "10_x.ipynb"
            nbformat.write(notebook_of(), path)
            for arguments, told in [
                ([], "a sweep is of one notebook"),
                (["10 11"], "a sweep is of one notebook"),
                ([str(path)], "nothing is to be varied"),
                ([str(path), "--set", "lr=1", "--cores", "many"], "CORES is a whole number from 0 to 999999, not"),
                ([str(path), "--set", "lr=1", "--early", "soon"], "EARLY is halving or median, not soon"),
                ([str(path), "--set", "lr=1", "--profile", "x"], "there is no profile x"),
                ([str(path), "--set", "seed=1..300", "--many", "no"], "MANY is yes or left out, not 'no'"),
            ]:
                with self.subTest(arguments), contextlib.redirect_stderr(io.StringIO()) as errors:
                    self.assertEqual(sweep.main(arguments), 2)
                    self.assertIn(told, errors.getvalue())
                    self.assertEqual(errors.getvalue().count("\n"), 1)

    @unittest.skipUnless(ENGINE, "Dask and Optuna are not installed")
    def test_nobody_else_reaches_the_workers_of_this_machine(self):
        me = psutil.Process()
        with mock.patch.object(trial, "train", lambda *_: trial.share()), cluster.connect("", 1) as connection:
            open_to = [one for process in (me, *me.children(recursive=True)) for one in process.net_connections("all")
                       if one.status == psutil.CONN_LISTEN or (one.family == socket.AF_UNIX and one.laddr)]
            self.assertEqual(open_to, [])
            self.assertEqual(connection.workers(), len(os.sched_getaffinity(0)))
            self.assertEqual(len(connection.submit("a", "a", {}).result(60)), 1)

    @unittest.skipUnless(ENGINE, "Dask and Optuna are not installed")
    def test_an_address_where_nobody_answers(self):
        with mock.patch.object(cluster, "TIMEOUT", 0.5):
            for address, told in {"tcp://127.0.0.1:1": "nobody answers at tcp://127.0.0.1:1",
                                  "tcp://nobody.invalid:8786": "nobody answers at tcp://nobody.invalid:8786",
                                  "tcp://[::1]:1": r"nobody answers at tcp://\[::1\]:1",
                                  "tls://127.0.0.1:1": "tls://127.0.0.1:1 is encrypted, and Dask's settings name no",
                                  "host": "CLUSTER is the address of a scheduler, such as tcp://host:8786"}.items():
                with self.assertRaisesRegex(execution.UserError, told), cluster.connect(address, 1):
                    pass


class Machines(unittest.TestCase):
    def test_the_status_tells_that_a_worker_failed(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / "ssh").write_text('#!/bin/sh\necho "$@"\ncase $* in *second*) exit 3;; esac\n')
        (folder / "ssh").chmod(0o755)
        for machines, status in ((["first", "third"], 0), (["first", "second", "third"], 1)):
            done = subprocess.run([Path(sweep.__file__).with_name("ssh"), "tcp://host:8786", *machines], text=True,
                                  env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}, stdout=subprocess.PIPE)
            self.assertEqual(done.returncode, status)
            self.assertEqual(sorted(line.split(":")[0] for line in done.stdout.splitlines()), machines)


# A cell that notes what package train would of a run of two epochs.
TRAINS = """import (
	"fmt"
	"os"
	"path/filepath"
)

func note(variable, line string) {
	file, _ := os.OpenFile(os.Getenv(variable), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	fmt.Fprintln(file, line)
}

%%
dir, _ := filepath.Abs(name)
os.MkdirAll(dir, 0o755)
os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(fmt.Sprint(lr, " ", seed)), 0o644)
for epoch := 1; epoch <= 2; epoch++ {
	line := `{"dir":%q,"network":"Net","epoch":%d,"epochs":2,"test_accuracy":%d}`
	note("CONVBOOK_EPOCHS", fmt.Sprintf(line, dir, epoch, seed))
}
note("CONVBOOK_RESULTS", fmt.Sprintf(`{"dir":%q,"result":{"network":"Net"}}`, dir))"""


class Kernel(unittest.TestCase):
    """Does a trial in the real kernel."""

    def test_a_trial_ends_behind_the_cell_that_trains(self):
        execution.ready()
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        after = 'import "os"\n\n%%\nos.WriteFile("next", nil, 0o600)'
        text = trial.text_of(notebook_of(TRAINS, after))
        order = {"notebook": "10_x", "text": text, "values": {"lr": 0.5, "seed": 7, "name": "run"}, "network": "Net",
                 "version": trial.version()}
        told = []
        with mock.patch.object(run, "NOTEBOOKS", folder), mock.patch.object(trial, "share", lambda: [0]):
            outcome = trial.train("k", order, told.append)
            self.assertEqual((outcome["stopped"], outcome["sums"]), (False, "0.5 7"))
            self.assertEqual([(e["epoch"], e["test_accuracy"]) for e in told], [(1, 7), (2, 7)])
            self.assertEqual(outcome["epochs"], told)
            self.assertFalse((folder / "next").exists())
            with self.assertRaisesRegex(trial.Failed, "no cell of the notebook trains VGG with train.Fit"):
                trial.train("k", {**order, "network": "VGG"}, told.append)
            loads = 'import (\n\t"fmt"\n\t"os"\n)\n\n%%\nfile, _ := os.Create(os.Getenv("CONVBOOK_RESULTS"))\n' \
                'fmt.Fprintln(file, `{"dir":"/loaded","result":{"network":"Net"}}`)'
            outcome = trial.train("k", {**order, "text": trial.text_of(notebook_of(loads, TRAINS))}, told.append)
            self.assertEqual((Path(outcome["run"]["dir"]).name, len(outcome["epochs"])), ("run", 2))
        with self.assertRaisesRegex(trial.Failed, "is another version .*or give the command again if lib was changed"):
            trial.train("k", {**order, "version": "old"}, told.append)

    def test_a_network_that_the_notebook_does_not_train_is_told_before_anything_is_trained(self):
        execution.ready()
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.dict(os.environ, {"CONVBOOK_RUNS": str(folder / "runs")}))
        self.enterContext(mock.patch.object(run, "BUILD", folder / "build"))
        path = folder / "10_x.ipynb"
        notebook = notebook_of(TRAINS)
        notebook.metadata["convbook"]["smoke"] = {"name": str(folder / "run"), "epochs": 1}
        nbformat.write(notebook, path)
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(sweep.main([str(path), "--set", "lr=0.1,0.2", "--of", "Nett"]), 2)
        self.assertEqual(errors.getvalue(), "error: 10_x trains no network Nett (did you mean Net?): it trains Net\n")
        order = {"notebook": "10_x", "text": trial.text_of(notebook), "values": {"name": str(folder / "run")}}
        self.assertEqual(trial.networks({**order, "network": "Net"}, []), {"Net"})
        fails = trial.text_of(notebook_of(TRAINS, "%%\npanic(0)"))
        self.assertIsNone(trial.networks({**order, "text": fails, "network": "VGG"}, []))
        self.assertIsNone(trial.networks({**order, "network": "VGG"}, [signal.SIGINT]))

    @unittest.skipUnless(ENGINE, "Dask and Optuna are not installed")
    def test_a_worker_that_is_killed_is_replaced(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.dict(os.environ, {"CONVBOOK_RUNS": str(folder)}))
        one = sweep.One(space.Trial((("lr", 0.5),), 7), {
            "notebook": "10_x", "text": trial.text_of(notebook_of(DIES.replace("FOLDER", str(folder)))), "source": "s",
            "values": {"lr": 0.5, "seed": 7, "name": str(folder / "run")}, "network": "", "version": trial.version()})
        (folder / "run").mkdir()
        (folder / "run" / "SHA256SUMS").touch()
        going = sweep.Sweep([one], sweep.Records(folder / "x.jsonl"), None, [])
        import dask
        import distributed
        twice = dask.config.set({"distributed.scheduler.allowed-failures": 1})  # as for `make scheduler`
        with contextlib.redirect_stdout(io.StringIO()), twice, distributed.LocalCluster(
                n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit=0,
                silence_logs=50) as elsewhere, cluster.connect(elsewhere.scheduler_address, 0) as connection:
            going.run(connection)
        self.assertEqual((one.state, one.error, len(one.epochs)), ("done", "", 2))
        self.assertTrue((folder / "died").exists())


# A cell that kills the worker which executes it, but not a second time.
DIES = TRAINS.replace("dir, _ :=", """if _, err := os.Stat("FOLDER/died"); err != nil {
	os.WriteFile("FOLDER/died", nil, 0o600)
	worker, _ := strconv.Atoi(os.Getenv("JPY_PARENT_PID"))
	syscall.Kill(worker, syscall.SIGKILL)
	time.Sleep(time.Minute)
}
dir, _ :=""").replace('"path/filepath"', '"path/filepath"\n\t"strconv"\n\t"syscall"\n\t"time"')

if __name__ == "__main__":
    unittest.main()
