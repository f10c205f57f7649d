"""The two pictures of docs/curation.md: rendered images only, checked and opened as a user would.

.venv/bin/python -m benchmarks.screenshots
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from curate.checks.check import check
from curate.collection.directory import Collection
from curate.importing.importer import import_folder
from synth.rendering.folder import render_folder
from tests.curate.app import browser
from tests.curate.app.browser import App, Served, cy

IMAGES = Path(__file__).parents[1] / "docs" / "images"
POSES = ("tree", "plank", "warrior_ii", "downward_dog")
SIZE = (1600, 720)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES)
    out = parser.parse_args().out
    chromium = shutil.which("chromium")
    if not chromium:
        raise SystemExit("screenshots need Chromium: apt install chromium")
    with tempfile.TemporaryDirectory() as folder:
        collection = demo(Path(folder))
        served = Served(collection.root)
        try:
            with browser.opened(chromium, served, size=SIZE) as app:
                save(app, out / "curation-app.png", show_suspicious)
                save(app, out / "curation-drop.png", show_form)
        finally:
            served.end()


def demo(folder: Path) -> Collection:
    """Four poses with planted defects, imported and checked."""
    render_folder(folder / "photos", list(POSES), 40, planted_defects=True)
    import_folder(folder / "photos", folder / "demo")
    collection = Collection.open(folder / "demo")
    check(collection)
    return collection


def show_suspicious(app: App) -> None:
    """The grid beside the embeddings."""
    app.open("unfiltered")
    app.open_panel("Embeddings")
    panel = app.page.locator(cy("panel-content-Embeddings"))
    panel.get_by_text("pca", exact=True).first.click()
    panel.locator("canvas[data-engine]").wait_for()
    panel.get_by_role("button", name="Color by").click()
    app.page.get_by_role("option", name="label.label", exact=True).click()
    panel.get_by_text("Click to hide").wait_for()
    app.show_view("suspicious")


def show_form(app: App) -> None:
    app.close_panel("Embeddings")
    app.open("suspicious")
    app.select(3)
    form = app.form("drop")
    app.type(form, 0, "not a photograph")
    form.get_by_role("button", name="Execute").click(trial=True)  # once the server has looked at the form


def save(app: App, path: Path, show: Callable[[App], Any]) -> None:
    """256 colours are enough for a screen, and a third of the bytes."""
    show(app)
    app.page.mouse.move(0, 0)
    app.wait_until_drawn()
    path.parent.mkdir(parents=True, exist_ok=True)
    app.page.screenshot(path=path)
    with Image.open(path) as shot:
        shot.convert("RGB").quantize(256).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
