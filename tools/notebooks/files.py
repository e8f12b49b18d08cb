"""Writes files in one step. It needs nothing that has to be installed."""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def replaced(path: Path):
    """A file to write to, which takes the place of the one at the path when all is written, and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def replace(path: Path, content: bytes) -> None:
    """Writes a file in one step."""
    with replaced(path) as file:
        file.write(content)
