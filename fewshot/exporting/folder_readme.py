"""What an exported folder says of itself to people."""

from collections.abc import Iterator
from typing import Any

from curate.foundation.markdown import code, escape
from fewshot.exporting import alone

OF_COPIES = '"""Copies of fewpose\'s modules (Apache-2.0), which ../classify.py uses; `fewshot export` made them."""\n'


def how(classifier: dict[str, Any]) -> list[str]:
    """From a picture to probabilities, in sentences; classifier: the entry of model.json."""
    kinds = set(_kinds(classifier))
    return [
        *(_OF_BODY if alone.BODY in kinds else []),
        *(_OF_IMAGE if alone.IMAGE in kinds else []),
        *(_TOGETHER if alone.TOGETHER in kinds else []),
        "probabilities = softmax(logits / temperature); below threshold: none of these",
    ]


_OF_BODY = [
    "joints (33, 5): of the surest person in the upright picture, by the two .tflite files (fewpose/curate/pose)",
    "features (4, 178) float32: of the joints as they are, mirrored, sides swapped, both (curate/pose/posture.py)",
    "body.onnx: features (n, 178) -> shares of the classes (n, classes); logits = log(max(their mean over the four "
    "views, 1/1024)), and all 0 where nobody was found",
]
_OF_IMAGE = [
    "pixels (size, size, 3) uint8: by `transform` (curate/images/transform.py)",
    "image.onnx: pixels -> probabilities, with a temperature inside; logits = log(probabilities)",
]
_TOGETHER = [
    "together: sum of weight * log_softmax(side / temperature) over the sides, divided by the sum of the weights; a "
    "side whose logits are all alike is left out (mixed in fewshot/logits.py)",
]


def text(about: dict[str, Any]) -> str:
    """Markdown, of what model.json says."""
    body = bool(about["keypoints"])
    parts = [
        "# A classifier of human postures",
        f"Tells {len(about['classes'])} classes apart: {escape(', '.join(about['classes']))}.",
        "## Use",
        "```\npip install -r requirements.txt        # Python 3.11 or later; neither torch nor fewpose\n"
        "python classify.py PHOTO.jpg ...\n```",
        "A line for each picture: the class and how probable it is, or `none of these`"
        f"{_threshold(about)}. {_nobody(about)}A file that cannot be read is one line of error; the others go on, and "
        "the exit code is 1. Where no picture is named it is 2.",
        "In a program: `from classify import opened`, then `opened().tell(content)` with the bytes of a file.",
        "## What is in it",
        "\n".join(_files(about)),
        "How a picture becomes probabilities: `model.json`, under `how`, beside the temperature and the threshold.",
        "## Licence",
        _licence(body),
    ]
    return "\n\n".join(parts) + "\n"


def _nobody(about: dict[str, Any]) -> str:
    kinds = set(_kinds(about["classifier"]))
    if alone.BODY not in kinds:
        return ""
    if alone.IMAGE in kinds:
        return "Where nobody is found, what looks at the pixels answers alone. "
    return "Where nobody is found, the answer is `none of these (nobody was found in it)`. "


def _threshold(about: dict[str, Any]) -> str:
    return f" where that is below {about['threshold']:.3g}" if about["threshold"] else ""


def _files(about: dict[str, Any]) -> Iterator[str]:
    says = {"body": "trees on postures", "image": "what looks at the pixels"}
    for name, file in about["files"].items():
        what = says.get(name.partition(".")[0].partition("-")[0], "finds people and their joints")
        yield f"- {code(name)}: {what}; {file['bytes'] / 1e6:.1f} MB, sha256 {file['sha256'][:16]}..."
    yield "- `fewpose/`: copies of the modules of fewpose that `classify.py` takes"


def _licence(body: bool) -> str:
    ours = "`classify.py` and the modules in `fewpose/` are fewpose's, under the Apache License 2.0"
    theirs = (
        "; so are the weights of BlazePose in the two `.tflite` files, which are Google's (MediaPipe) and unchanged"
        if body
        else ""
    )
    return (
        f"{ours}{theirs} (`LICENSE`, or https://www.apache.org/licenses/LICENSE-2.0). The rights in the images that "
        "the model learned from, and the licence of what it began with, hold for the ONNX files."
    )


def _kinds(classifier: dict[str, Any]) -> Iterator[str]:
    yield classifier["kind"]
    for each in classifier.get("sides", ()):
        yield from _kinds(each)
