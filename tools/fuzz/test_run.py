"""Tests of what a fuzzer is said to have done."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import run

# What Go prints of an input that is known to break something, and of code that does not compile.
KNOWN = """fuzz: elapsed: 0s, gathering baseline coverage: 0/2 completed
failure while testing seed corpus entry: FuzzDecode/1
--- FAIL: FuzzDecode (0.08s)
    fuzzing process hung or terminated unexpectedly: exit status 3
FAIL
exit status 1
FAIL\texample.org/convbook/lib/picture\t0.096s
"""
BROKEN = """# example.org/convbook/lib/picture
lib/picture/picture_test.go:4:7: expected ')', found 'EOF'
FAIL\texample.org/convbook/lib/picture [setup failed]
"""


class Table(unittest.TestCase):
    def fuzz(self, status: int, output: str) -> tuple[int, str, list[str]]:
        """The status, the last line of the table, and the logs."""
        build = Path(self.enterContext(tempfile.TemporaryDirectory()))
        known = {"picture.FuzzDecode": run.go_fuzzer("lib/picture", "FuzzDecode")}
        with mock.patch.multiple(run, ROOT=build, BUILD=build, fuzzers=lambda: known), \
                mock.patch.object(run, "output_of", lambda *_: (status, output)), \
                contextlib.redirect_stdout(io.StringIO()) as printed:
            ended = run.main([])
        return ended, printed.getvalue().splitlines()[-1], [file.read_text() for file in build.glob("logs/*")]

    def test_a_crasher_that_is_known_is_one(self):
        status, row, logs = self.fuzz(1, KNOWN)
        self.assertEqual((status, logs), (1, [KNOWN]))
        self.assertRegex(row, r"^picture\.FuzzDecode +0 +\d+ +0 +1  see logs/picture\.FuzzDecode\.log$")

    def test_what_does_not_compile_did_not_run(self):
        status, row, logs = self.fuzz(1, BROKEN)
        self.assertEqual((status, logs), (1, []))
        self.assertRegex(row, r"  did not run: lib/picture/picture_test\.go:4:7: expected '\)', found 'EOF'$")

    def test_what_finds_nothing(self):
        status, row, logs = self.fuzz(0, "fuzz: elapsed: 3s, execs: 42 (14/sec), new interesting: 7 (total: 9)\n")
        self.assertEqual((status, len(logs)), (0, 1))
        self.assertRegex(row, r"^picture\.FuzzDecode +42 +\d+ +7 +0$")


if __name__ == "__main__":
    unittest.main()
