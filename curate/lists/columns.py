"""Which column of a table holds what: by its usual names, in any place, case and spelling; never by a guess."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from curate.foundation.text import shown
from curate.lists.lines import NotAList

_LINKS = ("url", "image_url", "img_url", "link", "image_link", "src", "href", "image")
_FILES = ("path", "file", "file_name", "file_path", "image_path", "image")

# What a column may be called; the first name is the plain one, which wins where several columns are called so.
NAMES = {
    "url": _LINKS,
    "path": _FILES,
    "picture": tuple(dict.fromkeys(("picture", *_LINKS, *_FILES))),  # a link or a file
    "label": ("label", "class", "class_name", "pose", "category"),
    "key": ("key",),
    "split": ("split", "official_split"),
}

_MOST = 12  # columns that an error names
_LONGEST = 40  # characters of each


@dataclass(frozen=True)
class Wanted:
    """Which columns, of NAMES, a list must have (the first is what a row is of), and which others are read."""

    needed: tuple[str, ...]
    others: tuple[str, ...] = ()


def find(columns: Sequence[str], wanted: Wanted) -> dict[str, int]:
    """The place of each wanted column that is there. Raises NotAList, which names the columns, where that is not clear.

    That is where one is lacking that is needed, and where two may be meant.
    """
    places = {name: _place(columns, name) for name in (*wanted.needed, *wanted.others)}
    lacking = [name for name in wanted.needed if places[name] is None]
    if lacking:
        raise NotAList(f"has the columns {_listed(columns)}; it needs {' and '.join(map(_usual, lacking))}")
    return {name: place for name, place in places.items() if place is not None}


def is_known(column: str) -> bool:
    """Whether a column of this name is one that some list is read by."""
    return any(_same(column, name) for names in NAMES.values() for name in names)


def _place(columns: Sequence[str], wanted: str) -> int | None:
    called = [place for place, column in enumerate(columns) if any(_same(column, name) for name in NAMES[wanted])]
    plain = [place for place in called if columns[place].strip().lower() == wanted]
    chosen = plain or called
    if len(chosen) > 1:
        which = " and ".join(shown(columns[place].strip()) for place in chosen)
        raise NotAList(
            f"has the columns {_listed(columns)}, of which {which} may each be the {wanted}; "
            f"call one of them {wanted}, and the other something else"
        )
    return chosen[0] if chosen else None


def _same(column: str, name: str) -> bool:
    """Image URL, image-url and imageUrl are image_url."""
    return _squeezed(column) == _squeezed(name)


def _squeezed(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _listed(columns: Iterable[str]) -> str:
    names = [shown(column.strip())[:_LONGEST] or "(without a name)" for column in columns]
    more = [f"{len(names) - _MOST} more"] if len(names) > _MOST else []
    return ", ".join([*names[:_MOST], *more])


def _usual(wanted: str) -> str:
    plain, *others = NAMES[wanted]
    return f"{plain} (or {', '.join(others)})" if others else plain
