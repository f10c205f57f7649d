"""`fewshot explain MODEL PHOTO...`: a picture for each photograph, whatever the photographs are called and hold."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.images.decoding import open_image
from fewshot.classifier import BodyClassifier
from fewshot.explaining.joints import contributions
from fewshot.explaining.skeleton import skeleton
from fewshot.trained.directory import load
from fewshot.trained.looking import Looking

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def photo(tmp_path: Path, draw_pattern: Callable[[int, int], np.ndarray]) -> Callable[..., Path]:
    """A drawn photograph under any name."""

    def draw(name: str, kind: int = 0, number: int = 500) -> Path:
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_pattern(kind, number)).save(file, "PNG")
        return file

    return draw


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:8]


@pytest.mark.slow
def test_each_photograph_becomes_a_picture(run: Run, kept: Path, photo: Callable[..., Path], tmp_path: Path) -> None:
    first, second = photo("one.png", 0), photo("two.png", 1)
    code, out, err = run(kept, first, second, "--class", "waves", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    pictures = [tmp_path / "out" / f"{file.stem}-{digest(file)}.png" for file in (first, second)]
    assert sorted((tmp_path / "out").iterdir()) == sorted(pictures)
    model = load(kept, "cpu")
    for line, file, picture in zip(out.splitlines(), (first, second), pictures, strict=True):
        pixels = model.about.transform.apply(Image.open(file).convert("RGB"))
        chances = dict(zip(model.classes, model.probabilities(pixels[None].copy())[0], strict=True))
        best = max(chances, key=lambda name: chances[name])
        named = dict.fromkeys([best, "waves"])
        shown = ", ".join(f"{name} {100 * chances[name]:.1f} %" for name in named)
        unsure = "" if chances[best] >= model.about.threshold else "none of these; "
        assert line == f"{file}: {unsure}{shown} → {picture}"
        with Image.open(picture) as page:
            assert page.width == 16 + (200 + 16) * (1 + len(named))  # the photograph, and a panel for each class


def test_without_matplotlib_it_says_what_to_install_before_any_work(
    run: Run, kept: Path, photo: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run(kept, photo("one.png"), "--out", tmp_path / "out")
    assert (code, out) == (1, "")
    assert err == "error: pictures that explain need a package: pip install 'fewpose[explain]'\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_maps_are_of_the_classes_that_are_named(
    run: Run, kept: Path, photo: Callable[..., Path], tmp_path: Path
) -> None:
    """Another class, another map; and a class that is named has the map that it has when it is the answer."""
    file, out = photo("one.png"), tmp_path / "out"
    written = out / f"one-{digest(file)}.png"

    def panels(*names: str) -> list[np.ndarray]:
        assert run(kept, file, "--out", out, *(word for name in names for word in ("--class", name)))[0] == 0
        page = np.asarray(Image.open(written).convert("RGB"))
        return [page[60:110, 16 + 216 * number : 76 + 216 * number] for number in range(1, page.shape[1] // 216)]

    answer, bars, rings, waves = (panels("bars", "rings", "waves") + panels("waves"))[:4]
    assert len({each.tobytes() for each in (answer, bars, rings, waves)}) >= 3
    assert np.array_equal(panels("waves", "rings")[-1], panels("rings")[-1])


@pytest.mark.slow
def test_what_cannot_be_read_is_a_line_and_the_rest_goes_on(
    run: Run, kept: Path, photo: Callable[..., Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    cut = tmp_path / "cut.png"
    cut.write_bytes(photo("whole.png").read_bytes()[:2000])
    code, out, err = run(kept, bad, tmp_path / "none.jpg", tmp_path, cut, photo("good.png"), "--out", tmp_path / "out")
    assert code == 1
    assert len(out.splitlines()) == 1 and "good.png: " in out
    told = err.splitlines()
    assert [line.partition(": ")[0] for line in told] == [str(bad), str(tmp_path / "none.jpg"), str(tmp_path), str(cut)]
    assert "not an image" in told[0] and "No such file" in told[1]
    assert "not a regular file" in told[2] and "truncated" in told[3]


def test_pictures_of_one_name_do_not_replace_each_other(
    run: Run, kept: Path, photo: Callable[..., Path], tmp_path: Path
) -> None:
    files = [photo("a/1.png", 0), photo("b/1.png", 1), photo("c/1.png", 2)]
    assert run(kept, *files, "--out", tmp_path / "out")[0] == 0
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == sorted(
        f"1-{digest(each)}.png" for each in files
    )


@pytest.mark.parametrize(
    "name", ["<b>&\"'.png", "...png", "-rf.png", "\n.png", "x" * 200 + ".png", "ü木.png", "a;b|c.png"]
)
def test_no_name_leads_out_of_the_directory(
    run: Run, kept: Path, photo: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    file = photo(name)
    code, _, _ = run(kept, "--out", tmp_path / "out", "--", file)
    assert code == 0
    (written,) = (tmp_path / "out").iterdir()
    assert written.name.endswith(f"-{digest(file)}.png")
    assert written.name[0] not in ".-" and not set(written.name) & set("<>&\"';|\n/")
    assert {each.name for each in tmp_path.iterdir()} == {"out", "photos"}


@pytest.mark.slow
def test_its_own_picture_is_replaced_and_no_other(
    run: Run, kept: Path, other: Path, photo: Callable[..., Path], tmp_path: Path
) -> None:
    file, out = photo("one.png"), tmp_path / "out"
    written = out / f"one-{digest(file)}.png"
    assert run(kept, file, "--out", out)[0] == 0
    before = written.read_bytes()
    assert run(kept, file, "--out", out, "--class", "rings", "--class", "bars")[0] == 0
    mine = written.read_bytes()
    assert mine != before
    code, _, err = run(other, file, "--out", out)
    assert code == 1
    assert err == f"{file}: {written} is there already and was made of something else; choose another --out\n"
    assert written.read_bytes() == mine
    written.write_bytes(b"somebody's")
    assert run(kept, file, "--out", out)[0] == 1
    assert written.read_bytes() == b"somebody's"


def test_an_unknown_class_is_said_with_those_that_there_are(
    run: Run, kept: Path, photo: Callable[..., Path], tmp_path: Path
) -> None:
    code, _, err = run(kept, photo("one.png"), "--class", "Wawes", "--out", tmp_path / "out")
    assert code == 2
    assert err.startswith("error: --class Wawes: the model has no such class; it has waves, ")
    assert "bars" in err and "rings" in err
    assert not (tmp_path / "out").exists()


def test_as_json(run: Run, kept: Path, photo: Callable[..., Path], tmp_path: Path) -> None:
    file, out = photo("one.png"), tmp_path / "out"
    code, shown, _ = run(kept, file, tmp_path / "none.png", "--class", "rings", "--out", out, "--json")
    assert code == 1
    good, bad = json.loads(shown)
    assert good["file"] == str(out / f"one-{digest(file)}.png") and good["error"] == ""
    assert good["called"] in ("", *good["probabilities"])
    assert "rings" in good["probabilities"] and all(0 <= each <= 1 for each in good["probabilities"].values())
    assert bad["photo"] == str(tmp_path / "none.png") and "No such file" in bad["error"] and bad["file"] == ""


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (640, 480)])
@pytest.mark.parametrize("mode", ["L", "RGBA", "1"])
def test_pictures_of_any_shape_and_kind(run: Run, kept: Path, tmp_path: Path, size: tuple[int, int], mode: str) -> None:
    file = tmp_path / "any.png"
    Image.new(mode, size, 1).save(file)
    assert run(kept, file, "--out", tmp_path / "out")[0] == 0


def test_where_nothing_can_be_written_it_is_said(
    run: Run, kept: Path, photo: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run(kept, photo("one.png"), "--out", tmp_path / "file")
    assert (code, err) == (
        2,
        f"error: --out {tmp_path / 'file'} is a file; name a directory that exists or can be made\n",
    )
    code, _, err = run(kept, photo("one.png"), "--out", tmp_path / "file" / "below")
    assert code == 1 and err.startswith(f"error: {tmp_path / 'file' / 'below'} can't be written to (")


def test_what_makes_no_sense_is_said_in_a_sentence(
    run: Run, kept: Path, photo: Callable[..., Path], tmp_path: Path
) -> None:
    assert run(kept)[::2] == (2, "error: name the photographs: fewshot explain MODEL PHOTO.jpg\n")
    (tmp_path / "x.pt").write_bytes(b"weights")
    assert "a trained model has its weights" in run(kept, photo("one.png"), "--checkpoint", tmp_path / "x.pt")[2]
    code, _, err = run(tmp_path, photo("one.png"))
    assert code == 2 and "holds no trained model" in err


@pytest.mark.slow
def test_of_a_model_of_the_body_it_shows_which_joints_decide(
    run: Run, kept_of_people: dict[str, Path], people: Path, tmp_path: Path
) -> None:
    file = people / "tree" / "tree_0002.jpg"
    code, out, err = run(kept_of_people["pose"], file, "--class", "boat", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    model = load(kept_of_people["pose"], "cpu")
    looking = Looking(model)
    seen = looking.of_file(file.read_bytes())
    assert seen.joints is not None
    chances = dict(zip(model.classes, looking.probabilities([seen])[0], strict=True))
    written = tmp_path / "out" / f"tree_0002-{digest(file)}.png"
    assert out == f"{file}: tree {100 * chances['tree']:.1f} %, boat {100 * chances['boat']:.1f} % → {written}\n"
    page = Image.open(written).convert("RGB")
    assert page.width == 16 + (200 + 16) * 3
    assert isinstance(model.classifier, BodyClassifier)
    added = contributions(model.classifier, seen.joints, [model.classes.index("tree")])[0]
    picture = open_image(file.read_bytes(), draft=model.about.transform.draft_size()).image
    expected = skeleton(picture, seen.joints[:, :2] / 256, added)
    assert page.crop((232, 56, 232 + picture.width, 56 + picture.height)).tobytes() == expected.tobytes()


@pytest.mark.slow
def test_of_a_model_of_both_it_shows_both_sides_and_says_where_nobody_is(
    run: Run, kept_of_people: dict[str, Path], people: Path, photo: Callable[..., Path], tmp_path: Path
) -> None:
    with_person, without = people / "plank" / "plank_0000.jpg", photo("one.png")
    code, out, err = run(kept_of_people["pose+linear-probe"], with_person, without, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert "nobody" not in first
    assert "; nobody was found in it → " in second
    with Image.open(tmp_path / "out" / f"plank_0000-{digest(with_person)}.png") as page:
        assert page.width == 16 + (200 + 16) * 3
    code, out, _ = run(kept_of_people["pose+linear-probe"], without, "--out", tmp_path / "out", "--json")
    assert (code, json.loads(out)[0]["note"]) == (0, "nobody was found in it")


@pytest.mark.slow
def test_a_photograph_of_nobody_is_an_error_of_its_own_for_a_model_of_the_body_alone(
    run: Run, kept_of_people: dict[str, Path], people: Path, photo: Callable[..., Path], tmp_path: Path
) -> None:
    nobody = photo("nobody.png")
    code, out, err = run(kept_of_people["pose"], nobody, people / "boat" / "boat_0000.jpg", "--out", tmp_path / "out")
    assert (code, err) == (1, f"{nobody}: nobody was found in it, and this model goes by the body alone\n")
    assert len(out.splitlines()) == 1 and "boat_0000.jpg: " in out
    assert [each.name[:9] for each in (tmp_path / "out").iterdir()] == ["boat_0000"]
