"""A collection from a stranger: whatever its tables and links say, nothing outside it is written, shown or exported."""

import hashlib
import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.checks.check import check
from curate.checks.sheet import sheet
from curate.collection import decisions, findings, sets
from curate.collection.directory import Collection
from curate.download.lists.links import Link
from curate.download.results import pending
from curate.download.results.journal import Journal, Row
from curate.download.results.progress import Progress
from curate.download.web.outcome import Outcome
from curate.exporting.export import FORMATS, export
from curate.foundation.errors import FewposeError
from curate.images import originals
from curate.images.decoding import Cause, Unreadable
from curate.images.pixels import PixelCache
from curate.images.transform import Transform
from curate.importing.importer import import_folder
from curate.pose.estimating import estimate
from curate.pose.settings import PoseSettings
from curate.status import status
from curate.workers.settings import WorkerSettings

PRIVATE = b"a line of mine\nand a last one without its end"

# What a collection holds after an import, a check, a decision and a download: each may be a link in a stranger's.
FILES = (
    *("collection.json", "images.parquet", "rejects.parquet", "links.parquet", "findings.parquet", "checks.json"),
    *("curation.yaml", "ledger.jsonl", "downloads.jsonl", ".lock", ".ledger.lock", "images/tree/0.png"),
    "keypoints.parquet",
)
FOLDERS = (
    "images",
    "images/tree",
    "cache",
    "cache/keypoints",
    "cache/signatures",
    "cache/measurements",
    "cache/pixels",
    ".copying",
)


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).normal(size=(80, 100, 3)).cumsum(0).cumsum(1)
    buffer = io.BytesIO()
    Image.fromarray((128 + 4 * pixels).clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, and a collection as somebody else has made it: with all that one may hold."""
    folder = tmp_path_factory.mktemp("made")
    for number in range(2):
        file = folder / "photos" / ("tree", "plank")[number] / f"{number}.png"
        file.parent.mkdir(parents=True)
        file.write_bytes(picture(number))
    assert work(import_folder(folder / "photos", folder / "c").collection, folder / "photos", folder) == []
    return folder


@pytest.fixture
def photos(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "photos", tmp_path / "photos"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What belongs to the user, and to no collection."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.bashrc").write_bytes(PRIVATE)
    (tmp_path / "home/private.png").write_bytes(picture(7))
    return tmp_path / "home"


@pytest.fixture
def foreign(made: Path, tmp_path: Path) -> Collection:
    return Collection.open(Path(shutil.copytree(made / "c", tmp_path / "c")))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def set_table(collection: Collection, **values: str) -> None:
    """The image table, its first row with these values, as a stranger may write it."""
    table = pd.read_parquet(collection.root / "images.parquet")
    for name, value in values.items():
        table.loc[0, name] = value
    table.to_parquet(collection.root / "images.parquet")


def work(collection: Collection, photos: Path, tmp_path: Path) -> list[str]:
    """Do what people do with a collection; what they are told that can't be done."""
    link = Link("swan/1.jpg", "swan", "http://example.test/1.jpg", "", "list", 1)

    def look() -> None:
        found = check(Collection.open(collection.root), model=None, rules=["dark", "exact_duplicate"])
        sheet(collection, found.table, tmp_path / "sheet.png")
        assert findings.read(collection)

    def journal() -> None:
        with Journal.open(collection.file("downloads.jsonl")) as rows:
            rows.append(Row(link.url, Outcome.DNS_FAILED))

    def people() -> None:
        estimate(Collection.open(collection.root), collection.images(), PoseSettings(people=1), WorkerSettings())

    def out() -> None:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        export(collection, tmp_path / "out", name="unfiltered")

    steps: tuple[Callable[[], object], ...] = (
        lambda: import_folder(photos, collection.root),
        lambda: decisions.drop(collection, ["tree/0.png"], reason=os.urandom(4).hex()),
        lambda: decisions.undo(collection, last=1),
        look,
        people,
        journal,
        lambda: pending.remember(collection, [link]),
        lambda: Progress.of(collection),
        lambda: PixelCache(collection, Transform(32)).fill(collection.images()),
        lambda: sets.compare(collection),
        lambda: status(collection),
        out,
    )
    said = []
    for step in steps:
        try:
            step()
        except FewposeError as error:
            said.append(str(error))
    return said


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_place_of_anything_leads_nowhere(
    foreign: Collection, photos: Path, home: Path, tmp_path: Path, name: str, there: bool
) -> None:
    """Towards something of the user's, and towards what isn't there yet."""
    place = foreign.root / name
    was_file = name in FILES
    target = home / ("copy" if was_file else "folder")
    if there and place.exists():
        (shutil.copy if was_file else shutil.copytree)(place, target)
    elif there:
        target.touch() if was_file else target.mkdir()
    if place.exists():
        place.unlink() if was_file else shutil.rmtree(place)
    place.symlink_to(target)
    before = snapshot(home)
    said = work(foreign, photos, tmp_path)
    assert snapshot(home) == before
    assert any(f"{place} is a symbolic link" in sentence for sentence in said)


class Late(BaseException):
    """No Exception, and no OSError: nothing but the test takes notice."""


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Who waits for a pipe waits for ever."""

    def late(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_nothing_waits_for_a_pipe(foreign: Collection, photos: Path, tmp_path: Path, name: str) -> None:
    (foreign.root / name).unlink(missing_ok=True)
    os.mkfifo(foreign.root / name)
    with patience(60):
        said = work(foreign, photos, tmp_path)
    assert any(f"{foreign.root / name} is neither a file nor a folder" in sentence for sentence in said)


# The image table


@pytest.mark.slow
@pytest.mark.parametrize("file", ["../home/.bashrc", "images/../../home/.bashrc", "images//x.png", "images/tree/.."])
def test_a_table_whose_file_leads_out_is_refused_with_its_row(
    foreign: Collection, photos: Path, home: Path, file: str
) -> None:
    """A stranger's photographs hold the bytes that are to be written, and the command is given again, as documented."""
    evil = b"echo no picture\n"
    (photos / "plank/1.png").write_bytes(evil)
    set_table(foreign, file=file, id=hashlib.sha256(evil).hexdigest())
    with pytest.raises(FewposeError, match=r"images\.parquet, row 0: .* is no name of a file in the collection"):
        import_folder(photos, foreign.root)
    assert (home / ".bashrc").read_bytes() == PRIVATE


@pytest.mark.parametrize("key", ["../x.png", "/etc/x.png", "", "a//b.png", "a/..", "a/\0.png"])
def test_a_table_whose_key_leads_out_is_refused_with_its_row(foreign: Collection, key: str) -> None:
    set_table(foreign, key=key)
    with pytest.raises(FewposeError, match=r"images\.parquet, row 0: .* is no name of a file in the collection"):
        foreign.images()


def test_a_table_without_a_label_is_refused_with_its_row(foreign: Collection) -> None:
    set_table(foreign, label="")
    with pytest.raises(FewposeError, match=r"images\.parquet, row 0: plank/1\.png has no label"):
        foreign.images()


@pytest.mark.parametrize("file", ["ledger.jsonl", "collection.json", "cache/x"])
def test_a_copy_is_put_back_nowhere_but_into_images(foreign: Collection, photos: Path, file: str) -> None:
    evil = b'{"action":"drop"}\n'
    (photos / "plank/1.png").write_bytes(evil)
    set_table(foreign, file=file, id=hashlib.sha256(evil).hexdigest())
    before = snapshot(foreign.root)
    with pytest.raises(FewposeError, match=f"{file} of .*/c is no place for a copy"):
        import_folder(photos, foreign.root)
    assert snapshot(foreign.root) == before


def test_an_absolute_file_is_never_written(foreign: Collection, photos: Path, home: Path) -> None:
    evil = b"echo no picture\n"
    (photos / "plank/1.png").write_bytes(evil)
    set_table(foreign, file=str(home / ".bashrc"), id=hashlib.sha256(evil).hexdigest())
    import_folder(photos, foreign.root)
    assert (home / ".bashrc").read_bytes() == PRIVATE


def test_a_link_list_whose_key_leads_out_is_refused(foreign: Collection) -> None:
    path = foreign.root / "links.parquet"
    pd.read_parquet(path).assign(key="../../x.jpg").to_parquet(path)
    with pytest.raises(FewposeError, match=r"links\.parquet, row 0: '\.\./\.\./x\.jpg' is no name of a file"):
        pending.listed(foreign)


def test_a_journal_s_id_that_is_no_digest_makes_a_damaged_line(tmp_path: Path) -> None:
    """It becomes a part of a file's name."""
    path = tmp_path / "downloads.jsonl"
    with Journal.open(path) as rows:
        rows.append(Row("http://example.test/1.jpg", Outcome.KEPT, id="a" * 64))
    assert len(Journal.read(path).rows) == 1
    path.write_bytes(path.read_bytes().replace(b"a" * 64, b"/../../home/.bashrc"))
    assert (len(Journal.read(path).rows), Journal.read(path).damaged) == (0, 1)


# What is shown and exported


@pytest.fixture
def prying(foreign: Collection, home: Path) -> Collection:
    """Its first row names a picture of the user's."""
    set_table(foreign, file=str(home / "private.png"))
    return foreign


def test_a_picture_that_is_not_the_table_s_is_not_read(prying: Collection, home: Path) -> None:
    row = prying.images().iloc[0]
    with pytest.raises(Unreadable) as caught:
        originals.read(prying, row["file"], row["id"])
    assert caught.value.cause is Cause.CHANGED
    own = hashlib.sha256((home / "private.png").read_bytes()).hexdigest()
    assert originals.read(prying, row["file"], own) == picture(7)  # a linked image, of one's own table


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "coco"])  # that places files as fiftyone does
def test_no_export_holds_or_names_a_file_that_is_not_the_table_s(prying: Collection, tmp_path: Path, form: str) -> None:
    with pytest.raises(FewposeError, match=r"private\.png has changed since it became part of the collection"):
        export(prying, tmp_path / "out", name="unfiltered", form=form)
    assert not (tmp_path / "out").exists()


def test_a_contact_sheet_shows_no_file_that_is_not_the_table_s(foreign: Collection, home: Path, tmp_path: Path) -> None:
    found = foreign.images()[["key", "id"]].assign(score=1.0).head(1)
    assert colours(foreign, found, tmp_path) > 1000
    set_table(foreign, file=str(home / "private.png"))
    assert colours(foreign, found, tmp_path) < 200  # letters on paper


def colours(collection: Collection, found: pd.DataFrame, tmp_path: Path) -> int:
    """How many there are on a contact sheet."""
    assert sheet(collection, found, tmp_path / "sheet.png") == 1
    return len(Image.open(tmp_path / "sheet.png").convert("RGB").getcolors(1 << 20) or ())


def test_links_among_the_images_are_unreadable_and_cost_no_other_image(
    foreign: Collection, home: Path, tmp_path: Path
) -> None:
    (foreign.root / "images/tree/0.png").unlink()
    (foreign.root / "images/tree/0.png").symlink_to(home / "private.png")
    images = foreign.images().set_index("key")
    with pytest.raises(Unreadable, match="is a symbolic link"):
        originals.read(foreign, images["file"]["tree/0.png"], images["id"]["tree/0.png"])
    assert originals.read(foreign, images["file"]["plank/1.png"], images["id"]["plank/1.png"]) == picture(1)
    assert check(foreign, model=None, rules=["dark"]).images


@pytest.mark.parametrize("format", ["../../../home/x", "/../../../home/x", "a/b", "\0", ""])
@pytest.mark.parametrize("form", ["fiftyone", "webdataset"])
def test_a_format_of_a_table_is_no_part_of_a_path(
    foreign: Collection, home: Path, tmp_path: Path, form: str, format: str
) -> None:
    set_table(foreign, format=format)
    with suppress(FewposeError):
        export(foreign, tmp_path / "deep/er/out", name="unfiltered", form=form)
    assert sorted(snapshot(home)) == [".bashrc", "private.png"]
    if form == "fiftyone":
        names = {path.name for path in (tmp_path / "deep/er/out/data").iterdir()}
        assert {name.partition(".")[0] for name in names} == {"00000000", "00000001"}


@pytest.mark.parametrize("id", ["", "zz", "../../../home", "A" * 64, "0" * 63, f"{'0' * 64}\n"])
def test_an_id_that_is_no_digest_is_refused(foreign: Collection, photos: Path, tmp_path: Path, id: str) -> None:
    """It would become a part of file names, and whoever reads it as a number would end with a traceback."""
    set_table(foreign, id=id)
    with pytest.raises(FewposeError, match=r"images\.parquet, row 0: .* is no SHA-256 of a file's bytes"):
        import_folder(photos, foreign.root)
    with pytest.raises(FewposeError, match="do not trust the collection"):
        export(foreign, tmp_path / "out", name="unfiltered")
    assert not (tmp_path / "out").exists()
