from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import web
from curate.collection.directory import COLUMNS, REJECT_COLUMNS, Collection
from curate.collection.file_writer import FileWriter
from curate.download.lists.formats import Cause, Problem
from curate.download.lists.links import Link
from curate.download.results import pending, tables
from curate.download.results.journal import Row
from curate.download.results.store import Store
from curate.download.web.outcome import Outcome
from curate.images.signatures import Signatures, signature_of
from curate.importing.importer import import_folder

HOST = "http://x.org"


@dataclass
class Made:
    """A collection whose lists, journal and files are given, and whose tables are made of them."""

    collection: Collection

    def write(
        self, urls: Mapping[str, str], rows: Sequence[tuple[Row, bytes]], problems: Sequence[Problem] = ()
    ) -> list[str]:
        """urls: of each key.  rows: with the bytes of what was kept."""
        links = [Link(key, key.split("/")[0], url, "test", "links.txt", 1) for key, url in urls.items()]
        with FileWriter(self.collection) as writer, Signatures(self.collection) as signatures:
            store = Store(self.collection, writer)
            for row, content in rows:
                if not content:
                    continue
                signatures.add(row.id, signature_of(content))
                for key in (key for key, url in urls.items() if url == row.url):
                    store.put(key, row.id, content)
            pending.remember(self.collection, links)
            return tables.write(
                self.collection, {(row.url, row.via): row for row, _ in rows}, problems, store, signatures
            )

    @property
    def images(self) -> pd.DataFrame:
        return self.collection.images().set_index("key", drop=False)

    @property
    def rejects(self) -> pd.DataFrame:
        return self.collection.rejects().set_index("key", drop=False)

    @property
    def bytes(self) -> tuple[bytes, bytes]:
        root = self.collection.root
        return (root / "images.parquet").read_bytes(), (root / "rejects.parquet").read_bytes()


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(Collection.create(tmp_path / "c"))


def kept(url: str, content: bytes, via: str = "") -> tuple[Row, bytes]:
    seen = signature_of(content)
    row = Row(
        url,
        Outcome.KEPT,
        via,
        final_url=url,
        id=sha256(content).hexdigest(),
        bytes=len(content),
        width=seen.width,
        height=seen.height,
        format=seen.format,
        mode=seen.mode,
        frames=seen.frames,
    )
    return row, content


def dropped(
    url: str, outcome: Outcome = Outcome.NOT_FOUND, detail: str = "HTTP 404", via: str = ""
) -> tuple[Row, bytes]:
    return Row(url, outcome, via, detail), b""


def test_every_link_with_an_answer_is_in_one_table_and_the_others_in_none(made: Made) -> None:
    urls = {f"tree/{n}.jpg": f"{HOST}/{n}.jpg" for n in range(3)}
    assert made.write(urls, [kept(urls["tree/0.jpg"], web.picture(0)), dropped(urls["tree/1.jpg"])]) == []
    row = made.images.loc["tree/0.jpg"]
    assert made.images.dtypes.astype(str).to_dict() == COLUMNS
    assert made.rejects.dtypes.astype(str).to_dict() == REJECT_COLUMNS
    assert row.to_dict() == {
        "key": "tree/0.jpg",
        "id": sha256(web.picture(0)).hexdigest(),
        "label": "tree",
        "file": "images/tree/0.jpg",
        "source": "download",
        "url": f"{HOST}/0.jpg",
        "width": web.SIZE[0],
        "height": web.SIZE[1],
        "format": "JPEG",
        "mode": "RGB",
        "frames": 1,
        "bytes": len(web.picture(0)),
        "official_split": "test",
        "provenance": "",
        "group": sha256(web.picture(0)).hexdigest(),
    }
    assert list(made.rejects.loc["tree/1.jpg"]) == ["tree/1.jpg", "not found", "HTTP 404", f"{HOST}/1.jpg"]
    assert (len(made.images), len(made.rejects)) == (1, 1)


def test_the_same_answers_in_another_order_are_the_same_bytes(made: Made, tmp_path: Path) -> None:
    urls = {f"tree/{n}.jpg": f"{HOST}/{n}.jpg" for n in range(8)}
    rows = [kept(url, web.picture(n)) if n % 2 else dropped(url) for n, url in enumerate(urls.values())]
    made.write(urls, rows)
    again = Made(Collection.create(tmp_path / "again"))
    again.write(urls, rows[:3])
    again.write(dict(reversed(urls.items())), rows[::-1])
    assert again.bytes == made.bytes


@pytest.mark.slow
def test_what_was_rejected_and_is_kept_now_is_no_reject_any_more(made: Made) -> None:
    urls = {"tree/0.jpg": f"{HOST}/0.jpg"}
    made.write(urls, [dropped(f"{HOST}/0.jpg", Outcome.SERVER_ERROR)])
    assert list(made.rejects["cause"]) == ["server error"]
    made.write(urls, [kept(f"{HOST}/0.jpg", web.picture(0))])
    assert (len(made.images), len(made.rejects)) == (1, 0)
    made.write(urls, [dropped(f"{HOST}/0.jpg", Outcome.GONE)])
    assert (len(made.images), list(made.rejects["cause"])) == (0, ["gone"])


def test_a_kept_link_without_a_file_cannot_be_stored(made: Made) -> None:
    url = f"{HOST}/0.jpg"
    key = f"tree/{'x' * 300}.jpg"
    made.write({key: url, "tree/0.jpg": url}, [kept(url, web.picture(0))])
    assert list(made.images["key"]) == ["tree/0.jpg"]
    assert made.rejects.loc[key, "cause"] == "cannot be stored"
    assert made.rejects.loc[key, "file"] == url


def test_lines_that_are_no_links_are_rejects_named_by_file_and_line(made: Made) -> None:
    urls = {"tree/0.jpg": f"{HOST}/0.jpg"}
    problems = [
        Problem("lists/tree.txt", 7, "tree/7.jpg", Cause.UNREADABLE, "there is no URL after the key", "tree/7.jpg"),
        Problem("lists/desktop.ini", 0, "", Cause.NOT_A_LIST, "is no .txt, .csv, .tsv, .parquet"),
    ]
    made.write(urls, [dropped(f"{HOST}/0.jpg")], problems)
    assert sorted(made.rejects["cause"]) == ["not a list", "not found", "unreadable line"]
    line = made.rejects.loc["tree.txt:7"]
    assert line["file"] == "lists/tree.txt"
    assert line["detail"] == "in the list lists/tree.txt, line 7: there is no URL after the key"
    made.write(urls, [dropped(f"{HOST}/0.jpg")], problems[1:])  # the line was mended
    assert sorted(made.rejects["cause"]) == ["not a list", "not found"]


@pytest.mark.slow
def test_what_was_imported_stays_with_its_rejects_and_a_link_does_not_take_its_key(made: Made, tmp_path: Path) -> None:
    photos = tmp_path / "photos/tree"
    photos.mkdir(parents=True)
    (photos / "0.jpg").write_bytes(web.picture(50))
    (photos / "broken.jpg").write_bytes(b"")
    import_folder(tmp_path / "photos", made.collection.root)
    assert tables.imported(made.collection) == {"tree/0.jpg"}
    urls = {"tree/0.jpg": f"{HOST}/0.jpg", "tree/1.jpg": f"{HOST}/1.jpg"}
    for _ in range(2):
        made.write(urls, [kept(f"{HOST}/0.jpg", web.picture(0)), kept(f"{HOST}/1.jpg", web.picture(1))])
        assert list(made.images["source"]) == ["import", "download"]
        assert made.images.loc["tree/0.jpg", "id"] == sha256(web.picture(50)).hexdigest()
        assert list(made.rejects["key"]) == ["tree/broken.jpg"]
        assert tables.imported(made.collection) == {"tree/0.jpg"}


def test_what_the_archive_had_is_better_than_nothing_and_nothing_is_worse_than_the_link(made: Made) -> None:
    urls = {f"tree/{n}.jpg": f"{HOST}/{n}.jpg" for n in range(2)}
    made.write(
        urls,
        [
            dropped(f"{HOST}/0.jpg"),
            kept(f"{HOST}/0.jpg", web.picture(0), "archive"),
            dropped(f"{HOST}/1.jpg", Outcome.GONE, "HTTP 410"),
            dropped(f"{HOST}/1.jpg", Outcome.NOT_ARCHIVED, "the archive has no copy", "archive"),
        ],
    )
    assert list(made.images["key"]) == ["tree/0.jpg"]
    assert list(made.rejects.loc["tree/1.jpg", ["cause", "detail"]]) == ["gone", "HTTP 410"]


def removed(number: int) -> dict[str, str]:
    return {f"class-{n % 2}/{n}.jpg": f"{HOST}/{n}.jpg" for n in range(number)}


def test_placeholders_are_rejects_whose_bytes_stay_and_their_links_are_told(made: Made) -> None:
    placeholder = web.content("placeholder", 0)
    urls = removed(5) | {"tree/9.jpg": f"{HOST}/9.jpg"}
    rows = [kept(url, placeholder) for url in removed(5).values()] + [kept(f"{HOST}/9.jpg", web.picture(9))]
    assert made.write(urls, rows) == sorted(removed(5).values())
    assert list(made.images["key"]) == ["tree/9.jpg"]
    assert set(made.rejects["cause"]) == {"placeholder"}
    for key, file in zip(made.rejects["key"], made.rejects["file"], strict=True):
        assert file == f"images/{key}"
        assert (made.collection.root / file).read_bytes() == placeholder


def test_a_placeholder_stays_one_when_an_archive_has_the_pictures_of_the_other_links(made: Made) -> None:
    placeholder = web.content("placeholder", 0)
    urls = removed(5)
    rows = [kept(url, placeholder) for url in urls.values()]
    rows += [kept(url, web.picture(n), "archive") for n, url in enumerate(urls.values()) if n < 4]
    assert made.write(urls, rows) == [f"{HOST}/4.jpg"]
    assert list(made.rejects["key"]) == ["class-0/4.jpg"]
    assert len(made.images) == 4
    assert not made.images["file"].isin([f"images/{key}" for key in urls]).any()


def test_a_group_is_named_by_the_smallest_id_that_is_in_the_table(made: Made) -> None:
    urls = removed(5) | {"tree/9.jpg": f"{HOST}/9.jpg", "tree/10.jpg": "http://y.org/10.jpg"}
    rows = [kept(url, web.content("placeholder", 0)) for url in removed(5).values()]
    rows += [kept(f"{HOST}/9.jpg", web.content("png", 0)), kept("http://y.org/10.jpg", web.content("webp", 0))]
    made.write(urls, rows)
    assert set(made.images["group"]) == {made.images["id"].min()}  # one picture, saved twice
