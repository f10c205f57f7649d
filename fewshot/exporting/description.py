"""The JSON beside an ONNX file: all that is needed to use it without fewpose, to the byte."""

from importlib.metadata import version
from typing import Any

from curate.images.transform import MOST_ASPECT, PAD_COLOUR, VERSION, Transform
from fewshot.exporting.onnx import INPUT, OUTPUT

FORMAT = 1
PACKAGES = ("fewpose", "torch", "open_clip_torch", "timm", "onnx", "onnxruntime", "onnxscript", "pillow", "numpy")


def inputs_and_outputs(size: int, classes: int) -> dict[str, Any]:
    """Names, types and shapes of what the graph takes and gives, and in which layout."""
    return {
        "input": {
            "name": INPUT,
            "type": "uint8",
            "shape": ["batch", size, size, 3],
            "layout": "image, row from the top, column from the left, channel: red, green, blue",
        },
        "output": {
            "name": OUTPUT,
            "type": "float32",
            "shape": ["batch", classes],
            "meaning": "probabilities that sum to 1, in the order of `classes`, with `temperature` applied",
        },
    }


def preprocessing(transform: Transform) -> dict[str, Any]:
    """From a file to `pixels`, in steps that Pillow takes: curate.images.decoding.open_image, then its Transform.

    8-bit files and 16-bit grey; 32-bit ones, which fewpose stretches to their own range, are not described.
    """
    return {
        "version": VERSION,
        "size": transform.size,
        "fit": transform.fit,
        "resampling": "bicubic",
        "draft": transform.draft_size(),
        "steps": [*_to_rgb(transform), *(_crop(transform.size) if transform.fit == "crop" else _pad(transform.size))],
        "normalisation": "inside the graph",
    }


def versions() -> dict[str, str]:
    """The versions of the packages that wrote the file."""
    return {name: version(name) for name in PACKAGES}


def _to_rgb(transform: Transform) -> list[str]:
    return [
        f"Image.open(FILE); image.draft(None, {transform.draft_size()}): a JPEG is decoded at 1/2, 1/4 or 1/8 where "
        "that is no smaller; of an animation the first frame",
        "ImageOps.exif_transpose(image): upright",
        "mode I;16: (value + 128) // 257, as 8-bit grey",
        "image.has_transparency_data: converted to RGBA and pasted on white by its alpha; else image.convert('RGB')",
    ]


def _crop(size: int) -> list[str]:
    return [
        f"short = the shorter side; a side longer than {MOST_ASPECT} * short loses "
        f"(side - {MOST_ASPECT} * short) // 2 pixels at each end",
        f"image.resize, BICUBIC: the shorter side (both, if equal) to {size}, the other to int({size} * side / short)",
        f"image.crop: {size} x {size} from left = round((width - {size}) / 2), top = round((height - {size}) / 2), "
        "halves rounded to the even number",
    ]


def _pad(size: int) -> list[str]:
    return [
        f"long = the longer side; image.resize, BICUBIC: the longer side (both, if equal) to {size}, the other to "
        f"max(1, int({size} * side / long))",
        f"pasted on {size} x {size} of colour {PAD_COLOUR} at left = ({size} - width) // 2, "
        f"top = ({size} - height) // 2",
    ]
