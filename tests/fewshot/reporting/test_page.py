"""The page as a person meets it: in a browser, with awkward names, light and dark, wide and narrow."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.collection.directory import Collection
from curate.foundation import atomic, csv_files
from curate.foundation.text import is_seen
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Trial
from fewshot.reporting import write_report

POSES = ["boat", "bridge", "camel", "cobra", "downward_dog", "plank", "tree", "triangle", "warrior_i", "warrior_ii"]
CLASSES = [*POSES, "warrior_iii"]
SKILL = {"zero-shot": {0: 0.2}, "linear-probe": {6: 2.4, 20: 3.2, 43: 3.75}, "finetune": {6: 2.45, 20: 3.5, 43: 4.1}}
HOSTILE = ["<script>alert(1)</script>", 'Bharadvaja\'s_Twist & "co"', "]]> --> ${x} {{ 7*7 }} | `a` *b*", "x" * 200]


def realistic_sweep(
    directory: Path,
    classes: list[str] = CLASSES,
    splits: int = 4,
    images: int = 30,
    collection: Path | None = None,
    keys: dict[str, list[str]] | None = None,
    failed: set[Trial] = frozenset(),  # type: ignore[assignment]
    missing: set[Trial] = frozenset(),  # type: ignore[assignment]
    sets: tuple[str, ...] = ("filtered", "unfiltered"),
    skill: dict[str, dict[int, float]] = SKILL,
) -> Path:
    """A sweep with plausible mistakes: neighbours in the list of classes are confused, some images are mislabelled."""
    random = np.random.default_rng(0)
    keys = keys or {name: [f"{name}/{number}.jpg" for number in range(images)] for name in classes}
    names = np.array([key for name in classes for key in keys[name]])
    labels = np.array([index for index, name in enumerate(classes) for _ in keys[name]])
    looks_like = np.where(random.random(len(labels)) < 0.03, random.integers(0, len(classes), len(labels)), labels)
    hardness = random.normal(0, 0.9, len(labels))
    towards = np.eye(len(classes)) + 0.72 * np.eye(len(classes), k=1) * (np.arange(len(classes)) % 3 == 1)[:, None]
    trials = [
        Trial(set_, method, shots, split)
        for set_ in sets
        for method in skill
        for shots in skill[method]
        for split in range(splits)
    ]
    for trial in sorted(trials):
        if trial in missing:
            continue
        if trial in failed:
            detail = "The loss became NaN in epoch 2 of 5; a learning rate below 1e-4 usually helps."
            records.write(directory, Record(trial, "failed", "lite0", cause="diverged", detail=detail), None)
            continue
        picker = np.random.default_rng(trial.split)
        test = np.sort(picker.permutation(len(labels))[: len(labels) // 5])
        strength = skill[trial.method][trial.shots] + (0.06 if trial.set == "filtered" and trial.shots else 0)
        noise_of_split = picker.normal(0, 0.06)
        signal = (strength + noise_of_split - hardness[test])[:, None] * towards[looks_like[test]]
        seed = [trial.split, trial.shots, *trial.method.encode(), *trial.set.encode()]
        logits = 1.6 * (signal + np.random.default_rng(seed).normal(0, 1, (len(test), len(classes))))
        chosen = Predictions(logits.astype(np.float32), labels[test].astype(np.int64), names[test])
        record = Record(trial, "done", "lite0", test_images=len(test), seconds={"train": 1.5 + trial.shots / 10})
        records.write(directory, record, chosen)
    atomic.write_json(directory / "sweep.json", settings(trials, classes, keys, collection, splits))
    return directory


def settings(
    trials: list[Trial], classes: list[str], keys: dict[str, list[str]], collection: Path | None, splits: int
) -> dict[str, Any]:
    """What sweep.json holds."""
    methods = list(dict.fromkeys(trial.method for trial in trials))
    images = sum(map(len, keys.values()))
    return {
        "format": 1,
        "collection": str(collection or "runs/yoga"),
        "classes": classes,
        "texts": [name.replace("_", " ") for name in classes],
        "model": "lite0",
        "trials": [vars(trial) for trial in trials],
        "shots": sorted({trial.shots for trial in trials} - {0}),
        "splits": splits,
        "methods": methods,
        "sets": {name: {"digest": "3f9a" * 16, "images": images} for name in sorted({trial.set for trial in trials})},
        "test_fraction": 0.2,
        "seed": 0,
        "split_kind": "random",
        "prompts": ["Image of a person doing the yoga pose {}."],
        "method_settings": {"finetune": {"lr": 1e-5, "epochs": 5}, "linear-probe": {"C": "chosen inside the draw"}},
        "versions": {"fewpose": "0.1.0", "torch": "2.15.0", "open_clip": "3.2.0"},
        "class_sizes": {name: len(keys[name]) for name in classes},
        "dropped_classes": [],
        "weights": {"image": "57934424" * 8, "text": "untrained"},
        "fit": "crop",
        "precision": "float32",
    }


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on classes with awkward names, one failed trial and one missing."""
    directory = tmp_path_factory.mktemp("hostile")
    failed, missing = Trial("filtered", "finetune", 43, 1), Trial("unfiltered", "finetune", 20, 0)
    realistic_sweep(directory, [*HOSTILE, "warrior_ii"], splits=3, failed={failed}, missing={missing})
    return write_report(directory).html


@pytest.fixture(scope="module")
def with_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a collection whose files can be read, but for one that is damaged and one that is gone."""
    from PIL import Image

    root = tmp_path_factory.mktemp("collection") / "yoga"
    collection = Collection.create(root)
    keys = {name: [f"{name}/{number}.jpg" for number in range(30)] for name in CLASSES}
    rows: list[dict[str, int | str]] = []
    for place, key in enumerate(key for name in CLASSES for key in keys[name]):
        file = root / "images" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        if place % 30 == 0:
            file.write_bytes(b"\xff\xd8\xff damaged")
        elif place % 30 != 1:
            Image.new("RGB", (300, 200), (place % 255, 90, 160)).save(file)
        id = hashlib.sha256(file.read_bytes() if file.exists() else b"").hexdigest()
        rows.append({"key": key, "id": id, "file": f"images/{key}", "label": key.split("/")[0]})
    table = collection.images()
    filled = [{str(name): 0 if table[name].dtype == "int64" else "" for name in table} | row for row in rows]
    collection.write(table.from_records(filled), collection.rejects())
    sweep = realistic_sweep(tmp_path_factory.mktemp("pictures"), splits=6, collection=root, keys=keys)
    return write_report(sweep).html


@pytest.mark.slow
def test_awkward_names_are_escaped_everywhere(hostile: Path) -> None:
    page = hostile.read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7*7 }}" in page and "$49" not in page
    assert page.count("<script>") == 1  # our own
    assert "<script>" not in (hostile.parent / "report.md").read_text()


UNSEEN = ["=cmd|'/c calc'!A0", "a\x1b[2J\x9bb", "\u202egpj\u2066", "two\nlines\r", "-plank", "'=quoted"]


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report on classes, and images, whose names play with terminals, readers and spreadsheets."""
    directory = tmp_path_factory.mktemp("unseen")
    trial = Trial("filtered", "finetune", 43, 1)
    realistic_sweep(directory, UNSEEN, splits=3)
    record = Record(trial, "failed", "lite0", cause="=diverged\x1b", detail="\x1b]0;title\x07\nTraceback")
    records.write(directory, record, None)
    return write_report(directory).html.parent


@pytest.mark.slow
def test_nothing_that_a_report_writes_holds_what_cannot_be_seen(unseen: Path) -> None:
    files = [file for file in unseen.iterdir() if file.suffix in (".csv", ".md", ".html")]
    assert len(files) >= 8
    for file in files:
        assert [line for line in file.read_bytes().decode().split("\n") if not is_seen(line)] == [], file.name
    assert "x1b" in (unseen / "report.md").read_text()
    assert "\\u202egpj" in (unseen / "report.html").read_text()


@pytest.mark.slow
def test_no_cell_of_a_report_is_a_formula_and_each_is_read_as_it_was(unseen: Path) -> None:
    texts: list[str] = []
    for file in unseen.glob("*.csv"):
        for row in csv.reader(io.StringIO(file.read_text(), newline=""), strict=True):
            assert not [cell for cell in row if re.match(r"[=+@]|-[^0-9.]", cell)]
            texts += map(csv_files.original, row)
    assert set(UNSEEN) <= set(texts)


@pytest.mark.slow
def test_the_page_names_what_failed_and_what_is_missing(hostile: Path) -> None:
    page = hostile.read_text()
    assert "1 trial failed" in page and "The loss became NaN" in page
    assert "41 of 42 trials have run (1 failed), 1 is still to come" in page


@pytest.mark.slow
def test_the_page_refers_to_nothing_outside(with_pictures: Path) -> None:
    page = with_pictures.read_text()
    assert "http:" not in page and "https:" not in page and "@import" not in page and "url(" not in page
    assert "Content-Security-Policy" in page


@pytest.mark.slow
def test_pictures_are_shown_where_they_can_be_read(with_pictures: Path) -> None:
    page = with_pictures.read_text()
    assert 'src="data:image/jpeg;base64,' in page
    assert page.count("<img ") + page.count("no picture") == 24


@pytest.mark.slow
def test_the_page_is_the_same_for_the_same_records(with_pictures: Path, tmp_path: Path) -> None:
    again = write_report(with_pictures.parent, tmp_path)
    assert again.html.read_bytes() == with_pictures.read_bytes()


@pytest.mark.slow
def test_sentences_of_a_whole_sweep(with_pictures: Path) -> None:
    text = (with_pictures.parent / "report.md").read_text()
    assert "# 11 classes from 6, 20 and 43 images each" in text
    assert "A classifier is shown 6, 20 or 43 images of each of 11 classes" in text
    assert "With 43 images a class, the best is finetune on" in text
    assert "averaged over 6 random splits of yoga" in text
    assert "Training on filtered instead of unfiltered changes accuracy by" in text
    assert "text tower is untrained, so zero-shot" in text
    assert "isn't finished" not in text


@pytest.mark.parametrize(
    ("skill", "splits", "said"),
    [
        ({"zero-shot": {0: 2.0}}, 2, "11 classes without a training image"),
        ({"linear-probe": {1: 2.0}}, 2, "is shown 1 image of each of 11 classes"),
        ({"linear-probe": {6: 2.0}}, 1, "in a single split"),
    ],
)
def test_sentences_of_small_sweeps(tmp_path: Path, skill: dict[str, dict[int, float]], splits: int, said: str) -> None:
    files = write_report(realistic_sweep(tmp_path, splits=splits, sets=("unfiltered",), skill=skill))
    assert said in files.markdown.read_text()
    assert ">nan<" not in files.html.read_text() and "nan%" not in files.html.read_text()


@pytest.mark.slow
def test_eighty_two_classes_show_the_hardest(tmp_path: Path) -> None:
    classes = [f"pose_{number:02d}" for number in range(82)]
    page = write_report(realistic_sweep(tmp_path, classes, splits=2, images=10, sets=("unfiltered",))).html.read_text()
    assert "of 82 classes, those of the hardest\npairs" in page and "other classes" in page
    assert "All 82 classes, the hardest first" in page


# ---- in a browser -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()


class Visit:
    """A page that was opened with every request but its own file refused and remembered."""

    def __init__(self, browser: Any, file: Path, width: int, scheme: str, javascript: bool = True) -> None:
        self.refused: list[str] = []
        self.trouble: list[str] = []
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=javascript
        )
        context.route("**/*", lambda route: self._decide(route, file.as_uri()))
        self.page = context.new_page()
        self.page.on("console", lambda message: self.trouble.append(message.text))
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.goto(file.as_uri())

    def _dismiss(self, dialog: Any) -> None:
        self.trouble.append("dialog")
        dialog.dismiss()

    def _decide(self, route: Any, own: str) -> None:
        if route.request.url == own or route.request.url.startswith("data:"):
            route.continue_()
        else:
            self.refused.append(route.request.url)
            route.abort()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("which", ["hostile", "with_pictures"])
def test_in_a_browser(browser: Any, request: pytest.FixtureRequest, which: str, width: int, scheme: str) -> None:
    visit = Visit(browser, request.getfixturevalue(which), width, scheme)
    page = visit.page
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#results tbody tr").count() == 14
    assert page.locator("svg.curve:visible").count() == 2
    assert page.locator("svg.matrix:visible").count() == 1
    assert page.locator("#differences svg.difference:visible").count() > 20
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    background, ink = page.evaluate("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
    assert (brightness(background) > brightness(ink)) == (scheme == "light")
    assert (visit.refused, visit.trouble) == ([], [])
    page.context.close()


def brightness(colour: str) -> int:
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


@pytest.mark.browser
def test_awkward_names_are_shown_as_they_are(browser: Any, hostile: Path) -> None:
    visit = Visit(browser, hostile, 1280, "light")
    text = visit.page.inner_text("body")
    assert all(name in text for name in HOSTILE[:3])
    visit.page.context.close()


@pytest.mark.browser
def test_a_click_on_a_head_sorts(browser: Any, with_pictures: Path) -> None:
    visit = Visit(browser, with_pictures, 1280, "light")
    column = "#results tbody tr td:nth-child(4)"

    def shown() -> list[float]:
        return [float(cell) for cell in visit.page.locator(column).all_inner_texts()]

    visit.page.get_by_role("button", name="Accuracy %", exact=True).click()
    assert shown() == sorted(shown(), reverse=True)
    visit.page.get_by_role("button", name="Accuracy %", exact=True).click()
    assert shown() == sorted(shown())
    assert visit.trouble == []
    visit.page.context.close()


@pytest.mark.browser
def test_it_is_whole_without_scripts(browser: Any, with_pictures: Path) -> None:
    visit = Visit(browser, with_pictures, 1280, "light", javascript=False)
    assert visit.page.locator("#results tbody tr").count() == 14
    assert visit.page.locator("svg.curve").first.is_visible()
    visit.page.context.close()


def test_settings_are_all_there(with_pictures: Path) -> None:
    assert "lite0, weights 57934424" in with_pictures.read_text()
    shown = with_pictures.read_text().split("<pre tabindex")[1]
    written = json.loads((with_pictures.parent / "sweep.json").read_text())
    assert all(f"&#34;{name}&#34;" in shown for name in written if name != "trials")
