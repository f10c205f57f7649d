"""A model that looks at the body is measured whole, part by part, and as it is exported."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.foundation.errors import UsageError
from curate.images.decoding import open_image
from curate.pose.settings import PoseSettings
from fewshot.bench import body
from fewshot.bench.drawn_person import draw_person
from fewshot.trained import directory
from fewshot.trained.looking import Looking
from fewshot.trained.model import TrainedModel

pytestmark = pytest.mark.slow

PARTS = ["decode", "find people", "features", "trees"]


@pytest.mark.parametrize("image", [False, True], ids=["body", "body and image"])
def test_the_whole_its_parts_and_batches_are_measured(bodied: Callable[..., TrainedModel], image: bool) -> None:
    pytest.importorskip("onnxruntime", reason="needs pip install 'fewpose[export]'")
    done = body.bench(bodied(image), batches=(1, 3), threads=1, seconds=1e-9)
    rows = [(each.engine, each.part, each.batch) for each in done.timings]
    parts = [each.part for each in done.timings if each.engine not in ("predict", "exported")]
    assert parts == [*PARTS, *(["image tower"] if image else [])]
    for engine in ("predict", "exported"):
        assert [row[1:] for row in rows if row[0] == engine] == [("whole", 1), ("answer", 1), ("answer", 3)]
    assert {each.begins_with for each in done.timings if each.part == "answer"} == {
        "joints, pixels" if image else "joints"
    }
    assert (done.device, done.threads, done.without) == ("cpu", 1, "")
    assert all(each.calls >= 20 and each.p50 > 0 for each in done.timings)


def test_without_the_extra_the_rest_is_measured(
    bodied: Callable[..., TrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = body.bench(bodied(), batches=(1,), threads=1, seconds=1e-9)
    assert [each.part for each in done.timings] == ["whole", *PARTS, "answer"]
    assert "pip install 'fewpose[export]'" in done.without


def test_each_part_does_its_work_on_that_photograph(bodied: Callable[..., TrainedModel], people: list[Path]) -> None:
    model = bodied(image=True)
    looking = Looking(model)
    seen = body._seen(looking, people[0])
    told = {row.part: row.call() for row in body._as_predicted(looking, people[0], seen, [2])}
    expected = looking.probabilities([seen])
    np.testing.assert_allclose(told["whole"], expected, atol=1e-6)
    np.testing.assert_allclose(told["answer"], np.repeat(expected, 2, axis=0), atol=1e-6)
    np.testing.assert_array_equal(told["find people"][0].joints, seen.joints)
    assert [each.shape for each in told["features"]] == [(4, 1, 178)] * 2  # of two sides
    assert [each.shape for each in told["trees"]] == [(4, 3)] * 2
    assert [each.shape for each in told["image tower"]] == [(1, 3)]


def test_the_drawn_person_is_found_surely(tmp_path: Path) -> None:
    picture = open_image(draw_person(tmp_path / "drawn.jpg").read_bytes())
    assert (picture.width, picture.height, picture.format) == (1024, 768, "JPEG")
    (person,) = PoseSettings().load().people(picture.image)
    assert person.score > 0.8
    assert person.inside(1024, 768) == 1


def test_a_photograph_that_says_nothing_of_a_posture_is_refused(
    bodied: Callable[..., TrainedModel], people: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"nobody is found in .*nobody\.png"):
        body.bench(bodied(), photograph=people[-1], seconds=1e-9)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UsageError, match=r"text\.jpg can't be read as an image: not an image"):
        body.bench(bodied(), photograph=tmp_path / "text.jpg", seconds=1e-9)
    with pytest.raises(UsageError, match="--batch takes whole numbers"):
        body.bench(bodied(), batches=(0,))


def test_the_command_has_a_column_for_the_parts(
    bodied: Callable[..., TrainedModel], run: Callable[..., tuple[int, str, str]], tmp_path: Path, people: list[Path]
) -> None:
    model = bodied()
    directory.save(tmp_path / "kept", model.about, model.classifier)
    words = ("bench", tmp_path / "kept", "--seconds", "0.001", "--threads", "1", "--batch", "2")
    code, out, _ = run(*words)
    assert code == 0
    heading, *rows = out.splitlines()
    assert heading.split()[:4] == ["with", "what", "from", "images"]
    assert rows[0].split()[:5] == ["predict", "fp32", "whole", "file", "1"]
    code, out, _ = run(*words, "--json", "--image", people[0])
    told = json.loads(out)
    assert [each["part"] for each in told["timings"]] == ["whole", *PARTS, "answer", "whole", "answer"]
    code, _, error = run(*words, "--image", people[-1])
    assert (code, "nobody is found" in error) == (2, True)


def test_a_model_of_images_has_no_parts(
    trained: Callable[..., TrainedModel], run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    model = trained()
    directory.save(tmp_path / "kept", model.about, model.classifier)
    Image.new("RGB", (90, 70)).save(tmp_path / "black.png")
    words = ("bench", tmp_path / "kept", "--seconds", "0.001", "--batch", "1", "--image", tmp_path / "black.png")
    code, out, _ = run(*words, "--device", "cpu")
    assert (code, out.split()[:3]) == (0, ["with", "from", "images"])
