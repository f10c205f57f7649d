"""A full disk, in every command that writes: one sentence that names the file, and the same command goes on."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate.cli
import fewshot.cli
import synth.cli
from curate.collection.directory import Collection

pytestmark = pytest.mark.slow

MODEL = ("--model", "tiny/random", "--device", "cpu")
ENTRIES = {"curate": curate.cli.app, "fewshot": fewshot.cli.app, "synth": synth.cli.app}
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of its own, of 24 MB."""
    place = tmp_path_factory.mktemp("disk")
    mounting = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], capture_output=True)
    if mounting.returncode:
        pytest.skip("needs to be allowed to mount a disk in memory")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `COMMAND ARGUMENTS` in this process: exit code, stderr."""

    def start(command: str, *arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [command, *map(str, arguments)])
        code = 0
        try:
            ENTRIES[command]()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, capsys.readouterr().err

    return start


class Filler:
    """A file that takes what room there is."""

    def __init__(self, disk: Path) -> None:
        self.file = disk / "filler"

    def leave(self, size: int) -> None:
        """Leave so many bytes of room."""
        with self.file.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
            try:
                while True:
                    file.write(bytes(512))
            except OSError:
                pass
            file.truncate(max(0, file.tell() - size))

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of eight pictures."""
    folder = tmp_path_factory.mktemp("source") / "photos"
    for kind, label in enumerate(("boat", "plank", "tree")):
        (folder / label).mkdir(parents=True)
        for number in range(8):
            noise = np.random.default_rng([kind, number]).integers(0, 60, (64, 64, 3))
            noise[..., kind] += 120
            Image.fromarray(noise.astype(np.uint8)).save(folder / label / f"{number}.png")
    return folder


def test_every_command_says_that_the_disk_is_full_and_goes_on(
    disk: Path, photos: Path, run: Run, tmp_path: Path
) -> None:
    c, s, m = disk / "collection", disk / "sweep", disk / "model"
    commands: list[tuple[object, ...]] = [
        ("curate", "import", photos, c),
        ("curate", "embed", c, *MODEL),
        ("curate", "check", c, *MODEL, "--sheets", disk / "sheets"),
        ("curate", "drop", c, "boat/1.png"),
        ("curate", "export", c, disk / "export", "--set", "unfiltered"),
        ("synth", "generate", c, "--model", "mannequin", "--per-class", 1, "--classes", "tree", "--size", 64),
        ("synth", "accept", c, *MODEL),
        ("synth", "render", disk / "rendered", "--poses", "tree", "--per-class", 1, "--size", 64),
        ("fewshot", "sweep", c, "--out", s, "--methods", "linear-probe", "--shots", 2, "--splits", 2, *MODEL),
        ("fewshot", "report", s),
        ("fewshot", "train", c, "--out", m, "--method", "linear-probe", *MODEL),
        ("fewshot", "export", m, "--onnx", disk / "model.onnx"),
    ]
    filler = Filler(disk)
    for command in commands:
        refused = 0
        for room in (0, 8192):
            filler.leave(room)
            code, said = run(*command)
            filler.remove()
            if code == 0:  # it needed no more
                break
            refused += 1
            errors = [line for line in said.splitlines() if line.startswith("error: ")]
            assert (code, len(errors)) == (1, 1), (command, said)
            assert "No space left on device" in errors[0], (command, said)
            assert str(disk) in errors[0], (command, said)
            assert not [path for path in disk.rglob(".writing-*") if path.is_file()], (command, said)
        assert refused, command
        code, said = run(*command)
        assert code == 0, (command, said)
    assert Collection.open(c).images()["source"].value_counts().to_dict() == {"import": 24, "synthetic": 1}
    assert len(list((disk / "export").iterdir())) == 4
