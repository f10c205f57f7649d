"""Links in normal form, and which hosts are one site."""

import re
from ipaddress import ip_address
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from requests import PreparedRequest, RequestException
from requests.utils import unquote_unreserved

LONGEST = 8_000  # characters of a URL; servers refuse longer ones

_PARTS = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE | re.DOTALL)
# No backslash and no %: programs don't agree on where a host with one of them ends, or which it is.
_AUTHORITY = re.compile(r"(\[[^\]\\%]*\]|[^:\[\]\\%]*)(?::([0-9]*))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")

# What needs no work, and is nearly every link: the rest of `normal` would give it back as it is.
_PLAIN_PATH = r"(?:/(?!\.{1,2}(?:[/?]|\Z))[A-Za-z0-9._~!$&'()*+,;=:@-]*)+"
_PLAIN = re.compile(
    r"https?://(?=[a-z])[a-z0-9-]{1,40}(?:\.[a-z0-9-]{1,40}){1,4}"
    + _PLAIN_PATH
    + r"(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/-]+)?"
)

# -300x200, _300, _1280, @2x: how thumbnails are called. IMG_2857 is a name, and 2857 no size.
_SIZE = re.compile(r"(?:-[0-9]{2,4}x[0-9]{2,4}|_[1-9][0-9]{1,2}|_(?:1024|1080|1200|1280|1600|1920|2048)|@[1-4]x)+\Z")


def normal(text: str) -> str:
    """The link as `requests` asks for it, so that two spellings of one link are one.

    Surrounding whitespace, the fragment and a default port are gone; scheme and host are lower case, a host in other
    letters is punycode; dot segments are resolved; what may not stand in a URL is percent-encoded as UTF-8, and %XX
    that were there stay. A percent sign that begins no %XX is meant literally.

    Raises ValueError, with the reason as a clause ("has no host"), for what can't or must not be asked.
    """
    url = text.strip()
    if len(url) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    if _PLAIN.fullmatch(url):
        return url
    if _CONTROL.search(url):
        raise ValueError("holds a control character")
    if _SURROGATE.search(url):
        raise ValueError("holds a character that is no text")
    parts = _PARTS.match(url)
    if not parts:
        raise ValueError("has no host" if re.match("https?:", url, re.I) else "does not begin with http:// or https://")
    scheme, authority, rest = parts[1].lower(), parts[2], parts[3]
    # Decoded before dots are resolved: %2e%2e is as good as "..".
    rest = unquote_unreserved(_STRAY_PERCENT.sub("%25", rest))
    prepared = _prepared(f"{scheme}://{_checked(scheme, authority)}{rest}")
    if not _is_host(urlsplit(prepared).hostname or ""):
        raise ValueError("has a host that is no host name")
    if len(prepared) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    return prepared


def _checked(scheme: str, authority: str) -> str:
    """Host, and port where it is not the scheme's own."""
    if "@" in authority:
        raise ValueError("holds a user name and password")
    found = _AUTHORITY.fullmatch(authority)
    if not found:
        raise ValueError("has a bad host or port")
    name, port = found[1], found[2]
    if not name:
        raise ValueError("has no host")
    if not port:
        return name
    if len(port) > 5 or not 0 < int(port) < 65536:
        raise ValueError("has a bad port")
    return name if int(port) == _default_port(scheme) else f"{name}:{int(port)}"


def _prepared(url: str) -> str:
    request = PreparedRequest()
    try:
        request.prepare_url(url, None)
    except (RequestException, ValueError) as error:  # both are raised, for hosts
        raise ValueError("has a host that is no host name") from error
    return request.url or ""


def _is_host(name: str) -> bool:
    if ":" in name:
        return _is_address(name)
    return len(name) <= 253 and _HOST_NAME.fullmatch(name) is not None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _default_port(scheme: str) -> int | None:
    return {"http": 80, "https": 443}.get(scheme)


def host(url: str) -> str:
    """The host name of a URL in normal form, lower case, with its port where that is not the scheme's own.

    An IPv6 address keeps its brackets.
    """
    parts = urlsplit(url)
    name = parts.hostname or ""
    if ":" in name:
        name = f"[{name}]"
    return name if parts.port in (None, _default_port(parts.scheme)) else f"{name}:{parts.port}"


def site(host: str) -> str:
    """What shares one limit with this host (as `host` gives it): its name without what numbers the shards of a site.

    thumb1..9.shutterstock.com are thumb.shutterstock.com, 1..4.bp.blogspot.com are bp.blogspot.com, and www is left
    out. The last two labels stay (123rf.com), and so do IP addresses and ports. Hosts that only look like shards are
    then asked more slowly than need be, which does no harm; the other mistake would.
    """
    name, colon, port = host.partition(":")
    if host.startswith("[") or _is_address(name):
        return host
    labels = name.rstrip(".").split(".")
    shards = [re.sub("[0-9]+", "", label).strip("-_") for label in labels[:-2]]
    if shards and shards[0] == "www":
        del shards[0]
    return ".".join([*filter(None, shards), *labels[-2:]]) + colon + port


def filename(url: str) -> str:
    """What the file is called, lower case, without its extension and the size of a thumbnail; "" where it has no name.

    Pose-300x200.JPG, pose_640.jpg and pose@2x.png are all "pose".
    """
    last = unquote(urlsplit(url).path.rpartition("/")[2])
    return _SIZE.sub("", PurePosixPath(last).stem.lower())
