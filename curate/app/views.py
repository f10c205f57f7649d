"""Saved views and a workspace. Views store stages, not samples: what is decided in the App shows at once."""

from typing import Any

from curate.app import fiftyone_library
from curate.collection import synthetic

WRONG = "wrong in most splits"
HURTS = "hurts training"
CHANCE = 0.2  # of the images in HURTS, about so many are there by chance
WORKSPACE = "curate"


def save(dataset: Any) -> None:
    """Save our views and the workspace. Views that people saved stay, even under a name of ours."""
    ours = _ours(dataset)
    said = dict(dataset.info["fewpose"])
    before = set(said.get("views", []))
    for name in before - ours.keys():
        if dataset.has_saved_view(name):
            dataset.delete_saved_view(name)
    theirs = set(dataset.list_saved_views()) - before
    mine = {name: view for name, view in ours.items() if name not in theirs}
    # Our names first: were this killed in between, a view of ours must not be taken for one that a person saved.
    dataset.info["fewpose"] = said | {"views": list(mine)}
    dataset.save()
    for name, view in mine.items():
        dataset.save_view(name, view, overwrite=True)
    dataset.save_workspace(WORKSPACE, _workspace(), description="the images beside their embeddings", overwrite=True)


def _ours(dataset: Any) -> dict[str, Any]:
    field = fiftyone_library.fo().ViewField
    views = {
        "unfiltered": dataset.view(),
        "filtered": dataset.match(field("filtered") == True),  # noqa: E712 - an expression
        "suspicious": dataset.match(field("suspicious") == True),  # noqa: E712
    }
    if dataset.has_sample_field("accepted"):
        made = field("source") == synthetic.SOURCE
        views["unfiltered"] = dataset.match(~made)
        views["synthetic"] = dataset.match(made)
        views["synthetic, rejected"] = dataset.match(made & (field("accepted") == False))  # noqa: E712
    for rule in dataset.info["fewpose"]["rules"]:
        flagged = dataset.match(field(f"{rule}.label") == "flagged")
        views[rule] = flagged.sort_by(f"{rule}.confidence", reverse=True)
    if dataset.has_sample_field("wrong_share"):
        views[WRONG] = dataset.match(field("wrong_share") > 0.5).sort_by("wrong_share", reverse=True)
    if dataset.has_sample_field("influence"):
        known = field("influence").exists()  # to MongoDB, nothing is less than 0
        hurts = known & (field("influence") < 0) & (field("influence_q") <= CHANCE)
        views[HURTS] = dataset.match(hurts).sort_by("influence")
    return views


def _workspace() -> Any:
    fo = fiftyone_library.fo()
    panels = [fo.Panel(type="Samples", pinned=True), fo.Panel(type="Embeddings")]
    # A leaf without an active child stays blank.
    halves = [fo.Space(children=[panel], active_child=panel.component_id) for panel in panels]
    return fo.Space(children=halves, orientation="horizontal", sizes=[0.55, 0.45])
