"""Show the images whose posture is nearest to that of the selected one."""

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

from curate.app import same_posture
from curate.app.plugin import chosen
from curate.foundation.console import count
from curate.foundation.errors import FewposeError


class SamePosture(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(
            "same_posture",
            label="Same posture",
            description="Shows the images whose person is nearest in posture, mirrored or not",
            icon="/assets/posture.svg",
        )

    def resolve_placement(self, ctx: Any) -> types.Placement:
        button = types.Button(label="Same posture", icon="/assets/posture.svg", prompt=False)
        return types.Placement(types.Places.SAMPLES_GRID_SECONDARY_ACTIONS, button)

    def execute(self, ctx: Any) -> None:
        try:
            shown = same_posture.nearest(chosen.collection(ctx), ctx.dataset, ctx.selected)
        except FewposeError as error:
            ctx.ops.notify(str(error), variant="warning")
            return
        ctx.ops.clear_selected_samples()
        ctx.ops.set_view(ctx.dataset.select(shown, ordered=True))
        ctx.ops.notify(f"{count(len(shown) - 1, 'image')} beside it, the nearest in posture first")
