"""`synth generate`: its options, and what it prints."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.foundation import console
from curate.foundation.errors import UsageError
from curate.workers import options
from curate.workers.settings import WorkerSettings

if TYPE_CHECKING:
    from synth.generate.run import Planned, Summary

_NAMED = 3  # files named on the terminal


class Format(StrEnum):
    PNG = "png"
    JPEG = "jpeg"


class Control(StrEnum):
    RENDERER = "renderer"
    KEYPOINTS = "keypoints"


def _size(text: str) -> tuple[int | None, int | None]:
    """Width and height of "512" or "768x512"; None for "". Raises UsageError."""
    if not text:
        return None, None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise UsageError(f"--size must be such as 512 or 768x512 (width x height), not {text!r}")
    return int(sides[0]), int(sides[-1])


def generate(
    collection: Annotated[Path, typer.Argument(help="The collection whose classes are shown.")],
    model: Annotated[
        str,
        typer.Option(help="A diffusers model (hub id or local directory); or mannequin or augment, which need none."),
    ],
    classes: Annotated[str, typer.Option(help="Labels, with commas between; all if empty.")] = "",
    per_class: Annotated[int, typer.Option(help="Images of each class, those that are there included.")] = 20,
    from_draw: Annotated[
        str, typer.Option(help="Make them from real images: of a draw such as split=0,shots=6, or pool: all.")
    ] = "",
    strength: Annotated[float, typer.Option(help="Of --from-draw: how far from the real image, up to 1.")] = 0.6,
    controlnet: Annotated[str, typer.Option(help="A ControlNet for skeletons (hub id or local directory).")] = "",
    controlnet_scale: Annotated[float, typer.Option(help="How much the skeleton counts.")] = 1.0,
    control: Annotated[
        Control, typer.Option(help="Whose skeletons: our renderer's, or of COLLECTION/keypoints.jsonl.")
    ] = Control.RENDERER,
    lora: Annotated[str, typer.Option(help="LoRA weights (.safetensors, hub id or directory).")] = "",
    lora_scale: Annotated[float, typer.Option(help="How much they count.")] = 1.0,
    ip_adapter: Annotated[str, typer.Option(help="An IP-Adapter; its image is the real one of --from-draw.")] = "",
    ip_adapter_scale: Annotated[float, typer.Option(help="How much that image counts.")] = 0.6,
    steps: Annotated[int | None, typer.Option(help="What suits the model unless said.", show_default=False)] = None,
    guidance: Annotated[
        float | None, typer.Option(help="What suits the model unless said.", show_default=False)
    ] = None,
    size: Annotated[str, typer.Option(help="512, or 768x512: the model's own unless said.", show_default=False)] = "",
    scheduler: Annotated[str, typer.Option(help="A class of diffusers; the model's own unless said.")] = "",
    negative: Annotated[
        str | None, typer.Option(help="The negative prompt; the grammar's unless said.", show_default=False)
    ] = None,
    grammar: Annotated[str, typer.Option(help="A file as data/synthetic_prompts.yaml.")] = "",
    seed: Annotated[int, typer.Option(help="Another seed, other images.")] = 0,
    format: Annotated[Format, typer.Option(help="Of the files.")] = Format.PNG,
    revision: Annotated[str, typer.Option(help="Commit, branch or tag of a hub id.")] = "",
    variant: Annotated[str, typer.Option(help="Of its files, such as fp16.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda (all cards), cuda:1, ...")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    batch: Annotated[
        int | None, typer.Option(help="Images at once; what fits unless said.", show_default=False)
    ] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Minutes at the beginning, faster afterwards.")] = False,
    workers: options.Workers = 0,
    engine: options.Engine = options.EngineName.AUTO,
    address: options.Address = "",
    gpu_share: options.GpuShare = 1.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and make nothing.")] = False,
) -> None:
    """Make synthetic images of a collection's classes, with a record of how each was made.

    Run again, it makes what is missing; nothing that is there is changed. Image 7 is the same alone, in any batch, and
    on any number of workers. The record is in the image table, in the file, and beside it as JSON. Synthetic images
    never enter a test set. A model is read from safetensors alone. With --engine ray the workers write into COLLECTION:
    it must be the same path on all machines.

    Example: synth generate runs/yoga --model stabilityai/sdxl-turbo --classes tree,plank --per-class 50

    Example: synth generate runs/yoga --model augment --from-draw split=0,shots=6
    """
    from synth.generate import run
    from synth.generate.making import Resources
    from synth.generate.plan import Wanted
    from synth.generate.settings import Settings

    width, height = _size(size)
    settings = Settings(
        model=model,
        revision=revision,
        variant=variant,
        controlnet=controlnet,
        controlnet_scale=controlnet_scale,
        control=control.value,
        lora=lora,
        lora_scale=lora_scale,
        ip_adapter=ip_adapter,
        ip_adapter_scale=ip_adapter_scale,
        strength=strength,
        steps=steps,
        guidance=guidance,
        width=width,
        height=height,
        scheduler=scheduler,
        grammar=grammar,
        negative=negative,
        format=format.value,
        seed=seed,
    )
    wanted = Wanted.parse(classes, per_class, from_draw)
    resources = Resources(device, dtype, batch, compile, WorkerSettings(engine, workers, address, gpu_share))
    if dry_run:
        _print_plan(run.foresee(collection, settings, wanted))
    else:
        summary = run.generate(collection, settings, wanted, resources)
        _print(summary, collection)
        if summary.lost:
            raise typer.Exit(1)


def _print_plan(plan: "Planned") -> None:
    console.say(f"{plan.root}: {console.count(len(plan.missing), 'image')} to make, of {len(plan.shots)}")
    missing = [shot.label for shot in plan.missing]
    labels = sorted({shot.label for shot in plan.shots})
    rows = ((label, sum(shot.label == label for shot in plan.shots), missing.count(label)) for label in labels)
    console.table(("class", "images", "to make"), rows, numbers=(1, 2))
    if plan.refused:
        console.say(f"refused by the safety checker before, and not made again: {len(plan.refused)}")
    for shot in [shot for shot in plan.shots if shot.prompt][:_NAMED]:
        console.say(f"  {shot.key}: {shot.prompt}")


def _print(summary: "Summary", collection: Path) -> None:
    made, there = sum(summary.made.values()), sum(summary.there.values())
    rate = f" in {summary.seconds:.0f} s ({made / summary.seconds:.2g} images/s, loading included)" if made else ""
    before = f"; {console.count(there, 'was', 'were')} there already" if there else ""
    console.say(f"{collection}: {console.count(made, 'image')} made{rate}{before}")
    labels = sorted({*summary.made, *summary.there, *summary.refused, *summary.refused_before})
    rows = (
        (
            x,
            summary.made.get(x, 0),
            summary.there.get(x, 0),
            summary.refused.get(x, 0) + summary.refused_before.get(x, 0),
        )
        for x in labels
    )
    console.table(("class", "made", "there before", "refused"), rows, numbers=(1, 2, 3))
    _print_troubles(summary, collection)
    console.say(f"next: synth accept {collection}")


def _print_troubles(summary: "Summary", collection: Path) -> None:
    refused = sum(summary.refused.values()) + sum(summary.refused_before.values())
    if refused:
        console.say(f"refused by the safety checker: {refused}; these are not made again")
    if summary.lost:
        such = f"such as {summary.lost[0]}; a smaller --batch or fewer --workers may do"
        console.say(f"took every worker along that made them: {console.count(len(summary.lost), 'image')}, {such}")
    for key in summary.in_the_way[:_NAMED]:
        console.say(f"another program put a file there meanwhile, which stays: {key}")
    rejects = summary.adopted.rejects
    for reject in rejects[:_NAMED]:
        console.say(f"not in the image table: {reject['key']}: {reject['cause']}: {reject['detail']}")
    if len(rejects) > _NAMED:
        console.say(f"  and {len(rejects) - _NAMED} more; see {collection / 'rejects.parquet'}")
