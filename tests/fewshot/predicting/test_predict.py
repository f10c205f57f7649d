"""Predicting pictures, folders, videos and links; in Python and by the command line."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import web
from curate.download.web.settings import Settings
from curate.foundation.errors import UsageError
from curate.importing.importer import import_folder
from fewshot.predicting import links, predict
from fewshot.predicting.predict import Predictor
from fewshot.predicting.settings import PredictSettings
from fewshot.predicting.sources import Kind, Source, sources
from fewshot.predicting.video import segments
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained import directory
from fewshot.trained.settings import TrainSettings
from fewshot.trained.train import train
from synth.rendering.render import render

RATE = 10  # frames a second of the clips
POSES = ("tree", "plank")


@pytest.fixture(scope="module")
def patterns_model(tmp_path_factory: pytest.TempPathFactory, collection: Any) -> Path:
    return kept(tmp_path_factory.mktemp("patterns") / "model", collection.root)


@pytest.fixture(scope="module")
def mannequins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two rendered poses."""
    folder = tmp_path_factory.mktemp("mannequins")
    for pose in POSES:
        (folder / "photos" / pose).mkdir(parents=True)
        for number in range(16):
            render(pose, seed=1, size=64, index=number).image.save(folder / "photos" / pose / f"{number}.png")
    import_folder(folder / "photos", folder / "collection")
    return kept(folder / "model", folder / "collection", "lite0")


def kept(out: Path, collection: Path, model: str = "tiny/random") -> Path:
    sweep = SweepSettings.of(
        collection, out, methods=("linear-probe",), shots=(1,), splits=1, model=model, device="cpu"
    )
    return train(TrainSettings(sweep)).out


@pytest.fixture
def photos(collection: Any, tmp_path: Path) -> Path:
    """Nine pictures of known classes, and some that are none, or no picture."""
    folder = tmp_path / "photos"
    for label in ("bars", "rings", "waves"):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            shutil.copy(collection.root / "images" / label / f"{number}.png", folder / label / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def predicted(model: Path, paths: list[Path], **how: Any) -> list[Any]:
    found, _ = sources(paths)
    return [
        each for part in Predictor(directory.load(model, "cpu"), PredictSettings(**how)).sources(found) for each in part
    ]


def test_each_picture_is_named_in_order_and_a_bad_one_does_not_end_it(patterns_model: Path, photos: Path) -> None:
    found = predicted(patterns_model, [photos], threshold=0)
    names = [Path(each.file).relative_to(photos).as_posix() for each in found]
    assert names == sorted(names)
    assert len(names) == 10
    (broken,) = (each for each in found if each.error)
    assert broken.file.endswith("broken.jpg")
    for each in found:
        assert each.error or each.label == Path(each.file).parent.name
        assert each.error or sum(share for _, share in each.top) == pytest.approx(1)


def test_a_picture_that_would_take_minutes_to_decode_is_a_line(patterns_model: Path, photos: Path) -> None:
    (photos / "bars" / "scans.jpg").write_bytes(web.jpeg_of_scans(2000, 500))
    (bomb,) = (each for each in predicted(patterns_model, [photos / "bars"]) if each.error)
    assert bomb.file.endswith("scans.jpg")
    assert bomb.error == "too much work: JPEG with more than 100 scans"


def test_how_many_are_looked_at_together_changes_nothing(
    patterns_model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = predicted(patterns_model, [photos])
    monkeypatch.setattr(predict, "AT_ONCE", 2)
    apart = predicted(patterns_model, [photos])
    assert [each.label for each in apart] == [each.label for each in together]
    shares = [[share for _, share in each.top] for each in together]
    np.testing.assert_allclose(
        np.array([share for each in apart for _, share in each.top]), np.concatenate(shares), atol=0.02
    )


def test_a_threshold_of_ones_own_decides_what_is_none_of_these(patterns_model: Path, photos: Path) -> None:
    assert all(each.label is None for each in predicted(patterns_model, [photos / "bars"], threshold=1.0))
    assert all(each.label for each in predicted(patterns_model, [photos / "bars"], threshold=0.0))


@pytest.mark.slow
def test_a_rendered_clip_smoothed_over_time_has_its_two_poses_and_no_flicker(
    mannequins: Path, clip: Callable[..., Path]
) -> None:
    random = np.random.default_rng(0)
    shown = [np.asarray(render(pose, seed=2, size=64, index=number).image) for pose in POSES for number in range(20)]
    truth = [pose for pose in POSES for _ in range(20)]
    for place in (4, 11, 27, 34):  # frames that show the other pose, or nothing
        shown[place] = shown[(place + 20) % 40] if place % 2 else random.integers(0, 256, (64, 64, 3), np.uint8)
    path = clip(shown)
    loaded = directory.load(mannequins, "cpu")

    def answers(smooth: float) -> list[Any]:
        (found,) = Predictor(loaded, PredictSettings(fps=RATE, smooth=smooth, threshold=0)).sources(
            [Source(str(path), Kind.VIDEO)]
        )
        return found

    raw, even = answers(0.0), answers(0.4)
    right = [sum(a.label == b for a, b in zip(said, truth, strict=True)) for said in (raw, even)]
    assert right[1] > right[0]
    assert [each.label for each in segments(even, RATE)] == list(POSES)
    assert segments(even, RATE)[1].begin == pytest.approx(2.0, abs=0.3)
    assert len(segments(raw, RATE)) > 2


@pytest.fixture(scope="module")
def served() -> Iterator[web.Web]:
    with web.serving() as site:
        yield site


def reason(said: bytes | str) -> str:
    assert isinstance(said, str)
    return said


def test_links_are_fetched_as_a_download_fetches_in_their_order(served: web.Web) -> None:
    settings = Settings(allow_private=True, min_side=1, connect_timeout=2, read_timeout=2, deadline=8)
    asked = [served.url("good", 1), served.url("404", 2), "ftp://example.org/a.jpg", served.url("good", 3)]
    found = list(links.fetched(asked, settings))
    assert [link for link, _ in found] == asked
    assert found[0][1] == web.content("good", 1)
    assert reason(found[1][1]).startswith("not found")
    assert reason(found[2][1]).startswith("no link: it ")
    assert found[3][1] == web.content("good", 3)


def test_a_link_to_a_private_address_is_not_asked(served: web.Web) -> None:
    served.reset()
    ((_, said),) = links.fetched([served.url("good", 1)])
    assert reason(said).startswith("blocked address")
    assert served.counts()["paths"] == {}


@pytest.mark.parametrize("wrong", [{"top": 0}, {"threshold": 1.5}, {"fps": 0}, {"smooth": -1}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--"):
        PredictSettings(**wrong)


def run(*words: Any, given: str = "") -> subprocess.CompletedProcess[str]:
    code = "from fewshot.cli import app; app()"
    command = [sys.executable, "-c", code, "predict", *map(str, words)]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_writes_lines_and_says_what_failed(patterns_model: Path, photos: Path) -> None:
    done = run(patterns_model, photos, "--json", "--threshold", 0, "--device", "cpu")
    assert done.returncode == 1
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 10
    assert sum("error" in each for each in told) == 1
    assert f"error: {photos}/broken.jpg: " in done.stderr
    assert "1 other file in these folders: neither picture nor video" in done.stderr
    assert "1 of 10 could not be looked at" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_table_of_pictures_and_of_links_that_cannot_be_had(patterns_model: Path, photos: Path) -> None:
    done = run(patterns_model, photos / "bars", "--urls", "--csv", "--top", 1, given="http://127.0.0.1/a.jpg\n\n")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png", "2.png", "a.jpg"]
    assert rows[3]["error"].startswith("blocked address")
    assert done.returncode == 1


@pytest.mark.slow
def test_a_list_is_looked_at_row_by_row_and_what_cannot_be_used_is_said(
    patterns_model: Path, photos: Path, tmp_path: Path
) -> None:
    rows = ["class;File Name", f"x;{photos}/bars/0.png", "y", "z;http://127.0.0.1/a.jpg", f"x;{photos}/bars/1.png"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    done = run(patterns_model, tmp_path / "list.csv", "--json", "--threshold", 0)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(each["file"]).name for each in told] == ["0.png", "list.csv, line 3", "a.jpg", "1.png"]
    assert ["error" in each for each in told] == [False, True, True, False]
    assert "it has 1 fields where the header has 2" in told[1]["error"]
    assert told[2]["error"].startswith("blocked address")
    assert done.returncode == 1 and "2 of 4 could not be looked at" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("MODEL",), "name pictures, videos or folders, or say --urls"),
        (("MODEL", "PHOTOS", "--json", "--csv"), "--json or --csv, not both"),
        (("MODEL", "nowhere.jpg"), "nowhere.jpg does not exist"),
        (("PHOTOS", "PHOTOS"), "holds no trained model"),
        (("MODEL", "PHOTOS", "--top", "0"), "--top must be a whole number, at least 1, not '0'"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(
    patterns_model: Path, photos: Path, words: tuple[str, ...], sentence: str
) -> None:
    places = {"MODEL": patterns_model, "PHOTOS": photos}
    done = run(*(places.get(word, word) for word in words))
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert sentence in line


@pytest.mark.slow
def test_nothing_to_look_at_is_said(patterns_model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt.bak").write_text("nothing")
    done = run(patterns_model, tmp_path)
    assert done.returncode == 2
    assert f"there is neither a picture nor a video in {tmp_path}" in done.stderr
    done = run(patterns_model, "--urls", given="\n")
    assert done.returncode == 2
    assert "there is no link on standard input" in done.stderr
