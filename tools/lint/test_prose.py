"""Tests of the check of prose, on texts with one flaw each."""

import json
import os
import tempfile
import unittest
import warnings
from pathlib import Path
from unittest import mock

import prose


class Prose(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore", ResourceWarning)  # spylls leaves its files open
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.object(prose, "CLONE", self.folder))
        self.enterContext(mock.patch.object(prose, "ACCEPTED", self.folder / "words.txt"))

    def flaws(self, name: str, text: str, *known: str) -> list[str]:
        (self.folder / name).write_text(text)
        return [flaw.split(" is not")[0] for flaw in prose.flaws([self.folder / name], set(known))]

    def test_without_git_the_books_own_files_are_found(self):
        for name in ("a.md", "lib/b c.go", ".venv/lib/c.py", "build/d.md", "notebooks/.ipynb_checkpoints/e.ipynb"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()
        for path in ("/nowhere", os.environ["PATH"]):  # no git, and one that does not know the folder
            with mock.patch.dict(os.environ, {"PATH": path, "GIT_CEILING_DIRECTORIES": str(self.folder.parent)}):
                self.assertEqual(sorted(prose.files()), [self.folder / "a.md", self.folder / "lib" / "b c.go"])

    def test_words_are_found_where_they_are(self):
        self.assertEqual(self.flaws("a.md", "The fist line.\n\nThe wrod.\n"), ["a.md:3: wrod"])
        self.assertEqual(self.flaws("a.go", "package p\n\n// A wrod.\nvar x = 1 // and anohter\n"),
                         ["a.go:3: wrod", "a.go:4: anohter"])
        self.assertEqual(self.flaws("a.c", "/* One\n * wrod. */\nint x; // x\n"), ["a.c:2: wrod"])
        self.assertEqual(self.flaws("a.py", '"""A wrod."""\n\nx = "wrod"  # anohter\n'),
                         ["a.py:1: wrod", "a.py:3: anohter"])
        self.assertEqual(self.flaws("Makefile", "a: ## a wrod\n"), ["Makefile:1: wrod"])
        cells = [{"cell_type": "markdown", "source": ["A ", "wrod."]},
                 {"cell_type": "code", "source": '%cd wrod\nx := "wrod" // anohter', "outputs": ["wrod"]}]
        self.assertEqual(self.flaws("a.ipynb", json.dumps({"cells": cells})),
                         ["a.ipynb, cell 0: wrod", "a.ipynb, cell 1: anohter"])

    def test_what_is_no_prose_is_left_alone(self):
        self.assertEqual(self.flaws("a.md", "Run `wrod`, [this](wrod/x.md), $wrod$, https://wrod.org/x or wrod/x.\n\n"
                                    "```\nwrod\n```\n"), [])
        self.assertEqual(self.flaws("a.go", "package p\n\n// See [wrod] and `wrod`:\n//\n//\tgo run wrod\n"
                                    'var x = "// wrod"\n'), [])

    def test_names_are_known(self):
        self.assertEqual(self.flaws("a.md", "MNIST's ReLU, GoMLX; Krizhevsky's wrod.", "Krizhevsky", "wrod"), [])

    def test_phrases_that_read_as_a_translation(self):
        self.assertEqual(self.flaws("a.md", "It stops so that\nyou can go on. Two in place of one."),
                         ['a.md:1: "so that": better: so', 'a.md:2: "in place of": better: instead of'])


if __name__ == "__main__":
    unittest.main()
