"""Which keys can be paths below images/, on any system: a collection made on Linux is opened on Windows, too."""

import re
import unicodedata

MOST_COMPONENT_BYTES = 255  # of a file name, on every common file system
MOST_BYTES = 1_000  # of a key; the collection's own path comes before it, and 1,024 is macOS's limit for both

_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FORBIDDEN = re.compile(r'[<>:"|?*]')  # on Windows
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *", re.IGNORECASE)


def problem(key: str) -> str | None:
    """Why this key can be no path below images/, as a clause ("leaves its folder"); None where it can."""
    if not key:
        return "is empty"
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if len(encoded) > MOST_BYTES:
        return f"is longer than {MOST_BYTES} bytes"
    if key.startswith("/"):
        return "is an absolute path"
    if _DRIVE.match(key):
        return "begins with a drive letter"
    if "\\" in key:
        return "holds a backslash; folders are separated by /"
    if _CONTROL.search(key):
        return "holds a control character"
    return next(filter(None, map(_problem_of_component, key.split("/"))), None)


def _problem_of_component(name: str) -> str | None:
    if not name:
        return "holds an empty part"
    if name == "..":
        return "leaves its folder (..)"
    if name.startswith("."):
        return "holds a part that begins with a dot"
    if name[-1] in ". ":
        return "holds a part that ends in a dot or a space"
    if found := _FORBIDDEN.search(name):
        return f"holds the character {found[0]}"
    if _DEVICE.fullmatch(name.partition(".")[0]):
        return f"holds the name of a device on Windows ({name})"
    if len(name.encode()) > MOST_COMPONENT_BYTES:
        return f"holds a part longer than {MOST_COMPONENT_BYTES} bytes"
    return None


def folded(key: str) -> str:
    """The same for keys that are one file on Windows or macOS, which look at neither case nor Unicode composition."""
    return key.lower() if key.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFD", key).casefold())
