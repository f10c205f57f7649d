"""The command line: what it prints, its exit codes, and one sentence for a mistake."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from curate.collection.directory import Collection
from curate.sweeps.records import read_sweep
from fewshot.methods.linear_probe import LinearProbe
from fewshot.studies.config import template

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def quick(collection: Collection, tmp_path: Path) -> list[object]:
    """The arguments of a sweep of a second."""
    flags = "--model tiny/random --device cpu --splits 1 --shots 2 --methods linear-probe"
    return ["sweep", collection.root, "--out", tmp_path / "sweep", *flags.split()]


@pytest.mark.slow
def test_a_sweep_and_its_report(run: Run, quick: list[object], tmp_path: Path) -> None:
    code, out, _ = run(*quick)
    assert code == 0
    done, pace, following = out.splitlines()
    assert done == f"1 trials done (0 were there already) in {tmp_path / 'sweep'}"
    assert re.fullmatch(r"1 trial in 0:00:\d\d, [\d,]+ an hour", pace)
    assert following == f"next: fewshot report {tmp_path / 'sweep'}"
    assert run(*quick)[1].startswith("1 trials done (1 were there already)")
    code, out, _ = run("report", tmp_path / "sweep")
    assert code == 0
    assert "linear-probe" in out
    assert out.endswith(f"page: {tmp_path / 'sweep' / 'report.html'}\n")
    for name in ("results.csv", "differences.csv", "wrong.csv", "report.md", "report.html"):
        assert (tmp_path / "sweep" / name).stat().st_size > 0


def test_a_report_can_be_written_elsewhere(run: Run, quick: list[object], tmp_path: Path) -> None:
    run(*quick)
    assert run("report", tmp_path / "sweep", "--out", tmp_path / "page")[0] == 0
    assert (tmp_path / "page" / "report.html").exists()
    assert not (tmp_path / "sweep" / "report.html").exists()


@pytest.mark.slow
def test_flags_reach_the_sweep(run: Run, quick: list[object], tmp_path: Path) -> None:
    flags = "--methods finetune,zero-shot --sets filtered,unfiltered --shots 3,2,3 --epochs 1 --lr 0.001 --image-only"
    flags += " --augment flip --batch-size 4 --fit pad --short all --seed 3 --test-fraction 0.3 --classes waves,bars"
    assert run(*quick, *flags.split(), "--prompt", "a {}", "--prompt", "short")[0] == 0
    found = read_sweep(tmp_path / "sweep").settings
    assert found["methods"] == ["finetune", "zero-shot"]
    assert found["method_settings"]["finetune"] == {
        "lr": 0.001,
        "weight_decay": 1e-3,
        "epochs": 1,
        "batch_size": 4,
        "schedule": "constant",
        "towers": "image",
        "start": "text",
        "augment": "flip",
        "class_weights": "none",
    }
    assert found["recipes"] == {"finetune": "paper", "zero-shot": ""}
    assert found["shots"] == [2, 3]
    assert set(found["sets"]) == {"filtered", "unfiltered"}
    assert found["prompts"] == ["a {}", "Yoga pose {}"]
    assert found["classes"] == ["bars", "waves"]
    assert (found["fit"], found["short"], found["seed"], found["test_fraction"]) == ("pad", "all", 3, 0.3)
    assert found["split_kind"] == "random"


def test_classes_that_are_left_out_are_named(
    run: Run, make_collection: Callable[[Path, dict[str, int]], Collection], tmp_path: Path
) -> None:
    made = make_collection(tmp_path / "short", {"bars": 6, "rings": 6, "[waves]": 2})
    flags = "--model tiny/random --device cpu --splits 1 --shots 4 --methods linear-probe --short drop"
    code, out, _ = run("sweep", made.root, "--out", tmp_path / "[sweep]", *flags.split())
    assert code == 0
    assert "left out, too few images: [waves]\n" in out
    assert f"next: fewshot report '{tmp_path}/[sweep]'\n" in out  # brackets are no markup, and no pattern of a shell


@pytest.mark.slow
def test_failed_trials_are_counted_by_cause_and_make_exit_code_1(
    run: Run, quick: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        for name in ("fit", "fit_batch"):
            patch.setattr(LinearProbe, name, fit)
        code, out, errors = run(*quick, "--methods", "zero-shot,linear-probe")
    assert code == 1
    assert out.startswith("1 trials done")
    assert errors.splitlines()[-1] == "1 trials failed: out of memory; fewshot report names them"
    assert run(*quick, "--methods", "zero-shot,linear-probe")[0] == 1
    code, out, _ = run(*quick, "--methods", "zero-shot,linear-probe", "--retry-failed")
    assert code == 0
    assert out.startswith("2 trials done (1 were there already)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (["--methods", "magic"], 2, "there is no method 'magic'; there are zero-shot, "),
        (["--methods", ","], 2, "--methods must be names, not ','"),
        (["--sets", "best"], 2, "there is no training set 'best'; there are unfiltered and filtered"),
        (["--methods", "finetune", "--recipe", "soup"], 2, "--recipe soup: there are paper, lite0"),
        (
            ["--methods", "finetune", "--augment", "spin"],
            2,
            "--augment must be none or flip or crop or flip+crop, not 'spin'",
        ),
        (["--methods", "finetune", "--lr", "-1"], 2, "--lr must be a number, above 0, such as 1e-5, not '-1'"),
        (["--model", "nonsense"], 2, "--model nonsense is not known; lite0 or one of open_clip's"),
        (["--model", "tiny"], 2, "--model tiny names a shape without weights"),
        (["--model", "ViT-B-32/nonsense"], 2, "--model ViT-B-32/nonsense: no such weights; there are openai,"),
        (["--device", "cuda:99"], 2, "--device cuda:99 can't be used on this machine"),
        (["--device", "toaster"], 2, "--device toaster can't be used on this machine"),
        (["--shots", "6,many"], 2, "--shots must be whole numbers, at least 1, such as 43,20,6, not 'many'"),
        (["--shots", ""], 2, "--shots must be whole numbers, at least 1, such as 43,20,6, not []"),
        (["--shots", "-2"], 2, "--shots must be whole numbers, at least 1, such as 43,20,6, not '-2'"),
        (["--shots", "43"], 2, "43 training images a class are asked for, but a split leaves fewer to"),
        (["--splits", "0"], 2, "--splits must be a whole number, at least 1, not '0'"),
        (["--split", "alphabetical"], 2, "--split must be random or official, not 'alphabetical'"),
        (["--split", "official"], 2, "--split official: this collection has no official split"),
        (["--test-fraction", "1"], 2, "--test-fraction must be a number, above 0 and below 1, not '1'"),
        (["--short", "maybe"], 2, "--short must be error or all or drop, not 'maybe'"),
        (["--fit", "stretch"], 2, "--fit must be crop or pad, not 'stretch'"),
        (["--classes", "bars,owls"], 2, "--classes: the collection has no owls; it has bars, rings, waves"),
        (["--classes", "bars"], 2, "a classifier needs at least two classes"),
        (["--prompt", "a pose"], 2, "--prompt 'a pose' says not where the class's words go: write {} there"),
        (["--model", "tiny", "--checkpoint", "/no/such.pt"], 2, "--checkpoint /no/such.pt: no such file"),
    ],
)
def test_a_mistake_is_one_sentence(
    run: Run, quick: list[object], flags: list[str], code: int, sentence: str, tmp_path: Path
) -> None:
    got, out, errors = run(*quick, *flags)
    assert (got, out) == (code, "")
    assert errors.count("\n") == 1
    assert errors.startswith("error: ")
    assert sentence in errors
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_damaged_checkpoint_is_one_sentence(run: Run, quick: list[object], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x02not weights at all")
    code, out, errors = run(*quick, "--model", "tiny", "--checkpoint", tmp_path / name)
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert f"error: --checkpoint {tmp_path / name} does not hold weights of tiny: " in errors


def test_a_directory_without_a_collection_is_one_sentence(run: Run, quick: list[object], tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        code, out, errors = run("sweep", place, *quick[2:])
        assert (code, out, errors.count("\n")) == (2, "", 1)
        assert errors.startswith(f"error: {place} is not a collection")


@pytest.mark.slow
def test_a_place_that_can_not_be_written_to_is_one_sentence(run: Run, quick: list[object], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "sweep"):
        code, out, errors = run(*quick, "--out", place)
        assert (code, out, errors.count("\n")) == (1, "", 1)
        assert errors.startswith(f"error: {place} can't be written to (")


@pytest.mark.slow
def test_a_report_that_can_not_be_written_is_one_sentence(run: Run, quick: list[object], tmp_path: Path) -> None:
    run(*quick)
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "page"):
        code, out, errors = run("report", tmp_path / "sweep", "--out", place)
        assert (code, out, errors.count("\n")) == (1, "", 1)
        assert errors.startswith(f"error: {place} can't be written to (")


def test_a_report_of_what_is_no_sweep_is_one_sentence(run: Run, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        code, out, errors = run("report", place)
        assert (code, out, errors.count("\n")) == (1, "", 1)
        assert errors == f"error: {place} is not a sweep (there is no sweep.json); make one with fewshot sweep\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["sweep"], ["sweep", "here"], ["sweep", "--nonsense"]])
def test_bad_usage_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    code, _, errors = run(*arguments)
    assert code == 2
    assert "Usage: " in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("command", [[], ["sweep"], ["report"]])
def test_help_has_an_example(run: Run, command: list[str]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert "Example: fewshot" in out


def test_a_file_and_flags_that_win_over_it(run: Run, collection: Collection, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("model: tiny/random\nmethods: [zero-shot]\nshots: 3\nsplits: 2\nshort: all\n")
    flags = ["--config", tmp_path / "sweep.yaml", "--device", "cpu", "--splits", "1"]
    code, out, _ = run("sweep", collection.root, "--out", tmp_path / "sweep", *flags)
    assert code == 0
    assert out.startswith("1 trials done")
    found = read_sweep(tmp_path / "sweep").settings
    assert (found["model"], found["methods"], found["shots"], found["splits"]) == ("tiny/random", ["zero-shot"], [3], 1)
    assert found["short"] == "all"


@pytest.mark.slow
def test_a_file_of_descriptions_says_what_classes_are_called(run: Run, quick: list[object], tmp_path: Path) -> None:
    words = tmp_path / "words.yaml"
    words.write_text("bars: [lifting, bending]\nwaves: lying down\n")
    arguments = [*quick[:-1], "zero-shot", "--prompt", "posture", "--descriptions", words]
    assert run(*arguments)[0] == 0
    found = read_sweep(tmp_path / "sweep").settings
    assert found["texts"] == [["lifting", "bending"], "rings", "lying down"]
    assert found["prompts"] == ["a photo of a person {}"]
    words.write_text("bars: [lifting, bending]\n")
    code, _, errors = run(*arguments)
    assert (code, errors.count("\n")) == (2, 1)
    assert "holds a sweep with another wording of the classes; choose another --out" in errors
    assert run("report", tmp_path / "sweep")[0] == 0
    assert "lifting; bending" in (tmp_path / "sweep" / "report.html").read_text()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bars: [", "words.yaml, line 1: this is no YAML"),
        ("bars: 3", "words.yaml, line 1: bars must be words, or a list of several wordings, not 3"),
        ("owls: flying", "--descriptions: the collection has no owls; it has bars, rings, waves"),
        (None, "words.yaml cannot be read (No such file or directory)"),
    ],
)
def test_a_mistake_in_descriptions_is_one_sentence_and_exit_code_2(
    run: Run, quick: list[object], tmp_path: Path, text: str | None, sentence: str
) -> None:
    words = tmp_path / "words.yaml"
    if text is not None:
        words.write_text(text)
    code, out, errors = run(*quick, "--descriptions", words)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert sentence in errors
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_a_list_of_recipes_is_a_grid_search_with_a_table(run: Run, quick: list[object], tmp_path: Path) -> None:
    text = "methods: {nearest-class-mean: , finetune: {lr: [1e-4, 1e-5], epochs: 1, towers: image}}\n"
    (tmp_path / "recipes.yaml").write_text(text)
    arguments = [*quick[:-2], "--config", tmp_path / "recipes.yaml"]
    code, out, errors = run(*arguments)
    assert code == 0
    table = pd.read_csv(tmp_path / "sweep" / "recipes.csv")
    assert table["directory"].tolist() == ["other-methods", "finetune-lr=0.0001", "finetune-lr=1e-05"]
    assert table["lr"].tolist()[1:] == [1e-4, 1e-5]
    assert table["mean"].between(0, 1).all()
    assert "2/3: finetune-lr=0.0001" in errors
    assert f"table: {tmp_path}/sweep/recipes.csv\n3 trials done (0 were there already)" in out
    assert out.endswith(f"next: fewshot report {tmp_path}/sweep/other-methods\n")
    before = (tmp_path / "sweep" / "recipes.csv").read_bytes()
    assert "3 trials done (3 were there already)" in run(*arguments)[1]
    assert (tmp_path / "sweep" / "recipes.csv").read_bytes() == before


def test_a_grid_search_is_not_mixed_with_a_single_sweep(run: Run, quick: list[object], tmp_path: Path) -> None:
    assert run(*quick[:-1], "zero-shot")[0] == 0
    (tmp_path / "recipes.yaml").write_text("methods: {finetune: {lr: [1e-4, 1e-5]}}\n")
    code, _, errors = run(*quick[:-2], "--config", tmp_path / "recipes.yaml")
    assert (code, errors.count("\n")) == (2, 1)
    assert "holds a single sweep, and this is a grid search of several; choose another --out" in errors


def test_the_template_of_a_file_is_printed(run: Run) -> None:
    code, out, _ = run("sweep", "--config-template")
    assert code == 0
    assert out == template()


def test_flags_of_every_tuned_method_and_of_where_it_runs(run: Run, quick: list[object], tmp_path: Path) -> None:
    flags = (
        "--methods finetune --epochs 1 --lr 1e-4 --image-only --augment flip --class-weights balanced --deterministic"
    )
    assert run(*quick, *flags.split(), "--engine", "processes", "--workers", "1")[0] == 0
    used = read_sweep(tmp_path / "sweep").settings["method_settings"]["finetune"]
    assert (used["augment"], used["class_weights"], used["lr"], used["towers"]) == ("flip", "balanced", 1e-4, "image")


@pytest.mark.slow
def test_two_sweeps_are_compared(run: Run, quick: list[object], tmp_path: Path) -> None:
    grid = ["--methods", "zero-shot,nearest-class-mean", "--splits", "2"]
    run(*quick, *grid)
    run(*quick, *grid, "--fit", "pad", "--out", tmp_path / "other")
    code, out, _ = run("report", tmp_path / "sweep", tmp_path / "other", "--out", tmp_path / "page")
    assert code == 0
    assert "Differences are sweep minus other, in percentage points." in out
    assert "They differ in: fitting into the square (crop and pad)." in out
    assert pd.read_csv(tmp_path / "page" / "compare.csv")["pairing"].tolist() == ["paired", "paired"]
    run(*quick, *grid, "--classes", "bars,waves", "--out", tmp_path / "few")
    code, out, errors = run("report", tmp_path / "sweep", tmp_path / "few")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert "sweep and few have other classes" in errors
    code, _, errors = run("report", tmp_path, tmp_path, tmp_path)
    assert (code, errors) == (2, "error: fewshot report takes one sweep, or two to compare, not 3\n")
