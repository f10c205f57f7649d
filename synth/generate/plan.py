"""From settings and a collection to the list of images that are to be made: each with its key, seed and prompt."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from curate.collection import synthetic, yoga82
from curate.collection.directory import Collection
from curate.collection.sets import labelled
from curate.exporting.names import folder_name
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.text import command_line
from curate.workers.opening import in_order
from curate.workers.settings import WorkerSettings
from synth.generate import control, prompts, skeletons, sources
from synth.generate.image_job import Control, ImageJob, Source
from synth.generate.image_job import seed as seed_of
from synth.generate.prompts import Grammar
from synth.generate.settings import AUGMENT, KEYPOINTS, MANNEQUIN, RENDERER, WITHOUT_WEIGHTS, Settings, Wanted

_THIS_PROCESS = WorkerSettings(workers=1)
_MANY = 200  # skeletons, from which on several processes are worth their start


@dataclass(frozen=True)
class _Anchor:
    """A real image that some images of a class belong to: they are made from it, show its skeleton, or both.

    id: stands for it in keys and seeds.
    """

    id: str
    source: Source | None
    control: Control | None


def plan(
    collection: Collection,
    settings: Settings,
    wanted: Wanted,
    weights: str,
    workers: WorkerSettings = _THIS_PROCESS,
) -> list[ImageJob]:
    """`wanted.per_class` images of each class, class after class for each number, so that a run that is stopped early
    has made as many of each.

    weights: the digest of the model's weights.  workers: who looks for people in photographs, where needed.

    The same image is always the same job: more images a class, more classes or a larger draw only add jobs.
    Images made from real ones are shared out evenly among those of their class, in the order of the draw's ranking.
    Raises UsageError or FewposeError, in one sentence, for what can't be done.
    """
    images, classes = asked(collection, settings, wanted)
    grammar = None if settings.model in WITHOUT_WEIGHTS else Grammar.load(settings.grammar)
    made = _JobMaker(settings, grammar, digest(settings, weights))
    anchors = _anchors(collection, images, settings, wanted, classes, workers)
    jobs = [
        made.around(label, anchors[label], number) if anchors is not None else made.free(label, number)
        for number in range(wanted.per_class)
        for label in classes
    ]
    return _with_skeletons(jobs, settings)


def asked(collection: Collection, settings: Settings, wanted: Wanted) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The whole image table with the ledger's labels, and the classes that are asked for.

    Raises as `plan` for all that is wrong whatever the weights are; loads no torch.
    """
    _check(settings, wanted)
    images = labelled(collection)
    classes = _classes(collection, images, wanted)
    if settings.model == MANNEQUIN or (settings.controlnet and settings.control == RENDERER):
        _require({label: control.poses_of(label) for label in classes}, "no pose of data/poses.yaml (see: synth poses)")
    return images, classes


def digest(settings: Settings, weights: str) -> str:
    """8 hex digits over all that the images of a plan have in common, in their keys and in their provenance."""
    parts = [weights]
    if settings.model not in WITHOUT_WEIGHTS:
        parts.append(Grammar.load(settings.grammar).digest)
    if settings.controlnet and settings.control == RENDERER:
        parts.append(control.poses_digest())
    # What a grammar says counts, not where it lies.
    return replace(settings, grammar="").digest(" ".join(parts))


@dataclass(frozen=True)
class _JobMaker:
    """Makes the jobs of a plan. grammar: None where the model reads no prompts."""

    settings: Settings
    grammar: Grammar | None
    digest: str

    def free(self, label: str, index: int) -> ImageJob:
        """Image `index` of a class, made from nothing."""
        return ImageJob(
            label=label,
            index=index,
            key=self._key(label, f"{index:05d}"),
            seed=seed_of(self.settings.seed, label, index, self.digest),
            prompt=self._prompt(label, index, self.settings.seed, bool(self.settings.controlnet), None),
            negative=self._negative(),
        )

    def around(self, label: str, anchors: tuple[_Anchor, ...], number: int) -> ImageJob:
        """Image `number` of a class: number k of its anchor, and the same whatever other anchors there are."""
        anchor, index = anchors[number % len(anchors)], number // len(anchors)
        return ImageJob(
            label=label,
            index=index,
            key=self._key(label, f"{anchor.id[:10]}-{index:03d}"),
            seed=seed_of(self.settings.seed, label, index, self.digest + anchor.id),
            prompt=self._prompt(
                label, index, _own_seed(self.settings, label, anchor.id), bool(self.settings.controlnet), anchor.source
            ),
            negative=self._negative(),
            source=anchor.source,
            control=anchor.control,
        )

    def _key(self, label: str, number: str) -> str:
        ending = "jpg" if self.settings.format == "jpeg" else "png"
        return f"{folder_name(label)}/synthetic-{self.digest}-{number}.{ending}"

    def _prompt(self, label: str, index: int, seed: int, controlled: bool, source: Source | None) -> str:
        if self.grammar is None:
            return ""
        template = prompts.SOURCE if source else prompts.CONTROL if controlled else prompts.FREE
        return self.grammar.prompt(label, index, seed, template)

    def _negative(self) -> str:
        if self.grammar is None:
            return ""
        return self.grammar.negative if self.settings.negative is None else self.settings.negative


def _own_seed(settings: Settings, label: str, anchor: str) -> int:
    """A seed for what is chosen anew for each real image."""
    return seed_of(settings.seed, label, 0, anchor)


def _check(settings: Settings, wanted: Wanted) -> None:
    if settings.model == AUGMENT and not wanted.from_draw:
        raise UsageError(f"--model {AUGMENT} changes real images; say which: --from-draw split=0,shots=6")
    if settings.model == MANNEQUIN and wanted.from_draw:
        raise UsageError(f"--model {MANNEQUIN} draws from no real image; leave out --from-draw")
    if settings.ip_adapter and not wanted.from_draw:
        raise UsageError("--ip-adapter shows the model real images; say which: --from-draw split=0,shots=6")


def _classes(collection: Collection, images: pd.DataFrame, wanted: Wanted) -> tuple[str, ...]:
    """The labels that are meant, sorted."""
    labels = sorted(set(synthetic.real(images)["label"]))
    if not labels:
        raise FewposeError(
            f"{collection.root} has no photographs yet; "
            f"first: {command_line('curate', 'import', 'PHOTOS', collection.root)}"
        )
    if not wanted.classes:
        return tuple(labels)
    meant = {name: _meant(name, labels) for name in wanted.classes}
    if unknown := [name for name, label in meant.items() if label is None]:
        raise UsageError(f"--classes: the collection has no {', '.join(unknown)}; it has {', '.join(labels)}")
    return tuple(sorted({label for label in meant.values() if label is not None}))


def _meant(name: str, labels: Iterable[str]) -> str | None:
    """The label of that name, or the one that is another name of the same pose of Yoga-82."""
    if name in labels:
        return name
    pose = yoga82.find(name)
    same = [label for label in labels if pose is not None and yoga82.find(label) == pose]
    return same[0] if len(same) == 1 else None


def _require(found: Mapping[str, object], lacking: str) -> None:
    """Raises UsageError naming the classes for which nothing was found."""
    if without := [label for label, what in found.items() if not what]:
        raise UsageError(f"there is {lacking} for {', '.join(without)}; name the other classes with --classes")


def _anchors(
    collection: Collection,
    images: pd.DataFrame,
    settings: Settings,
    wanted: Wanted,
    classes: tuple[str, ...],
    workers: WorkerSettings,
) -> dict[str, tuple[_Anchor, ...]] | None:
    """The anchors of each class; None where images are made from nothing that is real."""
    if not wanted.from_draw and settings.control != KEYPOINTS:
        return None
    drawn = sources.of_classes(collection, images, sources.FromDraw.parse(wanted.from_draw or sources.POOL))
    drawn = {label: drawn.get(label, sources.Sources((), {})) for label in classes}
    _require({label: of.sources for label, of in drawn.items()}, "no real image in the draw")
    if settings.control != KEYPOINTS:
        return {label: tuple(_Anchor(source.id, source, None) for source in of.sources) for label, of in drawn.items()}
    ids = {source.id for of in drawn.values() for source in of.sources}
    known, lacking = skeletons.of_photographs(collection, images, ids, workers)
    shape = (settings.width or settings.height or 1, settings.height or settings.width or 1)
    anchors = {
        label: tuple(
            _posed(source, known[source.id], of.sizes[source.id], shape, made_from=bool(wanted.from_draw))
            for source in of.sources
            if source.id in known
        )
        for label, of in drawn.items()
    }
    _require(anchors, f"{lacking} {'the draw' if wanted.from_draw else 'the collection'}")
    return anchors


def _posed(
    source: Source, points: np.ndarray, picture: tuple[int, int], image: tuple[int, int], made_from: bool
) -> _Anchor:
    """The anchor of an image whose skeleton is used; other keypoints make another one."""
    shown = control.from_keypoints(source.id, points, picture, image)
    return _Anchor(control.digest(shown), source if made_from else None, shown)


def _with_skeletons(jobs: list[ImageJob], settings: Settings) -> list[ImageJob]:
    """The jobs, each with a skeleton of its own where a ControlNet asks for one and none was stored."""
    if not settings.controlnet or settings.control != RENDERER:
        return jobs
    views = [_view(job, settings) for job in jobs]
    asked = WorkerSettings(workers=0 if len(views) >= _MANY else 1)
    drawn = in_order(control.from_renderer, views, asked)
    return [replace(job, control=skeleton) for job, skeleton in zip(jobs, drawn, strict=True)]


def _view(job: ImageJob, settings: Settings) -> control.View:
    """From the user's seed alone, not from the settings: other models are shown the same skeletons."""
    poses = control.poses_of(job.label)
    seed = _own_seed(settings, job.label, job.source.id) if job.source else settings.seed
    return control.View(poses[job.index % len(poses)], seed, job.index)
