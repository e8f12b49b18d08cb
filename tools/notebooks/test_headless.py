"""Tests of how notebooks are run without a browser. Some run notebooks in the real kernel."""

import concurrent.futures
import contextlib
import gc
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import execution
import files
import run
from gotranslator import GoTranslator

PARAMETERS = """var (
	epochs  = 1    // rounds through the data
	lr      = 0.01 // learning rate
	shuffle = true
	name    = "plain net" // a title
)
var seed = 7
"""


def notebook_of(*sources: str, parameters: str = "", smoke=None):
    cells = [new_code_cell(source) for source in sources]
    if parameters:
        cells.insert(0, new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    notebook = new_notebook(cells=cells)
    notebook.metadata["convbook"] = {"smoke": smoke} if smoke else {}
    notebook.metadata["kernelspec"] = {"name": "convbook", "display_name": "Go (convbook)", "language": "go"}
    return notebook


class Parameters(unittest.TestCase):
    def test_every_declaration_is_found_with_its_type(self):
        found = GoTranslator.inspect({"source": PARAMETERS})
        self.assertEqual(
            [(p.name, p.inferred_type_name, p.default, p.help) for p in found],
            [("epochs", "int", "1", "rounds through the data"), ("lr", "float64", "0.01", "learning rate"),
             ("shuffle", "bool", "true", ""), ("name", "string", '"plain net"', "a title"), ("seed", "int", "7", "")])

    def test_values_are_written_as_go(self):
        code = GoTranslator.codify({"epochs": 2, "lr": 1.0, "small": 1e-05, "shuffle": False, "name": 'a "b"\n'})
        self.assertEqual(code.splitlines(), [
            "// Parameters", "var epochs = 2", "var lr = 1.0", "var small = 1e-05", "var shuffle = false",
            r'var name = "a \"b\"\n"'])

    def test_a_whole_number_fits_a_float_and_stays_one(self):
        values = run.checked("10_x", notebook_of(parameters=PARAMETERS), {"lr": "1", "epochs": "3", "name": "5"})
        self.assertEqual(values, {"lr": 1.0, "epochs": 3, "name": "5"})
        self.assertIn("var lr = 1.0", GoTranslator.codify(values))

    def test_wrong_settings_name_what_is_wrong_and_what_is_right(self):
        for settings, told in {
            "epoch=2": "10_x has no parameter epoch (did you mean epochs?): it has epochs, lr, shuffle, name, seed",
            "colour=2": "10_x has no parameter colour: it has epochs, lr, shuffle, name, seed",
            "epochs=two": "10_x: epochs is a whole number (1 if not set), not 'two'",
            "epochs=1.5": "10_x: epochs is a whole number (1 if not set), not '1.5'",
            "epochs=": "10_x: epochs is a whole number (1 if not set), not ''",
            "lr=fast": "10_x: lr is a number (0.01 if not set), not 'fast'",
            "shuffle=1": "10_x: shuffle is true or false (true if not set), not '1'",
            "epochs": """a parameter is set as name=value, not 'epochs': for instance P="epochs=2 lr=0.02\"""",
            "=2": """a parameter is set as name=value, not '=2': for instance P="epochs=2 lr=0.02\"""",
            "name='open": """P="name='open" cannot be read: No closing quotation""",
            "lr=1e999": "10_x: lr is a number that a float64 can hold, not 1e999",
            "lr=-1e309": "10_x: lr is a number that a float64 can hold, not -1e309",
            "lr=1e-999": "10_x: lr is a number that a float64 can hold, not 1e-999",
            "lr=nan": "10_x: lr is a number (0.01 if not set), not 'nan'",
            "lr=-inf": "10_x: lr is a number (0.01 if not set), not '-inf'",
            "lr=0x1p-2": "10_x: lr is a number (0.01 if not set), not '0x1p-2'",
            "epochs=9223372036854775808": "10_x: epochs is a whole number of at most 64 bits, not 9223372036854775808",
            "epochs=1_000": "10_x: epochs is a whole number (1 if not set), not '1_000'",
            "epochs=0x10": "10_x: epochs is a whole number (1 if not set), not '0x10'",
            "epochs=٣": "10_x: epochs is a whole number (1 if not set), not '٣'",
            "shuffle=True": "10_x: shuffle is true or false (true if not set), not 'True'",
            "name='a\udcff'": r"10_x: name is a text in UTF-8, not 'a\udcff'",
            "epochs=2 epochs=3": "epochs is set twice: to '2' and to '3'",
            "'a\nb=2'": r"10_x has no parameter 'a\nb': it has epochs, lr, shuffle, name, seed",
        }.items():
            with self.subTest(settings), self.assertRaises(run.UserError) as caught:
                run.checked("10_x", notebook_of(parameters=PARAMETERS), run.split_settings(settings))
            self.assertEqual(str(caught.exception), told)

    def test_values_at_the_border_are_right(self):
        values = run.checked("10_x", notebook_of(parameters=PARAMETERS), {
            "epochs": "-9223372036854775808", "lr": "1.7976931348623157e308", "name": "a\"b'c\\d\n\ufeff\t"})
        code = GoTranslator.codify(values)
        self.assertIn("var epochs = -9223372036854775808\n", code)
        self.assertIn("var lr = 1.7976931348623157e+308\n", code)
        self.assertIn(r'''var name = "a\"b'c\\d\n\ufeff\t"''' + "\n", code)
        self.assertEqual(run.checked("10_x", notebook_of(parameters=PARAMETERS), {"name": ""}), {"name": ""})

    def test_declarations_of_every_form_are_understood(self):
        for source, told in {
            "var batch = 2 * 32 // images": ("batch", "int", "2 * 32", "images"),
            "var rate = 1.0 / 3": ("rate", "float64", "1.0 / 3", ""),
            "var big = 1 << 20": ("big", "int", "1 << 20", ""),
            "var hex = 0x_ff": ("hex", "int", "0x_ff", ""),
            "var many = 1_000": ("many", "int", "1_000", ""),
            "var small = -1e-3": ("small", "float64", "- 1e-3", ""),
            "var rate float64 = 1": ("rate", "float64", "1", ""),
            "var epochs int": ("epochs", "int", "int", ""),
            'var url = "http://x/y" // a // b': ("url", "string", '"http://x/y"', "a // b"),
            'var quoted = "a\\"b"': ("quoted", "string", '"a\\"b"', ""),
            "var raw = `a\n// b`": ("raw", "string", "`a\n// b`", ""),
            'var long = "a" +\n\t"b"': ("long", "string", '"a" + "b"', ""),
            "const epochs = 5": ("epochs", "const", "5", ""),
            "var rate float32 = 0.1": ("rate", "None", "float32 0.1", ""),
            "var seeds = []int{1, 2}": ("seeds", "None", "[ ] int { 1 , 2 }", ""),
            "var letter = 'a'": ("letter", "None", "'a'", ""),
            "var steps = epochs * 10": ("steps", "None", "epochs * 10", ""),
        }.items():
            with self.subTest(source):
                cell = "import \"fmt\"\n\n" + source + "\n\nfunc f() { var local = 1 }\n%%\nvar x = 2"
                found = GoTranslator.inspect({"source": cell})
                self.assertEqual([(p.name, p.inferred_type_name, p.default, p.help) for p in found], [told])
        for source in ("var (\n\tlr, batch = 0.1, 64\n\tepochs = 2\n)", "var lr, batch = 0.1, 64; var epochs = 2"):
            found = GoTranslator.inspect({"source": source})
            self.assertEqual([(p.name, p.inferred_type_name) for p in found],
                             [("lr", "several"), ("batch", "several"), ("epochs", "int")])

    def test_a_cell_that_is_not_go_has_no_parameters_or_some_but_is_no_error(self):
        for source in ("", "var", "var (", "var =", "var x", "var x = ", "var x,", "const (\n", '"', "`", "'", ")",
                       "}\nvar a = 1", "# x = 1"):
            with self.subTest(source):
                GoTranslator.inspect({"source": source})

    def test_what_cannot_be_set_says_so(self):
        for source, told in {
            "const epochs = 5": "10_x: epochs cannot be set: 5 is the value of a constant: declare it with var",
            "var epochs, lr = 5, 0.1":
                "10_x: epochs cannot be set: 5 , 0.1 declares several at once: give each a line of its own",
            "var epochs = f()": "10_x: epochs cannot be set: f ( ) is no plain int, float64, string or bool",
            "var epochs float32 = 5": "10_x: epochs cannot be set: float32 5 is no plain int, float64, string or bool",
            "var epochs int64": "10_x: epochs cannot be set: int64 is no plain int, float64, string or bool",
        }.items():
            with self.subTest(source), self.assertRaises(run.UserError) as caught:
                run.checked("10_x", notebook_of(parameters=source), {"epochs": "2"})
            self.assertEqual(str(caught.exception), told)
            self.assertEqual(run.checked("10_x", notebook_of(parameters=source), {}), {})

    def test_a_notebook_without_parameters_says_so(self):
        with self.assertRaisesRegex(run.UserError, "has no parameter epochs: it has none"):
            run.checked("10_x", notebook_of("%%"), {"epochs": "2"})

    def test_settings_may_hold_spaces_in_quotes(self):
        self.assertEqual(run.split_settings("epochs=2  name='two words' lr=-1e-3"),
                         {"epochs": "2", "name": "two words", "lr": "-1e-3"})


class Command(unittest.TestCase):
    def call(self, *arguments: str) -> tuple[int, str]:
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            status = run.main(list(arguments))
        return status, errors.getvalue()

    def test_bad_input_is_one_line_and_a_status(self):
        for arguments, told in {
            ("99_nothing",): "error: there is no notebook 99_nothing: there is 00_start_here, ",
            ("--profile", ""): "error: there is no profile '': there is full and smoke\n",
            ("--profile", "quick"): "error: there is no profile quick: there is full and smoke\n",
            ("--set", "epochs=2"): "error: parameters are for one notebook: say which with NB=, for instance NB=00_",
            ("--set", "epoch=2", "10"):
                "error: 10_mnist_fc_vs_cnn has no parameter epoch (did you mean epochs?): it has",
            ("--book", "--profile", "smoke"): "error: the book's notebooks are executed at their full settings",
        }.items():
            with self.subTest(arguments):
                status, errors = self.call(*arguments)
                self.assertEqual(status, 2)
                self.assertEqual(errors.count("\n"), 1, errors)
                self.assertTrue(errors.startswith(told), errors)

    def test_a_full_disk_behind_standard_output_is_named(self):
        for prints in ("print('text')", "print('text', flush=True)"):
            program = f"import sys, execution\nsys.exit(execution.told(lambda: {prints} or 0))"
            with open("/dev/full", "w") as full:
                done = subprocess.run([sys.executable, "-c", program], cwd=Path(run.__file__).parent, stdout=full,
                                      stderr=subprocess.PIPE, text=True)
            self.assertEqual((done.returncode, done.stderr),
                             (2, "error: standard output: No space left on device\n"))

    def test_a_notebook_is_found_by_name_number_or_path(self):
        for name in ("10", "10_mnist_fc_vs_cnn", "10_mnist_fc_vs_cnn.ipynb", "notebooks/10_mnist_fc_vs_cnn.ipynb"):
            self.assertEqual([path.stem for path in run.find([name])], ["10_mnist_fc_vs_cnn"])

    def test_every_smoke_setting_fits(self):
        for path in run.find([]):
            notebook = nbformat.read(path, 4)
            smoke = {name: str(value) for name, value in notebook.metadata["convbook"].get("smoke", {}).items()}
            self.assertEqual(len(run.checked(path.stem, notebook, smoke)), len(smoke))


def in_folder(folder: Path):
    """Has notebooks come from a folder and go into it."""
    changed = contextlib.ExitStack()
    changed.enter_context(mock.patch.object(run, "NOTEBOOKS", folder / "notebooks"))
    changed.enter_context(mock.patch.object(run, "BUILD", folder / "build"))
    changed.enter_context(mock.patch.dict(os.environ))
    return changed


class Files(unittest.TestCase):
    """Notebooks of all names, and files that are none."""

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "notebooks").mkdir()
        self.enterContext(in_folder(self.folder))

    def write(self, name: str, **metadata) -> Path:
        notebook = notebook_of("%%")
        notebook.metadata["convbook"] = metadata
        path = self.folder / name
        nbformat.write(notebook, path)
        return path

    def test_a_number_is_the_books_notebook_and_a_name_itself(self):
        own = self.write("notebooks/10_a.ipynb", source="x")
        copy = self.write("notebooks/10_a-Copy1.ipynb", source="x")
        reader = self.write("notebooks/10_0_of_mine.ipynb")
        self.assertEqual(run.find(["10"]), [own])
        self.assertEqual(run.find(["10_a"]), [own])
        self.assertEqual(run.find(["10_a-Copy1", "10_a-Copy1.ipynb"]), [copy])
        self.assertEqual(run.find(["10_0_of_mine"]), [reader])
        self.assertEqual(run.find([]), [reader, copy, own])
        self.write("notebooks/11_a.ipynb")
        self.write("notebooks/11_b.ipynb")
        with self.assertRaisesRegex(run.UserError, "^11 can be 11_a or 11_b: give one of these$"):
            run.find(["11"])

    def test_names_may_have_spaces_or_stand_in_one_text(self):
        spaced, quoted = self.write("notebooks/my own net.ipynb"), self.write("notebooks/a'b $x.ipynb")
        first, second = self.write("notebooks/10_a.ipynb"), self.write("notebooks/11_b.ipynb")
        self.assertEqual(run.find(["my own net"]), [spaced])
        self.assertEqual(run.find([str(spaced), "10  11"]), [spaced, first, second])
        self.assertEqual(run.find(["'my own net' 11_b.ipynb"]), [spaced, second])
        self.assertEqual(run.find(["a'b $x.ipynb"]), [quoted])
        with self.assertRaisesRegex(run.UserError, "^NB=\"a'c\" cannot be read: No closing quotation$"):
            run.find(["a'c"])

    def test_a_path_is_that_file_or_an_error(self):
        self.write("notebooks/10_a.ipynb", source="x")
        elsewhere = self.write("10_a.ipynb")
        self.assertEqual(run.find([str(elsewhere)]), [elsewhere])
        for name in ("/nowhere/10_a.ipynb", str(self.folder / "10_b.ipynb"), "nowhere/10", "10_b.ipynb", "1", ""):
            with self.subTest(name), self.assertRaisesRegex(run.UserError, "^there is no notebook "):
                run.find([name])
        with self.assertRaisesRegex(run.UserError, "have the same name"):
            run.find(["10", str(elsewhere)])
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            self.assertEqual(run.main(["--book", str(elsewhere)]), 2)
        self.assertEqual(errors.getvalue(), f"error: {elsewhere} is not in notebooks/, so it is not the book's\n")

    def test_what_is_no_notebook_is_named_and_the_others_run(self):
        good = json.loads(self.write("notebooks/20_good.ipynb").read_text())
        python = {**good, "metadata": {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}}
        broken = {
            "empty": "", "half": json.dumps(good)[:99], "list": "[]", "null": "null", "number": "7",
            "other": '{"a": 1}', "future": json.dumps({**good, "nbformat": 99}), "bytes": b"\xff\xfe",
            "cells": json.dumps({key: value for key, value in good.items() if key != "cells"}),
            "kinds": json.dumps({**good, "cells": [{"cell_type": "code"}]}), "python": json.dumps(python),
            "about": json.dumps({**good, "metadata": {"convbook": 3}}),
            "smoke": json.dumps({**good, "metadata": {"convbook": {"smoke": [1]}}}),
            "settings": json.dumps({**good, "metadata": {"convbook": {"smoke": {"epochs": 1}}}}),
            "text": '"text"', "old": json.dumps({**good, "nbformat": 2}),
            "quoted": json.dumps({**good, "nbformat": "4"}),
            "papermill": json.dumps({**good, "metadata": {"papermill": "x"}}),
            "cell": json.dumps({**good, "cells": [{**good["cells"][0], "metadata": {"papermill": 1}}]}),
            "surrogate": json.dumps({**good, "cells": [{**good["cells"][0], "source": "// \ud800"}]}),
        }
        for name, content in broken.items():
            content = content if isinstance(content, bytes) else content.encode()
            (self.folder / "notebooks" / f"{name}.ipynb").write_bytes(content)
        (self.folder / "notebooks" / "folder.ipynb").mkdir()
        (self.folder / "notebooks" / "link.ipynb").symlink_to("nowhere")
        os.mkfifo(self.folder / "notebooks" / "pipe.ipynb")
        broken = [*broken, "folder", "link", "pipe"]
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            self.assertEqual(run.main(["--profile", "smoke"]), 1)
        self.assertRegex(output.getvalue(), r"20_good +1 +\d+\.\d  ok")
        told = [line for line in errors.getvalue().splitlines() if line]
        self.assertEqual(sorted(line.split(", ")[0] for line in told), sorted(broken), errors.getvalue())
        for name in broken:
            with self.subTest(name):
                errors = io.StringIO()
                with contextlib.redirect_stderr(errors):
                    self.assertEqual(run.main(["--profile", "smoke", name]), 2)
                self.assertRegex(errors.getvalue(), rf"^error: {name}.*\n$")
        with self.assertRaises(run.UserError):
            run.check(run.find([]))
        for name, told in {"list": "it holds no object", "old": "nbformat is 3 or 4, not 2: save it anew in JupyterLab",
                           "quoted": 'nbformat is 3 or 4, not "4": save it anew in JupyterLab',
                           "surrogate": r"'\ud800' is half a character: remove it"}.items():
            with self.subTest(name), self.assertRaises(run.UserError) as caught:
                run.read(self.folder / "notebooks" / f"{name}.ipynb")
            self.assertEqual(str(caught.exception), f"{name}.ipynb is no notebook of Jupyter: {told}")

    def test_ids_of_cells_may_be_missing_or_twice(self):
        notebook = json.loads(self.write("20_a.ipynb").read_text())
        cell = notebook["cells"][0]
        without = {key: value for key, value in cell.items() if key != "id"}
        program = ("import sys, execution, run\nfrom papermill.iorw import load_notebook_node\n"
                   "for path in run.find(sys.argv[1:]):\n"
                   "    load_notebook_node(str(path))\n    print(len(run.read(path).cells))")
        for name, cells in {"missing": [without, without], "twice": [cell, cell]}.items():
            (self.folder / f"{name}.ipynb").write_text(json.dumps({**notebook, "cells": cells}))
        paths = [str(self.folder / f"{name}.ipynb") for name in ("missing", "twice")]
        done = subprocess.run([sys.executable, "-c", program, *paths], cwd=Path(run.__file__).parent,
                              capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr), ("2\n2\n", ""))

    def test_a_notebook_that_names_no_kernel_is_gos(self):
        path = self.write("notebooks/20_a.ipynb")
        notebook = json.loads(path.read_text())
        notebook["metadata"] = {}
        path.write_text(json.dumps(notebook))
        self.assertEqual(len(run.read(path).cells), 1)

    def test_a_place_that_cannot_be_written_is_one_line(self):
        self.write("notebooks/20_a.ipynb")
        (self.folder / "build").write_text("a file in its place")
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            self.assertEqual(run.main([]), 2)
        self.assertEqual(errors.getvalue(), f"error: {self.folder / 'build' / 'full'}: Not a directory\n")


class Together(unittest.TestCase):
    """Several commands at once."""

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.dict(os.environ))

    def test_each_has_runs_of_its_own(self):
        killed = self.folder / "runs-killed"
        killed.mkdir()
        (self.folder / "runs-of-mine.ipynb").write_text("")  # what was executed stays
        with run.own_runs(self.folder):
            first = Path(os.environ["CONVBOOK_RUNS"])
            (first / "weights").write_text("")
            with self.assertRaises(SystemExit), run.own_runs(self.folder):  # as after a signal
                second = Path(os.environ["CONVBOOK_RUNS"])
                self.assertNotEqual(first, second)
                self.assertEqual([killed.exists(), second.is_dir(), os.listdir(first)], [False, True, ["weights"]])
                sys.exit(1)
            self.assertTrue(first.is_dir())
        self.assertEqual(sorted(os.listdir(self.folder)), [".lock", "runs-of-mine.ipynb"])

    def execution(self) -> execution.Execution:
        return execution.Execution(self.folder / "10_a.ipynb", self.folder / "out.ipynb", {}, 1)

    def test_the_second_that_executes_a_notebook_waits(self):
        first, second, errors = self.execution(), self.execution(), io.StringIO()
        began = threading.Event()

        def wait():
            with second.alone():
                began.set()

        with contextlib.redirect_stderr(errors), concurrent.futures.ThreadPoolExecutor(1) as pool:
            with first.alone():
                waiting = pool.submit(wait)
                self.assertFalse(began.wait(1.2))
            waiting.result(10)
        self.assertTrue(began.is_set())
        self.assertEqual(errors.getvalue(), "10_a: waits for another command that executes it into "
                                            f"{self.folder / 'out.ipynb'}\n")

    def test_one_that_waits_can_be_stopped(self):
        first, second = self.execution(), self.execution()
        second.stop("stopped")
        with first.alone(), self.assertRaisesRegex(run.UserError, "^stopped$"):
            second.run()

    def test_a_cell_that_takes_long_is_told_of_now_and_then(self):
        one, told = self.execution(), []
        with mock.patch("time.monotonic", side_effect=[0, 100, 105, 114, 115, 120, 125]):
            self.assertEqual(one.going(), "")
            for source in ("", '%noautoget\nimport "fmt"', "var a = 1\r\n\r\n%%\r\nfmt.Println(a)"):
                one.begin(new_code_cell(source), 0)
            told = [one.going() for _ in range(4)]
        self.assertEqual(told, ["", "10_a: cell 2 (fmt.Println(a)) runs for 10 s", "",
                                "10_a: cell 2 (fmt.Println(a)) runs for 20 s"])

    def test_the_book_is_written_by_one_command(self):
        told = "^another `make book` is running: wait until it ends$"
        with run.only_book(self.folder), self.assertRaisesRegex(run.UserError, told), run.only_book(self.folder):
            pass
        with run.only_book(self.folder):
            pass


class Temporary(unittest.TestCase):
    def folder(self, path: str) -> str:
        with mock.patch.dict(os.environ, {"TMPDIR": path}), mock.patch.object(tempfile, "tempdir", None):
            return execution.temporary()

    def test_names_of_sockets_fit(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(self.folder(folder + "/."), folder)
            long = Path(folder) / ("x" * 95)
            long.mkdir()
            self.assertEqual(self.folder(str(long)), "/tmp")

    def test_a_wrong_tmpdir_is_named(self):
        with self.assertRaisesRegex(run.UserError, "^TMPDIR is /nowhere/at/all, where nothing can be written: "):
            self.folder("/nowhere/at/all")

    def test_a_missing_kernel_is_named_with_the_remedy(self):
        for content in ("{", "null", "[]", "{}", '{"argv": []}',
                        '{"argv": ["/nowhere/gonb"], "display_name": "", "language": "go"}'):
            with self.subTest(content), tempfile.TemporaryDirectory() as folder:
                place = Path(folder) / "kernels" / "convbook"
                place.mkdir(parents=True)
                (place / "kernel.json").write_text(content)
                told = "^the book's kernel is not installed .*: delete .venv and run `make setup`$"
                with mock.patch.dict(os.environ, {"JUPYTER_PATH": folder}), self.assertRaisesRegex(run.UserError, told):
                    execution.ready()


# What cells do: their code, and what is told of them. Nothing is told of those that are well.
CELLS = {
    "before": ('import "os"\n\n%%\nprintln("before")\nos.Exit(3)', "before"),
    "exit": ('import "os"\n\n%%\nos.Exit(3)', "exit status 3"),
    "panic": ('%%\npanic("no such weights")', "panic: no such weights"),
    "compiler": ("%%\nvar unused int", "declared and not used: unused"),
    "library": ('import (\n\t"errors"\n\n\t"example.org/convbook/lib/cell"\n)\n\n%%\ncell.OK(errors.New("rate is -1"))',
             "rate is -1"),
    "reads": ('import "fmt"\n\n%%\nvar n int\nfmt.Scan(&n)', "it reads its standard input, where nothing is written"),
    "cat": ("!cat", "it reads its standard input, where nothing is written"),
    "waits": ("%%bash\nsleep 3 | cat", ""),
    "prints": ('import (\n\t"fmt"\n\t"strings"\n)\n\n%%\nfor {\n\tfmt.Println(strings.Repeat("x", 1000000))\n}',
               "it prints more than 10,000,000 characters: print less"),
    "kills": ('import (\n\t"os"\n\t"syscall"\n)\n\n%%\nsyscall.Kill(os.Getppid(), syscall.SIGKILL)\nselect {}',
              "the kernel died: see .venv/gonb.log"),
    "forks": ('import "os/exec"\n\n%%\nexec.Command("sleep", "1234").Start()', ""),
    "keeps": ('import (\n\t"os"\n\t"os/exec"\n)\n\n%%\n'
              'c := exec.Command("sleep", "1234")\nc.Stdout = os.Stdout\nc.Start()',
              "its program ended, but left a process that keeps its output open"),
}


# What package train notes of runs: one twice, whose network has a name of several words.
NOTED = [
    {"dir": f"/runs/{name.replace(' ', '-')}-1a", "data": "CIFAR-10", "recipe": "1 epoch",
     "result": {"network": name, "device": "xla:cpu · two cores"}}
    for name in ("VGG of six rounds", "Net", "VGG of six rounds")]
NOTES = """import (
	"fmt"
	"os"
)

%%
fmt.Print(os.Getenv("CONVBOOK_HEADLESS"))
file, _ := os.OpenFile(os.Getenv("CONVBOOK_RESULTS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
file.WriteString(`""" + "".join(json.dumps(run) + "\n" for run in NOTED) + "`)"


class Execution(unittest.TestCase):
    """Runs notebooks in the real kernel: all in one command, in a folder whose name papermill would not take."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory())) / "a {b}"
        (cls.folder / "notebooks").mkdir(parents=True)
        (cls.folder / "tmp").mkdir()
        for name, (source, _) in CELLS.items():
            notebook = notebook_of("%%\nprintln()", source, "%%\nprintln()")
            nbformat.write(notebook, cls.folder / "notebooks" / f"{name}.ipynb")
        nbformat.write(notebook_of('import "fmt"\n\n%%\nfmt.Println("epochs", epochs, "lr", lr)', parameters=PARAMETERS,
                                   smoke={"epochs": 5}), cls.folder / "notebooks" / "parameters.ipynb")
        nbformat.write(notebook_of(NOTES), cls.folder / "notebooks" / "notes.ipynb")
        output, errors = io.StringIO(), io.StringIO()
        with in_folder(cls.folder), mock.patch.object(tempfile, "tempdir", str(cls.folder / "tmp")), \
                mock.patch.dict(os.environ), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            os.environ.pop("TMPDIR", None)
            cls.status = run.main(["--profile", "smoke"])
        cls.output, cls.errors = output.getvalue(), errors.getvalue()
        gc.collect()  # event loops of threads that ended warn when they go, which no other test may read

    def test_what_cells_do_is_told_in_one_line(self):
        self.assertEqual(self.status, 1)
        told = dict(line.split(", ", 1) for line in self.errors.splitlines() if line)
        for name, (_, wanted) in CELLS.items():
            with self.subTest(name):
                self.assertRegex(self.output, rf"{name} +3 +\d+\.\d  {'failed' if wanted else 'ok'}\n")
                if wanted:
                    self.assertRegex(told.pop(name), rf"^cell 2 \(.*\): .*{wanted}")
        self.assertEqual(told, {})

    def test_nothing_is_left(self):
        self.assertEqual(os.listdir(self.folder / "tmp"), [])
        left = [process.info for process in psutil.process_iter(["cmdline"])
                if process.info["cmdline"] == ["sleep", "1234"]
                or str(self.folder) in " ".join(process.info["cmdline"] or [])]
        self.assertEqual(left, [])

    def test_parameters_reach_the_cells(self):
        done = nbformat.read(self.folder / "build" / "smoke" / "parameters.ipynb", 4)
        self.assertEqual(done.cells[-1].outputs[0].text, "epochs 5 lr 0.01\n")
        self.assertRegex(self.output, r"parameters +2 +\d+\.\d  ok")

    def test_the_runs_that_cells_use_are_known(self):
        done = execution.Execution(Path(), self.folder / "build" / "smoke" / "notes.ipynb", {}, 1)
        self.assertEqual(done.runs(), NOTED[:2])
        none = execution.Execution(Path(), self.folder / "build" / "smoke" / "parameters.ipynb", {}, 1)
        self.assertEqual(none.runs(), [])

    def test_cells_know_that_nobody_watches(self):
        done = nbformat.read(self.folder / "build" / "smoke" / "notes.ipynb", 4)
        self.assertEqual(done.cells[-1].outputs[0].text, "1")


class Book(unittest.TestCase):
    """What `make book` writes into the repository."""

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "notebooks").mkdir()
        self.enterContext(in_folder(self.folder))
        self.enterContext(mock.patch.object(run, "CLONE", self.folder))
        (self.folder / "README.md").write_text("![Digits](figures/digits.png)\n")

    def test_a_notebook_keeps_what_it_printed_and_which_runs_it_used(self):
        path, output = self.folder / "notebooks" / "10_a.ipynb", self.folder / "10_a.ipynb"
        notebook = notebook_of('%%\nprintln("x")')
        nbformat.write(notebook, path)
        notebook.cells[0].outputs = [new_output("stream", text="x\n")]
        nbformat.write(notebook, output)
        (self.folder / "10_a.jsonl").write_text("".join(json.dumps(run) + "\n" for run in NOTED))
        run.write_back(execution.Execution(path, output, {}, 1), 1.23)
        kept = nbformat.read(path, 4)
        self.assertEqual(kept.cells[0].outputs[0].text, "x\n")
        self.assertEqual(kept.metadata["convbook"], {"source": run.source_hash(notebook), "seconds": 1.2, "runs": [
            {"run": f"{name.replace(' ', '-')}-1a", "network": name, "data": "CIFAR-10", "recipe": "1 epoch",
             "device": "xla:cpu · two cores"} for name in ("VGG of six rounds", "Net")]})

    def test_a_notebook_that_changed_while_it_was_executed(self):
        (self.folder / "out").mkdir()
        executions = []
        for name, code in [("10_a", '%%\nprintln("y")'), ("11_a", '%%\nprintln("x")')]:
            notebook = notebook_of('%%\nprintln("x")')
            notebook.cells[0].outputs = [new_output("stream", text="x\n")]
            path, output = self.folder / "notebooks" / f"{name}.ipynb", self.folder / "out" / f"{name}.ipynb"
            nbformat.write(notebook, output)
            notebook.cells[0].source, notebook.cells[0].outputs = code, []
            notebook.cells.insert(0, new_markdown_cell("A text that came meanwhile."))
            nbformat.write(notebook, path)
            output.with_suffix(".jsonl").write_text("")
            executions.append(execution.Execution(path, output, {}, 1))
        with contextlib.redirect_stderr(io.StringIO()) as told:
            self.assertFalse(run.keep(executions, {"10_a": 1.0, "11_a": 1.0}))
        self.assertRegex(told.getvalue(), "10_a: its code was changed while it ran")
        outputs = [nbformat.read(one.path, 4).cells[1].outputs for one in executions]
        self.assertEqual([len(each) for each in outputs], [0, 1])

    def test_a_notebook_that_changed_since_it_was_executed(self):
        path = self.folder / "notebooks" / "13_a.ipynb"
        notebook = notebook_of('%%\nprintln("x")')
        for about, want in [({"source": run.source_hash(notebook)}, None),
                            ({"source": "of before"}, "13_a changed since it was executed"),
                            ({"source": "of before", "outdated": "it trains for an hour"}, None)]:
            notebook.metadata["convbook"] = about
            nbformat.write(notebook, path)
            with self.subTest(about), contextlib.redirect_stdout(io.StringIO()) as printed:
                if want:
                    with self.assertRaisesRegex(run.UserError, want):
                        run.check([path])
                else:
                    run.check([path])
                self.assertEqual("outdated" in about, "it trains for an hour" in printed.getvalue())

    def test_only_pictures_that_are_shown_are_kept(self):
        picture = new_output("display_data", {"image/png": "AAECAw=="})
        cells = [new_code_cell(outputs=[picture], metadata={"tags": [f"figure:{name}"]})
                 for name in ("digits", "told", "nowhere")]
        cells.append(new_markdown_cell("![As before](../figures/told.png)"))
        nbformat.write(new_notebook(cells=cells), self.folder / "notebooks" / "10_a.ipynb")
        self.assertEqual(run.shown_figures(), {"digits", "told"})
        run.save_figures(self.folder / "notebooks" / "10_a.ipynb", run.shown_figures())
        self.assertEqual(sorted(path.name for path in (self.folder / "figures").iterdir()), ["digits.png", "told.png"])
        self.assertEqual((self.folder / "figures" / "told.png").read_bytes(), bytes([0, 1, 2, 3]))


# A cell that works until it is interrupted, then saves, as lib/train does.
TRAINING = """import (
	"fmt"
	"os"
	"os/signal"
	"time"
)

%%
stop := make(chan os.Signal, 1)
signal.Notify(stop, os.Interrupt)
os.WriteFile("started", nil, 0o600)
<-stop
for i := range 10 {
	fmt.Println("saving", i)
	time.Sleep(20 * time.Millisecond)
}
os.WriteFile("saved", nil, 0o600)
"""


class Signals(unittest.TestCase):
    """Stops runs at several moments. What is left would still have the folder's name among its arguments."""

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "tmp").mkdir()

    def start(self, *notebooks: str) -> subprocess.Popen:
        for name in notebooks:
            (self.folder / name).mkdir()
            after = 'import "os"\n\n%%\nos.WriteFile("next", nil, 0o600)'
            nbformat.write(notebook_of(TRAINING, after), self.folder / name / f"{name}.ipynb")
        program = ("import pathlib, sys, run\n"
                   "run.BUILD = pathlib.Path(sys.argv.pop(1))\nsys.exit(run.main(sys.argv[1:]))")

        # A child of make or of a shell in the background may have had these ignored.
        def restore():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)

        return subprocess.Popen(
            [sys.executable, "-c", program, str(self.folder / "build"), "--jobs", "2",
             *(str(self.folder / name / f"{name}.ipynb") for name in notebooks)],
            cwd=Path(run.__file__).parent, env={**os.environ, "TMPDIR": str(self.folder / "tmp")}, preexec_fn=restore,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_for(self, happened) -> None:
        for _ in range(600):
            if happened():
                return
            time.sleep(0.1)
        self.fail("it did not happen in a minute")

    def left(self) -> list:
        return [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])
                if str(self.folder) in " ".join(process.info["cmdline"] or [])] + os.listdir(self.folder / "tmp")

    def test_a_training_saves_and_all_ends(self):
        for number, notebooks in ((signal.SIGINT, ["a"]), (signal.SIGTERM, ["b", "c"])):
            with self.subTest(number):
                process = self.start(*notebooks)
                started = [self.folder / name / "started" for name in notebooks]
                self.wait_for(lambda files=started: all(file.exists() for file in files))
                process.send_signal(number)
                time.sleep(0.2)
                process.send_signal(number)  # timeout(1) and impatient users
                _, errors = process.communicate()
                self.assertEqual(process.returncode, 128 + number)
                self.assertEqual(errors, f"stopped ({number.name}): a training keeps what it learned, "
                                         "and the same command goes on from there\n")
                for name in notebooks:
                    self.assertTrue((self.folder / name / "saved").exists())
                    self.assertFalse((self.folder / name / "next").exists())
                self.assertEqual(self.left(), [])

    def test_a_kernel_that_starts_ends(self):
        process = self.start("a")
        self.wait_for(lambda: os.listdir(self.folder / "tmp"))
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate()
        self.assertEqual((process.returncode, errors.count("\n")), (128 + signal.SIGHUP, 1), errors)
        self.assertEqual(self.left(), [])

    def test_all_ends_when_the_command_is_killed(self):
        process = self.start("a")
        self.wait_for((self.folder / "a" / "started").exists)
        process.kill()
        process.communicate()
        self.wait_for(lambda: not self.left())
        self.assertTrue((self.folder / "a" / "saved").exists())


class New(unittest.TestCase):
    """The cells that JupyterLab puts into a new notebook."""

    PATH = Path(run.__file__).with_name("new.ipynb")

    def test_they_run(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(in_folder(folder))
        os.environ["CONVBOOK_RUNS"] = str(folder / "runs")
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = run.main([str(self.PATH)])
        self.assertEqual((status, errors.getvalue()), (0, ""), output.getvalue())
        self.assertEqual(len(list((folder / "runs").glob("CNN-MNIST-*/result.json"))), 1)

    def test_they_are_formatted(self):
        for cell in run.read(self.PATH).cells:
            if cell.cell_type == "code":
                self.assertEqual(run.formatted(cell.source), cell.source)


class Checks(unittest.TestCase):
    def test_what_the_kernel_says_is_told_in_one_line(self):
        warning = new_output("stream", name="stderr", text="a warning\n")
        cell = new_code_cell("%%", outputs=[warning], execution_count=3)
        for said, told in {
            "Cell[3]: line 2: undefined: a\nCell[3]: line 4: undefined: b":
                "line 2: undefined: a; line 4: undefined: b",
            "Cell[2]: line 2: not enough\n\thave ()": "Cell[2]: line 2: not enough; have ()",
            "/link: no space left on device": "/link: no space left on device",
            "exit status 1": "a warning",
        }.items():
            self.assertEqual(execution.error_in(cell, said), told)

    def test_a_full_folder_for_temporary_files_is_named(self):
        one = execution.Execution(Path("a.ipynb"), Path("b.ipynb"), {}, 1)
        one.kernel, one.cell = mock.Mock(folder="/full/convbook-1"), new_code_cell("%%\nf()", execution_count=2)
        for said, lacks in {
            'failed to write "package main\n", 14 bytes: wrote only 0': True,
            "/usr/local/go/link: mapping output file failed: no space left on device": True,
            "gonb: write /full/convbook-1/go-build4/importcfg: no space left on device": True,
            "gonb: write /full/convbook-1/go-build4/importcfg: disk quota exceeded": True,
            "open /home/me/.cache/go-build/1: no space left on device": False,
            "undefined: full": False,
        }.items():
            told = one.told(execution.PapermillExecutionError(0, 2, "", "", said, ""))
            wanted = f"no room in {execution.temporary()}: make room there, or set TMPDIR to another folder"
            self.assertEqual(told, f"cell 2 (f()): {wanted if lacks else said}")

    def test_the_hash_sees_code_tags_and_smoke_but_not_text_and_outputs(self):
        notebook = notebook_of("%%\nprintln(1)", parameters=PARAMETERS, smoke={"epochs": 1})
        before = run.source_hash(notebook)
        notebook.cells[1].outputs = [new_output("stream", text="1\n")]
        notebook.cells[1].execution_count = 3
        notebook.cells.append(new_markdown_cell("more"))
        self.assertEqual(run.source_hash(notebook), before)
        seen = {before}
        notebook.cells[1].source += " "
        seen.add(run.source_hash(notebook))
        notebook.cells[0].metadata["tags"] = []
        seen.add(run.source_hash(notebook))
        notebook.metadata["convbook"]["smoke"] = {"epochs": 2}
        seen.add(run.source_hash(notebook))
        notebook.cells.append(new_code_cell("more"))
        seen.add(run.source_hash(notebook))
        self.assertEqual(len(seen), 5)

    def test_code_is_formatted_as_gofmt_does_it(self):
        good = '%noautoget\nimport "fmt"\n\nvar a = 1 // one\n\n%%\nfor i := range a {\n\tfmt.Println(i)\n}'
        self.assertEqual(run.formatted(good), good)
        text = "const program = `\nfunc main() {\n\tprintln()\n}\n`"  # of another program
        self.assertEqual(run.formatted(text), text)
        self.assertEqual(run.formatted(text + "\n\n%%\nprintln(program)"), text + "\n\n%%\nprintln(program)")
        self.assertEqual(run.formatted("%%\nx:=1\nif x>0 {\nprintln( x )\n}"),
                         "%%\nx := 1\nif x > 0 {\n\tprintln(x)\n}")
        with self.assertRaises(ValueError):
            run.formatted("%%\nif {")

    def test_texts_that_follow_each_other_become_one(self):
        outputs = [new_output("stream", name="stdout", text="a"), new_output("stream", name="stdout", text="b\n"),
                   new_output("stream", name="stderr", text="c"), new_output("display_data", {"text/plain": "d"}),
                   new_output("stream", name="stdout", text="e")]
        self.assertEqual([o.get("text") for o in run.joined(outputs)], ["ab\n", "c", None, "e"])

    def test_a_file_is_replaced_in_one_step(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a" / "x.json"
            files.replace(path, b"old")
            files.replace(path, b"new")
            with self.assertRaises(KeyboardInterrupt), files.replaced(path) as file:
                file.write(b"half")
                raise KeyboardInterrupt
            self.assertEqual(path.read_bytes(), b"new")
            self.assertEqual(os.listdir(path.parent), ["x.json"])


if __name__ == "__main__":
    unittest.main()
