"""Whether a worker on another machine sees the same files as the machine that asks, under the same paths."""

import hashlib
import secrets
import socket
from collections.abc import Iterator
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
def same_files(folder: Path, *others: Path) -> Iterator[SameFiles]:
    """Files that only machines with the same file systems have; `others`, and a new one in `folder` for the time of the
    block.

    After a kill it is left there, as `.writing-*.json`. Raises FewposeError where it can't be written.
    """
    content = secrets.token_hex(16)
    token = folder.resolve() / f".writing-{content[:8]}.json"
    try:
        atomic.write_text(token, content)
    except OSError as error:
        raise FewposeError(f"{folder} can't be written to ({error.strerror or error})") from error
    try:
        yield SameFiles({file: _digest(file) for file in (token, *(other.resolve() for other in others))})
    finally:
        token.unlink(missing_ok=True)


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return "none"
