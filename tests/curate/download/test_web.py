import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks import web
from curate.images.signatures import signature_of


@pytest.fixture(scope="module")
def served() -> Iterator[web.Web]:
    with web.serving(latency=0.1) as served:
        yield served


def get(served: web.Web, host: str, path: str, times: int = 1) -> bytes:
    connection = http.client.HTTPConnection(host, served.ports["http"], timeout=10)
    for _ in range(times):
        connection.request("GET", path)
        body = connection.getresponse().read()
    connection.close()
    return body


def test_a_picture_is_a_function_of_its_number_and_no_two_are_alike() -> None:
    assert web.picture(12) == web.picture(12)
    seen = [np.frombuffer(signature_of(web.picture(n)).thumbnail, np.uint8).astype(int) for n in range(150)]
    apart = [np.abs(a - b).mean() for i, a in enumerate(seen) for b in seen[:i]]
    assert min(apart) > 15  # grey levels of 255


def test_every_behaviour_answers_something() -> None:
    ports = {"refused", "tls-self-signed", "tls-hang", "tls-plain"}
    assert set(web.BEHAVIOURS) - ports <= set(web._FIXED) | set(web._ACTIONS)
    assert len(web.BEHAVIOURS) >= 40


def test_it_counts_what_was_asked_of_whom_how_often_and_how_much_at_once(served: web.Web) -> None:
    served.reset()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: get(served, "127.1.0.1", f"/good/{n}.jpg", times=2), range(3)))
    assert get(served, "127.1.0.2", "/good/1.jpg") == web.picture(1)
    counts = served.counts()
    assert counts["paths"] == {
        "127.1.0.1/good/0.jpg": 2,
        "127.1.0.1/good/1.jpg": 2,
        "127.1.0.1/good/2.jpg": 2,
        "127.1.0.2/good/1.jpg": 1,
    }
    host = counts["hosts"]["127.1.0.1"]
    assert (host["most_connections"], host["most_requests"], host["connections"], host["requests"]) == (3, 3, 0, 0)
    assert len(host["starts"]) == 6
    assert host["starts"] == sorted(host["starts"])
    served.reset()
    assert served.counts()["paths"] == {}
