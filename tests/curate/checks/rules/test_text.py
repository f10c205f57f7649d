"""Much text and repeated watermarks are flagged by the defaults; photographs and small captions are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from curate.checks.measures.measurements import measure
from curate.checks.rules.rule import Inputs
from curate.checks.rules.text import TEXT
from curate.collection.directory import Collection
from curate.images.signatures import Signatures
from curate.importing.importer import import_folder

LINES = [
    "Keep both feet on the mat",
    "Lift your hips to the sky",
    "Breathe, and stay a while",
    "Then rest as a child does",
]


def photo() -> Image.Image:
    """Soft shapes and noise."""
    random = np.random.default_rng(1)
    image = Image.fromarray(random.integers(120, 220, (5, 6, 3)).astype(np.uint8)).resize((384, 320))
    draw = ImageDraw.Draw(image)
    draw.ellipse((150, 60, 200, 110), fill=(190, 140, 120))
    draw.rectangle((140, 110, 210, 260), fill=(40, 60, 120))
    noise = random.normal(scale=3, size=(320, 384, 1))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def written(lines: list[str], size: int = 18, colour: str = "black") -> Image.Image:
    image = photo()
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((30, 20 + 1.5 * size * number), line, fill=colour, font_size=size)
    return image


def watermarked(alpha: float) -> Image.Image:
    image = photo()
    layer = Image.new("L", (1400, 1400))
    for y in range(0, 1400, 80):
        for x in range(0, 1400, 200):
            ImageDraw.Draw(layer).text((x, y), "SAMPLE", fill=255, font_size=32)
    layer = layer.rotate(30).crop((500, 540, 884, 860)).point(lambda value: int(value * alpha))
    image.paste((255, 255, 255), (0, 0), layer)
    return image


TEXTS: dict[str, Callable[[], Image.Image]] = {
    "dark text": lambda: written(LINES),
    "light text": lambda: written(LINES, colour="white"),
    "small text": lambda: written(LINES * 2, size=13),
    "large title": lambda: written(["DOWNWARD", "FACING DOG", "EXPLAINED"], size=44),
    "watermark": lambda: watermarked(0.3),
}


def test_texts_are_flagged_and_pictures_without_are_not(tmp_path: Path) -> None:
    fine: dict[str, Callable[[], Image.Image]] = {
        "photo": photo,
        "a word in the corner": lambda: written(["yoga journal"], size=12),
        "fence": _fence,
        "blank": lambda: Image.new("RGB", (384, 320), "white"),
    }
    for name, make in (TEXTS | fine).items():
        file = tmp_path / "photos" / "tree" / f"{name}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        make().save(file, quality=90)
    import_folder(tmp_path / "photos", tmp_path / "collection")
    collection = Collection.open(tmp_path / "collection")
    with Signatures(collection) as signatures:
        inputs = Inputs(collection, collection.images(), signatures, None, "none", 1)
        found = TEXT.run(inputs, TEXT.parameters).assign(name=lambda table: [Path(key).stem for key in table["key"]])
    assert found["score"].between(0, 1).all()
    assert set(found["name"][found["score"] >= TEXT.parameters["threshold"]]) == set(TEXTS)
    detail = dict(zip(found["name"], found["detail"], strict=True))
    assert detail["watermark"] == "a faint mark repeats over the picture"
    assert "letter-like shapes in" in detail["dark text"]


def _fence() -> Image.Image:
    """Thin bars side by side, far longer than letters."""
    image = photo()
    for x in range(10, 380, 12):
        ImageDraw.Draw(image).line((x, 0, x, 319), fill="white", width=3)
    return image


def test_letters_and_rows_are_counted() -> None:
    numbers = measure(written(["UHNEMTLF", "HELMETUN"], size=24))
    assert numbers["rows"] == 2
    assert numbers["letters"] == 16
    assert 0.02 < numbers["text_area"] < 0.1


def test_a_faint_mark_repeats_more_than_the_photograph_does() -> None:
    assert measure(watermarked(0.3))["repetition"] > 2 * measure(photo())["repetition"]
