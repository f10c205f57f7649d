"""Tell what photographs show, by the model in this folder.

    pip install -r requirements.txt
    python classify.py PHOTO.jpg ...

A line for each picture: its class and how probable it is, or "none of these". What cannot be read is a line of error,
the rest goes on, and the exit code is 1. In a program, with this folder on its path:

    from classify import opened
    told = opened().tell(content)  # the bytes of a picture's file
"""

import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


def opened() -> Any:
    """The model: see ExportedModel, which fewpose/fewshot/exporting/alone.py documents."""
    from fewshot.exporting.alone import ExportedModel

    return ExportedModel(FOLDER)


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER))  # python -I leaves it out
    try:
        from fewshot.exporting.alone import main
    except ImportError as error:
        what = error.name if isinstance(error, ModuleNotFoundError) else "Python 3.11 or later"
        sys.exit(f"error: {what} is missing: pip install -r {FOLDER / 'requirements.txt'}")
    sys.exit(main(FOLDER, sys.argv[1:]))
