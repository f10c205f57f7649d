"""Text from outside, where it leaves us: for a terminal, a page, a line of JSON, a shell.

Labels, keys, paths and what servers say may hold anything. Escape sequences play with a terminal, an override of the
writing direction shows a name backwards, a line end begins a row that nobody wrote: all that is spelt out.
"""

import json
import shlex
import unicodedata
from pathlib import PurePath

_JOINERS = "\u200c\u200d"  # Persian, the scripts of India, and emoji are written with them
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, halves of characters, ends of lines and of paragraphs


def is_seen(text: str) -> bool:
    """Whether a reader sees all of this text where it stands: no control character, line end, or override."""
    return text.isprintable() or all(map(_is_seen, text))


def shown(text: object) -> str:
    r"""Text for people, on one line: what can't be seen is spelt out, ESC as \x1b."""
    written = str(text)
    if is_seen(written):
        return written
    return "".join(c if _is_seen(c) else c.encode("unicode_escape").decode() for c in written)


def shown_lines(text: object) -> str:
    """As `shown`, for what may have several lines."""
    return "\n".join(map(shown, str(text).split("\n")))


def json_text(value: object, *, indent: int | None = None, sort_keys: bool = False) -> str:
    r"""JSON as people read it: letters of all languages as they are, what can't be seen as \u001b."""
    written = json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=False)
    return "".join(c if _is_seen(c) or c == "\n" else json.dumps(c)[1:-1] for c in written)


def command_line(*words: object) -> str:
    """A command to copy, of these words: a shell reads exactly them, whatever a path holds."""
    return " ".join(map(_quoted, words))


def _quoted(word: object) -> str:
    r"""One word for a POSIX shell. What can't be seen is spelt as bytes, in the $'\033' of bash and zsh."""
    written = str(word)
    if isinstance(word, PurePath) and written.startswith("-"):
        written = f"./{written}"  # or it would be taken for an option
    if is_seen(written):
        return shlex.quote(written)
    return f"$'{''.join(map(_in_dollar_quotes, written))}'"


def _in_dollar_quotes(character: str) -> str:
    if not _is_seen(character):
        return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))
    return f"\\{character}" if character in "\\'" else character


def _is_seen(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) not in _UNSEEN
