"""The command `synth`: parses, calls one function, prints. Heavy imports happen inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

from curate.foundation import console
from curate.foundation.option_flags import command
from curate.foundation.options import option
from curate.workers.settings import WorkerSettings
from synth.accept.command import accept
from synth.generate.command import generate

commands = console.application(
    "Synthetic pictures of people: poses of yoga, everyday postures, or your own.\n\n"
    "Example: synth render pictures --poses tree,plank --per-class 20"
)

Poses = Annotated[str, option('Poses: "all" (of yoga), "everyday", or names with commas between (see `synth poses`).')]
PoseFile = Annotated[Path | None, option("File of your own poses, like data/everyday.yaml; --poses are among them.")]
Seed = Annotated[int, option("Seed: another one, other pictures.")]


def app() -> None:
    """Entry point of the console script."""
    console.run(commands)


@commands.command()
@command
def render(
    out: Annotated[Path, typer.Argument(help="Folder to fill; one folder a pose is made inside.")],
    *,
    poses: Poses = "all",
    pose_file: PoseFile = None,
    per_class: Annotated[int, option("Number of images of each pose.", ge=1)] = 60,
    size: Annotated[int, option("Width and height in pixels.")] = 256,
    seed: Seed = 0,
    workers: WorkerSettings,
    planted_defects: Annotated[bool, option("Plant known defects, and list them in OUT.planted-defects.csv.")] = False,
) -> None:
    """Draw images of poses with a renderer of our own; the same command goes on where it stopped.

    Keypoints are written beside the folder, to OUT.keypoints.jsonl.

    Example: synth render pictures --poses tree,plank,warrior_ii --per-class 60 --planted-defects

    Example: synth render pictures --poses everyday
    """
    from curate.body.poses import chosen
    from synth.rendering.folder import render_folder, sidecar
    from synth.rendering.planted_defects import listing

    shown = chosen(poses, pose_file)
    done = render_folder(out, shown, per_class, size=size, seed=seed, workers=workers, planted_defects=planted_defects)
    rate = f", {60 * done.rendered / done.seconds:.0f} a minute" if done.rendered else ""
    console.say(f"{out}: {done.rendered} images drawn{rate}; {done.present} were there already")
    console.say(f"keypoints: {sidecar(done.out)}")
    if done.planted:
        kinds = [plant.kind for plant in done.planted]
        counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        console.say(f"defects planted: {counted}; listed in {listing(done.out)}")


@commands.command()
@command
def poses(pose_file: PoseFile = None) -> None:
    """List the poses that can be drawn, and what Yoga-82 calls them.

    Example: synth poses
    """
    from rich.table import Column, Table

    from curate.body.poses import EVERYDAY, everyday, load, shipped

    table = Table("pose", Column("folder in Yoga-82", overflow="fold"), box=None)
    for pose in (load(pose_file) if pose_file else shipped()).values():
        table.add_row(*console.texts((pose.name, pose.yoga82 or "none")))
    for pose in () if pose_file else everyday().values():
        table.add_row(pose.name, f"none; --poses {EVERYDAY}")
    console.show(table)


@commands.command()
@command
def sheet(
    out: Annotated[Path, typer.Argument(help="The PNG file to write.")],
    *,
    poses: Poses = "all",
    pose_file: PoseFile = None,
    columns: Annotated[int, option("Number of images of each pose.", ge=1)] = 6,
    size: Annotated[int, option("Width and height of each image in pixels.")] = 160,
    seed: Seed = 0,
    workers: WorkerSettings,
) -> None:
    """Write a contact sheet: each pose a row, several images of it side by side.

    Example: synth sheet sheet.png --poses tree,plank --columns 8
    """
    from curate.body.poses import chosen
    from synth.rendering.sheet import sheet as write_sheet

    width, height = write_sheet(out, chosen(poses, pose_file), columns, size=size, seed=seed, workers=workers)
    console.say(f"{out}: {width} x {height} pixels")


commands.command()(command(generate))
commands.command()(command(accept))
