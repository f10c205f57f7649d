"""Find copies of the selected images: their groups, and beside these what looks most like them."""

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types
from fiftyone import ViewField

from curate.app.plugin import chosen

NEAREST = 24  # images shown beside the copies: a screenful


class FindCopies(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(
            "find_copies",
            label="Find copies of this",
            description="Shows its copies, and then what looks most like it",
            icon="/assets/copies.svg",
        )

    def resolve_placement(self, ctx: Any) -> types.Placement:
        button = types.Button(label="Find copies of this", icon="/assets/copies.svg", prompt=False)
        return types.Placement(types.Places.SAMPLES_GRID_SECONDARY_ACTIONS, button)

    def execute(self, ctx: Any) -> None:
        if not ctx.selected:
            ctx.ops.notify(chosen.NOTHING, variant="warning")
            return
        shown, copies = like(ctx.dataset, ctx.selected)
        ctx.ops.clear_selected_samples()
        ctx.ops.set_view(ctx.dataset.select(shown, ordered=True))
        ctx.ops.notify(f"{copies or 'No'} {'copy' if copies == 1 else 'copies'} known; the rest only looks like it")


def like(dataset: Any, selected: list[str]) -> tuple[list[str], int]:
    """Sample ids: the selected, their copies, what is nearest by the similarity index (where there is one); and how
    many of them are copies.
    """
    groups = dataset.select(selected).distinct("group")
    members = dataset.match(ViewField("group").is_in(groups)).sort_by("key").values("id")
    index = dataset.list_brain_runs(type="similarity")
    nearest = dataset.sort_by_similarity(selected, k=NEAREST, brain_key=index[0]).values("id") if index else []
    copies = len(set(members) - set(selected))
    return list(dict.fromkeys([*selected, *members, *nearest])), copies
