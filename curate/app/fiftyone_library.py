"""FiftyOne, imported in this one place and late: its environment has to be set before, and is read only then."""

import atexit
import os
import shutil
import sys
import tempfile
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curate.foundation.errors import FewposeError, UsageError

_HERE = Path(__file__).resolve().parent
PLUGIN = _HERE / "plugin"
ZOO_MANIFEST = _HERE / "zoo" / "manifest.json"

_QUIET = {
    "FIFTYONE_DO_NOT_TRACK": "true",
    "FIFTYONE_DATABASE_VALIDATION": "false",  # or it warns that MongoDB 6 grows old
    "FIFTYONE_LOGGING_LEVEL": "WARNING",  # no banner
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
}


def require() -> None:
    """Raises UsageError where FiftyOne is not installed."""
    if find_spec("fiftyone") is None:
        raise UsageError("the App needs FiftyOne: pip install 'fewpose[app]'")


def prepare(uri: str) -> None:
    """Set FiftyOne's environment, also for the processes that it starts: its server knows nothing else.

    uri: of the database.
    Raises UsageError where FiftyOne is missing, FewposeError where this process uses it with another database.
    """
    require()
    if "fiftyone" in sys.modules and fo().config.database_uri != uri:
        raise FewposeError("FiftyOne was imported with another database; open the collection in a new process")
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    os.environ["FIFTYONE_DATABASE_URI"] = uri
    os.environ["FIFTYONE_MODEL_ZOO_MANIFEST_PATHS"] = ",".join(_manifests())


def fo() -> Any:
    """The module fiftyone. curate.app.database.connect comes first."""
    require()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        import fiftyone
    return fiftyone


def brain() -> Any:
    """The module fiftyone.brain."""
    require()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import fiftyone.brain
    return fiftyone.brain


@cache
def install_plugins() -> None:
    """Have FiftyOne find our plugins and the user's, and no others: it runs what it finds.

    It takes one folder: it gets one of links, which nobody else can write to. It is not in the collection, where
    somebody who gave that away could have put a plugin of theirs.
    """
    merged = Path(tempfile.mkdtemp(prefix="fewpose-plugins-"))
    atexit.register(shutil.rmtree, merged, ignore_errors=True)
    theirs = os.environ.get("FIFTYONE_PLUGINS_DIR")
    usual = Path(os.environ.get("FIFTYONE_DEFAULT_DATASET_DIR", Path.home() / "fiftyone"), "__plugins__")
    for name, place in {"fewpose": PLUGIN, "user": Path(theirs).absolute() if theirs else usual}.items():
        if place.is_dir():
            (merged / name).symlink_to(place, target_is_directory=True)
    os.environ["FIFTYONE_PLUGINS_DIR"] = str(merged)


def _manifests() -> list[str]:
    theirs = os.environ.get("FIFTYONE_MODEL_ZOO_MANIFEST_PATHS", "").split(",")
    return list(dict.fromkeys([str(ZOO_MANIFEST), *filter(None, theirs)]))
