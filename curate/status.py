"""What a collection holds, counted: for `curate status`, and for what an import says at its end."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from curate.collection import sets
from curate.collection.directory import Collection
from curate.collection.ledger import Ledger
from curate.pose import keypoints

if TYPE_CHECKING:
    from curate.download.results.progress import Progress

_NAMED = 3  # rejects named for each cause; all of them are in rejects.parquet


@dataclass(frozen=True)
class Conflict:
    """The same bytes under several labels: at most one of them is right."""

    id: str
    keys: list[str]
    labels: list[str]


@dataclass(frozen=True)
class Rejects:
    """What could not be read, of one cause."""

    cause: str
    count: int
    first: list[str]  # some keys


@dataclass(frozen=True)
class Decided:
    """What people decided and holds, counted by content."""

    kept: int
    dropped: int
    relabelled: int
    disputed: int  # what people disagree on counts for none of these
    absent: int  # images with decisions that the collection doesn't hold; they wait for them


@dataclass(frozen=True)
class People:
    """What was found in the images in which people were looked for, counted by content."""

    images: int
    estimator: str
    one: int  # images with one person
    several: int
    nobody: int


@dataclass(frozen=True)
class Status:
    root: Path
    images: int
    classes: dict[str, int]  # label, by the ledger: images
    sources: dict[str, int]  # import, download, synthetic: images
    linked: int  # images that stay where they were
    groups: int  # of copies: groups that hold more than one image
    copies: int  # images in these groups
    largest_group: int
    conflicts: list[Conflict]
    rejects: list[Rejects]  # links excepted: what became of them is in `links`
    caches: dict[str, int]  # name: bytes on disk
    links: "Progress | None" = None  # where something was downloaded
    decisions: Decided | None = None  # where something was decided
    people: People | None = None  # where some were looked for

    def json(self) -> dict[str, Any]:
        """For scripts: plain types, the keys as above."""
        return asdict(self) | {"root": str(self.root)}


def status(collection: Collection) -> Status:
    """Count what a collection holds, links and decisions among it. Raises FewposeError for an unreadable table."""
    images = sets.labelled(collection)
    groups = images["group"].value_counts()
    groups = groups[groups > 1]
    rejects, links = collection.rejects(), None
    if collection.file("links.parquet").exists():
        from curate.download.results import progress  # what a folder of photographs needs nothing of

        table = progress.link_states(collection)
        rejects, links = rejects[~rejects["key"].isin(table["key"])], progress.Progress.counted(table)
    return Status(
        root=collection.root,
        images=len(images),
        classes=_counts(images["label"]),
        sources=_counts(images["source"]),
        linked=sum(Path(file).is_absolute() for file in images["file"]),
        groups=len(groups),
        copies=int(groups.sum()),
        largest_group=int(groups.max()) if len(groups) else min(1, len(images)),
        conflicts=conflicts(images),
        rejects=_rejects(rejects),
        caches={path.name: _size(path) for path in sorted(collection.cache().glob("*")) if not path.is_symlink()},
        links=links,
        decisions=_decided(collection, images),
        people=_people(collection, images),
    )


def _people(collection: Collection, images: pd.DataFrame) -> People | None:
    found = keypoints.read(collection)
    counts = found.counts()
    counts = counts[counts.index.isin(images["id"])]
    one, several, nobody = (int(those.sum()) for those in (counts == 1, counts > 1, counts == 0))
    return People(len(counts), found.estimator, one, several, nobody) if len(counts) else None


def _decided(collection: Collection, images: pd.DataFrame) -> Decided | None:
    state = Ledger(collection).state()
    verdicts = Counter(state.verdict.values())
    decided = Decided(
        kept=verdicts["keep"],
        dropped=verdicts["drop"],
        relabelled=len(state.label),
        disputed=len(state.disputed),
        absent=len(state.ids() - set(images["id"])),
    )
    return decided if state.ids() else None


def conflicts(images: pd.DataFrame) -> list[Conflict]:
    """Content ids that stand under several labels, by their first key. images: rows of the image table."""
    several = images.groupby("id")["label"].transform("nunique") > 1
    found = [
        Conflict(str(content_id), sorted(rows["key"]), sorted(set(rows["label"])))
        for content_id, rows in images[several].groupby("id")
    ]
    return sorted(found, key=lambda conflict: conflict.keys)


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}


def _rejects(table: pd.DataFrame) -> list[Rejects]:
    """By cause, the most frequent first."""
    found = [Rejects(str(cause), len(rows), sorted(rows["key"])[:_NAMED]) for cause, rows in table.groupby("cause")]
    return sorted(found, key=lambda rejects: (-rejects.count, rejects.cause))


def _size(path: Path) -> int:
    files: Iterable[Path] = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
