"""Stops trainings that show no promise, by the accuracies after their epochs."""

import math

import optuna

from execution import UserError


def best(n: int) -> int:
    """How many of n go on: a third, but never fewer than two, since one alone is compared with nothing."""
    return max(2, math.ceil(n / 3))


class Halving:
    """Successive halving: all wait for each other after these shares of their epochs, and the best of them go on
    (Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", 2016)."""

    rungs = (1 / 4, 3 / 4)

    def hopeless(self, key: str, epoch: int, epochs: int, accuracy: float) -> bool:
        return False

    def ended(self, key: str, accuracy: float | None) -> None:
        pass


class Median:
    """Stops what is below the median of those that were trained to their end. Optuna judges."""

    rungs = ()

    def __init__(self):
        self.study, self.trials = None, {}
        self.reported = set()  # keys and epochs: what another sweep stopped is done, and told, again

    def hopeless(self, key: str, epoch: int, epochs: int, accuracy: float) -> bool:
        """Whether a training need not go on that has this accuracy after an epoch."""
        if not self.study:
            self.study = self.begin(epochs)
        if key not in self.trials:
            self.trials[key] = self.study.ask()
        trial = self.trials[key]
        if (key, epoch) not in self.reported:
            trial.report(accuracy, epoch)
            self.reported.add((key, epoch))
        return epoch < epochs and trial.should_prune()

    def ended(self, key: str, accuracy: float | None) -> None:
        """Notes that a training came to its end with an accuracy, or did not."""
        if trial := self.trials.pop(key, None):
            if accuracy is None:
                self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                self.study.tell(trial, accuracy)

    def begin(self, epochs: int):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warm_up = max(1, round(epochs / 4)) - 1
        return optuna.create_study(
            direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=warm_up))


RULES = {"halving": Halving, "median": Median}


def judge(rule: str) -> Halving | Median:
    """Who compares the trainings with one seed."""
    if rule not in RULES:
        raise UserError(f"EARLY is {' or '.join(RULES)}, not {rule}")
    return RULES[rule]()
