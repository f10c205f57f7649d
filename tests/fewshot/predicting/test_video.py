"""Frames of videos, smoothing and stretches."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from curate.images.decoding import Unreadable
from fewshot.predicting.answers import Answer
from fewshot.predicting.video import frames, segments, smoothed

Clip = Callable[..., Path]


def flat(value: int, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), (value, 255 - value, 40), np.uint8)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "FFV1"), ("a.mp4", "mp4v"), ("a.mkv", "FFV1"), ("a.avi", "MJPG")]
)
def test_so_many_frames_of_each_second_in_order_with_their_times(clip: Clip, name: str, codec: str) -> None:
    path = clip([flat(8 * number) for number in range(30)], name, codec)  # three seconds
    found = list(frames(path, 2.0))
    assert [each.time for each in found] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5], abs=0.06)
    shown = [np.asarray(each.image).mean(axis=(0, 1))[0] for each in found]
    assert shown == pytest.approx([8 * 10 * each.time for each in found], abs=6)
    assert np.asarray(found[0].image).mean(axis=(0, 1)) == pytest.approx([0, 255, 40], abs=6)  # red, green, blue


def test_more_frames_than_there_are_gives_each_once(clip: Clip) -> None:
    found = list(frames(clip([flat(8 * number) for number in range(12)]), 1000.0))
    assert len(found) == 12
    assert all(first.time < second.time for first, second in pairwise(found))


def test_a_video_that_is_cut_off_gives_the_frames_that_are_there(clip: Clip) -> None:
    path = clip([flat(8 * number) for number in range(30)], "a.mkv")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 0 < len(list(frames(path, 10.0))) < 30


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"#EXTM3U\n/etc/hostname\n", "neither a picture nor a video"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "neither a picture nor a video"),
        (b"", "neither a picture nor a video"),
        (b"\x1a\x45\xdf\xa3" + b"\x00" * 200, "the video can't be decoded"),
        (b"\x00\x00\x00\x18ftypisom" + b"\x00" * 200, "the video can't be decoded"),
    ],
    ids=["a playlist", "a list of files", "nothing", "a broken mkv", "a broken mp4"],
)
def test_what_is_no_video_is_said_and_nothing_it_names_is_opened(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=sentence):
        list(frames(path, 2.0))


def test_smoothing_is_a_mean_by_a_gaussian_in_time() -> None:
    times, shares = np.array([0.0, 0.1, 1.0, 5.0]), np.array([0.9, 0.1, 0.5, 0.2])
    probabilities = np.stack([shares, 1 - shares], axis=1)
    even = smoothed(times, probabilities, 0.4)
    for place, time in enumerate(times):
        weights = np.exp(-((times - time) ** 2) / (2 * 0.4**2))
        assert even[place, 0] == pytest.approx((weights * shares).sum() / weights.sum())
    np.testing.assert_allclose(even.sum(axis=1), 1)
    np.testing.assert_array_equal(smoothed(times, probabilities, 0), probabilities)


def test_neighbours_of_one_answer_are_a_stretch_and_none_of_these_is_one_too() -> None:
    answers = [
        Answer("a", time, ((label, share),), known)
        for time, label, share, known in (
            (0.0, "tree", 0.9, True),
            (0.5, "tree", 0.7, True),
            (1.0, "tree", 0.2, False),
            (1.5, "boat", 0.2, False),
            (2.0, "tree", 0.8, True),
        )
    ]
    found = segments(answers, 2.0)
    assert [(each.begin, each.end, each.label) for each in found] == [
        (0.0, 1.0, "tree"),
        (1.0, 2.0, None),
        (2.0, 2.5, "tree"),
    ]
    assert found[0].probability == pytest.approx(0.8)
    assert segments([], 2.0) == []
