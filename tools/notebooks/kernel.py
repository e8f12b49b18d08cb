"""Installs the book's Go kernel and JupyterLab's defaults into the virtual environment that runs this file, and nowhere
else.

    kernel.py [NAME ...]        the kernel gets these environment variables with the values that they have now
"""

import json
import os
import sys
from pathlib import Path

from files import replace, replaced

NAME = "convbook"
LINKER = "convbook-link"


def spec(clone: Path, settings: dict[str, str]) -> dict:
    """The kernel's description: GoNB, with this clone's packages and tools, and with the settings of Go that `make`
    uses: the user's own do not matter to the cells."""
    tools = clone / ".venv" / "bin"
    return {
        "argv": [
            str(tools / "gonb"), "--kernel", "{connection_file}", f"--go_work={clone}",
            "--raw_error",  # errors as errors of Jupyter's, not as pages among a cell's outputs
            # What GoNB notes of its work goes to a file: Jupyter's terminal stays readable.
            "--logtostderr=false", f"--extra_log={clone}/.venv/gonb.log", f"--log_dir={clone}/.venv",
            "--stderrthreshold=FATAL",
        ],
        "display_name": "Go (convbook)",
        "language": "go",
        "interrupt_mode": "message",
        "env": {
            **settings,
            # GoNB looks for goimports and gopls here; Jupyter puts in the user's own PATH, and takes $$ for a $.
            "PATH": f"{tools}{os.pathsep}".replace("$", "$$") + "${PATH}",
            # Every cell is a program that is built and linked: without debug information it takes half the time. The
            # linker is found in PATH, for GOFLAGS has quotation marks of one kind only, and this folder's name may have
            # others.
            "GOFLAGS": f"'-ldflags=-s -extld={LINKER}' -buildvcs=false",
            "GOWORK": "auto",  # the one that GoNB makes
            # Where XLA's plugin is, for notebooks in other folders (lib/device/internal/pluginpath).
            "CONVBOOK_FOLDER": str(clone).replace("$", "$$"),
        },
    }


DEFAULTS = {
    # JupyterLab asks nothing on its first start.
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    # In a narrow window code is wrapped, not cut.
    "@jupyterlab/notebook-extension:tracker": {"codeCellConfig": {"lineWrap": True}},
}


def write(path: Path, content: dict) -> None:
    replace(path, (json.dumps(content, indent=2) + "\n").encode())


def install(clone: Path, settings: dict[str, str]) -> None:
    share = Path(sys.prefix) / "share" / "jupyter"
    write(share / "kernels" / NAME / "kernel.json", spec(clone, settings))
    write(share / "lab" / "settings" / "overrides.json", DEFAULTS)
    linker = Path(sys.prefix) / "bin" / LINKER
    for note in linker.parent.glob(f"{LINKER}-known*"):  # gcc may have changed
        note.unlink()
    with replaced(linker) as file:
        file.write((clone / "tools" / "notebooks" / "link").read_bytes())
        os.fchmod(file.fileno(), 0o755)


if __name__ == "__main__":
    install(Path(__file__).resolve().parents[2], {name: os.environ[name] for name in sys.argv[1:]})
