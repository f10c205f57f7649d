"""Do the maps of `fewshot explain` tell what a classifier goes by?

Faithfulness is insertion less deletion (benchmarks/faithfulness.py) for the class that is predicted, the share is the
part of a map's relevance that falls on the person, of which the renderer knows every pixel. Compared, image by image,
with maps of nothing that are as coarse and smooth, and with a Gaussian in the middle of the picture, where people are.

* photographs: test images of photos18 (split 0), `lite0` with a linear probe of 20 images a class
* joints of photographs: the same test images, and trees on postures of 20 images a class (the method `pose`)
* joints of skeletons: as that, of the same ten poses, skeletons projected from joint angles instead of photographs
* mannequins: rendered images of 10 poses, `lite0` with a linear probe of 20 images a class
* transformer: the same poses, and a small vision transformer (96 px, patches of 12, 6 blocks of width 128) that learned
  them from scratch, from 300 images a class, since no weights of one can be had here

Claims, each with the 95 % interval over images of the paired difference above 0:
1. On photographs our maps are more faithful than noise and than the centre.
2. On mannequins more of their relevance falls on the person than of noise and of the centre, and than the person's part
   of the picture.
3. Of the transformer, they are more faithful than noise, the centre, the last block's attention as it is, and Grad-CAM
   of its tokens; and more of their relevance falls on the person than of these, and of rollout.
4. Of joints, parts of the body that are taken away, or become known, in the order of their contributions are more
   faithful than random orders, and the answer changes after fewer of them; they are more faithful, too, where a part is
   not taken away but becomes that of another test image's body (faithfulness_other).
Measured without a claim: the logit instead of the log odds as a score; Grad-CAM for lite0; and two other orders of
joints, from the outside in, and by what the absence of each part alone does to the answer.

    python -m benchmarks.explain             the whole
    python -m benchmarks.explain --quick     a part, less than a minute, without the transformer
    python -m benchmarks.explain --only 'joints of photographs,joints of skeletons'
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import explained_joints
from benchmarks.common import PHOTOS, chosen, earlier, write_result
from benchmarks.faithfulness import centred, deletion_and_insertion, interval, share, smooth_noise
from curate.collection.directory import Collection
from curate.images.decoding import open_image, read_file
from curate.images.transform import Transform
from curate.importing.importer import import_folder
from curate.models import clip_models
from curate.models.normalisation import Normalisation
from curate.sweeps.records import Trial
from curate.workers.opening import in_order
from curate.workers.settings import WorkerSettings
from fewshot.classifier import Head, LinearHead, of_images
from fewshot.explaining.attention import AttentionRecorder, copy_with_explicit_attention
from fewshot.explaining.convolution import Scored
from fewshot.explaining.relevance import enlarged, relevance
from fewshot.explaining.score import log_odds, logit
from fewshot.logits import softmax
from fewshot.methods.linear_probe import LinearProbe
from fewshot.sweeping import plan as planning
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.settings import SweepSettings
from fewshot.sweeping.trial import Runner
from fewshot.task import Draw, Images, ImageStore, Task
from fewshot.trained.fitting import Fitting
from fewshot.training.low_rank import shared_copy
from synth.rendering.render import render

RUNS = Path(__file__).resolve().parents[1] / "runs" / "benchmarks" / "explain"
POSES = (*("tree", "warrior_ii", "downward_dog", "plank", "boat", "camel", "triangle", "bridge", "cobra", "chair"),)
SHOTS = 20
SIDE, PATCH, WIDTH = 96, 12, 128  # of the transformer: pixels, those of a patch, and numbers a token
SHARP = 10.0  # the length of its features
OURS = "ours"
TRIAL = Trial("unfiltered", "linear-probe", SHOTS, 0)


@dataclass(frozen=True)
class Scale:
    """How much is measured: photographs, rendered test images a pose, of the transformer training images a pose and
    epochs, and bodies of which parts are taken away.
    """

    photographs: int
    mannequins: int
    learned: int
    epochs: int
    bodies: int


WHOLE, QUICK = Scale(200, 12, 300, 10, 100), Scale(24, 1, 24, 2, 8)


@dataclass(frozen=True)
class Subject:
    """A classifier, and images (n, s, s, 3) uint8 that it is asked about; `masks` (n, s, s): where the person is."""

    tower: Any
    head: Head
    normalise: Normalisation
    pixels: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None = None

    @cached_property
    def looking(self) -> nn.Module:
        device = self.normalise.device
        result: nn.Module = clip_models.for_use(copy.deepcopy(self.tower), clip_models.native_precision(device))
        return result

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        return softmax(self.head.scores(clip_models.encode(self.looking, self.normalise, pixels)))

    def images(self) -> Tensor:
        return self.normalise(torch.from_numpy(self.pixels))


# ---- the classifiers --------------------------------------------------------------------------------------------


def photos18() -> tuple[Collection, Plan]:
    import_folder(PHOTOS / "photos18", RUNS / "photos18", link=True)
    collection = Collection.open(RUNS / "photos18")
    settings = SweepSettings.of(
        collection.root, RUNS / "none", methods=("linear-probe",), shots=(SHOTS,), splits=1, short="drop"
    )
    return collection, planning.make(settings)


def photographs(scale: Scale) -> Subject:
    collection, plan = photos18()
    runner = Runner(plan, clip_models.load("lite0", device="cpu"))
    fitting = Fitting(runner, TRIAL)
    (fitted,) = fitting.fit([fitting.everything()], [""])
    test = plan.split(0).test
    test = test.iloc[np.linspace(0, len(test) - 1, min(scale.photographs, len(test))).astype(int)]
    transform = Transform(runner.clip.image_size)
    pixels = [
        transform.apply(open_image(read_file(collection.path(file)), draft=transform.draft_size()).image)
        for file in test["file"]
    ]
    made = of_images(fitted.classifier())
    return Subject(made.tower, made.head, runner.clip.normalise, np.stack(pixels), runner.labels(test))


@dataclass(frozen=True)
class Drawing:
    pose: str
    seed: int
    size: int
    index: int


def draw_one(asked: Drawing) -> tuple[np.ndarray, np.ndarray]:
    drawn = render(asked.pose, seed=asked.seed, size=asked.size, index=asked.index)
    return np.asarray(drawn.image), drawn.mask


def mannequins(seed: int, size: int, per_pose: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (n, s, s, 3), masks (n, s, s) and labels (n,), drawn once."""
    file = RUNS / f"mannequins-{seed}-{size}-{per_pose}.npz"
    if not file.exists():
        asked = [Drawing(pose, seed, size, index) for pose in POSES for index in range(per_pose)]
        pictures, masks = zip(*in_order(draw_one, asked, WorkerSettings()), strict=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, pixels=np.stack(pictures), masks=np.stack(masks))
    with np.load(file) as arrays:
        return arrays["pixels"], arrays["masks"], np.repeat(np.arange(len(POSES)), per_pose)


def probe(scale: Scale) -> Subject:
    """lite0 with a linear probe of mannequins."""
    clip = clip_models.load("lite0", device="cpu")
    pixels, _, labels = mannequins(1, clip.image_size, SHOTS)
    ids = [str(number) for number in range(len(labels))]
    store = ImageStore(lambda wanted: pixels, dict(zip(ids, clip.encode_images(pixels), strict=True)))
    draw = Draw(Images.of(store, ids), labels, np.arange(len(labels)))
    task = Task(clip, POSES, tuple((pose,) for pose in POSES), 0)
    made = of_images(LinearProbe().fit(draw, task).classifier())
    tested, masks, truth = mannequins(2, clip.image_size, scale.mannequins)
    return Subject(made.tower, made.head, clip.normalise, tested, truth, masks)


def transformer(scale: Scale) -> Subject:
    """A vision transformer of open_clip's that learns the poses from scratch, once."""
    torch.manual_seed(0)
    tower = open_clip.transformer.VisionTransformer(SIDE, PATCH, WIDTH, 6, 4, 4.0, output_dim=WIDTH)
    last = nn.Linear(WIDTH, len(POSES))
    normalise = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), torch.device("cpu"))
    file = RUNS / f"transformer-{scale.learned}-{scale.epochs}.pt"
    both = nn.ModuleList([tower, last])
    if file.exists():
        both.load_state_dict(torch.load(file, weights_only=True))
    else:
        learn(tower, last, normalise, scale)
        torch.save(both.state_dict(), file)
    tested, masks, truth = mannequins(2, SIDE, scale.mannequins)
    head = LinearHead(SHARP * last.weight, last.bias)
    return Subject(tower.eval().requires_grad_(False), head, normalise, tested, truth, masks)


def learn(tower: nn.Module, last: nn.Linear, normalise: Normalisation, scale: Scale) -> None:
    pixels, _, labels = mannequins(3, SIDE, scale.learned)
    parameters = [*tower.parameters(), *last.parameters()]
    steps = scale.epochs * (len(labels) // 64)
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=max(steps, 2), pct_start=0.1)
    for batch in batches(len(labels), scale.epochs):
        images = jittered(normalise(torch.from_numpy(pixels[batch])))
        with torch.autocast("cpu", torch.bfloat16, enabled=clip_models.has_native_bf16(normalise.device)):
            features = tower(images)
        said = last(SHARP * F.normalize(features.float(), dim=1))
        loss = F.cross_entropy(said, torch.from_numpy(labels[batch]), label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def batches(count: int, epochs: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for _ in range(epochs):
        order = random.permutation(count)
        yield from (order[start : start + 64] for start in range(0, count - 63, 64))


def jittered(images: Tensor) -> Tensor:
    """Mirrored, and moved by up to 8 pixels, half of the time."""
    down, right = (int(torch.randint(-8, 9, ())) for _ in range(2))
    moved = F.pad(images, (8, 8, 8, 8), mode="replicate")[..., 8 + down :, 8 + right :][..., :SIDE, :SIDE]
    return torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, moved.flip(3), moved)


# ---- the maps ---------------------------------------------------------------------------------------------------


def maps(subject: Subject, classes: np.ndarray) -> dict[str, np.ndarray]:
    """Every kind of map (n, s, s), ours first."""
    images, targets, size = subject.images(), torch.from_numpy(classes), subject.pixels.shape[1]
    ours = relevance(subject.tower, subject.head, images, targets)
    others = relevance(subject.tower, subject.head, images, targets, of=logit)
    made = {OURS: ours, "ours of the logit": others}
    score = log_odds(subject.head, targets)
    if isinstance(subject.tower, open_clip.transformer.VisionTransformer):
        made |= of_transformer(subject, score, images)
    else:
        model = Scored(shared_copy(subject.tower), score)
        last = LayerGradCam(model, model.tower.get_submodule("trunk.bn2"))
        made["Grad-CAM"] = last.attribute(images.requires_grad_(), relu_attributions=True)[:, 0].detach()
    enlargements = {name: enlarged(each, size).numpy() for name, each in made.items()}
    places = ours.shape[1]
    return enlargements | {
        "noise": smooth_noise(len(classes), size, places),
        "centre": centred(len(classes), size),
    }


def of_transformer(subject: Subject, score: Any, images: Tensor) -> dict[str, Tensor]:
    """What others take: the last block's attention, rollout (Abnar and Zuidema 2020), Grad-CAM of the last block."""
    opened = copy_with_explicit_attention(subject.tower)
    with torch.no_grad(), AttentionRecorder() as seen:
        opened(images)
    layers = [weights.detach().mean(1) for weights in seen.weights]
    row = layers[-1][:, :1] * 0
    row[:, :, 0] = 1
    for layer in reversed(layers):
        row = (row + row @ layer) / 2
    grid = subject.tower.grid_size
    held: list[Tensor] = []

    def hold(layer: nn.Module, given: Any, result: Tensor) -> None:
        held.append(result.requires_grad_())

    opened.transformer.resblocks[-1].ln_1.register_forward_hook(hold)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(score(opened(images)).sum(), held)
    cam = (held[0] * slope[:, 1:].mean(1, keepdim=True)).sum(2).clamp(min=0).detach()
    named = {"last attention": layers[-1][:, 0], "rollout": row[:, 0], "Grad-CAM": cam}
    return {name: each[:, 1:].unflatten(1, grid) for name, each in named.items()}


# ---- what is measured -------------------------------------------------------------------------------------------


def measure(subject: Subject) -> dict[str, Any]:
    """Faithfulness of each kind of map and ours less each other, image by image; of mannequins the shares, too."""
    classes = subject.probabilities(subject.pixels).argmax(axis=1)
    begun = time.perf_counter()
    kinds = maps(subject, classes)
    seconds = (time.perf_counter() - begun) / len(classes)
    curves = {
        name: deletion_and_insertion(subject.probabilities, subject.pixels, classes, each)
        for name, each in kinds.items()
    }
    faithful = {name: inserted - deleted for name, (deleted, inserted) in curves.items()}
    found: dict[str, Any] = {
        "images": len(classes),
        "accuracy": round(float((classes == subject.labels).mean()), 4),
        "seconds_an_image_for_all_maps": round(seconds, 3),
        "deletion": {name: interval(deleted) for name, (deleted, _) in curves.items()},
        "insertion": {name: interval(inserted) for name, (_, inserted) in curves.items()},
        "faithfulness": {name: interval(each) for name, each in faithful.items()},
        "faithfulness_ours_less": less(faithful),
    }
    if subject.masks is not None:
        shares = {name: share(each, subject.masks) for name, each in kinds.items()}
        shares["area"] = subject.masks.mean(axis=(1, 2))
        found["share"] = {name: interval(each) for name, each in shares.items()}
        found["share_ours_less"] = less(shares)
    return found


def less(values: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: interval(values[OURS] - each) for name, each in values.items() if name != OURS}


def above(found: dict[str, Any], what: str, *others: str) -> bool:
    """Whether ours is told to be more than each of the others."""
    return all(found[f"{what}_ours_less"][name]["low"] > 0 for name in others)


def say(name: str, found: dict[str, Any]) -> None:
    print(f"{name}: {found['images']} images, accuracy {found['accuracy']:.3f}")
    for what in ("faithfulness", "share"):
        for kind, each in found.get(what, {}).items():
            difference = found[f"{what}_ours_less"].get(kind)
            told = f", ours less it {signed(difference)}" if difference else ""
            print(f"  {what:12} {kind:18} {each['mean']:.3f}{told}", flush=True)


def measured_before(quick: bool) -> dict[str, Any]:
    """What the last run found, by the names of MAKERS."""
    return {name: each for name in MAKERS for each in [earlier("explain", name, quick=quick)] if each}


def signed(found: dict[str, float]) -> str:
    return f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"


def joints_of_photographs(scale: Scale) -> dict[str, Any]:
    collection, plan = photos18()
    split = plan.split(TRIAL.split)
    bodies = explained_joints.of_photographs(collection, plan.draw(split, TRIAL), split.test, scale.bodies)
    return explained_joints.measure(bodies)


def joints_of_skeletons(scale: Scale) -> dict[str, Any]:
    return explained_joints.measure(explained_joints.of_skeletons(POSES, SHOTS, scale.bodies))


def claims_of(name: str, found: dict[str, Any]) -> dict[str, bool]:
    if name in JOINTS:
        return explained_joints.holds(found)
    return {f"{what} of {words}": above(found, what, *others) for of, what, words, others in CLAIMS if of == name}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help=f"some of {', '.join(MAKERS)}, with commas; the others are kept")
    options = parser.parse_args()
    scale = QUICK if options.quick else WHOLE
    found = {} if not options.only else measured_before(options.quick)
    for name in chosen(parser, options.only, tuple(MAKERS)):
        if name in NEED_PHOTOGRAPHS and not (PHOTOS / "photos18").is_dir():
            print(f"left out: {name}, which need ../shared/data/photos18 beside the maintainers' checkouts")
        elif not (options.quick and name == "transformer"):  # it would learn too little
            found[name] = MAKERS[name](scale)
            (explained_joints.say if name in JOINTS else say)(name, found[name])
    claims = {f"{name}: {claim}": holds for name in found for claim, holds in claims_of(name, found[name]).items()}
    write_result("explain", {"claim": __doc__, "claims": claims} | found, quick=options.quick)
    print(
        "explain: " + "; ".join(f"{claim}: {'holds' if holds else 'DOES NOT HOLD'}" for claim, holds in claims.items())
    )
    return 0 if all(claims.values()) else 1


MAKERS: dict[str, Callable[[Scale], dict[str, Any]]] = {
    "photographs": lambda scale: measure(photographs(scale)),
    "mannequins": lambda scale: measure(probe(scale)),
    "transformer": lambda scale: measure(transformer(scale)),
    "joints of photographs": joints_of_photographs,
    "joints of skeletons": joints_of_skeletons,
}
JOINTS = {"joints of photographs", "joints of skeletons"}
NEED_PHOTOGRAPHS = {"photographs", "joints of photographs"}
BASES, RAW = ("noise", "centre"), ("last attention", "Grad-CAM")
CLAIMS = (
    ("photographs", "faithfulness", "ours above noise and centre", BASES),
    ("mannequins", "share", "ours above noise, centre and the person's area", (*BASES, "area")),
    ("transformer", "faithfulness", "ours above noise, centre, raw attention and Grad-CAM", (*BASES, *RAW)),
    ("transformer", "share", "ours above all others", (*BASES, *RAW, "rollout", "area")),
)


if __name__ == "__main__":
    sys.exit(main())
