import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from curate.body.poses import Pose, chosen
from curate.foundation.errors import FewposeError, UsageError
from curate.workers.settings import WorkerSettings
from synth.rendering.folder import render_folder, sidecar
from synth.rendering.planted_defects import listing
from synth.rendering.render import render

POSES = ["tree", "plank"]
ONE = WorkerSettings(workers=1)
IMPORTS = (
    "from pathlib import Path",
    "from curate.workers.settings import WorkerSettings",
    "from synth.rendering.folder import render_folder",
)


def contents(out: Path) -> dict[str, str]:
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    files["keypoints"] = sidecar(out).read_bytes()
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def draw(
    out: Path,
    poses: Sequence[str | Pose] = POSES,
    per_class: int = 3,
    *,
    size: int = 64,
    seed: int = 0,
    workers: WorkerSettings = ONE,
    planted_defects: bool = False,
) -> Path:
    render_folder(out, poses, per_class, size=size, seed=seed, workers=workers, planted_defects=planted_defects)
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("whole") / "out")


@pytest.mark.slow
def test_a_folder_for_each_pose_and_nothing_else(whole: Path) -> None:
    assert sorted(path.name for path in whole.iterdir()) == ["plank", "tree"]
    assert sorted(path.name for path in (whole / "tree").iterdir()) == [f"tree_000{n}.jpg" for n in range(3)]
    with Image.open(whole / "tree" / "tree_0001.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (64, 64))


def test_the_sidecar_has_a_line_an_image(whole: Path) -> None:
    records = [json.loads(line) for line in sidecar(whole).read_text().splitlines()]
    assert [record["file"] for record in records] == sorted(f"{p}/{p}_000{n}.jpg" for p in POSES for n in range(3))
    expected = render("tree", seed=0, size=64, index=2).keypoints
    np.testing.assert_allclose(records[-1]["keypoints"], expected, atol=0.01)
    assert records[-1]["camera"].keys() == {"position", "axes", "focal"}


@pytest.mark.slow
def test_same_bytes_in_another_order_and_with_two_workers(whole: Path, tmp_path: Path) -> None:
    assert contents(draw(tmp_path / "a", poses=POSES[::-1], workers=WorkerSettings(workers=2))) == contents(whole)


@pytest.mark.slow
def test_same_bytes_after_half_was_lost_and_a_folder_grows(whole: Path, tmp_path: Path) -> None:
    out = draw(tmp_path / "out", per_class=2)
    (out / "tree" / "tree_0001.jpg").unlink()
    (out / "plank" / ".writing-xyz.jpg").write_bytes(b"half an ima")
    lines = sidecar(out).read_text().splitlines(keepends=True)
    sidecar(out).write_text("".join(lines[:3]) + lines[3][:40])  # as a killed run leaves it
    done = render_folder(out, POSES, 3, size=64, workers=ONE)
    assert (done.rendered, done.present) == (3, 3)
    assert contents(out) == contents(whole)


def test_what_is_there_is_not_drawn_again(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.jpg")}
    done = render_folder(whole, POSES, 3, size=64, workers=ONE)
    assert (done.rendered, done.present) == (0, 6)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*.jpg")} == before


@pytest.mark.slow
def test_a_killed_run_goes_on_and_leaves_no_process(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = f"render_folder(Path({str(out)!r}), {POSES}, 3, size=64, workers=WorkerSettings(workers=2))"
    program = tmp_path / "program.py"
    program.write_text("\n".join([*IMPORTS, "if __name__ == '__main__':", f"    {code}"]))
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    running = subprocess.Popen(
        [sys.executable, str(program)], env=env, start_new_session=True, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while not list(out.rglob("*_000*.jpg")) and time.monotonic() < until:
        time.sleep(0.01)
    running.kill()
    running.wait()
    until = time.monotonic() + 20
    while time.monotonic() < until and _group_lives(running.pid):
        time.sleep(0.05)
    assert not _group_lives(running.pid), "workers outlive their parent"
    assert contents(draw(out)) == contents(whole)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"poses": ["swan"]}, "'swan'"),
        ({"per_class": 0}, "--per-class"),
        ({"size": 5}, "--size"),
        ({"planted_defects": True, "poses": ["tree"]}, "two poses"),
    ],
)
def test_bad_usage_is_one_sentence_and_leaves_nothing(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        draw(tmp_path / "out", **settings)
    assert not list(tmp_path.iterdir())


def test_other_settings_do_not_mix_with_what_is_there(whole: Path) -> None:
    before = contents(whole)
    with pytest.raises(UsageError, match="--size 64 --seed 0"):
        draw(whole, seed=1)
    assert contents(whole) == before


@pytest.mark.slow
def test_a_pose_that_its_file_has_changed_does_not_mix_with_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "poses.yaml"
    file.write_text("wave:\n  joints: {left_shoulder: {abduct: 150}}\n")
    out = draw(tmp_path / "out", chosen("all", file))
    before = contents(out)
    draw(out, chosen("all", file))
    file.write_text("wave:\n  joints: {left_shoulder: {abduct: 90}}\nrest:\n  joints: {}\n")
    with pytest.raises(UsageError, match="shows wave as another pose file has it"):
        draw(out, chosen("all", file), per_class=4)
    assert contents(out) == before
    draw(out, chosen("rest", file))  # another pose is no matter
    # A folder of an older version says nothing of its poses, and goes on.
    sidecar(out).write_text(re.sub(r' "pose_digest": "\w+",', "", sidecar(out).read_text()))
    draw(out, chosen("wave", file))


def test_a_file_in_the_way_and_a_broken_sidecar_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        draw(tmp_path / "file")
    sidecar(tmp_path / "out").write_text("nonsense\n{}\n")
    with pytest.raises(FewposeError, match="line 1"):
        draw(tmp_path / "out")


@pytest.fixture(scope="module")
def defective(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("planted_defects") / "out", planted_defects=True)


def planted(out: Path) -> dict[str, list[tuple[Path, str]]]:
    found: dict[str, list[tuple[Path, str]]] = {}
    with listing(out).open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["kind"], []).append((out / row["file"], row["original"]))
    return found


def near(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, int) - np.asarray(other.resize(one.size), int)).mean())


@pytest.mark.slow
def test_planted_defects_are_what_their_list_says(defective: Path, whole: Path) -> None:
    found = planted(defective)
    assert set(found) == {"copy", "mirrored", "recompressed", "wrong-label", "truncated"}
    listed = {path for rows in found.values() for path, _ in rows}
    assert listed == set(defective.rglob("*_extra_*.jpg"))
    for path, original in found["copy"]:
        assert path.read_bytes() == (defective / original).read_bytes()
        assert path.parent.name == original.partition("/")[0]
    for kind, change in (("mirrored", ImageOps.mirror), ("recompressed", lambda image: image)):
        for path, original in found[kind]:
            assert path.read_bytes() != (defective / original).read_bytes()
            with Image.open(path) as image, Image.open(defective / original) as source:
                assert near(change(source.convert("RGB")), image) < 8
    for path, pose in found["wrong-label"]:
        assert path.parent.name != pose
    for path, original in found["truncated"]:
        assert (defective / original).read_bytes().startswith(path.read_bytes())
        with pytest.raises(OSError, match="truncated"), Image.open(path) as image:
            image.load()
    # The images themselves are the same as without defects.
    clean = {name: digest for name, digest in contents(defective).items() if "_extra_" not in name}
    assert clean == contents(whole)


@pytest.mark.slow
def test_planted_defects_are_the_same_when_resumed_and_refuse_another_plan(defective: Path, tmp_path: Path) -> None:
    before = contents(defective)
    next(iter(defective.rglob("*_extra_*.jpg"))).unlink()
    draw(defective, planted_defects=True)
    assert contents(defective) == before
    with pytest.raises(UsageError, match="other defects"):
        draw(defective, per_class=4, planted_defects=True)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FewposeError, match="cannot write to"):
        draw(tmp_path / "file" / "out")
