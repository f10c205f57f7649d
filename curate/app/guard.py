"""Who may ask the App's server, and for which files: an ASGI application around another one.

FiftyOne's own server answers whoever reaches its port and hands out any file that its user can read. Behind the guard:

Host            names this machine. A name elsewhere that was pointed at 127.0.0.1 (DNS rebinding) is another host. Its
                port may be any: ssh -L gives the App the port of the other end.
Origin          where there is one, is that of the App itself: no other page may ask, and none without a name ("null").
Sec-Fetch-Site  says same-origin, or that a person typed the address, wherever a browser says it.
key             was brought in the address that `curate app` prints (ENTER), and since then comes as a cookie; our own
                process, which is no browser, sends it as a header. Other accounts of the machine don't have it.
MEDIA           is answered here: pictures of the collection, and no other file.
"""

import asyncio
import hmac
import html
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

ENTER = "/enter"  # ?key=KEY&to=/datasets/NAME
MEDIA = "/media"  # ?filepath=FILE
HEADER = "x-fewpose-key"

_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::(\d{1,5}))?", re.ASCII | re.IGNORECASE)
_HELP = "Open the address that curate app prints: it holds the key, and names this machine, 127.0.0.1 or localhost."


@dataclass(frozen=True)
class Picture:
    """content: the file's bytes.  media_type: as in "image/jpeg".  id: the digest of the bytes, in hexadecimal."""

    content: bytes
    media_type: str
    id: str


class Guard:
    """An ASGI application that passes on to `inner` what may be asked.

    key: any string that can't be guessed. picture: from a `filepath` to the picture there, None where there is none
    that may be shown; it may take its time.
    """

    def __init__(self, inner: Application, key: str, picture: Callable[[str], Picture | None]) -> None:
        self._inner = inner
        self._key = key
        self._picture = picture

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # the server's own start and end
            await self._inner(scope, receive, send)
            return
        asked = _Asked(scope)
        why = self._refusal(asked)
        if why:
            await _refuse(send, asked, why)
        elif asked.path == ENTER:
            await self._let_in(send, asked)
        elif asked.path == MEDIA:
            await self._show(send, asked)
        else:
            await self._inner(scope, receive, send)

    def _refusal(self, asked: "_Asked") -> str:
        """Why this request is not answered; "" where it is."""
        entering = asked.path == ENTER and asked.method == "GET"
        if asked.host is None:
            return "Host is not this machine."
        if any(origin.lower() != f"http://{asked.host}".lower() for origin in asked.all("origin")):
            return "Origin is not the App's."
        # A link elsewhere may lead in, for it has the key with it.
        if not entering and not set(asked.all("sec-fetch-site")) <= {"none", "same-origin"}:
            return "Another page asked."
        keys = asked.query.get("key", []) if entering else [*asked.all(HEADER), *asked.cookies(self._cookie(asked))]
        if not any(hmac.compare_digest(key.encode(), self._key.encode()) for key in keys):
            return "The key is missing or wrong."
        return ""

    @staticmethod
    def _cookie(asked: "_Asked") -> str:
        """Browsers give cookies to all ports of a host: each App's has a name of its own."""
        return f"fewpose_{asked.port}"

    async def _let_in(self, send: Send, asked: "_Asked") -> None:
        """Give the cookie, and lead on by a page of our own: after a redirect, the browser would still take the page
        that linked here for the one that asks, and keep a cookie back that is SameSite=Strict.
        """
        wanted = asked.query.get("to", [""])[0]
        to = html.escape(quote(wanted if wanted.startswith("/datasets/") else "/", safe="/?=&-_."))
        page = f'<!doctype html><meta http-equiv="refresh" content="0;url={to}"><a href="{to}">Open the App</a>'
        cookie = f"{self._cookie(asked)}={self._key}; Path=/; HttpOnly; SameSite=Strict"
        heads = {"content-type": "text/html; charset=utf-8", "set-cookie": cookie, "referrer-policy": "no-referrer"}
        await _answer(send, 200, {**heads, "cache-control": "no-store"}, page.encode())

    async def _show(self, send: Send, asked: "_Asked") -> None:
        if asked.method not in ("GET", "HEAD"):
            await _answer(send, 405, {"allow": "GET, HEAD"}, b"")
            return
        files = asked.query.get("filepath", [])
        found = await asyncio.to_thread(self._picture, files[0]) if len(files) == 1 else None
        if found is None:
            await _refuse(send, asked, "No such picture in the collection.")
            return
        tag = f'"{found.id}"'
        heads = {"etag": tag, "cache-control": "private, no-cache", "cross-origin-resource-policy": "same-origin"}
        if tag in asked.all("if-none-match"):
            await _answer(send, 304, heads, b"")
            return
        # A file may be a picture and a page at once: it never runs as one.
        heads |= {"content-type": found.media_type, "x-content-type-options": "nosniff"}
        heads |= {"content-security-policy": "default-src 'none'; sandbox"}
        await _answer(send, 200, heads, found.content, shown=asked.method != "HEAD")


class _Asked:
    """What a request says of itself.

    host: as the browser knows the server, port included; None where that is not this machine's name, or said twice.
    """

    def __init__(self, scope: Message) -> None:
        self.path: str = scope["path"]
        self.method: str = scope.get("method", "")
        self.websocket: bool = scope["type"] == "websocket"
        self.query = parse_qs(scope["query_string"].decode("latin1"), keep_blank_values=True)
        self._heads = [(name.decode("latin1").lower(), value.decode("latin1")) for name, value in scope["headers"]]
        hosts = self.all("host")
        known = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        self.host: str | None = hosts[0] if known else None
        self.port: str = (known[1] if known else None) or "80"

    def all(self, name: str) -> list[str]:
        return [value for head, value in self._heads if head == name]

    def cookies(self, name: str) -> Iterable[str]:
        for part in ";".join(self.all("cookie")).split(";"):
            said, _, value = part.strip().partition("=")
            if said == name:
                yield value


async def _refuse(send: Send, asked: _Asked, why: str) -> None:
    if asked.websocket:  # answered with 403 by the server, as it was not accepted
        await send({"type": "websocket.close", "code": 1008})
        return
    await _answer(send, 403, {"content-type": "text/plain; charset=utf-8"}, f"{why} {_HELP}\n".encode())


async def _answer(send: Send, status: int, heads: dict[str, str], body: bytes, *, shown: bool = True) -> None:
    told = [(name.encode(), value.encode("latin1")) for name, value in heads.items()]
    if status != 304:
        told.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body if shown else b""})
