"""Commands that we print are copied into a shell: there they do what was meant, whatever a path holds."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

NAME = "a b;$(touch x)`touch y`'\" &*.[z]"


class Shell:
    """`sh` in a folder with photographs of two classes, where the commands of this environment are found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for number in range(4):
            path = folder / f"photos/{('tree', 'plank')[number % 2]}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.linear_gradient("L").rotate(30 * number).save(path)

    def run(self, command: str, code: int = 0) -> str:
        """What it says, on standard output and after that on standard error."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(["sh", "-c", command], cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        assert {path.name for path in self.folder.iterdir()} <= {"photos", NAME}  # nothing else of it was run
        return done.stdout + done.stderr


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def advised(said: str, pattern: str) -> str:
    found = re.search(pattern, said)
    assert found, said
    return found[1]


def test_what_curate_advises_can_be_copied_from_the_first_command_on(shell: Shell) -> None:
    quoted = shlex.quote(NAME)
    missing = shell.run(f"curate status {quoted}", code=2)
    imported = shell.run(advised(missing, r"make one with: (.*)\n").replace("PHOTOS", "photos"))
    counted = shell.run(advised(imported, r"next: (.*)\n"))
    assert f"{NAME}: 4 images" in counted

    dropped = shell.run(f"curate drop {quoted} plank/1.png")
    undo = advised(dropped, r"to take it back: (.*)\n")
    assert advised(shell.run(undo), r"undone: (.*)\n")
    unchecked = shell.run(f"curate sets {quoted}", code=1)
    assert advised(unchecked, r"first: (.*)\n") == f"curate check {quoted}"
