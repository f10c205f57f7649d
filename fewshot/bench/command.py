"""The command `fewshot bench`: its options, and what it prints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from curate.foundation import console, shared_options
from curate.foundation.console import count, say, table
from curate.foundation.errors import UsageError
from curate.foundation.option_flags import command
from curate.foundation.options import Positive, option
from fewshot import flags

if TYPE_CHECKING:
    from fewshot.bench.latency import Timing

_BUSY = 0.5  # a load


@command
def bench(
    model: flags.Kept,
    *,
    batch: Annotated[
        tuple[Positive, ...],
        option("Numbers of images at a time; several make several rows.", such_as="1,8,32", min_length=1),
    ] = (1, 8, 32),
    threads: Annotated[int | None, option("Number of threads; torch's own choice if left out.", ge=1)] = None,
    seconds: Annotated[float, option("Seconds for each row; 20 calls at least.", gt=0)] = 3.0,
    image: Annotated[
        Path | None, option("Photograph to look at, with a person in it for the body; one is drawn if left out.")
    ] = None,
    device: shared_options.Device = "auto",
    json: shared_options.Json = False,
) -> None:
    """Measure how long a model takes: from pixels and from a file, one by one and in batches, torch and onnxruntime.

    Of a model that looks at the body its parts are measured, too: decoding, finding people, features, trees, and the
    image tower.

    Example: fewshot bench models/yoga

    Example: fewshot bench models/yoga --batch 1,64 --threads 1 --image photo.jpg
    """
    from dataclasses import asdict

    from fewshot.trained import ready

    ready.require(model)
    if image is not None and not image.is_file():
        raise UsageError(f"--image {image}: no such file")

    from fewshot.bench import body, latency
    from fewshot.trained import directory

    loaded = directory.load(ready.directory_of(model), device)
    measured = body.bench if loaded.needs_joints else latency.bench
    done = measured(loaded, batches=batch, threads=threads, seconds=seconds, photograph=image)
    if json:
        console.say_json(asdict(done))
        return
    shares = any(each.limit_share for each in done.timings)
    parts = any(each.part for each in done.timings)
    headings = ("images", "p50 ms", "p95 ms", "p99 ms", "images/s", *(["of matmul"] if shares else []))
    before = ("with", *(["what"] if parts else []), "from")
    rows = [_row(each, parts, shares) for each in done.timings]
    table((*before, *headings), rows, numbers=range(len(before), len(before) + len(headings)))
    fewest = min(each.calls for each in done.timings)
    say(f"{done.device}, {count(done.threads, 'thread')}; {fewest} calls a row or more")
    if done.load > _BUSY:
        say(f"other work wanted CPUs (a load of {done.load:.1f} before it began): measure again when there is none")
    if done.without:
        say(f"without onnxruntime: {done.without}")


def _row(timing: "Timing", parts: bool, shares: bool) -> tuple[object, ...]:
    return (
        f"{timing.engine} {timing.precision}".strip(),
        *([timing.part] if parts else []),
        timing.begins_with,
        timing.batch,
        f"{timing.p50:.2f}",
        f"{timing.p95:.2f}",
        "–" if timing.p99 is None else f"{timing.p99:.2f}",
        f"{timing.images_per_second:.0f}",
        *([f"{timing.limit_share:.0%}" if timing.limit_share else ""] if shares else []),
    )
