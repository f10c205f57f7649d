"""The command `fewshot train`: it parses, calls one function, and prints."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.foundation import console
from curate.foundation.errors import UsageError
from fewshot import flags

if TYPE_CHECKING:
    from fewshot.sweeping.settings import SweepSettings

# Options that a sweep has values of.
_OF_A_SWEEP = {
    *("model", "fit", "classes", "short", "prompt", "descriptions", "seed", "recipe", "lr", "epochs", "batch_size"),
    *("image_only", "augment", "class_weights"),
}


def train(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="a collection, or a sweep of one: then all is as it was measured")],
    out: Annotated[Path, typer.Option(help="the model's directory")],
    method: Annotated[
        str, typer.Option(help="any of fewshot sweep's; of a sweep, the one that it ran if it ran one")
    ] = "",
    set_: Annotated[str, typer.Option("--set", help="unfiltered, filtered, filtered+synthetic20, ...")] = "",
    shots: Annotated[int, typer.Option(help="images a class, drawn for --split; 0: all that there are")] = 0,
    split: Annotated[int, typer.Option(help="number of the split, with --shots")] = 0,
    folds: Annotated[
        int,
        typer.Option(help="parts held back in turn, to calibrate and to measure by; 0: none, which is faster"),
    ] = 5,
    unknown: Annotated[
        float, typer.Option(help="share of held-back images that may be called none of the classes; 0: never")
    ] = 0.05,
    model: flags.Model = "lite0",
    checkpoint: flags.Checkpoint = None,
    device: flags.Device = "auto",
    fit: flags.Fit = "crop",
    classes: flags.Classes = "",
    short: flags.Short = "error",
    prompt: flags.Prompt = None,
    descriptions: flags.Descriptions = None,
    seed: Annotated[int, typer.Option(help="another seed, other draws")] = 0,
    recipe: flags.Recipe = "",
    lr: flags.Rate = None,
    epochs: flags.Epochs = None,
    batch_size: flags.BatchSize = None,
    image_only: flags.ImageOnly = False,
    augment: flags.Augment = "",
    class_weights: flags.ClassWeights = "none",
    deterministic: flags.Deterministic = False,
    json: Annotated[bool, typer.Option("--json", help="print model.json")] = False,
) -> None:
    """Train the classifier to use: on all images, or on one draw of a sweep. Interrupted, the same command goes on.

    The directory loads without collection and FiftyOne, on any machine; its README.md says how good it is.

    Example: fewshot train runs/yoga --set filtered --method finetune --model ViT-B-32/openai --out models/yoga

    Example: fewshot train runs/sweep1 --method finetune --shots 20 --split 3 --out models/yoga20
    """
    from fewshot.trained.train import TrainSettings
    from fewshot.trained.train import train as run

    given = {name: value for name, value in context.params.items() if flags.given(context, name)}
    weights = ""
    if (source / "sweep.json").exists():
        from curate.sweeps.records import read_sweep

        if twice := sorted(_OF_A_SWEEP & given.keys()):
            raise UsageError(
                f"--{twice[0].replace('_', '-')}: the sweep decides that; to have it otherwise, train on its collection"
            )
        settings, weights = _of_sweep(source, context.params), read_sweep(source).settings["weights"]["image"]
    else:
        settings = _of_collection(source, context.params)
    trained = run(TrainSettings(settings, shots, split, folds, unknown, weights))
    if json:
        import json as writer

        typer.echo(writer.dumps(trained.about.to_json(), indent=1, sort_keys=True, ensure_ascii=False))
        return
    _say(trained, out)


def _of_sweep(sweep: Path, asked: Mapping[str, Any]) -> "SweepSettings":
    from dataclasses import replace

    from fewshot.trained.source import settings_of

    settings = settings_of(sweep)
    return replace(
        settings,
        **_grid(
            asked, _one("--method", asked["method"], settings.methods), _one("--set", asked["set_"], settings.sets)
        ),
    )


def _one(option: str, asked: str, there: tuple[str, ...]) -> str:
    """What is asked for, or all that there is."""
    if asked and asked not in there:
        raise UsageError(f"{option} {asked}: the sweep has {', '.join(there)}; others are trained from its collection")
    if not asked and len(there) > 1:
        raise UsageError(f"say which to train, {option} {' or '.join(there)}")
    return asked or there[0]


def _of_collection(collection: Path, asked: Mapping[str, Any]) -> "SweepSettings":
    from curate.collection.splits import Splitting
    from fewshot.sweeping.prompts import read_descriptions
    from fewshot.sweeping.settings import SweepSettings

    method = asked["method"] or "linear-probe"
    return SweepSettings(
        collection,
        **_grid(asked, method, asked["set_"] or "unfiltered"),
        splitting=Splitting(seed=asked["seed"]),
        classes=tuple(name.strip() for name in asked["classes"].split(",") if name.strip()),
        prompts=tuple(asked["prompt"] or ()),
        descriptions=read_descriptions(asked["descriptions"]) if asked["descriptions"] else {},
        recipes=flags.of_methods([method], asked),
        **{name: asked[name] for name in ("short", "model", "fit", "recipe", "augment", "class_weights")},
    )


def _grid(asked: Mapping[str, Any], method: str, set_: str) -> dict[str, Any]:
    """A grid of one cell, and where and how it is run."""
    return {
        "out": asked["out"],
        "sets": (set_,),
        "methods": (method,),
        "shots": (asked["shots"] or 1,),
        "splits": asked["split"] + 1,
        "checkpoint": asked["checkpoint"],
        "device": asked["device"],
        "deterministic": asked["deterministic"],
    }


def _say(trained: Any, out: Path) -> None:
    about = trained.about
    if trained.found:
        console.say(f"{out} was there already, and is what would be trained")
    images = about.trained_on["images"]
    console.say(f"{out}: {about.method} of {about.model}, {len(about.classes)} classes, {images} training images")
    for name, words in (("test", "on the split's test images"), ("held_back", "on images held back in turn")):
        if found := about.measured.get(name):
            low, high = (100 * each for each in found["interval"])
            console.say(f"accuracy {words}: {100 * found['accuracy']:.1f} % [{low:.1f}, {high:.1f}], {found['images']}")
    if about.threshold:
        console.say(f"below a probability of {about.threshold:.3g} it answers: none of these")
    console.say(f"next: fewshot predict {out} PHOTO.jpg")
