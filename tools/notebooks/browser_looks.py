"""Looks at a chapter in the dark theme and in a narrow window: see browser.py."""

from pathlib import Path

from browser_live import theme

# How each figure is drawn in the dark theme, by its description.
FILTERS = """() => Array.from(document.querySelectorAll('.jp-OutputArea-output img[alt]')).filter(image => image.alt)
  .map(image => [image.alt, getComputedStyle(image).filter])"""

# Numbers in tables that are broken, and code that is cut.
BROKEN = """() => {
  const broken = [];
  for (const number of document.querySelectorAll('.jp-OutputArea-output td[style*="right"]')) {
    const range = document.createRange();
    range.selectNodeContents(number);
    if (new Set(Array.from(range.getClientRects()).map(part => Math.round(part.top))).size > 1)
      broken.push('a table breaks ' + number.textContent);
  }
  for (const code of document.querySelectorAll('.jp-CodeCell .cm-scroller'))
    if (code.scrollWidth > code.clientWidth + 1) broken.push('code is cut: ' + code.textContent.slice(0, 60));
  return broken;
}"""


def looks(page, out: Path, url: str, settle, stem: str) -> list[str]:
    """Opens a chapter as it was executed and returns what is wrong with its looks."""
    page.goto(f"{url}lab/tree/notebooks/{stem}.ipynb?reset")
    settle(page)
    theme(page, "JupyterLab Dark")
    flaws, seen = [], dict(every(page, FILTERS, out, f"{stem}-dark"))
    for alt, used in seen.items():
        if ("invert" in used) == ("picture" in alt or "filters" in alt):
            flaws.append(f"{stem}, dark theme: {used} for {alt[:60]}")
    if not any("invert" in used for used in seen.values()):
        flaws.append(f"{stem}, dark theme: no chart among {len(seen)} figures")
    page.set_viewport_size({"width": 800, "height": 1000})
    page.wait_for_timeout(500)
    flaws += [f"{stem}, narrow: {flaw}" for flaw in dict.fromkeys(every(page, BROKEN, out, f"{stem}-narrow"))]
    page.set_viewport_size({"width": 1280, "height": 1000})
    theme(page, "JupyterLab Light")
    return flaws


def every(page, question: str, out: Path, name: str) -> list:
    """The answers to a question about what can be seen, from the notebook's beginning to its end."""
    answers = []
    total = page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length")
    for index in range(total):
        page.evaluate("i => jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start')", index)
        page.wait_for_timeout(150)
        answers += page.evaluate(question)
        if index % 4 == 0:
            page.screenshot(path=out / f"{name}-{index:02d}.png")
    return answers
