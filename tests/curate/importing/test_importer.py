"""A folder per class, or a CSV, becomes a collection: whatever is listed is a row or a reject."""

import hashlib
import io
import os
import random
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from benchmarks.web import jpeg_of_scans
from curate.collection import groups
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError, UsageError
from curate.images import signatures
from curate.images.decoding import Cause, Limits
from curate.importing import listing
from curate.importing.importer import ImportSummary, import_folder
from curate.lists.tables import Record
from curate.status import status
from tests.curate.images import hostile


def photo(seed: int, width: int = 48, height: int = 40) -> Image.Image:
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).cumsum(0).cumsum(1)
    return Image.fromarray((128 + 4 * noise).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two classes of two photographs."""
    root = tmp_path / "photos"
    for seed, key in enumerate(("plank/1.jpg", "plank/2.jpg", "tree/1.jpg", "tree/deep/er/2.jpg")):
        put(root / key, jpeg(photo(seed)))
    return root


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "yoga"


def keys(target: Path) -> list[str]:
    return list(Collection(target).images()["key"])


def rejects(target: Path) -> dict[str, str]:
    table = Collection(target).rejects()
    return dict(zip(table["key"], table["cause"], strict=True))


def tables(target: Path) -> tuple[bytes, bytes]:
    return (target / "images.parquet").read_bytes(), (target / "rejects.parquet").read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_per_class_becomes_rows_with_their_facts(source: Path, target: Path) -> None:
    summary = import_folder(source, target)
    images = Collection.open(target).images()
    assert list(images["key"]) == ["plank/1.jpg", "plank/2.jpg", "tree/1.jpg", "tree/deep/er/2.jpg"]
    assert list(images["label"]) == ["plank", "plank", "tree", "tree"]
    first = images.iloc[0]
    content = (source / "plank/1.jpg").read_bytes()
    assert first["id"] == hashlib.sha256(content).hexdigest() == first["group"]
    assert (first["width"], first["height"], first["bytes"]) == (48, 40, len(content))
    assert (first["format"], first["mode"], first["frames"], first["source"]) == ("JPEG", "RGB", 1, "import")
    assert contents(target / "images") == contents(source)
    assert (summary.added, summary.unchanged, summary.changed, summary.rejects) == (4, 0, [], [])
    assert status(summary.collection).classes == {"plank": 2, "tree": 2}


def test_the_source_is_only_read(source: Path, target: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in source.rglob("*")}
    bytes_before = contents(source)
    for path in source.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    import_folder(source, target)
    import_folder(source, target)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in source.rglob("*")} == before
    assert contents(source) == bytes_before
    assert os.access(target / "images/plank/1.jpg", os.W_OK)  # a read-only source makes no read-only copy


def test_linked_files_stay_where_they_are(source: Path, target: Path) -> None:
    summary = import_folder(source, target, link=True)
    images = Collection.open(target).images()
    assert list(images["file"]) == [str(source / key) for key in images["key"]]
    assert not (target / "images").exists()
    assert status(summary.collection).linked == 4
    assert import_folder(source, target).unchanged == 4  # a key that is there stays as it is


def test_a_relative_source_is_linked_by_its_absolute_path(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    import_folder(Path("photos"), target, link=True)
    assert Collection.open(target).images()["file"][0] == str(source / "plank/1.jpg")


def test_importing_again_changes_nothing(source: Path, target: Path) -> None:
    import_folder(source, target)
    before, files = tables(target), contents(target / "images")
    summary = import_folder(source, target)
    assert (summary.added, summary.unchanged) == (0, 4)
    assert tables(target) == before
    assert contents(target / "images") == files


def test_importing_again_adds_what_is_new_and_nothing_else_moves(source: Path, target: Path) -> None:
    import_folder(source, target)
    before = Collection(target).images()
    put(source / "boat/9.jpg", jpeg(photo(9)))
    assert import_folder(source, target).added == 1
    after = Collection(target).images()
    assert after["key"][0] == "boat/9.jpg"
    assert after[after["key"] != "boat/9.jpg"].reset_index(drop=True).equals(before)


def test_what_changed_in_the_source_is_kept_as_it_was_and_said(source: Path, target: Path) -> None:
    import_folder(source, target)
    before, old = tables(target), (source / "tree/1.jpg").read_bytes()
    put(source / "tree/1.jpg", jpeg(photo(99)))
    put(source / "plank/1.jpg", b"no longer an image")
    summary = import_folder(source, target)
    assert [change.key for change in summary.changed] == ["plank/1.jpg", "tree/1.jpg"]
    assert all("kept the old" in change.what for change in summary.changed)
    assert summary.rejects == []
    assert tables(target) == before
    assert (target / "images/tree/1.jpg").read_bytes() == old


def test_what_is_gone_from_the_source_stays(source: Path, target: Path) -> None:
    import_folder(source, target)
    before = tables(target)
    (source / "tree/1.jpg").unlink()
    assert import_folder(source, target).unchanged == 3
    assert tables(target) == before


def test_a_copy_that_went_missing_or_was_damaged_is_put_back(source: Path, target: Path) -> None:
    import_folder(source, target)
    (target / "images/tree/1.jpg").unlink()
    put(target / "images/plank/1.jpg", b"x" * (source / "plank/1.jpg").stat().st_size)
    import_folder(source, target)
    assert contents(target / "images") == contents(source)


def test_rejects_are_counted_named_and_kept_with_their_cause(source: Path, target: Path) -> None:
    content = jpeg(photo(7))
    put(source / "tree/desktop.ini", b"[.ShellClassInfo]")
    put(source / "tree/.DS_Store", b"\0\0\0\1Bud1")
    put(source / "tree/empty.jpg", b"")
    put(source / "tree/half.jpg", content[: len(content) // 2])
    put(source / "stray.jpg", content)
    put(source / ".git/objects/1.jpg", content)
    summary = import_folder(source, target)
    assert rejects(target) == {
        "tree/desktop.ini": Cause.NOT_AN_IMAGE,
        "tree/.DS_Store": Cause.NOT_AN_IMAGE,
        "tree/empty.jpg": Cause.EMPTY,
        "tree/half.jpg": Cause.TRUNCATED,
        "stray.jpg": "no class",
        ".git": "hidden folder",
    }
    assert len(summary.rejects) == 6
    assert len(keys(target)) == 4
    table = Collection(target).rejects()
    assert (table["detail"] != "").all()
    assert set(table["file"]) == {str(source / key) for key in table["key"]}
    assert not (target / "images/tree/half.jpg").exists()


def test_what_would_take_minutes_to_decode_is_a_reject(source: Path, target: Path) -> None:
    put(source / "tree/scans.jpg", jpeg_of_scans(2000, 500))
    put(source / "tree/texts.png", hostile.png_with(hostile.chunk(b"tEXt", b"a\0b") * 2000))
    import_folder(source, target)
    assert rejects(target) == {"tree/scans.jpg": Cause.TOO_MUCH_WORK, "tree/texts.png": Cause.TOO_MUCH_WORK}
    details = Collection(target).rejects().set_index("key")["detail"]
    assert details["tree/scans.jpg"] == "JPEG with more than 100 scans"
    assert len(keys(target)) == 4


def test_a_reject_that_became_readable_becomes_a_row(source: Path, target: Path) -> None:
    put(source / "tree/late.jpg", b"")
    put(source / "tree/never.jpg", b"")
    import_folder(source, target)
    put(source / "tree/late.jpg", jpeg(photo(8)))
    import_folder(source, target)
    assert "tree/late.jpg" in keys(target)
    assert rejects(target) == {"tree/never.jpg": Cause.EMPTY}


def test_rejects_of_another_source_stay(source: Path, target: Path, tmp_path: Path) -> None:
    put(source / "tree/bad.jpg", b"")
    import_folder(source, target)
    put(tmp_path / "more/crow/1.jpg", jpeg(photo(5)))
    import_folder(tmp_path / "more", target)
    assert rejects(target) == {"tree/bad.jpg": Cause.EMPTY}
    assert len(keys(target)) == 5


def test_limits_reject_and_a_higher_limit_accepts(source: Path, target: Path) -> None:
    put(source / "tree/large.png", b"")
    photo(3, 100, 100).save(source / "tree/large.png")
    import_folder(source, target, limits=Limits(max_pixels=9_999))
    assert rejects(target) == {"tree/large.png": Cause.TOO_MANY_PIXELS}
    import_folder(source, target)
    assert rejects(target) == {}


@pytest.mark.parametrize(
    "name",
    [
        "with space.jpg",
        'Bharadvaja\'s "Twist" & <b>.jpg',
        "[red]markup[bold].jpg",
        "new\nline.jpg",
        "100%#?.jpg",
        "back\\slash.jpg",
        unicodedata.normalize("NFC", "Vṛkṣāsana é 木.jpg"),
        unicodedata.normalize("NFD", "Vṛkṣāsana é 木.jpg"),
        "n" * 196 + ".jpg",
        "no extension",
        "wrong.png",
    ],
)
def test_names_are_kept_as_the_file_system_has_them(name: str, source: Path, target: Path) -> None:
    content = jpeg(photo(11))
    put(source / name[:100] / name, content)
    import_folder(source, target)
    row = Collection(target).images().set_index("key").loc[f"{name[:100]}/{name}"]
    assert row["label"] == name[:100]
    assert (target / row["file"]).read_bytes() == content


def test_two_spellings_of_one_name_are_two_keys(source: Path, target: Path) -> None:
    for form in ("NFC", "NFD"):
        put(source / "tree" / unicodedata.normalize(form, "é.jpg"), jpeg(photo(len(form))))
    import_folder(source, target)
    assert len(keys(target)) == 6


def test_a_name_that_is_no_utf8_is_a_reject(source: Path, target: Path) -> None:
    put(Path(os.fsdecode(os.fsencode(source) + b"/tree/\xff\xfe.jpg")), jpeg(photo(1)))
    import_folder(source, target)
    assert rejects(target) == {"tree/\\udcff\\udcfe.jpg": "name is not UTF-8"}


def test_links_are_followed_and_loops_are_not(source: Path, target: Path, tmp_path: Path) -> None:
    elsewhere = put(tmp_path / "elsewhere/crow/1.jpg", jpeg(photo(21)))
    (source / "tree/linked.jpg").symlink_to(elsewhere)
    (source / "crow").symlink_to(elsewhere.parent)
    (source / "tree/again").symlink_to(source)
    (source / "tree/nowhere.jpg").symlink_to(tmp_path / "absent")
    (source / "tree/self.jpg").symlink_to(source / "tree/self.jpg")
    import_folder(source, target)
    assert {"tree/linked.jpg", "crow/1.jpg"} < set(keys(target))
    assert rejects(target) == {
        "tree/again": "symlink loop",
        "tree/nowhere.jpg": Cause.NO_ACCESS,
        "tree/self.jpg": Cause.NO_ACCESS,
    }
    assert not (target / "images/tree/linked.jpg").is_symlink()


def test_a_pipe_is_a_reject(source: Path, target: Path) -> None:
    os.mkfifo(source / "tree/pipe.jpg")
    import_folder(source, target)
    assert rejects(target) == {"tree/pipe.jpg": Cause.NO_ACCESS}


def test_two_files_with_the_same_bytes_are_two_keys_with_one_id_in_one_group(source: Path, target: Path) -> None:
    put(source / "plank/copy.jpg", (source / "plank/1.jpg").read_bytes())
    summary = import_folder(source, target)
    rows = Collection(target).images().set_index("key").loc[["plank/1.jpg", "plank/copy.jpg"]]
    assert rows["id"].nunique() == rows["group"].nunique() == 1
    found = status(summary.collection)
    assert (found.groups, found.copies, found.conflicts) == (1, 2, [])


def test_the_same_bytes_under_two_labels_are_a_conflict(source: Path, target: Path) -> None:
    put(source / "tree/also.jpg", (source / "plank/1.jpg").read_bytes())
    (conflict,) = status(import_folder(source, target).collection).conflicts
    assert conflict.keys == ["plank/1.jpg", "tree/also.jpg"]
    assert conflict.labels == ["plank", "tree"]


def test_a_mirrored_recompressed_copy_is_in_the_group_of_its_original(source: Path, target: Path) -> None:
    original = photo(30, 200, 150)
    put(source / "tree/original.jpg", jpeg(original))
    put(source / "plank/mirror.jpg", jpeg(ImageOps.mirror(original).resize((120, 90)), 60))
    import_folder(source, target)
    images = Collection(target).images().set_index("key")
    pair = images.loc[["tree/original.jpg", "plank/mirror.jpg"]]
    assert set(pair["group"]) == {min(pair["id"])}
    assert images.drop(pair.index)["group"].nunique() == 4


def test_groups_take_in_what_is_imported_later(source: Path, target: Path) -> None:
    put(source / "tree/a.jpg", jpeg(photo(30, 200, 150)))
    import_folder(source, target)
    put(source / "tree/b.jpg", jpeg(photo(30, 200, 150), 40))
    assert status(import_folder(source, target).collection).copies == 2


@pytest.mark.parametrize("harm", ["deleted", "damaged", "truncated"])
def test_signatures_are_made_again(harm: str, source: Path, target: Path) -> None:
    put(source / "tree/a.jpg", jpeg(photo(30, 200, 150)))
    import_folder(source, target)
    file = Collection(target).cache("signatures", signatures.VERSION, "records")
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0xFF
    if harm == "deleted":
        file.unlink()
    else:
        file.write_bytes(bytes(content) if harm == "damaged" else bytes(content[:-40]))
    put(source / "tree/b.jpg", jpeg(photo(30, 200, 150), 40))
    assert status(import_folder(source, target).collection).copies == 2


def test_only_new_pictures_are_decoded(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_folder(source, target)
    looked = []
    monkeypatch.setattr("curate.images.signatures.open_image", lambda content, **_: looked.append(content))
    assert import_folder(source, target).unchanged == 4
    assert looked == []


def test_of_a_linked_file_that_is_gone_the_row_stays(source: Path, target: Path, tmp_path: Path) -> None:
    import_folder(source, target, link=True)
    (source / "tree/1.jpg").unlink()
    Collection(target).cache("signatures", signatures.VERSION, "records").unlink()
    put(tmp_path / "more/crow/1.jpg", jpeg(photo(5)))
    assert status(import_folder(tmp_path / "more", target).collection).images == 5


# CSV


def write_csv(path: Path, *rows: str) -> Path:
    return put(path, "\n".join(("path,label", *rows, "")).encode())


def test_a_csv_lists_paths_relative_to_itself(source: Path, target: Path, tmp_path: Path) -> None:
    listing = write_csv(
        tmp_path / "lists/photos.csv",
        "../photos/plank/1.jpg,Plank / Phalakasana",
        f"{source}/tree/1.jpg,tree",
        "../photos/./tree/deep/../deep/er/2.jpg,tree",
    )
    import_folder(listing, target)
    images = Collection(target).images().set_index("key")
    absolute = str(source / "tree/1.jpg").lstrip("/")
    assert set(images.index) == {"photos/plank/1.jpg", absolute, "photos/tree/deep/er/2.jpg"}
    assert images.loc["photos/plank/1.jpg", "label"] == "Plank / Phalakasana"
    assert contents(target / "images")[absolute] == (source / "tree/1.jpg").read_bytes()


def test_rows_that_cannot_be_used_are_rejects(source: Path, target: Path) -> None:
    listing = write_csv(
        source / "photos.csv",
        "tree/1.jpg,tree",
        "tree/absent.jpg,tree",
        "plank/1.jpg,",
        "plank/1.jpg",
        ",tree",
        "tree/../tree/1.jpg,plank",
    )
    import_folder(listing, target)
    assert keys(target) == ["tree/1.jpg"]
    table = Collection(target).rejects()
    assert sorted(zip(table["key"], table["cause"], strict=True)) == [
        ("photos.csv:6", "no path"),
        ("plank/1.jpg", "no class"),
        ("plank/1.jpg", "unreadable row"),
        ("tree/1.jpg", "listed twice"),
        ("tree/absent.jpg", Cause.NO_ACCESS),
    ]


def test_a_row_under_another_label_than_before_is_kept_and_said(source: Path, target: Path) -> None:
    import_folder(write_csv(source / "photos.csv", "tree/1.jpg,tree"), target)
    summary = import_folder(write_csv(source / "photos.csv", "tree/1.jpg,oak"), target)
    assert [change.key for change in summary.changed] == ["tree/1.jpg"]
    assert list(Collection(target).images()["label"]) == ["tree"]


def test_a_column_split_is_the_official_split(source: Path, target: Path) -> None:
    text = "path,label,split\ntree/1.jpg,tree,test\nplank/1.jpg,plank,Train\ntree/deep/er/2.jpg,tree,\n"
    import_folder(put(source / "photos.csv", text.encode()), target)
    images = Collection(target).images().set_index("key")
    assert images["official_split"].to_dict() == {
        "tree/1.jpg": "test",
        "plank/1.jpg": "train",
        "tree/deep/er/2.jpg": "",
    }


def test_a_split_of_another_name_is_said_with_its_line(source: Path, target: Path) -> None:
    text = "path,label,split\ntree/1.jpg,tree,validation\n"
    with pytest.raises(UsageError, match=r"line 2: split is 'validation'"):
        import_folder(put(source / "photos.csv", text.encode()), target)


def test_a_csv_of_a_spreadsheet_is_read(source: Path, target: Path) -> None:
    text = '\ufeffpath,label,remark\r\n"tree/1.jpg","tree, the",x\r\n'
    import_folder(put(source / "photos.csv", text.encode()), target)
    assert list(Collection(target).images()["label"]) == ["tree, the"]


@pytest.mark.parametrize(
    "content",
    [b"", b"document,class\na.jpg,b\n", b"path,label\n\xff\xfe,b\n", b"a.jpg,b\n", b"path,label,class,label\n"],
)
def test_what_is_no_such_csv_is_said_in_one_sentence(content: bytes, source: Path, target: Path) -> None:
    with pytest.raises(UsageError, match=r"photos\.csv"):
        import_folder(put(source / "photos.csv", content), target)
    assert not target.exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("photos.csv", "Class;File Name\ntree;tree/1.jpg\nplank;plank/1.jpg\n"),
        ("photos.tsv", "category\timage\ntree\ttree/1.jpg\nplank\tplank/1.jpg\n"),
        ("photos.txt", "sep=;\npath;label\ntree/1.jpg;tree\nplank/1.jpg;plank\n"),
        ("photos.jsonl", '{"image": "tree/1.jpg", "class": "tree"}\n{"image": "plank/1.jpg", "class": "plank"}\n'),
    ],
)
def test_tables_of_all_kinds_are_read_by_usual_names(source: Path, target: Path, name: str, text: str) -> None:
    import_folder(put(source / name, text.encode()), target)
    images = Collection(target).images().set_index("key")
    assert images["label"].to_dict() == {"tree/1.jpg": "tree", "plank/1.jpg": "plank"}


@pytest.mark.parametrize("partner", ["plank/1.jpg,plank", 'plank/1.jpg,plank"', 'plank/1.jpg,"plank'])
def test_a_stray_quote_is_a_reject_of_its_own_line_and_no_class_has_a_line_end(
    source: Path, target: Path, partner: str
) -> None:
    listing = write_csv(
        source / "photos.csv", 'tree/absent.jpg,"tree', "tree/1.jpg,tree", partner, "tree/deep/er/2.jpg,tree"
    )
    summary = import_folder(listing, target)
    images, rejects = Collection(target).images(), Collection(target).rejects()
    assert summary.added + len(summary.rejects) == len(images) + len(rejects) == 4
    assert {"tree/1.jpg", "tree/deep/er/2.jpg"} <= set(images["key"])
    assert set(images["label"]) <= {"tree", "plank", 'plank"'}
    (first,) = rejects[rejects["key"] == "photos.csv:2"].to_dict("records")
    assert first["cause"] == "unreadable row"
    assert first["detail"].startswith("line 2 of photos.csv: ")


@pytest.mark.parametrize("seed", range(20))
def test_everything_that_is_listed_ends_as_an_image_or_a_reject(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    delimiter = rng.choice(",;\t")
    rows = []
    for _ in range(rng.randrange(1, 60)):
        fields = [rng.choice(["", *(f"p/{n}.jpg" for n in range(40))]), rng.choice(["tree", "the plank", ""]), "seen"]
        row = delimiter.join(fields[: rng.choice([2, 3, 3, 3, 3])])
        place = rng.randrange(len(row) + 1)
        rows.append(row[:place] + rng.choice(["", "", "", '"', '""', "\0", delimiter]) + row[place:])
    rows = [row for row in rows if row.strip()]
    put(tmp_path / "photos.csv", "\n".join([delimiter.join(("path", "label", "remark")), *rows]).encode())
    entries, rejects = listing.listed(tmp_path / "photos.csv")
    swallowed = [row for row in rows if "p/" not in row]  # a field of several lines may hold what names no file
    assert len(rows) - len(swallowed) <= len(entries) + len(rejects) <= len(rows)
    assert not [entry for entry in entries if "\n" in entry.label or "\n" in entry.key]


def test_a_label_with_a_comma_and_without_quotes_is_no_class_cut_short(source: Path, target: Path) -> None:
    import_folder(write_csv(source / "photos.csv", "tree/1.jpg,tree, the", "plank/1.jpg,plank"), target)
    assert list(Collection(target).images()["label"]) == ["plank"]
    assert "it has 3 fields where the header has 2" in Collection(target).rejects()["detail"].item()


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(st.sampled_from("ab./ "), min_size=1, max_size=12), min_size=1, max_size=8))
def test_a_key_is_a_function_of_its_row_and_stays_inside(paths: list[str]) -> None:
    def keys_of(rows: list[str]) -> dict[str, str]:
        records = (Record(2, row, {"path": row, "label": "label"}) for row in rows)
        found = listing._of_records(Path("/lists/photos.csv"), records)
        return dict(zip(rows, (one.key for one in found), strict=True))

    for path, key in keys_of(list(dict.fromkeys(paths))).items():
        assert keys_of([path])[path] == key
        assert not key.startswith("/")
        assert ".." not in key.split("/")


# What makes no sense


def test_sources_that_make_no_sense_are_refused_in_one_sentence(source: Path, target: Path, tmp_path: Path) -> None:
    inside = Path(source / "tree/runs")
    for bad, where in [
        (tmp_path / "absent", target),
        (source / "tree/1.jpg", target),
        (source, inside),
        (source, source),
        (source / "tree", source),
    ]:
        with pytest.raises(UsageError) as caught:
            import_folder(bad, where)
        assert "\n" not in str(caught.value)
    assert not target.exists()
    assert not inside.exists()


def test_a_target_that_is_something_else_is_refused(source: Path, tmp_path: Path) -> None:
    put(tmp_path / "precious/file.txt", b"mine")
    with pytest.raises(UsageError, match="not a collection"):
        import_folder(source, tmp_path / "precious")
    assert contents(tmp_path / "precious") == {"file.txt": b"mine"}


def test_nothing_readable_at_all_is_a_failure_that_keeps_the_causes(tmp_path: Path, target: Path) -> None:
    put(tmp_path / "photos/tree/a.txt", b"text")
    with pytest.raises(FewposeError, match="1 not an image") as caught:
        import_folder(tmp_path / "photos", target)
    assert caught.value.exit_code == 1
    assert rejects(target) == {"tree/a.txt": Cause.NOT_AN_IMAGE}


def test_an_empty_folder_is_a_failure_and_leaves_nothing(tmp_path: Path, target: Path) -> None:
    (tmp_path / "photos/tree").mkdir(parents=True)
    with pytest.raises(FewposeError, match="no files"):
        import_folder(tmp_path / "photos", target)
    assert not target.exists()


def test_a_name_that_the_collection_cannot_hold_is_a_reject(source: Path, target: Path) -> None:
    import_folder(source, target)
    put(target / "images/boat", b"a file where a folder is needed")
    put(source / "boat/1.jpg", jpeg(photo(12)))
    import_folder(source, target)
    assert rejects(target) == {"boat/1.jpg": "cannot be copied"}


def test_a_full_disk_ends_the_import_in_one_sentence(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FewposeError, match="No space left"):
        import_folder(source, target)


def test_two_imports_at_once_are_refused(source: Path, target: Path) -> None:
    import_folder(source, target)
    with Collection(target).locked(), pytest.raises(FewposeError, match="another command"):
        import_folder(source, target)
    import_folder(source, target)


# Interruptions


def import_in_a_process(source: Path, target: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from curate.cli import app; app()", "import", str(source), str(target)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_ends_with_the_same_bytes(tmp_path: Path) -> None:
    source, undisturbed, target = tmp_path / "photos", tmp_path / "undisturbed", tmp_path / "killed"
    for seed in range(60):
        put(source / f"class {seed % 4}/{seed}.jpg", jpeg(photo(seed // 2, 500, 400), 80 + seed % 2))
    put(source / "class 1/bad.jpg", b"")
    import_folder(source, undisturbed)
    generator = random.Random(os.environ.get("FEWPOSE_TEST_SEED", "0"))
    for _ in range(5):
        process = import_in_a_process(source, target)
        assert process.stderr is not None
        for _ in range(generator.randrange(12)):  # so many lines of progress
            process.stderr.readline()
        time.sleep(generator.random() * 0.03)
        process.kill()
        process.communicate()
        assert not any(path.name.startswith(".") for path in (target / "images").rglob("*"))
    process = import_in_a_process(source, target)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "60 images in 4 classes" in out
    assert tables(target) == tables(undisturbed)
    assert contents(target / "images") == contents(undisturbed / "images")
    assert {path.name for path in target.iterdir()} == {path.name for path in undisturbed.iterdir()}


def test_what_was_looked_at_before_an_interruption_is_not_looked_at_again(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(groups, "assign", interrupted)
        with pytest.raises(KeyboardInterrupt):
            import_folder(source, target)
    monkeypatch.setattr("curate.images.signatures.open_image", interrupted)
    summary: ImportSummary = import_folder(source, target)
    assert summary.added == 4


# Damaged tables


@pytest.mark.parametrize("name", ["images.parquet", "rejects.parquet"])
def test_a_damaged_table_is_made_again_as_is_said(name: str, source: Path, target: Path) -> None:
    put(source / "tree/broken.jpg", b"no picture")
    import_folder(source, target)
    path = target / name
    before = {file: (target / file).read_bytes() for file in ("images.parquet", "rejects.parquet")}
    content = bytearray(before[name])
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(FewposeError, match="or delete it and give the commands again that filled the collection"):
        import_folder(source, target)
    assert path.read_bytes() == content  # nothing is lost before a person has said so
    path.unlink()
    import_folder(source, target)
    assert {file: (target / file).read_bytes() for file in before} == before


@pytest.mark.slow
def test_a_damaged_cache_of_groups_is_made_again(source: Path, target: Path) -> None:
    put(source / "tree/copy.jpg", (source / "tree/1.jpg").read_bytes())
    import_folder(source, target)
    before = (target / "images.parquet").read_bytes()
    (cache,) = (target / "cache/groups").glob("*.parquet")
    whole = cache.read_bytes()
    for place in range(0, len(whole), 97):
        cache.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        import_folder(source, target)
        assert (target / "images.parquet").read_bytes() == before, place


def test_a_nul_in_a_path_of_a_csv_is_a_reject(source: Path, target: Path) -> None:
    table = source / "table.csv"
    table.write_bytes(b"path,label\ntree/1.jpg,tree\ntree/2\0.jpg,tree\n")
    found = import_folder(table, target)
    assert (found.added, [reject.cause for reject in found.rejects]) == (1, ["unreadable row"])
    assert len(Collection.open(target).rejects()) == 1
