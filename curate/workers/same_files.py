"""Whether a worker on another machine sees the same files as the machine that asks, under the same paths."""

import hashlib
import secrets
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from curate.foundation import atomic
from curate.foundation.errors import FewposeError


@dataclass(frozen=True)
class SameFiles:
    """The SHA-256 of some files, as the machine that asks sees them."""

    digests: dict[Path, str]

    def check(self) -> None:
        """Raises FewposeError where this machine sees one of them otherwise."""
        for file, digest in self.digests.items():
            if _digest(file) != digest:
                raise FewposeError(
                    f"a worker on {socket.gethostname()} does not see {file.parent} as the machine that asks does; "
                    "with --engine ray, it must lie on a file system that all machines share, under the same path"
                )


@contextmanager
def same_files(*folders: Path, files: Iterable[Path] = ()) -> Iterator[SameFiles]:
    """Files that only machines with the same file systems have: `files`, and a new one in each of `folders` for the
    time of the block.

    After a kill they are left there, as `.writing-*.json`. Raises FewposeError where one can't be written.
    """
    tokens: list[Path] = []
    try:
        for folder in folders:
            tokens.append(_token(folder.resolve()))  # noqa: PERF401  (each is known as soon as it is there)
        yield SameFiles({file: _digest(file) for file in (*tokens, *(file.resolve() for file in files))})
    finally:
        for token in tokens:
            token.unlink(missing_ok=True)


def _token(folder: Path) -> Path:
    content = secrets.token_hex(16)
    token = folder / f".writing-{content[:8]}.json"
    try:
        atomic.write_text(token, content)
    except OSError as error:
        raise FewposeError(f"{folder} can't be written to ({error.strerror or error})") from error
    return token


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return "none"
