"""The two generators without weights: equal jobs are equal pixels, and each shows what it should."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from curate.foundation.errors import FewposeError, UsageError
from synth.generate import provenance, sources
from synth.generate.augment import LONGEST, Augment
from synth.generate.image_job import ImageJob, Made, Source
from synth.generate.mannequin import SIZE, Mannequin
from synth.generate.settings import Settings
from synth.rendering.render import render

RENDER, CHANGE = Settings(model="mannequin", width=64, height=64), Settings(model="augment")


def job(label: str, index: int, path: Path | None = None) -> ImageJob:
    source = Source(content_id(path), path) if path else None
    return ImageJob(label, index, f"{label}/{index}.png", seed=(1 << 62) + 977 * index, source=source)


def content_id(path: Path) -> str:
    return hashlib.sha256(path.read_bytes() if path.exists() else b"").hexdigest()


def same(one: Made, other: Made) -> bool:
    return one.job == other.job and np.array_equal(np.asarray(one.image), np.asarray(other.image))


def image_of(made: Made) -> Image.Image:
    assert made.image is not None
    return made.image


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that is wider than high, with a person in it."""
    drawn = render("plank", seed=3, size=256).image.crop((0, 64, 256, 224))
    path = tmp_path_factory.mktemp("photo") / "plank.png"
    drawn.save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mannequin", "augment"])
def test_an_image_is_the_same_alone_among_others_and_again(kind: str, photo: Path) -> None:
    generator = Mannequin(RENDER) if kind == "mannequin" else Augment(CHANGE)
    jobs = [job("plank", index, photo if kind == "augment" else None) for index in range(4)]
    together = generator.make(jobs)
    assert [made.job for made in together] == jobs
    assert all(same(one, generator.make([one.job])[0]) for one in reversed(together))
    pictures = [np.asarray(made.image, np.int64) for made in together]
    assert all(np.abs(one - other).mean() > 2 for n, one in enumerate(pictures) for other in pictures[:n])
    facts = generator.facts()
    assert facts["generator"] == kind
    assert facts["weights"] == generator.weights()
    assert provenance.text(facts)


@pytest.mark.slow
def test_a_mannequin_shows_its_class_by_any_of_its_names() -> None:
    made = Mannequin(RENDER).make([job("Tree_Pose_or_Vrksasana_", 0), job("downdog", 0)])
    assert [image_of(each).size for each in made] == [(64, 64)] * 2
    assert all(each.keypoints is not None and each.keypoints.shape == (17, 3) for each in made)
    assert made[0].keypoints is not None
    nose, left_ankle = made[0].keypoints[0], made[0].keypoints[15]
    assert nose[1] < left_ankle[1]
    expected = render("tree", seed=made[0].job.seed, size=64)
    np.testing.assert_array_equal(made[0].keypoints, expected.keypoints)


def test_a_mannequin_of_a_class_that_has_no_pose() -> None:
    with pytest.raises(UsageError, match="for goddess"):
        Mannequin(RENDER).make([job("goddess", 0)])


@pytest.mark.parametrize(("width", "height"), [(64, 128), (None, 2048), (8, None)])
def test_sizes_that_cant_be_rendered(width: int | None, height: int | None) -> None:
    with pytest.raises(UsageError, match="--model mannequin draws"):
        Mannequin(replace(RENDER, width=width, height=height))


def test_the_usual_size() -> None:
    assert Mannequin(Settings(model="mannequin")).size == SIZE


@pytest.mark.slow
def test_no_random_state_is_left_changed(photo: Path) -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"]
    first = Augment(CHANGE).make([job("plank", 1, photo)])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], before[1])
    torch.manual_seed(6)
    assert same(Augment(CHANGE).make([job("plank", 1, photo)])[0], first[0])


@pytest.mark.slow
def test_changes_are_mild_and_leave_no_black_corners(photo: Path) -> None:
    with Image.open(photo) as opened:
        original = np.asarray(opened.convert("RGB"), np.float64)
    mirrored = 0
    for made in Augment(CHANGE).make([job("plank", index, photo) for index in range(30)]):
        assert image_of(made).mode == "RGB"
        assert image_of(made).size == (256, 160)
        pixels = np.asarray(made.image, np.float64)
        corners = [pixels[:4, :4], pixels[:4, -4:], pixels[-4:, :4], pixels[-4:, -4:]]
        assert min(corner.mean() for corner in corners) > 25
        like = [np.corrcoef(pixels.ravel(), one.ravel())[0, 1] for one in (original, original[:, ::-1])]
        assert max(like) > 0.3
        mirrored += like[1] > like[0]
    assert 5 <= mirrored <= 25


def test_sizes_of_changed_images(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.new("RGB", (1200, 600), (90, 140, 60)).save(large)
    assert image_of(Augment(CHANGE).make([job("a", 0, large)])[0]).size == (LONGEST, LONGEST // 2)
    for width, height, expected in ((64, None, (64, 64)), (64, 96, (64, 96))):
        settings = replace(CHANGE, width=width, height=height)
        assert image_of(Augment(settings).make([job("a", 0, large)])[0]).size == expected


def test_a_tiny_and_a_grey_image_can_be_changed(tmp_path: Path) -> None:
    for name, image in {"dot": Image.new("RGB", (1, 1)), "grey": Image.new("L", (40, 3), 128)}.items():
        image.save(tmp_path / f"{name}.png")
        assert image_of(Augment(CHANGE).make([job("a", 0, tmp_path / f"{name}.png")])[0]).size == image.size


def test_a_source_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="say which: --from-draw"):
        Augment(CHANGE).make([job("a", 0)])
    with pytest.raises(FewposeError, match=r"gone\.jpg, which images are made from, cannot be read"):
        Augment(CHANGE).make([job("a", 0, tmp_path / "gone.jpg")])


def test_a_picture_is_laid_whole_into_an_image(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    pixels = np.zeros((50, 100, 3), np.uint8)
    pixels[:, :50], pixels[:, 50:] = (200, 0, 0), (0, 0, 200)
    Image.fromarray(pixels).save(path)
    laid = sources.picture(Source(content_id(path), path), 64, 64)
    assert laid.size == (64, 64)
    for y in (0, 20, 32, 44, 63):  # its edges are drawn out to the rest
        assert laid.getpixel((5, y)) == (200, 0, 0)
        assert laid.getpixel((60, y)) == (0, 0, 200)
    assert sources.picture(Source(content_id(path), path), 40, 64).size == (40, 64)
