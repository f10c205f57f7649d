"""A small disk, and what fills it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def a_disk(place: Path, size: str) -> Iterator[Path]:
    """One in memory at `place`, an empty folder. Skips the test where nobody may mount one.  size: such as "24m"."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("needs to be allowed to mount a disk in memory")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


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
