"""Runs the book's notebooks without a browser.

    run.py [--profile full|smoke] [--set "epochs=2 lr=0.02"] [NOTEBOOK ...]

Executed notebooks land in build/. A table says how each went; one that fails makes the command fail and is named with
its cell and its error. See `make help` for the make targets that call this.
"""

import argparse
import base64
import concurrent.futures
import difflib
import hashlib
import html
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError
from traitlets import CaselessStrEnum

import gotranslator
import kernel

CLONE = Path(__file__).resolve().parents[2]
NOTEBOOKS = CLONE / "notebooks"
BUILD = CLONE / "build"


class UserError(Exception):
    """Something that the caller can mend, told in one line."""


def find(names: list[str]) -> list[Path]:
    """The notebooks of these names, which may leave off what follows the number; all of them for none."""
    every = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not names:
        return every
    chosen = []
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb")
        matches = [path for path in every if path.stem == stem or path.stem.split("_")[0] == stem]
        if len(matches) != 1:
            raise UserError(f"there is no notebook {name}: there is {', '.join(path.stem for path in every)}")
        chosen += matches
    return chosen


def parameters_of(notebook) -> dict:
    """The notebook's parameters by name."""
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            return {p.name: p for p in gotranslator.GoTranslator.inspect(cell)}
    return {}


def checked(stem: str, notebook, settings: dict[str, str]) -> dict:
    """The settings as values of the parameters' types. A name or a value that does not fit is a UserError."""
    known = parameters_of(notebook)
    values = {}
    for name, text in settings.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UserError(f"{stem} has no parameter {name}{hint}: it has {', '.join(known) or 'none'}")
        try:
            values[name] = gotranslator.parse(name, known[name].inferred_type_name, known[name].default, text)
        except ValueError as error:
            raise UserError(f"{stem}: {error}") from None
    return values


def split_settings(text: str) -> dict[str, str]:
    """The settings in "epochs=2 lr=0.02"."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f'P="{text}" cannot be read: {error}') from None
    settings = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UserError(f'a parameter is set as name=value, not {word!r}: for instance P="epochs=2 lr=0.02"')
        settings[name] = value
    return settings


def source_hash(notebook) -> str:
    """Identifies what a notebook says and does: its cells and smoke settings, not what they printed."""
    about = [[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in notebook.cells]
    about.append(notebook.metadata.get("convbook", {}).get("smoke"))
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def error_in(cell, fallback: str) -> str:
    """What went wrong in a cell, in one line: its own error, a panic, or what the compiler says."""
    printed = "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream" and o.name == "stderr")
    for line in printed.splitlines():
        if line.startswith(("error: ", "panic: ")):
            return line.removeprefix("error: ")
    for output in cell.outputs:
        page = output.get("data", {}).get("text/html", "")
        told = re.findall(r'gonb-err-location">[^<]*</span></span>(.*?)<div class="gonb-err-context">', page, re.S)
        if told:
            return "; ".join(html.unescape(re.sub(r"<[^>]*>", "", line)).strip() for line in told)
    lines = [line for line in printed.splitlines() if line.strip() and not line.startswith("exit status")]
    return lines[-1].strip() if lines else fallback


class SocketFiles(AsyncKernelManager):
    """Talks to the kernel through files. Of several kernels that start at once, two may be given the same TCP port."""

    transport = CaselessStrEnum(["ipc"], "ipc")

    def _ip_default(self) -> str:  # where the files are: a folder of this kernel's own
        return str(Path(tempfile.mkdtemp(prefix="convbook-")) / "kernel")

    def cleanup_ipc_files(self) -> None:
        shutil.rmtree(Path(self.ip).parent, ignore_errors=True)


def execute(path: Path, output: Path, values: dict) -> dict:
    """Runs one notebook and tells how it went."""
    started = time.monotonic()
    row = {"notebook": path.stem, "outcome": "ok", "error": ""}
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(str(path), str(output), values, kernel_name=kernel.NAME, language="go",
                                   cwd=str(NOTEBOOKS), progress_bar=False, start_timeout=120,
                                   kernel_manager_class=SocketFiles)
    except PapermillExecutionError as error:
        row["outcome"] = "failed"
        done = nbformat.read(output, 4)
        for index, cell in enumerate(done.cells):
            if cell.cell_type == "code" and any(o.output_type == "error" for o in cell.outputs):
                body = cell.source.split("%%\n")[-1]
                first = next((line for line in body.splitlines() if line.strip()), "")
                row["error"] = f"cell {cell.execution_count} ({first.strip()}): {error_in(cell, error.evalue)}"
                break
    except Exception as error:  # the kernel did not start or died: the other notebooks still run
        row["outcome"] = "failed"
        row["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    row["seconds"] = time.monotonic() - started
    row["cells"] = sum(cell.cell_type == "code" for cell in nbformat.read(path, 4).cells)
    return row


def table(rows: list[dict]) -> str:
    lines = [["notebook", "cells", "seconds", "outcome"]]
    lines += [[r["notebook"], str(r["cells"]), f"{r['seconds']:.1f}", r["outcome"]] for r in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), line[1].rjust(widths[1]), line[2].rjust(widths[2]), line[3]]) for line in lines)


def joined(outputs: list) -> list:
    """The outputs with texts that follow each other made one, as a browser does while a cell runs."""
    merged = []
    for output in outputs:
        if merged and output.output_type == "stream" and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def write_back(path: Path, executed: Path, seconds: float) -> None:
    """Puts what an execution printed into the committed notebook, with what it came from."""
    notebook, done = nbformat.read(path, 4), nbformat.read(executed, 4)
    device = re.search(r"xla:\w+[^\n\\\"]*PJRT [\d.]+", json.dumps(done.cells, ensure_ascii=False))
    for cell, ran in zip(notebook.cells, done.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = joined(ran.outputs), ran.execution_count
    notebook.metadata["convbook"] = {
        **notebook.metadata.get("convbook", {}),
        "source": source_hash(notebook),
        "device": device.group(0) if device else "",
        "seconds": round(seconds, 1),
    }
    replace(path, (nbformat.writes(notebook) + "\n").encode())


def replace(path: Path, content: bytes) -> None:
    """Writes a file in one step."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def save_figures(executed: Path) -> None:
    """Writes the pictures of cells tagged figure:NAME to figures/NAME.png."""
    for cell in nbformat.read(executed, 4).cells:
        for tag in cell.metadata.get("tags", []):
            kind, _, name = tag.partition(":")
            pictures = [o.data["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
            if kind == "figure" and pictures:
                replace(CLONE / "figures" / f"{name}.png", base64.b64decode(pictures[-1]))


WIDEST = 95  # characters of code that a cell shows without scrolling


def formatted(source: str) -> str:
    """A cell's code as gofmt writes it. Lines that begin with % are the kernel's; %% opens func main."""
    commands, code = [], source.split("\n")
    while code and code[0].startswith("%") and code[0] != "%%":
        commands.append(code.pop(0))
    head, body = (code[: code.index("%%")], code[code.index("%%") + 1 :]) if "%%" in code else (code, None)
    program = "package p\n\n" + "\n".join(head) + ("" if body is None else "\n\nfunc main() {\n" + "\n".join(body) + "\n}")
    done = subprocess.run(["gofmt"], input=program, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr.splitlines()[0])
    head, opened, body = done.stdout.removeprefix("package p\n").strip("\n").partition("func main() {\n")
    parts = ["\n".join(commands)] if commands else []
    if head.strip():
        parts.append(head.strip("\n") + ("\n" if opened else ""))
    if opened:
        parts.append("\n".join(["%%"] + [line.removeprefix("\t") for line in body.rstrip("\n").removesuffix("}").strip("\n").split("\n")]))
    return "\n".join(parts)


def check(paths: list[Path]) -> None:
    """Makes sure that the notebooks are written as they should be, and were executed as they are now."""
    for path in paths:
        notebook = nbformat.read(path, 4)
        about = notebook.metadata.get("convbook", {})
        if not about.get("smoke") and parameters_of(notebook):
            raise UserError(f"{path.stem} has parameters but no smoke settings in its metadata")
        for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
            where = f"{path.stem}, code cell {number + 1}"
            for line in cell.source.expandtabs(4).split("\n"):
                if len(line) > WIDEST:
                    raise UserError(f"{where} has a line of {len(line)} characters, more than the {WIDEST} that can be seen: {line.strip()}")
            try:
                wanted = formatted(cell.source)
            except ValueError as error:
                raise UserError(f"{where} is not Go: {error}") from None
            if cell.source != wanted:
                raise UserError(f"{where} is not formatted as gofmt does it; it should be:\n{wanted}")
        if about.get("source") != source_hash(notebook):
            raise UserError(f"{path.stem} changed since it was executed: run `make book NB={path.stem}`")


def run(options) -> int:
    paths = find(options.notebooks)
    if options.check:
        check(paths)
        return 0
    settings = split_settings(options.set)
    if settings and len(paths) != 1:
        raise UserError(f"parameters are for one notebook: say which with NB=, for instance NB={paths[0].stem}")
    out = BUILD / ("book" if options.book else options.profile)
    jobs = []
    for path in paths:
        notebook = nbformat.read(path, 4)
        chosen = dict(notebook.metadata.get("convbook", {}).get("smoke", {})) if options.profile == "smoke" else {}
        chosen = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in chosen.items()}
        values = checked(path.stem, notebook, {**chosen, **settings})
        jobs.append((path, out / path.name, values))

    if options.profile == "smoke":  # it must train, not find runs of before
        shutil.rmtree(out / "runs", ignore_errors=True)
        os.environ["CONVBOOK_RUNS"] = str(out / "runs")
    # Every notebook is a kernel of its own. Those of the full profile use all cores to train, so they take turns.
    at_once = options.jobs or ((os.cpu_count() or 1) if options.profile == "smoke" else 1)
    rows = []
    with concurrent.futures.ProcessPoolExecutor(at_once) as pool:
        waiting = {pool.submit(execute, *job): job for job in jobs}
        for future in concurrent.futures.as_completed(waiting):
            row = future.result()
            rows.append(row)
            print(f"{row['notebook']}: {row['outcome']} in {row['seconds']:.1f} s", flush=True)
    rows.sort(key=lambda row: row["notebook"])
    print("\n" + table(rows))
    failed = [row for row in rows if row["outcome"] != "ok"]
    for row in failed:
        print(f"\n{row['notebook']}, {row['error']}", file=sys.stderr)
    if options.book:
        for row, job in zip(rows, sorted(jobs)):
            if row["outcome"] == "ok":
                write_back(job[0], job[1], row["seconds"])
                save_figures(job[1])
    print(f"\nexecuted notebooks are in {os.path.relpath(out)}")
    return 1 if failed else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", help="names or numbers; all if none")
    parser.add_argument("--profile", default="full", help="full (the default) or smoke")
    parser.add_argument("--set", default="", help='parameters of the notebook, as in "epochs=2 lr=0.02"')
    parser.add_argument("--jobs", type=int, default=0, help="notebooks at the same time")
    parser.add_argument("--book", action="store_true", help="put the outputs into the committed notebooks and figures/")
    parser.add_argument("--check", action="store_true", help="only check that the committed notebooks are up to date")
    options = parser.parse_args(arguments)
    try:
        if options.profile not in ("full", "smoke"):
            raise UserError(f"there is no profile {options.profile}: there is full and smoke")
        if options.book and (options.set or options.profile != "full"):
            raise UserError("the book's notebooks are executed at their full settings: no parameters, no other profile")
        return run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
