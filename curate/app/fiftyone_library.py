"""FiftyOne, imported in this one place and late: its environment has to be set before, and is read only then."""

import importlib
import json
import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curate.app import private
from curate.foundation.errors import FewposeError, UsageError

_HERE = Path(__file__).resolve().parent
PLUGIN = _HERE / "plugin"
ZOO_MANIFEST = _HERE / "zoo" / "manifest.json"

_SETTINGS = Path.home() / ".fiftyone"
_CLASSES = {"fiftyone", "eta", "curate"}

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
    """The module fiftyone. curate.app.database.connect comes first. Raises UsageError for settings that are wrong."""
    require()
    if "fiftyone" not in sys.modules:
        _import()
    import fiftyone

    return fiftyone


def part(name: str) -> Any:
    """The module fiftyone.NAME."""
    fo()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"fiftyone.{name}")


def _import() -> None:
    _check_settings()
    from eta.core.config import EnvConfigError  # type: ignore[import-untyped]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports
            import fiftyone
    except (EnvConfigError, ValueError, TypeError) as error:
        raise UsageError(
            f"FiftyOne's settings are wrong ({error}); set that right, or take it out: they are environment variables, "
            f"and files in {_SETTINGS}"
        ) from error
    _take_classes_from(_CLASSES | {name.partition(".")[0] for name in fiftyone.config.module_path or ()})


def _check_settings() -> None:
    """FiftyOne names a file of settings that it can't read, and not the line."""
    for name in ("config", "app_config", "annotation_config", "evaluation_config"):
        path = Path(os.environ.get(f"FIFTYONE_{name.upper()}_PATH", _SETTINGS / f"{name}.json"))
        try:
            told = json.loads(path.read_bytes()) if path.is_file() else {}
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(
                f"{path} can't be read ({error}); mend it, or rename it: FiftyOne then takes its defaults"
            ) from error
        if not isinstance(told, dict):
            raise UsageError(f"{path} holds no settings (key: value); mend it, or rename it")


def _take_classes_from(packages: set[str]) -> None:
    """FiftyOne makes objects of the classes that requests and the database name: of its own, and of no other module."""
    import eta.core.utils as etau  # type: ignore[import-untyped]

    found = etau.get_class

    def get_class(class_name: str, module_name: str | None = None) -> Any:
        full = f"{module_name}.{class_name}" if module_name else class_name
        if full.partition(".")[0] in packages:
            result = found(class_name, module_name)
            if isinstance(result, type) and result.__module__.partition(".")[0] in packages:
                return result
        raise ImportError(f"{full} is no class of FiftyOne's")

    etau.get_class = get_class


def brain() -> Any:
    """The module fiftyone.brain."""
    require()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import fiftyone.brain
    return fiftyone.brain


def install_plugins() -> None:
    """Have FiftyOne find our plugins and the user's. They are programs: none in a collection, which may be anybody's.

    It takes one folder: it gets one of links, in a folder of this process.
    """
    merged = private.folder() / "plugins"
    merged.mkdir(exist_ok=True)
    theirs = os.environ.get("FIFTYONE_PLUGINS_DIR")
    usual = Path(os.environ.get("FIFTYONE_DEFAULT_DATASET_DIR", Path.home() / "fiftyone"), "__plugins__")
    places = {"fewpose": PLUGIN, "user": Path(theirs).absolute() if theirs else usual}
    for name, place in places.items():
        link = merged / name
        if place == merged:  # a second call
            continue
        link.unlink(missing_ok=True)
        if place.is_dir():
            link.symlink_to(place, target_is_directory=True)
    os.environ["FIFTYONE_PLUGINS_DIR"] = str(merged)


def _manifests() -> list[str]:
    theirs = os.environ.get("FIFTYONE_MODEL_ZOO_MANIFEST_PATHS", "").split(",")
    return list(dict.fromkeys([str(ZOO_MANIFEST), *filter(None, theirs)]))
