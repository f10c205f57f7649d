"""A sweep's file: what it may say, what wins, and one sentence for a mistake."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.foundation.errors import UsageError
from curate.foundation.options import declared
from fewshot import cli
from fewshot.studies import config
from fewshot.studies.config import Asked
from fewshot.sweeping.settings import FILE, PARTS, SweepSettings

HERE, THERE = Path("collection"), Path("out")
Write = Callable[[str], Path]


@pytest.fixture
def file(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        return path

    return write


def test_the_template_has_every_key_with_its_default_and_a_sentence(file: Write) -> None:
    text = config.template()
    asked = config.read(file(text))
    assert list(_order(text)) == list(declared(*FILE))
    assert set(asked.values) == {name for name, each in declared(*FILE).items() if each.default is not None}
    assert config.settings_of(asked, HERE, THERE) == SweepSettings.of(HERE, THERE)
    told = " ".join(text.replace("\n# ", " ").split())
    assert all(each.help in told for each in declared(*FILE).values())


def _order(text: str) -> list[str]:
    return [line.split(":")[0] for line in text.splitlines() if line[:1].isalpha()]


def test_every_key_is_a_flag_and_every_option_of_a_sweep_is_both() -> None:
    flags = inspect.signature(cli.sweep).parameters
    assert set(declared(*FILE)) == set(declared(*PARTS.values())) | {"synthetic_per_class"}
    assert list(flags)[1 : 1 + len(declared(*FILE))] == list(declared(*FILE))
    for part, cls in PARTS.items():
        assert type(getattr(SweepSettings.of(HERE, THERE), part)) is cls


def test_options_of_a_sweep_find_the_classes_that_declare_them() -> None:
    made = SweepSettings.of(
        HERE, THERE, splits=3, seed=1, model="lite0/random", workers=2, recipes={"finetune": {"lr": 1.0}}
    )
    assert (made.grid.splits, made.splitting.seed, made.clip.model, made.work.workers) == (3, 1, "lite0/random", 2)
    again = made.replaced(shots=(1,), out=HERE)
    assert (again.grid.shots, again.grid.splits, again.out, again.recipes) == ((1,), 3, HERE, made.recipes)
    with pytest.raises(TypeError, match="a sweep has no option shot"):
        made.replaced(shot=1)


def test_values_are_read_as_what_they_are(file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights.pt").write_bytes(b"weights")
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
augment: ""
short:
"""
    made = config.settings_of(config.read(file(text)), HERE, THERE)
    assert made == SweepSettings.of(
        HERE,
        THERE,
        sets=("filtered", "unfiltered+rendered20"),
        methods=("zero-shot", "finetune"),
        shots=(20, 6),
        splits=10,
        seed=3,
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
        ("shots: [6, many]", "shots must be whole numbers, at least 1, such as 43,20,6, not 'many'"),
        ("shots: 2.5", "shots must be whole numbers, at least 1, such as 43,20,6, not '2.5'"),
        ("splits: true", "splits must be a whole number, at least 1, not 'true'"),
        ("test_fraction: half", "test_fraction must be a number, above 0 and below 1, not 'half'"),
        ("seed: 1\nmodel: ViT-B-33/openai", "line 2: --model ViT-B-33 is not known; lite0 or one of open_clip's"),
        ("checkpoint: none.pt", "line 1: --checkpoint none.pt: no such file"),
        ("short: maybe", "short must be error or all or drop, not 'maybe'"),
        ("engine: slurm", "engine must be auto or processes or ray, not 'slurm'"),
        ("deterministic: 1", "deterministic must be true or false, not '1'"),
        ("classes: {a: b}", "classes must be names, not {'a': 'b'}"),
        ("model: [lite0]", "model must be text, not ['lite0']"),
        ("descriptions: {bars: 3}", "descriptions: bars must be words, or a list of several wordings, not 3"),
        ("descriptions: none.yaml", "--descriptions none.yaml cannot be read (No such file"),
        ("descriptions: [bars]", "descriptions must be a file (YAML) of LABEL: WORDS, not ['bars']"),
        ("methods: [magic]", "there is no method 'magic'; there are zero-shot"),
        ("methods: {finetune: fast}", "methods.finetune must hold settings, such as lr: 1e-5, not 'fast'"),
        (
            "methods: {finetune: {speed: 1}}",
            "there is no setting of finetune called 'speed'; there are lr, weight_decay, ",
        ),
        ("methods: {zero-shot: {lr: 1}}", "there is no setting of zero-shot called 'lr'; there are none"),
        ("methods: {finetune: {lr: fast}}", "methods.finetune.lr must be a number, above 0, such as 1e-5, not 'fast'"),
        ("methods: {finetune: {lr: []}}", "methods.finetune.lr is an empty list"),
        (
            "methods:\n  finetune:\n    lr: 1\n    epochs: 1.5",
            "line 4: methods.finetune.epochs must be a whole number, at least 1, not '1.5'",
        ),
        ("methods: {finetune: {augment: spin}}", "methods.finetune.augment must be none or flip or crop"),
        (
            "methods: {finetune: {lr: 1}, finetune@0.5: {lr: 2}}",
            "methods.finetune@0.5: all forms of finetune have the same settings in one sweep",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_key(file: Write, text: str, sentence: str) -> None:
    path = file(text)
    with pytest.raises(UsageError) as mistake:
        config.read(path)
    assert str(mistake.value).startswith(f"--config {path}")
    assert sentence in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--config .*/none.yaml cannot be read \(No such file"):
        config.read(tmp_path / "none.yaml")


def test_descriptions_may_lie_in_a_file_of_their_own(file: Write, tmp_path: Path) -> None:
    words = tmp_path / "words.yaml"
    words.write_text("tree: on one leg\n")
    asked = config.read(file(f"descriptions: {words}"))
    assert config.settings_of(asked, HERE, THERE).clip.descriptions == {"tree": ("on one leg",)}


def test_an_empty_file_asks_for_nothing(file: Write) -> None:
    assert config.read(file("# nothing\n")) == Asked()


def test_what_is_said_later_wins_setting_by_setting() -> None:
    under = Asked({"splits": 3, "seed": 1}, {"finetune": {"lr": 1.0, "epochs": 2}}, {"finetune": {"start": ("a", "b")}})
    over = Asked({"splits": 5}, {"finetune": {"lr": 2.0, "start": "a"}}, {"finetune": {"epochs": (1, 2)}})
    assert over.over(under) == Asked(
        {"splits": 5, "seed": 1}, {"finetune": {"lr": 2.0, "start": "a"}}, {"finetune": {"epochs": (1, 2)}}
    )


def test_lists_make_a_sweep_for_each_combination(file: Write) -> None:
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
    assert grid_points[0].settings.grid.methods == ("zero-shot",)
    last = grid_points[-1]
    assert last.varied == {"lr": 1e-4, "epochs": 2}
    assert last.settings.grid.methods == ("finetune", "finetune@0.5")
    assert last.settings.recipes == {"finetune": {"weight_decay": 0.0, "lr": 1e-4, "epochs": 2}}


def test_a_list_of_a_method_that_is_not_run_makes_no_grid_search(file: Write) -> None:
    asked = Asked({"methods": ("zero-shot",)}).over(config.read(file("methods: {finetune: {lr: [1, 2]}}")))
    (only,) = config.grid_points(asked, HERE, THERE)
    assert (only.name, only.settings) == ("", SweepSettings.of(HERE, THERE, methods=("zero-shot",)))
