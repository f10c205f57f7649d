"""Placeholders: the one picture that a site answers for many links, where each of them once had its own.

Nothing is asked and nothing is looked at: this is a pure function of what was kept, so that it can be computed again
when more is known. A link more never takes back what others have shown.

What is counted is *unrelated* links. Two links are related when they are the same file by their names: http and https,
www. or not, other sizes, a copy counter ("tree-1.jpg"), whatever the folder. Where a site has one name for several
pictures (YouTube: hqdefault.jpg), that name says nothing, and links are told apart by their whole path. A picture is
a placeholder when there are enough unrelated links (NAMES) under enough labels (LABELS):

    the same bytes from one site       a photograph is sometimes kept under two names, hardly ever under four; under
                                       several labels three will do, because at most one of these can be right
    the same bytes from several sites  popular photographs travel, change their names and are filed under two or three
                                       similar poses: that many labels, and only labels, tell a removed picture
    redirected to the same address     whose file is none of those that were asked for: a site that moves its pictures
                                       keeps their names or makes one for each
    nearly the same picture            people trim, save and upload a good photograph again and again, so this takes the
                                       most; it is for placeholders that are drawn for each link

Hosts where strangers keep their pictures (data/placeholders.yaml) count as several sites although they are one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from curate.download.web import urls
from curate.foundation import resources

# Any of these pairs (NAMES, LABELS) is enough.
ONE_SITE = ((4, 1), (3, 2))
SEVERAL_SITES = ((6, 5),)
SHARED_SITE = ((6, 5), (16, 1))  # 16 strangers who keep the same bytes, in a list without labels
NEARLY = ((6, 4), (16, 1))  # from one site
REDIRECTED = ((3, 1),)

_SAYS_NOTHING = 3  # pictures of one name on one site: then it is not the name of a picture

_COUNTER = re.compile(r"(?<=.)(?:[-_ ]?\([1-9]\)|[-_ ][1-9]|[-_ ]copy)$")  # "tree-1", "tree (2)", "tree copy"


@dataclass(frozen=True)
class Known:
    """A placeholder that is known by its address, and perhaps by its bytes."""

    name: str
    address: str  # a pattern of fnmatch
    id: str = ""


def find(kept: pd.DataFrame) -> pd.Series:
    """Why each link's picture is a placeholder, as a sentence; "" where it is none. Indexed like `kept`.

    kept: a row a link that has a picture, with the columns url and final_url (in normal form), label ("" where there
        is none), id (of the bytes) and group (of its copies, as in the image table).
    """
    links = _described(kept)
    why = _known(links)
    for rule in (_one_site, _several_sites):
        why = why.where(why != "", rule(links))
    why = why.where(why != "", _copies(links, why != ""))
    for rule in (_redirected, _nearly):
        why = why.where(why != "", rule(links))
    return why.set_axis(kept.index)


def _described(kept: pd.DataFrame) -> pd.DataFrame:
    """What the rules compare: label, id, group; site, name (of the file), link (what tells unrelated ones apart);
    final and final_name: where it was found.
    """
    asked, finals = kept["url"].reset_index(drop=True), kept["final_url"].reset_index(drop=True)
    links = kept[["label", "id", "group"]].reset_index(drop=True)
    links["site"] = _each(lambda url: urls.site(urls.host(url)), asked)
    links["name"] = _each(urls.filename, asked)
    links["final"] = _each(_address, finals)
    links["final_name"] = _each(urls.filename, finals)
    links["link"] = _each(_path, asked)
    for name in (links["name"], _each(_without_counter, links["name"])):
        pictures = links["id"].groupby([links["site"], name]).transform("nunique")
        links["link"] = links["link"].where((name == "") | (pictures >= _SAYS_NOTHING), name)
    return links


def _each(function: Callable[[str], str], values: pd.Series) -> pd.Series:
    """The function of every value, computed once for each that is different."""
    return values.map({value: function(value) for value in values.unique()}).astype(object)


def _without_counter(name: str) -> str:
    return _COUNTER.sub("", name)


def _address(url: str) -> str:
    """A URL without its scheme and "www."; of an archive's copy (.../web/2016/http://x.org/1.jpg) the original's."""
    return url.rpartition("://")[2].removeprefix("www.")


def _path(url: str) -> str:
    return "/" + _address(url).partition("/")[2]


@cache
def _shipped() -> tuple[tuple[Known, ...], tuple[str, ...]]:
    """The known placeholders, and the domains that are shared."""
    data = resources.load("placeholders.yaml")
    return tuple(Known(**known) for known in data["known"]), tuple(data["shared"])


# The rules. Each gives a sentence for the links that it marks, and "" for the others.


def _known(links: pd.DataFrame) -> pd.Series:
    """By address or bytes; whatever else has the bytes of one of these is marked, too."""
    why = {}
    for known in _shipped()[0]:
        there = links["final"].str.fullmatch(translate(known.address))
        why.update(dict.fromkeys(filter(None, [known.id, *links.loc[there, "id"]]), known.name))
    return _by(links["id"], why)


def _one_site(links: pd.DataFrame) -> pd.Series:
    """Bytes that one site gave too often are a placeholder wherever else they come from."""
    shared = ("." + links["site"]).str.endswith(tuple(f".{domain}" for domain in _shipped()[1]))
    shown = pd.concat(
        [
            _enough(links[~shared], ["site", "id"], ONE_SITE),
            _enough(links[shared], ["site", "id"], SHARED_SITE),
        ]
    )
    why = {
        content_id: f"{site} answers {count} unrelated links with these bytes"
        for site, content_id, count in shown.sort_values(kind="stable").reset_index().itertuples(index=False)
    }
    return _by(links["id"], why)


def _several_sites(links: pd.DataFrame) -> pd.Series:
    shown = _enough(links, ["id"], SEVERAL_SITES)
    why = {
        content_id: f"{count} unrelated links of several sites have these bytes" for content_id, count in shown.items()
    }
    return _by(links["id"], why)


def _copies(links: pd.DataFrame, placeholder: pd.Series) -> pd.Series:
    """A site whose placeholder is known has copies of it: one for each size."""
    copies = pd.MultiIndex.from_frame(links[["site", "group"]])
    found = copies.isin(copies[placeholder])
    return ("a copy of a placeholder of " + links["site"]).where(found, "")


def _redirected(links: pd.DataFrame) -> pd.Series:
    """Only the links that were redirected: somebody else may have asked for the picture that lies there."""
    moved = (links["final"] != "") & (links["final_name"] != links["name"])
    shown = _enough(links[moved], ["final"], REDIRECTED)
    why = {final: f"{count} unrelated links were redirected to {final}" for final, count in shown.items()}
    return _by(links["final"].where(moved, ""), why)


def _nearly(links: pd.DataFrame) -> pd.Series:
    at = pd.Series(list(zip(links["site"], links["group"], strict=True)), index=links.index, dtype=object)
    shown = _enough(links, ["site", "group"], NEARLY).reset_index()
    why = {
        (site, group): f"{site} answers {count} unrelated links with nearly the same picture"
        for site, group, count in shown.itertuples(index=False)
    }
    return _by(at, why)


def _enough(links: pd.DataFrame, by: list[str], enough: tuple[tuple[int, int], ...]) -> pd.Series:
    """How many unrelated links there are for each `by`, where they and their labels are enough."""
    counted = links.groupby(by).agg(links=("link", "nunique"), labels=("label", "nunique"))
    passed = [(counted["links"] >= count) & (counted["labels"] >= labels) for count, labels in enough]
    return counted.loc[np.logical_or.reduce(passed), "links"]


def _by(values: pd.Series, why: Mapping[Any, str]) -> pd.Series:
    return pd.Series([why.get(value, "") for value in values], index=values.index, dtype=object)
