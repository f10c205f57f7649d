"""Small collections of drawn patterns, which untrained features can tell apart."""

import dataclasses
import hashlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from curate.body.poses import shipped
from curate.body.projected import skeletons
from curate.checks.check import check
from curate.collection.directory import REJECT_COLUMNS, Collection
from curate.images.transform import Transform
from curate.models import clip_models
from curate.models.clip_models import ClipModel
from curate.pose.settings import PoseSettings
from fewshot import cli
from fewshot.classifier import CacheHead, Classifier, Head, ImageClassifier, LinearHead, Mixture, powered
from fewshot.methods.pose_prior import PosePrior
from fewshot.sweeping.settings import SweepSettings
from fewshot.task import Draw, Images, ImageStore, Task
from fewshot.trained.about import About
from fewshot.trained.model import TrainedModel
from fewshot.trained.parts import described
from synth.rendering.render import render

SIDE = 64
NO_REJECTS = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in REJECT_COLUMNS.items()})


def pattern(kind: int, number: int) -> np.ndarray:
    """(64, 64, 3) uint8: stripes whose direction, width and colour tell the kind; phase, light and noise vary."""
    random = np.random.default_rng([kind, number])
    angle = 0.4 * kind + random.normal(0, 0.1)
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / (2 + kind) + random.uniform(0, 6))
    colour = np.array([60 + 40 * (kind % 4), 190 - 30 * (kind % 5), 50 + 45 * (kind % 3)])
    picture = colour * (1 + 0.5 * wave[..., None]) + random.normal(0, 12, (SIDE, SIDE, 3)) + random.normal(0, 10)
    result: np.ndarray = picture.clip(0, 255).astype(np.uint8)
    return result


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_image(root: Path, key: str, pixels: np.ndarray, group: str = "", **fields: Any) -> dict[str, Any]:
    """Store a picture in a collection's folder; its row of the image table."""
    content = png(pixels)
    image_id = hashlib.sha256(content).hexdigest()
    file = root / "images" / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return {
        "key": key,
        "id": image_id,
        "label": key.split("/")[0],
        "file": f"images/{key}",
        "source": "import",
        "url": "",
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "format": "PNG",
        "mode": "RGB",
        "frames": 1,
        "bytes": len(content),
        "official_split": "",
        "provenance": "",
        "group": group or image_id,
    } | fields


def make(root: Path, sizes: dict[str, int]) -> Collection:
    """A checked collection with so many different pictures of each class, and, in the first class, one exact copy."""
    collection = Collection.create(root)
    rows = [
        write_image(root, f"{label}/{number}.png", pattern(kind, number))
        for kind, (label, size) in enumerate(sizes.items())
        for number in range(size)
    ]
    first = next(iter(sizes))
    rows.append(write_image(root, f"{first}/copy of 0.png", pattern(0, 0)))
    collection.write(pd.DataFrame(rows), NO_REJECTS)
    check(collection, model=None, rules=["exact_duplicate"])  # the other rules don't think much of such patterns
    return collection


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """These computations are too small to share out, and threads that wait for busy cores are slow."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_collection() -> Callable[[Path, dict[str, int]], Collection]:
    return make


@pytest.fixture(scope="session")
def draw_pattern() -> Callable[[int, int], np.ndarray]:
    return pattern


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Three classes of ten pictures. Tests only read it; what is computed from it is cached in it."""
    return make(tmp_path_factory.mktemp("patterns") / "collection", {"bars": 10, "rings": 10, "waves": 10})


@pytest.fixture
def own_collection(tmp_path: Path) -> Collection:
    """As `collection`, for a test that changes it."""
    return make(tmp_path / "collection", {"bars": 10, "rings": 10, "waves": 10})


@pytest.fixture
def settings(collection: Collection, tmp_path: Path) -> Callable[..., SweepSettings]:
    """Settings of a sweep that takes a second or two; anything can be replaced."""

    def build(**changes: Any) -> SweepSettings:
        values: dict[str, Any] = {
            "collection": collection.root,
            "out": tmp_path / "sweep",
            "shots": (2, 5),
            "splits": 2,
            "model": "tiny/random",
            "device": "cpu",
            "methods": ("zero-shot", "linear-probe"),
        }
        return SweepSettings.of(**(values | changes))

    return build


@pytest.fixture(scope="session")
def tiny() -> ClipModel:
    return clip_models.load("tiny/random", device="cpu")


@dataclass(frozen=True)
class Patterns:
    """So many pictures of each of some kinds, as a method is given them: `draw` to learn from, `test` with `truth`."""

    draw: Draw
    task: Task
    test: Images
    truth: np.ndarray


BODIES = ("tree", "triangle", "bridge", "boat", "cobra")


def bodies_of(labels: np.ndarray) -> np.ndarray:
    """(n, 33, 5): the joints of people in the poses of these numbers, each seen otherwise."""
    each = int(np.bincount(labels).max())
    made, _ = skeletons([shipped()[name] for name in BODIES], views=each, seed=7)
    taken = [int((labels[:place] == label).sum()) for place, label in enumerate(labels.tolist())]
    chosen: np.ndarray = made.reshape(len(BODIES), each, *made.shape[1:])[labels, taken]
    return chosen


@pytest.fixture(scope="session")
def patterns(tiny: ClipModel) -> Callable[..., Patterns]:
    """Patterns by counts of training images a class: `patterns(6, 6, 6)`. bodies: in each a person in BODIES' pose."""

    def build(
        *counts: int, clip: ClipModel = tiny, tested: int = 4, seed: int = 0, templates: int = 1, bodies: bool = False
    ) -> Patterns:
        labels = np.repeat(np.arange(len(counts)), counts)
        truth = np.repeat(np.arange(len(counts)), tested)
        shown = [pattern(kind, 100 + place) for place, kind in enumerate(labels.tolist())]
        shown += [pattern(kind, 1000 + place) for place, kind in enumerate(truth.tolist())]
        side = clip.image_size
        pixels = np.stack([np.asarray(Image.fromarray(each).resize((side, side))) for each in shown])
        ids = [f"{number:064d}" for number in range(len(shown))]
        places = {image: place for place, image in enumerate(ids)}
        joints = bodies_of(np.concatenate([labels, truth])) if bodies else None
        store = ImageStore(
            lambda wanted: pixels[[places[image] for image in wanted]],
            dict(zip(ids, clip.encode_images(pixels), strict=True)),
        )
        if joints is not None:
            store = dataclasses.replace(store, joints=lambda wanted: joints[[places[image] for image in wanted]])
        classes = tuple(f"kind {number}" for number in range(len(counts)))
        sentences = ("a photo of {}", "{} on a mat", "there is a {} here")[:templates]
        texts = tuple(tuple(sentence.replace("{}", name) for sentence in sentences) for name in classes)
        return Patterns(
            Draw(Images.of(store, ids[: len(labels)]), labels, np.arange(len(labels))),
            Task(clip, classes, texts, seed),
            Images.of(store, ids[len(labels) :]),
            truth,
        )

    return build


PATTERNS = ("bars", "rings", "waves")


def head_of(kind: str, features: list[np.ndarray]) -> Head:
    """A head that calls an image by the class, each with its (n, d) features, whose mean it is nearest to."""
    power = 0.5 if kind == "power" else 1.0
    directions = [F.normalize(powered(torch.from_numpy(each), power), dim=1).mean(dim=0) for each in features]
    means = F.normalize(torch.stack(directions), dim=1).double()
    common = F.normalize(means.mean(dim=0), dim=0)
    # All features of an untrained tower point much the same way, which says nothing of a class.
    own = means - (means @ common)[:, None] * common
    weights = own * 4 / own.square().sum(dim=1).mean()
    if kind == "cache":
        return CacheHead(weights, means, np.eye(len(means)), alpha=3.0, beta=5.5)
    return LinearHead(weights, torch.linspace(-0.1, 0.1, len(means)), power)


@pytest.fixture(scope="session")
def trained(draw_pattern: Callable[[int, int], np.ndarray]) -> Callable[..., TrainedModel]:
    """A model that took no training: `trained("tiny/random", "cache", fit="pad")`. In fp32 it can be compared with."""

    def build(
        name: str = "tiny/random", head: str = "linear", *, fit: str = "crop", threshold: float = 0.0
    ) -> TrainedModel:
        clip = clip_models.load(name, device="cpu")
        clip.precision = "fp32"
        transform = Transform(clip.image_size, fit)
        shown = [[Image.fromarray(draw_pattern(kind, number)) for number in range(4)] for kind in range(3)]
        made = head_of(head, [clip.encode_images(np.stack([*map(transform.apply, each)])) for each in shown])
        architecture, quick = clip_models.shape(clip)
        about = About(
            classes=PATTERNS,
            texts=tuple((f"a photo of {each}",) for each in PATTERNS),
            model=name,
            architecture=architecture,
            quick_gelu=quick,
            starting_weights=clip.image_digest,
            transform=transform,
            mean=clip.mean,
            std=clip.std,
            head={"kind": made.kind} | made.settings(),
            method="linear-probe",
            settings={},
            chosen={},
            temperature=1.3,
            threshold=threshold,
            trained_on={"images": 0, "classes": {}},
            measured={},
            versions={},
        )
        model = TrainedModel(about, ImageClassifier(clip.model.visual, made), torch.device("cpu"))
        model.precision = "fp32"
        return model

    return build


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Rendered people in the first three of BODIES, one of them on her side but for its EXIF; and nobody, at last."""
    folder = tmp_path_factory.mktemp("people")
    turned = Image.Exif()
    turned[0x0112] = 6
    for pose in BODIES[:3]:
        render(pose, seed=7, size=320).image.save(folder / f"{pose}.png")
    large = render(BODIES[2], seed=7, size=320, index=1).image.resize((1400, 1400))  # decoded at half its size
    large.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=turned)
    Image.new("RGB", (300, 200), (120, 130, 90)).save(folder / "nobody.png")
    return [folder / name for name in (*(f"{pose}.png" for pose in BODIES[:3]), "turned.jpg", "nobody.png")]


@pytest.fixture(scope="session")
def bodied(trained: Callable[..., TrainedModel]) -> Callable[..., TrainedModel]:
    """A model that tells the first three of BODIES apart by the body, which learned from skeletons alone: `bodied()`.

    `bodied(image=True)` has three sides, one of which looks at pixels, as `trained` does.
    """

    def build(image: bool = False, threshold: float = 0.0) -> TrainedModel:
        poses = [shipped()[name] for name in BODIES[:3]]
        classifier: Classifier = PosePrior(trees=20, views=12).of_poses(poses)
        looks = trained(threshold=threshold)
        if image:
            other = PosePrior(trees=5, views=6).of_poses(poses)
            classifier = Mixture((classifier, looks.classifier, other), (0.8, 1.7, 1.2), (0.5, 0.3, 0.2))
        estimator = PoseSettings().load()
        about = dataclasses.replace(
            looks.about,
            classes=BODIES[:3],
            head=described(classifier),
            method="pose",
            keypoints={"estimator": estimator.name, "digest": estimator.digest},
        )
        model = TrainedModel(about, classifier, torch.device("cpu"))
        model.precision = "fp32"
        return model

    return build


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `fewshot ARGUMENTS` in this process: exit code, stdout, stderr."""

    def start(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fewshot", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.app()
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    return start
