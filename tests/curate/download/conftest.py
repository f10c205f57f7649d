"""What the tests of a whole download share: the local web, and a list with the collection that it is brought into."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks import web
from curate.collection.directory import Collection
from curate.download import run
from curate.download.results.journal import Journal, Row
from curate.download.results.progress import link_states
from curate.download.web.settings import Settings

# Generous for a busy machine, and over in seconds for a host that hangs.
QUICK: dict[str, Any] = {
    "allow_private": True,
    "spacing": 0.0,
    "connect_timeout": 1.5,
    "read_timeout": 1.5,
    "deadline": 6.0,
}


@dataclass(frozen=True)
class Place:
    """A link list, and the collection that it is downloaded into."""

    folder: Path

    def write(self, links: Mapping[str, str], name: str = "links.txt") -> Path:
        """links: the URL of each key."""
        path = self.folder / name
        path.write_text("".join(f"{key}\t{url}\n" for key, url in links.items()))
        return path

    def download(self, links: Mapping[str, str], **options: Any) -> run.DownloadSummary:
        """options: of `run.download`, or settings other than QUICK."""
        parameters = {"splits", "retry", "minutes", "make_engine"}
        settings = {name: value for name, value in options.items() if name not in parameters}
        others = {name: value for name, value in options.items() if name in parameters}
        return run.download(self.write(links), self.root, settings=Settings(**QUICK | settings), **others)

    @property
    def root(self) -> Path:
        return self.folder / "collection"

    @property
    def collection(self) -> Collection:
        return Collection.open(self.root)

    @property
    def causes(self) -> dict[str, str]:
        """Of each key what became of it."""
        found = link_states(self.collection)
        return dict(zip(found["key"], found["cause"], strict=True))

    @property
    def rows(self) -> dict[tuple[str, str], Row]:
        return Journal.read(self.root / "downloads.jsonl").rows

    @property
    def journal(self) -> list[dict[str, Any]]:
        """The lines, in order."""
        return [json.loads(line) for line in (self.root / "downloads.jsonl").read_text().splitlines()]

    @property
    def tables(self) -> tuple[bytes, bytes]:
        return (self.root / "images.parquet").read_bytes(), (self.root / "rejects.parquet").read_bytes()

    @property
    def files(self) -> dict[str, bytes]:
        """Of each file below images/ its bytes."""
        images = self.root / "images"
        return {path.relative_to(images).as_posix(): path.read_bytes() for path in images.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="session")
def make_place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Place]:
    """For what several tests look at."""
    return lambda: Place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="session")
def served() -> Iterator[web.Web]:
    with web.serving() as served:
        yield served


@pytest.fixture(scope="session")
def slowly_served() -> Iterator[web.Web]:
    """Each answer takes a while, so that several are on their way at once."""
    with web.serving(latency=0.05) as served:
        yield served


@pytest.fixture
def site(served: web.Web) -> web.Web:
    """The web, which has been asked nothing."""
    served.reset()
    return served


@pytest.fixture
def slow_site(slowly_served: web.Web) -> web.Web:
    slowly_served.reset()
    return slowly_served
