"""MediaPipe's own BlazePose, for benchmarks/pose.py and the numbers in tests/curate/pose/mediapipe.json.

Run by the Python of a venv of its own (benchmarks/mediapipe.txt): it wants a numpy that ours is too new for.

    python pose_peers.py 0|1|2 < PATHS        the joints of each image, a line of JSON each; 1 is full, 2 heavy
    python pose_peers.py 0|1|2 time < PATHS   nothing but the seconds of the whole loop, from files, and its CPU seconds
"""

import json
import sys
import time
from typing import Any

import cv2
import mediapipe


def main() -> None:
    complexity, timed = int(sys.argv[1]), sys.argv[2:] == ["time"]
    paths = [line.strip() for line in sys.stdin if line.strip()]
    cv2.setNumThreads(1)
    with mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=complexity) as pose:
        pose.process(picture(paths[0]))  # the first call loads the models
        begun, cpu = time.perf_counter(), time.process_time()
        for path in paths:
            image = picture(path)
            found = pose.process(image)
            if not timed:
                print(json.dumps(joints(found, image.shape[1], image.shape[0])), flush=True)
        if timed:
            print(json.dumps({"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}))


def picture(path: str) -> Any:
    """(height, width, 3) uint8, RGB."""
    image: Any = cv2.imread(path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def joints(found: Any, width: int, height: int) -> list[list[float]] | None:
    """(33, 3): x, y in pixels, visibility; None without a person."""
    if found.pose_landmarks is None:
        return None
    return [
        [round(one.x * width, 2), round(one.y * height, 2), round(one.visibility, 3)]
        for one in found.pose_landmarks.landmark
    ]


main()
