"""No person, or several: what a detector counts. Optional: it needs weights, which it never downloads by itself."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.checks.rules.rule import CannotRun, Inputs, Rule
from curate.collection.findings import Kind
from curate.foundation import console
from curate.images import originals
from curate.images.decoding import NO_LIMITS, Unreadable, open_image
from curate.models import checkpoints

VARIABLE = "FEWPOSE_PERSON_DETECTOR"  # names a file of weights
# torchvision's FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1
URL = "https://download.pytorch.org/models/fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth"
SIDE = 640  # pixels, at least, of what is decoded; the detector itself scales the shorter side to 320
BATCH = 8  # images
PERSON = 1  # COCO's number


def not_one_person(inputs: Inputs, parameters: Mapping[str, float]) -> pd.DataFrame:
    """No person, or several, by torchvision's detector: the score is how sure it is of the second person, or unsure of
    the first.

    parameters: `smallest`, the area of a second person as a part of the first one's, below which they are background.
    Images that cannot be read any more are named on the terminal and left out. Raises CannotRun without weights.
    """
    detector = load(weights())
    found, unreadable = [], []
    with console.progress("counting people", len(inputs.images)) as advance:
        for start in range(0, len(inputs.images), BATCH):
            rows = inputs.images.iloc[start : start + BATCH]
            keys, pictures = [], []
            for key, file, content_id in zip(rows["key"], rows["file"], rows["id"], strict=True):
                try:
                    pictures.append(_picture(originals.read(inputs.collection, file, content_id)))
                    keys.append(key)
                except Unreadable as problem:
                    unreadable.append(f"{key}: {problem}")
            for key, (boxes, scores) in zip(keys, detect(detector, pictures), strict=True):
                found.append((key, *judged(boxes, scores, parameters["smallest"])))
            advance(len(rows))
    if unreadable:
        said = f"people cannot be counted in {console.count(len(unreadable), 'image')}, such as {unreadable[0]}"
        console.note(said)
    return pd.DataFrame(found, columns=["key", "score", "detail"])


def judged(boxes: np.ndarray, scores: np.ndarray, smallest: float) -> tuple[float, str]:
    """A score, and what it says.

    boxes: (m, 4) of persons, left, top, right, bottom in pixels.  scores: (m,), the detector's confidence.
    The first person is the one that it is surest of.
    """
    if not len(scores):
        return 1.0, "no person"
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    others = scores[1:][areas[1:] >= smallest * areas[0]]
    nobody, second = 1 - float(scores[0]), float(others.max(initial=0))
    if nobody >= second:
        return nobody, f"a person with confidence {scores[0]:.2f}"
    return second, f"a second person with confidence {second:.2f}"


def weights() -> Path:
    """The file of weights, named by the environment or in torch's cache. Raises CannotRun."""
    cached = _hub() / "checkpoints" / Path(URL).name
    named = os.environ.get(VARIABLE)
    file = Path(named) if named else cached
    if file.is_file():
        return file
    lacking = f"{VARIABLE} names {named}, which is no file" if named else "it needs a person detector's weights"
    shown = str(cached).replace(str(Path.home()), "~", 1)  # checks.json is shared, and names no user
    raise CannotRun(f"{lacking}; download {URL} (74 MB) to {shown}, or set {VARIABLE} to where it is")


def _hub() -> Path:
    """torch's cache, as `torch.hub.get_dir` says it: most have no weights there, and need not load torch to know."""
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{caches}/torch")).expanduser() / "hub"


def load(file: Path) -> Any:
    """torchvision's Faster R-CNN with these weights (Ren et al., arXiv 1506.01497). Raises CannotRun."""
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    detector = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    try:
        checkpoints.fill(detector, file)
    except checkpoints.NotItsWeights as error:
        name = "fasterrcnn_mobilenet_v3_large_320_fpn"
        raise CannotRun(f"{file} does not hold weights of torchvision's {name}; download them again") from error
    return detector.eval()


def detect(detector: Any, pictures: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each picture, (height, width, 3) uint8, the boxes (m, 4) of persons in pixels, and confidences (m,)."""
    import torch

    if not pictures:
        return
    tensors = [torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255 for picture in pictures]
    with torch.inference_mode():
        for found in detector(tensors):
            persons = found["labels"] == PERSON
            yield found["boxes"][persons].numpy(), found["scores"][persons].numpy()


def _picture(content: bytes) -> np.ndarray:
    return np.asarray(open_image(content, limits=NO_LIMITS, draft=(SIDE, SIDE)).image)


NOT_ONE_PERSON = Rule(
    "not_one_person",
    "no person, or several",
    1,
    Kind.CONTENT,
    False,
    {"threshold": 0.5, "smallest": 0.25},
    not_one_person,
)
