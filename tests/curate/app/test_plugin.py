"""The plugin as the App's server runs it, without a browser: what its operators write, and what they say."""

from pathlib import Path
from typing import Any

import pytest

from curate.app import database, fiftyone_library
from curate.app import dataset as datasets
from curate.collection import sets
from curate.collection.directory import Collection
from curate.collection.ledger import Ledger

pytestmark = [
    pytest.mark.app,
    # FiftyOne's own, which come up wherever it is first used.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def fiftyone(fiftyone_database: database.Database) -> Any:
    return fiftyone_library.fo()


@pytest.fixture
def built(collection: Collection) -> Any:
    return datasets.build(collection)


def samples(dataset: Any, *keys: str) -> list[str]:
    return [dataset.one({"key": key}).id for key in keys]


def run(operator: str, dataset: Any, selected: list[str], **params: Any) -> list[str]:
    """Returns what it would have said in the App."""
    import fiftyone.operators as foo

    context = {"dataset": dataset, "selected": selected, "params": params}
    done = foo.execute_operator(f"@fewpose/curation/{operator}", ctx=context)
    requests = [request.to_json() for request in done.executor._requests]
    return [request["params"]["message"] for request in requests if request["operator_uri"].endswith("notify")]


def decided(collection: Collection) -> list[tuple[str, str, str, str, str]]:
    entries = Ledger(collection).entries
    return [(str(entry.action), entry.key, entry.label, entry.reason, entry.by) for entry in entries]


def filtered(collection: Collection) -> set[str]:
    return set(sets.training_set(collection, "filtered").images["key"])


def test_all_operators_and_the_panel_are_registered() -> None:
    import fiftyone.operators as foo

    ours = [operator.name for operator in foo.list_operators(builtin=False) if "@fewpose" in operator.uri]
    assert ours == ["drop", "keep", "relabel", "undo", "find_copies", "same_posture", "sets"]


def test_each_button_has_its_picture() -> None:
    plugin = Path(datasets.__file__).with_name("plugin")
    have = {picture.stem for picture in (plugin / "assets").glob("*.svg")}
    assert have == {"drop", "keep", "relabel", "undo", "copies", "posture", "sets"}


def test_drop_writes_the_ledger_with_its_reason_and_the_fields_follow(built: Any, collection: Collection) -> None:
    said = run("drop", built, samples(built, "boat/0.png", "tree/2.png"), reason="two people")
    assert decided(collection) == [
        ("drop", "boat/0.png", "", "two people", "app"),
        ("drop", "tree/2.png", "", "two people", "app"),
    ]
    assert said == ["2 images dropped"]
    dropped = built[samples(built, "boat/0.png")[0]]
    assert (dropped["verdict"], dropped["reason"], dropped["filtered"]) == ("drop", "two people", False)
    assert not filtered(collection) & {"boat/0.png", "tree/2.png"}


def test_keep_brings_back_what_a_rule_left_out(built: Any, collection: Collection) -> None:
    assert "tree/0.png" not in filtered(collection)
    run("keep", built, samples(built, "tree/0.png"))
    assert "tree/0.png" in filtered(collection)
    assert built[samples(built, "tree/0.png")[0]]["suspicious"] is False


def test_relabel_takes_a_class_that_is_there_or_a_new_one(built: Any, collection: Collection) -> None:
    run("relabel", built, samples(built, "boat/1.png"), label="tree")
    run("relabel", built, samples(built, "boat/2.png"), label=" half boat ", reason="feet down")
    labels = sets.labelled(collection).set_index("key")["label"]
    assert (labels["boat/1.png"], labels["boat/2.png"]) == ("tree", "half boat")
    assert built[samples(built, "boat/2.png")[0]]["label"].label == "half boat"


def test_undo_takes_back_the_last_decision_on_each(built: Any, collection: Collection) -> None:
    before = filtered(collection)
    chosen = samples(built, "boat/0.png")
    run("keep", built, chosen)
    run("drop", built, chosen)
    run("undo", built, chosen)
    assert built[chosen[0]]["verdict"] == "keep"
    run("undo", built, chosen)
    assert built[chosen[0]]["verdict"] == ""
    assert filtered(collection) == before


def test_a_mistake_is_one_sentence_and_changes_nothing(built: Any, collection: Collection) -> None:
    assert run("undo", built, samples(built, "boat/0.png")) == [
        "nothing was decided of boat/0.png, or it was undone already"
    ]
    assert decided(collection) == []


def test_deciding_the_same_twice_is_said_and_written_once(built: Any, collection: Collection) -> None:
    chosen = samples(built, "boat/0.png")
    run("drop", built, chosen)
    assert run("drop", built, chosen) == ["0 images dropped; 1 had that decision already"]
    assert len(decided(collection)) == 1


def test_nothing_happens_without_a_selection(built: Any, collection: Collection) -> None:
    import fiftyone.operators as foo

    with pytest.raises(foo.executor.ExecutionError, match="Validation"):
        run("drop", built, [])
    assert run("find_copies", built, []) == ["Select images in the grid first"]
    assert decided(collection) == []


def test_another_dataset_of_the_database_is_refused(fiftyone: Any, collection: Collection) -> None:
    theirs = fiftyone.Dataset()
    theirs.add_sample(fiftyone.Sample(filepath=str(collection.root / "images/boat/0.png"), key="boat/0.png"))
    theirs.add_sample_field("label", fiftyone.EmbeddedDocumentField, embedded_doc_type=fiftyone.Classification)
    (said,) = run("drop", theirs, theirs.values("id"))
    assert "was not made by curate app" in said


def test_the_panel_shows_both_sets_by_class(built: Any, collection: Collection) -> None:
    from curate.app.plugin import sets_panel

    text = sets_panel.text(collection)
    assert "| boat | 3 | 2 |" in text  # rule `doubtful` leaves one out, and `dark` one of the trees
    assert "| **all** | 6 | 4 |" in text
    assert sets.training_set(collection, "filtered").digest in text


def test_a_label_cannot_break_the_panels_table(built: Any, collection: Collection) -> None:
    from curate.app.plugin import sets_panel

    run("relabel", built, samples(built, "boat/0.png"), label="a|b*c")
    assert "| a\\|b\\*c | 1 | 1 |" in sets_panel.text(collection)


@pytest.mark.parametrize(
    ("model", "checkpoint", "untrained"),
    [("lite0", "", True), ("ViT-B-32/random", "", True), ("ViT-B-32/openai", "", False), ("tiny", "w.pt", False)],
)
def test_an_untrained_text_tower_is_known(model: str, checkpoint: str, untrained: bool) -> None:
    from curate.app.plugin import text_search

    assert text_search.untrained(model, checkpoint) is untrained


@pytest.mark.slow
def test_copies_come_first_and_then_what_is_near(collection: Collection) -> None:
    import numpy as np

    from curate.app.index import Features
    from curate.app.plugin.copies import like

    images = collection.images()
    images.loc[images["key"] == "tree/2.png", "group"] = images.loc[images["key"] == "boat/0.png", "group"].item()
    collection.write(images, collection.rejects())
    angles = np.linspace(0, 1, len(images))
    built = datasets.build(collection, Features(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)))
    shown, copies = like(built, samples(built, "boat/0.png"))
    keys = [built[sample]["key"] for sample in shown]
    assert keys == ["boat/0.png", "tree/2.png", "boat/1.png", "boat/2.png", "tree/0.png", "tree/1.png"]
    assert copies == 1
