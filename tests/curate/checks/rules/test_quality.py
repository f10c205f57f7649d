"""What cannot be seen well is flagged by the defaults, and what can is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from scipy.ndimage import uniform_filter1d

from curate.checks.measures.measurements import measure
from curate.checks.rules import quality
from curate.checks.rules.rule import CannotRun, Inputs, Rule
from curate.collection.directory import Collection
from curate.images.signatures import Signatures
from curate.importing.importer import import_folder


def photo(seed: int = 1, width: int = 320, height: int = 240) -> Image.Image:
    """A figure before a soft background, with fine texture all over, as of a photograph in focus."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(90, 220, (4, 4, 3)).astype(np.uint8)).resize((width, height))
    draw = ImageDraw.Draw(image)
    for x, y, *colour in random.integers(0, 240, (30, 5)).tolist():
        draw.line((x, y, width - y, height - x // 2), fill=tuple(colour), width=3)
    texture = random.normal(scale=3, size=(height, width, 1))
    return Image.fromarray(np.clip(np.asarray(image) + texture, 0, 255).astype(np.uint8))


def enlarged(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 4, image.height // 4)).resize(image.size, Image.Resampling.BICUBIC)


def moved(image: Image.Image) -> Image.Image:
    return Image.fromarray(uniform_filter1d(np.asarray(image), 9, axis=1))


def noisy(grey: int) -> Image.Image:
    pixels = np.random.default_rng(0).normal(grey, 3, (240, 320))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert("RGB")


def figure_before_white() -> Image.Image:
    image = Image.new("RGB", (320, 320), "white")
    image.paste(photo(2, 60, 200), (130, 60))
    return image


FINE: dict[str, Callable[[], Image.Image]] = {
    "photo": photo,
    "a figure before white": figure_before_white,
    "in low light": lambda: ImageEnhance.Brightness(photo()).enhance(0.6),
    "bright": lambda: ImageEnhance.Brightness(photo()).enhance(1.3),
    "soft contrast": lambda: ImageEnhance.Contrast(photo()).enhance(0.5),
    "wide": lambda: photo(3, 480, 200),
    "small": lambda: photo(4, 140, 120),
}

BAD: dict[str, tuple[Rule[Any], Callable[[], Image.Image]]] = {
    "tiny": (quality.TOO_SMALL, lambda: photo(1, 90, 300)),
    "a strip": (quality.ODD_ASPECT, lambda: photo(1, 640, 200)),
    "a column": (quality.ODD_ASPECT, lambda: photo(1, 200, 640)),
    "out of focus": (quality.BLURRY, lambda: photo().filter(ImageFilter.GaussianBlur(2))),
    "enlarged": (quality.BLURRY, lambda: enlarged(photo())),
    "moved": (quality.BLURRY, lambda: moved(photo())),
    "night": (quality.DARK, lambda: ImageEnhance.Brightness(photo()).enhance(0.2)),
    "washed out": (quality.BRIGHT, lambda: Image.blend(photo(), Image.new("RGB", (320, 240), "white"), 0.95)),
    "a white page": (quality.LOW_INFORMATION, lambda: Image.new("RGB", (320, 240), "white")),
    "a grey page with noise": (quality.LOW_INFORMATION, lambda: noisy(128)),
}

RULES = (
    quality.TOO_SMALL,
    quality.ODD_ASPECT,
    quality.BLURRY,
    quality.DARK,
    quality.BRIGHT,
    quality.LOW_INFORMATION,
)


@pytest.fixture(scope="module")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """By rule, which of the pictures above are flagged, saved as JPEG of quality 60."""
    root = tmp_path_factory.mktemp("quality")
    for name, make in [*FINE.items(), *((name, make) for name, (_, make) in BAD.items())]:
        (root / "photos" / name).mkdir(parents=True)
        make().save(root / "photos" / name / "1.jpg", quality=60)
    import_folder(root / "photos", root / "yoga")
    collection = Collection.open(root / "yoga")
    with Signatures(collection) as signatures:
        inputs = Inputs(collection, collection.images(), signatures, None, "none", 2)
        found = {rule.name: rule.run(inputs, rule.parameters) for rule in RULES}
    assert all(table["score"].between(0, 1).all() for table in found.values())
    return {
        rule.name: set(found[rule.name].query(f"score >= {rule.parameters['threshold']}")["key"].str.split("/").str[0])
        for rule in RULES
    }


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_seen_is_flagged(flagged: dict[str, set[str]], name: str) -> None:
    assert name in flagged[BAD[name][0].name]


@pytest.mark.parametrize("name", FINE)
def test_what_can_be_seen_is_not(flagged: dict[str, set[str]], name: str) -> None:
    assert [rule for rule, names in flagged.items() if name in names] == []


def test_a_blank_page_is_not_called_blurry(flagged: dict[str, set[str]]) -> None:
    assert flagged["blurry"].isdisjoint({"a white page", "a grey page with noise"})


def test_sharpness_does_not_depend_on_contrast() -> None:
    low = ImageEnhance.Contrast(photo()).enhance(0.5)
    assert measure(low)["sharpness"] == pytest.approx(measure(photo())["sharpness"], rel=0.05)


def test_without_any_file_there_is_nothing_to_measure(tmp_path: Path) -> None:
    (tmp_path / "photos/tree").mkdir(parents=True)
    photo().save(tmp_path / "photos/tree/1.jpg")
    import_folder(tmp_path / "photos", tmp_path / "yoga", link=True)
    (tmp_path / "photos/tree/1.jpg").unlink()
    collection = Collection.open(tmp_path / "yoga")
    with Signatures(collection) as signatures:
        inputs = Inputs(collection, collection.images(), signatures, None, "none", 1)
        with pytest.raises(CannotRun, match="none of the image files can be read"):
            quality.DARK.run(inputs, quality.DARK.parameters)
        assert len(quality.TOO_SMALL.run(inputs, quality.TOO_SMALL.parameters)) == 1


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("folder", ["photos18", "photos5_noisy"])
def test_few_real_photographs_are_blurry_and_all_are_when_blurred(shared_data: Path, folder: str) -> None:
    files = sorted((shared_data / folder).glob("*/*.jpg"))[::10]
    limit = 1 - quality.BLURRY.parameters["threshold"]
    sharp = [measure(image)["sharpness"] for image in map(opened, files)]
    blurred = [measure(opened(file).filter(ImageFilter.GaussianBlur(2)))["sharpness"] for file in files[:60]]
    assert np.mean(np.array(sharp) <= limit) < 0.01
    assert np.mean(np.array(blurred) <= limit) > 0.98


def opened(file: Path) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("RGB")
