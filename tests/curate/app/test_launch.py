"""`curate app` and `curate sync`, whole: the App answers, and its tags end in the ledger."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from curate.app import predictions
from curate.app.launch import free_port
from curate.collection.directory import Collection
from curate.collection.ledger import Ledger
from curate.foundation.errors import UsageError
from tests.curate.app.conftest import Programs, line_with, mongods

pytestmark = pytest.mark.app

TAG = """
import sys
from pathlib import Path
from curate.app import database, dataset
from curate.collection.directory import Collection
collection = Collection.open(Path(sys.argv[1]))
database.connect(collection, share=True)
dataset.opened(collection).match({"key": sys.argv[2]}).tag_samples(sys.argv[3])
print("tagged", flush=True)
"""
MODEL = ("--model", "lite0/random", "--no-browser")


def ended(process: "subprocess.Popen[str]") -> str:
    out, _ = process.communicate(timeout=120)
    return out


@pytest.mark.slow
@pytest.mark.usefixtures("fiftyone_installed")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_app_serves_until_it_is_ended_and_takes_the_tags(
    collection: Collection, program: Programs, end: signal.Signals
) -> None:
    app = program.curate("app", collection.root, "--remote", *MODEL)
    address = line_with(app, "the App is at").split()[-1]
    port = urlsplit(address).port
    assert f"ssh -N -L {port}:127.0.0.1:{port}" in line_with(app, "ssh")
    for host in (f"127.0.0.1:{port}", "localhost:8080"):  # the other end of the tunnel, which may have another port
        entered = requests.get(address, headers={"Host": host}, timeout=30)
        cookie = entered.headers["Set-Cookie"].partition(";")[0]
        page = requests.get(f"http://127.0.0.1:{port}/", headers={"Host": host, "Cookie": cookie}, timeout=30)
        assert "<html" in page.text
    ended(program.start(TAG, collection.root, "tree/1.png", "drop:blurred"))
    app.send_signal(end)
    assert "drop tree/1.png" in ended(app)
    assert app.returncode == 0
    [entry] = Ledger(collection).entries
    assert (entry.key, entry.reason, entry.by) == ("tree/1.png", "blurred", "sync")
    assert mongods(collection.root) == []


@pytest.mark.usefixtures("fiftyone_installed")
def test_tags_outlive_a_killed_app_and_are_synced_after_it_was_asked(collection: Collection, program: Programs) -> None:
    app = program.curate("app", collection.root, *MODEL)
    line_with(app, "the App is at")
    ended(program.start(TAG, collection.root, "tree/1.png", "drop"))
    app.kill()
    app.wait()
    refused = program.curate("sync", collection.root)
    assert "tree/1.png" in refused.communicate("n\n", timeout=60)[0]
    assert Ledger(collection).entries == []
    assert "drop tree/1.png" in ended(program.curate("sync", collection.root, "--yes"))
    assert "no tags to take over" in ended(program.curate("sync", collection.root, "--yes"))
    assert [entry.key for entry in Ledger(collection).entries] == ["tree/1.png"]


FIELDS = """
import json, sys
from pathlib import Path
from curate.app import database, dataset
from curate.collection.directory import Collection
collection = Collection.open(Path(sys.argv[1]))
database.connect(collection, share=True)
built = dataset.opened(collection)
print(json.dumps(list(zip(*built.values(sys.argv[2:])))), flush=True)
"""


@pytest.mark.usefixtures("fiftyone_installed")
def test_the_app_shows_what_a_sweep_says(swept: tuple[Collection, Path], tmp_path: Path, program: Programs) -> None:
    made, sweep = swept
    root = Path(shutil.copytree(made.root, tmp_path / "collection"))  # the App's database will lie in it
    app = program.curate("app", root, "--sweep", sweep, *MODEL)
    line_with(app, "the App is at")
    columns = ["key", "tested", "wrong_share", "confused_with", "influence", "influence_q"]
    shown = {key: tuple(values) for key, *values in json.loads(ended(program.start(FIELDS, root, *columns)))}
    told = predictions.read(sweep)
    for key, *values in told[columns].itertuples(index=False, name=None):
        assert shown[key] == tuple(values)
    app.send_signal(signal.SIGINT)
    ended(app)
    assert app.returncode == 0


@pytest.mark.usefixtures("fiftyone_installed")
def test_a_sync_of_what_was_never_opened_says_so(collection: Collection, program: Programs) -> None:
    assert "there are no tags" in ended(program.curate("sync", collection.root))


def test_a_port_is_free_or_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {number} can't be had"):
            free_port(number)
    assert free_port(number) == number
    assert free_port(None) > 0


def test_without_fiftyone_one_sentence_says_what_to_install(
    collection: Collection, environment: dict[str, str]
) -> None:
    hidden = "import sys; sys.modules['fiftyone'] = None\nfrom curate.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", hidden, "app", collection.root], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == "error: the App needs FiftyOne: pip install 'fewpose[app]'\n"
