"""Reads the book as a reader does: starts JupyterLab as `make lab` does, opens it in a real browser, looks at a
notebook in the dark theme and in a narrow window, runs it cell by cell with Shift + Enter, moves sliders, draws digits,
and watches a training. Screenshots land in build/browser/. Any dialog, error, message on stderr, broken or overflowing
picture makes it fail.

    browser.py [NOTEBOOK ...]       10_mnist_fc_vs_cnn if none is named
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import nbformat
from playwright.sync_api import TimeoutError, sync_playwright

from browser_live import IDLE, live
from browser_looks import looks
from browser_touch import touch
from command import SIGNALS
from files import replace
from lab import Lab
from run import BUILD, UserError, find

OUT = BUILD / "browser"
PATIENCE = 300  # seconds that a cell may take

# The state of the notebook's cells, from JupyterLab's own model.
CELLS = """() => {
  const notebook = jupyterapp.shell.currentWidget.content;
  return {
    active: notebook.activeCellIndex,
    kernel: jupyterapp.shell.currentWidget.sessionContext.kernelDisplayName,
    cells: Array.from(notebook.model.cells).map(cell => ({
      type: cell.type, source: cell.sharedModel.getSource(), count: cell.executionCount ?? null,
      outputs: cell.type === 'code' ? cell.outputs.toJSON() : []}))};
}"""

# Whether a cell has ended, or waits for the reader to touch something.
OVER = """index => {
  const cell = jupyterapp.shell.currentWidget.content.widgets[index];
  if (cell.model.executionCount !== null && cell.model.executionState === 'idle') return 'idle';
  return cell.node.querySelector('.convbook-touch')?.dataset.milliseconds ? 'touch' : null; }"""

# What is wrong with the pictures and texts that can be seen.
FLAWS = """() => {
  const flaws = [];
  for (const image of document.querySelectorAll('.jp-OutputArea-output img')) {
    if (!image.complete || image.naturalWidth === 0) flaws.push('a picture is broken');
    const area = image.closest('.jp-OutputArea-output');
    if (image.getBoundingClientRect().width > area.getBoundingClientRect().width + 1)
      flaws.push('a picture is wider than its cell');
  }
  for (const text of document.querySelectorAll('.jp-OutputArea-output pre'))
    if (text.scrollWidth > text.clientWidth + 1)
      flaws.push('text is wider than its cell: ' + text.textContent.slice(0, 60));
  return flaws;
}"""


def chromium() -> str:
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    raise UserError("no chromium found: install it (on Debian: sudo apt install chromium) or set CHROMIUM to its path")


def settle(page) -> None:
    """Waits until the notebook is open and its kernel connected, without anything asked."""
    ready = ("() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.connectionStatus"
             " === 'connected'")
    try:
        page.wait_for_function(ready, timeout=60_000)
    except TimeoutError:
        page.screenshot(path=OUT / "not-ready.png")
        raise UserError(f"the notebook did not open within a minute: see {OUT / 'not-ready.png'}") from None
    if page.locator(".jp-Dialog").count():
        page.screenshot(path=OUT / "dialog.png")
        raise UserError(f"JupyterLab asks something: {page.locator('.jp-Dialog').inner_text()!r}")


def read(page, url: str, token: str, stem: str) -> list[str]:
    """Runs a notebook to its end and returns what is wrong."""
    page.goto(f"{url}lab/tree/notebooks/{stem}.ipynb?token={token}&reset")
    settle(page)
    flaws = []
    page.evaluate("() => { const n = jupyterapp.shell.currentWidget.content; n.activeCellIndex = 0; "
                  "n.mode = 'command'; "
                  "return jupyterapp.commands.execute('notebook:clear-all-cell-outputs'); }")
    page.locator(".jp-Notebook").first.focus()
    total = len(page.evaluate(CELLS)["cells"])
    for index in range(total):
        before = page.evaluate(CELLS)
        if before["active"] != index:
            return flaws + [f"{stem}: cell {before['active']} is active, not {index}"]
        started = time.monotonic()
        page.keyboard.press("Shift+Enter")
        code = before["cells"][index]["type"] == "code"
        if code and page.wait_for_function(OVER, arg=index, timeout=PATIENCE * 1000).json_value() == "touch":
            page.screenshot(path=OUT / f"{stem}-{index:02d}-touch.png")
            page.locator(".convbook-done").click()
            page.wait_for_function(IDLE, arg=index, timeout=PATIENCE * 1000)
            page.evaluate("i => { const n = jupyterapp.shell.currentWidget.content; n.activeCellIndex = i; "
                          "n.mode = 'command'; }", index + 1)
            page.locator(".jp-Notebook").first.focus()
        seconds = time.monotonic() - started
        page.wait_for_timeout(150)  # for outputs to be painted
        cell = page.evaluate(CELLS)["cells"][index]
        name = f"{stem}, cell {index}"
        if cell["type"] == "code":
            print(f"{name}: {seconds:.1f} s, {len(cell['outputs'])} outputs", flush=True)
        for output in cell["outputs"]:
            if output["output_type"] == "error" or output.get("name") == "stderr":
                flaws.append(f"{name}: {json.dumps(output)[:300]}")
            if "image/png" in output.get("data", {}) and not output["metadata"].get("image/png", {}).get("alt"):
                flaws.append(f"{name}: a picture has no alternative text")
        flaws += [f"{name}: {flaw}" for flaw in page.evaluate(FLAWS)]
        page.evaluate("i => { const n = jupyterapp.shell.currentWidget.content; n.scrollToItem(i, 'start'); }", index)
        page.wait_for_timeout(150)
        page.screenshot(path=OUT / f"{stem}-{index:02d}.png")
    return flaws


def stop(number: int, frame) -> None:
    """Ends the program on a signal, but not before JupyterLab has ended and the notebooks are as they were."""
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    print(f"stopped ({signal.Signals(number).name})", file=sys.stderr)
    sys.exit(128 + number)


def restore(path: Path, content: bytes) -> None:
    """Takes back the outputs that the browser has saved, unless somebody has changed the notebook meanwhile."""
    def sources(text: bytes) -> list[str]:
        return [cell.source for cell in nbformat.reads(text.decode(), 4).cells]
    if sources(path.read_bytes()) == sources(content):
        replace(path, content)
    else:
        print(f"{path.name} was changed meanwhile: it keeps what was saved last, with the browser's outputs",
              file=sys.stderr)


def main(names: list[str]) -> int:
    for number in SIGNALS:
        signal.signal(number, stop)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    paths = find(names or ["10_mnist_fc_vs_cnn"])
    committed = {path: path.read_bytes() for path in paths}
    flaws = []
    try:
        with Lab(OUT / "lab.log", flags="--LabApp.expose_app_in_browser=True",
                 environment={"CONVBOOK_RUNS": str(OUT / "runs")}) as lab, sync_playwright() as playwright:
            print(f"JupyterLab answers after {lab.seconds:.1f} s")
            browser = playwright.chromium.launch(executable_path=chromium(), args=[
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync"])
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.goto(f"{lab.url}?token={lab.token}")  # where `make lab` sends the browser
            settle(page)
            page.wait_for_timeout(3000)  # long enough for a notice to pop up
            state = page.evaluate(CELLS)
            title = page.evaluate("() => jupyterapp.shell.currentWidget.title.label")
            page.screenshot(path=OUT / "start.png")
            if title != "00_start_here.ipynb":
                flaws.append(f"the first page is {title}")
            if state["kernel"] != "Go (convbook)":
                flaws.append(f"the kernel is {state['kernel']}")
            if notices := page.locator(".Toastify__toast").all_inner_texts():
                flaws.append(f"a notice pops up: {notices}")
            for path in paths:
                flaws += looks(page, OUT, lab.url, settle, path.stem)
                flaws += read(page, lab.url, lab.token, path.stem)
            flaws += touch(page, OUT, lab.url, settle)
            flaws += live(page, OUT, lab.url, settle)
            browser.close()
    finally:
        for path, content in committed.items():
            restore(path, content)
    for flaw in flaws:
        print(f"error: {flaw}", file=sys.stderr)
    print(f"screenshots are in {os.path.relpath(OUT)}")
    return 1 if flaws else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
