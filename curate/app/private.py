"""A folder for this process alone, and what this account remembers of the databases that it made."""

import atexit
import hashlib
import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from curate.foundation import atomic
from curate.foundation.errors import FewposeError

TRUST = "FEWPOSE_TRUST_DATABASE"
_PREFIX = "fewpose-"
_LONGEST = 67  # bytes of the place: systems allow 103 for PLACE/fewpose-12345678/mongodb-27017.sock


@lru_cache(maxsize=1)
def folder() -> Path:
    """Only this user may enter it, and a socket's path in it is short enough. It goes with the process.

    Raises FewposeError where no place for it can be written to.
    """
    places = [tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR") or "/tmp", "/tmp", "/var/tmp"]  # noqa: S108
    for place in places:
        if len(os.fsencode(place)) <= _LONGEST:
            with suppress(OSError):
                made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
                atexit.register(shutil.rmtree, made, ignore_errors=True)
                return made
    raise FewposeError(
        f"there is no place for a socket: set TMPDIR to a folder that can be written to, and whose path has at most "
        f"{_LONGEST} bytes"
    )


def remove_leftover(made: Path) -> None:
    """Remove what `folder` gave to a process that was killed."""
    if is_ours(made):
        shutil.rmtree(made, ignore_errors=True)


def is_ours(made: Path) -> bool:
    """Whether a folder's name is one that `folder` gives."""
    return made.name.startswith(_PREFIX)


def require_own(database: Path) -> None:
    """Raises FewposeError for a database that this account didn't make: opening it may run what it names.

    database: its folder. A new one is remembered as made here.
    """
    known = database.is_dir() and any(database.iterdir())
    if known and not _is_own(database) and os.environ.get(TRUST) != "1":
        raise FewposeError(
            f"{database} holds a database that this account didn't make here, and opening it could run programs that "
            f"somebody else put there. If it is yours (moved, or of an older fewpose), run this again with {TRUST}=1, "
            f"once. If not, rename that folder: curate app then makes a new one. Nothing is lost: the folder holds no "
            "more than tags that were made in the App and not synced"
        )
    if not _is_own(database):
        token = secrets.token_hex(16)
        try:
            atomic.write_text(_mark(database), token)
            atomic.write_text(_memory(database), token)
        except OSError as error:
            raise FewposeError(
                f"{error.filename} can't be written to ({error.strerror}); make room or make it writable, and give the "
                "same command again"
            ) from error


def _is_own(database: Path) -> bool:
    """Whether the database's mark is what this account remembers of that place."""
    with suppress(OSError):
        mark = _mark(database).read_bytes()
        return bool(mark) and secrets.compare_digest(mark, _memory(database).read_bytes())
    return False


def _mark(database: Path) -> Path:
    return database.with_name(f"{database.name}.mark")


def _memory(database: Path) -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    place = hashlib.sha256(os.fsencode(database.resolve())).hexdigest()
    return Path(state or Path.home() / ".local" / "state", "fewpose", "databases", place)
