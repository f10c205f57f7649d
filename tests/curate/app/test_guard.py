"""The guard around the App's server: who is answered, and which files are shown. No FiftyOne is behind it here."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from curate.app.guard import Guard, Message, Picture, Receive, Send

KEY = "a-key-that-nobody-guesses"
HOST = "127.0.0.1:5151"
COOKIE = f"fewpose_5151={KEY}"
PICTURE = Picture(b"\xff\xd8 a picture", "image/jpeg", "0" * 64)


@dataclass
class Answer:
    status: int
    heads: dict[str, str]
    body: bytes


async def _inside(scope: Message, receive: Receive, send: Send) -> None:
    """What is guarded: says that it was reached."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


def _picture(filepath: str) -> Picture | None:
    return {"/photos/a b.jpg": PICTURE}.get(filepath)


def ask(
    target: str = "/datasets/yoga", *heads: tuple[str, str], method: str = "GET", kind: str = "http", host: str = HOST
) -> Answer:
    """With a Host and no cookie, unless `heads` say so. Of a websocket the status is 403 where it is not accepted."""
    path, _, query = target.partition("?")
    told = [("host", host)] if host else []
    scope: Message = {"type": kind, "path": path, "query_string": query.encode()}
    scope["headers"] = [(name.encode(), value.encode("latin1")) for name, value in (*told, *heads)]
    if kind == "http":
        scope["method"] = method
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": f"{kind}.connect"}

    asyncio.run(Guard(_inside, KEY, _picture)(scope, receive, send))
    if kind == "websocket":
        return Answer(101 if sent[0]["type"] == "websocket.accept" else 403, {}, b"")
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], answered, sent[1]["body"])


KNOWN = ("cookie", f"theme=dark; {COOKIE}")


@pytest.mark.parametrize("host", ["127.0.0.1:5151", "localhost:5151", "[::1]:5151", "LOCALHOST:5151"])
def test_the_browser_that_has_the_cookie_is_answered(host: str) -> None:
    assert ask("/datasets/yoga", KNOWN, host=host).status == 299
    same = (KNOWN, ("origin", f"http://{host.lower()}"), ("sec-fetch-site", "same-origin"))
    assert ask("/graphql", *same, host=host, method="POST").status == 299


def test_a_tunnel_may_give_it_any_port_with_a_cookie_of_that_port() -> None:
    answer = ask(f"/enter?key={KEY}&to=/datasets/yoga", host="localhost:8080")
    cookie = answer.heads["set-cookie"].partition(";")[0]
    assert cookie == f"fewpose_8080={KEY}"
    assert ask("/", ("cookie", cookie), host="localhost:8080").status == 299
    assert ask("/", ("cookie", cookie), host="localhost:8081").status == 403


@pytest.mark.parametrize(
    ("heads", "host"),
    [
        ((KNOWN,), "evil.example"),
        ((KNOWN,), "evil.example:5151"),
        ((KNOWN,), "127.0.0.1.evil.example:5151"),
        ((KNOWN,), "localhost:5151@evil.example"),
        ((KNOWN,), "localhost:5151\n"),
        ((KNOWN,), "127.0.0.2:5151"),
        ((KNOWN,), ""),
        ((KNOWN, ("host", HOST)), HOST),  # said twice
        ((KNOWN, ("origin", "https://evil.example")), HOST),
        ((KNOWN, ("origin", "null")), HOST),
        ((KNOWN, ("origin", "https://127.0.0.1:5151")), HOST),
        ((KNOWN, ("origin", "http://127.0.0.1:5152")), HOST),  # another program's page, on this machine
        ((KNOWN, ("origin", "http://localhost:5151")), HOST),
        ((KNOWN, ("origin", f"http://{HOST}"), ("origin", "https://evil.example")), HOST),
        ((KNOWN, ("sec-fetch-site", "cross-site")), HOST),
        ((KNOWN, ("sec-fetch-site", "same-site")), HOST),
        ((), HOST),
        ((("cookie", "fewpose_5151=wrong"),), HOST),
        ((("cookie", f"fewpose_5151={KEY}x"),), HOST),
        ((("cookie", "fewpose_5151="),), HOST),
        ((("cookie", f"other={KEY}"),), HOST),
        ((("x-fewpose-key", "wrong"),), HOST),
        ((("x-fewpose-key", "\xfc"),), HOST),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("target", ["/", "/operators/execute", "/media?filepath=/photos/a+b.jpg", "/assets/index.js"])
def test_all_others_are_refused_whatever_they_ask_for(
    heads: tuple[tuple[str, str], ...], host: str, kind: str, target: str
) -> None:
    assert ask(target, *heads, host=host, kind=kind).status == 403


def test_a_refused_person_is_told_what_to_do() -> None:
    assert b"Open the address that curate app prints" in ask("/").body


def test_a_websocket_of_the_apps_own_page_is_accepted() -> None:
    assert ask("/ws", KNOWN, ("origin", f"http://{HOST}"), kind="websocket").status == 101


def test_our_own_process_brings_the_key_as_a_header() -> None:
    assert ask("/events", ("x-fewpose-key", KEY), method="POST").status == 299


def test_the_address_with_the_key_gives_the_cookie_and_leads_on_even_from_a_link_elsewhere() -> None:
    answer = ask(f"/enter?key={KEY}&to=/datasets/yoga-1", ("sec-fetch-site", "cross-site"))
    assert answer.status == 200
    assert answer.heads["set-cookie"] == f"{COOKIE}; Path=/; HttpOnly; SameSite=Strict"
    assert (answer.heads["cache-control"], answer.heads["referrer-policy"]) == ("no-store", "no-referrer")
    assert b'content="0;url=/datasets/yoga-1"' in answer.body


@pytest.mark.parametrize(
    "asked", ["/enter", "/enter?key=", "/enter?key=wrong", f"/enter?to={KEY}", f"/enter/?key={KEY}", f"/?key={KEY}"]
)
def test_without_the_key_there_is_no_cookie(asked: str) -> None:
    answer = ask(asked)
    assert (answer.status, answer.heads.get("set-cookie")) == (403, None)


def test_a_key_is_taken_from_no_other_page_and_by_no_other_method() -> None:
    assert ask(f"/enter?key={KEY}", host="evil.example").status == 403
    assert ask(f"/enter?key={KEY}", ("origin", "https://evil.example")).status == 403
    assert ask(f"/enter?key={KEY}", method="POST").status == 403


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", '/datasets/"><script>']
)
def test_it_leads_nowhere_else_and_writes_no_markup(to: str) -> None:
    body = ask(f"/enter?key={KEY}&to={to}").body.decode()
    assert "evil" not in body
    assert "javascript" not in body
    assert body.count("<") == 4


def test_a_picture_of_the_collection_is_shown_as_a_picture_and_nothing_else() -> None:
    answer = ask("/media?filepath=/photos/a%20b.jpg", KNOWN)
    assert (answer.status, answer.body) == (200, PICTURE.content)
    assert answer.heads["content-type"] == "image/jpeg"
    assert answer.heads["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.heads["content-security-policy"]


def test_what_the_browser_has_is_not_sent_again() -> None:
    etag = ask("/media?filepath=/photos/a+b.jpg", KNOWN).heads["etag"]
    answer = ask("/media?filepath=/photos/a+b.jpg", KNOWN, ("if-none-match", etag))
    assert (answer.status, answer.body) == (304, b"")
    assert ask("/media?filepath=/photos/a+b.jpg", KNOWN, method="HEAD").body == b""


@pytest.mark.parametrize(
    "query",
    [
        *("", "filepath=", "filepath=/etc/passwd", "filepath=/photos/../etc/passwd", "filepath=/photos/./a+b.jpg"),
        *("filepath=/photos/a+b.jpg&filepath=/etc/passwd", "filepath=/etc/passwd&filepath=/photos/a+b.jpg"),
        *("filepath=%00", "filepath=/photos/a+b.jpg%00", "FILEPATH=/photos/a+b.jpg", "filepath=%2e%2e/photos/a+b.jpg"),
    ],
)
def test_no_other_file_is_shown(query: str) -> None:
    assert ask(f"/media?{query}", KNOWN).status == 403


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "PUT", "DELETE"])
def test_pictures_are_read_only(method: str) -> None:
    assert ask("/media?filepath=/photos/a+b.jpg", KNOWN, method=method).status == 405


def test_the_servers_own_start_and_end_pass() -> None:
    reached = []

    async def inside(scope: Message, receive: Receive, send: Send) -> None:
        reached.append(scope["type"])

    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    asyncio.run(Guard(inside, KEY, _picture)({"type": "lifespan"}, nothing, nothing))  # type: ignore[arg-type]
    assert reached == ["lifespan"]
