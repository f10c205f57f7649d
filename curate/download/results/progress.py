"""Progress of a download: what has become of every link so far, counted by cause, class and host.

Read from what was listed, the journal and the tables, so it can be asked while a download runs or after it was killed.
The journal is the newer one; the tables know what no answer tells: that a picture is a placeholder, and that a key is
no file name here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from curate.collection.directory import Collection
from curate.download.results import pending
from curate.download.results.journal import NAME, Journal
from curate.download.web import archive, urls
from curate.download.web.outcome import Outcome
from curate.foundation import console

KEPT = str(Outcome.KEPT)
WAITING = "waiting"  # for an answer

_VERDICTS = (str(Outcome.PLACEHOLDER), str(Outcome.CANNOT_STORE))  # on what was kept
_NAMED = 3  # links named for each cause


def link_states(collection: Collection) -> pd.DataFrame:
    """Every link that was ever listed: key, label, url, host, site, and cause: KEPT, WAITING, or why it was dropped.

    A link whose key is that of an image from elsewhere (an import) does not count.
    Raises FewposeError where a table or the journal cannot be read.
    """
    images = collection.images()
    elsewhere = images.loc[images["source"] != "download", "key"]
    links = pending.listed(collection)[["key", "label", "url"]]
    links = links[~links["key"].isin(elsewhere)].reset_index(drop=True)
    rejects = collection.rejects()
    rejected = links["key"].map(dict(zip(rejects["key"], rejects["cause"], strict=True)))
    hosts = {url: urls.host(url) for url in links["url"].unique()}
    sites = {host: urls.site(host) for host in set(hosts.values())}
    links["host"] = links["url"].map(hosts).astype("str")
    links["site"] = links["host"].map(sites).astype("str")
    cause = links["url"].map(_answers(collection, images)).astype(object)
    cause = cause.mask((cause == KEPT) & rejected.isin(_VERDICTS), rejected)
    links["cause"] = cause.fillna(rejected).fillna(WAITING).astype("str")
    return links


def _answers(collection: Collection, images: pd.DataFrame) -> dict[str, str]:
    """Each link's last answer; where an archive had it, that it is kept. Says where answers are lost."""
    answers: dict[str, str] = {}
    journal = Journal.read(collection.file(NAME))
    lost = pending.lost_rows(images, journal)
    if journal.damaged or lost:
        console.warn(f"{journal.damage()}; curate download with the same lists finds out what stood there")
    for (url, via), row in [*journal.rows.items(), *(((row.url, row.via), row) for row in lost)]:
        if via != archive.VIA or row.outcome == Outcome.KEPT:
            answers[url] = KEPT if answers.get(url) == KEPT else str(row.outcome)
    return answers


@dataclass(frozen=True)
class Cause:
    cause: str
    count: int  # links that were dropped for it
    first: list[str]  # some of their keys


@dataclass(frozen=True)
class Class:
    label: str
    links: int
    kept: int
    waiting: int
    dropped: int


@dataclass(frozen=True)
class Host:
    host: str
    links: int
    kept: int
    dropped: int
    cause: str  # of most of the dropped ones; "" where there are none


@dataclass(frozen=True)
class Progress:
    """Counts of links."""

    links: int
    kept: int
    waiting: int
    dropped: int
    causes: list[Cause]  # the most frequent first
    classes: list[Class]  # by label
    hosts: list[Host]  # those with most dropped links first

    @classmethod
    def of(cls, collection: Collection) -> "Progress":
        """Raises FewposeError where a table or the journal cannot be read."""
        return cls.counted(link_states(collection))

    @classmethod
    def counted(cls, links: pd.DataFrame) -> "Progress":
        """links: as `link_states` gives them."""
        links = links.assign(
            kept=links["cause"] == KEPT,
            waiting=links["cause"] == WAITING,
            dropped=~links["cause"].isin([KEPT, WAITING]),
        )
        return cls(
            links=len(links),
            kept=int(links["kept"].sum()),
            waiting=int(links["waiting"].sum()),
            dropped=int(links["dropped"].sum()),
            causes=_causes(links[links["dropped"]]),
            classes=[Class(label, *counts) for label, counts in _counts(links, "label", [KEPT, WAITING, "dropped"])],
            hosts=_hosts(links),
        )

    def below(self, number: int) -> list[Class]:
        """The classes with fewer kept links than `number`, those with fewest first."""
        return sorted((one for one in self.classes if one.kept < number), key=lambda one: (one.kept, one.label))


def _causes(dropped: pd.DataFrame) -> list[Cause]:
    found = [Cause(str(cause), len(keys), sorted(keys)[:_NAMED]) for cause, keys in dropped.groupby("cause")["key"]]
    return sorted(found, key=lambda cause: (-cause.count, cause.cause))


def _hosts(links: pd.DataFrame) -> list[Host]:
    lost = links[links["dropped"]].groupby(["host", "cause"]).size()
    # Of causes that are as frequent, the first by name, so that the same links are told the same way.
    main = lost.sort_values(ascending=False, kind="stable").reset_index().drop_duplicates("host")
    cause = dict(zip(main["host"], main["cause"], strict=True))
    found = [
        Host(host, number, kept, dropped, cause.get(host, ""))
        for host, (number, kept, dropped) in _counts(links, "host", ["kept", "dropped"])
    ]
    return sorted(found, key=lambda host: (-host.dropped, -host.links, host.host))


def _counts(links: pd.DataFrame, by: str, columns: list[str]) -> Iterator[tuple[Any, list[int]]]:
    """For each `by` in order: how many links it has, and of how many of them each column is true."""
    groups = links.groupby(by)
    counts = groups[columns].sum()
    counts.insert(0, "links", groups.size())
    yield from zip(counts.index, counts.to_numpy().tolist(), strict=True)
