"""Tests of the book's kernel, as JupyterLab talks to it: of what tools/go/patches mend in GoNB."""

import queue
import tempfile
import unittest
from pathlib import Path

from execution import GuardedKernel
from jupyter_client import BlockingKernelClient

PATIENCE = 120  # seconds for an answer, on a busy machine
IMPORTS = '%noautoget\nimport "fmt"'
PRINTS = '%%\nfmt.Println("ran")'


def setUpModule():
    """Starts one kernel for all tests: names that a cell declares are its own."""
    folder = Path(unittest.enterModuleContext(tempfile.TemporaryDirectory()))
    manager = GuardedKernel()
    guard = manager.start(folder, folder / "results")
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


class Queue(Kernel):
    def statuses(self, *sources: str, **options) -> list[str]:
        return [status for status, _ in self.run_cells(*sources, **options)]

    def test_cells_after_one_that_fails_do_not_run(self):
        for fails in ("%%\nnosuch()", "%%\nvar", '%%\npanic("no")', "%cd /nosuch"):
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


class Text(Kernel):
    def test_characters_are_whole(self):
        for code, printed in {
            'for range 20000 {\n\tfmt.Println("卷积神经网络")\n}': "卷积神经网络\n" * 20000,
            'import "strings"\n\n%%\nfmt.Print(strings.Repeat("卷😀积", 50000))': "卷😀积" * 50000,
            'import "strings"\n\n%%\nprint(strings.Repeat("é卷", 80000))': "é卷" * 80000,
            r'fmt.Print("half a character: \xe5\x8d")': "half a character: \ufffd\ufffd",
        }.items():
            [(status, outputs)] = self.run_cells(code if "%%" in code else "%%\n" + code)
            self.assertEqual(status, "ok")
            shown = "".join(output["text"] for output in outputs)
            self.assertTrue(shown == printed, f"{code}: {len(shown)} characters, {shown.count(chr(0xfffd))} replaced")


if __name__ == "__main__":
    unittest.main()
