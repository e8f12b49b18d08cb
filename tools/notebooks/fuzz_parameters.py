#!/usr/bin/env python3
"""A fuzzer of what reads the parameters of headless runs: P="…" on the command line, and a notebook's parameters cell.

Whatever the text: an error is one line, of the kind that is shown to the user; a value that is accepted is of the
parameter's type and finite; and written into a cell as Go it is read back as the same value.

    .venv/bin/python tools/notebooks/fuzz_parameters.py --seconds 60 --seed 1
"""

import argparse
import math
import random
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import gotranslator
import run

TYPES = {"int": int, "float64": float, "bool": bool, "string": str}

VALUES = ["0", "1", "-1", "+7", "007", "1.5", ".5", "5.", "1e9", "1E-9", "1e999", "-1e999", "1e-999",
          "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" * 400, "0x1f", "1_000", "nan",
          "inf", "Infinity", "true", "false", "True", "\u0661", "1\u00a0", "", " ", "a b", "\"", "'",
          "\\", "\n", "\0", "\ufeff", "\ud800", "\u2028", "\U0001f600", "`",
          "$(x)", "`x`", "a=b", "=", "==", "#", "//", "/*"]
CELLS = ["var epochs = 2", "var lr = 0.02 // the rate", "var (\n\ta = 1\n\tb = \"x y\"\n)", "lr = 1e-3",
         "var name string = \"x\"", "var on = true",
         "var batch = 2*32", "const n = 3", "var a, b = 1, 2", "var s = `raw\nvar x = 1`", "// var c = 1",
         "/* var d = 2 */", "%%", "var f = func() int { return 1 }",
         "var v = []int{1, 2}", "!*ls", "%cd x", "import \"fmt\"", "var r = 'x'", "func f() { var local = 1 }",
         "var x int", "var (", ")", "\"", "'", "`", "/*"]


class Wrong(Exception):
    """Something that must not be."""


def changed(chance: random.Random, text: str, scraps: list[str]) -> str:
    for _ in range(chance.choice([0, 1, 1, 2, 4, 8])):
        at = chance.randint(0, len(text))
        to = at + chance.choice([0, 0, 1, 2, 5])
        character = chr(chance.choice([chance.randrange(128), chance.randrange(0x110000)]))
        new = chance.choice([chance.choice(scraps), character, ""])
        text = text[:at] + new + text[to:]
    return text[:2000]


def one_line(error: Exception) -> None:
    if "\n" in str(error) or not str(error):
        raise Wrong(f"an error that is not one line: {str(error)!r}")


def settings(chance: random.Random) -> None:
    """P is split into settings, or is an error of one line."""
    names = ["epochs", "lr", "name"][: chance.randrange(4)]
    text = changed(chance, " ".join(f"{name}={chance.choice(VALUES)}" for name in names), VALUES)
    try:
        for name, value in run.split_settings(text).items():
            if not name or not isinstance(value, str):
                raise Wrong(f"{text!r} sets {name!r} to {value!r}")
    except run.UserError as error:
        one_line(error)


def written(value) -> str:
    return gotranslator.GoTranslator.assign("x", gotranslator.GoTranslator.translate(value))


def values(chance: random.Random) -> None:
    """A value of the right type, which Go reads as the same, or an error of one line."""
    go_type, text = chance.choice(list(TYPES)), changed(chance, chance.choice(VALUES), VALUES)
    try:
        value = gotranslator.parse("x", go_type, "1", text)
    except ValueError as error:
        one_line(error)
        return
    too_large = (go_type == "float64" and not math.isfinite(value)) or (
        go_type == "int" and not -(2**63) <= value < 2**63)
    if type(value) is not TYPES[go_type] or too_large:
        raise Wrong(f"{text!r} is accepted as {go_type}: {value!r}")
    declaration = written(value)
    found = gotranslator.GoTranslator.inspect({"source": declaration})
    if len(found) != 1 or found[0].name != "x" or found[0].inferred_type_name != go_type:
        raise Wrong(f"{text!r} as {go_type} is written as {declaration!r}, which is read as {found}")
    if go_type != "string" and gotranslator.parse("x", go_type, "1", found[0].default.replace(" ", "")) != value:
        raise Wrong(f"{text!r} as {go_type} is written as {declaration!r}, which is another value")
    if go_type == "string" and ("\n" in declaration or "\0" in declaration):
        raise Wrong(f"{text!r} is written as {declaration!r}, which Go does not take")


def cells(chance: random.Random) -> None:
    """Any cell is read: as parameters of known types, or of none."""
    source = changed(chance, "\n".join(chance.choices(CELLS, k=chance.randrange(6))), CELLS + VALUES)
    for found in gotranslator.GoTranslator.inspect({"source": source}):
        if not re.fullmatch(r"\w+", found.name):
            continue  # this is not Go, and the kernel says so
        try:
            gotranslator.parse(found.name, found.inferred_type_name, found.default, chance.choice(VALUES))
        except ValueError as error:
            one_line(error)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9), help="repeats a run")
    options = parser.parse_args()
    start, n = time.monotonic(), 0
    while time.monotonic() - start < options.seconds:
        for look in settings, values, cells:
            chance = random.Random(f"{options.seed} {n}")
            n += 1
            try:
                look(chance)
            except Exception as error:
                print(f"error: {look.__name__}, execution {n} of seed {options.seed}: {type(error).__name__}: {error}",
                      file=sys.stderr)
                return 1
    print(f"{n} executions in {time.monotonic() - start:.0f} s, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
