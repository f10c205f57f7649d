"""Open the App over a collection, wait until the user ends it, and take the tags over into the ledger."""

import atexit
import getpass
import html
import os
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from curate.app import database, dataset, fiftyone_library, index, predictions, service, sync
from curate.app.index import Features
from curate.app.options import Options
from curate.collection import findings, synthetic
from curate.collection.directory import Collection
from curate.foundation.console import count, say
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.text import command_line

DEFAULT_MODEL = "lite0"
_PORT = 5151  # FiftyOne's own
_NAMED = 5  # decisions on the terminal; all of them are in the ledger


def launch(collection: Collection, options: Options) -> None:
    """Build the dataset, serve the App on 127.0.0.1, and wait for Ctrl-C or SIGTERM; then sync the tags and end.

    Raises UsageError where FiftyOne is missing or a port is taken, FewposeError where the collection has no images, or
    its database does not start.
    """
    fiftyone_library.require()
    free_port(options.port)  # said before any work
    images = collection.images()
    if images.empty:
        raise FewposeError(
            f"{collection.root} has no images yet; {command_line('curate', 'import', 'PHOTOS', collection.root)}"
        )
    told = predictions.read(options.sweep) if options.sweep else None
    if told is not None and not told["key"].isin(images["key"]).any():
        raise UsageError(f"{options.sweep} tested no image of {collection.root}; name a sweep over this collection")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through Python's end, which ends the database
    opened = database.connect(collection)  # before what takes long: it may be that it can't be opened
    features = _features(collection, options)
    with database.damage_named(opened):
        built = dataset.build(collection, features, told)
        _say_what_is_missing(collection)
        port = free_port(options.port)  # now: another App may have come meanwhile
        with _asked_to_end() as ended, service.served(built, collection, port) as address:
            _say_where(address, port, opened, options)
            with _opened_in_browser(address, collection, options):
                ended.wait()
            say("closing the App")
            take_tags(built, collection)


def end() -> NoReturn:
    """End this process now, and well: what Python does at its end after the hooks takes FiftyOne seconds."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def free_port(wanted: int | None) -> int:
    """A port of 127.0.0.1 that nothing listens on: `wanted`, or 5151, or any.

    FiftyOne would join the App that it finds on a taken one, whatever that shows. Raises UsageError where `wanted` is
    taken.
    """
    for port in (wanted,) if wanted else (_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just left is free
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UsageError(f"--port {wanted} can't be had on this machine; name another, or none for a free one")


def take_tags(built: Any, collection: Collection) -> None:
    """Sync, and say what was taken and what was not."""
    difference = sync.diff(built, collection)
    say_refused(difference)
    entries = sync.take(built, collection, difference)
    if not entries:
        say("no tags to take over")
        return
    say(f"{count(len(entries), 'tagged image')} went into {collection.root / 'ledger.jsonl'}:")
    for entry in entries[:_NAMED]:
        say(f"  {entry.action} {entry.key}{f' as {entry.label}' if entry.label else ''}")
    if len(entries) > _NAMED:
        say(f"  and {len(entries) - _NAMED} more: {command_line('curate', 'log', collection.root)}")


def say_refused(difference: sync.Diff) -> None:
    """Print the tags that could not become decisions, and why."""
    for refused in difference.refused:
        say(f"left as tags: {refused.key} ({', '.join(refused.tags)}): {refused.why}")


def _features(collection: Collection, options: Options) -> Features | None:
    """None, and said, where nobody asked for a model and the usual one can't be had."""
    found = findings.read(collection)
    model = options.model or (found.model if found else "") or DEFAULT_MODEL
    try:
        return index.embedded(collection, collection.images(), model, options.checkpoint)
    except FewposeError as error:
        if options.model:
            raise
        say(f"no embeddings and no search: {error}")
        return None


def _say_what_is_missing(collection: Collection) -> None:
    found = findings.read(collection)
    if found is None or found.images != findings.digest(synthetic.real(collection.images())):
        advice = command_line("curate", "check", collection.root)
        say(f"not all images are checked, so the view filtered is empty: {advice}")


def _say_where(address: str, port: int, opened: database.Database, options: Options) -> None:
    say(f"database: {opened.where}")
    say(f"the App is at {address}")
    say("the address holds the key to the App: it is for you alone")
    if options.remote:
        say(f"from your own machine: ssh -N -L {port}:127.0.0.1:{port} {getpass.getuser()}@{socket.getfqdn()}")
    say("tags drop, keep, drop:REASON and relabel:LABEL are taken over at the end; Ctrl-C ends")


@contextmanager
def _opened_in_browser(address: str, collection: Collection, options: Options) -> Iterator[None]:
    """Have the browser open a file that leads on: what a program is started with, all accounts see."""
    if options.remote or not options.browser:
        yield
        return
    place = collection.cache("fiftyone")  # where a browser that may not look into /tmp finds it
    place.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=place, prefix="open-", suffix=".html")  # which nobody else may read
    page = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(address)}">')
        webbrowser.open(page.absolute().as_uri())
        yield
    finally:
        page.unlink(missing_ok=True)


@contextmanager
def _asked_to_end() -> Iterator[threading.Event]:
    """Set by Ctrl-C and SIGTERM, which otherwise interrupt."""
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
