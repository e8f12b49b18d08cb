"""Tests of the book's kernel, as JupyterLab talks to it: of what tools/go/patches mend in GoNB."""

import json
import queue
import re
import tempfile
import unittest
from pathlib import Path

from jupyter_client import BlockingKernelClient

from execution import GuardedKernel

PATIENCE = 120  # seconds for an answer, on a busy machine
IMPORTS = '%noautoget\nimport "fmt"'
PRINTS = '%%\nfmt.Println("ran")'


def setUpModule():
    """Starts one kernel for all tests: names that a cell declares are its own."""
    folder = Path(unittest.enterModuleContext(tempfile.TemporaryDirectory()))
    manager = GuardedKernel()
    # Nothing may be fetched: what cells import is there.
    guard = manager.start(folder, {"CONVBOOK_RESULTS": str(folder / "results"), "GOPROXY": "off"})
    unittest.addModuleCleanup(manager.cleanup_ipc_files)
    unittest.addModuleCleanup(guard.wait)
    unittest.addModuleCleanup(guard.terminate)
    Kernel.client = BlockingKernelClient(connection_file=manager.connection_file)
    Kernel.client.load_connection_file()
    Kernel.client.start_channels()
    unittest.addModuleCleanup(Kernel.client.stop_channels)
    for _ in range(PATIENCE):  # until what the kernel publishes is heard
        Kernel.client.kernel_info()
        try:
            Kernel.client.get_iopub_msg(timeout=1)
            break
        except queue.Empty:
            pass
    Kernel.run_cells(IMPORTS)


class Kernel(unittest.TestCase):
    @classmethod
    def reply(cls, request: str) -> dict:
        """The answer to a request."""
        while True:
            message = cls.client.get_shell_msg(timeout=PATIENCE)
            if message["parent_header"]["msg_id"] == request:
                return message["content"]

    @classmethod
    def outputs(cls, request: str) -> list[dict]:
        """What is shown until the kernel is done with a request."""
        outputs = []
        while True:
            message = cls.client.get_iopub_msg(timeout=PATIENCE)
            content = message["content"]
            if message["parent_header"].get("msg_id") != request or message["msg_type"] == "execute_input":
                continue
            if message["msg_type"] != "status":
                outputs.append({"type": message["msg_type"], **content})
            elif content["execution_state"] == "idle":
                return outputs

    @classmethod
    def run_cells(cls, *sources: str, **options) -> list[tuple[str, list[dict]]]:
        """The status and the outputs of cells that are asked for all at once, as by Run All."""
        requests = [cls.client.execute(source, **options) for source in sources]
        outputs = [cls.outputs(request) for request in requests]
        return [(cls.reply(request)["status"], shown) for request, shown in zip(requests, outputs)]


class Elsewhere(Kernel):
    def test_packages_that_are_there_are_not_asked_for_and_the_plugin_is_found(self):
        cell = """%autoget
import (
	"github.com/gomlx/compute/dtypes"
	"example.org/convbook/lib/cell"
)

%%
fmt.Println(dtypes.Float32)
cell.Device()"""
        (status, shown), _ = self.run_cells(cell, IMPORTS)
        self.assertEqual(status, "ok", shown)
        printed = "".join(output.get("text", "") for output in shown)
        self.assertTrue(printed.startswith("Float32\n") and "PJRT" in printed, shown)


class Queue(Kernel):
    def statuses(self, *sources: str, **options) -> list[str]:
        return [status for status, _ in self.run_cells(*sources, **options)]

    def test_cells_after_one_that_fails_do_not_run(self):
        for fails in ("%%\nnosuch()", "%%\nvar", '%%\npanic("no")', "%cd /nosuch", "%nosuch"):
            ran = self.run_cells(PRINTS, fails, PRINTS, PRINTS)
            self.assertEqual([status for status, _ in ran], ["ok", "error", "aborted", "aborted"], fails)
            self.assertEqual([outputs for _, outputs in ran[2:]], [[], []])
        self.assertEqual(self.statuses(PRINTS), ["ok"])

    def test_unless_the_front_end_wants_them_to(self):
        self.assertEqual(self.statuses("%%\nnosuch()", PRINTS, stop_on_error=False), ["error", "ok"])
        self.assertEqual(self.statuses("%%\nnosuch()", PRINTS, silent=True), ["error", "ok"])

    def test_cells_after_one_that_is_stopped_do_not_run(self):
        waits = ('import (\n\t"os"\n\t"os/signal"\n)\n\n%%\nstop := make(chan os.Signal, 1)\n'
                 'signal.Notify(stop, os.Interrupt)\nfmt.Println("waits")\n<-stop\n')
        for stopped, status in ((waits, "ok"), (waits + "os.Exit(1)", "error")):
            first, second = [self.client.execute(source) for source in (stopped, PRINTS)]
            while self.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
                pass
            self.client.control_channel.send(self.client.session.msg("interrupt_request", {}))
            self.assertEqual(self.outputs(second), [])
            self.assertEqual([self.reply(request)["status"] for request in (first, second)], [status, "aborted"])


    def test_what_a_shell_waits_for_is_stopped_with_it(self):
        cell = self.client.execute("%%bash\necho waits\nsleep 1000\necho on")
        while self.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
            pass
        self.client.control_channel.send(self.client.session.msg("interrupt_request", {}))
        self.assertNotIn("on", "".join(output.get("text", "") for output in self.outputs(cell)).split())
        self.assertEqual(self.reply(cell)["status"], "ok")


class Connection(Kernel):
    def test_what_the_kernel_is_and_that_it_is_busy_is_told_while_a_cell_runs(self):
        cell = self.client.execute('import "time"\n\n%%\nfmt.Println("waits")\ntime.Sleep(5 * time.Second)')
        while self.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
            pass
        asked = self.client.kernel_info()
        self.assertEqual(self.reply(asked)["implementation"], "gonb")
        statuses = []  # until the cell is done
        while statuses[-1:] != [(cell, "idle")]:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["msg_type"] == "status":
                statuses.append((message["parent_header"]["msg_id"], message["content"]["execution_state"]))
        self.assertEqual(statuses, [(asked, "busy"), (asked, "idle"), (cell, "busy"), (cell, "idle")])
        self.assertEqual(self.reply(cell)["status"], "ok")


class Text(Kernel):
    def test_characters_are_whole(self):
        for code, printed in {
            'for range 20000 {\n\tfmt.Println("卷积神经网络")\n}': "卷积神经网络\n" * 20000,
            'import "strings"\n\n%%\nfmt.Print(strings.Repeat("卷😀积", 50000))': "卷😀积" * 50000,
            'import "strings"\n\n%%\nfmt.Fprint(os.Stderr, strings.Repeat("é卷", 80000))': "é卷" * 80000,
            r'fmt.Print("half a character: \xe5\x8d")': "half a character: \ufffd\ufffd",
        }.items():
            [(status, outputs)] = self.run_cells(code if "%%" in code else "%%\n" + code)
            self.assertEqual(status, "ok")
            shown = "".join(output["text"] for output in outputs)
            self.assertTrue(shown == printed, f"{code}: {len(shown)} characters, {shown.count(chr(0xfffd))} replaced")


# Declarations of one cell after another, what is printed then, and what that gives.
DECLARED = [
    ("const (\n\tfour, forty = iota + 4, iota*10 + 40\n\tfive, fifty\n)", "four, forty, five, fifty", "4 40 5 50"),
    ('const one, letter = 1, "a"', "one, letter", "1 a"),
    ("const (\n\t_ = 1 << (10 * iota)\n\tKB\n\tMB\n)", "KB, MB", "1024 1048576"),
    ("const (\n\t_ = iota\n\tfirst\n\t_\n\tthird\n)", "KB, MB, first, third", "1024 1048576 1 3"),
    ("const KB = 1000", "KB, MB", "1000 1048576"),
    ("const (\n\tfirst = 10\n)", "first, third", "10 3"),
    ("var rate = 0.1", "rate", "0.1"),
    ("const rate = 0.2", "rate", "0.2"),
    ("func rate() string { return \"0.3\" }", "rate()", "0.3"),
    ("type rate struct{}\n\nfunc (rate) String() string { return \"0.4\" }", "rate{}", "0.4"),
    ("var rate, rest = func() (int, int) { return 5, 6 }()", "rate, rest", "5 6"),
    ("const rest = 7", "rest", "7"),
    ('type List[T any] struct{ x T }\n\nfunc (List[T]) String() string { return "list" }', "List[int]{1}", "list"),
    ('type Couple[K, V any] struct {\n\tk K\n\tv V\n}\n\nfunc (*Couple[K, V]) String() string { return "couple" }',
     "List[int]{1}, &Couple[int, bool]{}", "list couple"),
    ('func (p Couple[A, B]) String() string { return "two" }', "List[int]{1}, Couple[int, bool]{}", "list two"),
]

# Raw strings and comments whose lines begin as the kernel's commands do.
TEXTS = {
    "const program = `a\n%%\n!exit 3\n%cd /nosuch\npackage b\n`\n\n%%\nfmt.Print(program)":
        "a\n%%\n!exit 3\n%cd /nosuch\npackage b\n",
    "%%\ntext := `a\n%%\n!exit 3`\nfmt.Print(text)": "a\n%%\n!exit 3",
    "/* it's `\n%cd /nosuch\n*/\nvar tick, quoted = '`', \"\\\"`\" // `\n\n!echo \\\n \\`\n%%\nfmt.Print(tick, quoted)":
        '`\n96"`',
}


# Cells, and the errors that they end with. The error of the n-th says Cell[N].
ERRORS = {
    "%%\nfor i := range 3 {\n\tif i > 1 {\n\t\tfmt.Println(i)\n}": """
Cell[N]: line 2: this { is never closed: a } is needed
    for i := range 3 {
                     ^""",
    "%%\nfmt.Println(1)\n}": """
Cell[N]: line 3: this } closes nothing: there is one too many
    }
    ^""",
    "func open() {": """
Cell[N]: line 1: this { is never closed: a } is needed
    func open() {
                ^""",
    "%%\nx :=\n": """
Cell[N]: line 2: expected operand, found the end of the cell
    x :=""",
    "%%\nfmt.Println(1": """
Cell[N]: line 2: missing ',' before newline in argument list
    fmt.Println(1
                 ^""",
    '%%\n\ttext := "卷积"\n\tfmt.Println("卷积", 1 + "a")\n': """
Cell[N]: line 2: declared and not used: text
    \ttext := "卷积"
    \t^
Cell[N]: line 3: invalid operation: 1 + "a" (mismatched types untyped int and untyped string)
    \tfmt.Println("卷积", 1 + "a")
    \t             \u3000\u3000   ^""",
    'import "strings"\n\n%%\nfmt.Println(strings.Repeat("a"))': """
Cell[N]: line 4: not enough arguments in call to strings.Repeat
\thave (string)
\twant (string, int)
    fmt.Println(strings.Repeat("a"))
                               ^""",
    "func pair(a, b int) {}\n\n%%\npair(missing)\n": """
Cell[N]: line 4: undefined: missing
    pair(missing)
         ^
Hint: no cell that has run declares missing: if one above does, run that first (Run → Run All Above Selected Cell)""",
    "var (\n\tone, two = 1,\n\t\t2\n\tzero int = \"\" // a text\n)": """
Cell[N]: line 4: cannot use "" (untyped string constant) as int value in variable declaration
    \tzero int = "" // a text
    \t           ^""",
    "const first, second = iota, 1 + \"a\"": """
Cell[N]: line 1: invalid operation: 1 + "a" (mismatched types untyped int and untyped string)
    const first, second = iota, 1 + "a"
                                ^""",
    "type Pair struct {\n\tA int\n\tA int\n}": """
Cell[N]: line 3: A redeclared
    \tA int
    \t^
Cell[N]: line 2: other declaration of A
    \tA int
    \t^""",
    'import (\n\t"example.org/convbook/lib/nosuch"\n)\n\n%%\nnosuch.F()': """
Cell[N]: line 2: no required module provides package example.org/convbook/lib/nosuch; to add it:
\tgo get example.org/convbook/lib/nosuch
    \t"example.org/convbook/lib/nosuch"
    \t^""",
    "%%\nvar none []int\nfmt.Println(none[3])": """
Cell[N]: line 3: panic: runtime error: index out of range [3] with length 0
    fmt.Println(none[3])""",
    "func fails(p *Point) int {\n\treturn p.X\n}\n\ntype Point struct{ X int }\n\n%%\nfmt.Println(fails(nil))": """
Cell[N]: line 2: panic: runtime error: invalid memory address or nil pointer dereference
    \treturn p.X
Cell[N]: line 8: called here
    fmt.Println(fails(nil))""",
    "%%\nfmt.Println(1)\n%%\nfmt.Println(2)": """
Cell[N]: line 3: a cell has one func main, which the line with %% above this one begins""",
    'import "os"\n\n%%\nos.Exit(3)': """
exit status 3""",
    'import (\n\t"os"\n\t"syscall"\n)\n\n%%\nsyscall.Kill(os.Getpid(), syscall.SIGKILL)': """
the program was killed, as happens when memory runs out: signal: killed""",
}

BELOW = "statements go below a line with %%; import, const, type, var and func stand above it"
ABOVE = "if one above does, run that first (Run → Run All Above Selected Cell)"

# Cells, and the hints in their errors.
HINTS = {
    "fmt.Println(1)": BELOW,
    "rate := 0.1": BELOW,
    "for i := range 3 {\n}": BELOW,
    "%%\nfunc f() {\n}": BELOW,
    '%%\nimport "os"': BELOW,
    'print("x")': "this looks like Python; in Go: fmt.Println(x), below a line with %%",
    '%%\nprint(f"{x}")': "this looks like Python; in Go: fmt.Println(x), below a line with %%",
    "import numpy as np": 'this looks like Python; in Go: import "math", with the path in quotes',
    "from torch import nn": 'this looks like Python; in Go: import "math", with the path in quotes',
    "import torch\nprint(torch.cuda)": 'this looks like Python; in Go: import "math", with the path in quotes',
    "%%\nfor x in xs:\n    print(x)": "this looks like Python; in Go: for i, x := range xs { … }",
    "for i in range(3):\n    pass": "this looks like Python; in Go: for i, x := range xs { … }",
    "%%\nif 1 > 0:\n    pass": "this looks like Python; in Go: if x > 0 { … } else { … }",
    "def f(x):\n    return x": "this looks like Python; in Go: func f(x float64) float64 { … }",
    "class Net(nn.Module):\n    pass": "this looks like Python; in Go: type T struct { … }",
    "# a comment": "this looks like Python; in Go: a comment begins with //",
    "%%\ntrue := True": "this looks like Python; in Go: true",
    "%%\nfmt.Println('text')": "a text is in double quotes, a single character in single ones",
    "%%\nfmt.Println(net, net, data)": "no cell that has run declares net, data: " + ABOVE,
    "%%\nunused := 1\nfmt.Println(nothing)": "no cell that has run declares nothing: " + ABOVE,
    "%%\nfmt.Println(fmt.Nothing) // this and that in here:": None,
    "%%\nvar unused int // import this": None,
    "func f(a int {\n}": None,
}


class Errors(Kernel):
    def error(self, source: str) -> dict:
        """The error that a cell ends with, the only thing that is below it."""
        [(status, outputs)] = self.run_cells(source)
        self.assertEqual((status, [output["type"] for output in outputs]), ("error", ["error"]), outputs)
        return outputs[0]

    def test_they_are_in_the_cell_and_its_line(self):
        for source, wanted in ERRORS.items():
            with self.subTest(source):
                error = self.error(source)
                shown = re.sub("\x1b\\[(1|22)m", "", "\n".join(error["traceback"]))  # bold, and not
                self.assertEqual(re.sub(r"^Cell\[\d+\]", "Cell[N]", shown, flags=re.M), wanted.lstrip("\n"))

    def test_a_hint_says_what_this_kernel_wants(self):
        for source, wanted in HINTS.items():
            with self.subTest(source):
                error = self.error(source)
                hints = [line for line in error["evalue"].splitlines() if line.startswith("Hint: ")]
                self.assertEqual(hints, [f"Hint: {wanted}"] if wanted else [])
                self.assertEqual("\n".join(error["traceback"]).splitlines()[-1:] == hints, wanted is not None)

    def test_a_value_that_ended_with_its_cell(self):
        self.assertEqual(self.run_cells("%%\nmean, deviation := 1, 2\nfmt.Println(mean, deviation)")[0][0], "ok")
        hint = (r"\nHint: deviation was declared below %% in Cell\[\d+\] and ended with that cell: "
                "declare it there above %%, with var, to use it here$")
        self.assertRegex(self.error("%%\nfmt.Println(deviation)")["evalue"], hint)

    def test_an_error_of_an_earlier_cell_is_in_that_cell(self):
        self.run_cells("type Shape struct{ Rows int }", "func rows(s Shape) int { return s.Rows }")
        told = self.error("type Shape struct{ Columns int }")["evalue"]
        self.assertRegex(told, r"^Cell\[(\d+)\]: line 1: s.Rows undefined ")

    def test_what_only_looks_like_a_panic(self):
        for prints in ("panic: not here\n", "pan", "goroutine 1 [running]:\n"):
            code = f"import \"os\"\n\n%%\nfmt.Fprint(os.Stderr, {json.dumps(prints)})"
            [(status, outputs)] = self.run_cells(code)
            self.assertEqual((status, "".join(output["text"] for output in outputs)), ("ok", prints))


    def test_the_runtime_s_own_functions_are_left_out(self):
        told = self.error("%%\nhuge := make([]byte, 1<<46)\nfmt.Println(len(huge))")["evalue"]
        self.assertRegex(told, r"^Cell\[\d+\]: line 2: (panic|fatal error): \D*$")


class Code(Kernel):
    """What cells declare and hold."""

    def printed(self, source: str) -> str:
        """What a cell that ends well prints."""
        [(status, outputs)] = self.run_cells(source)
        self.assertEqual(status, "ok", outputs)
        return "".join(output["text"] for output in outputs)

    def test_lines_may_end_with_carriage_returns(self):
        self.assertEqual(self.printed('const ends = "a"\r\n\r\n%%\r\nfmt.Println(ends,\r\n\t"b")\r\n'), "a b\n")
        self.assertEqual(self.printed("%%bash\r\nif true; then\r\necho a\r\nfi\r\n"), "a\n")
        self.assertEqual(self.printed("!echo a | tr '\\r' b\r\n"), "a\n")

    def test_a_name_is_what_was_declared_last(self):
        for declaration, printed, wanted in DECLARED:
            with self.subTest(declaration):
                self.assertEqual(self.printed(f"{declaration}\n\n%%\nfmt.Println({printed})"), wanted + "\n")

    def test_lines_of_texts_are_no_commands(self):
        for source, wanted in TEXTS.items():
            with self.subTest(source):
                self.assertEqual(self.printed(source), wanted)


class Help(Kernel):
    """Tab and Shift + Tab, at the bar in a cell's code."""

    def setUp(self):
        self.run_cells('import (\n\t"example.org/convbook/lib/dataset"\n\t"example.org/convbook/lib/train"\n)')

    def matches(self, code: str) -> list[str]:
        place = code.index("|")
        answer = self.reply(self.client.complete(code.replace("|", ""), place))
        begun = re.search(r"\w*$", code[:place]).group()
        self.assertEqual((answer["status"], answer["cursor_start"], answer["cursor_end"]),
                         ("ok", place - len(begun) if answer["matches"] else place, place))
        return answer["matches"]

    def told(self, code: str) -> str:
        answer = self.reply(self.client.inspect(code.replace("|", ""), code.index("|")))
        self.assertEqual(answer["found"], answer["data"] != {})
        return "".join(answer["data"].values())

    def test_what_a_package_has(self):
        self.assertEqual(self.matches("%%\ntrain.Con|")[:2], ["Config", "Cosine"])
        for code in ("%%\ntrain.|", "%%\nfor i := range 3 {\n\ttrain.|\n", '%%\nfmt.Println("卷积", train.|)',
                     "var task = train.|", 'import "example.org/convbook/lib/train"\n\n%%\nif train.|\n'):
            with self.subTest(code):
                self.assertLessEqual({"Config", "Task", "Adam"}, set(self.matches(code)))

    def test_what_a_struct_has(self):
        for code in ("%%\nc := train.Config{|}", "%%\nc := train.Config{\n\tEp|\n}", "%%\nc := train.Config{\n\t|",
                     "var task = train.Task{\n\tConfig: train.Config{\n\t\tBatch: 64, |\n\t},\n}"):
            with self.subTest(code):
                self.assertIn("Epochs", self.matches(code))

    def test_what_a_value_has(self):
        self.run_cells("type Size struct{ Rows, Columns int }\n\nvar size Size", "var other = dataset.MNIST()")
        self.assertLessEqual({"Rows", "Columns"}, set(self.matches("%%\nif size.|")))
        self.assertLessEqual({"Normalize", "Width"}, set(self.matches("%%\nother.|\nfor {\n")))
        # The cell that is written declares it anew.
        self.assertEqual(self.matches("type Size struct{ Depth int }\n\n%%\nvar size Size\nif size.|"), ["Depth"])

    def test_documentation(self):
        for code in ("%%\ntrain.Con|fig", "%%\nc := train.Con|fig{\n", "%%\nfor {\n\ttrain.Config|{"):
            with self.subTest(code):
                self.assertIn("type Config struct", self.told(code))
        self.assertIn("func dataset.MNIST() ", self.told('%%\nfmt.Println("卷积", dataset.MNIST(|'))

    def test_nothing_where_nothing_is_known(self):
        for code in ("%%\nfor x in ra|nge", "%%\nnothing.|", "import nu|mpy as np", "%%\nx := 1 |+", "%%\n|\n", "|",
                     " |"):
            with self.subTest(code):
                self.assertNotRegex(self.told(code), "kind|gopls|no package|out of range|/")


if __name__ == "__main__":
    unittest.main()
