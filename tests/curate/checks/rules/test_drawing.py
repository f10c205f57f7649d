"""Flat drawings are flagged by the defaults; photographs are not, before a plain white background least of all."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from curate.checks.measures.measurements import measure
from curate.checks.rules.drawing import DRAWING
from curate.checks.rules.rule import CannotRun, Inputs
from curate.collection.directory import Collection
from curate.images.signatures import Signatures
from curate.importing.importer import import_folder

LIMBS = [(160, 90, 160, 190), (160, 110, 60, 110), (160, 110, 260, 110), (160, 190, 90, 280), (160, 190, 230, 280)]


def figure(colour: str, outline: int = 0, background: str = "white") -> Image.Image:
    """A flat figure with its arms out; `outline`, where it is not 0, draws it in black lines that wide instead."""
    image = Image.new("RGB", (320, 320), background)
    draw = ImageDraw.Draw(image)
    if outline:
        for limb in LIMBS:
            draw.line(limb, fill="black", width=34)
        for limb in LIMBS:
            draw.line(limb, fill=colour, width=34 - 2 * outline)
    else:
        for limb in LIMBS:
            draw.line(limb, fill=colour, width=30)
    draw.ellipse((135, 40, 185, 90), fill=colour, outline="black" if outline else None, width=outline or 1)
    return image


def shaded(figure_of: Image.Image, background: Image.Image, seed: int = 0) -> Image.Image:
    """The same figure as a camera would see it: soft edges, light from one side, cloth and skin, noise."""
    random = np.random.default_rng(seed)
    mask = np.asarray(figure_of.convert("L").resize((160, 160)).resize((320, 320), Image.Resampling.BICUBIC))
    mask = 1 - mask[..., None] / 255
    light = np.asarray(Image.fromarray(random.integers(60, 220, (9, 9, 3)).astype(np.uint8)).resize((320, 320)))
    ramp = np.linspace(0.15, 1, 320)[None, :, None]
    pixels = (
        np.asarray(background) * (1 - mask) + light * ramp * mask + random.normal(scale=3, size=(320, 320, 1)) * mask
    )
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def studio(seed: int = 0) -> Image.Image:
    return shaded(figure("black"), Image.new("RGB", (320, 320), "white"), seed)


def outdoors() -> Image.Image:
    random = np.random.default_rng(3)
    scene = Image.fromarray(random.integers(0, 255, (40, 40, 3)).astype(np.uint8)).resize((320, 320))
    return shaded(figure("black"), scene)


DRAWINGS: dict[str, Callable[[], Image.Image]] = {
    "silhouette": lambda: figure("black"),
    "comic": lambda: figure("orange", outline=3),
    "line drawing": lambda: figure("white", outline=2),
    "poster": lambda: figure("red", outline=2, background="gold"),
}
PHOTOGRAPHS: dict[str, Callable[[], Image.Image]] = {
    "before white": studio,
    "before white, another light": lambda: studio(5),
    "outdoors": outdoors,
    "grey": lambda: studio(2).convert("L").convert("RGB"),
    "a small figure before white": lambda: _small(studio()),
}


def _small(image: Image.Image) -> Image.Image:
    page = Image.new("RGB", (320, 320), "white")
    page.paste(image.resize((80, 80)), (120, 120))
    return page


@pytest.fixture
def flagged(tmp_path: Path) -> Callable[[dict[str, Image.Image]], set[str]]:
    """Import pictures, as JPEG, and say which the rule flags by its defaults."""

    def run(pictures: dict[str, Image.Image]) -> set[str]:
        for name, picture in pictures.items():
            file = tmp_path / "photos" / "tree" / f"{name}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file, quality=88)
        import_folder(tmp_path / "photos", tmp_path / "collection")
        collection = Collection.open(tmp_path / "collection")
        with Signatures(collection) as signatures:
            found = DRAWING.run(
                Inputs(collection, collection.images(), signatures, None, "none", 1), DRAWING.parameters
            )
        assert found["score"].between(0, 1).all()
        assert found["detail"].str.contains("colours make 90 %").all()
        worst = found[found["score"] >= DRAWING.parameters["threshold"]]
        return {Path(key).stem for key in worst["key"]}

    return run


@pytest.mark.slow
def test_flat_drawings_are_flagged_and_photographs_are_not(
    flagged: Callable[[dict[str, Image.Image]], set[str]],
) -> None:
    pictures = {name: make() for name, make in (DRAWINGS | PHOTOGRAPHS).items()}
    assert flagged(pictures) == set(DRAWINGS)


def test_a_white_background_alone_makes_no_drawing() -> None:
    """The same subject before white and before grey has nearly the same numbers."""
    white = measure(studio())
    grey = measure(shaded(figure("black"), Image.new("RGB", (320, 320), (200, 200, 200))))
    assert white["colours"] == pytest.approx(grey["colours"], abs=0.3)
    assert white["plain"] == grey["plain"] == 1


def test_colours_counts_those_of_the_subject() -> None:
    image = Image.new("RGB", (200, 200), "white")
    draw = ImageDraw.Draw(image)
    for number, colour in enumerate(("red", "lime", "blue", "gold")):
        draw.rectangle((20, 20 + 40 * number, 180, 59 + 40 * number), fill=colour)
    assert np.expm1(measure(image)["colours"]) == pytest.approx(4)


@pytest.mark.parametrize("size", [(1, 1), (1, 384), (384, 1), (2, 2), (384, 384)])
def test_pictures_of_any_shape_are_measured(size: tuple[int, int]) -> None:
    assert np.isfinite(list(measure(Image.new("RGB", size, "teal")).values())).all()


def test_it_cannot_run_where_no_file_is_left(tmp_path: Path) -> None:
    (tmp_path / "photos" / "tree").mkdir(parents=True)
    studio().save(tmp_path / "photos" / "tree" / "a.png")
    import_folder(tmp_path / "photos", tmp_path / "collection")
    collection = Collection.open(tmp_path / "collection")
    for file in (tmp_path / "collection" / "images").rglob("*.png"):
        file.unlink()
    with Signatures(collection) as signatures, pytest.raises(CannotRun, match="can be read"):
        DRAWING.run(Inputs(collection, collection.images(), signatures, None, "none", 1), DRAWING.parameters)
