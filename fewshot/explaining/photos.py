"""What a trained model goes by in photographs from anywhere: a picture for each."""

import difflib
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, PngImagePlugin

from curate.foundation import atomic
from curate.foundation.errors import FewposeError, UsageError
from curate.images.decoding import Unreadable, open_image, read_file
from fewshot.explaining import palette
from fewshot.explaining.explainer import NOBODY, Explainer, somebody
from fewshot.explaining.sheet import sheet
from fewshot.trained.looking import Looking

if TYPE_CHECKING:
    from fewshot.trained.model import TrainedModel

MARK = "fewshot explain"  # the name of the PNG's text with its origin


@dataclass(frozen=True)
class Explained:
    """What came of a photograph: `file` and what it shows (class -> probability, the answer first), or an `error`.

    `known`: whether the answer is as sure as the model's threshold asks for. `note`: of what the model looks at and
    this photograph lacks.
    """

    photo: Path
    file: Path | None = None
    shown: dict[str, float] = field(default_factory=dict)
    known: bool = True
    note: str = ""
    error: str = ""


def explain_photos(
    model: "TrainedModel", photos: Sequence[Path], out: Path, named: Sequence[str]
) -> Iterator[Explained]:
    """For each photograph `out`/NAME-DIGEST.png, with a map for the model's answer and one for each class in `named`.

    A photograph that can't be read, whose picture would replace a file of another origin, or in which a model of
    the body alone finds nobody, is an error of its own. Raises UsageError for a class that the model doesn't know, or
    where `out` is a file; FewposeError where it can't be written to, or where the extra is not installed; and what
    Looking raises.
    """
    palette.matplotlib()  # before any work
    places = [_place(model.classes, name) for name in dict.fromkeys(named)]
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a directory that exists or can be made")
    looking = Looking(model)
    for photo in photos:
        try:
            yield _explain(looking, photo, out, places)
        except (Unreadable, _Taken, _Nobody) as error:
            yield Explained(photo, error=str(error))
        except OSError as error:
            raise FewposeError(
                f"{out} can't be written to ({error.strerror or error}); choose another --out"
            ) from error


def _place(classes: Sequence[str], name: str) -> int:
    if name in classes:
        return classes.index(name)
    alike = sorted(classes, key=lambda each: -difflib.SequenceMatcher(None, name.lower(), each.lower()).ratio())
    raise UsageError(f"--class {name}: the model has no such class; it has {', '.join(alike)}")


class _Taken(Exception):
    """A file of another origin is where a picture would be written."""


class _Nobody(Exception):
    """There is nothing that the model could go by."""


def _explain(looking: Looking, photo: Path, out: Path, named: Sequence[int]) -> Explained:
    content, model = read_file(photo), looking.model
    seen = looking.of_file(content)
    lacks_person = model.needs_joints and not somebody(seen)
    if lacks_person and not model.needs_pixels:
        raise _Nobody(f"{NOBODY} in it, and this model goes by the body alone")
    chances = looking.probabilities([seen])[0]
    answer = int(chances.argmax())
    known = float(chances[answer]) >= model.about.threshold
    words = {
        place: (_title(model.classes[place], place == answer, known), f"{100 * chances[place]:.1f} %")
        for place in dict.fromkeys([answer, *named])
    }
    decoded = open_image(content, draft=model.about.transform.draft_size())
    explainer = Explainer(model.classifier, model.normalise, model.about.transform)
    panels = explainer.panels(seen, (decoded.width, decoded.height), words)
    digest = hashlib.sha256(content).hexdigest()
    file = out / f"{_safe(photo.stem)}-{digest[:8]}.png"
    origin = f"{digest} by {model.about.weights_sha256}"
    if file.exists() and _origin(file) != origin:
        raise _Taken(f"{file} is there already and was made of something else; choose another --out")
    write(file, sheet(decoded.image, photo.name, panels), origin)
    shown = {model.classes[place]: float(chances[place]) for place in words}
    return Explained(photo, file, shown, known, f"{NOBODY} in it" if lacks_person else "")


def _title(name: str, answer: bool, known: bool) -> str:
    if not answer:
        return name
    return f"called {name}" if known else f"none of these; most like {name}"


def _safe(stem: str) -> str:
    """A file name's part without anything that a file system, a shell or a page could take for something else."""
    return re.sub(r"[^\w-]+", "_", stem)[:50].strip("_-") or "picture"


def write(file: Path, page: Image.Image, origin: str = "") -> None:
    """Write a PNG; `origin`, what it was made of, is stored in it as text."""
    text = PngImagePlugin.PngInfo()
    text.add_text(MARK, origin)
    with atomic.replacing(file) as temporary:
        page.save(temporary, "PNG", pnginfo=text, optimize=True)


def _origin(file: Path) -> str:
    """The origin that is stored in a PNG of ours, "" of any other file."""
    try:
        with Image.open(file, formats=["PNG"]) as image:
            return str(image.info.get(MARK, ""))
    except Exception:  # noqa: BLE001  (any file may lie there)
        return ""
