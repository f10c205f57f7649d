"""The App's server as `curate app` runs it, asked as strangers would ask it, and as its own page does."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import psutil
import pytest

from curate.app import database, fiftyone_library, server
from curate.collection.directory import Collection
from curate.collection.ledger import Ledger
from tests.curate.app.browser import Served
from tests.curate.app.conftest import checked, make_collection, mongods

pytestmark = [pytest.mark.app, pytest.mark.slow]

LIST = {"operator_uri": "@voxel51/operators/list_files", "params": {"path": "/etc"}}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return checked(make_collection(tmp_path_factory.mktemp("served") / "yoga", ["boat", "tree"]))


@pytest.fixture(scope="module")
def served(fiftyone_installed: None, collection: Collection) -> Iterator[Served]:
    started = Served(collection.root, "--model", "lite0/random")
    yield started
    started.end()


def ask(served: Served, target: str, posted: Any = None, method: str = "", **heads: str) -> tuple[int, bytes]:
    """As a browser with the key would ask, but for `heads`; Cookie="" is one without. Names take _ for -."""
    place = urlsplit(served.address)
    told = {"Host": place.netloc, "Cookie": f"fewpose_{place.port}={key(served)}", "Content-Type": "text/plain"}
    told |= {name.replace("_", "-"): value for name, value in heads.items()}
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=60)
    body = None if posted is None else json.dumps(posted)
    try:
        connection.request(method or ("GET" if body is None else "POST"), target, body, told)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def key(served: Served) -> str:
    return parse_qs(urlsplit(served.address).query)["key"][0]


def media(collection: Collection, name: str) -> str:
    images = collection.images()
    file = dict(zip(images["key"], images["file"], strict=True))[name]
    return f"/media?filepath={quote(str(collection.path(file).absolute()))}"


def dropping(served: Served) -> dict[str, Any]:
    """A request that drops the first image, as the App's page would send it."""
    ids = {"_cls": "fiftyone.core.aggregations.Values", "kwargs": [["field_or_expr", "id"]]}
    status, body = ask(served, "/aggregate", {"dataset": served.dataset, "view": [], "aggregations": [ids]})
    assert status == 200, body
    sample = json.loads(body)["aggregate"][0][0]
    what = {"operator_uri": "@fewpose/curation/drop", "params": {"reason": "from a test"}}
    return what | {"dataset_name": served.dataset, "view": [], "selected": [sample]}


FOREIGN = [
    {"Host": "evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Cookie": ""},
    {"Cookie": "fewpose_5151=guessed"},
]


@pytest.mark.parametrize("heads", FOREIGN)
def test_a_foreign_page_or_account_reads_and_decides_nothing(
    served: Served, collection: Collection, heads: dict[str, str]
) -> None:
    drop = dropping(served)
    before = len(Ledger(collection).entries)
    assert ask(served, "/operators/execute", drop, **heads)[0] == 403
    assert len(Ledger(collection).entries) == before
    for target in ("/", "/fiftyone", media(collection, "boat/0.png"), "/media?filepath=/etc/passwd", "/plugins"):
        assert ask(served, target, **heads)[0] == 403
    assert ask(served, "/graphql", {"query": "{__typename}"}, **heads)[0] == 403


def test_the_apps_own_page_is_answered_and_decides(served: Served, collection: Collection) -> None:
    assert ask(served, media(collection, "boat/0.png"))[0] == 200
    assert ask(served, "/fiftyone")[0] == 200
    own = {"Origin": served.url, "Sec_Fetch_Site": "same-origin"}
    status, body = ask(served, "/operators/execute", dropping(served), **own)
    assert status == 200, body
    assert Ledger(collection).entries[-1].reason == "from a test"


def test_no_other_file_of_the_machine_is_shown(served: Served, collection: Collection) -> None:
    one = media(collection, "boat/0.png")
    inside = str(collection.root / "images" / ".." / ".." / ".." / ".." / ".." / ".." / "etc" / "passwd")
    for query in ("/etc/passwd", inside, str(collection.root / "images.parquet")):
        for path in ("/media", "/media/", "//media", "/%6dedia"):
            status, body = ask(served, f"{path}?filepath={quote(query)}")
            assert status != 200 or b"<html" in body.lower(), path  # a page of the App's own
            assert b"root:" not in body
    assert ask(served, f"{one}&filepath=/etc/passwd")[0] == 403
    for path in ("/plugins/fewpose/../../../../../../../../etc/passwd", "/plugins/..%2f..%2f..%2fetc/passwd"):
        assert b"root:" not in ask(served, path)[1]


@pytest.mark.parametrize("route", ["execute", "execute/generator", "resolve-type", "resolve-execution-options"])
def test_what_lists_the_files_of_the_machine_is_refused(served: Served, route: str) -> None:
    status, body = ask(served, f"/operators/{route}", LIST)
    assert status == 403
    assert b"passwd" not in body


def test_closed_routes_are_closed(served: Served) -> None:
    mask = "/dataset/000000000000000000000000/sample/000000000000000000000000/commit-mask"
    assert ask(served, mask, {"field": "label", "detection_id": "x"})[0] == 405
    for target in ("/screenshot/x", "/runtime-assets/models/sam2/x", "/graphql"):
        assert ask(served, target, Accept="text/html")[0] == 307  # to the App's own page


@pytest.mark.parametrize("name", ["subprocess.Popen", "os.system", "fiftyone.core.service.subprocess.Popen"])
def test_a_request_names_no_program_in_place_of_a_view(served: Served, tmp_path: Path, name: str) -> None:
    program = {"_cls": name, "kwargs": [["args", ["touch", str(tmp_path / "ran")]]]}
    asked = {"dataset": served.dataset, "view": [program], "filters": {}, "sample_ids": []}
    ask(served, "/values", asked | {"path": "key", "ascending": True, "count": True, "limit": 1})
    ask(served, "/aggregate", asked | {"view": [], "aggregations": [program]})
    assert not (tmp_path / "ran").exists()


def test_other_accounts_see_the_key_nowhere_and_the_database_listens_on_no_port(
    served: Served, collection: Collection
) -> None:
    app = psutil.Process(served.process.pid)
    programs = [app, *app.children(recursive=True)]
    assert len(programs) >= 4  # the wrapper, the server, MongoDB
    assert [program for program in programs if key(served) in " ".join(program.cmdline())] == []
    (mongod,) = mongods(collection.root)
    assert psutil.Process(mongod).net_connections("inet") == []


def test_all_that_is_open_is_there_so_that_a_release_that_names_it_anew_is_noticed(
    fiftyone_database: database.Database,
) -> None:
    import fiftyone.operators as foo

    paths = {path for path, _ in fiftyone_library.part("server.routes").routes}
    assert server.ROUTES - paths == {"/graphql", ""}
    assert {operator.uri for operator in foo.list_operators(builtin=True)} >= server.OPERATORS
