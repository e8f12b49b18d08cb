"""Runs the book's notebooks without a browser.

    run.py [--profile full|smoke] [--set "epochs=2 lr=0.02"] [NOTEBOOK ...]

Executed notebooks land in build/. A table says how each went; one that fails makes the command fail and is named with
its cell and its error. See `make help` for the make targets that call this.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import difflib
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import command

if __name__ == "__main__":
    command.begin()

import nbformat

import execution
import gotranslator
from command import SIGNALS
from execution import Execution, UserError, locked, one_line, told
from files import replace

CLONE = Path(__file__).resolve().parents[2]
NOTEBOOKS = CLONE / "notebooks"
BUILD = CLONE / "build"


def names_in(text: str, every: list[Path]) -> list[str]:
    """A notebook's name, which may have spaces, or several names, as in NB="10 11"."""
    if os.path.lexists(text) or any(text in (path.stem, path.name) for path in every):
        return [text]
    try:
        return shlex.split(text) or [text]
    except ValueError as error:
        raise UserError(f"NB={text!r} cannot be read: {error}") from None


def find(names: list[str]) -> list[Path]:
    """The notebooks of these names: a path, a name, or what the book's own begin with, such as 10. All for none."""
    every = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not names:
        return every
    chosen = []
    for name in [name for text in names for name in names_in(text, every)]:
        exact = [path for path in every if name in (path.stem, path.name)]
        if exact:
            matches = exact
        elif os.sep in name or name.endswith(".ipynb"):
            matches = [Path(name).absolute()] if os.path.lexists(name) else []
        else:
            matches = [path for path in every if path.stem.split("_")[0] == name]
            if len(matches) > 1:  # a reader's own, or copies
                matches = [path for path in matches if is_executed(path)] or matches
                shortest = min(matches, key=lambda path: len(path.stem))
                if all(path.stem.startswith(shortest.stem) for path in matches):
                    matches = [shortest]
        if len(matches) > 1:
            raise UserError(f"{name} can be {' or '.join(path.stem for path in matches)}: give one of these")
        if not matches:
            raise UserError(f"there is no notebook {name}: there is {', '.join(path.stem for path in every)}")
        chosen += matches
    chosen = list(dict.fromkeys(chosen))
    if len({path.name for path in chosen}) < len(chosen):
        raise UserError("two of the notebooks have the same name: run one after the other")
    return chosen


def opened(text: str):
    """The notebook that a file holds. A ValueError, or another error, tells what it is instead."""
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("it holds no object")
    if (version := content.get("nbformat")) not in (3, 4):
        raise ValueError(f"nbformat is 3 or 4, not {json.dumps(version)[:20]}: save it anew in JupyterLab")
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object[error.start]!a} is half a character: remove it") from None
    notebook = nbformat.reads(text, 4)
    nbformat.validate(notebook)
    return notebook


def read(path: Path):
    """A notebook. A UserError tells what is wrong with it."""
    if not path.is_file():
        raise UserError(f"{path.name} is no file")
    try:
        notebook = opened(path.read_text("utf8"))
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror}") from None
    except Exception as error:  # of many kinds, as the file may hold anything
        raise UserError(f"{path.name} is no notebook of Jupyter: {one_line(error)}") from None
    if not all(isinstance(part.metadata.get("papermill", {}), dict) for part in [notebook, *notebook.cells]):
        raise UserError(f"{path.name} has metadata that are not papermill's: remove papermill from them")
    about = notebook.metadata.get("convbook", {})
    if not isinstance(about, dict) or not all(isinstance(about.get(name, {}), dict) for name in ("smoke", "sweep")):
        raise UserError(f"{path.name} has metadata that are not the book's: convbook, smoke and sweep are objects")
    wanted = notebook.metadata.get("kernelspec", {}).get("language") or "go"
    if wanted != "go":
        raise UserError(f"{path.name} is written in {wanted}, but the book's kernel runs Go")
    return notebook


def number_of_cells(notebook) -> int:
    return len(code_cells(notebook))


def is_executed(path: Path) -> bool:
    """Whether `make book` wrote into a notebook."""
    try:
        return "source" in read(path).metadata.get("convbook", {})
    except UserError:
        return False


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
            shown = name if name.isprintable() else repr(name)
            raise UserError(f"{stem} has no parameter {shown}{hint}: it has {', '.join(known) or 'none'}")
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
        raise UserError(f"P={text!r} cannot be read: {error}") from None
    settings = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UserError(f'a parameter is set as name=value, not {word!r}: for instance P="epochs=2 lr=0.02"')
        if name in settings:
            shown = name if name.isprintable() else repr(name)
            raise UserError(f"{shown} is set twice: to {settings[name]!r} and to {value!r}")
        settings[name] = value
    return settings


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def source_hash(notebook) -> str:
    """Identifies what a notebook does: its code and smoke settings. Its text is not executed; `make claims` checks the
    figures in it."""
    about = [[cell.source, cell.metadata.get("tags", [])] for cell in code_cells(notebook)]
    about.append(notebook.metadata.get("convbook", {}).get("smoke"))
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def table(rows: list[dict]) -> str:
    lines = [["notebook", "cells", "seconds", "outcome"]]
    lines += [[r["notebook"], str(r["cells"]), f"{r['seconds']:.1f}", r["outcome"]] for r in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), line[1].rjust(widths[1]), line[2].rjust(widths[2]), line[3]])
        for line in lines)


def joined(outputs: list) -> list:
    """The outputs with texts that follow each other made one, as a browser does while a cell runs."""
    merged = []
    for output in outputs:
        if merged and output.output_type == "stream" and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def write_back(one: Execution, seconds: float) -> None:
    """Puts what an execution printed into the committed notebook, with what it came from."""
    notebook, done = nbformat.read(one.path, 4), nbformat.read(one.output, 4)
    if source_hash(done) != source_hash(notebook):
        raise UserError(f"its code was changed while it ran, so it keeps its outputs: those of the code before are in "
                        f"{os.path.relpath(one.output)}")
    for cell, ran in zip(code_cells(notebook), code_cells(done), strict=True):
        cell.outputs, cell.execution_count = joined(ran.outputs), ran.execution_count
    notebook.metadata["convbook"] = {
        **notebook.metadata.get("convbook", {}),
        "source": source_hash(notebook),
        "runs": [about(run) for run in one.runs()],
        "seconds": round(seconds, 1),
    }
    for gone in ("device", "outdated"):  # what earlier versions noted, and what is no longer so
        notebook.metadata["convbook"].pop(gone, None)
    replace(one.path, (nbformat.writes(notebook) + "\n").encode())


def about(run: dict) -> dict:
    """What a notebook keeps of a run that it used."""
    return {"run": Path(run["dir"]).name, "network": run["result"]["network"], "data": run["data"],
            "recipe": run["recipe"], "device": run["result"]["device"]}


def shown_figures() -> set[str]:
    """The names of the pictures in figures/ that README or a notebook's text shows."""
    texts = [(CLONE / "README.md").read_text()]
    for path in NOTEBOOKS.glob("*.ipynb"):
        texts += [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    return set(re.findall(r"figures/([\w-]+)\.png", "\n".join(texts)))


def save_figures(executed: Path, shown: set[str]) -> None:
    """Writes the pictures of cells tagged figure:NAME to figures/NAME.png, those that are shown somewhere."""
    for cell in nbformat.read(executed, 4).cells:
        for tag in cell.metadata.get("tags", []):
            kind, _, name = tag.partition(":")
            pictures = [o.data["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
            if kind == "figure" and name in shown and pictures:
                replace(CLONE / "figures" / f"{name}.png", base64.b64decode(pictures[-1]))


WIDEST = 95  # characters of code that a cell shows without scrolling


def formatted(source: str) -> str:
    """A cell's code as gofmt writes it. Lines that begin with % are the kernel's; %% opens func main."""
    commands, code = [], source.split("\n")
    while code and code[0].startswith("%") and code[0] != "%%":
        commands.append(code.pop(0))
    head, body = (code[: code.index("%%")], code[code.index("%%") + 1 :]) if "%%" in code else (code, None)
    main = "" if body is None else "\n\nfunc main() {\n" + "\n".join(body) + "\n}"
    program = "package p\n\n" + "\n".join(head) + main
    done = subprocess.run(["gofmt"], input=program, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr.splitlines()[0])
    text, opened = done.stdout.removeprefix("package p\n").strip("\n"), "func main() {\n"
    head, opened, body = (text, "", "") if body is None else text.rpartition(opened)  # a string may have one, too
    parts = ["\n".join(commands)] if commands else []
    if head.strip():
        parts.append(head.strip("\n") + ("\n" if opened else ""))
    if opened:
        lines = body.rstrip("\n").removesuffix("}").strip("\n").split("\n")
        parts.append("\n".join(["%%"] + [line.removeprefix("\t") for line in lines]))
    return "\n".join(parts)


def check(paths: list[Path]) -> None:
    """Makes sure that the notebooks are written as they should be, and were executed as they are now."""
    for path in paths:
        notebook = read(path)
        about = notebook.metadata.get("convbook", {})
        if not about.get("smoke") and parameters_of(notebook):
            raise UserError(f"{path.stem} has parameters but no smoke settings in its metadata")
        for number, cell in enumerate(code_cells(notebook)):
            where = f"{path.stem}, code cell {number + 1}"
            for line in cell.source.expandtabs(4).split("\n"):
                if len(line) > WIDEST:
                    raise UserError(f"{where} has a line of {len(line)} characters, more than the {WIDEST} that can be "
                                    f"seen: {line.strip()}")
            try:
                wanted = formatted(cell.source)
            except ValueError as error:
                raise UserError(f"{where} is not Go: {error}") from None
            if cell.source != wanted:
                raise UserError(f"{where} is not formatted as gofmt does it; it should be:\n{wanted}")
        if about.get("source") == source_hash(notebook):
            continue
        # Outputs of a chapter that trains for an hour may be of its cells as they were, if its metadata says why.
        if not about.get("outdated"):
            raise UserError(f"{path.stem} changed since it was executed: run `make book NB={path.stem}`")
        print(f"note: {path.stem} has outputs of an earlier version ({about['outdated']}): "
              f"`make book NB={path.stem}` renews them", flush=True)


def settings_of(notebook, kind: str) -> dict[str, str]:
    """The settings in a notebook's metadata, as they would be given on the command line: those of its smoke profile, or
    those of a sweep."""
    settings = notebook.metadata.get("convbook", {}).get(kind, {})
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in settings.items()}


@contextlib.contextmanager
def signals_noted():
    """A list to which the signals that ask this program to stop are added, instead of ending it."""
    noted = []
    before = [signal.signal(number, lambda number, frame: noted.append(number)) for number in SIGNALS]
    try:
        yield noted
    finally:
        for number, handler in zip(SIGNALS, before):
            signal.signal(number, handler)


def executed(one: Execution) -> dict:
    """Executes a notebook and tells how it went."""
    started = time.time()
    row = {"notebook": one.path.stem, "cells": one.cells, "seconds": 0.0, "outcome": "ok", "error": ""}
    try:
        one.run()
    except UserError as error:
        row.update(outcome="failed", error=str(error))
    row["seconds"] = time.time() - started
    return row


def execute(executions: list[Execution], at_once: int, options) -> list[dict]:
    """Executes notebooks, so many at a time, and tells how each went. On a signal all stop, and the program ends."""
    rows = []
    with signals_noted() as noted, concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        waiting = {pool.submit(executed, one) for one in executions}
        try:
            while waiting and not noted:
                done, waiting = concurrent.futures.wait(waiting, 1, concurrent.futures.FIRST_COMPLETED)
                for row in (future.result() for future in done):
                    rows.append(row)
                    print(f"{row['notebook']}: {row['outcome']} in {row['seconds']:.1f} s", flush=True)
                for one in executions:
                    one.watch()
                    if going := one.going():
                        print(going, flush=True)
            if noted:
                told = f"stopped ({signal.Signals(noted[0]).name})"
                if options.profile != "smoke":
                    told += ": a training keeps what it learned, and the same command goes on from there"
                print(told, file=sys.stderr, flush=True)
        finally:
            for one in executions:
                one.stop("stopped")
    if noted:
        sys.exit(128 + noted[0])
    return rows


@contextlib.contextmanager
def own_runs(out: Path):
    """Has trainings go into a folder of this command's own, which is empty, and gone afterwards. A lock on it tells
    other commands that it is in use: they remove only what a command left that was killed."""
    with open(out / ".lock", "a") as all_folders:
        fcntl.flock(all_folders, fcntl.LOCK_EX)  # or a folder could be seen before it is locked
        for left in (path for path in out.glob("runs*") if path.is_dir()):
            with contextlib.suppress(BlockingIOError), locked(left):
                shutil.rmtree(left, ignore_errors=True)
        mine = tempfile.mkdtemp(prefix="runs-", dir=out)
        lock = contextlib.ExitStack()
        lock.enter_context(locked(Path(mine)))
    with lock:
        os.environ["CONVBOOK_RUNS"] = mine
        try:
            yield
        finally:
            shutil.rmtree(mine, ignore_errors=True)


@contextlib.contextmanager
def only_book(out: Path):
    """Refuses what writes into the committed notebooks while another command does."""
    lock = contextlib.ExitStack()
    try:
        lock.enter_context(locked(out))
    except BlockingIOError:
        raise UserError("another `make book` is running: wait until it ends") from None
    with lock:
        yield


def alone(options, out: Path):
    """Keeps what a command does apart from what others do at the same time."""
    if options.book:
        return only_book(out)
    return own_runs(out) if options.profile == "smoke" else contextlib.nullcontext()  # it trains, and finds no runs


def keep(executions: list[Execution], seconds: dict[str, float]) -> bool:
    """Puts the executions that went well, which took these seconds, into the book. Tells those that cannot be kept, and
    whether there are none."""
    shown, kept = shown_figures(), True
    for one in executions:
        if one.path.stem in seconds:
            try:
                write_back(one, seconds[one.path.stem])
                save_figures(one.output, shown)
            except UserError as error:
                kept = False
                print(f"\n{one.path.stem}: {error}", file=sys.stderr)
    return kept


def run(options) -> int:
    paths = find(options.notebooks)
    if options.check:
        check(paths)
        return 0
    settings = split_settings(options.set)
    if settings and len(paths) != 1:
        raise UserError(f"parameters are for one notebook: say which with NB=, for instance NB={paths[0].stem}")
    if options.book and (elsewhere := [str(path) for path in paths if path.parent != NOTEBOOKS]):
        raise UserError(f"{elsewhere[0]} is not in notebooks/, so it is not the book's")
    execution.ready()
    out = BUILD / ("book" if options.book else options.profile)
    out.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=out).close()  # it can be written
    executions, rows = [], []
    for path in paths:
        try:
            notebook = read(path)
            chosen = settings_of(notebook, "smoke") if options.profile == "smoke" else {}
            values = checked(path.stem, notebook, {**chosen, **settings})
            executions.append(Execution(path, out / path.name, values, number_of_cells(notebook)))
        except UserError as error:
            if len(paths) == 1:
                raise
            rows.append({"notebook": path.stem, "cells": 0, "seconds": 0.0, "outcome": "failed", "error": str(error)})

    # Every notebook is a kernel of its own. Those of the full profile use all cores to train, so they take turns.
    at_once = options.jobs or ((os.cpu_count() or 1) if options.profile == "smoke" else 1)
    with alone(options, out):
        rows = sorted(rows + execute(executions, at_once, options), key=lambda row: row["notebook"])
        print("\n" + table(rows))
        failed = [row for row in rows if row["outcome"] != "ok"]
        for row in failed:
            print(f"\n{row['notebook']}, {row['error']}", file=sys.stderr)
        took = {row["notebook"]: row["seconds"] for row in rows if row["outcome"] == "ok"}
        kept = not options.book or keep(executions, took)
    print(f"\nexecuted notebooks are in {os.path.relpath(out)}")
    return 1 if failed or not kept else 0


def check_profile(profile: str) -> None:
    if profile not in ("full", "smoke"):
        raise UserError(f"there is no profile {profile or repr('')}: there is full and smoke")


def obey(options: argparse.Namespace) -> int:
    """Does what the options say, if it can be done."""
    check_profile(options.profile)
    if options.jobs < 0:
        raise UserError(f"--jobs is a whole number, 0 or more, not {options.jobs}")
    if options.book and (options.set or options.profile != "full"):
        raise UserError("the book's notebooks are executed at their full settings: no parameters, no other profile")
    return run(options)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", help="names, numbers or paths; all if none")
    parser.add_argument("--profile", default="full", help="full (the default) or smoke")
    parser.add_argument("--set", default="", help='parameters of the notebook, as in "epochs=2 lr=0.02"')
    parser.add_argument("--jobs", type=int, default=0, help="notebooks at the same time")
    parser.add_argument("--book", action="store_true", help="put the outputs into the committed notebooks and figures/")
    parser.add_argument("--check", action="store_true", help="only check that the committed notebooks are up to date")
    options = parser.parse_args(arguments)
    return told(lambda: obey(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
