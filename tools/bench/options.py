"""What the commands here take on the command line."""

import argparse
from collections.abc import Callable


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
