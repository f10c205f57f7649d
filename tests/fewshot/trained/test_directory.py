"""A trained model's directory: what is read is checked, and what doesn't fit is refused in one sentence."""

import contextlib
import hashlib
import json
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from curate.foundation import json_files
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.markdown import escape
from curate.foundation.text import is_seen
from fewshot.trained import card, directory, place
from fewshot.trained.about import About


@pytest.fixture
def own(kept: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return shutil.copytree(kept, tmp_path / "model")


def change(folder: Path, **entries: Any) -> None:
    path = folder / place.JSON
    path.write_text(json.dumps(json_files.read(path) | entries))


def rewrite(folder: Path, change_tensors: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Other weights, with the digest that belongs to them."""
    tensors = safetensors.torch.load_file(folder / place.WEIGHTS)
    change_tensors(tensors)
    content = safetensors.torch.save(tensors)
    (folder / place.WEIGHTS).write_bytes(content)
    change(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def refused(folder: Path) -> str:
    """The sentence. It names the directory or the file, and is one line."""
    with pytest.raises(FewposeError) as error:
        directory.load(folder, "cpu")
    said = str(error.value)
    assert str(folder) in said
    assert "\n" not in said
    return said


@pytest.mark.slow
def test_what_is_written_is_what_is_read(kept: Path) -> None:
    about = directory.read(kept)
    assert About.of_json(json.loads(json.dumps(about.to_json()))) == about
    assert about.classes == ("bars", "rings", "waves")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda place: None, "there is no model.json in it; make one with fewshot train COLLECTION --out MODEL"),
        (lambda place: place.mkdir(), "there is no model.json in it"),
        (lambda place: place.write_bytes(b"PK"), "it is a file, and a model is a directory"),
        (lambda place: (place.mkdir(), (place / "sweep.json").touch()), "train one on it with fewshot train "),
    ],
    ids=["nothing", "an empty directory", "a checkpoint", "a sweep"],
)
def test_what_is_no_model_is_bad_usage(tmp_path: Path, make: Callable[[Path], object], sentence: str) -> None:
    make(tmp_path / "it")
    with pytest.raises(UsageError, match=re.escape(sentence)):
        directory.load(tmp_path / "it")


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"format": 2}, "its format is 2, and this fewpose reads 1; update fewpose"),
        ({"classes": ["bars"]}, "its classes makes no sense: there must be two or more"),
        ({"classes": ["bars", "rings", "rings"]}, "its classes makes no sense"),
        ({"classes": ["a", "b", "c", "d"]}, "it has 4 classes, and texts for 3"),
        ({"temperature": 0}, "its temperature makes no sense: 0 is not a number from"),
        ({"temperature": "warm"}, "its temperature makes no sense"),
        ({"threshold": 1.5}, "its threshold makes no sense"),
        ({"head": {"kind": "pickle"}}, "its head makes no sense"),
        ({"head": {"kind": "linear"}}, "its head makes no sense"),
        ({"transform": {"size": 64, "fit": "stretch", "version": 2}}, "its transform makes no sense"),
        ({"transform": {"size": 64, "fit": "crop", "version": 1}}, "its transform makes no sense: pixels of version 1"),
        ({"mean": [0.5, 0.5]}, "its mean makes no sense"),
        ({"mean": [1e300, 0.5, 0.5]}, "its mean makes no sense: 1e+300 is not a number from -1 to 2"),
        ({"std": [0.2, 0, 0.2]}, "its std makes no sense: 0 is not a number from 0.001 to 10"),
        ({"temperature": -1.5}, "its temperature makes no sense"),
        ({"texts": [["a"], ["b"], [3]]}, "its texts makes no sense"),
        ({"quick_gelu": "yes"}, "its quick_gelu makes no sense"),
        ({"architecture": "hf-hub:somebody/something"}, "--model hf-hub:somebody/something is not known"),
    ],
)
def test_entries_that_make_no_sense_are_named(own: Path, entries: dict[str, Any], sentence: str) -> None:
    change(own, **entries)
    with pytest.raises(FewposeError, match=re.escape(sentence)):
        directory.load(own, "cpu")


def test_an_entry_that_is_missing_is_named(own: Path) -> None:
    path = own / place.JSON
    told = json_files.read(path)
    del told["mean"], told["head"]
    path.write_text(json.dumps(told))
    assert "it lacks head, mean" in refused(own)


def test_what_is_not_json_is_damaged(own: Path) -> None:
    (own / place.JSON).write_bytes(b"\x80\x04{")
    assert "is damaged: it is not JSON (line 1 is no text in UTF-8); delete" in refused(own)


def test_any_flipped_bit_is_refused_or_says_the_same(own: Path) -> None:
    path, told = own / place.JSON, directory.read(own)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with contextlib.suppress(FewposeError):
            assert directory.read(own) == told, at


def test_weights_must_be_those_that_were_promised(own: Path) -> None:
    content = bytearray((own / place.WEIGHTS).read_bytes())
    content[-1] ^= 1
    (own / place.WEIGHTS).write_bytes(content)
    assert "is damaged, or of another model" in refused(own)
    (own / place.WEIGHTS).unlink()
    assert "the model needs its weights beside it" in refused(own)


def test_a_pickle_is_never_opened(own: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (tmp_path / "went off").touch, ()

    content = pickle.dumps(Bomb())
    (own / place.WEIGHTS).write_bytes(content)
    change(own, weights_sha256=hashlib.sha256(content).hexdigest())
    assert "is no file of safetensors" in refused(own)
    assert not (tmp_path / "went off").exists()


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda tensors: tensors.pop("tower.proj"), "its weights are not those of tiny: proj is missing. Put model"),
        (lambda tensors: tensors.update({"tower.more": torch.ones(1)}), "there is no more in it"),
        (lambda tensors: tensors.update({"tower.proj": tensors["tower.proj"][:, :3].clone()}), "proj is (64, 3), and"),
        (lambda tensors: tensors["tower.proj"].fill_(torch.nan), "proj holds values that are not numbers"),
        (lambda tensors: tensors["head.weights"].fill_(torch.inf), "its head does not tell 3 classes apart"),
        (lambda tensors: tensors.pop("head.weights"), "its weights lack an array of a linear head"),
        (
            lambda tensors: tensors.update({n: tensors[n][:2].clone() for n in ("head.weights", "head.bias")}),
            "its head does not tell 3 classes apart",
        ),
        (
            lambda tensors: tensors.update({"head.weights": tensors["head.weights"][:, :5].clone()}),
            "the arrays of its head don't fit each other, or its tower",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(own: Path, harm: Callable[..., object], sentence: str) -> None:
    rewrite(own, harm)
    assert sentence in refused(own)


REFUSED_WITH_ITS_PEAK = """
import re, sys
from pathlib import Path
from curate.foundation.errors import FewposeError
from fewshot.trained import directory
def peak():  # ru_maxrss would be that of the process that started this one
    return int(re.search("VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
try:
    directory.load(Path(sys.argv[1]), "cpu")
except FewposeError as error:
    print(error)
print((peak() - before) // 1000)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_no_memory_is_taken_for_a_tower_that_the_weights_are_not_of(own: Path) -> None:
    change(own, architecture="ViT-bigG-14")  # 7 GB of image tower, 10 GB with the texts'
    command = [sys.executable, "-c", REFUSED_WITH_ITS_PEAK, str(own)]
    sentence, megabytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "its weights are not those of ViT-bigG-14: class_embedding is (64,), and the tower's (1664,);" in sentence
    assert "more. Put model.json and weights.safetensors of one training together, or train the model again" in sentence
    assert int(megabytes) < 200


def test_another_towers_size_is_refused(own: Path) -> None:
    change(own, transform={"size": 224, "fit": "crop", "version": 2})
    assert "tiny doesn't look at images of 224 pixels" in refused(own)


def test_a_device_that_there_is_not_is_bad_usage(kept: Path) -> None:
    with pytest.raises(UsageError, match="--device cuda:99"):
        directory.load(kept, "cuda:99")


def test_a_card_of_awkward_names_is_harmless_and_its_commands_can_be_copied(kept: Path) -> None:
    about = replace(directory.read(kept), classes=("<b>|`x`", "a\x1b[2J", "](javascript:x)"), model="m\u202e`x")
    name = "a b;$(touch x)'\"\n```\n# no heading"
    written = card.text(about, name, 1000)
    assert is_seen(written.replace("\n", ""))
    assert "<b>" not in written and "](javascript" not in written
    assert [line for line in written.splitlines() if line.startswith("# ")] == [f"# {escape(name)}"]
    commands = written.split("```\n")[1].splitlines()
    for line, last in zip(commands, ("VIDEO.mp4", "explained", f"{name}.onnx"), strict=True):
        said = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True)
        words = said.stdout.split("\0")[:-1]
        assert (words[0], words[2], words[-1]) == ("fewshot", name, last)


def test_the_card_says_what_was_measured(kept: Path) -> None:
    about, card = directory.read(kept), (kept / place.CARD).read_text()
    held = about.measured["held_back"]
    low, high = held["interval"]
    assert f"accuracy {100 * held['accuracy']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]" in card
    assert f"temperature {about.temperature:g}" in card
    for name, images in about.trained_on["classes"].items():
        assert f"| {name} | " in card
        assert f"| {images} | {held['classes'][name]['right']} of {held['classes'][name]['images']} |" in card
