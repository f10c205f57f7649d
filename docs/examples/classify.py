"""Tell what photographs show, by a model that `fewshot export` wrote.

    pip install onnxruntime pillow
    python classify.py yoga.onnx PHOTO.jpg ...

yoga.json, which says how pictures are prepared and what the classes are, lies beside yoga.onnx.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def opened(file: str, size: int) -> Image.Image:
    """A file as an upright RGB picture; what is transparent is white."""
    with Image.open(file) as image:
        image.draft(None, (2 * size, 2 * size))  # a JPEG need not be decoded at its full size
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(layer, mask=layer.getchannel("A"))
    return white


def prepared(image: Image.Image, size: int, fit: str) -> np.ndarray:
    """The picture as (size, size, 3) uint8: its middle ("crop"), or all of it with a border ("pad")."""
    side = min(image.size) if fit == "crop" else max(image.size)
    if fit == "crop":  # of a very long strip, only the middle
        cut = [max(0, length - 128 * side) // 2 for length in image.size]
        image = image.crop((cut[0], cut[1], image.width - cut[0], image.height - cut[1]))
    width, height = (size if length == side else max(1, int(size * length / side)) for length in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    if fit == "crop":
        left, top = round((width - size) / 2), round((height - size) / 2)
        return np.asarray(image.crop((left, top, left + size, top + size)))
    square = Image.new("RGB", (size, size), (123, 117, 104))
    square.paste(image, ((size - width) // 2, (size - height) // 2))
    return np.asarray(square)


model, *files = sys.argv[1:]
about = json.loads(Path(model).with_suffix(".json").read_text("utf-8"))
size, fit = about["preprocessing"]["size"], about["preprocessing"]["fit"]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
for file in files:
    pixels = prepared(opened(file, size), size, fit)
    (probabilities,) = session.run(["probabilities"], {"pixels": pixels[None]})[0]
    best = probabilities.argmax()
    known = probabilities[best] >= about["threshold"]
    print(f"{file}: {about['classes'][best] if known else 'none of these'} ({probabilities[best]:.3f})")
