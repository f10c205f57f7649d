"""`curate app` and `curate sync`: parse, call one function, print."""

from pathlib import Path
from typing import Annotated

import typer

from curate.foundation.console import count, say, table


def app(
    collection: Annotated[Path, typer.Argument(help="The collection.")],
    model: Annotated[
        str, typer.Option(help="Whose embeddings; those of the last check unless said.", show_default=False)
    ] = "",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Local weights for --model NAME (.safetensors, .pt).", show_default=False)
    ] = None,
    sweep: Annotated[
        Path | None,
        typer.Option(
            help="A sweep: how often each image was wrong, and as what; with a report, what hurts training.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="5151, or a free one, unless said.", show_default=False)
    ] = None,
    remote: Annotated[bool, typer.Option("--remote", help="Print how to reach the App from another machine.")] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")] = True,
) -> None:
    """Look at a collection in the FiftyOne App: views, search, embeddings, and decisions on what you select.

    It listens on 127.0.0.1 only, since it hands out any file that you can read. The collection is the truth: the
    database in COLLECTION/cache/fiftyone can be deleted, and is made again.

    Example: curate app runs/yoga --sweep runs/sweep1
    """
    from curate.app.launch import Options, launch
    from curate.collection.directory import Collection
    from curate.foundation.errors import UsageError

    if checkpoint and not model:
        raise UsageError(f"--checkpoint {checkpoint} needs --model, the shape that its weights fit")
    launch(Collection.open(collection), Options(model, checkpoint, sweep, port, remote, browser))


def sync(
    collection: Annotated[Path, typer.Argument(help="The collection.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Take tags made in the App over into the ledger: drop, drop:REASON, keep, keep:REASON, relabel:LABEL.

    What would change is shown first. Tags that were taken are removed, all others stay. The App may be open.

    Example: curate sync runs/yoga
    """
    from curate.app import database, dataset, launch
    from curate.app.sync import diff
    from curate.collection.directory import Collection

    opened = Collection.open(collection)
    database.connect(opened, share=True)
    built = dataset.opened(opened)
    if built is None:
        say(f"there are no tags: {collection} was not opened in the App yet; curate app {collection}")
        return
    difference = diff(built, opened)
    if not yes and difference.new:
        table(("image", "what", "label or reason"), ((w.key, w.action, w.value) for w in difference.new), numbers=())
        typer.confirm(f"write {count(len(difference.new), 'entry', 'entries')} to the ledger?", abort=True)
    launch.take_tags(built, opened)
