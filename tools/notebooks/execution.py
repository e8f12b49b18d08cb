"""Executes one notebook in a kernel of its own, which can be stopped at any moment and leaves nothing behind."""

import contextlib
import errno
import fcntl
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

import papermill
import psutil
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from nbclient.util import run_sync
from nbformat.warnings import DuplicateCellId, MissingIDFieldWarning
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets import CaselessStrEnum

import kernel

GUARD = Path(__file__).with_name("guard.py")
LOG = Path(sys.prefix) / "gonb.log"
START = 120  # seconds that a kernel has to start
MOST_OUTPUT = 10_000_000  # characters that a cell may print: a notebook with more can hardly be opened
OFTEN = 10  # seconds after which a cell that still runs is told of, and again
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
LEAST = 1 << 16  # bytes that a kernel writes when it starts, about
LONGEST_FOLDER = 48  # bytes, for the names of the sockets in it, of the kernel and of gopls, end at 107
READ = {"x86_64": 0, "aarch64": 63}.get(os.uname().machine)  # the number of Linux's system call

for harmless in (MissingIDFieldWarning, DuplicateCellId):  # such cells get new ids
    warnings.simplefilter("ignore", harmless)


class UserError(Exception):
    """Something that the caller can mend, told in one line."""


class Stopped(Exception):
    """The execution was stopped before its next cell."""


def one_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def printed() -> bool:
    """Whether standard output can be written, which takes an empty line: Python forgets what failed before."""
    try:
        print(flush=True)
        return True
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, it stays open
        return False


def told(work: Callable[[], int]) -> int:
    """Does a command's work, and returns its exit status. What the user can mend is told in one line, and what
    libraries note not at all."""
    logging.disable()
    try:
        status = work()
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:  # nobody reads on, as behind `| head`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, it stays open
    except OSError as error:
        name = error.filename or ("a file" if printed() else "standard output")
        print(f"error: {name}: {error.strerror or one_line(error)}", file=sys.stderr)
    return 2


@contextlib.contextmanager
def locked(path: Path, waits: bool = False):
    """Holds the lock of a file or a folder. A BlockingIOError says that it is in use, unless it waits for that to end.
    """
    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        yield
    finally:
        os.close(number)


def temporary() -> str:
    """The folder for temporary files whose names are short enough for sockets in it."""
    wanted = os.environ.get("TMPDIR")
    try:
        usual = tempfile.gettempdir()
    except FileNotFoundError:
        raise UserError("there is no folder for temporary files: set TMPDIR to one that can be written") from None
    if wanted and usual != os.path.abspath(wanted):
        raise UserError(f"TMPDIR is {wanted}, where nothing can be written: make it, or room there, or unset it")
    return usual if len(os.fsencode(usual)) <= LONGEST_FOLDER else "/tmp"


def ready() -> None:
    """Makes sure that kernels can be started."""
    temporary()
    try:
        command = KernelSpecManager().get_kernel_spec(kernel.NAME).argv[0]
        flaw = "" if shutil.which(command) else f"{command} is missing"
    except Exception as error:  # of many kinds, as kernel.json may hold anything
        flaw = f"its description cannot be read: {type(error).__name__}"
    if flaw:
        raise UserError(f"the book's kernel is not installed ({flaw}): delete .venv and run `make setup`")


class GuardedKernel(AsyncKernelManager):
    """A kernel under guard.py, with all of its files in a folder of its own. It is talked to through files: of several
    kernels that start at once, two may be given the same TCP port."""

    transport = CaselessStrEnum(["ipc"], "ipc")

    def __init__(self, cores: list[int] | None = None, **options):
        self.cores = cores  # those that it may use; all if None
        self.folder = Path(tempfile.mkdtemp(prefix="convbook-", dir=temporary()))  # nobody else can enter it
        super().__init__(kernel_name=kernel.NAME, connection_file=str(self.folder / f"kernel-{uuid.uuid4()}.json"),
                         shutdown_wait_time=60, **options)  # guard.py does not take as long, and must not be killed

    def _ip_default(self) -> str:
        return str(self.folder / "kernel")

    def format_kernel_cmd(self, extra_arguments=None) -> list[str]:
        only = ["taskset", "--cpu-list", ",".join(map(str, self.cores))] if self.cores else []
        kernel = super().format_kernel_cmd(extra_arguments)
        return [*only, sys.executable, "-I", str(GUARD), str(self.folder), *kernel]

    def start(self, folder: Path, environment: dict[str, str]):
        """Starts the kernel in a folder, and returns the guard's process. Cells know that nobody watches them."""
        environment = {**os.environ, **environment, "TMPDIR": str(self.folder), "CONVBOOK_HEADLESS": "1"}
        with open(LOG, "ab") as log:
            run_sync(self.start_kernel)(cwd=str(folder), env=environment, stdout=log, stderr=log)
        return self.provisioner.process

    def cleanup_ipc_files(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Engine(NBClientEngine):
    """Has papermill execute a notebook in a kernel that runs already."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, execution, **options):
        PapermillNotebookClient(nb_man, km=execution.kernel, kernel_name=kernel_name, startup_timeout=START,
                                on_cell_start=execution.begin).execute(cleanup_kc=True)


papermill_engines.register("convbook", Engine)


def error_in(cell, told: str) -> str:
    """What went wrong in a cell, in one line: its own error, a panic, or what the kernel says, such as of its code."""
    printed = "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream" and o.name == "stderr")
    printed = [line.strip() for line in printed.splitlines() if line.strip()]
    for line in printed:
        if line.startswith(("error: ", "panic: ")):
            return line.removeprefix("error: ")
    if printed and told.startswith(("exit status", "signal: ")):
        return printed[-1]
    return "; ".join(line.strip() for line in told.replace(f"Cell[{cell.execution_count}]: ", "").splitlines())


def first_line(cell) -> str:
    """The first line of what a cell does, to tell it by."""
    body = cell.source.replace("\r\n", "\n").split("%%\n")[-1]
    return next((line.strip() for line in body.splitlines() if line.strip()), "")


def size(output) -> int:
    """How many characters an output has, about."""
    return len(output.get("text", "")) + sum(len(str(data)) for data in output.get("data", {}).values())


def waits_for(process: psutil.Process, pipes: set[str]) -> bool:
    """Whether a process reads its standard input, and this is one of these pipes."""
    root = Path("/proc", str(process.pid))
    try:
        return os.readlink(root / "fd" / "0") in pipes and any(
            call.read_text().startswith(f"{READ} 0x0 ") for call in root.glob("task/*/syscall"))
    except OSError:  # it ended, or Linux keeps this to itself
        return False


def holds(process: psutil.Process, pipes: set[str]) -> bool:
    """Whether a process can print to one of these pipes."""
    try:
        return any(os.readlink(f"/proc/{process.pid}/fd/{number}") in pipes for number in (1, 2))
    except OSError:
        return False


class Execution:
    """One notebook, its kernel, and how they do. The kernel may be kept to some of the cores."""

    def __init__(self, path: Path, output: Path, values: dict, cells: int, cores: list[int] | None = None):
        self.path, self.output, self.values, self.cells, self.cores = path, output, values, cells, cores
        self.kernel = self.guard = self.cell = None
        self.folder = path.parent  # where cells run
        self.results = output.with_suffix(".jsonl")  # where package train notes runs
        self.environment = {"CONVBOOK_RESULTS": str(self.results)}
        self.why = ""  # the reason for which it was stopped
        self.number = 0  # of the cell, among those with code
        self.began = self.named = 0.0  # when the cell began, and when it was told of
        self.looks = {}  # how often in a row each sign of a cell that cannot end was seen
        self.lock = threading.Lock()

    def run(self) -> None:
        """Executes the notebook. A UserError tells what went wrong."""
        # papermill sees a name in braces in a path as a parameter.
        paths = [str(path).replace("{", "{{").replace("}", "}}") for path in (self.path, self.output)]
        alone = contextlib.ExitStack()
        try:
            alone.enter_context(self.alone())
            with self.lock:
                if self.why:
                    raise Stopped
                self.kernel = GuardedKernel(self.cores)
                self.results.write_text("")
                self.guard = self.kernel.start(self.folder, self.environment)
            papermill.execute_notebook(*paths, self.values, engine_name="convbook", kernel_name=kernel.NAME,
                                       language="go", progress_bar=False, execution=self)
        except Exception as error:  # whatever it is, the other notebooks still run
            raise UserError(self.told(error)) from error
        finally:
            self.named = float("inf")  # no cell runs any more
            if self.guard:
                self.guard.terminate()
                self.guard.wait()
            if self.kernel:
                self.kernel.cleanup_ipc_files()
            alone.close()

    @contextlib.contextmanager
    def alone(self):
        """Waits while another command writes to the same files, whose result would be lost otherwise."""
        self.results.touch()
        lock = contextlib.ExitStack()
        waits = False
        while True:
            try:
                lock.enter_context(locked(self.results))
                break
            except BlockingIOError:
                if self.why:
                    raise Stopped from None
                if not waits:
                    print(f"{self.path.stem}: waits for another command that executes it into {self.output}",
                          file=sys.stderr, flush=True)
                waits = True
                time.sleep(0.5)
        with lock:
            yield

    def runs(self) -> list[dict]:
        """The runs that cells have trained or loaded, each once, in the order of their first use."""
        lines = self.results.read_text().splitlines() if self.results.exists() else []
        return list({run["dir"]: run for run in map(json.loads, lines)}.values())

    def begin(self, cell, cell_index: int) -> None:
        """Notes which cell is next, unless the execution is to stop."""
        if self.why:
            raise Stopped
        if cell.cell_type == "code" and cell.source.strip():
            self.looks = {}
            self.began = self.named = time.monotonic()
            self.number += 1
            self.cell = cell

    def going(self) -> str:
        """Which cell runs and for how long, if that is to be told: nothing else shows that a long one is not stuck."""
        now = time.monotonic()
        if not self.cell or self.why or now - self.named < OFTEN:
            return ""
        self.named = now
        return f"{self.path.stem}: cell {self.number} ({first_line(self.cell)}) runs for {now - self.began:.0f} s"

    def stop(self, why: str) -> None:
        """Has the cell interrupted and the kernel ended."""
        with self.lock:
            self.why = self.why or why
            if self.guard:
                self.guard.terminate()

    def watch(self) -> None:
        """Stops a cell that cannot end, or must not go on. Called every second."""
        cell = self.cell
        if not cell or self.why or self.guard.poll() is not None:
            return
        if sum(size(output) for output in list(cell.get("outputs", []))) > MOST_OUTPUT:
            self.stop(f"it prints more than {MOST_OUTPUT:,} characters: print less")
        try:
            mine = psutil.Process(self.guard.pid).children()
            gonb = next(process for process in mine if "--kernel" in process.cmdline())
            started = gonb.children(recursive=True)
            pipes = {os.readlink(file) for file in Path(f"/proc/{gonb.pid}/fd").iterdir()}
        except (psutil.Error, OSError, StopIteration):  # the kernel ended, or did not begin
            return
        pipes = {name for name in pipes if name.startswith("pipe:")}
        left = [process for process in mine if process != gonb]
        for sign, looks, seen in (
            ("it reads its standard input, where nothing is written without a browser", 2,
             any(waits_for(process, pipes) for process in started + left)),
            ("its program ended, but left a process that keeps its output open", 5,
             any(holds(process, pipes) for process in left) and not any(holds(process, pipes) for process in started)),
        ):
            self.looks[sign] = self.looks.get(sign, 0) + 1 if seen else 0
            if self.looks[sign] == looks:
                self.stop(sign)

    def lacks_room(self, error: Exception) -> bool:
        """Whether the folder for temporary files was full: for GoNB, for Go's linker, or for another by its name."""
        if isinstance(error, OSError):
            return error.errno in NO_ROOM and not error.filename and shutil.disk_usage(temporary()).free < LEAST
        said = error.evalue if isinstance(error, PapermillExecutionError) else ""
        return bool(re.search(r"failed to write .*: wrote only \d|mapping output file failed: ", said, re.S)) or (
            str(self.kernel.folder) in said and any(os.strerror(number).lower() in said for number in NO_ROOM))

    def told(self, error: Exception) -> str:
        """What went wrong, in one line."""
        where = f"cell {self.cell.execution_count} ({first_line(self.cell)}): " if self.cell else ""
        if self.why:
            return where + self.why
        if self.lacks_room(error):
            return f"{where}no room in {temporary()}: make room there, or set TMPDIR to another folder"
        if isinstance(error, PapermillExecutionError):
            return where + error_in(self.cell, error.evalue)
        if isinstance(error, DeadKernelError):
            return where + "the kernel died: see .venv/gonb.log"
        if isinstance(error, OSError):
            return f"{error.filename or self.output}: {error.strerror}"
        if isinstance(error, UserError):
            return str(error)
        if isinstance(error, RuntimeError) and not self.cell:
            return ("the kernel does not start: see .venv/gonb.log; if that does not help, "
                    "delete .venv and run `make setup`")
        return where + f"{type(error).__name__}: {one_line(error)}"
