"""What a release says about itself is the same in each of its files."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    result: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return result


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    result: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    return result


def test_the_newest_release_of_the_changelog_is_the_project_version(project: dict[str, Any]) -> None:
    heads = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert heads[0] == "## [Unreleased]"
    assert heads[1].startswith(f"## [{project['version']}] - ")


def test_the_citation_names_the_version_and_licence_that_are_built(
    project: dict[str, Any], citation: dict[str, Any]
) -> None:
    assert (citation["title"], citation["version"], citation["license"]) == (
        project["name"],
        project["version"],
        project["license"],
    )
    assert citation["keywords"] == project["keywords"]


def test_the_citation_has_what_its_format_requires(citation: dict[str, Any]) -> None:
    """Of cff-version 1.2.0; of a reference, too."""
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"] and citation["authors"]
    (paper,) = citation["references"]
    assert paper["url"] == "https://arxiv.org/abs/2501.07221"
    assert paper["authors"] and paper["title"] and paper["type"]
