"""The App is open while other commands change the collection: they do their work, and what was tagged is decided."""

import signal

import pytest

from curate.collection import findings
from curate.collection.directory import Collection
from curate.collection.ledger import Ledger
from tests.curate.app.conftest import Programs, line_with, make_collection
from tests.curate.app.test_launch import MODEL, TAG, ended

pytestmark = [pytest.mark.app, pytest.mark.whole, pytest.mark.usefixtures("fiftyone_installed")]


def test_an_open_app_a_check_an_import_a_drop_and_two_syncs_at_once(collection: Collection, program: Programs) -> None:
    root = collection.root
    app = program.curate("app", root, *MODEL)
    line_with(app, "the App is at")
    ended(program.start(TAG, root, "tree/1.png", "drop:blurred"))
    more = make_collection(root.with_name("more"), ["bridge"]).root.with_name("photos")
    others = {
        "check": program.curate("check", root, "--model", "none"),
        "import": program.curate("import", more, root),
        "drop": program.curate("drop", root, "boat/0.png"),
        "sync": program.curate("sync", root, "--yes"),
        "the other sync": program.curate("sync", root, "--yes"),
    }
    said = {name: ended(process) for name, process in others.items()}
    codes = {name: process.returncode for name, process in others.items()}
    for name, code in codes.items():
        assert code == 0 or (code == 1 and said[name].count("error: ") == 1), (name, said[name])
        assert "Traceback" not in said[name]
    assert codes["drop"] == codes["sync"] == codes["the other sync"] == 0, said
    assert 0 in (codes["check"], codes["import"])
    ended(program.start(TAG, root, "tree/2.png", "keep"))
    app.send_signal(signal.SIGINT)
    last = ended(app)
    assert app.returncode == 0, last
    assert {(entry.key, str(entry.action)) for entry in Ledger(collection).entries} == {
        ("tree/1.png", "drop"),
        ("boat/0.png", "drop"),
        ("tree/2.png", "keep"),
    }
    assert len(collection.images()) == (9 if codes["import"] == 0 else 6)
    assert findings.read(collection) is not None
