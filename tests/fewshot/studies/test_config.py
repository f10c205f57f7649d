"""A sweep's file: what it may say, what wins, and one sentence for a mistake."""

import dataclasses
import inspect
from pathlib import Path

import pytest

from curate.collection.splits import Splitting
from curate.foundation.errors import UsageError
from fewshot import cli
from fewshot.studies import config
from fewshot.studies.config import KEYS, Asked
from fewshot.sweeping.settings import SweepSettings

HERE, THERE = Path("collection"), Path("out")
NOT_IN_FILE = {"collection", "out"}  # arguments of the command


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        return path

    return write


def test_the_template_has_every_key_with_its_default(file) -> None:
    asked = config.read(file(config.template()))
    assert list(asked.values) == [key for key in _order(config.template()) if key != "checkpoint"]
    assert set(_order(config.template())) == set(KEYS)
    assert config.settings(asked, HERE, THERE) == SweepSettings(HERE, THERE)
    for key in KEYS:  # with a line of its own about it
        (line,) = [line for line in config.template().splitlines() if line.startswith(f"{key}:")]
        assert len(line.split("#", 1)[1]) > 10


def _order(text: str) -> list[str]:
    return [line.split(":")[0] for line in text.splitlines() if line[:1].isalpha()]


def test_every_setting_of_a_sweep_has_a_key_and_every_key_a_flag() -> None:
    fields = {field.name for field in dataclasses.fields(SweepSettings)} - NOT_IN_FILE
    splitting = {"split", "test_fraction", "seed"}
    assert set(KEYS) == fields - {"splitting", "recipes", "settled"} | splitting | {"synthetic_per_class"}
    flags = {"method": "methods", "prompt": "prompts"}
    assert {flags.get(name, name) for name in inspect.signature(cli.sweep).parameters} >= set(KEYS)


def test_flags_have_the_defaults_that_a_sweep_has() -> None:
    shown = {name: each.default for name, each in inspect.signature(cli.sweep).parameters.items()}
    for field in dataclasses.fields(SweepSettings):
        if field.name in shown and field.name not in NOT_IN_FILE and field.default is not dataclasses.MISSING:
            default = shown[field.name]
            as_text = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
            assert default == as_text, field.name
    how = Splitting()
    assert (shown["split"], shown["test_fraction"], shown["seed"]) == (how.kind, how.test_fraction, how.seed)
    assert shown["method"] == ",".join(SweepSettings.methods)


def test_values_are_read_as_what_they_are(file) -> None:
    text = """
methods:
  zero-shot:
  finetune: {lr: 1e-5, epochs: 2, augment: flip}
sets: filtered, unfiltered+rendered
synthetic_per_class: 20
shots: [20, 6]
splits: 1e1
seed: 3
classes: [7, tree]
prompts: a {}, on a mat
descriptions: {7: the seventh, tree: [on one leg, like a tree]}
checkpoint: weights.pt
deterministic: true
short:
"""
    made = config.settings(config.read(file(text)), HERE, THERE)
    assert made == SweepSettings(
        HERE,
        THERE,
        sets=("filtered", "unfiltered+rendered20"),
        methods=("zero-shot", "finetune"),
        shots=(20, 6),
        splits=10,
        splitting=Splitting(seed=3),
        classes=("7", "tree"),
        prompts=("a {}, on a mat",),
        descriptions={"7": ("the seventh",), "tree": ("on one leg", "like a tree")},
        checkpoint=Path("weights.pt"),
        deterministic=True,
        recipes={"finetune": {"lr": 1e-5, "epochs": 2, "augment": "flip"}},
    )
    assert isinstance(made.recipes["finetune"]["lr"], float)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("split: [", "line 1: this is no YAML"),
        ("- splits", "line 1: the file must hold keys and values"),
        ("seed: 1\nshot: 6", "line 2: there is no key 'shot' (is it shots?); there are sets, "),
        ("seed: 1\nsplits: 2\nseed: 3", "line 3: seed stands here twice"),
        ("shots: [6, many]", "shots must be a whole number, not 'many'"),
        ("shots: 2.5", "shots must be a whole number, not 2.5"),
        ("splits: true", "splits must be a whole number, not True"),
        ("test_fraction: half", "test_fraction must be a number, such as 1e-5, not 'half'"),
        ("short: maybe", "short must be error or all or drop, not 'maybe'"),
        ("engine: slurm", "engine must be auto or processes or ray, not 'slurm'"),
        ("deterministic: 1", "deterministic must be true or false, not 1"),
        ("classes: {a: b}", "classes must be a list of names, not {'a': 'b'}"),
        ("model: [lite0]", "model must be a word, not ['lite0']"),
        ("descriptions: {bars: 3}", "descriptions: bars must be words, or a list of several wordings, not 3"),
        ("descriptions: none.yaml", "--descriptions none.yaml cannot be read (No such file"),
        ("descriptions: [bars]", "descriptions must be a word, not ['bars']"),
        ("methods: [magic]", "there is no method 'magic'; there are zero-shot"),
        ("methods: {finetune: fast}", "methods.finetune must hold settings, such as lr: 1e-5, not 'fast'"),
        (
            "methods: {finetune: {speed: 1}}",
            "there is no setting of finetune called 'speed'; there are lr, weight_decay, ",
        ),
        ("methods: {zero-shot: {lr: 1}}", "there is no setting of zero-shot called 'lr'; there are none"),
        ("methods: {finetune: {lr: fast}}", "methods.finetune.lr must be a number, such as 1e-5, not 'fast'"),
        ("methods: {finetune: {lr: []}}", "methods.finetune.lr is an empty list"),
        (
            "methods:\n  finetune:\n    lr: 1\n    epochs: 1.5",
            "line 4: methods.finetune.epochs must be a whole number, not 1.5",
        ),
        ("methods: {finetune: {augment: spin}}", "methods.finetune.augment must be none or flip or crop"),
        (
            "methods: {finetune: {lr: 1}, finetune@0.5: {lr: 2}}",
            "methods.finetune@0.5: all forms of finetune have the same settings in one sweep",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_key(file, text: str, sentence: str) -> None:
    path = file(text)
    with pytest.raises(UsageError) as mistake:
        config.read(path)
    assert str(mistake.value).startswith(f"--config {path}")
    assert sentence in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--config .*/none.yaml cannot be read \(No such file"):
        config.read(tmp_path / "none.yaml")


def test_descriptions_may_lie_in_a_file_of_their_own(file, tmp_path: Path) -> None:
    words = tmp_path / "words.yaml"
    words.write_text("tree: on one leg\n")
    asked = config.read(file(f"descriptions: {words}"))
    assert config.settings(asked, HERE, THERE).descriptions == {"tree": ("on one leg",)}


def test_an_empty_file_asks_for_nothing(file) -> None:
    assert config.read(file("# nothing\n")) == Asked()


def test_what_is_said_later_wins_setting_by_setting() -> None:
    under = Asked({"splits": 3, "seed": 1}, {"finetune": {"lr": 1.0, "epochs": 2}}, {"finetune": {"start": ("a", "b")}})
    over = Asked({"splits": 5}, {"finetune": {"lr": 2.0, "start": "a"}}, {"finetune": {"epochs": (1, 2)}})
    assert over.over(under) == Asked(
        {"splits": 5, "seed": 1}, {"finetune": {"lr": 2.0, "start": "a"}}, {"finetune": {"epochs": (1, 2)}}
    )


def test_lists_make_a_sweep_for_each_combination(file) -> None:
    text = "methods: {zero-shot: , finetune: {lr: [1e-5, 1e-4], epochs: [1, 2], weight_decay: 0}, finetune@0.5: }"
    grid_points = config.grid_points(config.read(file(text)), HERE, THERE)
    assert [each.name for each in grid_points] == [
        "other-methods",
        "finetune-lr=1e-05,epochs=1",
        "finetune-lr=1e-05,epochs=2",
        "finetune-lr=0.0001,epochs=1",
        "finetune-lr=0.0001,epochs=2",
    ]
    assert all(each.settings.out == THERE / each.name for each in grid_points)
    assert grid_points[0].settings.methods == ("zero-shot",)
    last = grid_points[-1]
    assert last.varied == {"lr": 1e-4, "epochs": 2}
    assert last.settings.methods == ("finetune", "finetune@0.5")
    assert last.settings.recipes == {"finetune": {"weight_decay": 0.0, "lr": 1e-4, "epochs": 2}}


def test_a_list_of_a_method_that_is_not_run_makes_no_series(file) -> None:
    asked = Asked({"methods": ("zero-shot",)}).over(config.read(file("methods: {finetune: {lr: [1, 2]}}")))
    (only,) = config.grid_points(asked, HERE, THERE)
    assert (only.name, only.settings) == ("", SweepSettings(HERE, THERE, methods=("zero-shot",)))
