"""The command `fewshot export`: its options, and what it prints."""

from pathlib import Path
from typing import Annotated, Any

from curate.foundation import console, shared_options
from curate.foundation.console import count, say
from curate.foundation.errors import UsageError
from curate.foundation.option_flags import command
from curate.foundation.options import option
from fewshot import flags


@command
def export(
    model: flags.Kept,
    *,
    onnx: Annotated[Path, option("File to make; a JSON that explains it is put beside it.")],
    int8: Annotated[
        bool, option("Quantise to int8: smaller and faster; what it loses is measured on --images.")
    ] = False,
    images: Annotated[
        Path | None, option("Photographs to measure int8 on: a collection, or a folder per class.")
    ] = None,
    json: shared_options.Json = False,
) -> None:
    """Write a model as an ONNX file, which needs neither torch nor fewpose: pixels in, probabilities out.

    Example: fewshot export models/yoga --onnx yoga.onnx

    Example: fewshot export models/yoga --onnx yoga8.onnx --int8 --images runs/yoga
    """
    if int8 and images is None:
        raise UsageError(
            "--int8 needs --images, a collection or a folder per class: what it loses is measured on photographs"
        )
    if images is not None and not int8:
        raise UsageError("--images is for --int8; in fp32 nothing is lost")
    from fewshot.exporting.names import json_path, require_images
    from fewshot.trained import ready

    ready.require(model)
    json_path(onnx)
    if images is not None:
        require_images(images)

    from fewshot.exporting import library
    from fewshot.exporting.export import export as write
    from fewshot.trained import directory

    library.onnx()  # raises, if a package is missing, before a model is loaded
    done = write(directory.load(ready.directory_of(model), "cpu"), onnx, images)
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
