"""Skeletons and the search by posture in the real App: `curate app` over rendered people, and headless Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.app import same_posture
from curate.collection.directory import Collection
from curate.importing.importer import import_folder
from curate.pose import keypoints, similar
from curate.pose.estimating import estimate
from curate.pose.settings import PoseSettings
from curate.workers.settings import WorkerSettings
from tests.curate.app import browser
from tests.curate.app.browser import App, Served, cy

pytestmark = [pytest.mark.app, pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, rendered_people: Path) -> Collection:
    folder = tmp_path_factory.mktemp("body")
    import_folder(rendered_people, folder / "collection", workers=1)
    made = Collection.open(folder / "collection")
    estimate(made, made.images(), PoseSettings(), WorkerSettings(workers=1))
    return made


@pytest.fixture(scope="module")
def app(fiftyone_installed: None, chromium: str, collection: Collection) -> Iterator[App]:
    served = Served(collection.root, "--model", "tiny/random")
    try:
        with browser.opened(chromium, served) as opened:
            yield opened
    finally:
        served.end()


def drawn(app: App) -> str:
    """The first picture of the grid with all that is drawn on it, as data."""
    app.wait_until_drawn()
    result: str = app.page.evaluate(f"document.querySelector('{cy('fo-grid')} {cy('looker')} canvas').toDataURL()")
    return result


def test_skeletons_are_drawn_when_they_are_switched_on(app: App) -> None:
    app.open("unfiltered")
    box = app.page.locator(f"{cy('checkbox-keypoints')} input")
    assert not box.is_checked()
    before = drawn(app)
    box.check()
    app.page.wait_for_function(
        f"before => document.querySelector('{cy('fo-grid')} {cy('looker')} canvas')?.toDataURL() !== before", arg=before
    )
    box.uncheck()
    app.page.wait_for_function(
        f"before => document.querySelector('{cy('fo-grid')} {cy('looker')} canvas')?.toDataURL() === before", arg=before
    )


def test_the_nearest_in_posture_are_shown_in_their_order(app: App, collection: Collection) -> None:
    images = collection.images()
    joints = keypoints.read(collection).joints(list(images["id"]))
    app.open("unfiltered")  # in the order of the table
    app.select(1)
    with app.another_grid():
        app.button("same_posture").click()
    app.message(f"{len(images) - 1} images beside it, the nearest in posture first")
    assert len(images) - 1 <= same_posture.NEAREST
    app.wait_until_drawn()
    shown = app.page.evaluate(
        f"[...document.querySelectorAll('{cy('fo-grid')} {cy('looker')}')].map(one => one.innerText)"
    )
    wanted = [0, *(similar.nearest(joints[0], joints[1:], len(images)) + 1)]
    assert shown == [images["label"][place] for place in wanted]


def test_without_a_selection_the_app_says_what_to_do(app: App) -> None:
    app.open("unfiltered")
    app.button("same_posture").click()
    app.message("Select one image in the grid first")
