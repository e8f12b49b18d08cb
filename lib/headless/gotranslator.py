"""Teaches papermill Go: how to read a notebook's parameters from its tagged cell, and how to write them into one."""

import json
import re

from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators

# var name = value, alone or inside of var ( … ), with a comment behind it.
DECLARATION = re.compile(r"^\s*(?:var\s+)?([A-Za-z_]\w*)\s*=\s*(\"[^\"]*\"|[^\s/]+)\s*(?://\s*(.*))?$")

# What a value in a parameters cell can be, as Go types it, and how such a value is told in an error.
TYPES = {
    "int": (re.compile(r"[-+]?\d+"), "a whole number"),
    "float64": (re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?"), "a number"),
    "bool": (re.compile(r"true|false"), "true or false"),
    "string": (re.compile(r'"[^"]*"'), "a text"),
}


def type_of(literal: str) -> str:
    """The Go type of a literal. 1 is an int, 1.0 a float64."""
    for name, (pattern, _) in TYPES.items():
        if pattern.fullmatch(literal):
            return name
    raise ValueError(f"{literal} is no literal of {', '.join(TYPES)}")


def parse(name: str, go_type: str, default: str, text: str):
    """The value that a user gave for a parameter as text. A wrong type is a ValueError of one line."""
    if go_type == "string":
        return text
    pattern, told = TYPES[go_type]
    if not pattern.fullmatch(text):
        raise ValueError(f"{name} is {told} ({default} if not set), not {text!r}")
    return {"int": int, "float64": float, "bool": lambda word: word == "true"}[go_type](text)


class GoTranslator(Translator):
    @classmethod
    def translate_str(cls, value):
        return json.dumps(value, ensure_ascii=False)

    @classmethod
    def translate_bool(cls, value):
        return "true" if value else "false"

    @classmethod
    def translate_float(cls, value):
        text = repr(value)
        return text if re.search(r"[.e]", text) else text + ".0"

    @classmethod
    def comment(cls, text):
        return f"// {text}".strip()

    @classmethod
    def assign(cls, name, value):
        return f"var {name} = {value}"

    @classmethod
    def inspect(cls, parameters_cell):
        found = []
        for line in parameters_cell["source"].splitlines():
            if match := DECLARATION.match(line):
                name, default, about = match.groups()
                found.append(Parameter(name, type_of(default), default, about or ""))
        return found


papermill_translators.register("go", GoTranslator)
