"""Columns by their usual names; what is not clear is said, with the columns that were seen."""

import pytest

from curate.lists.columns import Wanted, find
from curate.lists.lines import NotAList

LINKS = Wanted(("url",), ("key", "label", "split"))
FILES = Wanted(("path", "label"), ("split",))


@pytest.mark.parametrize(
    ("columns", "places"),
    [
        (["image_url", "class"], {"url": 0, "label": 1}),
        (["pose", "Link"], {"url": 1, "label": 0}),
        (["id", "Image URL", "ClassName", "SPLIT"], {"url": 1, "label": 2, "split": 3}),
        (["src", "category", "key"], {"url": 0, "label": 1, "key": 2}),
        (["image_url", "url"], {"url": 1}),  # the plain name is meant
        (["href", "caption"], {"url": 0}),
    ],
)
def test_usual_names_are_understood_in_any_place_and_spelling(columns: list[str], places: dict[str, int]) -> None:
    assert find(columns, LINKS) == places


@pytest.mark.parametrize("name", ["path", "File", "filename", "file_path", "image-path", "image"])
def test_files_have_their_usual_names(name: str) -> None:
    assert find(["label", name], FILES) == {"label": 0, "path": 1}


@pytest.mark.parametrize(
    ("columns", "wanted", "sentence"),
    [
        (["image_uri", "pose"], LINKS, "has the columns image_uri, pose; it needs url (or image_url, "),
        (["file"], FILES, "has the columns file; it needs label (or class, "),
        (["a", ""], FILES, "has the columns a, (without a name); it needs path (or "),
        (
            ["link", "src", "pose"],
            LINKS,
            "has the columns link, src, pose, of which link and src may each be the url; ",
        ),
        (["url", "class", "category"], LINKS, "class and category may each be the label; call one of them label, "),
        (["path", "label", "label"], FILES, "label and label may each be the label"),
        (["a\x1b[2J", "b"], LINKS, "has the columns a\\x1b[2J, b; "),
        ([f"column {n}" for n in range(40)], LINKS, "column 11, 28 more; it needs"),
    ],
)
def test_what_does_not_fit_names_the_columns_and_what_is_needed(
    columns: list[str], wanted: Wanted, sentence: str
) -> None:
    with pytest.raises(NotAList) as caught:
        find(columns, wanted)
    assert sentence in str(caught.value)
