"""docs/examples/classify.py, which users copy, says what fewpose says, without fewpose and torch, to the byte."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from curate.images.decoding import open_image
from fewshot.exporting import export
from fewshot.trained.model import TrainedModel

pytestmark = pytest.mark.slow

pytest.importorskip("onnxruntime", reason="needs pip install 'fewpose[export]'")

PROGRAM = Path(__file__).parents[3] / "docs" / "examples" / "classify.py"
# Runs the program where none of these can be imported, and keeps the pixels that it made.
ALONE = """
import runpy, sys
for name in ("torch", "torchvision", "open_clip", "timm", "fewshot", "curate", "onnx"):
    sys.modules[name] = None
program, out, *sys.argv[1:] = sys.argv[1:]
names = runpy.run_path(program, run_name="__main__")
pixels = [names["prepared"](names["opened"](file, names["size"]), names["size"], names["fit"]) for file in sys.argv[2:]]
names["np"].save(out, names["np"].stack(pixels))
"""


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Its corners differ, so that any turn shows."""
    random = np.random.default_rng([width, height])
    soft = Image.fromarray(random.integers(0, 256, (7, 9, 3), np.uint8)).resize((width, height))
    ImageDraw.Draw(soft).rectangle((0, 0, width // 3, height // 4), fill=(250, 10, 20))
    return soft.convert(mode)


def files(folder: Path) -> list[Path]:
    """What people have: turned, transparent, grey, 16-bit, animated, large, and very long pictures."""
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        picture(301, 200).save(folder / f"turned {turn}.jpg", exif=exif)
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(1500, 1100).save(folder / "large and turned.jpg", exif=turned, progressive=True)
    picture(90, 70).save(folder / "turned.png", exif=turned)
    picture(90, 70).save(folder / "turned.webp", exif=turned, lossless=True)
    picture(2000, 1300).save(folder / "large.jpg")
    picture(120, 80, "CMYK").save(folder / "cmyk.jpg")
    picture(120, 80, "L").save(folder / "grey.jpg")
    picture(120, 80, "1").save(folder / "bits.png")
    palette = picture(130, 100).quantize(16)
    palette.save(folder / "palette.png", transparency=3)
    palette.save(folder / "palette, alphas.png", transparency=bytes(range(0, 256, 16)))
    palette.save(folder / "animated.gif", save_all=True, append_images=[picture(130, 100).quantize(8)], transparency=2)
    layer = picture(111, 140, "RGBA")
    layer.putalpha(picture(111, 140, "L"))
    layer.save(folder / "alpha.png")
    layer.convert("LA").save(folder / "grey, alpha.png")
    picture(64, 99).save(folder / "one colour clear.png", transparency=(250, 10, 20))
    deep = (np.asarray(picture(77, 88, "L")).astype(np.uint16) * 251) + 13
    Image.fromarray(deep).save(folder / "16 bits.png")
    Image.fromarray(deep).save(folder / "16 bits.tif")
    picture(101, 64).save(folder / "turned.tif", exif=turned)
    for name, size in {"wide": (3000, 2), "tall": (3, 901), "line": (1, 400), "odd": (65, 64), "dot": (1, 1)}.items():
        picture(*size).save(folder / f"{name}.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_it_makes_the_same_pixels_and_says_the_same(
    trained: Callable[..., TrainedModel], draw_pattern: Callable[[int, int], np.ndarray], tmp_path: Path, fit: str
) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for kind in range(3):
        Image.fromarray(draw_pattern(kind, 50)).save(folder / f"kind {kind}.png")
    model = trained(fit=fit, threshold=0.9)
    found, transform = files(folder), model.about.transform
    opened = [open_image(file.read_bytes(), draft=transform.draft_size()).image for file in found]
    expected = np.stack([transform.apply(image) for image in opened])
    made = export.export(model, tmp_path / "yoga.onnx")

    command: list[str | Path] = [sys.executable, "-c", ALONE, PROGRAM, tmp_path / "pixels.npy", made.onnx, *found]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    pixels = np.load(tmp_path / "pixels.npy")
    assert [file.name for file, a, b in zip(found, pixels, expected, strict=True) if (a != b).any()] == []
    said = [line.removeprefix(f"{file}: ") for file, line in zip(found, done.stdout.splitlines(), strict=True)]
    answers = {line.rpartition(" ")[0] for line in said}
    assert "none of these" in answers
    assert len(answers) > 2
    for line, row in zip(said, model.probabilities(expected), strict=True):
        answer, _, number = line.rpartition(" ")
        assert float(number.strip("()")) == pytest.approx(row.max(), abs=6e-4)
        if abs(row.max() - model.about.threshold) > 1e-4:
            assert answer == (model.classes[row.argmax()] if row.max() > model.about.threshold else "none of these")


def test_it_is_short() -> None:
    assert len(PROGRAM.read_text().splitlines()) < 60
