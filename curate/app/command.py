"""`curate app` and `curate sync`: parse, call one function, print."""

from typing import Annotated

import typer

from curate.app.options import Options
from curate.foundation import shared_options
from curate.foundation.console import count, say, table
from curate.foundation.options import option
from curate.foundation.text import command_line


def app(collection: shared_options.CollectionPath, options: Options) -> None:
    """Look at a collection in the FiftyOne App: views, search, embeddings, and decisions on what you select.

    It listens on 127.0.0.1 only, shows pictures of the collection and no other file, and answers no browser but the one
    that was given the address with its key. The collection is the truth: the database in COLLECTION/cache/fiftyone can
    be deleted, and is made again; only tags that were not synced are lost with it.

    Example: curate app runs/yoga --sweep runs/sweep1
    """
    from curate.collection.directory import Collection

    opened = Collection.open(collection, options.cache)

    from curate.app import launch

    launch.launch(opened, options)
    launch.end()


def sync(
    collection: shared_options.CollectionPath,
    yes: Annotated[bool, option("Write to the ledger without asking.")] = False,
    cache: shared_options.Cache = None,
) -> None:
    """Take tags made in the App over into the ledger: drop, drop:REASON, keep, keep:REASON, relabel:LABEL.

    What would change is shown first. Tags that were taken are removed, all others stay. The App may be open.

    Example: curate sync runs/yoga
    """
    from curate.collection.directory import Collection

    opened = Collection.open(collection, cache)

    from curate.app import database, dataset, launch
    from curate.app.sync import diff

    with database.damage_named(database.connect(opened, share=True)):
        built = dataset.opened(opened)
        if built is None:
            advice = command_line("curate", "app", collection)
            say(f"there are no tags: {collection} was not opened in the App yet; {advice}")
            return
        difference = diff(built, opened)
        if not yes and difference.new:
            rows = ((wish.key, wish.action, wish.value) for wish in difference.new)
            table(("image", "what", "label or reason"), rows, numbers=())
            typer.confirm(f"write {count(len(difference.new), 'entry', 'entries')} to the ledger?", abort=True)
        launch.take_tags(built, opened)
