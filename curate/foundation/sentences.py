"""Sentences that are said in several places, and need nothing to be said."""

import difflib
from collections.abc import Iterable


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """The sentence about a name that there is not: "there is no key 'shot' (is it shots?); there are sets, shots"."""
    names = [str(one) for one in known]
    (near, *_) = [*difflib.get_close_matches(str(name), names, 1), ""]
    return (
        f"there is no {what} {str(name)!r}{f' (is it {near}?)' if near else ''}; there are {', '.join(names) or 'none'}"
    )
