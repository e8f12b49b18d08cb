"""Runs a kernel, and sees to it that nothing of it stays when it ends.

    guard.py FOLDER COMMAND ...

A kernel is many processes: a language server, compilers, the programs of the cells and what these start. All of them
end, and FOLDER with their temporary files is removed, when the kernel ends, when it crashes, when this process gets a
signal, and when the process that started this one is gone, be it by SIGKILL. Programs are interrupted first, as by
Ctrl-C, and have time to save what they learned.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil

PATIENCE = 8  # seconds that interrupted programs have to save what they learned
PR_SET_CHILD_SUBREAPER = 36  # from Linux's sys/prctl.h


def below() -> list[psutil.Process]:
    """All processes that this one started, directly or not."""
    return psutil.Process().children(recursive=True)


def end(kernel: subprocess.Popen) -> None:
    """Ends the kernel and its programs. The kernel comes last, for programs block when nobody reads what they print."""
    programs = [process for process in below() if process.pid != kernel.pid]
    for process in programs:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
    psutil.wait_procs(programs, PATIENCE)
    while left := below():
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, 1)


def main(folder: str, command: list[str]) -> int:
    starter = int(os.environ["JPY_PARENT_PID"])
    # What loses its parent becomes a child of this process, not of init, and is still found.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signals = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: signals.append(number))
    try:
        kernel = subprocess.Popen(command, start_new_session=True)
        while kernel.poll() is None and not signals and os.getppid() == starter:
            time.sleep(0.1)
        end(kernel)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return kernel.returncode or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
