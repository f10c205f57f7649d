"""Skeletons of photographs: found on clear people, drawn where their joints are, and read back by acceptance."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.collection import synthetic
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError, UsageError
from curate.importing.importer import import_folder
from curate.pose import weights
from curate.pose.people import COCO, JOINTS, VALUES, Person
from curate.workers.settings import WorkerSettings
from synth.accept.accept import accept
from synth.accept.agreement import oks, pck
from synth.accept.pose import known_skeleton
from synth.generate import control
from synth.generate.image_job import ImageJob
from synth.generate.plan import plan
from synth.generate.run import generate
from synth.generate.settings import Resources, Settings, Wanted
from synth.generate.skeletons import _skeleton
from synth.rendering.folder import render_folder, sidecar
from synth.rendering.keypoints import NAMES, OUTSIDE
from tests.synth.generate import tiny_models

POSES = ("warrior_ii", "tree")
PHOTO, SIZE = 256, 64  # pixels of the photographs, and of what is made
EACH = 2  # photographs of a pose
COPIED = Settings("a/model", controlnet="a/controlnet", control="keypoints", width=SIZE, height=SIZE)


@dataclass(frozen=True)
class People:
    collection: Collection
    joints: dict[str, np.ndarray]  # key -> (17, 3) as the renderer knows them, of photographs of one person

    def id(self, key: str) -> str:
        images = self.collection.images().set_index("key")
        return str(images.loc[key, "id"])

    def clear(self, label: str) -> set[str]:
        return {self.id(key) for key in self.joints if key.startswith(f"{label}/")}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered people; beside them a pair, an upper half, and noise."""
    out = tmp_path_factory.mktemp("people") / "photos"
    render_folder(out, POSES, EACH, size=PHOTO, seed=7, workers=WorkerSettings(workers=1))
    one, other = (Image.open(out / f"warrior_ii/warrior_ii_000{n}.jpg") for n in range(2))
    pair = Image.new("RGB", (2 * PHOTO, PHOTO))
    pair.paste(one, (0, 0))
    pair.paste(other, (PHOTO, 0))
    pair.save(out / "warrior_ii" / "pair.png")
    one.crop((0, 0, PHOTO, PHOTO // 2)).save(out / "warrior_ii" / "half.png")
    (out / "noise").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (PHOTO, PHOTO, 3), np.uint8)
    Image.fromarray(noise).save(out / "noise" / "0.png")
    return out


@pytest.fixture
def people(photographs: Path, tmp_path: Path) -> People:
    import_folder(photographs, tmp_path / "c", workers=1)
    told = map(json.loads, sidecar(photographs).read_text().splitlines())
    return People(Collection.open(tmp_path / "c"), {line["file"]: np.array(line["keypoints"]) for line in told})


def planned(people: People, *classes: str, per_class: int = EACH, from_draw: str = "") -> list[ImageJob]:
    return plan(people.collection, COPIED, Wanted(classes, per_class, from_draw), "w")


def drawn_joints(image: Image.Image) -> np.ndarray:
    """(17, 2): where each joint's colour is in the picture of a skeleton, NaN where it is not."""
    pixels = np.asarray(image)
    places = [np.argwhere((pixels == control._COLOURS[name]).all(axis=2)) for name in NAMES]
    return np.array([place.mean(axis=0)[::-1] if len(place) else (np.nan, np.nan) for place in places])


@pytest.mark.slow
def test_skeletons_are_those_of_the_people_in_the_photographs(people: People) -> None:
    """Only of photographs with one clear person; and drawn, each joint is where the renderer put it."""
    jobs = planned(people, *POSES, per_class=6)
    by_id = {people.id(key): truth for key, truth in people.joints.items()}
    for label in POSES:
        assert {job.control.id for job in jobs if job.control and job.label == label} == people.clear(label)
    for job in jobs:
        assert job.source is None
        assert job.control is not None
        truth = by_id[job.control.id]
        found = drawn_joints(control.draw(job.control, PHOTO, PHOTO))
        known = np.isfinite(found[:, 0]) & (truth[:, 2] > 0)
        assert known.sum() >= 12
        assert pck(np.where(known[:, None], found, 0), np.where(known[:, None], truth, 0)) >= 0.75


@pytest.mark.slow
def test_photographs_of_a_draw_alone_are_looked_at(people: People) -> None:
    jobs = planned(people, "tree", from_draw="split=0,shots=1")
    assert {job.control.id for job in jobs if job.control} == {job.source.id for job in jobs if job.source}
    assert len({job.source for job in jobs}) == 1
    looked_at = set(pd.read_parquet(people.collection.root / "keypoints.parquet")["id"])
    assert looked_at == {job.source.id for job in jobs if job.source}


@pytest.mark.slow
def test_a_class_without_one_clear_person_is_named(people: People) -> None:
    with pytest.raises(UsageError, match="no photograph with exactly one clear person in the collection for noise;"):
        planned(people)
    assert planned(people, "tree")


@pytest.mark.slow
def test_without_weights_a_sentence_names_the_ways_to_get_them(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_files_of_package", dict)
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    with pytest.raises(FewposeError) as told:
        planned(people, "tree")
    said = str(told.value)
    assert said.startswith(f"--control keypoints needs keypoints as curate pose {people.collection.root} finds them:")
    assert all(way in said for way in ("--weights", weights.VARIABLE, weights.INSTALL))
    assert "\n" not in said


@pytest.mark.slow
def test_a_file_of_ones_own_says_all_and_needs_no_weights(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_files_of_package", dict)
    pair = people.id("warrior_ii/pair.png")
    line = {"id": pair, "keypoints": [[PHOTO, PHOTO / 2, 2]] * len(NAMES)}
    (people.collection.root / control.FILE).write_text(json.dumps(line) + "\n")
    [job] = planned(people, "warrior_ii", per_class=1)
    assert job.control is not None
    assert (job.control.id, job.control.keypoints[0]) == (pair, (0.5, 0.5, 2))
    with pytest.raises(UsageError, match=r"no line in keypoints.jsonl of the collection for tree;"):
        planned(people, "tree")


def test_joints_beyond_the_picture_are_left_out() -> None:
    joints = np.full((len(JOINTS), len(VALUES)), 0.9, np.float32)
    joints[:, :2] = 50
    joints[COCO[9], 0] = 101  # the left wrist is right of a picture of 100 x 100 pixels
    joints[COCO[10], 4] = 0.2  # the right one is hardly there
    joints[COCO[11], :2] = np.nan
    found = _skeleton(Person(0.9, 0.9, joints), 100, 100)
    assert [NAMES[n] for n in np.flatnonzero(found[:, 2] == OUTSIDE)] == ["left_wrist", "right_wrist", "left_hip"]
    assert np.isfinite(found).all()


@pytest.mark.slow
def test_an_image_tells_whose_skeleton_it_shows_and_acceptance_reads_it(
    people: People, tmp_path_factory: pytest.TempPathFactory
) -> None:
    models = tmp_path_factory.mktemp("models")
    tiny_models.sd15(models / "sd")
    tiny_models.controlnet(models / "cn")
    settings = Settings(
        str(models / "sd"), controlnet=str(models / "cn"), control="keypoints", width=SIZE, height=SIZE, steps=2
    )
    resources = Resources(device="cpu", workers=WorkerSettings(workers=1))
    summary = generate(people.collection.root, settings, Wanted(POSES, EACH), resources)
    assert summary.made == dict.fromkeys(POSES, EACH)
    rows = synthetic.synthetic(people.collection.images())
    posed_by = synthetic.posed_by(rows)
    assert set(posed_by.values()) == people.clear("tree") | people.clear("warrior_ii")
    by_id = {people.id(key): truth for key, truth in people.joints.items()}
    for id, file in zip(rows["id"], rows["file"], strict=True):
        truth = by_id[posed_by[id]] * (SIZE / PHOTO, SIZE / PHOTO, 1)
        read = known_skeleton(people.collection, file)
        assert read is not None
        assert oks(read, truth) > 0.6
        told = json.loads((people.collection.root / file).with_suffix(".json").read_text())
        assert (told["control"], told["controlnet"]) == (posed_by[id], str(models / "cn"))
        assert "made_from" not in told
    found = accept(people.collection, model=None)  # of untrained weights, noise comes out
    judged = found.table[found.table["rule"] == "synthetic_pose"]
    assert set(judged["key"]) == set(rows["key"])
    assert set(judged["detail"]) == {"no person was found"}
