"""`curate check` prints what was found, by rule and class, or says it in JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from curate.checks import command
from curate.collection.directory import Collection
from curate.importing.importer import import_folder
from curate.workers.settings import WorkerSettings

pytestmark = pytest.mark.slow


def curate(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from curate.cli import app; app()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    root = tmp_path_factory.mktemp("command")
    for number in range(7):
        path = root / f"photos/class{number}/1.png"
        path.parent.mkdir(parents=True)
        image = Image.new("RGB", (50 if number < 6 else 200, 200), "grey")
        ImageDraw.Draw(image).line((0, 20 * number, 40, 200), "white", 8)
        image.save(path)
    import_folder(root / "photos", root / "yoga")
    return Collection.open(root / "yoga")


def test_the_table_names_rules_classes_and_what_comes_next(collection: Collection) -> None:
    done = curate("check", str(collection.root), "--model", "none")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["too_small", "6", "7", "6", "class0/1.png"] in lines
    assert ["too_small", "class0", "1,", "class1", "1,", "class2", "1,", "class3", "1,", "2", "more"] in lines
    assert f"{collection.root}: 7 images flagged by at least one rule" in done.stdout  # the seventh is a drawing
    assert f"curate sets {collection.root}" in done.stdout


def test_json_holds_every_flagged_key(collection: Collection) -> None:
    done = curate("check", str(collection.root), "--model", "none", "--rules", "too_small, dark", "--json")
    said = json.loads(done.stdout)
    assert said["rules"]["too_small"]["keys"] == [f"class{n}/1.png" for n in range(6)]
    assert said["rules"]["too_small"]["classes"] == {f"class{n}": 1 for n in range(6)}
    assert said["rules"]["dark"]["not_run"] == ""
    assert said["images"] == 7


def test_each_rule_that_flags_something_can_have_its_sheet(collection: Collection, tmp_path: Path) -> None:
    done = curate("check", str(collection.root), "--model", "none", "--rules", "too_small", "--sheets", str(tmp_path))
    assert done.returncode == 0, done.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert "too_small.png" in names
    assert "dark.png" not in names


def test_a_rule_that_did_not_run_is_said(collection: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    path = collection.root / "curation.yaml"
    if path.exists():
        path.unlink()
    path.write_text("dark:\n  enabled: false\n")
    command.check(
        collection.root,
        model="none",
        checkpoint=None,
        device="auto",
        rules=(),
        workers=WorkerSettings(workers=1),
        sheets=None,
        json=False,
    )
    assert "not run: dark: it is off in curation.yaml" in capsys.readouterr().out


def test_a_mistake_in_the_settings_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "photos/tree").mkdir(parents=True)
    Image.new("RGB", (50, 50)).save(tmp_path / "photos/tree/1.png")
    import_folder(tmp_path / "photos", tmp_path / "yoga")
    (tmp_path / "yoga/curation.yaml").write_text("dark:\n  threshold: many\n")
    done = subprocess.run(
        [Path(sys.executable).parent / "curate", "check", tmp_path / "yoga", "--model", "none"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "curation.yaml, line 2: dark: threshold is a number, not 'many'" in done.stderr
    assert "Traceback" not in done.stderr
