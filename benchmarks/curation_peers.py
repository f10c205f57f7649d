"""What cleanvision and imagededup find in a folder. Runs in the venv of curation_peers.txt: nothing of ours is here.

    python curation_peers.py FOLDER KEYS.json OUT.json

KEYS.json: a list of paths below FOLDER. Both have their defaults; of imagededup, pHash (its CNN downloads weights).
"""

import json
import sys
import time
from pathlib import Path

from cleanvision import Imagelab  # type: ignore[import-not-found]
from imagededup.methods import PHash  # type: ignore[import-not-found]

ISSUES = ("odd_size", "odd_aspect_ratio", "low_information", "light", "dark", "blurry")


def by_cleanvision(folder: Path, keys: list[str]) -> dict[str, object]:
    start = time.perf_counter()
    lab = Imagelab(filepaths=[str(folder / key) for key in keys])
    lab.find_issues(n_jobs=1, verbose=False)
    table = lab.issues
    table.index = [Path(file).relative_to(folder).as_posix() for file in table.index]
    sets = lab.info["exact_duplicates"]["sets"] + lab.info["near_duplicates"]["sets"]
    names = [[Path(file).relative_to(folder).as_posix() for file in files] for files in sets]
    return {
        "seconds": time.perf_counter() - start,
        "issues": {name: list(table.index[table[f"is_{name}_issue"]]) for name in ISSUES},
        "pairs": [(files[0], other) for files in names for other in files[1:]],
    }


def by_imagededup(folder: Path, keys: list[str]) -> dict[str, object]:
    start = time.perf_counter()
    method = PHash(verbose=False)
    codes = {key: method.encode_image(image_file=str(folder / key)) for key in keys}
    found = method.find_duplicates(encoding_map={key: code for key, code in codes.items() if code})
    return {
        "seconds": time.perf_counter() - start,
        "issues": {},
        "pairs": [(key, other) for key, others in found.items() for other in others],
    }


if __name__ == "__main__":
    folder, keys = Path(sys.argv[1]).resolve(), json.loads(Path(sys.argv[2]).read_text())
    said = {"cleanvision": by_cleanvision(folder, keys), "imagededup": by_imagededup(folder, keys)}
    Path(sys.argv[3]).write_text(json.dumps(said))
