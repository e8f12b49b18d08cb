"""How a command begins, before it imports what takes a second."""

import os
import signal
import sys

# A signal that is ignored from the start stays so: nohup wants it.
SIGNALS = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
           if signal.getsignal(number) != signal.SIG_IGN]


def stop_at_once(number: int, frame) -> None:
    """Ends the program on a signal while nothing runs that would have to be ended first."""
    os.write(2, f"stopped ({signal.Signals(number).name})\n".encode())
    os._exit(128 + number)


def begin() -> None:
    """Has signals end the program in one line, and lets it print what is not UTF-8: names of files may be anything."""
    for number in SIGNALS:
        signal.signal(number, stop_at_once)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
