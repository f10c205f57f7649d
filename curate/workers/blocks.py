"""Images computed on in blocks by several workers, into the collection's caches, where the caller reads the results."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from curate.foundation import console
from curate.foundation.cache import explaining_cache_errors
from curate.foundation.errors import FewposeError
from curate.workers.opening import Shared, open_pool
from curate.workers.places import Needs, Place
from curate.workers.pool import GivenUp
from curate.workers.settings import WorkerSettings

if TYPE_CHECKING:
    from curate.collection.directory import Collection

BLOCK = 512  # images: as many as the caches' shards hold, and what a lost worker can lose


def compute(
    make: Callable[[Place], Callable[[pd.DataFrame], None]],
    collection: "Collection",
    images: pd.DataFrame,
    asked: WorkerSettings,
    *,
    needs: Needs | None = None,
    what: str,
    block: int = 0,
) -> None:
    """Have workers, made by `make`, compute something of `images` (rows of the image table).

    what: what they do, as the progress bar names it: "measuring".  block: images that a worker is given at a time;
    BLOCK unless said.
    Raises FewposeError for an image with which every worker dies, and as open_pool.
    """
    block = block or BLOCK
    blocks = [images.iloc[start : start + block] for start in range(0, len(images), block)]
    cache = collection.cache()
    with explaining_cache_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
    shared = Shared(cache, (collection.file("images.parquet"),))
    with (
        console.progress(what, len(images)) as advance,
        open_pool(make, asked, most=len(blocks), needs=needs, halves=_halves, shared=shared) as pool,
    ):
        for part, result in pool.run(blocks):
            if isinstance(result, GivenUp):
                raise FewposeError(
                    f"{part['key'].iloc[0]} makes every worker die that reads it ({result.why}), perhaps for want "
                    "of memory: fewer --workers may do; what was computed of the others is kept"
                )
            advance(len(part))


def _halves(block: pd.DataFrame) -> list[pd.DataFrame]:
    middle = len(block) // 2
    return [block.iloc[:middle], block.iloc[middle:]] if middle else [block]


def quieten() -> None:
    """Silence a worker's terminal: the process that asked prints the progress and what could not be done."""
    console.err.quiet = True
