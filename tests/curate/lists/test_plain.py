"""Lines of lists without columns: links, keys and links, and rows of tables that have lost their header."""

from pathlib import Path

import pytest

from curate.lists.plain import Plain, of_line

LINKS = (
    "https://x.org/a,b c.jpg",
    "http://i1.wp.com/Cobblers-Pose1.jpg?resize=563,300",
    "http://rlv.zcache.com/yoga.jpg?view_padding=[285,0,285,0]",
    "https://res.cloudinary.com/w_767,q_auto:eco,fl_lossy/gal/SidePlank.JPG,%20SidePlank.JPG",
    "https://hips.hearstapps.com/wind.gif?crop=1xw:1xh;center,top&amp;resize=480:*",
    "https://ih1.redbubble.net/image.5701269.2262/flat,550x550,075,f.u3.jpg",
)


@pytest.mark.parametrize("link", LINKS)
def test_commas_are_a_part_of_a_link_and_of_one_after_a_key(link: str) -> None:
    assert of_line(f" {link} ", ".txt") == Plain(link)
    assert of_line(f"Tree pose/1.jpg,{link}", ".txt") == Plain(link, "Tree pose/1.jpg")
    assert of_line(f"Tree, or not/1.jpg\t{link}", ".txt") == Plain(link, "Tree, or not/1.jpg")
    assert of_line(f"Tree, or not/1.jpg\t{link}", ".tsv") == Plain(link, "Tree, or not/1.jpg")


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv"])
@pytest.mark.parametrize(
    "row",
    [
        "https://x.org/1.jpg?ver=6,squat",
        "https://x.org/1.jpg,Tree pose (Vrksasana)",
        "https://x.org/1.PNG;tree",
        "https://x.org/1.webp, tree",
        "https://x.org/1\ttree",
        "tree/1.jpg,https://x.org/1.jpg,tree",
        "https://x.org/a,b/1.jpg?w=1,2.jpg,tree",
    ],
)
def test_a_row_of_a_table_is_no_link(row: str, suffix: str) -> None:
    found = of_line(row, suffix)
    assert found.reference == ""
    assert found.wrong
    assert "name the columns in" in found.wrong or suffix != ".txt"


def test_the_advice_for_a_comma_that_is_part_of_the_link_works() -> None:
    assert "write it %2C" in of_line("https://x.org/1.jpg,large", ".txt").wrong
    assert of_line("https://x.org/1.jpg%2Clarge", ".txt") == Plain("https://x.org/1.jpg%2Clarge")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("https://x.org/1,2", "'2' stands after the link; if this is a table, name the columns in its first line"),
        ("A/1.jpg,https://x.org/1,2", "it has 3 fields, and no header says what they are"),
        ('"A/1.jpg,https://x.org/1', "this is no CSV"),
    ],
)
def test_in_a_csv_a_comma_separates(line: str, wrong: str) -> None:
    assert wrong in of_line(line, ".csv").wrong
    quoted = of_line('"Tree, the/1.jpg","https://x.org/1,2"', ".csv")
    assert quoted == Plain("https://x.org/1,2", "Tree, the/1.jpg")


@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_lines_of_split_files_and_nul_bytes_are_said(suffix: str) -> None:
    assert "name it with --splits" in of_line("A/1.jpg,1,8,0", suffix).wrong
    assert of_line("https://x.org/\0", suffix).wrong == "it holds a NUL byte"


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029"])
def test_links_that_are_separated_by_what_ends_no_line_are_not_asked_for_as_one(end: str) -> None:
    assert "which ends no line" in of_line(f"https://x.org/1{end}https://x.org/2", ".txt").wrong


@pytest.mark.data
def test_all_lines_of_yoga82_are_keys_and_links(shared_data: Path) -> None:
    files = sorted((shared_data / "yoga82" / "links").glob("*.txt"))
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert len(lines) == 28_450
    for line in lines:
        key, _, link = line.partition("\t")
        assert of_line(line, ".txt") == of_line(line, ".tsv") == Plain(link.strip(), key.strip())
        assert of_line(f"{key},{link}", ".txt") == Plain(link.strip(), key.strip())
        assert of_line(link, ".txt") == Plain(link.strip())
