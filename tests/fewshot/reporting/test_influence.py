"""Which training images help or hurt, on simulated sweeps whose wrong labels are known."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from curate.foundation import atomic
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Trial, read_sweep
from fewshot.measuring import influence
from fewshot.measuring.influence import effects
from fewshot.measuring.measure import Cell, measure
from fewshot.reporting import write_report
from fewshot.reporting.sections.influence import sentences

CLASSES = ["arch", "boat", "cat", "dog"]


def simulated(
    seed: int, splits: int = 78, size: int = 20, shots: int = 2, wrong: int = 0, noise: float = 1.6
) -> tuple[list[Predictions], list[str]]:
    """A nearest-mean classifier's trials over random splits, and the keys of `wrong` images with another label."""
    random = np.random.default_rng(seed)
    centres = random.normal(0, 1, (len(CLASSES), 32))
    labels = np.repeat(np.arange(len(CLASSES)), size)
    shows, planted = labels.copy(), random.choice(len(labels), wrong, replace=False)
    shows[planted] = (labels[planted] + 1 + random.integers(0, len(CLASSES) - 1, wrong)) % len(CLASSES)
    features = centres[shows] + random.normal(0, noise, (len(labels), 32))
    keys = np.array([f"{CLASSES[label]}/{number}" for number, label in enumerate(labels)])
    trials = []
    for _ in range(splits):
        order = [random.permutation(np.flatnonzero(labels == label)) for label in range(len(CLASSES))]
        test, train = np.concatenate([each[: size // 5] for each in order]), [each[-shots:] for each in order]
        means = np.stack([features[each].mean(axis=0) for each in train])
        logits = (features[test] @ means.T - (means**2).sum(axis=1) / 2).astype(np.float32)
        trials.append(Predictions(logits, labels[test].astype(np.int64), keys[test], keys[np.concatenate(train)]))
    return trials, keys[planted].tolist()


@pytest.mark.slow
def test_planted_wrong_labels_are_ranked_worst_and_told_from_nothing() -> None:
    """Some do little harm, where both classes look alike: of all, four in five are among the worst 5 of 80."""
    ranks: list[int] = []
    for seed in range(6):
        trials, planted = simulated(seed, splits=300, wrong=2, noise=1.2)
        table = effects(trials, CLASSES)
        worst = table.iloc[0]
        assert worst["key"] in planted
        assert worst["q_value"] < 0.01
        assert worst["shrunk_points"] < -3
        ranks += table.index[table["key"].isin(planted)].tolist()
    assert np.mean(np.array(ranks) < 5) >= 0.8


def test_without_planted_images_effects_are_noise_of_the_stated_size() -> None:
    """All images of a class do about the same here: z-values have SD 1, and hardly any image is told from 0."""
    told, spread = [], []
    for seed in range(10):
        table = effects(simulated(seed, shots=10)[0], CLASSES)
        spread.append((table["effect_points"] / table["se_points"]).std())
        told.append((table["q_value"] <= 0.1).mean())
    assert 0.9 < np.mean(spread) < 1.15
    assert np.mean(told) < 0.02
    assert (table["shrunk_points"].abs() <= table["effect_points"].abs()).all()


def trial(right: dict[str, bool], train: list[str]) -> Predictions:
    """Two classes, a and b: whether each tested image was called rightly, and which images were trained on."""
    labels = np.array(["ab".index(key[0]) for key in right])
    called = np.where(list(right.values()), labels, 1 - labels)
    return Predictions(np.eye(2, dtype=np.float32)[called], labels, np.array(list(right)), np.array(train))


def test_an_effect_by_hand() -> None:
    """a1 is drawn in splits 0 to 2 and left in 3 to 5; b1 and b2 are tested in all of these, a1 in the last."""
    outcomes = [(True, False), (False, False), (True, False), (True, True), (True, True), (False, True)]
    trials = [
        trial({"b1": first, "b2": second}, ["a1", "b3"] if split < 3 else ["a2", "b3"])
        for split, (first, second) in enumerate(outcomes)
    ]
    trials.append(trial({"a1": False, "a2": True, "b3": True}, ["a3", "b2"]))
    row = effects(trials, ["a", "b"]).set_index("key").loc["a1"]
    # Each outcome minus the mean of the image's other five: (6 y - total) / 5; b1 has 4 right, b2 has 3.
    fared = [((6 * first - 4) / 5 + (6 * second - 3) / 5) / 2 for first, second in outcomes]
    test = scipy.stats.ttest_ind(fared[:3], fared[3:])
    effect = np.mean(fared[:3]) - np.mean(fared[3:])
    assert (row["drawn"], row["not_drawn"], row["label"], row["rival"]) == (3, 3, "a", "b")
    assert row["effect_points"] == pytest.approx(100 * effect)
    assert row["se_points"] == pytest.approx(100 * effect / test.statistic)


def test_an_image_that_was_drawn_too_seldom_has_no_effect() -> None:
    trials, _ = simulated(0, splits=8)
    table = effects(trials, CLASSES)
    few = (table["drawn"] < 3) | (table["not_drawn"] < 3)
    assert few.any()
    assert not few.all()
    assert (table["effect_points"].isna() == few).all()
    assert table["effect_points"].isna().is_monotonic_increasing


def sweep(directory: Path, cells: list[Cell], sizes: dict[str, int], old: bool = False) -> Path:
    trials, _ = simulated(0, splits=12)
    planned = []
    for cell in cells:
        for number, predictions in enumerate(trials):
            planned.append(Trial(*cell, number))
            kept = Predictions(predictions.logits, predictions.labels, predictions.keys) if old else predictions
            records.write(directory, Record(planned[-1], "done", "lite0"), kept)
    fields = {"format": 1, "classes": CLASSES, "model": "lite0", "trials": [vars(each) for each in planned]}
    sets = {name: {"images": size} for name, size in sizes.items()}
    atomic.write_json(directory / "sweep.json", fields | {"sets": sets, "methods": ["probe"]})
    return directory


def test_the_cell_with_fewest_shots_of_the_largest_set_is_looked_at(tmp_path: Path) -> None:
    cells = [Cell(name, "probe", shots) for name in ("filtered", "unfiltered") for shots in (2, 20)]
    added = Cell("unfiltered+rendered20", "probe", 2)
    measured = measure(read_sweep(sweep(tmp_path, [*cells, added], {"filtered": 70, "unfiltered": 80})))
    assert influence.chosen_cell(measured) == Cell("unfiltered", "probe", 2)


def test_the_report_writes_it_and_says_what_it_can_not_tell(tmp_path: Path) -> None:
    files = write_report(sweep(tmp_path, [Cell("unfiltered", "probe", 2)], {"unfiltered": 80}))
    lines = files.csv["influence"].read_text().splitlines()
    assert lines[0] == ",".join(influence.COLUMNS)
    assert len(lines) > 20
    told = sentences(influence.influence(measure(read_sweep(tmp_path))))
    assert "all others may well have no effect" in told[0]
    assert "can be told from one without effect" in told[0] or "may be there by chance" in told[0]


def test_records_of_older_sweeps_give_an_empty_table(tmp_path: Path) -> None:
    files = write_report(sweep(tmp_path, [Cell("unfiltered", "probe", 2)], {"unfiltered": 80}, old=True))
    assert files.csv["influence"].read_text() == ",".join(influence.COLUMNS) + "\n"
    assert sentences(influence.influence(measure(read_sweep(tmp_path)))) == []
