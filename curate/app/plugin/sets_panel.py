"""The panel "Sets": how many images of each class the two training sets hold."""

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

from curate.app.plugin import chosen, text_search
from curate.collection import sets
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError
from curate.foundation.markdown import escape


class Sets(foo.Panel):  # type: ignore[misc]  # FiftyOne has no types
    @property
    def config(self) -> foo.PanelConfig:
        return foo.PanelConfig("sets", "Sets", icon="/assets/sets.svg", help_markdown="What training will see")

    def on_change_dataset(self, ctx: Any) -> None:
        """FiftyOne renders a panel after each event that it has a method for: another dataset, ..."""

    def on_change_selected(self, ctx: Any) -> None:
        """... and a decision, which ends the selection."""

    def render(self, ctx: Any) -> types.Property:
        panel = types.Object()
        try:
            panel.md(text(chosen.collection(ctx)) + _note(ctx.dataset), name="sizes")
        except FewposeError as error:
            panel.md(escape(error), name="sizes")
        return types.Property(panel, view=types.GridView(padding=2))


def text(collection: Collection) -> str:
    """The sizes as a Markdown table. Raises FewposeError where the collection was never checked."""
    both = [sets.training_set(collection, name) for name in sets.NAMES]
    counts = [one.images["label"].value_counts() for one in both]
    labels = sorted(set().union(*(of.index for of in counts)))
    rows: list[tuple[str, ...]] = [("class", *sets.NAMES), ("---", "---:", "---:")]
    rows += [(escape(label), *(str(of.get(label, 0)) for of in counts)) for label in labels]
    rows += [("**all**", *(str(len(one.images)) for one in both)), ("digest", *(f"`{one.digest}`" for one in both))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _note(dataset: Any) -> str:
    model, checkpoint = (dataset.info["fewpose"].get(name, "") for name in ("model", "checkpoint"))
    if not text_search.untrained(model, checkpoint):
        return ""
    return (
        f"\n\nText search works with {model}, but means nothing: nobody trained its text tower. "
        "Give `curate app` a CLIP model with `--model`."
    )
