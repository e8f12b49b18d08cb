"""What a sweep found: the settings from best to worst, as a table, JSON and CSV."""

import csv
import io
import json
import re
import statistics

from space import text_of, written


def accuracy(epoch: dict) -> float:
    """The accuracy after an epoch by which settings are chosen: that of the validation images, where there are some."""
    return epoch.get("validation_accuracy", 0.0) if validates(epoch) else epoch["test_accuracy"]


def kept(epochs: list[dict]) -> dict:
    """The epoch whose weights a run has: the last one, or with Keep: BestEpoch the best."""
    return epochs[epochs[-1].get("kept", len(epochs)) - 1]


def validates(epoch: dict) -> bool:
    """Whether there were validation images. What is 0 of them is left out, but loss and accuracy are not both 0."""
    return "validation_loss" in epoch or "validation_accuracy" in epoch


def spread(values: list[float]) -> tuple[float, float | None]:
    """The mean and the sample's standard deviation, which a single value has not."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def shown(values: list[float]) -> str:
    """The mean and the deviation, for people."""
    mean, deviation = spread(values)
    return f"{mean:.2f}" if deviation is None else f"{mean:.2f} ± {deviation:.2f}"


class Setting:
    """A setting and its trials, one for each seed."""

    def __init__(self, values: tuple, trials: list):
        self.values, self.trials = values, trials
        self.done = [trial for trial in trials if trial.state == "done"]
        self.accuracies = [accuracy(kept(trial.epochs)) for trial in self.done]
        self.tested = [kept(trial.epochs)["test_accuracy"] for trial in self.done]
        begun = [trial for trial in trials if trial.epochs and trial.state != "done"]
        self.epochs = max((len(trial.epochs) for trial in begun), default=0)
        self.last = max((accuracy(trial.epochs[-1]) for trial in begun), default=float("-inf"))

    def rank(self) -> tuple:
        """Best first: what was trained with all seeds, then with some, then what was stopped, the latest first."""
        mean = statistics.fmean(self.accuracies) if self.done else self.last
        return -len(self.done), -self.epochs * (not self.done), -mean

    def note(self) -> str:
        """What became of trials that were not done."""
        states = [trial.state for trial in self.trials]
        told = []
        if "stopped" in states:
            told.append(f"stopped at {self.last:.2f} after epoch {self.epochs}")
        for state, text in (("skipped", "not tried"), ("failed", "failed"), ("waiting", "not done"),
                            ("running", "not done"), ("paused", "not done")):
            if n := states.count(state):
                told.append(f"{n} {text}" if len(states) > 1 else text)
        return ", ".join(told)


def ranking(trials: list) -> list[Setting]:
    """The settings, the best on top."""
    groups = {}
    for one in trials:
        groups.setdefault(one.trial.setting, []).append(one)
    return sorted((Setting(values, group) for values, group in groups.items()), key=Setting.rank)


def table(settings: list[Setting], by: str) -> str:
    """The settings as aligned text: the parameters that are not the same in all, and how well they do."""
    varied = [name for name, value in settings[0].values if any(dict(s.values)[name] != value for s in settings)]
    lines = [[*varied, f"{by}, %", "seeds", ""]]
    for setting in settings:
        values = [text_of(dict(setting.values)[name]) for name in varied]
        how = shown(setting.accuracies) if setting.done else "–"
        lines.append([*values, how, str(len(setting.done)), setting.note()])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines)


def told(settings: list[Setting], by: str, notebook: str) -> str:
    """The best setting in a line, and how to use it."""
    best = settings[0]
    if not best.done:
        return "no training came to its end"
    seeds = f"{len(best.done)} seeds" if len(best.done) > 1 else "one seed"
    line = f"best over {seeds}: {shown(best.accuracies)} % of the {by} images"
    if by != "test":
        line += f", {shown(best.tested)} % of the test images, by which nothing was chosen"
    parameters = f" P={quoted(written(dict(best.values)))}" if best.values else ""
    name = notebook if re.fullmatch(r"[\w./-]+", notebook) else quoted(notebook)
    return f"{line}\nuse it: make run NB={name}{parameters}"


def quoted(text: str) -> str:
    """A text in quotes that a shell takes away, and nothing else."""
    return '"' + re.sub(r'(["$`\\])', r"\\\1", text) + '"'


def as_json(settings: list[Setting], by: str, notebook: str, options) -> str:
    found = []
    for setting in settings:
        mean, deviation = spread(setting.accuracies) if setting.done else (None, None)
        found.append({
            "parameters": dict(setting.values), "accuracy": mean, "deviation": deviation,
            "test_accuracy": statistics.fmean(setting.tested) if setting.done else None,
            "trials": [{"seed": one.trial.seed, "state": one.state, "run": one.dir, "error": one.error,
                        "epochs": one.epochs} for one in setting.trials]})
    about = {"notebook": notebook, "asked": options.set, "network": options.of, "chosen_by": by, "settings": found}
    return json.dumps(about, indent=1) + "\n"


def as_csv(settings: list[Setting]) -> str:
    """A row for each trial. A parameter may be called epochs, so no column of the results is."""
    names = [name for name, _ in settings[0].values]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "seed", "state", "epochs_done", "validation_accuracy", "test_accuracy", "train_seconds",
                     "run"])
    for setting in settings:
        for one in setting.trials:
            last, taken = (kept(one.epochs), one.epochs[-1]["train_seconds"]) if one.epochs else ({}, None)
            validated = accuracy(last) if last and validates(last) else None
            measured = [validated, last.get("test_accuracy"), taken]
            values = [text_of(value) for _, value in setting.values]
            writer.writerow([*values, one.trial.seed, one.state, len(one.epochs), *measured, one.dir])
    return text.getvalue()
