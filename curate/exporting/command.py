"""`curate export`: its options, and what it prints."""

from pathlib import Path
from typing import Annotated

import typer

from curate.foundation import shared_options
from curate.foundation.console import count, say
from curate.foundation.options import option


def export(
    collection: shared_options.CollectionPath,
    out: Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)],
    set_: Annotated[str, option("Training set to write: unfiltered or filtered.", flag="--set")] = "filtered",
    form: Annotated[
        str, option("Format to write it in: folder, csv, webdataset, fiftyone or coco.", flag="--format")
    ] = "folder",
    link: Annotated[bool, option("Make hard links instead of copies: who edits one edits the collection.")] = False,
    shard_size: Annotated[int, option("Number of images in a tar file of webdataset.", ge=1)] = 1000,
) -> None:
    """Write a training set for other programs, whole or not at all, with a manifest.json that has its digest.

    coco has the people in the images with their keypoints: what curate pose has not found yet is found first.

    Example: curate export runs/yoga yoga-filtered --set filtered --format webdataset
    """
    from curate.collection.directory import Collection

    opened = Collection.open(collection)

    from curate.exporting.export import export as write

    done = write(opened, out, name=set_, form=form, link=link, shard_size=shard_size)
    say(
        f"{out}: {count(done.images, 'image')} in {count(len(done.classes), 'class', 'classes')} as {done.format}, "
        f"{done.set} {done.digest}"
    )
