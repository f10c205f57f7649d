"""The command `fewshot export`: its options, and what it prints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from curate.foundation import console, shared_options
from curate.foundation.console import count, say
from curate.foundation.errors import UsageError
from curate.foundation.option_flags import command
from curate.foundation.options import option
from curate.foundation.text import command_line
from fewshot import flags

if TYPE_CHECKING:
    from fewshot.trained.model import TrainedModel


@command
def export(
    model: flags.Kept,
    *,
    onnx: Annotated[
        Path | None, option("File to make, of a model of images; a JSON that explains it is put beside it.")
    ] = None,
    folder: Annotated[
        Path | None, option("Folder to make, of any model: its parts, and a program that asks them (classify.py).")
    ] = None,
    int8: Annotated[
        bool, option("Quantise to int8: smaller and faster; what it loses is measured on --images.")
    ] = False,
    images: Annotated[
        Path | None, option("Photographs to measure int8 on: a collection, or a folder per class.")
    ] = None,
    json: shared_options.Json = False,
) -> None:
    """Write a model for use without torch and fewpose: as an ONNX file, pixels in, probabilities out; or as a folder.

    A model that looks at the body takes a folder: ONNX files, those of the estimator, and classify.py, which needs
    LiteRT, onnxruntime, numpy and Pillow alone.

    Example: fewshot export models/yoga --onnx yoga.onnx

    Example: fewshot export models/yoga --onnx yoga8.onnx --int8 --images runs/yoga

    Example: fewshot export models/poses --folder poses
    """
    _check(onnx, folder, int8, images)
    from fewshot.exporting.names import json_path, require_free, require_images
    from fewshot.trained import ready

    ready.require(model)
    if onnx is not None:
        json_path(onnx)
    if folder is not None:
        require_free(folder)
    if images is not None:
        require_images(images)

    from fewshot.exporting import library
    from fewshot.trained import directory

    library.onnx()  # raises, if a package is missing, before a model is loaded
    loaded = directory.load(ready.directory_of(model), "cpu")
    if folder is not None:
        _folder(loaded, folder, json)
    if onnx is not None:
        _onnx(loaded, onnx, images, json)


def _check(onnx: Path | None, folder: Path | None, int8: bool, images: Path | None) -> None:
    """Raises UsageError for options that do not go together."""
    if (onnx is None) == (folder is None):
        raise UsageError("say --onnx FILE.onnx or --folder FOLDER, what to make; a model of the body takes a folder")
    if int8 and folder is not None:
        raise UsageError("--int8 is for --onnx, the file of a model that looks at images alone; a folder is in fp32")
    if int8 and images is None:
        raise UsageError(
            "--int8 needs --images, a collection or a folder per class: what it loses is measured on photographs"
        )
    if images is not None and not int8:
        raise UsageError("--images is for --int8; in fp32 nothing is lost")


def _folder(model: "TrainedModel", out: Path, json: bool) -> None:
    from fewshot.exporting.folder import PROGRAM
    from fewshot.exporting.folder import export as write

    about = write(model, out).about
    if json:
        console.say_json(about)
        return
    size = sum(file["bytes"] for file in about["files"].values()) / 1e6
    classes = count(len(about["classes"]), "class", "classes")
    say(f"{out}: {size:.1f} MB, {classes}, fp32; how to use it: {out / 'README.md'}")
    largest = max(about["parity"]["largest"].values())
    say(f"in onnxruntime, what its parts say differs from here by {largest:.1e} at most")
    say(f"try it: {command_line('python', out / PROGRAM, 'PHOTO.jpg')}")


def _onnx(model: "TrainedModel", out: Path, images: Path | None, json: bool) -> None:
    from fewshot.exporting.export import export as write

    done = write(model, out, images)
    if json:
        console.say_json(done.about)
        return
    about = done.about
    size, classes = about["onnx"]["bytes"] / 1e6, count(len(about["classes"]), "class", "classes")
    say(f"{done.onnx}: {size:.1f} MB, {classes}, {about['precision']}; how to use it: {done.json}")
    largest = about["parity"]["largest_difference"]
    say(f"in fp32, onnxruntime's probabilities differ from torch's by {largest:.1e} at most")
    if "int8" in about:
        _say_int8(about["int8"])


def _say_int8(found: dict[str, Any]) -> None:
    loss, calibrated = found["loss"], found["calibration_images"]
    by = f", calibrated on {count(calibrated, 'image')}" if calibrated else ""
    say(f"int8 ({found['method']}{by}): {found['bytes_fp32'] / 1e6:.1f} MB become {found['bytes_int8'] / 1e6:.1f}")
    fp32, int8, *change = (100 * loss[name] for name in ("accuracy_fp32", "accuracy_int8", "difference", "low", "high"))
    say(
        f"on {count(loss['images'], 'other image' if calibrated else 'image')}: accuracy {fp32:.1f} % in fp32, "
        f"{int8:.1f} % in int8: {change[0]:+.1f} points [{change[1]:+.1f}, {change[2]:+.1f}]; "
        f"{100 * loss['agreement']:.1f} % get the same answer"
    )
    if found["of_its_training"]:
        say("  it was trained on images of this collection: new ones are recognised less well, and int8 may lose more")
    if found["left_out"]:
        say("left out: " + ", ".join(f"{number} {cause}" for cause, number in found["left_out"].items()))
