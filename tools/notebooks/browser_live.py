"""Watches a training in a real browser, as a reader does: see browser.py."""

import json
import re
import time
from pathlib import Path

NAME = "training"
HEAD = """%noautoget
import (
\t"example.org/convbook/lib/cell"
\t"example.org/convbook/lib/dataset"
\t"example.org/convbook/lib/look"
\t"example.org/convbook/lib/train"
\t"example.org/convbook/lib/zoo"
)"""
TRAINING = """var seen = train.Task{
\tNet: zoo.CNN(6), Data: dataset.MNIST().Normalize(0.1307, 0.3081),
\tConfig: train.Config{
\t\tEpochs: 10, Batch: 64, Seed: %d, Loss: train.NLL, Optimizer: train.SGD(%s, 0.5), Progress: look.Live(),
\t},
}

%%%%
cell.Must(seen.Fit())"""

RUNS = """%%
cell.Show(cell.Must(look.Runs("CNN")))"""

TYPO = """%%
fmt.Println("no import is needed for this")
trian.Find("last")"""

# What a reader sees below a cell: what the line and the chart say, and what is too wide.
SEEN = """index => {
  const outputs = Array.from(jupyterapp.shell.currentWidget.content.widgets[index].node
    .querySelectorAll('.jp-OutputArea-output'));
  return {
    texts: outputs.map(output => output.innerText),
    charts: outputs.map(output => Array.from(output.querySelectorAll('svg')).map(svg => svg.outerHTML)).flat(),
    images: outputs.map(output => Array.from(output.querySelectorAll('img')).map(image => image.alt)).flat(),
    narrow: outputs.filter(output => output.scrollWidth > output.clientWidth + 1).length};
}"""
OUTPUTS = """index => jupyterapp.shell.currentWidget.content.model.cells.get(index).outputs.toJSON()"""
IDLE = """index => { const c = jupyterapp.shell.currentWidget.content.model.cells.get(index);
  return c.executionCount !== null && c.executionState === 'idle'; }"""
KERNEL = "() => jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status"
TIME = 300_000  # milliseconds that a training may take


def write(path: Path) -> None:
    """A notebook with three trainings, one of them again with another learning rate, a cell that lists them, and one
    with a typing error."""
    trainings = [TRAINING % settings for settings in [(1, "0.01"), (2, "0.01"), (3, "0.01"), (3, "0.03")]]
    sources = [HEAD, *trainings, RUNS, TYPO]
    cells = [{"cell_type": "code", "execution_count": None, "id": f"c{i}", "metadata": {}, "outputs": [],
              "source": source} for i, source in enumerate(sources)]
    path.write_text(json.dumps({
        "cells": cells, "nbformat": 4, "nbformat_minor": 5,
        "metadata": {"kernelspec": {"display_name": "Go (convbook)", "language": "go", "name": "convbook"}}}))


def run(page, index: int) -> None:
    """Runs a cell as Shift + Enter does, and does not wait."""
    page.evaluate("i => { const n = jupyterapp.shell.currentWidget.content; n.activeCellIndex = i; "
                  "n.mode = 'command'; }", index)
    page.locator(".jp-Notebook").first.focus()
    page.keyboard.press("Shift+Enter")


def theme(page, name: str) -> None:
    page.evaluate("name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name)
    page.wait_for_timeout(1000)


def live(page, out: Path, url: str, settle) -> list[str]:
    """Trains in a notebook of its own, in the folder of the screenshots, and returns what is wrong."""
    path = out / f"{NAME}.ipynb"
    write(path)
    page.goto(f"{url}lab/tree/build/{out.name}/{NAME}.ipynb?reset")
    settle(page)
    run(page, 0)
    page.wait_for_function(IDLE, arg=0, timeout=TIME)
    return (mistyped(page, out, 6) + watch(page, out) + saved(page, path) + stop(page, out)
            + reload(page, out, settle) + compare(page, out))


def mistyped(page, out: Path, index: int) -> list[str]:
    """Runs a cell with a typing error: what is wrong, and where, is said in a few lines."""
    run(page, index)
    page.wait_for_function(IDLE, arg=index, timeout=TIME)
    page.screenshot(path=out / f"{NAME}-mistyped.png")
    told = "\n".join(page.evaluate(SEEN, index)["texts"])
    print(f"{NAME}: a typing error gives {told!r}")
    if "undefined: trian" not in told or "line 3" not in told or len(told.splitlines()) > 6:
        return [f"a typing error gives {told!r}"]
    return []


def watch(page, out: Path) -> list[str]:
    """Looks on while a cell trains."""
    flaws, drawn, statuses = [], [], []
    run(page, 1)
    views = {"narrow": (800, 1000), "dark": (1280, 1000), "light": (1280, 1000)}
    while not page.evaluate(IDLE, 1):
        seen = page.evaluate(SEEN, 1)
        if len(seen["texts"]) > 2:
            flaws.append(f"updates pile up: {seen['texts']}")
            break
        if seen["charts"] and seen["charts"] != (drawn or [None])[-1]:
            drawn.append(seen["charts"])
            statuses.append(seen["texts"][-1].splitlines()[-1])
            if views and not statuses[-1].startswith("epoch 1 "):  # there is something to see
                name, (width, height) = next(iter(views.items()))
                del views[name]
                page.set_viewport_size({"width": width, "height": height})
                theme(page, "JupyterLab Dark" if name == "dark" else "JupyterLab Light")
                page.evaluate("i => jupyterapp.shell.currentWidget.content.scrollToItem(i, 'end')", 1)
                page.wait_for_timeout(800)
                if page.evaluate(SEEN, 1)["narrow"]:
                    flaws.append(f"a training is wider than its cell ({name})")
                page.screenshot(path=out / f"{NAME}-{name}.png")
        page.wait_for_timeout(300)
    page.set_viewport_size({"width": 1280, "height": 1000})
    page.screenshot(path=out / f"{NAME}-end.png")
    if views or len(drawn) < 5:
        flaws.append(f"a training is over after {len(drawn)} pictures, with no time for {list(views)}")
    where = re.compile(r"epoch \d+ of 10 · batch \d+ of 938 · \d+ images a second · .* gone, .* left")
    if not any(where.search(status) for status in statuses):
        flaws.append(f"a training says nothing of where it stands: {statuses}")
    longest = max((len("".join(charts)) for charts in drawn), default=0)
    print(f"{NAME}: {len(drawn)} pictures, the longest of {longest} characters")
    return flaws + left(page, 1)


def left(page, index: int) -> list[str]:
    """What is wrong with what a training left below its cell: a line and one picture."""
    outputs = page.evaluate(OUTPUTS, index)
    kinds = [["text/html", "text/plain"], ["image/png", "text/plain"]]
    if [sorted(output.get("data", {})) for output in outputs] != kinds:
        return [f"a training left {json.dumps(outputs)[:300]}"]
    told = "".join(outputs[0]["data"]["text/plain"])
    if not re.search(r"10 epochs in .*: test loss .*, test accuracy \d\d\.\d\d %", told):
        return [f"a training left the line {told!r}"]
    if not outputs[1]["metadata"]["image/png"].get("alt") or page.evaluate(SEEN, index)["images"] == []:
        return ["the picture of a training has no alternative text, or cannot be seen"]
    return []


def saved(page, path: Path) -> list[str]:
    """What is wrong with the notebook's file: it holds the picture, and nothing of what changed before."""
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(1000)
    text = path.read_text()
    print(f"{NAME}: the notebook has {len(text)} characters")
    if text.count('"image/png": "') != 1 or "<svg" in text or "<script" in text:
        return ["the saved notebook does not hold one picture"]
    return []


def begin(page, index: int) -> None:
    """Runs a cell and waits until it has trained for some seconds."""
    run(page, index)
    page.wait_for_function("i => jupyterapp.shell.currentWidget.content.widgets[i].node.querySelector('svg path')",
                           arg=index, timeout=TIME)
    page.wait_for_timeout(3000)


def stop(page, out: Path) -> list[str]:
    """Stops a training and goes on with it."""
    begin(page, 2)
    started = time.monotonic()
    page.evaluate("() => jupyterapp.commands.execute('notebook:interrupt-kernel')")
    page.wait_for_function(IDLE, arg=2, timeout=TIME)
    print(f"{NAME}: stopped after {time.monotonic() - started:.1f} s")
    page.wait_for_timeout(500)
    page.screenshot(path=out / f"{NAME}-stopped.png")
    outputs = page.evaluate(OUTPUTS, 2)
    line = "".join(outputs[0].get("data", {}).get("text/plain", ""))
    if "run it again to go on from there" not in line or "image/png" not in outputs[1].get("data", {}):
        return [f"a training that was stopped left {json.dumps(outputs)[:600]}"]
    run(page, 2)
    page.wait_for_function(IDLE, arg=2, timeout=TIME)
    flaws = left(page, 2)
    if " · goes on after step " not in page.evaluate(OUTPUTS, 2)[0]["data"]["text/plain"]:
        flaws.append("a training that was stopped began anew")
    return flaws


# What the card says that shows a cell which was running when the page was loaded.
CARD = """() => { const card = document.querySelector('.convbook-running:not([hidden])');
  return card && {text: card.innerText, drawn: Array.from(card.querySelectorAll('svg')).map(svg => svg.outerHTML)}; }"""


def reload(page, out: Path, settle) -> list[str]:
    """Reloads the page while a cell trains. JupyterLab shows nothing of what such a cell does from then on, but the
    book's card does, and the cell itself when it is run again."""
    begin(page, 3)
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    settle(page)
    page.wait_for_timeout(3000)  # for the card to fill
    before = page.evaluate(CARD)
    page.wait_for_timeout(3000)
    after = page.evaluate(CARD)
    page.screenshot(path=out / f"{NAME}-reloaded.png")
    kernel = page.evaluate(KERNEL)
    print(f"{NAME}: after a reload the kernel is {kernel}, and a card says {after and after['text'][-200:]!r}")
    flaws = [] if kernel == "busy" else [f"after a reload the kernel of a cell that trains is {kernel}"]
    if not after or "still running" not in after["text"] or not after["drawn"] or after == before:
        flaws.append(f"after a reload nothing says that a cell trains: {after}")
    run(page, 3)
    started = time.monotonic()
    page.wait_for_function(IDLE, arg=3, timeout=TIME)
    page.screenshot(path=out / f"{NAME}-again.png")
    print(f"{NAME}: run again, the cell answers after {time.monotonic() - started:.1f} s")
    if page.evaluate(CARD):
        flaws.append("the card is still there when the cell shows itself")
    return flaws + left(page, 3)


def compare(page, out: Path) -> list[str]:
    """Changes the learning rate: what is different is said, both trainings are drawn, and a table has all of them."""
    for index in (4, 5):
        run(page, index)
        page.wait_for_function(IDLE, arg=index, timeout=TIME)
    page.evaluate("i => jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start')", 4)
    page.wait_for_timeout(500)
    page.screenshot(path=out / f"{NAME}-compared.png")
    flaws = left(page, 4)
    outputs = page.evaluate(OUTPUTS, 4)
    told = "".join(outputs[0]["data"]["text/plain"])
    if not re.match(r"against the run of .* with \d\d\.\d\d %: lr 0\.01 → 0\.03, the rest the same\n", told):
        flaws.append(f"a training with another learning rate says {told!r}")
    drawn = "".join(outputs[1]["data"]["text/plain"])
    if "mean of 50, before from" not in drawn or "test, before from" not in drawn:
        flaws.append(f"the training before is not drawn: {drawn!r}")
    rows = "".join(page.evaluate(OUTPUTS, 5)[0]["data"]["text/plain"]).splitlines()
    if len(rows) < 5 or not re.search(r"\blr\b", rows[0]):
        flaws.append(f"the table of runs is {rows}")
    print(f"{NAME}: compared, {rows[:3]}")
    return flaws
