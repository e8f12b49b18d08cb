"""Teaches papermill Go: how to read a notebook's parameters from its tagged cell, and how to write them into one."""

import json
import math
import re

from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators

# What Go code is made of. The first that fits counts.
TOKEN = re.compile(r"""
    (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
  | (?P<rune>'(?:\\.|[^'\\\n])+')
  | (?P<int>0[xX][0-9a-fA-F_]+(?![.pP])|0[bBoO][0-7_]+|[0-9][0-9_]*(?![0-9_.eEiI]))
  | (?P<float>(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9_]+)?(?!i))
  | (?P<word>\w+)
  | (?P<end>[\n;])
  | (?P<space>\s+)
  | (?P<sign><<|>>|&\^|.)
""", re.X | re.S)

# The types that can be set, how a value of each is written on the command line, and how that is told in an error.
TYPES = {
    "int": (re.compile(r"[-+]?[0-9]+"), "a whole number"),
    "float64": (re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?"), "a number"),
    "bool": (re.compile(r"true|false"), "true or false"),
    "string": (re.compile(r".*", re.S), "a text"),
}

# What is found instead of a type where a variable cannot be set, and why it cannot.
UNSETTABLE = {
    "const": "is the value of a constant: declare it with var",
    "several": "declares several at once: give each a line of its own",
    "None": "is no plain int, float64, string or bool",
}


def tokens_of(source: str) -> list[tuple[str, str]]:
    """The kinds and texts of a cell's tokens, up to its %%. Lines for the kernel, with % or !, are left out."""
    declarations = re.split(r"^%%", source, maxsplit=1, flags=re.M)[0]
    code = re.sub(r"^[%!].*", "", declarations, flags=re.M)
    return [(match.lastgroup, match.group()) for match in TOKEN.finditer(code) if match.lastgroup != "space"]


def type_of(value: list[tuple[str, str]]) -> str:
    """The Go type of an expression of literals, or None. 1 is an int, 1.0 a float64."""
    kinds = {kind for kind, _ in value if kind != "sign"}
    signs = {text for kind, text in value if kind == "sign"}
    if len(value) == 1 and value[0][1] in ("true", "false"):
        return "bool"
    if kinds == {"string"} and signs <= {"+"}:
        return "string"
    if kinds and kinds <= {"int", "float"} and signs <= set("+-*/%()&|^") | {"<<", ">>", "&^"}:
        return "float64" if "float" in kinds else "int"
    return "None"


def parameter(keyword: str, spec: list[tuple[str, str]], about: str) -> list[Parameter]:
    """The variables of what follows var or const: names, a type and a value, of which one may be missing."""
    left, value = spec, []
    if ("sign", "=") in spec:
        at = spec.index(("sign", "="))
        left, value = spec[:at], spec[at + 1 :]
    names = [left[0][1]] if left and left[0][0] == "word" else []
    while names and left[2 * len(names) - 1 : 2 * len(names)] == [("sign", ",")] and len(left) > 2 * len(names):
        names.append(left[2 * len(names)][1])
    declared = "".join(text for _, text in left[2 * len(names) - 1 :])
    if keyword == "const":
        kind = "const"
    elif len(names) > 1:
        kind = "several"
    elif declared:
        kind = declared if declared in TYPES else "None"
    else:
        kind = type_of(value)
    default = " ".join(text for _, text in value)
    if kind == "None":
        default = f"{declared} {default}".strip()
    return [Parameter(name, kind, default or declared, about) for name in names]


def parse(name: str, go_type: str, default: str, text: str):
    """The value that a user gave for a parameter as text. A wrong one is a ValueError of one line."""
    default = " ".join(default.split())
    if go_type in UNSETTABLE:
        raise ValueError(f"{name} cannot be set: {default} {UNSETTABLE[go_type]}")
    pattern, told = TYPES[go_type]
    if not pattern.fullmatch(text):
        raise ValueError(f"{name} is {told} ({default} if not set), not {text!r}")
    if go_type == "int":
        if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
            raise ValueError(f"{name} is a whole number of at most 64 bits, not {text}")
        return int(text)
    if go_type == "float64":
        value = float(text)
        if not math.isfinite(value) or (value == 0 and re.search("[1-9]", re.split("[eE]", text)[0])):
            raise ValueError(f"{name} is a number that a float64 can hold, not {text}")
        return value
    if go_type == "bool":
        return text == "true"
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is a text in UTF-8, not {text!r}") from None
    return text


def goes_on(spec: list[tuple[str, str]]) -> bool:
    """Whether a declaration cannot end behind these tokens: the line's end does not count."""
    return bool(spec) and spec[-1][0] == "sign" and spec[-1][1] not in ")]}"


class GoTranslator(Translator):
    @classmethod
    def translate_str(cls, value):
        # Go takes a byte order mark as it is in no place but the first.
        return json.dumps(value, ensure_ascii=False).replace("\ufeff", r"\ufeff")

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
        found, tokens = [], tokens_of(parameters_cell["source"]) + [("end", "\n")]
        keyword, grouped, depth, spec, about = "", False, 0, [], ""
        for kind, text in tokens:
            if kind == "comment":
                about = text.removeprefix("//").strip() if text.startswith("//") and spec else ""
            elif not keyword:
                depth += (text in "([{") - (text in ")]}") if kind == "sign" else 0
                if kind == "word" and text in ("var", "const") and depth == 0:
                    keyword, grouped, spec, about = text, False, [], ""
            elif not grouped and not spec and text == "(":
                grouped = True
            elif depth == 0 and ((kind == "end" and not goes_on(spec)) or (grouped and text == ")")):
                found += parameter(keyword, spec, about)
                spec, about = [], ""
                if not grouped or text == ")":
                    keyword = ""
            elif kind != "end":
                depth += (text in "([{") - (text in ")]}") if kind == "sign" else 0
                spec.append((kind, text))
        return found


papermill_translators.register("go", GoTranslator)
