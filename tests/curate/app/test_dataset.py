"""A collection as a FiftyOne dataset: what it holds, what stays when it is built again."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.app import fiftyone_library
from curate.app.dataset import build, opened, refresh, suspicious
from curate.app.index import Features
from curate.collection import decisions, findings
from curate.collection.directory import Collection
from curate.collection.ledger import Ledger, State
from curate.importing.importer import import_folder
from tests.curate.app.conftest import checked, make_collection

pytestmark = [pytest.mark.app, pytest.mark.usefixtures("fiftyone_database")]

OURS = ["unfiltered", "filtered", "suspicious", "dark", "doubtful"]


def features(collection: Collection) -> Features:
    """One feature a label, one that tells the images apart."""
    labels = pd.get_dummies(collection.images()["label"]).to_numpy(dtype=np.float32)
    values = np.hstack([labels, np.linspace(0, 0.5, len(labels), dtype=np.float32)[:, None]])
    return Features(values / np.linalg.norm(values, axis=1, keepdims=True))


def view(dataset: object, name: str) -> list[str]:
    return list(dataset.load_saved_view(name).values("key"))  # type: ignore[attr-defined]


def field(dataset: object, name: str) -> dict[str, Any]:
    return dict(zip(*dataset.values(["key", name]), strict=True))  # type: ignore[attr-defined]


def test_a_sample_says_what_the_tables_say(collection: Collection) -> None:
    dataset = build(collection)
    row = collection.images().set_index("key").loc["tree/0.png"]
    assert isinstance(row, pd.Series)
    sample = dataset.one({"key": "tree/0.png"})
    assert Path(sample.filepath) == collection.path(row["file"]).absolute()
    assert (sample.content_id, sample.group, sample.source) == (row["id"], row["group"], "import")
    assert (sample.label.label, sample.metadata.width, sample.metadata.size_bytes) == ("tree", 64, row["bytes"])
    assert (sample.dark.label, sample.dark.confidence, sample.dark.detail) == ("flagged", 0.9, "dark by 0.9")
    assert (sample.verdict, sample.reason, sample.filtered, sample.suspicious) == ("", "", False, True)
    assert field(dataset, "dark.label")["tree/1.png"] == "fine"
    assert field(dataset, "dark.label")["boat/0.png"] is None  # the rule had nothing to say
    assert not dataset.has_sample_field("people")  # which did not run
    assert dataset.info["fewpose"]["collection"] == str(collection.root.resolve())


def test_views_follow_the_collection(collection: Collection) -> None:
    dataset = build(collection)
    keys = sorted(collection.images()["key"])
    assert sorted(dataset.list_saved_views()) == sorted(OURS)
    assert view(dataset, "unfiltered") == keys
    assert view(dataset, "filtered") == [key for key in keys if key not in ("tree/0.png", "boat/1.png")]
    assert view(dataset, "suspicious") == ["boat/1.png", "tree/0.png"]
    assert view(dataset, "dark") == ["tree/0.png"]
    assert dataset.list_workspaces() == ["curate"]


def test_the_view_of_a_rule_begins_with_the_worst(collection: Collection) -> None:
    checked(collection, dark={"boat/0.png": 0.6, "boat/1.png": 0.99, "tree/2.png": 0.8, "tree/1.png": 0.1})
    assert view(build(collection), "dark") == ["boat/1.png", "tree/2.png", "boat/0.png"]


@pytest.mark.slow
def test_a_decision_shows_in_fields_and_views_that_were_there_before(collection: Collection) -> None:
    dataset = build(collection)
    decisions.drop(collection, ["tree/1.png"], reason="two people")
    decisions.keep(collection, ["tree/0.png"])
    decisions.relabel(collection, ["boat/1.png"], "tree")
    refresh(dataset, collection)
    dropped = dataset.one({"key": "tree/1.png"})
    assert (dropped.verdict, dropped.reason, dropped.filtered) == ("drop", "two people", False)
    assert field(dataset, "label.label")["boat/1.png"] == "tree"
    assert {"tree/0.png", "boat/1.png"} <= set(view(dataset, "filtered"))
    assert view(dataset, "suspicious") == []
    decisions.undo(collection, last=3)
    refresh(dataset, collection)
    assert view(dataset, "suspicious") == ["boat/1.png", "tree/0.png"]
    assert field(dataset, "label.label")["boat/1.png"] == "boat"


@pytest.mark.slow
def test_building_again_writes_nothing(collection: Collection) -> None:
    dataset = build(collection, features(collection))
    before = field(dataset, "last_modified_at")
    runs = {name: dataset.get_brain_info(name).timestamp for name in dataset.list_brain_runs()}
    again = build(collection, features(collection))
    assert field(again, "last_modified_at") == before
    assert {name: again.get_brain_info(name).timestamp for name in again.list_brain_runs()} == runs
    assert set(runs) >= {"pca", "text"}


@pytest.mark.slow
def test_what_people_made_in_the_app_stays(collection: Collection) -> None:
    dataset = build(collection)
    dataset.match({"key": "tree/2.png"}).tag_samples(["drop", "look again"])
    dataset.set_values("stars", {"tree/1.png": 3}, key_field="key")
    dataset.save_view("mine", dataset.match_tags("look again"))
    checked(collection, mine={"boat/0.png": 0.8})  # a rule of the same name as her view
    again = build(collection)
    assert field(again, "tags")["tree/2.png"] == ["drop", "look again"]
    assert field(again, "stars")["tree/1.png"] == 3
    assert view(again, "mine") == ["tree/2.png"]


@pytest.mark.slow
def test_images_come_and_go(collection: Collection) -> None:
    dataset = build(collection, features(collection))
    dataset.match({"key": "tree/2.png"}).tag_samples("mine")
    images = collection.images()
    collection.write(images[images["key"] != "boat/0.png"], collection.rejects())
    more = make_collection(collection.root.with_name("more") / "other", ["arch"], per_class=2)
    import_folder(more.root.with_name("photos"), collection.root, workers=1)
    again = build(checked(collection), features(collection))
    assert sorted(again.values("key")) == sorted(collection.images()["key"])
    assert "boat/0.png" not in again.values("key")
    assert field(again, "tags")["tree/2.png"] == ["mine"]
    # The new images stand first in the table and last in the dataset: each must have its own feature.
    sample = again.one({"key": "arch/0.png"})
    assert set(again.sort_by_similarity(sample.id, k=2, brain_key="text").values("key")) == {"arch/0.png", "arch/1.png"}
    assert len(again.load_brain_results("pca").points) == len(collection.images())


@pytest.mark.slow
def test_another_picture_under_an_old_key_is_another_sample(collection: Collection) -> None:
    build(collection).match({"key": "tree/2.png"}).tag_samples("drop")
    images = collection.images()
    images.loc[images["key"] == "tree/2.png", "id"] = "f" * 64
    collection.write(images, collection.rejects())
    sample = build(collection).one({"key": "tree/2.png"})
    assert (sample.content_id, sample.tags) == ("f" * 64, [])


@pytest.mark.slow
def test_a_rule_that_does_not_run_any_more_takes_its_field_and_view_along(collection: Collection) -> None:
    build(collection)
    dataset = build(checked(collection, dark={"tree/0.png": 0.1}))
    assert not dataset.has_sample_field("doubtful")
    assert sorted(dataset.list_saved_views()) == ["dark", "filtered", "suspicious", "unfiltered"]
    assert field(dataset, "dark.label")["tree/0.png"] == "fine"


def test_before_a_check_there_is_no_filtered_set(collection: Collection) -> None:
    (collection.root / "checks.json").unlink()
    dataset = build(collection)
    assert set(dataset.values("filtered")) == {None}
    assert view(dataset, "filtered") == [] == view(dataset, "suspicious")
    assert len(view(dataset, "unfiltered")) == 6


@pytest.mark.slow
def test_a_lost_database_is_made_again_from_the_collection(collection: Collection) -> None:
    decisions.drop(collection, ["tree/1.png"], reason="blurred")
    dataset = build(collection, features(collection))
    before = {name: view(dataset, name) for name in dataset.list_saved_views()}
    fiftyone_library.fo().delete_dataset(dataset.name)
    assert opened(collection) is None
    again = build(collection, features(collection))
    assert {name: view(again, name) for name in again.list_saved_views()} == before
    assert field(again, "reason")["tree/1.png"] == "blurred"
    assert set(again.list_brain_runs()) >= {"pca", "text"}


@pytest.mark.slow
def test_predictions_become_fields_and_a_view(collection: Collection) -> None:
    told = [("boat/0.png", 4, 0.75, "tree"), ("boat/1.png", 4, 0.25, "tree"), ("tree/0.png", 4, 1.0, "boat")]
    predictions = pd.DataFrame(told, columns=["key", "tested", "wrong_share", "confused_with"])
    dataset = build(collection, predictions=predictions)
    assert view(dataset, "wrong in most splits") == ["tree/0.png", "boat/0.png"]
    assert field(dataset, "confused_with")["boat/0.png"] == "tree"
    assert field(dataset, "wrong_share")["tree/2.png"] is None
    assert view(build(collection), "wrong in most splits") == ["tree/0.png", "boat/0.png"]


@pytest.mark.slow
def test_what_hurts_training_is_a_field_and_a_view_as_long_as_a_sweep_tells(collection: Collection) -> None:
    columns = ["key", "tested", "wrong_share", "confused_with"]
    told = [(key, 4, 0.5, "") for key in ("boat/0.png", "boat/1.png", "boat/2.png", "tree/0.png")]
    without = pd.DataFrame(told, columns=columns)
    known = pd.Series([-1.0, -4.0, -2.0, None], dtype=object), pd.Series([0.1, 0.01, 0.6, None], dtype=object)
    dataset = build(collection, predictions=without.assign(influence=known[0], influence_q=known[1]))
    assert view(dataset, "hurts training") == ["boat/1.png", "boat/0.png"]
    assert field(dataset, "influence")["tree/0.png"] is None
    assert view(build(collection), "hurts training") == ["boat/1.png", "boat/0.png"]
    again = build(collection, predictions=without)  # of a sweep that tells nothing of it
    assert not again.has_sample_field("influence")
    assert not again.has_saved_view("hurts training")


def test_a_new_label_settles_doubts_of_the_label_only(collection: Collection) -> None:
    checked(collection, doubtful={"boat/0.png": 0.9, "boat/1.png": 0.9}, dark={"boat/1.png": 0.9, "tree/0.png": 0.9})
    images, found = collection.images(), findings.read(collection)
    ids = dict(zip(images["key"], images["id"], strict=True))
    relabelled = State(
        label={ids["boat/0.png"]: "tree", ids["boat/1.png"]: "tree"}, verdict={ids["tree/0.png"]: "keep"}
    )
    assert list(images["key"][suspicious(images, found, relabelled)]) == ["boat/1.png"]
    untouched = Ledger(collection).state()
    assert list(images["key"][suspicious(images, found, untouched)]) == ["boat/0.png", "boat/1.png", "tree/0.png"]
