"""A curator's day in the real App: `curate app` with its MongoDB, and headless Chromium in front of it."""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

from curate.collection import sets
from curate.collection.directory import Collection
from curate.collection.ledger import Entry, Ledger
from tests.curate.app import browser, colours
from tests.curate.app.browser import App, Served

pytestmark = [pytest.mark.app, pytest.mark.browser]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "colours.safetensors"
    colours.train(path)
    return path


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return colours.collection(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def served(fiftyone_installed: None, chromium: str, collection: Collection, checkpoint: Path) -> Iterator[Served]:
    started = Served(collection.root, "--model", colours.MODEL, "--checkpoint", str(checkpoint))
    yield started
    if started.process.poll() is None:
        started.end()


@pytest.fixture(scope="module")
def app(served: Served, chromium: str) -> Iterator[App]:
    with browser.opened(chromium, served) as opened:
        yield opened


def filtered(collection: Collection) -> list[str]:
    return list(sets.training_set(collection, "filtered").images["key"])


def decisions(collection: Collection) -> list[Entry]:
    return Ledger(collection).entries


def test_the_browser_gets_a_file_that_leads_in_and_no_key_that_others_could_see(app: App, served: Served) -> None:
    file = Path(urlsplit(served.opens()).path)
    assert file.suffix == ".html"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert app.page.url.startswith(f"{served.url}/datasets/{served.dataset}")


class _Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A page of another program of this machine: browsers hold it for the same site, and send it the App's cookies."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "method"), [("/fiftyone", "GET"), ("/values", "POST"), ("/operators/execute", "POST")]
)
def test_a_page_elsewhere_may_ask_nothing(app: App, served: Served, elsewhere: str, path: str, method: str) -> None:
    page = app.page.context.new_page()
    page.goto(elsewhere)
    ask = "([url, method]) => fetch(url, {method, credentials: 'include', mode: 'no-cors'}).then(() => 'answered')"
    with page.expect_response(f"{served.url}{path}") as refused:
        assert page.evaluate(ask, [f"{served.url}{path}", method]) == "answered"
    assert refused.value.status == 403
    assert "fewpose_" in refused.value.request.all_headers()["cookie"]  # so it was not for want of the cookie
    page.close()


def test_the_saved_views_open_with_their_counts(app: App, collection: Collection) -> None:
    app.open("unfiltered")
    assert app.count() == len(collection.images()) == 19
    app.show_view("filtered")
    app.wait_for_count(18)
    app.show_view("suspicious")
    app.wait_for_count(1)
    app.show_view("wrong_label")
    app.wait_for_count(1)


def test_the_sidebar_filters_by_label(app: App) -> None:
    app.open("unfiltered")
    app.filter("label", "blue", 7)


def test_dropping_two_with_a_reason_is_in_the_ledger_and_out_of_filtered(app: App, collection: Collection) -> None:
    before = filtered(collection)
    app.open("filtered")
    app.select(2)
    form = app.form("drop")
    app.type(form, 0, "feet cut off")
    app.execute(form)
    app.wait_for_count(len(before) - 2)
    app.wait_until_unselected()
    entries = decisions(collection)
    assert [(entry.action, entry.reason, entry.by) for entry in entries] == [("drop", "feet cut off", "app")] * 2
    assert sorted(set(before) - set(filtered(collection))) == sorted(entry.key for entry in entries)


@pytest.mark.slow
def test_a_suggested_label_and_its_undo(app: App, collection: Collection) -> None:
    app.open("wrong_label")
    app.select(1)
    form = app.form("relabel")
    form.get_by_role("combobox").first.click()
    app.page.get_by_role("option", name="red").click()
    app.execute(form)
    app.message("1 image relabelled")
    assert label_of(collection, colours.PLANTED) == "red"
    assert colours.PLANTED in filtered(collection)  # a person's word beats the rule's

    app.open("wrong_label")
    app.select(1)
    app.execute(app.form("undo"))
    app.message("1 image as before")
    assert label_of(collection, colours.PLANTED) == "blue"
    assert colours.PLANTED not in filtered(collection)


def label_of(collection: Collection, key: str) -> str:
    result: str = sets.labelled(collection).set_index("key")["label"][key]
    return result


def test_a_label_that_would_be_a_new_class_is_said_before_it_is_made(app: App) -> None:
    app.open("unfiltered")
    app.select(1)
    form = app.form("relabel")
    app.type(form, 0, "purple")
    form.get_by_text("No image is labelled purple yet").wait_for()


@pytest.mark.slow
def test_a_mistake_is_a_sentence_in_the_app(app: App) -> None:
    app.open("suspicious")
    app.select(1)
    app.execute(app.form("drop"))
    app.message("1 image dropped")
    app.open("unfiltered")
    app.filter("label", "red", 6)
    app.select(1)
    app.execute(app.form("undo"))
    app.message("nothing was decided of red/")


def test_copies_come_first_after_the_image_itself(app: App, collection: Collection) -> None:
    app.open("unfiltered")
    app.select(1)
    with app.another_grid():
        app.button("find_copies").click()
    app.message("only looks like it")
    assert app.count() <= 19


@pytest.mark.slow
def test_the_panel_follows_what_is_decided(app: App, collection: Collection) -> None:
    app.open("unfiltered")
    panel = app.open_panel("sets")
    panel.get_by_text(sets.training_set(collection, "filtered").digest).wait_for()
    app.filter("label", "green", 6)
    app.select(1)
    app.execute(app.form("drop"))
    app.message("1 image dropped")
    panel.get_by_text(sets.training_set(collection, "filtered").digest).wait_for()
    shown = re.sub(r"\s+", " ", panel.inner_text())
    assert f"all {len(collection.images())} {len(filtered(collection))}" in shown
    app.close_panel("sets")


def test_text_search_returns_the_planted_image(app: App, collection: Collection) -> None:
    red = [key for key in collection.images()["key"] if key.startswith("red/")]
    app.open("unfiltered")
    app.search(colours.prompt("red"))
    app.select(len(red) + 1)
    form = app.form("keep")
    app.type(form, 0, "found by text")
    app.execute(form)
    app.message("7 images kept")
    found = [entry.key for entry in decisions(collection) if entry.reason == "found by text"]
    assert sorted(found) == sorted([*red, colours.PLANTED])
    app.close_panel("similarity_search_panel")


@pytest.mark.slow
def test_a_killed_app_has_lost_no_tag_that_it_had_confirmed(app: App, collection: Collection, served: Served) -> None:
    """The last of this module, since it ends the App that the others use."""
    app.open("unfiltered")
    app.filter("label", "green", 6)
    app.select(3)
    app.tag("drop:blurred", 3)
    served.kill()
    kill_database(collection)
    done = subprocess.run(
        [sys.executable, "-c", "from curate.cli import app; app()", "sync", collection.root, "--yes"],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("FIFTYONE_")},
    )
    assert done.returncode == 0, done.stderr
    (said,) = {(entry.reason, entry.by) for entry in decisions(collection)[-2:]}
    assert said == ("blurred", "sync")
    greens = sets.labelled(collection).query("label == 'green'")["id"]
    assert sum(Ledger(collection).state().verdict.get(id) == "drop" for id in greens) == 3


def kill_database(collection: Collection) -> None:
    os.kill(int(collection.cache("fiftyone", "db", "mongod.lock").read_text()), signal.SIGKILL)
