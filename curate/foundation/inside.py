"""Names of files inside a folder that somebody else may have made: the one place that makes paths of them.

A collection, a sweep and a model are given away as folders. Their tables may name "../.bashrc", and a file or a folder
in them may be a symbolic link to anything that their reader can open. So every path below such a folder comes from
`inside`. The folder itself may be a link: that is its user's choice. Links that appear between the check and the use
are not found: who can make them may write into the folder anyway.
"""

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from curate.foundation.errors import FewposeError

# What leads out, or names no file: empty parts (so absolute paths, too), ".", "..", and NUL, which no system takes.
# Other control characters are letters of a name. They are dealt with where a name is shown.
NO_NAME = r"(?:^|/)\.{0,2}(?:/|$)|\x00"
_NO_NAME = re.compile(NO_NAME)

# For os.open of what is written to: no link that appeared since the check is followed.
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none


def inside(root: Path, name: str) -> Path:
    """The path of `name`, such as "images/tree/1.jpg", below the folder `root`. Nothing needs to lie there.

    Raises FewposeError where it would lead out, because of the name or by a symbolic link, and where a named pipe or a
    device lies there: opening one may wait for ever.
    """
    if _NO_NAME.search(name) or not _can_be_a_name(name):
        raise FewposeError(f"{root}: {name!r} is no name of a file in it, so nothing was read or written there")
    place = os.fspath(root)
    for part in name.split("/"):
        place = os.path.join(place, part)  # noqa: PTH118  (a Path for each part takes five times as long)
        try:
            mode = os.lstat(place).st_mode
        except OSError:  # nothing is there, or nothing that can be opened
            break
        _check(place, mode)
    return root / name


def check_no_links(folder: Path) -> None:
    """For folders that other programs write to. Raises FewposeError for a link, pipe or device anywhere in it."""
    for parent, folders, files in os.walk(folder):  # which enters no links
        for name in (*folders, *files):
            path = Path(parent, name)
            with suppress(FileNotFoundError):  # another process has just deleted it
                _check(str(path), path.lstat().st_mode)


def _check(place: str, mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise FewposeError(
            f"{place} is a symbolic link, and may lead anywhere; put the file or folder itself there, or delete the "
            "link (only the folder as a whole may be one)"
        )
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FewposeError(f"{place} is neither a file nor a folder, but a pipe or a device; delete it")


def _can_be_a_name(name: str) -> bool:
    """Whether the file system can be asked for it: half of a surrogate pair, as JSON may hold it, is no text."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def is_file(path: Path) -> bool:
    """Whether a regular file lies there: no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
