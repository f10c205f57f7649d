"""One declaration: the flag, the key, the default, the help, the check and its sentence come from it."""

import dataclasses
import pickle
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import AfterValidator, Field
from typer.testing import CliRunner

from curate.foundation import yaml_files
from curate.foundation.errors import UsageError
from curate.foundation.option_files import from_yaml, template
from curate.foundation.option_flags import Given, command
from curate.foundation.options import Positive, declared, option, settings


@settings
class Painting:
    """How pictures are painted.

    This stands in no template.
    """

    model: Annotated[str, option("Name of the model.")]
    width: Annotated[int | None, option("Width in pixels.", ge=8, multiple_of=8)] = None
    share: Annotated[float, option("Share of a card.", gt=0, le=1, such_as="0.5")] = 0.25
    format: Annotated[Literal["png", "jpeg"], option("Format of the files.")] = "png"
    shots: Annotated[tuple[Positive, ...], option("Images of each class.", such_as="43,20,6")] = (43, 20)
    classes: Annotated[tuple[str, ...], option("Labels, all if empty.")] = ()
    prompts: Annotated[tuple[str, ...], option("A sentence.", flag="--prompt", repeated=True)] = ()
    weights: Annotated[Path | None, option("A file of weights.")] = None
    exact: Annotated[bool, option("The same bits each time.")] = False
    browser: Annotated[bool, option("Open a browser.", flag="--browser/--no-browser")] = True
    derived: int = 3

    def __post_init__(self) -> None:
        if self.exact and self.share < 0.1:
            raise UsageError("--exact needs --share 0.1 at least")


app = typer.Typer(rich_markup_mode=None)
seen: list[object] = []


@app.command()
@command
def paint(out: Annotated[Path, typer.Argument(help="Where.")], painting: Painting, dry: bool = False) -> None:
    """Paint."""
    seen.append((out, painting, dry))


@app.command()
@command
def tell(given: Annotated[dict[str, Any], Given(Painting)]) -> None:
    """Tell what was given."""
    seen.append(given)


def run(*words: str) -> Any:
    seen.clear()
    done = CliRunner().invoke(app, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert not done.exit_code, done.output
    return seen[0]


def file(text: str) -> dict[str, Any]:
    entry = yaml_files.parse(text, "a.yaml")
    assert entry is not None
    return from_yaml(entry, Painting)


def test_flags_make_the_object() -> None:
    assert run("paint", "x", "--model", "m") == (Path("x"), Painting("m"), False)
    words = "--width 16 --share 1e-1 --format jpeg --shots 6,3,6 --classes tree,a_b --prompt a,b --prompt c --exact"
    words += " --weights w.pt --no-browser --dry"
    made = Painting(
        "m", 16, 0.1, "jpeg", (6, 3), ("tree", "a_b"), ("a,b", "c"), weights=Path("w.pt"), exact=True, browser=False
    )
    assert run("paint", "x", "--model", "m", *words.split()) == (Path("x"), made, True)


def test_a_command_may_ask_for_what_was_given_alone() -> None:
    assert run("tell", "--model", "m", "--width", "1.6e1", "--no-browser") == {
        "model": "m",
        "width": 16,
        "browser": False,
    }


def test_help_has_each_sentence_with_its_default() -> None:
    text = " ".join(CliRunner().invoke(app, ["paint", "--help"]).output.split())
    assert "--model <str> Name of the model. [required]" in text
    assert "--width <int> Width in pixels. --share <float> Share of a card. [default: 0.25]" in text
    assert "--format <png|jpeg> Format of the files. [default: png]" in text
    assert "--shots <int,...> Images of each class. [default: 43,20]" in text
    assert "--exact The same bits each time. --browser / --no-browser Open a browser." in text
    assert "derived" not in text


def test_the_template_has_every_key_with_its_default_and_sentence() -> None:
    written = file(template(Painting).replace("model: null", "model: m"))
    assert list(written) == [name for name in declared(Painting) if name not in ("width", "weights")]
    assert Painting(**written) == Painting("m")
    assert template(Painting).startswith("# How pictures are painted.\nmodel: ")
    assert "share: 0.25                     # Share of a card.\n" in template(Painting)


def test_yaml_reads_words_as_they_are_written() -> None:
    text = "{model: no, width: 1.6e1, share: 1e-1, shots: [6, 3e0], classes: [7, on, 007], exact: yes, weights: ~}"
    assert file(text) == {
        "model": "no",
        "width": 16,
        "share": 0.1,
        "shots": (6, 3),
        "classes": ("7", "on", "007"),
        "exact": True,
    }
    assert file("{shots: '6, 3', classes: 7, prompts: 'a, b'}") == {
        "shots": (6, 3),
        "classes": ("7",),
        "prompts": ("a, b",),
    }


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("width", "12", "must be a whole number, at least 8 and a multiple of 8, not '12'"),
        ("width", "2.5", "must be a whole number, at least 8 and a multiple of 8, not '2.5'"),
        ("width", "true", "must be a whole number, at least 8 and a multiple of 8, not 'true'"),
        ("share", "2", "must be a number, above 0 and at most 1, such as 0.5, not '2'"),
        ("share", "nan", "must be a number, above 0 and at most 1, such as 0.5, not 'nan'"),
        ("format", "gif", "must be png or jpeg, not 'gif'"),
        ("shots", "6,many", "must be whole numbers, at least 1, such as 43,20,6, not 'many'"),
        ("shots", "0", "must be whole numbers, at least 1, such as 43,20,6, not '0'"),
    ],
)
def test_flag_and_key_go_through_the_same_check(name: str, value: str, sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        run("paint", "x", "--model", "m", f"--{name}", value)
    assert str(error.value) == f"--{name} {sentence}"
    with pytest.raises(UsageError) as error:
        file(f"model: m\n{name}: {value}\n")
    assert str(error.value) == f"a.yaml, line 2: {name} {sentence}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: [lite0]", "model must be text, not ['lite0']"),
        ("classes: {a: b}", "classes must be names, not {'a': 'b'}"),
        ("classes: [[a]]", "classes must be names, not ['a']"),
        ("exact: 1", "exact must be true or false, not '1'"),
        ("exact: [yes]", "exact must be true or false, not ['yes']"),
        ("modell: m", "there is no key 'modell' (is it model?); there are model, width, share, "),
        ("derived: 3", "there is no key 'derived'"),
        ("- model", "the file should hold lines of NAME: VALUE, not ['model']"),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        file(text)
    assert str(error.value).startswith(f"a.yaml, line 1: {sentence}")


def test_python_is_checked_too_and_names_the_flag() -> None:
    with pytest.raises(UsageError, match=r"^--share must be a number, above 0 and at most 1, such as 0.5, not 2$"):
        Painting("m", share=2)
    with pytest.raises(UsageError, match=r"^--width must be .* not 4$"):
        Painting("m", 4)
    with pytest.raises(UsageError, match="--exact needs --share"):
        dataclasses.replace(Painting("m", exact=True), share=0.01)
    with pytest.raises(TypeError, match=r"Painting\(\): colour: unexpected keyword argument"):
        Painting("m", colour=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Painting\(\): model"):
        Painting()  # type: ignore[call-arg]


def test_a_check_of_its_own_says_its_own_sentence() -> None:
    def lower(text: str) -> str:
        if text != text.lower():
            raise ValueError("must be in small letters")
        return text

    @settings
    class Named:
        """Named."""

        name: Annotated[str, AfterValidator(lower), option("A name.")] = ""
        count: Annotated[int, Field(ge=1)] = 1  # no option

    with pytest.raises(UsageError, match=r"^--name must be in small letters, not 'Tree'$"):
        Named("Tree")
    assert list(declared(Named)) == ["name"]


def test_settings_are_dataclasses_that_travel() -> None:
    made = Painting("m", shots=(1,))
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301
    assert dataclasses.asdict(made)["shots"] == (1,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.model = "n"  # type: ignore[misc]
