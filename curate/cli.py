"""The command `curate`: parses, calls one function, prints. Heavy imports happen inside the commands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.app.command import app as open_app
from curate.app.command import sync
from curate.checks.command import check
from curate.collection.commands import drop, keep, log, merge, relabel, sets, undo
from curate.download.command import download
from curate.exporting.command import export
from curate.foundation import console, shared_options
from curate.foundation.console import count, say, table
from curate.foundation.option_flags import command
from curate.foundation.options import option
from curate.foundation.text import command_line
from curate.pose.command import pose
from curate.workers.settings import WorkerSettings

if TYPE_CHECKING:
    from curate.download.results.progress import Progress
    from curate.importing.importer import ImportSummary
    from curate.status import Decided, People, Status

_NAMED = 3  # files named on the terminal where there may be thousands
_HOSTS = 10  # and hosts

commands = console.application(
    "From link lists or a folder of photographs to a collection, and what to know of it.\n\n"
    "Example: curate import photos/ runs/yoga"
)


def app() -> None:
    """Entry point of the console script."""
    console.run(commands)


@commands.callback()
def _curate() -> None:
    """Keeps the commands commands, were there only one of them."""


@commands.command("import")
@command
def import_(
    source: Annotated[Path, typer.Argument(help="A folder with a folder per class, or a table (path,label).")],
    collection: Annotated[Path, typer.Argument(help="The collection to make, or to add to.")],
    link: Annotated[bool, option("Refer to the files where they are; copy nothing.")] = False,
    max_pixels: Annotated[int, option("Pixels, above which an image is rejected.", ge=1)] = 64_000_000,
    max_bytes: Annotated[int, option("Bytes, above which a file is rejected.", ge=1)] = 50_000_000,
    workers: shared_options.Threads = None,
    cache: shared_options.Cache = None,
) -> None:
    """Bring images into a collection. Run again, it adds what is new and changes nothing else.

    What can't be read is counted, named, and kept with its cause in COLLECTION/rejects.parquet.

    Example: curate import photos/ runs/yoga
    """
    from curate.importing.listing import require

    require(source)

    from curate.images.decoding import Limits
    from curate.importing.importer import import_folder
    from curate.status import status as read_status

    limits = Limits(max_pixels=max_pixels, max_bytes=max_bytes)
    summary = import_folder(source, collection, link=link, limits=limits, workers=workers, caches=cache)
    _print_import(summary, read_status(summary.collection))


commands.command()(command(download))
commands.command()(command(pose))
commands.command()(command(check))
for decide in (drop, keep, relabel, undo, log, merge, sets, export):
    commands.command()(command(decide))
commands.command("app")(command(open_app))
commands.command()(command(sync))


@commands.command()
@command
def status(
    collection: shared_options.CollectionPath,
    cache: shared_options.Cache = None,
    json: shared_options.Json = False,
) -> None:
    """Say what a collection holds: classes, copies, conflicts, people, rejects, caches.

    Example: curate status runs/yoga
    """
    from curate.collection.directory import Collection

    opened = Collection.open(collection, cache)

    from curate.status import status as read_status

    found = read_status(opened)
    if json:
        console.say_json(found.json())
    else:
        _print_status(found)


def _print_import(summary: "ImportSummary", found: "Status") -> None:
    there = f", {count(summary.unchanged, 'was', 'were')} there already" if summary.unchanged else ""
    say(
        f"{found.root}: {count(found.images, 'image')} in {count(len(found.classes), 'class', 'classes')} "
        f"({summary.added} added{there})"
    )
    for change in summary.changed[:_NAMED]:
        say(f"  {change.key}: {change.what}")
    if len(summary.changed) > _NAMED:
        say(f"  and {len(summary.changed) - _NAMED} more that differ from what is in the collection")
    _print_warnings(found)
    say(f"next: {command_line('curate', 'status', found.root)}")


def _print_status(found: "Status") -> None:
    linked = f", {found.linked} of them linked" if found.linked else ""
    from_where = ", ".join(f"{number} by {source}" for source, number in found.sources.items())
    say(f"{found.root}: {count(found.images, 'image')}{f' ({from_where}{linked})' if from_where else ''}")
    if found.links:
        _print_links(found, found.links)
    else:
        table(("class", "images"), found.classes.items())
    _print_warnings(found)
    table(("cache", "MB"), ((name, f"{size / 1e6:.1f}") for name, size in found.caches.items()))


def _print_links(found: "Status", links: "Progress") -> None:
    from curate.download import display

    display.totals(links)
    listed = {of.label: (f"{of.links:,}", f"{of.kept / of.links:.0%}") for of in links.classes}
    labels = sorted(found.classes.keys() | listed.keys())
    rows = ((label, found.classes.get(label, 0), *listed.get(label, ())) for label in labels)
    table(("class", "images", "links", "kept"), rows, numbers=(1, 2, 3))
    display.causes(links)
    worst = [host for host in links.hosts if host.dropped][:_HOSTS]
    table(
        ("host", "links", "kept", "dropped", "mostly"),
        ((host.host, f"{host.links:,}", f"{host.kept:,}", f"{host.dropped:,}", host.cause) for host in worst),
        numbers=(1, 2, 3),
    )


def _print_warnings(found: "Status") -> None:
    if found.groups:
        say(
            f"copies: {found.copies} images are {found.groups} pictures (the largest group holds "
            f"{found.largest_group}); no split will separate them"
        )
    for conflict in found.conflicts[:_NAMED]:
        say(f"conflict: the same bytes as {' and as '.join(conflict.labels)}: {', '.join(conflict.keys)}")
    if len(found.conflicts) > _NAMED:
        advice = command_line("curate", "status", found.root, "--json")
        say(f"conflicts: {len(found.conflicts)} in all; {advice} lists them")
    if found.people:
        _print_people(found.people)
    if found.decisions:
        _print_decisions(found.decisions)
    if found.rejects:
        say(f"rejects: {sum(rejects.count for rejects in found.rejects)}, all in {found.root / 'rejects.parquet'}")
        table(("cause", "files", "such as"), ((r.cause, r.count, ", ".join(r.first)) for r in found.rejects))


def _print_people(people: "People") -> None:
    say(
        f"keypoints: {count(people.images, 'image')} looked at by {people.estimator}: {people.one:,} with one person, "
        f"{people.several:,} with several, {people.nobody:,} with nobody"
    )


def _print_decisions(decided: "Decided") -> None:
    disputed = f", {decided.disputed} disputed (curate sets --why names them)" if decided.disputed else ""
    absent = f", {decided.absent} of them not in the collection" if decided.absent else ""
    say(f"decided: {decided.kept} kept, {decided.dropped} dropped, {decided.relabelled} relabelled{disputed}{absent}")


@commands.command()
@command
def embed(
    collection: shared_options.CollectionPath,
    workers: WorkerSettings,
    *,
    model: shared_options.Model = "lite0",
    checkpoint: shared_options.Checkpoint = None,
    device: shared_options.Device = "auto",
    fit: shared_options.Fit = "crop",
    cache: shared_options.Cache = None,
) -> None:
    """Compute CLIP image features of every image; only what is new is decoded and computed.

    Example: curate embed runs/yoga --model ViT-B-32/openai
    """
    from curate.collection.directory import Collection

    opened = Collection.open(collection, cache)

    from curate.models import clip_models, embeddings
    from curate.models.embedding_workers import embed_ahead

    clip = clip_models.load(model, checkpoint=checkpoint, device=device)
    embed_ahead(opened, opened.images(), clip, workers, fit=fit, checkpoint=checkpoint, device=device)
    features = embeddings.embed(opened, opened.images(), clip, fit=fit)
    count, size = features.shape
    say(f"{collection}: {count} images have {size} features each from {clip.name} ({clip.precision})")
