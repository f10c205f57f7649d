"""The command `fewshot train`: it parses, calls one function, and prints."""

from pathlib import Path
from typing import Annotated, Any

import typer

from curate.collection.splitting import Splitting
from curate.foundation import console
from curate.foundation.errors import UsageError
from curate.foundation.option_flags import Given, command
from curate.foundation.options import declared, option
from curate.foundation.text import command_line
from fewshot import flags
from fewshot.sweeping.settings import ClipChoice, Compute, Data, SweepSettings, Training
from fewshot.trained.settings import TrainSettings

# Options that a sweep has values of, but for its weights.
_OF_A_SWEEP = {"seed", *declared(Data, ClipChoice, Training, flags.Tuning)} - {"checkpoint"}


@command
def train(
    source: Annotated[
        Path,
        typer.Argument(help="A collection, or a sweep of one: then all is as it was measured.", show_default=False),
    ],
    given: Annotated[dict[str, Any], Given(TrainSettings, Data, ClipChoice, Training, flags.Tuning, Compute)],
    *,
    out: Annotated[Path, option("The model's directory.")],
    method: Annotated[
        str,
        option(
            "Method, one of fewshot sweep's; unless said linear-probe, or of a sweep the one that it ran if it ran one."
        ),
    ] = "",
    set_: Annotated[
        str,
        option("Training set: unfiltered, filtered, filtered+synthetic20, ...; unfiltered unless said.", flag="--set"),
    ] = "",
    seed: Annotated[int | None, option("Seed: another one, other draws.")] = None,
    json: Annotated[bool, option("Print model.json.")] = False,
) -> None:
    """Train the classifier to use: on all images, or on one draw of a sweep. Interrupted, the same command goes on.

    The directory loads without collection and FiftyOne, on any machine; its README.md says how good it is.

    Example: fewshot train runs/yoga --set filtered --method finetune --model ViT-B-32/openai --out models/yoga

    Example: fewshot train runs/sweep1 --method finetune --shots 20 --split 3 --out models/yoga20
    """
    from curate.collection.directory import Collection
    from fewshot.trained import place

    place.require_free(out)
    own = {name: given.pop(name) for name in declared(TrainSettings) if name in given}
    given |= {} if seed is None else {"seed": seed}
    if (source / "sweep.json").exists():
        whole, weights = _of_sweep(source, given)
        method = _one("--method", method, whole.grid.methods)
        set_ = _one("--set", set_, whole.grid.sets)
    else:
        Collection.open(source)
        whole, weights = SweepSettings.of(source, out), ""
        method, set_ = method or "linear-probe", set_ or "unfiltered"
        given["recipes"] = flags.of_methods([method], given)
    settings = whole.replaced(
        out=out,
        sets=(set_,),
        methods=(method,),
        shots=(own.get("shots") or 1,),
        splits=own.get("split", 0) + 1,
        **{name: value for name, value in given.items() if name not in declared(flags.Tuning)},
    )
    asked = TrainSettings(settings, weights=weights, **own)

    from fewshot.sweeping import plan

    plan.asked(settings)  # says what is wrong, before torch is loaded

    from fewshot.trained.train import train as run

    trained = run(asked)
    if json:
        console.say_json(trained.about.to_json(), sort_keys=True)
        return
    _say(trained, out)


def _of_sweep(sweep: Path, given: dict[str, Any]) -> tuple[SweepSettings, str]:
    """Its settings, and the digest of its image tower's weights. Raises UsageError for what it has said already."""
    from curate.sweeps.records import read_sweep
    from fewshot.trained.source import settings_of

    if twice := sorted(_OF_A_SWEEP & given.keys()):
        flag = declared(Splitting, Data, ClipChoice, Training, flags.Tuning)[twice[0]].flag
        raise UsageError(f"{flag}: the sweep decides that; to have it otherwise, train on its collection")
    return settings_of(sweep), read_sweep(sweep).settings["weights"]["image"]


def _one(option: str, asked: str, there: tuple[str, ...]) -> str:
    """What is asked for, or all that there is."""
    if asked and asked not in there:
        raise UsageError(f"{option} {asked}: the sweep has {', '.join(there)}; others are trained from its collection")
    if not asked and len(there) > 1:
        raise UsageError(f"say which to train, {option} {' or '.join(there)}")
    return asked or there[0]


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
    console.say(f"next: {command_line('fewshot', 'predict', out, 'PHOTO.jpg')}")
