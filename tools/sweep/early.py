"""Stops trainings that show no promise, by the accuracies after their epochs. Optuna judges."""

import math

import optuna
from execution import UserError

RULES = ("halving", "median")
KEPT = 3  # one setting in three is then trained with the other seeds


class Judge:
    """Compares trainings with one seed. Halving lets the best third go on at a quarter and at three quarters of the
    epochs; median stops what is below the median of those that were trained to their end."""

    def __init__(self, rule: str):
        if rule not in RULES:
            raise UserError(f"EARLY is {' or '.join(RULES)}, not {rule}")
        self.rule, self.study, self.trials = rule, None, {}

    def hopeless(self, key: str, epoch: int, epochs: int, accuracy: float) -> bool:
        """Whether a training need not go on that has this accuracy after an epoch."""
        if not self.study:
            self.study = self.begin(epochs)
        if key not in self.trials:
            self.trials[key] = self.study.ask()
        trial = self.trials[key]
        trial.report(accuracy, epoch)
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
        quarter = max(1, round(epochs / 4))
        pruner = {
            "halving": optuna.pruners.SuccessiveHalvingPruner(min_resource=quarter, reduction_factor=3),
            "median": optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=quarter - 1),
        }[self.rule]
        return optuna.create_study(direction="maximize", pruner=pruner)

    def kept(self, settings: int) -> int:
        """How many settings are worth the other seeds."""
        return math.ceil(settings / KEPT)
