"""What the commands here take on the command line, and how they keep what they measured."""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "notebooks"))

from files import replace


def at_least(least: int) -> Callable[[str], int]:
    """Reads a whole number that is not less, so a wrong one is refused before anything is compiled."""
    def number(text: str) -> int:
        try:
            if int(text) >= least:
                return int(text)
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"it is a whole number, {least} or more, not {text!r}")
    return number


def heed_signals() -> None:
    """Lets signals that end a process end it as an exception does, with all that is cleared up then."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as it is under nohup
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def keep(path: Path, results) -> None:
    """Writes the results as JSON, in one step."""
    replace(path, (json.dumps(results, indent=1) + "\n").encode())
