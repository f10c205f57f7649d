"""Links in normal form, and which hosts are one site."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit


def host(url: str) -> str:
    """The host name of a URL in normal form, lower case, with its port where that is not the scheme's own."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    port = parts.port
    return name if port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f"{name}:{port}"
