"""Files of generated images: encoded and written by threads, while the next images are made.

The sidecar comes first and the image last, so that an image which is there has everything. Each appears whole or not at
all, and only where nothing was: what another program put there stays.
"""

import errno
import io
import json
import os
import uuid
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from curate.collection.directory import Collection
from curate.foundation import json_files
from curate.foundation.errors import FewposeError
from curate.foundation.inside import is_file
from synth.generate import provenance
from synth.generate.image_job import ImageJob, Made

UNFINISHED = ".generating"  # a folder of the collection: what is being written, under names that mean nothing

_THREADS = 4  # a PNG of 512 x 512 takes a CPU 0.05 s
_WAITING = 16  # images that wait to be written, at most: 1 to 4 MB each
_JPEG_QUALITY = 95

# What a file system without hard links says of them.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


class Became(StrEnum):
    """What became of a job."""

    MADE = "made"
    REFUSED = "refused"  # by the safety checker
    IN_THE_WAY = "in the way"  # another program put a file there meanwhile


class Done(NamedTuple):
    key: str
    became: Became


def path(collection: Collection, job: ImageJob) -> Path:
    """Where a job's image is. Raises FewposeError where a link leads elsewhere."""
    return collection.file(f"images/{job.key}")


def is_ours(collection: Collection, job: ImageJob) -> bool:
    """Whether the image of a job is there, as its provenance says. Raises FewposeError as `path`."""
    image = path(collection, job)
    try:
        return image.exists() and provenance.read(image).get("key") == job.key
    except (OSError, ValueError, SyntaxError):  # Pillow raises all of them for what is no image
        return False


def record(job: ImageJob, facts: Mapping[str, str], size: tuple[int, int]) -> dict[str, str]:
    """The provenance of one image. facts: of all images of its generator. size: width, height in pixels."""
    told = {
        **facts,
        "key": job.key,
        "label": job.label,
        "index": str(job.index),
        "prompt": job.prompt,
        "negative_prompt": job.negative,
        "seed": str(job.seed),
        "made_from": job.source.id if job.source else "",
        "control": job.control.id if job.control else "",
        "size": f"{size[0]}x{size[1]}",
    }
    return {name: value for name, value in told.items() if value}


def encoded(image: Image.Image, told: str, kind: str) -> bytes:
    """An image file with its provenance inside. told: as `provenance.text`. kind: png or jpeg."""
    buffer = io.BytesIO()
    if kind == "png":
        info = PngInfo()
        info.add_text(provenance.CHUNK, told)
        image.save(buffer, "PNG", pnginfo=info)
    else:
        image.save(buffer, "JPEG", quality=_JPEG_QUALITY, comment=f"{provenance.CHUNK} {told}".encode())
    return buffer.getvalue()


class Writer:
    """Threads that write images into a collection. A context manager: at its end, what has begun is finished.

    What went wrong is raised by the next call as FewposeError; what was written till then is there, and whole.
    """

    def __init__(self, collection: Collection, facts: Mapping[str, str], kind: str) -> None:
        """facts: of provenance.FACTS, what holds for all images. kind: png or jpeg."""
        self._collection = collection
        self._facts = facts
        self._kind = kind
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="writing")
        self._pending: deque[Future[Done]] = deque()
        self._done: list[Done] = []

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()  # what waits to be written was costly to make, and takes a second

    def write(self, made: Made) -> None:
        """Have it written; waits while too many others are."""
        if made.image is None:
            self._done.append(Done(made.job.key, Became.REFUSED))
            return
        while len(self._pending) >= _WAITING:
            self._done.append(self._pending.popleft().result())
        self._pending.append(self._pool.submit(self._write, made, made.image))

    def done(self) -> list[Done]:
        """What was finished since the last time."""
        while self._pending and self._pending[0].done():
            self._done.append(self._pending.popleft().result())
        finished, self._done = self._done, []
        return finished

    def finish(self) -> list[Done]:
        """As `done`, once everything is written."""
        while self._pending:
            self._done.append(self._pending.popleft().result())
        return self.done()

    def _write(self, made: Made, image: Image.Image) -> Done:
        target = path(self._collection, made.job)
        told = record(made.job, self._facts, image.size)
        content = encoded(image, provenance.text(told), self._kind)
        try:
            self._write_sidecar(provenance.sidecar(target), made, told)
            became = Became.MADE if self._appear(target, content) else Became.IN_THE_WAY
        except OSError as error:
            raise FewposeError(
                f"cannot write {target}: {error.strerror or error}; what is there is whole, "
                "and the same command goes on from it"
            ) from error
        return Done(made.job.key, became)

    def _write_sidecar(self, sidecar: Path, made: Made, told: dict[str, str]) -> None:
        content = (json.dumps(_sidecar(made, told), indent=1, ensure_ascii=False) + "\n").encode()
        if self._appear(sidecar, content):
            return
        if _key(sidecar) != made.job.key:
            raise FewposeError(f"{sidecar} is in the way: move it, and give the same command again")
        copy = self._copy(content)  # what a run left that was killed before it wrote the image
        copy.replace(sidecar)

    def _appear(self, target: Path, content: bytes) -> bool:
        """Write a file, whole, where nothing is; False where something is there already."""
        copy = self._copy(content)
        try:
            _link(copy, target)
        except FileExistsError:
            return False
        finally:
            copy.unlink(missing_ok=True)
        return True

    def _copy(self, content: bytes) -> Path:
        """These bytes under a name that means nothing, and on the disk: a power cut must not leave empty images."""
        copy = self._collection.file(f"{UNFINISHED}/{uuid.uuid4().hex}")
        descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            copy.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return copy


def _sidecar(made: Made, told: dict[str, str]) -> dict[str, Any]:
    """The record, and what no text chunk holds: COCO's 17 keypoints, in pixels where the generator knows them."""
    written: dict[str, Any] = {name: told[name] for name in provenance.FACTS if name in told}
    if made.keypoints is not None:
        written["keypoints"] = [[round(float(x), 2), round(float(y), 2), int(seen)] for x, y, seen in made.keypoints]
    if made.job.control:
        written["control_keypoints"] = [list(point) for point in made.job.control.keypoints]
    return written


def _key(sidecar: Path) -> str | None:
    """The key that a sidecar tells; None where it is none."""
    if not is_file(sidecar):  # a pipe would be waited for
        return None
    try:
        return json_files.entry(json_files.read(sidecar), "key", str)
    except (OSError, json_files.NotJson):
        return None


def _link(copy: Path, target: Path) -> None:
    """Raises FileExistsError where something is there: a rename would replace it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(copy, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        copy.replace(target)
