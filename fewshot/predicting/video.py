"""Videos: some frames of each second, and answers that are smoothed over time.

Decoded by OpenCV (with its own FFmpeg, LGPL), from a local file that begins as a video does: playlists and scripts, by
which FFmpeg would open other files and addresses, are none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from curate.foundation.errors import FewposeError
from curate.images.decoding import DEFAULT_LIMITS, Cause, Unreadable, check_pixels
from fewshot.predicting.answers import Answer

_HEAD = 16  # bytes that tell


@dataclass(frozen=True)
class Frame:
    time: float  # seconds from the beginning
    image: Image.Image  # upright RGB


@dataclass(frozen=True)
class Segment:
    """A stretch of a video with one answer, None being none of these; in seconds. `probability`: its frames' mean."""

    begin: float
    end: float
    label: str | None
    probability: float


def frames(path: Path, rate: float) -> Iterator[Frame]:
    """`rate` frames of each second, in order. Raises Unreadable where the file is no video or can't be decoded."""
    if not _is_video(path):
        raise Unreadable(Cause.NOT_AN_IMAGE, "neither a picture nor a video (mp4, mov, mkv, webm, avi, mpeg)")
    cv2 = _opencv()
    video = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    try:
        size = (int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        if not video.isOpened() or min(size) < 1:
            raise Unreadable(Cause.DAMAGED, "the video can't be decoded")
        check_pixels(*size, DEFAULT_LIMITS)
        yield from _chosen(video, rate)
    finally:
        video.release()


def _chosen(video: Any, rate: float) -> Iterator[Frame]:
    """The first frame at or after each point in time that is asked for."""
    cv2 = _opencv()
    usual = 1 / (video.get(cv2.CAP_PROP_FPS) or 25)
    number = wanted = 0
    last = -usual
    while video.grab():
        stated = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        time = stated if stated > last else last + usual  # some files don't hold the times of their frames
        last = time
        number += 1
        if time * rate < wanted - 1e-6:
            continue
        decoded, pixels = video.retrieve()
        if decoded:
            wanted = int(time * rate + 1e-6) + 1
            yield Frame(time, Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])))
    if not number:
        raise Unreadable(Cause.DAMAGED, "the video holds no frame that can be decoded")


def _is_video(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise Unreadable(Cause.NO_ACCESS, error.strerror or type(error).__name__) from error
    return (
        head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")  # mp4, mov
        or head.startswith((b"\x1a\x45\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"))  # mkv and webm; mpeg
        or (head.startswith(b"RIFF") and head[8:12] == b"AVI ")
    )


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise FewposeError("videos need OpenCV: pip install 'fewpose[video]'") from error
    return cv2


def smoothed(times: np.ndarray, probabilities: np.ndarray, seconds: float) -> np.ndarray:
    """(n, classes): each frame's probabilities averaged with those around it, by a Gaussian of `seconds` (its standard
    deviation) in time (n,). 0: as they are.
    """
    if seconds <= 0:
        return probabilities
    weights = np.exp(-0.5 * ((times[:, None] - times[None, :]) / seconds) ** 2)
    result: np.ndarray = weights @ probabilities / weights.sum(axis=1, keepdims=True)
    return result


def segments(answers: list[Answer], rate: float) -> list[Segment]:
    """Neighbouring frames of one answer together; the last of a stretch lasts until the next begins."""
    runs = [list(run) for _, run in groupby(answers, key=lambda each: each.label)]
    begins = [_time(run[0]) for run in runs]
    ends = [*begins[1:], _time(answers[-1]) + 1 / rate] if answers else []
    return [
        Segment(begin, end, run[0].label, float(np.mean([each.top[0][1] for each in run])))
        for run, begin, end in zip(runs, begins, ends, strict=True)
    ]


def _time(answer: Answer) -> float:
    return answer.time or 0.0
