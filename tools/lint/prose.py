"""Checks the book's prose: Markdown, the notebooks' texts, and comments in Go, C, Python, shell and the Makefile.

Every word is English by Hunspell's dictionary, a name in the code, or listed in words.txt, and phrases that read as a
translation are not used. Words with a capital inside, such as MNIST and ReLU, are taken for names.

    prose.py [FILE ...]         all of the book's, if none is named
"""

import functools
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from spylls.hunspell import Dictionary

CLONE = Path(__file__).resolve().parents[2]
ACCEPTED = Path(__file__).with_name("words.txt")

# What reads as a translation, and what a native speaker writes.
WORN = {
    r"in place of": "instead of",
    r"put together": "made, combined or built",
    r"so that": "so",
    r"of so many": "the number, or nothing",
    r"shall": "will, must or should",
    r"how-manieth": "which",
}
PHRASE = re.compile(r"\b(?:" + "|".join(f"({phrase})" for phrase in WORN) + r")\b", re.I)
LETTER = "[A-Za-zÀ-ÖØ-öø-ÿ]"
WORD = re.compile(rf"(?<![\w/.@#$%&\\-]){LETTER}+(?:['’]{LETTER}+)*(?![\w/\\@]|[.=:][\w/])")
NAME = re.compile(r"[^\W\d]\w*")
# What is no prose in Markdown: code, formulas, addresses, comments for programs.
MARKUP = re.compile(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)|<[^>\n]*>|https?://\S+", re.S)
# Comments of Go and C, and what only looks like one.
SLASHES = re.compile(r"""("(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])+')|//(?!go:)[^\n]*|/\*.*?\*/""", re.S)
# In comments: quotations, links to names, commands and whatever else is indented.
QUOTED = re.compile(
    r"""`[^`\n]*`|"[^"\n]*"|“[^”\n]*”|\[[^\]\n]*\]|https?://\S+|^\s*(?:///?|#|\*)?(?:\t| {3,}).*$""", re.M
)


def blanked(pattern: re.Pattern, text: str) -> str:
    """The text with what matches made blank, line for line."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def comments(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """The comments of a program, each with the line that it begins in."""
    if path.suffix in (".go", ".c", ".h"):
        for match in SLASHES.finditer(text):
            if not match.group(1):
                yield text.count("\n", 0, match.start()) + 1, match.group()
    elif path.suffix == ".py":
        before = tokenize.NEWLINE
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            documents = token.type == tokenize.STRING and before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
            if token.type == tokenize.COMMENT or documents:
                yield token.start[0], token.string.strip("\"'")
            if token.type not in (tokenize.COMMENT, tokenize.NL):
                before = token.type
    else:
        for number, line in enumerate(text.splitlines(), 1):
            if found := re.search(r"(?:^|\s)#+ (.*)", line):
                yield number, found.group(1)


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """The prose of a file, and where it is."""
    text, name = path.read_text(), path.relative_to(CLONE)
    if path.suffix == ".ipynb":
        for number, cell in enumerate(json.loads(text)["cells"]):
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                yield f"{name}, cell {number}", blanked(MARKUP, source)
            else:
                code = re.sub(r"^[%!].*", "", source, flags=re.M)
                for _, comment in comments(Path("cell.go"), code):
                    yield f"{name}, cell {number}", blanked(QUOTED, comment)
        return
    if path.suffix == ".md":
        found = [(1, blanked(MARKUP, text))]
    else:
        found = [(number, blanked(QUOTED, comment)) for number, comment in comments(path, text)]
    for first, prose in found:
        for number, line in enumerate(prose.splitlines(), first):
            yield f"{name}:{number}", line


@functools.cache
def english() -> Dictionary:
    return Dictionary.from_files("en_US")


def flaws(paths: list[Path], known: set[str]) -> Iterator[str]:
    """What is wrong in the files, each in a line."""
    right = {}
    for path in paths:
        for where, prose in texts(path):
            for match in PHRASE.finditer(prose):
                better = list(WORN.values())[match.lastindex - 1]
                yield f'{where}: "{match.group()}": better: {better}'
            for word in WORD.findall(prose):
                word = re.sub(r"['’]s$", "", word).replace("’", "'")
                if word not in right:
                    is_name = any(letter.isupper() for letter in word[1:])
                    right[word] = is_name or word in known or word.lower() in known or english().lookup(word)
                if not right[word]:
                    yield f"{where}: {word} is not English: mend it, or add it to {ACCEPTED.relative_to(CLONE)}"


def files() -> list[Path]:
    """The book's own files: what git knows or would add. Where there is no git, or it does not know the book, as in a
    folder that was downloaded, all but what was installed, built or hidden."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=CLONE, check=True, capture_output=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        found = (path.relative_to(CLONE).parts for path in CLONE.rglob("*"))
        listed = [os.path.join(*parts) for parts in found
                  if parts[0] != "build" and not any(part.startswith(".") for part in parts)]
    return [CLONE / name for name in listed if name and (CLONE / name).is_file()]


def main(names: list[str]) -> int:
    own = files()
    known = set(ACCEPTED.read_text().split())
    for path in own:
        if path.suffix in (".go", ".c", ".h"):
            known.update(NAME.findall(SLASHES.sub("", path.read_text())))
    paths = [Path(name).resolve() for name in names] or [path for path in own if has_prose(path)]
    found = list(dict.fromkeys(flaws(paths, known)))
    for flaw in found:
        print(f"error: {flaw}", file=sys.stderr)
    return int(bool(found))


def has_prose(path: Path) -> bool:
    return path.suffix in (".go", ".c", ".h", ".py", ".md", ".ipynb") or path.name in ("Makefile", "check", "clones")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
