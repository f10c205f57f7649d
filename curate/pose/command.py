"""`curate pose`: its options, and what it prints."""

from typing import TYPE_CHECKING

from curate.foundation import console, shared_options
from curate.foundation.console import count, say
from curate.pose.settings import PoseSettings
from curate.workers.settings import WorkerSettings

if TYPE_CHECKING:
    from curate.pose.estimating import Estimated


def pose(
    collection: shared_options.CollectionPath,
    settings: PoseSettings,
    workers: WorkerSettings,
    *,
    cache: shared_options.Cache = None,
    json: shared_options.Json = False,
) -> None:
    """Find the people in every image, with 33 keypoints each; only what is new is looked at.

    Example: curate pose runs/yoga
    """
    from curate.collection.directory import Collection

    opened = Collection.open(collection, cache)
    settings.found()  # says what is wrong, before tables are loaded

    from curate.pose import estimating

    with opened.locked():
        found = estimating.estimate(opened, opened.images(), settings, workers)
    if json:
        console.say_json(_told(found))
    else:
        _print(str(opened.root), found)


def _told(found: "Estimated") -> dict[str, object]:
    people = found.keypoints.counts()
    return {
        "images": len(people),
        "new": found.new,
        "people": {str(number): int((people == number).sum()) for number in sorted(set(people.tolist()))},
        "unreadable": found.unreadable,
    }


def _print(root: str, found: "Estimated") -> None:
    people = found.keypoints.counts()
    one, several, nobody = ((people == 1).sum(), (people > 1).sum(), (people == 0).sum())
    say(
        f"{root}: {count(len(people), 'image')} looked at, {found.new:,} of them now: {one:,} with one person, "
        f"{several:,} with several, {nobody:,} with nobody"
    )
    found.note()
