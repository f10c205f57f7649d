"""The App over a collection from a stranger: none of its code is run, and no file that a link leads to is touched."""

import subprocess
import sys
from pathlib import Path

import pytest

from curate.app import database
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError

pytestmark = [pytest.mark.app, pytest.mark.usefixtures("fiftyone_installed")]

PLUGIN = """
name: "@stranger/evil"
version: "1.0.0"
operators: [evil]
"""
CODE = """
from pathlib import Path
Path({mark!r}).write_text("run")
def register(plugin): pass
"""
LIST = """
import sys
from pathlib import Path
from curate.app import database, fiftyone_library
from curate.collection.directory import Collection
database.connect(Collection.open(Path(sys.argv[1])))
fiftyone_library.fo()
import fiftyone.operators as foo
import fiftyone.plugins as fop
print("plugins", sorted(each.name for each in fop.list_plugins()), flush=True)
foo.list_operators()
"""


@pytest.mark.slow
def test_a_plugin_in_a_collection_is_not_loaded(tmp_path: Path, environment: dict[str, str]) -> None:
    root = Collection.create(tmp_path / "c").root
    for folder in ("cache/fiftyone/plugins/evil", "cache/fiftyone/plugins/user"):
        (root / folder).mkdir(parents=True)
        (root / folder / "fiftyone.yml").write_text(PLUGIN)
        (root / folder / "__init__.py").write_text(CODE.format(mark=str(tmp_path / "mark")))
    done = subprocess.run(
        [sys.executable, "-c", LIST, root], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("plugins ")]
    assert "stranger" not in line
    assert "fewpose" in line
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "name", ["db/mongod.lock", "db/WiredTiger.lock", "db/journal", "db", "db.lock", "db.log", "db.mark"]
)
def test_a_database_with_a_link_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("FIFTYONE_DATABASE_DIR", raising=False)
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    collection = Collection.create(tmp_path / "c")
    (tmp_path / "notes.txt").write_text("mine")
    place = collection.root / "cache/fiftyone" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "notes.txt")
    with pytest.raises(FewposeError, match=f"cache/fiftyone/{name} is a symbolic link"):
        database._find(collection, share=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert [path.name for path in place.parent.iterdir()] == [place.name]
