"""Hosts some of whose links hang: what is good there is kept, and what was not asked has its turn the next time."""

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import web
from benchmarks.web import Web

if TYPE_CHECKING:
    from tests.curate.download.conftest import Place

DRIPPING = ("drip-body", "drip-headers", "drip-chunk-size")
STALLING = ("stall", "stall-in-body", "stall-in-headers")
SOON: dict[str, Any] = {"read_timeout": 1.0, "deadline": 2.5}


def mixed(site: Web, hosts: int, good: int, hanging: int, seed: int) -> dict[str, str]:
    """Links of hosts that each have so many good ones, and so many that hang, half of them without an end."""
    chance = random.Random(seed)
    links: dict[str, str] = {}
    for host in range(hosts):
        without_end = chance.choices(DRIPPING, k=hanging // 2)
        for name in [*without_end, *chance.choices(STALLING, k=hanging - len(without_end)), *["good"] * good]:
            number = 10_000 * seed + len(links)
            links[f"{name}/{number}.jpg"] = site.url(name, number, f"127.5.{seed}.{host + 1}")
    return links


def lost(place: "Place", links: dict[str, str]) -> set[str]:
    """The good ones that are not kept."""
    good = {key for key in links if key.startswith("good/")}
    kept = {key for key, content in place.files.items() if content == web.picture(_number(key))}
    return good - kept


def _number(key: str) -> int:
    return int(key.split("/")[1].removesuffix(".jpg"))


@pytest.mark.slow
def test_links_that_hang_cost_their_neighbours_nothing(site: Web, place: "Place") -> None:
    links = mixed(site, hosts=3, good=10, hanging=8, seed=0)
    for _ in range(2):
        place.download(links, attempts=1, **SOON)
    assert lost(place, links) == set()
    assert len(place.files) == 30


@pytest.mark.whole
@pytest.mark.parametrize("seed", range(10))
def test_no_good_link_is_lost_over_two_runs(site: Web, place: "Place", seed: int) -> None:
    links = mixed(site, hosts=12, good=20, hanging=10, seed=seed)
    for _ in range(2):
        place.download(links, **SOON)
    assert lost(place, links) == set()


@pytest.mark.slow
def test_what_was_not_asked_comes_first_the_next_time_and_what_was_keeps_its_answer(site: Web, place: "Place") -> None:
    links = {f"stall/{n}.jpg": site.url("stall", n, "127.5.200.1") for n in range(12)}
    place.download(links, attempts=1, read_timeout=0.5)
    first = place.causes
    assert Counter(first.values()).keys() == {"stalled", "host set aside"}
    place.download(links, attempts=1, read_timeout=0.5)
    assert site.counts()["paths"].keys() == {f"127.5.200.1/stall/{n}.jpg" for n in range(12)}
    assert set(place.causes.values()) == {"stalled"}
