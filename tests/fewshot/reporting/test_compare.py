"""Two sweeps beside each other, checked by hand and against scipy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from curate.foundation import atomic, json_files
from curate.foundation.errors import FewposeError, UsageError
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Trial
from fewshot.reporting.compare import welch, write_comparison

Right = dict[tuple[str, int], tuple[int, ...]]
BEFORE: Right = {("probe", 6): (5, 6, 7, 6), ("zero-shot", 0): (3, 4, 3, 4)}


def store(
    directory: Path, right: Right, digest: str = "same", classes: tuple[str, ...] = ("a", "b"), **settings: Any
) -> Path:
    """A sweep with so many of ten test images right, by cell and split; `digest` begins its splits' digests."""
    planned = []
    for (method, shots), counts in right.items():
        for split, count in enumerate(counts):
            planned.append(Trial("unfiltered", method, shots, split))
            labels = np.arange(10) % 2
            called = np.where(np.arange(10) < count, labels, 1 - labels)
            keys = np.array([f"{digest}/{split}/{number}" for number in range(10)])
            told = Predictions(np.eye(len(classes), dtype=np.float32)[called], labels, keys)
            record = Record(planned[-1], "done", "lite0", digests={"split": f"{digest} {split}"})
            records.write(directory, record, told)
    fields = {"format": 1, "classes": list(classes), "model": "lite0", "sets": {"unfiltered": {}}}
    trials = [vars(trial) for trial in planned]
    atomic.write_json(
        directory / "sweep.json", fields | {"trials": trials, "methods": ["zero-shot", "probe"]} | settings
    )
    return directory


def test_the_same_test_images_are_compared_split_by_split(tmp_path: Path) -> None:
    after: Right = {("probe", 6): (7, 9, 8, 8), ("zero-shot", 0): (3, 4, 3, 4)}
    first, other = store(tmp_path / "after", after, model="lite1"), store(tmp_path / "before", BEFORE)
    files = write_comparison(first, other)
    table = files.comparison.table.set_index("method")
    probe = table.loc["probe"]
    differences = [0.2, 0.3, 0.1, 0.2]
    expected = scipy.stats.ttest_1samp(differences, 0).confidence_interval()
    assert (probe["pairing"], probe["splits"], probe["verdict"]) == ("paired", 4, "higher")
    assert probe["mean"] == pytest.approx(0.2)
    assert (probe["ci_low"], probe["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert (table.loc["zero-shot", "mean"], table.loc["zero-shot", "verdict"]) == (0, "undecided")
    assert files.table == first / "compare.csv"
    text = files.markdown.read_text()
    assert "# after against before" in text
    assert "They differ in: model \\(lite1 and lite0\\)." in text


def test_other_test_images_get_welch_intervals_and_a_sentence(tmp_path: Path) -> None:
    counts = (9, 8, 9, 10, 8)
    first = store(tmp_path / "a", {("probe", 6): counts}, digest="x")
    other = store(tmp_path / "b", BEFORE, digest="y")
    comparison = write_comparison(first, other, tmp_path / "out").comparison
    (row,) = comparison.table.to_dict("records")
    shares = [np.array(each) / 10 for each in (counts, BEFORE["probe", 6])]
    expected = scipy.stats.ttest_ind(*shares, equal_var=False).confidence_interval()
    assert (row["pairing"], row["splits"], row["first_splits"], row["other_splits"]) == ("unpaired", 0, 5, 4)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert any("other images" in note and "Welch" in note for note in comparison.notes)
    assert "Only b has unfiltered zero-shot 0." in comparison.notes
    assert not (first / "compare.csv").exists()


def test_only_splits_with_the_same_number_and_images_are_paired(tmp_path: Path) -> None:
    first = store(tmp_path / "a", {("probe", 6): (9, 9, 9)})
    other = store(tmp_path / "b", {("probe", 6): (5, 5, 6, 1, 1)})
    comparison = write_comparison(first, other).comparison
    (row,) = comparison.table.to_dict("records")
    assert (row["pairing"], row["splits"]) == ("paired", 3)
    assert row["mean"] == pytest.approx(0.9 - 1.6 / 3)
    assert any("only splits that both have" in note for note in comparison.notes)


def test_one_split_has_a_difference_and_no_interval(tmp_path: Path) -> None:
    first, other = store(tmp_path / "a", {("probe", 6): (9,)}), store(tmp_path / "b", {("probe", 6): (5,)}, digest="y")
    for one, two in ((first, other), (first, store(tmp_path / "c", {("probe", 6): (5,)}))):
        (row,) = write_comparison(one, two).comparison.table.to_dict("records")
        assert row["mean"] == pytest.approx(0.4)
        assert np.isnan([row["ci_low"], row["ci_corrected_high"]]).all()
        assert row["verdict"] == ""


def test_official_splits_share_a_digest_and_pair_by_number(tmp_path: Path) -> None:
    paths = []
    for name, counts in (("a", (7, 9)), ("b", (5, 6))):
        paths.append(store(tmp_path / name, {("probe", 6): counts}))
        for split in range(2):
            file = records.trial_file(paths[-1], Trial("unfiltered", "probe", 6, split), ".json")
            told = json_files.parse(file.read_text().replace(f"same {split}", "official"))
            json_files.write(file, {name: value for name, value in told.items() if name != json_files.SEAL})
    (row,) = write_comparison(*paths).comparison.table.to_dict("records")
    assert (row["splits"], row["mean"]) == (2, pytest.approx(0.25))


def test_what_can_not_be_compared_is_refused_in_a_sentence(tmp_path: Path) -> None:
    first = store(tmp_path / "a", BEFORE)
    with pytest.raises(UsageError, match=r"a and b have other classes.*only a has a and only b has c"):
        write_comparison(first, store(tmp_path / "b", BEFORE, classes=("b", "c")))
    with pytest.raises(UsageError, match=r"no finished cell .* in common: .* probe 6 there, unfiltered lora 6 here"):
        write_comparison(first, store(tmp_path / "c", {("lora", 6): (5, 5)}))
    with pytest.raises(FewposeError, match="is not a sweep"):
        write_comparison(first, tmp_path)
    assert not (first / "compare.csv").exists()


def test_welch_allows_for_shared_test_images_on_each_side() -> None:
    a, b = [0.5, 0.6, 0.7], [0.4, 0.6, 0.5, 0.3]
    plain, wider, one_set = welch(a, b), welch(a, b, (0.2, 0.2)), welch(a, b, (1.0, 0.2))
    expected = scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (plain.low, plain.high) == pytest.approx((expected.low, expected.high))
    assert wider.low < plain.low < plain.high < wider.high
    assert not one_set.known
    assert one_set.mean == pytest.approx(plain.mean)
