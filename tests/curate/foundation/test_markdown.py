"""Markdown of foreign text: it is shown as it is, and nothing of it is a link, a tag, or a list."""

import pytest

from curate.foundation import markdown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", r"&lt;script&gt;alert\(1\)&lt;/script&gt;"),
        ("a|b", r"a\|b"),
        ("*x* _y_ `z` [a](b)", r"\*x\* \_y\_ \`z\` \[a\]\(b\)"),
        ("two\nlines\r\n# title", r"two lines \# title"),
        ("&amp;", "&amp;amp;"),
        ("](javascript:alert(1))", r"\]\(javascript:alert\(1\)\)"),
        ("see https://x.org", "see https&#58;//x.org"),  # or GitHub makes it a link
        ("- x", r"\- x"),
        ("---", r"\---"),
        ("12. x", r"12\. x"),
        ("86.3 -0.5", "86.3 -0.5"),
        ("-0.5", "-0.5"),
        ("a\x1b[2J\u202eb", r"a\\x1b\[2J\\u202eb"),
    ],
)
def test_markdown_shows_foreign_text_as_it_is(text: str, shown: str) -> None:
    assert markdown.escape(text) == shown


def test_code_ends_where_it_should() -> None:
    assert markdown.code("a`b\n\x1b") == "`a'b \\x1b`"
