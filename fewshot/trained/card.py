"""The model card: what a person should know of a model before she uses it, in Markdown, from model.json alone."""

from collections.abc import Iterator
from typing import Any

from curate.foundation.markdown import code, escape
from curate.foundation.text import command_line
from fewshot.reporting.elements.wording import counted
from fewshot.trained.about import About

_BY_CLASS = ("held_back", "test", "photographs")  # entries of About.measured, the first that is there


def text(about: About, name: str, size: int) -> str:
    """`name`: the model's directory; `size`: of its weights, in bytes."""
    made = (
        f"by `fewshot train` from {code(about.model)} with {code(about.method)}"
        if about.model
        else "of joint angles alone, without any photograph (docs/pose.md)"
    )
    parts = [
        f"# {escape(name)}",
        f"Tells {len(about.classes)} classes of human postures apart. Made {made}; {size / 1e6:.0f} MB of weights.",
        "## Use",
        "From the folder that it lies in:" if about.model else "From anywhere:",
        "\n".join(["```", *(command_line("fewshot", *words) for words in _uses(name, about)), "```"]),
        "## How good it is",
        *_how_good(about),
        "## What it learned from",
        _learned_from(about),
        _classes(about),
        "## What it can't do",
        _limits(about),
        "## To make it again",
        _again(about),
    ]
    return "\n\n".join(parts) + "\n"


def _uses(name: str, about: About) -> list[tuple[str, ...]]:
    exported = ("--folder", f"{name}-exported") if about.keypoints else ("--onnx", f"{name}.onnx")
    return [
        ("predict", name, "PHOTO.jpg", "FOLDER/", "VIDEO.mp4"),
        ("explain", name, "PHOTO.jpg", "--out", "explained"),
        ("export", name, *exported),
    ]


def _how_good(about: About) -> list[str]:
    sentences = []
    if test := about.measured.get("test"):
        sentences.append(
            f"On the {counted(test['images'], 'test image')} of split {about.trained_on['split']}, which it has never "
            f"seen: {_accuracy(test)}."
        )
    if found := about.measured.get("photographs"):
        sentences.append(
            f"On {counted(found['images'], 'skeleton')} that an estimator found in {found['of']}: accuracy "
            f"{100 * found['accuracy']:.1f} %; the right one is among the five likeliest of "
            f"{100 * found['top5']:.1f} %. By class: the table below."
        )
    if held := about.measured.get("held_back"):
        sentences.append(
            f"In {held['folds']} folds of its own training images, each looked at by a classifier that was trained "
            f"without it ({counted(held['images'], 'image')}): {_accuracy(held)}. The model itself learned from all of "
            "them, so it should be no worse on new images of the same kind."
        )
        sentences.append(
            f"Probabilities are calibrated on these (temperature {about.temperature:g}): they are off by "
            f"{100 * held['calibration_error']:.1f} points on average. {_unknown(about, held)}"
        )
    if not sentences:
        sentences.append("Not measured: nothing was held back while it was trained.")
    return sentences


def _accuracy(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"accuracy {100 * found['accuracy']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _unknown(about: About, held: dict[str, Any]) -> str:
    if not about.threshold:
        return "It always answers with one of its classes."
    return (
        f"Below a probability of {about.threshold:.3g} it answers `none of these`: so it does for "
        f"{100 * (1 - held['answered']):.1f} % of these images, which do show one of its classes."
    )


def _learned_from(about: About) -> str:
    source = about.trained_on
    if not about.model:
        return "No image: skeletons, projected from the joint angles of `data/poses.yaml` over views and bodies."
    if not source["images"]:
        return "No image: it compares images with the words of the classes."
    images = counted(source["images"], "image")
    where = f"the set {code(source['set'])} (digest {source['set_digest']}) of {code(source['collection'])}"
    if source["shots"]:
        return f"{images}: {source['shots']} a class, drawn for split {source['split']} of {where}."
    return f"{images}: all of {where}."


def _classes(about: About) -> str:
    measured: dict[str, Any] = next((about.measured[name] for name in _BY_CLASS if name in about.measured), {})
    held = measured.get("classes", {})
    lines = ["| class | its words | training images | recognised |", "|---|---|---|---|"]
    for name, texts in zip(about.classes, about.texts, strict=True):
        found = held.get(name)
        share = f"{found['right']} of {found['images']}" if found and found["images"] else "–"
        images = about.trained_on["classes"].get(name, 0)
        lines.append(f"| {escape(name)} | {escape(texts[0]) if texts else ''} | {images} | {share} |")
    return "\n".join(lines)


def _limits(about: About) -> str:
    return (
        "It names one posture of one picture. It knows only what its training images showed: other people, clothes, "
        "viewpoints and drawings may be told worse than the numbers above, and it does not say whether a posture is "
        f"done well or safely. {' '.join(_sees(about))}"
    )


def _sees(about: About) -> Iterator[str]:
    if about.keypoints:
        yield (
            "It looks at the joints of the surest person in a picture, found by "
            f"{escape(about.keypoints['estimator'])}: where nobody is found, or somebody else, it knows nothing."
        )
    if about.model:
        yield (
            f"It sees a square of {about.transform.size} pixels "
            f"({'the middle' if about.transform.fit == 'crop' else 'the whole'} of the picture). The licence of what "
            f"it began with, {escape(about.model)}, and the rights in the training images hold for it, too."
        )


def _again(about: About) -> str:
    settings = ", ".join(f"{key} = {value}" for key, value in sorted(about.settings.items())) or "its defaults"
    chosen = ", ".join(f"{key} = {value}" for key, value in sorted(about.chosen.items()))
    versions = ", ".join(f"{key} {value}" for key, value in sorted(about.versions.items()))
    lines = [
        f"- {code(about.method)}: {escape(settings)}" + (f"; chosen in training: {escape(chosen)}" if chosen else ""),
        *([f"- began with {code(about.model)}, image weights {escape(about.starting_weights)}"] if about.model else []),
        f"- {escape(versions)}",
        "- all of it, for programs: `model.json`",
    ]
    return "\n".join(lines)
