"""What a sweep tries: settings of a notebook's parameters, each with one or several seeds."""

import itertools
import math
import re
import shlex
from dataclasses import dataclass

import run
from execution import UserError

SEED = "seed"  # the parameter with whose values every setting is repeated
MOST = 200  # trials that nobody has to confirm
END = 100_000  # trials that no sweep has
RANGE = re.compile(r"([-+]?[0-9]+)\.\.([-+]?[0-9]+)")
DRAWN = re.compile(r"(log|uniform)\(([^,()]*),([^,()]*)\)")
DIGITS = 3  # of a number that is drawn: nobody reads more


@dataclass(frozen=True)
class Drawn:
    """A parameter whose values are drawn at random, evenly or with evenly spread logarithms."""

    log: bool
    low: int | float
    high: int | float


@dataclass(frozen=True)
class Trial:
    """One training: the values of the parameters that the sweep sets."""

    setting: tuple  # of pairs of name and value, without the seed
    seed: int | None  # None if the sweep does not set it

    def values(self) -> dict:
        return dict(self.setting) | ({} if self.seed is None else {SEED: self.seed})

    def __str__(self) -> str:
        return written(self.values())


def written(values: dict) -> str:
    """Values as they are written on the command line."""
    return " ".join(shlex.quote(f"{name}={text_of(value)}") for name, value in values.items())


def text_of(value) -> str:
    """A value as Go writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(stem: str, notebook, name: str, text: str) -> list | range | Drawn:
    """What is to be tried of a parameter: 1,2,4 or 1..3 or log(1e-4,1e-2) or uniform(0,0.5)."""
    def value(item: str):
        return run.checked(stem, notebook, {name: item})[name]
    if match := DRAWN.fullmatch(text):
        kind, low, high = match[1], value(match[2].strip()), value(match[3].strip())
        if isinstance(low, (str, bool)):
            raise UserError(f"{name}={text}: {kind} draws numbers, and {name} is none: list its values")
        if not low < high:
            raise UserError(f"{name}={text} is empty: its first number must be the smaller one")
        if kind == "log" and low <= 0:
            raise UserError(f"{name}={text}: only numbers above 0 have a logarithm: begin higher or use uniform()")
        if math.isinf(high - low):
            raise UserError(f"{name}={text} is wider than all numbers: draw from less")
        return Drawn(kind == "log", low, high)
    if match := RANGE.fullmatch(text):
        first, last = value(match[1]), value(match[2])
        if not isinstance(first, int):
            raise UserError(f"{name}={text}: a range is of whole numbers: list {name}'s values, with commas between")
        if first > last:
            raise UserError(f"{name}={text} is empty: a range goes up, as in {name}={match[2]}..{match[1]}")
        return range(first, last + 1)
    items = text.split(",")
    if "" in items:
        raise UserError(f"{name}={text} has an empty value: write as in {name}=1,2,4 or {name}=1..3")
    values = [value(item) for item in items]
    if twice := next((item for item, one in zip(items, values) if values.count(one) > 1), None):
        raise UserError(f"{name}={text} has {twice} twice")
    return values


def trials(stem: str, notebook, text: str, draws: int, many: bool) -> list[Trial]:
    """The trials that a command asks for. All settings come with the first seed, then all with the next. What is wrong
    is a UserError."""
    asked = run.split_settings(text)
    if not asked:
        raise UserError(f'nothing is to be varied: say what, for instance P="lr=0.001,0.003 seed=1..3" (the parameters '
                        f'of {stem} are {", ".join(run.parameters_of(notebook)) or "none"})')
    space = {name: parse(stem, notebook, name, value) for name, value in asked.items()}
    seeds = space.pop(SEED, [None])
    if isinstance(seeds, Drawn):
        raise UserError(f"{SEED}={asked[SEED]}: seeds are not drawn: give a range, as in {SEED}=1..3")
    random = [name for name, values in space.items() if isinstance(values, Drawn)]
    if random and draws < 1:
        raise UserError(f"{random[0]} is drawn at random: say how many settings to try, for instance TRIALS=30")
    if draws and not random:
        raise UserError(f"TRIALS={draws} is for what is drawn, as in lr=log(1e-4,1e-2): a grid has a number of its own")
    sizes = {name: size(values) for name, values in space.items()}
    if random and (long := next((name for name, n in sizes.items() if n > END), None)):
        raise UserError(f"{long}={asked[long]} is a list of {sizes[long]:,} values: draw from them, as with "
                        f"{long}=uniform({asked[long].replace('..', ',')})")
    count = size(seeds) * (draws if random else math.prod(sizes.values()))
    if count > END:
        raise UserError(f"that is {count:,} trainings, more than the {END:,} that a sweep may have: draw some, as with "
                        "lr=log(1e-4,1e-2) TRIALS=30")
    if count > MOST and not many:
        raise UserError(f"that is {count:,} trainings: if you mean it, add MANY=yes")
    if random:
        settings = draw(space, draws)
    else:
        settings = [tuple(zip(space, values)) for values in itertools.product(*space.values())]
    return [Trial(setting, seed) for seed in seeds for setting in settings]


def size(values: list | range | Drawn) -> int:
    """How many values there are to try. A range may have more than len can tell."""
    if isinstance(values, Drawn):
        return 1
    return values.stop - values.start if isinstance(values, range) else len(values)


def draw(space: dict, n: int) -> list[tuple]:
    """So many settings from a space, always the same. Of what is a list, a value is chosen at random."""
    import optuna  # here, since a grid does without

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {}
    for name, values in space.items():
        if not isinstance(values, Drawn):
            distributions[name] = optuna.distributions.CategoricalDistribution(list(values))
        elif isinstance(values.low, int):
            distributions[name] = optuna.distributions.IntDistribution(values.low, values.high, log=values.log)
        else:
            distributions[name] = optuna.distributions.FloatDistribution(values.low, values.high, log=values.log)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [tuple((name, brief(value, space[name])) for name, value in study.ask(distributions).params.items())
             for _ in range(n)]
    return list(dict.fromkeys(drawn))


def brief(value, drawn):
    """A number that was drawn with few digits: as many as keep it within its bounds."""
    if not isinstance(value, float) or not isinstance(drawn, Drawn):
        return value
    rounded = (float(f"{value:.{digits}g}") for digits in itertools.count(DIGITS))
    return next(number for number in rounded if drawn.low <= number <= drawn.high)
