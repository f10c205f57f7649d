"""Drop, keep, relabel and undo on the selected images: buttons above the grid that write the collection's ledger."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

from curate.app import dataset as datasets
from curate.app.plugin import chosen
from curate.collection import decisions
from curate.collection.directory import Collection
from curate.collection.ledger import Entry
from curate.foundation.console import count
from curate.foundation.errors import FewposeError

BY = "app"


class _Decision(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    """What the four share: a button, a form where there is something to ask, one sentence at the end."""

    name = ""
    title = ""
    description = ""
    reasons: Sequence[str] = ()  # suggested; any other can be typed
    done = ""  # the sentence's verb
    write: Callable[..., list[Entry]]  # of curate.collection.decisions

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(
            self.name, label=self.title, description=self.description, icon=f"/assets/{self.name}.svg", dynamic=True
        )

    def resolve_placement(self, ctx: Any) -> types.Placement:
        button = types.Button(label=self.title, icon=f"/assets/{self.name}.svg", prompt=True)
        return types.Placement(types.Places.SAMPLES_GRID_SECONDARY_ACTIONS, button)

    def resolve_input(self, ctx: Any) -> types.Property:
        inputs = types.Object()
        if ctx.selected:
            inputs.view("about", types.Notice(label=f"{count(len(ctx.selected), 'image')}. {self.description}"))
            self.ask(ctx, inputs)
        else:
            inputs.view("about", types.Warning(label=chosen.NOTHING)).invalid = True
        return types.Property(inputs, view=types.View(label=self.title))

    def ask(self, ctx: Any, inputs: types.Object) -> None:
        """Add the form's fields."""
        inputs.str("reason", label="Reason", view=_suggesting(self.reasons))

    def execute(self, ctx: Any) -> None:
        try:
            collection = chosen.collection(ctx)
            entries = self.decide(ctx, collection, chosen.keys(ctx))
            datasets.refresh(ctx.dataset, collection)
        except FewposeError as error:
            ctx.ops.notify(str(error), variant="error")
            return
        ctx.ops.clear_selected_samples()
        ctx.ops.reload_dataset()
        ctx.ops.notify(self.said(ctx, entries), variant="success")

    def said(self, ctx: Any, entries: list[Entry]) -> str:
        """Decisions are on contents: the same bytes under two keys count once."""
        contents = len(ctx.dataset.select(ctx.selected).distinct("content_id"))
        known = contents - len(entries)
        return f"{count(len(entries), 'image')} {self.done}" + (f"; {known} had that decision already" if known else "")

    def decide(self, ctx: Any, collection: Collection, keys: list[str]) -> list[Entry]:
        """Write the ledger, and return what is new in it. Raises FewposeError."""
        return self.write(collection, keys, reason=ctx.params.get("reason") or "", by=BY)


class Drop(_Decision):
    name = "drop"
    title = "Drop"
    description = "Left out of filtered from now on, whatever the rules say"
    reasons = ("wrong pose", "several people", "no person", "drawing", "text or watermark", "copy", "poor quality")
    done = "dropped"
    write = staticmethod(decisions.drop)


class Keep(_Decision):
    name = "keep"
    title = "Keep"
    description = "Stays in filtered from now on, whatever the rules say (but exact duplicates)"
    reasons = ("looked at, and fine", "not a copy: another photograph", "unusual, but right")
    done = "kept"
    write = staticmethod(decisions.keep)


class Relabel(_Decision):
    name = "relabel"
    title = "Relabel"
    description = "Another label in both sets; no file is touched"
    reasons = ("wrong label", "between two poses")
    done = "relabelled"

    def ask(self, ctx: Any, inputs: types.Object) -> None:
        known = ctx.dataset.distinct("label.label")
        inputs.str("label", label="Label", required=True, view=_suggesting(known))
        label = (ctx.params.get("label") or "").strip()
        if label and label not in known:
            inputs.view("new", types.Warning(label=f"No image is labelled {label} yet: this makes a new class"))
        super().ask(ctx, inputs)

    def decide(self, ctx: Any, collection: Collection, keys: list[str]) -> list[Entry]:
        label, reason = ctx.params["label"].strip(), ctx.params.get("reason") or ""
        return decisions.relabel(collection, keys, label, reason=reason, by=BY, new_label=True)


class Undo(_Decision):
    name = "undo"
    title = "Undo"
    description = "Takes back the last decision on each; it stays in the ledger, as undone"
    reasons = ("a mistake",)
    done = "as before"

    def decide(self, ctx: Any, collection: Collection, keys: list[str]) -> list[Entry]:
        return decisions.undo(collection, keys, reason=ctx.params.get("reason") or "", by=BY)


def _suggesting(choices: Iterable[str]) -> types.AutocompleteView:
    view = types.AutocompleteView()
    for choice in choices:
        view.add_choice(choice, label=choice)
    return view
