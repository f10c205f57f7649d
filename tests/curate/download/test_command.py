"""`curate download` at the terminal: what it takes, what it says, how it ends."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import typer

from benchmarks.web import Web
from curate import cli
from curate.download.web.settings import Settings, amount
from curate.foundation.options import declared

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.curate.download.conftest import Place

ROOT = Path(__file__).parents[3]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """In one line: where a line is broken depends on the terminal."""
        return " ".join(self.stdout.split())


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`curate download` with these arguments, quick and on the local web; or another command of curate."""

    def call(*arguments: str | Path, name: str = "download") -> Done:
        capsys.readouterr()
        quick = ["--allow-private", "--spacing", "0", "--deadline", "6"] if name == "download" else []
        monkeypatch.setattr(sys, "argv", ["curate", name, *quick, *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.app()
        return Done(int(stop.value.code or 0), *capsys.readouterr())

    return call


# What it takes


def test_every_setting_is_an_option_but_two() -> None:
    assert {field.name for field in fields(Settings)} - declared(Settings).keys() == {"archive", "max_redirects"}
    parameters = {each.name: each for each in typer.main.get_command(cli.commands).commands["download"].params}  # type: ignore[attr-defined]
    # Without a default, Typer says None of what was not given: the default is that of the settings.
    assert {parameters[name].default for name in declared(Settings)} == {None}
    assert Settings().archive == ""


def test_help_names_every_option_with_its_default(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    for field in fields(Settings):
        if field.name != "max_redirects":
            assert f"--{field.name.replace('_', '-')}" in done.said
    for option in ("--splits", "--retry", "--minutes", "--warn-below", "--engine", "--archive-endpoint"):
        assert option in done.said
    assert re.search(r"--per-site <int> [\w ().]{,80}\[default: 4\]", done.said)
    assert re.search(r"--max-bytes NUMBER .{,60}\[default: 20000000\]", done.said)
    assert "Example: curate download yoga_dataset_links/ runs/yoga82" in done.said


@pytest.mark.parametrize(
    ("text", "number"), [("20M", 20_000_000), ("1.5k", 1500), ("2G", 2 * 10**9), ("12", 12), (12, 12), ("1e3", 1000)]
)
def test_amounts_may_have_a_unit(text: str | int, number: int) -> None:
    assert amount(text) == number


@pytest.mark.parametrize("text", ["", "M", "20MB", "many", "inf", "nan", "1 000"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="20M"):
        amount(text)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--max-bytes", "20MB", "--max-bytes must be a number such as 20000000 or 20M, not '20MB'"),
        ("--max-bytes", "0", "--max-bytes must be a whole number, at least 1"),
        ("--max-pixels", "-5", "--max-pixels"),
        ("--per-site", "0", "per-site"),
        ("--deadline", "0", "deadline"),
        ("--read-timeout", "nan", "--read-timeout must be a number, above 0"),
        ("--spacing", "-1", "spacing"),
        ("--retry", "some", "retry"),
        ("--engine", "dask", "engine"),
        ("--contact", "me (at) home", "contact"),
        ("--archive-endpoint", "ftp://archive.org", "archive"),
        ("--warn-below", "-1", "warn-below"),
        ("--minutes", "-1", "minutes"),
    ],
)
def test_a_value_that_makes_no_sense_is_one_sentence(
    site: Web, place: "Place", run: Run, option: str, value: str, said: str
) -> None:
    done = run(
        place.write({"good/1.jpg": site.url("good", 1)}), place.root, "--archive", "--minutes=0", f"{option}={value}"
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not place.root.exists()


@pytest.mark.parametrize("content", [None, "", "nothing here\n"], ids=["missing", "empty", "no links"])
def test_without_a_link_there_is_nothing_to_do(place: "Place", run: Run, content: str | None) -> None:
    source = place.folder / "links.txt"
    if content is not None:
        source.write_text(content)
    done = run(source, place.root)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert str(source) in done.stderr
    assert not place.root.exists()


def test_a_directory_that_holds_other_things_is_left_alone(site: Web, place: "Place", run: Run) -> None:
    place.root.mkdir()
    (place.root / "thesis.doc").write_text("all I have")
    done = run(place.write({"good/1.jpg": site.url("good", 1)}), place.root)
    assert (done.returncode, "is not a collection" in done.stderr) == (2, True)
    assert [path.name for path in place.root.iterdir()] == ["thesis.doc"]


# What it says


@pytest.fixture
def lists(site: Web, tmp_path: Path) -> Path:
    """As Yoga-82's lists circulate: a file for each class, and something that is none."""
    folder = tmp_path / "lists"
    folder.mkdir()
    tree = [("good", n) for n in range(3)] + [("404", 3), ("html", 4)]
    plank = [("good", 5), ("404", 6)]
    for label, urls in {"Tree_Pose": tree, "Plank_Pose": plank}.items():
        lines = [f"{label}/{n}.jpg\t{site.url(name, n, f'127.6.0.{n + 1}')}\r\n" for name, n in urls]
        (folder / f"{label}.txt").write_text("".join(lines), newline="")
    with (folder / "Tree_Pose.txt").open("a") as file:
        file.write("Tree_Pose/7.jpg\tftp://x.org/7.jpg\n../../8.jpg\thttp://x.org/8.jpg\nTree_Pose/9.jpg")
    (folder / "desktop.ini").write_text("[ViewState]")
    return folder


@pytest.mark.slow
def test_the_end_tells_causes_classes_and_lines_that_were_no_links(lists: Path, place: "Place", run: Run) -> None:
    done = run(lists, place.root, "--warn-below", "3")
    assert done.returncode == 0
    assert f"{place.root}: 7 links asked, 4 kept" in done.said
    assert "7 listed, 4 kept, 3 dropped, 0 waiting" in done.said
    assert "not found 2 Plank_Pose/6.jpg" in done.said
    assert "not an image 1 Tree_Pose/4.jpg" in done.said
    assert "1 class kept fewer than 3 images" in done.said
    assert "Plank_Pose 1 2 below 3" in done.said
    assert "Tree_Pose 3 5" not in done.said
    for line in (6, 7, 8):
        assert f"{lists}/Tree_Pose.txt, line {line}: " in done.stdout
    assert f"{lists}/desktop.ini: " in done.stdout
    assert f"next: curate status {place.root}" in done.said
    assert "error" not in done.stderr
    assert "2 classes kept fewer than 43 images" in run(lists, place.root).said


@pytest.mark.slow
def test_the_second_time_it_says_that_nothing_was_asked(lists: Path, place: "Place", run: Run) -> None:
    run(lists, place.root)
    assert f"{place.root}: 0 links asked, 0 kept, 7 had their answer before" in run(lists, place.root).said


@pytest.mark.slow
def test_the_status_tells_the_same_afterwards(lists: Path, place: "Place", run: Run) -> None:
    run(lists, place.root)
    done = run(place.root, name="status")
    assert done.returncode == 0
    assert f"{place.root}: 4 images (4 by download)" in done.said
    assert "7 listed, 4 kept, 3 dropped, 0 waiting" in done.said
    assert "Plank_Pose 1 2 50%" in done.said
    assert "not found 2 Plank_Pose/6.jpg" in done.said
    assert re.search(r"127\.6\.0\.4:\d+ 1 0 1 not found", done.said)


@pytest.mark.slow
def test_only_a_few_of_many_bad_lines_are_named(site: Web, place: "Place", run: Run) -> None:
    source = place.write({"good/1.jpg": site.url("good", 1)} | {f"bad/{n}.jpg": "ftp://x.org/1" for n in range(20)})
    done = run(source, place.root)
    assert done.stdout.count(f"{source}, line ") == 5
    assert "and 15 more lines that could not be used" in done.said
    assert len(place.collection.rejects()) == 20


@pytest.mark.slow
def test_links_that_the_official_split_does_not_know_are_counted(site: Web, place: "Place", run: Run) -> None:
    source = place.write({f"tree/{n}.jpg": site.url("good", n) for n in range(3)})
    split = place.folder / "yoga_train.txt"
    split.write_text("tree/0.jpg,1,2,3\ntree/1.jpg,1,2,3\n")
    done = run(source, place.root, "--splits", f"train={split}")
    assert done.returncode == 0, done.stderr
    assert "1 link of no official split" in done.said
    images = place.collection.images().set_index("key")
    assert list(images["official_split"]) == ["train", "train", ""]


def test_when_the_time_is_up_it_says_how_to_go_on(site: Web, place: "Place", run: Run) -> None:
    source = place.write({f"tree/{n}.jpg": site.url("good", n) for n in range(3)})
    done = run(source, place.root, "--minutes", "0")
    assert done.returncode == 0
    assert "time is up: 3 links still to ask; the same command goes on" in done.said
    assert "3 listed, 0 kept, 0 dropped, 3 waiting" in done.said
    assert site.counts()["paths"] == {}


@pytest.mark.slow
def test_file_names_cannot_write_to_the_terminal(site: Web, place: "Place", run: Run) -> None:
    source = place.write({"[red]tree/1.jpg": site.url("404", 1), "good/2.jpg": site.url("good", 2)})
    with source.open("a") as file:
        file.write("tree/\x1b[31m3.jpg\thttp://x.org/3.jpg\n")
    done = run(source, place.root)
    assert "[red]tree/1.jpg" in done.said
    assert "\x1b" not in done.stdout + done.stderr


# How it ends


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(site: Web, place: "Place", run: Run) -> None:
    source = place.write({f"good/{n}.jpg": site.url("good", n) for n in range(5)})
    # The system's limit on the size of a file: the first picture meets it.
    program = (
        "import resource; from curate.cli import app; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); app()"
    )
    arguments: list[str | Path] = ["download", source, place.root, "--allow-private", "--spacing", "0"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: (the cache .* can't be written to \((File too large|No space left on device)\); make room .*"
        r"|cannot write .*: (File too large|No space left on device))",
        done.stderr.strip().splitlines()[-1],
    )
    assert "Traceback" not in done.stderr
    assert run(source, place.root).returncode == 0
    assert set(place.causes.values()) == {"kept"}
