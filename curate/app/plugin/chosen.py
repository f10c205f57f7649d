"""What an operator is given: the collection behind the dataset, and the selected images."""

from pathlib import Path
from typing import Any

from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError

NOTHING = "Select images in the grid first"


def collection(ctx: Any) -> Collection:
    """The collection that the open dataset shows. Raises FewposeError for a dataset that isn't one of ours."""
    known = (ctx.dataset.info or {}).get("fewpose") or {}
    if "collection" not in known:
        raise FewposeError(f"{ctx.dataset.name} was not made by curate app, so there is no collection to write to")
    return Collection.open(Path(known["collection"]))


def keys(ctx: Any) -> list[str]:
    """The keys of the selected images. Raises FewposeError where there are none."""
    if not ctx.selected:
        raise FewposeError(NOTHING)
    result: list[str] = ctx.dataset.select(ctx.selected).values("key")
    return result
