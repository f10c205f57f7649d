"""Synthetic images in the App: what they were made by, whether they are accepted, and a person's word on them."""

import json

import pandas as pd
import pytest

from curate.app import sync
from curate.app.dataset import build
from curate.collection import findings, sets
from curate.collection.directory import Collection
from curate.collection.findings import Findings, Ran

pytestmark = [pytest.mark.app, pytest.mark.usefixtures("fiftyone_database")]

MADE = ["tree/synthetic-0.png", "tree/synthetic-1.png"]


@pytest.fixture
def generated(collection: Collection) -> Collection:
    """Two synthetic trees, of which acceptance rejects the second one."""
    images = collection.images()
    rows = images[images["label"] == "tree"].head(2).assign(key=MADE, id=["a" * 64, "b" * 64], source="synthetic")
    told = {"generator": "StableDiffusionPipeline", "prompt": "a person in tree pose", "seed": "7", "model": "tiny"}
    collection.write(pd.concat([images, rows.assign(provenance=json.dumps(told))]), collection.rejects())
    made = collection.images().set_index("key").loc[MADE].reset_index()
    scored = [(0.2, "tree 0.80"), (0.97, "tree 0.03, boat 0.97"), (0.6, "sharpness 0.40")]
    table = pd.DataFrame(
        [
            (MADE[n], made["id"][n], rule, 1, score, 0.5, score >= 0.5, detail, "", "")
            for n, rule, (score, detail) in zip((0, 1, 1), ("synthetic_class",) * 2 + ("dark",), scored, strict=True)
        ],
        columns=list(findings.COLUMNS),
    )
    ran = {
        "synthetic_class": Ran("not like its class", 1, "label", True, {}),
        "dark": Ran("dark", 1, "quality", True, {}),
    }
    findings.write(collection, Findings(table, ran, findings.digest(made)), findings.ACCEPTANCE)
    return collection


def test_they_say_what_they_were_made_by_and_whether_they_are_accepted(generated: Collection) -> None:
    dataset = build(generated)
    good, bad = (dataset.one({"key": key}) for key in MADE)
    assert (good.source, good.prompt, good.seed, good.model) == ("synthetic", "a person in tree pose", "7", "tiny")
    assert (good.accepted, good.filtered, bad.accepted, bad.suspicious) == (True, None, False, False)
    assert (bad.synthetic_class.label, bad.synthetic_class.detail) == ("flagged", "tree 0.03, boat 0.97")
    # Rules of the same name are of photographs here, and of synthetic images there.
    assert (bad.dark.label, dataset.one({"key": "tree/0.png"}).dark.label) == ("flagged", "flagged")
    photograph = dataset.one({"key": "tree/1.png"})
    assert (photograph.filtered, photograph.accepted, photograph.prompt) == (True, None, None)
    views = {name: list(dataset.load_saved_view(name).values("key")) for name in dataset.list_saved_views()}
    assert sorted(views["synthetic"]) == MADE
    assert views["synthetic, rejected"] == MADE[1:]
    assert len(views["unfiltered"]) == 6
    assert not any("synthetic" in key for name in ("unfiltered", "filtered", "suspicious") for key in views[name])


def test_a_person_drops_and_keeps_them(generated: Collection) -> None:
    dataset = build(generated)
    assert sorted(sets.accepted(generated).images["key"]) == MADE[:1]
    dataset.match({"key": MADE[0]}).tag_samples(["drop:three legs"])
    dataset.match({"key": MADE[1]}).tag_samples(["keep"])
    entries = sync.take(dataset, generated, sync.diff(dataset, generated))
    assert sorted((entry.key, entry.reason) for entry in entries) == [(MADE[0], "three legs"), (MADE[1], "")]
    assert sorted(sets.accepted(generated).images["key"]) == MADE[1:]
    assert list(dataset.load_saved_view("synthetic, rejected").values("key")) == MADE[:1]
    assert dataset.one({"key": MADE[0]}).reason == "three legs"
