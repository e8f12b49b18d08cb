"""Moves sliders and draws digits in a real browser, as a reader does: see browser.py."""

import json
from pathlib import Path

from playwright.sync_api import TimeoutError

from browser_live import HEAD, IDLE, OUTPUTS, run, theme

NAME = "touch"
CELLS = [
    HEAD.replace('\t"example.org/convbook/lib/look"', '\t"example.org/convbook/lib/figure"')
        .replace('\t"example.org/convbook/lib/train"', '\t"example.org/convbook/lib/touch"\n'
                 '\t"example.org/convbook/lib/train"'),
    """%%
height := touch.Int("height", 3, 1, 9)
cell.OK(touch.Sliders(func() figure.Figure {
\treturn figure.Bars(figure.Chart{Title: "As high as the slider", X: "bar", Y: "height"}, []string{"only"},
\t\tfigure.NewSeries("height", []float64{height.Value()}))
}, height))
cell.Show("the slider is at", height.Int())""",
    """%%
cnn := train.Task{
\tNet: zoo.CNN(6), Data: dataset.MNIST().Normalize(0.1307, 0.3081),
\tConfig: train.Config{
\t\tEpochs: 1, Batch: 64, Seed: 1, Loss: train.NLL, Optimizer: train.SGD(0.01, 0.5), Progress: train.Quiet,
\t},
}
cell.OK(touch.Pad(cell.Must(cnn.Fit())))""",
]

# What stands in the page that a cell shows while it is touched.
PAGE = """index => {
  const cell = jupyterapp.shell.currentWidget?.content?.widgets?.[index]; // none while the page is loaded
  const root = cell?.node.querySelector('.convbook-touch');
  const answer = root?.querySelector('.convbook-answer');
  return root && {says: root.querySelector('[role=status]').textContent, title: answer.innerText,
    milliseconds: root.dataset.milliseconds ?? null, alt: answer.querySelector('img')?.alt,
    bars: Array.from(answer.querySelectorAll('.convbook-bars span')).map(share => parseInt(share.textContent)),
    wide: [root, answer].some(part => part.scrollWidth > part.clientWidth + 1)}; }"""
TIME = 120_000

# How digits are written: strokes through these points of a square with the side 1.
DIGITS = {
    1: [[(0.52, 0.15), (0.48, 0.85)]],
    7: [[(0.2, 0.2), (0.75, 0.2), (0.6, 0.5), (0.45, 0.85)]],
    0: [[(0.5, 0.15), (0.3, 0.3), (0.25, 0.55), (0.35, 0.8), (0.5, 0.87), (0.68, 0.75), (0.74, 0.5), (0.68, 0.27),
         (0.5, 0.15)]],
    4: [[(0.3, 0.15), (0.25, 0.5), (0.75, 0.5)], [(0.68, 0.15), (0.65, 0.88)]],
}


def write(path: Path) -> None:
    cells = [{"cell_type": "code", "execution_count": None, "id": f"t{i}", "metadata": {}, "outputs": [],
              "source": source} for i, source in enumerate(CELLS)]
    path.write_text(json.dumps({
        "cells": cells, "nbformat": 4, "nbformat_minor": 5,
        "metadata": {"kernelspec": {"display_name": "Go (convbook)", "language": "go", "name": "convbook"}}}))


def output(page, index: int):
    """The part of the page that a cell's touching happens in."""
    # By its number, since JupyterLab takes cells that are out of sight out of the page, and places there change.
    return page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{index}'] .convbook-touch")


def wait(page, index: int, condition: str, argument=None):
    """Waits until a condition on what stands in the page holds, and returns that."""
    page.wait_for_function(f"([index, argument]) => {{ const page = ({PAGE})(index); return page && ({condition}); }}",
                           arg=[index, argument], timeout=TIME)
    return page.evaluate(PAGE, index)


def shot(page, out: Path, index: int, name: str) -> None:
    page.evaluate("i => jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start')", index)
    page.wait_for_timeout(500)
    page.screenshot(path=out / f"{NAME}-{name}.png")


def touch(page, out: Path, url: str, settle) -> list[str]:
    """Touches what there is in a notebook of its own, in the folder of the screenshots; returns what is wrong."""
    path = out / f"{NAME}.ipynb"
    write(path)
    page.goto(f"{url}lab/tree/build/{out.name}/{NAME}.ipynb?reset")
    settle(page)
    run(page, 0)
    page.wait_for_function(IDLE, arg=0, timeout=TIME)
    return slide(page, out) + draw(page, out) + stopped(page) + reloaded(page, out, settle)


def slide(page, out: Path) -> list[str]:
    """Moves a slider, and is done."""
    run(page, 1)
    wait(page, 1, "page.milliseconds !== null")
    slider = output(page, 1).locator("input")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    seen = wait(page, 1, "page.alt.endsWith('only 7.00')")
    print(f"{NAME}: {seen}")
    shot(page, out, 1, "slider")
    output(page, 1).get_by_role("button", name="Done").click()
    page.wait_for_function(IDLE, arg=1, timeout=TIME)
    return ended(page, 1, "height 7", "only 7.00", "the slider is at")


def ended(page, index: int, *texts: str) -> list[str]:
    """What is wrong with what a cell that was touched left: a picture, and these texts."""
    outputs = page.evaluate(OUTPUTS, index)
    pictures = [output["data"] for output in outputs if "image/png" in output.get("data", {})]
    whole = json.dumps(outputs, ensure_ascii=False)
    if len(pictures) != 1 or "<script" in whole or "stderr" in whole or any(text not in whole for text in texts):
        return [f"a cell that was touched left {[str(output)[:300] for output in outputs]}"]
    return []


def stroke(page, index: int, strokes: list) -> None:
    """Draws strokes with the mouse, as a hand does: some points on the way, some time between them."""
    box = output(page, index).locator("canvas").bounding_box()
    for points in strokes:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=6)
            page.wait_for_timeout(20)
        page.mouse.up()


def draw(page, out: Path) -> list[str]:
    """Draws digits and reads the answers."""
    flaws = []
    run(page, 2)
    first = wait(page, 2, "page.milliseconds !== null")
    if "The first test image" not in first["title"] or max(first["bars"]) != first["bars"][7]:
        flaws.append(f"the pad begins with {first}")
    shot(page, out, 2, "pad")
    for digit, strokes in DIGITS.items():
        output(page, 2).get_by_role("button", name="Clear").click()
        wait(page, 2, "page.title.includes('The first test image')")
        stroke(page, 2, strokes)
        try:
            seen = wait(page, 2, "page.bars[argument] === Math.max(...page.bars)", digit)
        except TimeoutError:
            seen = page.evaluate(PAGE, 2)
            flaws.append(f"a {digit} is taken for {seen['bars']}")
        print(f"{NAME}: a {digit}: {seen['bars']}, answered in {seen['milliseconds']} ms")
        shot(page, out, 2, f"drawn-{digit}")
    page.set_viewport_size({"width": 800, "height": 1000})
    theme(page, "JupyterLab Dark")
    shot(page, out, 2, "dark")
    if page.evaluate(PAGE, 2)["wide"]:
        flaws.append("the pad is wider than its cell")
    page.set_viewport_size({"width": 1280, "height": 1000})
    theme(page, "JupyterLab Light")
    output(page, 2).get_by_role("button", name="Done").click()
    page.wait_for_function(IDLE, arg=2, timeout=TIME)
    page.wait_for_timeout(500)
    shot(page, out, 2, "done")
    return flaws + ended(page, 2, "Your drawing", "What the network says")


def stopped(page) -> list[str]:
    """The stop button ends such a cell as quietly as its own."""
    run(page, 1)
    wait(page, 1, "page.milliseconds !== null")
    page.evaluate("() => jupyterapp.commands.execute('notebook:interrupt-kernel')")
    page.wait_for_function(IDLE, arg=1, timeout=TIME)
    return ended(page, 1, "only 3.00", "the slider is at")


def reloaded(page, out: Path, settle) -> list[str]:
    """Loads the page again while a cell is touched: it goes on, and knows when it is over."""
    run(page, 1)
    wait(page, 1, "page.milliseconds !== null")
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(1000)
    page.reload()
    settle(page)
    wait(page, 1, "page.milliseconds !== null")
    slider = output(page, 1).locator("input")
    slider.focus()
    page.keyboard.press("ArrowRight")
    wait(page, 1, "page.alt.endsWith('only 4.00')")
    output(page, 1).get_by_role("button", name="Done").click()
    wait(page, 1, "page.says.startsWith('The cell has ended')")
    shot(page, out, 1, "reloaded")
    return []
