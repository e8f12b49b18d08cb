"""Tests of how notebooks are run without a browser. Two of them run a notebook in the real kernel."""

import contextlib
import io
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import gotranslator
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
        }.items():
            with self.subTest(settings), self.assertRaises(run.UserError) as caught:
                run.checked("10_x", notebook_of(parameters=PARAMETERS), run.split_settings(settings))
            self.assertEqual(str(caught.exception), told)

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
            ("--profile", "quick"): "error: there is no profile quick: there is full and smoke\n",
            ("--set", "epochs=2"): "error: parameters are for one notebook: say which with NB=, for instance NB=00_",
            ("--set", "epoch=2", "10"): "error: 10_mnist_fc_vs_cnn has no parameter epoch (did you mean epochs?): it has",
            ("--book", "--profile", "smoke"): "error: the book's notebooks are executed at their full settings",
        }.items():
            with self.subTest(arguments):
                status, errors = self.call(*arguments)
                self.assertEqual(status, 2)
                self.assertEqual(errors.count("\n"), 1, errors)
                self.assertTrue(errors.startswith(told), errors)

    def test_a_notebook_is_found_by_name_number_or_path(self):
        for name in ("10", "10_mnist_fc_vs_cnn", "10_mnist_fc_vs_cnn.ipynb", "notebooks/10_mnist_fc_vs_cnn.ipynb"):
            self.assertEqual([path.stem for path in run.find([name])], ["10_mnist_fc_vs_cnn"])

    def test_every_smoke_setting_fits(self):
        for path in run.find([]):
            notebook = nbformat.read(path, 4)
            smoke = {name: str(value) for name, value in notebook.metadata["convbook"].get("smoke", {}).items()}
            self.assertEqual(len(run.checked(path.stem, notebook, smoke)), len(smoke))


class Execution(unittest.TestCase):
    """Runs notebooks in the real kernel."""

    def execute(self, notebook, *arguments: str) -> tuple[int, str, str, Path]:
        folder = Path(tempfile.mkdtemp())
        (folder / "notebooks").mkdir()
        nbformat.write(notebook, folder / "notebooks" / "20_test.ipynb")
        output, errors = io.StringIO(), io.StringIO()
        with mock.patch.object(run, "NOTEBOOKS", folder / "notebooks"), mock.patch.object(run, "BUILD", folder / "build"), \
                mock.patch.dict(os.environ), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = run.main(["--jobs", "1", *arguments])
        return status, output.getvalue(), errors.getvalue(), folder / "build"

    def test_parameters_reach_the_cells(self):
        notebook = notebook_of('import "fmt"\n\n%%\nfmt.Println("epochs", epochs, "lr", lr)',
                               parameters=PARAMETERS, smoke={"epochs": 5})
        status, output, errors, build = self.execute(notebook, "--profile", "smoke", "--set", "lr=1")
        self.assertEqual((status, errors), (0, ""))
        self.assertRegex(output, r"20_test +2 +\d+\.\d  ok")
        done = nbformat.read(build / "smoke" / "20_test.ipynb", 4)
        self.assertEqual(done.cells[-1].outputs[0].text, "epochs 5 lr 1\n")

    def test_a_failing_cell_is_named_with_its_error(self):
        for source, told in {
            'import "os"\n\n%%\nprintln("before")\nos.Exit(3)': "before",
            '%%\npanic("no such weights")': "panic: no such weights",
            '%%\nvar unused int': "declared and not used: unused",
            'import (\n\t"errors"\n\n\t"example.org/convbook/lib/must"\n)\n\n%%\nmust.Do(errors.New("rate is -1"))': "rate is -1",
        }.items():
            with self.subTest(source):
                status, output, errors, _ = self.execute(notebook_of("%%\nprintln()", source, "%%\nprintln()"))
                self.assertEqual(status, 1)
                self.assertRegex(output, r"20_test +3 +\d+\.\d  failed")
                self.assertRegex(errors.strip(), rf"^20_test, cell 2 \(.*\): .*{told}")
                self.assertEqual(errors.strip().count("\n"), 0, errors)


class Checks(unittest.TestCase):
    def test_the_hash_sees_source_tags_and_smoke_but_not_outputs(self):
        notebook = notebook_of("%%\nprintln(1)", parameters=PARAMETERS, smoke={"epochs": 1})
        before = run.source_hash(notebook)
        notebook.cells[1].outputs = [new_output("stream", text="1\n")]
        notebook.cells[1].execution_count = 3
        self.assertEqual(run.source_hash(notebook), before)
        seen = {before}
        notebook.cells[1].source += " "
        seen.add(run.source_hash(notebook))
        notebook.cells[0].metadata["tags"] = []
        seen.add(run.source_hash(notebook))
        notebook.metadata["convbook"]["smoke"] = {"epochs": 2}
        seen.add(run.source_hash(notebook))
        notebook.cells.append(new_markdown_cell("more"))
        seen.add(run.source_hash(notebook))
        self.assertEqual(len(seen), 5)

    def test_code_is_formatted_as_gofmt_does_it(self):
        good = '%noautoget\nimport "fmt"\n\nvar a = 1 // one\n\n%%\nfor i := range a {\n\tfmt.Println(i)\n}'
        self.assertEqual(run.formatted(good), good)
        self.assertEqual(run.formatted("%%\nx:=1\nif x>0 {\nprintln( x )\n}"), "%%\nx := 1\nif x > 0 {\n\tprintln(x)\n}")
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
            run.replace(path, b"old")
            run.replace(path, b"new")
            self.assertEqual(path.read_bytes(), b"new")
            self.assertEqual(os.listdir(path.parent), ["x.json"])


if __name__ == "__main__":
    unittest.main()
