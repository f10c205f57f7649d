"""The FiftyOne App in headless Chromium: a page that waits for what the App says it did, never for a while.

Selectors are those of FiftyOne 1.22.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHROMIUM = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 60_000  # milliseconds: a busy machine is no failure

# The App announces each grid that it has put up. Its messages are gone after three seconds, which a busy machine takes
# between two looks: they are written down. An advertisement, and tooltips that swallow clicks, are in the way.
_ON_START = """
try { localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true') } catch (error) {}
window.grids = {number: 0, up: false};
document.addEventListener('grid-mount', () => { window.grids.number++; window.grids.up = true });
document.addEventListener('grid-unmount', () => { window.grids.up = false });
window.said = new Set();
document.addEventListener('DOMContentLoaded', () => {
  new MutationObserver(() => {
    for (const message of document.querySelectorAll('.notistack-Snackbar')) window.said.add(message.textContent);
  }).observe(document.body, {childList: true, subtree: true});
  const style = document.createElement('style');
  style.textContent = '[data-cy^="tooltip-"] {pointer-events: none !important}';
  document.head.append(style);
});
"""
_FONTS = "fonts.googleapis.com"  # the App asks for them, and does well without


def cy(name: str) -> str:
    return f'[data-cy="{name}"]'


def slug(name: str) -> str:
    """A saved view's name as addresses have it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


class App:
    """An open page of the App. `page` is Playwright's."""

    def __init__(self, page: Any, url: str, dataset: str) -> None:
        self.page = page
        self._address = f"{url.rstrip('/')}/datasets/{dataset}"

    def open(self, view: str) -> None:
        """view: the name of a saved view."""
        self.page.goto(f"{self._address}?view={slug(view)}", wait_until="domcontentloaded")
        self.page.locator(cy("panel-tab-samples")).click()
        self.page.wait_for_function("() => window.grids.up")
        self.page.wait_for_selector(f"{cy('fo-grid')} canvas[canvas-loaded=true]")
        self.unselect()

    def count(self) -> int:
        """The number of images in the view, as the grid's header has it."""
        return int(re.sub(r"\D.*", "", self.page.locator(cy("entry-counts")).inner_text().replace(",", "")))

    def wait_for_count(self, number: int, timeout: float = PATIENCE) -> None:
        self.page.wait_for_function(
            """number => { const said = document.querySelector('[data-cy=entry-counts]')?.innerText ?? '';
            return window.grids.up && parseInt(said.replaceAll(',', '')) === number }""",
            arg=number,
            timeout=timeout,
        )

    @contextmanager
    def another_grid(self) -> Iterator[None]:
        """What is done inside changes the view. Until the new grid is up, the old pictures can still be clicked."""
        before = self.page.evaluate("window.grids.number")
        yield
        self.page.wait_for_function("before => window.grids.up && window.grids.number > before", arg=before)

    def wait_until_drawn(self) -> None:
        """Until each picture in sight is on its canvas."""
        self.page.wait_for_function(
            """() => { const all = [...document.querySelectorAll('[data-cy=fo-grid] [data-cy=looker] canvas')];
            return window.grids.up && all.length && all.every(one => one.getAttribute('canvas-loaded') === 'true') }"""
        )

    def show_view(self, name: str) -> None:
        self.page.locator(cy("saved-views-selection")).click()
        with self.another_grid():
            self.page.locator(cy(f"saved-views-{slug(name)}-selection-option")).click()

    def filter(self, field: str, value: str, number: int) -> None:
        """Show only what has this label, by the sidebar. number: of these images, which must all be in sight.

        A list that is drawn again as the click arrives forgets it; and the header has the new count while the old
        pictures can still be clicked, so they are counted.
        """
        from playwright.sync_api import TimeoutError as Late

        box = self.page.locator(cy(f"selector-sidebar-search-{field}.label"))
        if not box.count():
            self.page.locator(cy(f"sidebar-field-arrow-enabled-{field}")).click()
        found = self.page.locator(cy(f"selector-results-container-sidebar-search-{field}.label"))
        for _ in range(PATIENCE // 10_000):
            with suppress(Late):
                box.fill("", timeout=5_000)
                box.press_sequentially(value, timeout=5_000)
                found.get_by_text(value, exact=True).click(timeout=5_000)
            with suppress(Late):
                self.wait_for_count(number, timeout=10_000)
                self.page.wait_for_function(
                    """number => window.grids.up && number ===
                    document.querySelectorAll('[data-cy=fo-grid] [data-cy=looker]').length""",
                    arg=number,
                )
                return self.wait_until_drawn()
        raise AssertionError(f"{self.count()} images where {value} has {number}")

    def selected(self) -> int:
        button = self.page.locator(cy("action-manage-selected"))
        return int(button.inner_text().strip() or 0) if button.count() else 0

    def unselect(self) -> None:
        """The selection lives in the App's server: a new page inherits it."""
        if self.selected():
            self.page.locator(cy("action-manage-selected")).click()
            self.page.locator(cy("item-action-clear-selected-samples")).click()
            self.wait_until_unselected()

    def wait_until_unselected(self) -> None:
        self.page.locator(cy("action-manage-selected")).wait_for(state="detached")

    def select(self, number: int) -> None:
        """Tick the first images of the grid."""
        for place in range(number):
            picture = self.page.locator(f"{cy('fo-grid')} {cy('looker')}").nth(place)
            picture.hover()
            picture.locator(cy("looker-checkbox-")).click()
            self.page.wait_for_function(
                """number => document.querySelector('[data-cy=action-manage-selected]')?.innerText.trim() === number""",
                arg=str(place + 1),
            )

    def tag(self, name: str, number: int) -> None:
        """Tag the selection. The box says how many images it means; with none selected it tags the whole view."""
        self.page.locator(cy("action-tag-sample-labels")).click()
        plural = "s" if number > 1 else ""
        box = self.page.locator(f'{cy("sample-tag-input")}[placeholder="+ tag {number} selected sample{plural}"]')
        box.wait_for()
        box.fill(name)
        box.press("Enter")
        self.page.locator(f'{cy("popout")} [title="{name}"]').wait_for()
        self.page.locator(cy("button-Apply")).click()
        self.page.locator(cy("popout")).wait_for(state="detached")

    def button(self, operator: str) -> Any:
        """Of one of our operators, above the grid."""
        return self.page.locator(f'[data-item-id="@fewpose/curation/{operator}"]')

    def form(self, operator: str) -> Any:
        """The operator's form, opened by its button."""
        self.button(operator).click()
        return self.page.get_by_role("dialog")

    def type(self, form: Any, place: int, text: str) -> None:
        """Fill in the form's field at `place`, which also offers choices."""
        box = form.get_by_role("combobox").nth(place)
        box.fill(text)
        box.press("Tab")

    def execute(self, form: Any) -> None:
        """The button is grey until the server has looked at what was typed; click waits for that.

        A form that is being looked at again as the click arrives forgets it (FiftyOne's own tests say so: its pull
        request 4445). Clicking twice decides nothing twice: the button is gone while the form's work is done.
        """
        from playwright.sync_api import TimeoutError as Late

        button = form.get_by_role("button", name="Execute")
        button.click()
        for _ in range(PATIENCE // 5_000):
            try:
                result: None = form.wait_for(state="detached", timeout=5_000)
                return result
            except Late:
                with suppress(Late):
                    button.click(timeout=500)
        raise AssertionError(f"still there: {form.inner_text()}")

    def search(self, text: str) -> None:
        """Search by text, and show what was found; it opens a panel, which stays."""
        self.page.locator(cy("action-sort-by-similarity")).click()
        box = self.page.locator(cy("input-Type anything!"))
        box.fill(text)
        box.press("Enter")
        found = self.page.locator(cy("panel-content-similarity_search_panel"))
        found.get_by_text(re.compile(r"^\d+ results")).first.wait_for()
        with self.another_grid():
            # Something around it is aria-disabled (it can be dragged), and Playwright would wait for ever.
            found.locator('button[aria-label="Show results"]').first.click(force=True)
            self.message("Showing")

    def open_panel(self, name: str) -> Any:
        """In the first place where there is room for one."""
        self.page.locator(cy("new-panel-btn")).first.click()
        self.page.locator(cy(f"new-panel-option-{name}")).click()
        return self.page.locator(cy(f"panel-content-{name}"))

    def close_panel(self, name: str) -> None:
        tab = self.page.locator(cy(f"panel-tab-{name.lower()}"))
        tab.get_by_title("Close").click()
        tab.wait_for(state="detached")

    def message(self, text: str) -> None:
        """Wait until the App says this, or has said it since the page was opened."""
        from playwright.sync_api import TimeoutError as Late

        try:
            self.page.wait_for_function("text => [...window.said].some(said => said.includes(text))", arg=text)
        except Late as late:
            raise AssertionError(f"not {text!r}, but {self.page.evaluate('[...window.said]')}") from late


class Served:
    """`curate app` as a process of its own. In place of a browser it opens a program that writes down what to open."""

    def __init__(self, collection: Path, *options: str) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("FIFTYONE_")}
        command = [sys.executable, "-c", "from curate.cli import app; app()", "app", str(collection)]
        self._folder = tempfile.TemporaryDirectory()
        self._told = Path(self._folder.name, "told")
        browser = Path(self._folder.name, "browser")
        browser.write_text(f"#!/bin/sh\nprintf %s \"$1\" > '{browser}.told' && mv '{browser}.told' '{self._told}'\n")
        browser.chmod(0o700)
        self.process = subprocess.Popen(
            [*command, *options],
            env=plain | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "300", "BROWSER": str(browser)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that it can be killed with its server
        )
        self.said: list[str] = []
        self.address = self._address()  # with the key
        self.url = self.address.partition("/enter")[0]
        self.dataset = self.address.rpartition("/")[2]

    def _address(self) -> str:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line)
            if "the App is at" in line:
                return line.split()[-1]
        raise AssertionError("".join(self.said))

    def opens(self) -> str:
        """What a browser would have been started with."""
        limit = time.monotonic() + PATIENCE / 1000
        while not self._told.exists():
            assert time.monotonic() < limit, "no browser was opened"
            time.sleep(0.05)
        return self._told.read_text()

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        self._folder.cleanup()

    def end(self) -> str:
        """As by Ctrl-C. Returns what it said at its end."""
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=60)[0]
        self._folder.cleanup()
        return said


@contextmanager
def opened(chromium: str, served: Served, *, size: tuple[int, int] = (2600, 950)) -> Iterator[App]:
    """chromium: the program. A wide window: buttons that have no room go into a menu.

    Nothing leaves the machine: requests to elsewhere are refused and, but for fonts, an error at the end.
    """
    from playwright.sync_api import sync_playwright

    elsewhere: list[str] = []

    def refuse(route: Any) -> None:
        elsewhere.append(route.request.url)
        route.abort()

    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            headless=True,
            args=list(CHROMIUM),
            viewport={"width": size[0], "height": size[1]},
        )
        own = urlsplit(served.url).hostname
        context.route(lambda wanted: urlsplit(wanted).hostname not in (own, "localhost", None), refuse)
        context.add_init_script(_ON_START)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        try:
            page.goto(served.opens(), wait_until="domcontentloaded")
            page.wait_for_url(f"{served.url}/datasets/{served.dataset}")
            yield App(page, served.url, served.dataset)
        finally:
            context.close()
    assert [url for url in elsewhere if _FONTS not in url] == []
