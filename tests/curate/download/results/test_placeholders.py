"""One picture for many links is found out, and a picture that is well liked is not."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.collection import groups
from curate.download.results import placeholders
from curate.download.web import urls
from curate.images.signatures import SIDE, signature_of

WORDS = ["tree", "plank", "cobra-pose", "woman_on_mat", "yoga-in-park", "headstand", "lotus", "bridge"]
FILES = (*WORDS, *(f"photo-{number}" for number in range(100, 120)))
LABELS = tuple(f"pose {letter}" for letter in "abcdefghijklmnopqrst")


def link(url: str, picture: str, label: str = "", *, final: str = "", group: str = "") -> dict[str, str]:
    return {"url": url, "final_url": final or url, "label": label, "id": picture, "group": group or picture}


def table(rows: Iterable[dict[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["url", "final_url", "label", "id", "group"], dtype="str")


def why(*rows: dict[str, str]) -> list[str]:
    return placeholders.find(table(rows)).tolist()


def same(site: str, count: int, labels: int, picture: str = "p") -> list[dict[str, str]]:
    """`count` links of one site, under so many labels, which were all answered with one picture."""
    return [link(f"http://{site}/{name}.jpg", picture, LABELS[n % labels]) for n, name in enumerate(FILES[:count])]


# What is one


@pytest.mark.parametrize(("count", "labels"), [(4, 1), (3, 2), (3, 3), (20, 10)])
def test_one_site_that_gives_the_same_bytes_for_unrelated_links(count: int, labels: int) -> None:
    found = why(*same("x.org", count, labels), link("http://x.org/own.jpg", "own", LABELS[0]))
    assert found == [f"x.org answers {count} unrelated links with these bytes"] * count + [""]


def test_a_list_without_labels_is_enough_for_one_site() -> None:
    assert all(why(*[link(f"http://x.org/{name}.jpg", "p") for name in FILES[:4]]))


def test_the_shards_of_a_site_are_one_site() -> None:
    assert all(why(*[link(f"http://thumb{n}.x.org/{name}.jpg", "p") for n, name in enumerate(FILES[:4])]))


def test_the_bytes_of_a_placeholder_are_one_wherever_they_come_from() -> None:
    assert all(why(*same("x.org", 4, 1), link("http://other.net/sunset.jpg", "p", LABELS[0])))


def test_many_labels_on_several_sites() -> None:
    rows = [link(f"http://site-{name}.org/{name}.jpg", "p", LABELS[n]) for n, name in enumerate(FILES[:6])]
    assert set(why(*rows)) == {"6 unrelated links of several sites have these bytes"}


def test_links_that_were_redirected_to_one_address() -> None:
    rows = [
        link(f"http://x{n}.org/{name}.jpg", f"p{n}", final="http://cdn.net/gone.png")
        for n, name in enumerate(FILES[:3])
    ]
    own = link("http://y.org/own.jpg", "p0", final="https://y.org/own.jpg")
    asked_for = link("http://cdn.net/gone.png", "p1")
    assert why(*rows, own, asked_for) == ["3 unrelated links were redirected to cdn.net/gone.png"] * 3 + ["", ""]


def test_pictures_that_are_drawn_for_each_link() -> None:
    rows = [link(f"http://x.org/{name}.jpg", f"p{n}", LABELS[n % 4], group="g") for n, name in enumerate(FILES[:6])]
    assert set(why(*rows)) == {"x.org answers 6 unrelated links with nearly the same picture"}


def test_a_copy_of_a_placeholder_from_the_same_site_is_one() -> None:
    small = link("http://x.org/sunset.jpg", "small", LABELS[0], group="p")
    elsewhere = link("http://y.org/sunset.jpg", "other", LABELS[0], group="p")
    assert why(*same("x.org", 4, 1), small, elsewhere)[4:] == ["a copy of a placeholder of x.org", ""]


def test_a_name_that_a_site_gives_to_many_pictures_tells_nothing() -> None:
    videos = [link(f"https://i.ytimg.com/vi/{n}/hqdefault.jpg", f"video {n}", LABELS[0]) for n in range(3)]
    gone = [link(f"https://i.ytimg.com/vi/gone{n}/hqdefault.jpg", "p", LABELS[n % 2]) for n in range(4)]
    assert [bool(found) for found in why(*videos, *gone)] == [False] * 3 + [True] * 4


@pytest.mark.parametrize(
    ("final", "picture"),
    [
        ("https://i.imgur.com/removed.png", "any"),
        ("http://www.i.imgur.com/removed.png", "any"),
        ("https://s.yimg.com/pw/images/en-us/photo_unavailable.png", "any"),
        ("https://s.yimg.com/pw/images/fr-fr/photo_unavailable_l.png", "any"),
        ("https://s.yimg.com/pw/images/photo_unavailable.gif", "any"),
        ("http://l.yimg.com/g/images/photo_unavailable.gif", "any"),
        ("http://tinypic.com/images/404.gif", "any"),
        ("https://web.archive.org/web/20160101000000id_/http://i.imgur.com/removed.png", "any"),
        ("https://x.org/mirror.png", "9b5936f4006146e4e1e9025b474c02863c0b5614132ad40db4b925a10e8bfbb9"),
    ],
)
def test_known_ones_need_no_second_link(final: str, picture: str) -> None:
    assert "picture for a" in why(link("http://i.imgur.com/abc123.jpg", picture, final=final))[0]


@pytest.mark.parametrize(
    "final",
    ["https://i.imgur.com/removed.png.jpg", "https://x.org/i.imgur.com/removed.png", "https://i.imgur.com/a.png"],
)
def test_other_addresses_are_not_known(final: str) -> None:
    assert why(link("http://i.imgur.com/abc123.jpg", "any", final=final)) == [""]


# What is none


def test_one_photograph_under_several_addresses_is_no_placeholder() -> None:
    addresses = (
        "http://x.org/tree.jpg",
        "https://x.org/tree.jpg",
        "https://www.x.org/tree.jpg",
        "https://www.x.org/tree.jpg?w=640",
        "https://www.x.org/2017/tree.jpg",
        "https://x.org/tree-300x200.jpg",
        "https://x.org/Tree.JPG",
        "https://x.org/tree-1.jpg",
        "https://x.org/tree (2).jpg",
        "https://i0.wp.com/x.org/tree.jpg",
        "https://y.net/tree.jpg",
        "https://z.com/pictures/tree.png",
    )
    assert not any(why(*[link(address, "p", LABELS[n % 2]) for n, address in enumerate(addresses)]))


def test_a_popular_photograph_on_many_sites_is_no_placeholder() -> None:
    rows = [link(f"http://site-{name}.org/{name}.jpg", "p", LABELS[n % 2]) for n, name in enumerate(FILES[:10])]
    assert not any(why(*rows))


@pytest.mark.parametrize(
    "host", ["1.bp.blogspot.com", "s-media-cache-ak0.pinimg.com", "i.pinimg.com", "40.media.tumblr.com", "i2.wp.com"]
)
def test_a_popular_photograph_that_people_kept_on_a_shared_host_is_no_placeholder(host: str) -> None:
    rows = [link(f"http://{host}/{n}/{name}.jpg", "p", LABELS[n % 2]) for n, name in enumerate(FILES[:10])]
    assert not any(why(*rows))


@pytest.mark.parametrize(("count", "labels"), [(6, 5), (16, 1)])
def test_a_shared_host_that_gives_the_same_bytes_again_and_again(count: int, labels: int) -> None:
    assert all(why(*same("40.media.tumblr.com", count, labels)))


@pytest.mark.parametrize(("count", "labels"), [(2, 2), (3, 1)])
def test_a_photograph_that_a_site_has_a_few_times_is_no_placeholder(count: int, labels: int) -> None:
    assert not any(why(*same("x.org", count, labels)))


def test_a_poster_under_two_labels_is_no_placeholder() -> None:
    rows = [link("http://x.org/poster.jpg", "p", label) for label in LABELS[:2] for _ in range(4)]
    assert not any(why(*rows))


def test_near_copies_that_people_uploaded_are_no_placeholder() -> None:
    rows = [
        link(f"http://i.pinimg.com/736x/{n}/{name}.jpg", f"p{n}", LABELS[n % 2], group="g")
        for n, name in enumerate(FILES[:12])
    ]
    assert not any(why(*rows))


def test_a_site_that_moved_its_pictures_has_no_placeholders() -> None:
    moved = [
        link(f"http://x.org/{name}.jpg", f"p{n}", final=f"https://cdn.x.org/{n:08x}/{name}.jpg")
        for n, name in enumerate(FILES)
    ]
    merged = [link(f"http://x.org/{n}/lotus.jpg", "p", final="https://x.org/lotus.jpg") for n in range(9)]
    assert not any(why(*moved, *merged))


def test_there_may_be_nothing() -> None:
    assert why() == []


# Whatever the table


rows = st.builds(
    lambda site, name, final, label, picture, group: link(
        f"http://{site}/{name}.jpg", picture, label, final=final, group=group
    ),
    site=st.sampled_from(["x.org", "www.y.net", "1.bp.blogspot.com"]),
    name=st.sampled_from(WORDS),
    final=st.sampled_from(["", "", "http://x.org/gone.png"]),
    label=st.sampled_from(LABELS[:6]),
    picture=st.sampled_from(["p", "q", "r", "s"]),
    group=st.just("g"),
)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(rows, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_links_makes_no_difference(listed: list[dict[str, str]], random: np.random.Generator) -> None:
    kept = table(listed)
    order = list(range(len(kept)))
    random.shuffle(order)
    shuffled = kept.iloc[order]
    pd.testing.assert_series_equal(placeholders.find(shuffled).sort_index(), placeholders.find(kept).sort_index())


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(rows, max_size=30), rows)
def test_one_more_link_takes_back_nothing(listed: list[dict[str, str]], more: dict[str, str]) -> None:
    before = placeholders.find(table(listed))
    after = placeholders.find(table([*listed, more]))[: len(listed)]
    assert (after[before != ""] != "").all()


# Real lists and photographs


def yoga82(shared_data: Path) -> pd.DataFrame:
    lines = (
        line.split("\t")
        for file in sorted((shared_data / "yoga82/links").glob("*.txt"))
        for line in file.read_text(encoding="utf-8").splitlines()
        if "\t" in line
    )
    return pd.DataFrame(
        [{"url": urls.normal(url), "label": key.strip().partition("/")[0]} for key, url in lines], dtype="str"
    )


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("what", ["address", "site and name", "name"])
def test_no_link_of_yoga82_is_one_when_each_has_its_own_picture(shared_data: Path, what: str) -> None:
    kept = yoga82(shared_data)
    picture = {
        "address": kept["url"],
        # What a site calls by one name, wherever it lies, is one picture: the sizes of one, say.
        "site and name": kept["url"].map(lambda url: f"{urls.site(urls.host(url))} {urls.filename(url) or url}"),
        # What has the same name anywhere is one picture.
        "name": kept["url"].map(lambda url: urls.filename(url) or url),
    }[what]
    ids = picture.map(lambda text: hashlib.sha256(text.encode()).hexdigest())
    found = placeholders.find(kept.assign(id=ids, group=ids, final_url=kept["url"]))
    assert len(found) > 28_000
    assert found[found != ""].tolist() == []


@pytest.mark.slow
@pytest.mark.data
def test_near_copies_among_real_photographs_are_none(shared_data: Path) -> None:
    """As if all of them had been kept by one site, each under a name of its own."""
    photos = sorted((shared_data / "photos5_noisy").glob("*/*.jpg"))
    ids = [hashlib.sha256(photo.read_bytes()).hexdigest() for photo in photos]
    first = dict(zip(ids, photos, strict=True))
    thumbnails = [
        np.frombuffer(signature_of(photo.read_bytes()).thumbnail, np.uint8).reshape(SIDE, SIDE)
        for photo in first.values()
    ]
    group = dict(zip(first, groups.assign(list(first), np.stack(thumbnails)), strict=True))
    assert len(set(group.values())) < len(first)  # there are copies
    for host in ("x.org", "i.pinimg.com"):
        found = why(
            *[
                link(f"http://{host}/{photo.stem}.jpg", i, photo.parent.name, group=group[i])
                for i, photo in zip(ids, photos, strict=True)
            ]
        )
        assert not any(found)
