"""Claim: counting what a file would cost its decoder, before it is decoded, costs less than 2 % of the cheapest
decoding that there is (a thumbnail's, of a JPEG at a fraction of its size), and refuses no photograph at hand.

The photographs are decoded with the count and without it, sixteen at a time, in one process; what is compared is the
CPU time of the one thread, over all photographs, in each of several rounds. The count alone is timed as well, and the
claim is about it: the difference of two long times says little of a short one on a machine that does other things.

    python -m benchmarks.decode_guard            photos18 and photos5_noisy
    python -m benchmarks.decode_guard --quick    every eighth photograph, two rounds
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from unittest import mock

from benchmarks.common import PHOTOS, conclude, spread
from curate.images import decoding
from curate.images.decoding import Unreadable, open_image, sniff
from curate.images.work import TooMuchWork, check_work

MOST = 0.02
DRAFT = (128, 128)  # as signatures ask for it
T = TypeVar("T")
AT_ONCE = 16  # images, for reading the clock takes as long as counting


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    step, rounds = (8, 2) if options.quick else (1, 5)
    runs = [measure(name, step, rounds) for name in ("photos18", "photos5_noisy")]
    failures = [f"{run['photographs']}: refuses {', '.join(run['refused'][:5])}" for run in runs if run["refused"]]
    failures += [f"{run['photographs']}: {_percent(run)}" for run in runs if run["share"]["median"] >= MOST]
    figure = "the count's share of decoding: " + ", ".join(f"{run['photographs']} {_percent(run)}" for run in runs)
    return conclude("decode_guard", __doc__, {"runs": runs}, figure=figure, failures=failures, quick=options.quick)


def _percent(run: dict[str, Any]) -> str:
    return f"{100 * run['share']['median']:.2f} %"


def measure(name: str, step: int, rounds: int) -> dict[str, Any]:
    files = sorted(path for path in (PHOTOS / name).rglob("*") if path.is_file())[::step]
    contents = {path: path.read_bytes() for path in files}
    readable = {path: each for path, each in contents.items() if _decodes(each)}
    times = [one_round(list(readable.values())) for _ in range(rounds)]
    refused = [path.relative_to(PHOTOS).as_posix() for path, each in contents.items() if _refused(each)]
    each_image = {side: 1000 * min(each[side] for each in times) / len(readable) for side in times[0]}
    ratio = spread([each["with"] / each["without"] for each in times])
    print(
        f"{name}, {len(readable)} images: {each_image['without']:.2f} ms each, the count {each_image['count']:.4f} ms; "
        f"with over without {ratio['min']:.3f} to {ratio['max']:.3f}, {len(refused)} refused",
        flush=True,
    )
    return {
        "photographs": name,
        "images": len(readable),
        "refused": refused,
        "share": spread([each["count"] / each["without"] for each in times]),
        "with_over_without": ratio,
        "milliseconds_an_image": each_image,
    }


def one_round(contents: list[bytes]) -> dict[str, float]:
    """Seconds of CPU by side, over all images; which side comes first changes from part to part."""
    seconds = {"with": 0.0, "without": 0.0, "count": 0.0}
    for number, part in enumerate(contents[start : start + AT_ONCE] for start in range(0, len(contents), AT_ONCE)):
        for side in ("with", "without") if number % 2 else ("without", "with"):
            with mock.patch.object(decoding, "check_work", check_work if side == "with" else _nothing):
                seconds[side] += _cpu(part, _decode)
        forms = [(content, sniff(content) or "") for content in part]
        seconds["count"] += _cpu(forms, lambda each: check_work(*each))
    return seconds


def _nothing(content: bytes, form: str) -> None:
    """In place of the count."""


def _decode(content: bytes) -> None:
    open_image(content, draft=DRAFT, grey=True)


def _cpu(things: Sequence[T], work: Callable[[T], object]) -> float:
    begun = time.thread_time()
    for each in things:
        work(each)
    return time.thread_time() - begun


def _decodes(content: bytes) -> bool:
    try:
        _decode(content)
    except Unreadable:
        return False
    return True


def _refused(content: bytes) -> bool:
    try:
        check_work(content, sniff(content) or "")
    except TooMuchWork:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
