"""A collection as a FiftyOne dataset: a sample a key, and fields for what is known of it.

Everything here can be computed again from the collection, and is: `build` compares what the dataset holds with what it
should, and writes the difference. What people made in the App (tags, fields, views of their own) is not touched.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from curate.app import body, fiftyone_library, index, views, writing
from curate.app.index import Features
from curate.app.predictions import INFLUENCE
from curate.collection import findings, sets, synthetic
from curate.collection.directory import Collection
from curate.collection.findings import Findings, Kind
from curate.collection.ledger import Ledger, State
from curate.foundation import json_files
from curate.pose import keypoints

# Fields that follow from the image table, by its columns.
_PLAIN = {"key": "key", "content_id": "id"} | {name: name for name in ("source", "official_split", "group", "url")}

# Fields that synthetic images alone have: what their provenance says, and whether they are accepted.
_MADE = ("prompt", "seed", "generator", "model", "made_from")
_ACCEPTED = "accepted"


def build(
    collection: Collection, features: Features | None = None, predictions: pd.DataFrame | None = None
) -> Any:  # a fiftyone.Dataset: FiftyOne has no types
    """Make the dataset of a collection, or bring it up to date. curate.app.database.connect comes first.

    features: for the plot of embeddings and for search; without, what is there stays.
    predictions: of a sweep (curate.app.predictions.read); without, what is there stays.
    Raises FewposeError where the collection's tables are damaged.
    """
    images = sets.labelled(collection)
    dataset = _opened(collection)
    _match_samples(dataset, collection, images)
    _write_plain(dataset, collection, images)
    _write_synthetic(dataset, images)
    _write_findings(dataset, images, _both(collection))
    body.update(dataset, images, keypoints.read(collection))
    if predictions is not None:
        _write_predictions(dataset, predictions)
    refresh(dataset, collection)
    if features is not None:
        index.update(dataset, images, features)
    views.save(dataset)
    return dataset


def refresh(dataset: Any, collection: Collection) -> None:
    """Bring up to date what depends on the ledger: label, verdict, reason, filtered, suspicious, accepted.

    `filtered`, of photographs, and `accepted`, of synthetic images, are None everywhere as long as some of them were
    not looked at: there is no such set yet.
    """
    images, state = sets.labelled(collection), Ledger(collection).state()
    photographs, made = synthetic.real(images), synthetic.synthetic(images)
    found = findings.read(collection)
    decided: dict[str, dict[str, Any]] = {
        "label.label": dict(zip(images["key"], images["label"], strict=True)),
        "verdict": {key: state.verdict_of(id) for key, id in zip(images["key"], images["id"], strict=True)},
        "reason": {
            key: state.dispute(id) or state.reason.get(id, "")
            for key, id in zip(images["key"], images["id"], strict=True)
        },
        "filtered": dict.fromkeys(made["key"]) | _passed(photographs, found, state),
        "suspicious": dict.fromkeys(made["key"], False)
        | dict(zip(photographs["key"], suspicious(photographs, found, state).tolist(), strict=True)),
    }
    if dataset.has_sample_field(_ACCEPTED):
        accepted = _passed(made, findings.read(collection, findings.ACCEPTANCE), state)
        decided[_ACCEPTED] = dict.fromkeys(photographs["key"]) | accepted
    writing.write(dataset, decided)


def _passed(images: pd.DataFrame, found: Findings | None, state: State) -> dict[str, bool | None]:
    """By key, whether an image is in the set that findings and ledger make; None where they are of other images."""
    if found is None or found.images != findings.digest(images):
        return dict.fromkeys(images["key"])
    table = sets.explained(images, found, state)
    return dict(zip(table["key"], table["filtered"].tolist(), strict=True))


def _both(collection: Collection) -> Findings | None:
    """What was found in photographs and in synthetic images, which are never the same rows."""
    read = [findings.read(collection, name) for name in (findings.CHECK, findings.ACCEPTANCE)]
    found = [each for each in read if each is not None]
    if not found:
        return None
    rules = {name: rule for each in found for name, rule in each.rules.items() if not rule.not_run}
    return Findings(pd.concat([each.table for each in found]), rules, images="")


def suspicious(images: pd.DataFrame, found: Findings | None, state: State) -> pd.Series:
    """Which images a rule flags and nobody has decided on: bool, by the index of `images`.

    A new label answers the rules that doubted the old one, and no others.
    """
    if found is None:
        return pd.Series(False, index=images.index)
    doubts = found.flagged()
    about_label = doubts["rule"].map({name: rule.kind == Kind.LABEL for name, rule in found.rules.items()})
    doubts = doubts[~(about_label.astype(bool) & doubts["id"].isin(state.label.keys()))]
    doubted = pd.MultiIndex.from_frame(images[["key", "id"]]).isin(pd.MultiIndex.from_frame(doubts[["key", "id"]]))
    return pd.Series(doubted, index=images.index) & ~images["id"].isin(state.verdict.keys())


def opened(collection: Collection) -> Any | None:
    """The dataset as it is, or None where there is none yet."""
    fo = fiftyone_library.fo()
    name = collection.name  # a database may hold several
    return _repaired(fo.load_dataset(name)) if fo.dataset_exists(name) else None


def _opened(collection: Collection) -> Any:
    dataset = opened(collection)
    if dataset is None:
        dataset = fiftyone_library.fo().Dataset(collection.name, persistent=True)
    _declare(dataset)
    if dataset.app_config.active_fields is None:  # else every rule's "fine" would cover the pictures
        dataset.app_config.active_fields = fiftyone_library.fo().ActiveFields(paths=["label"])
        dataset.save()
    said = dict(dataset.info.get("fewpose", {})) | {"collection": str(collection.root.resolve())}
    if dataset.info.get("fewpose") != said:
        dataset.info["fewpose"] = said
        dataset.save()
    return dataset


def _repaired(dataset: Any) -> Any:
    """After a crash MongoDB counts wrong, and finds everything: len() may be 0 until it looks again."""
    stored = dataset._sample_collection
    if stored.estimated_document_count() != dataset.count("id"):
        stored.database.command("validate", stored.name)
    return dataset


def _declare(dataset: Any) -> None:
    """Fields exist before a sample has a value, so that they can be filtered by."""
    fo = fiftyone_library.fo()
    have = dataset.get_field_schema()
    kinds = dict.fromkeys((*_PLAIN, "verdict", "reason"), fo.StringField)
    kinds |= dict.fromkeys(("filtered", "suspicious"), fo.BooleanField)
    for name, kind in kinds.items():
        if name not in have:
            dataset.add_sample_field(name, kind)
    if "label" not in have:
        _declare_classification(dataset, "label")
    dataset.create_index("key", unique=True)


def _declare_classification(dataset: Any, name: str) -> None:
    fo = fiftyone_library.fo()
    dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)


def _match_samples(dataset: Any, collection: Collection, images: pd.DataFrame) -> None:
    """A sample for each key and its content; those of images that are gone, or are others now, go."""
    fo = fiftyone_library.fo()
    samples, keys, contents = dataset.values(["id", "key", "content_id"])
    wanted = set(zip(images["key"], images["id"], strict=True))
    gone = [sample for sample, *is_ in zip(samples, keys, contents, strict=True) if tuple(is_) not in wanted]
    if gone:
        dataset.delete_samples(gone)
    have = set(zip(keys, contents, strict=True))
    new = images[[pair not in have for pair in zip(images["key"], images["id"], strict=True)]]
    dataset.add_samples(
        (
            fo.Sample(
                filepath=str(collection.path(row["file"]).absolute()),
                metadata=_metadata(row),
                label=fo.Classification(label=row["label"]),
                **{field: row[column] for field, column in _PLAIN.items()},
            )
            for row in new.to_dict("records")
        ),
        dynamic=False,
        num_samples=len(new),
    )


def _metadata(row: Mapping[Any, Any]) -> Any:
    """From the table: the App lays out its grid by it, and would read every file."""
    mime = f"image/{str(row['format']).lower()}"
    return fiftyone_library.fo().ImageMetadata(
        width=row["width"], height=row["height"], size_bytes=row["bytes"], mime_type=mime
    )


def _write_plain(dataset: Any, collection: Collection, images: pd.DataFrame) -> None:
    """What may have changed under a key and content that stay: groups, places, ..."""
    columns = {name: images[column] for name, column in _PLAIN.items()}
    columns["filepath"] = pd.Series([str(collection.path(file).absolute()) for file in images["file"]])
    writing.write(dataset, {name: dict(zip(images["key"], values, strict=True)) for name, values in columns.items()})


def _write_synthetic(dataset: Any, images: pd.DataFrame) -> None:
    """What provenance tells of synthetic images; the fields exist as soon as there is one."""
    fo = fiftyone_library.fo()
    made = synthetic.synthetic(images)
    if made.empty and not dataset.has_sample_field(_ACCEPTED):
        return
    for name, kind in {_ACCEPTED: fo.BooleanField, **dict.fromkeys(_MADE, fo.StringField)}.items():
        if not dataset.has_sample_field(name):
            dataset.add_sample_field(name, kind)
    rows = zip(made["key"], made["provenance"], strict=True)
    told = {key: json_files.parse_object(text or "{}") for key, text in rows}
    writing.write(dataset, {name: {key: facts.get(name) for key, facts in told.items()} for name in _MADE})


def _write_findings(dataset: Any, images: pd.DataFrame, found: Findings | None) -> None:
    """A field a rule that ran; the field of a rule that does not run any more goes."""
    rules = [name for name, rule in found.rules.items() if not rule.not_run] if found else []
    said = dict(dataset.info["fewpose"])
    gone = [name for name in said.get("rules", []) if name not in rules and dataset.has_sample_field(name)]
    if gone:
        dataset.delete_sample_fields(gone)
    for name in rules:
        if not dataset.has_sample_field(name):
            _declare_classification(dataset, name)
            dataset.add_sample_field(f"{name}.detail", fiftyone_library.fo().StringField)
    dataset.info["fewpose"] = said | {"rules": rules}
    dataset.save()
    if found is None:
        return
    # Findings are of a content: those of a key that holds another one now say nothing of it.
    table = found.table.merge(images[["key", "id"]], on=["key", "id"])
    for name in rules:
        _write_finding(dataset, name, table[table["rule"] == name])


def _write_finding(dataset: Any, name: str, table: pd.DataFrame) -> None:
    import bson

    words = table["flagged"].map({True: "flagged", False: "fine"})
    wanted = dict(zip(table["key"], zip(words, table["score"], table["detail"], strict=True), strict=True))
    paths = ("id", "key", *(f"{name}.{part}" for part in ("label", "confidence", "detail")))
    nothing = (None, None, None)
    form = fiftyone_library.fo().Classification().to_dict()
    updates: dict[str, dict[str, Any]] = {}
    for sample, key, *has in zip(*dataset.values(paths), strict=True):
        says = wanted.get(key, nothing)
        if says != tuple(has):
            label, confidence, detail = says
            parts = {"_id": bson.ObjectId(), "label": label, "confidence": confidence, "detail": detail}
            updates[sample] = {name: form | parts if key in wanted else None}
    writing.apply(dataset, updates)


def _write_predictions(dataset: Any, predictions: pd.DataFrame) -> None:
    fo = fiftyone_library.fo()
    kinds = {"tested": fo.IntField, "wrong_share": fo.FloatField, "confused_with": fo.StringField}
    if set(INFLUENCE) <= set(predictions):
        kinds |= dict.fromkeys(INFLUENCE, fo.FloatField)
    elif stale := [name for name in INFLUENCE if dataset.has_sample_field(name)]:
        dataset.delete_sample_fields(stale)  # of another sweep
    wanted = {}
    for name, kind in kinds.items():
        if not dataset.has_sample_field(name):
            dataset.add_sample_field(name, kind)
        told = dict(zip(predictions["key"], predictions[name].tolist(), strict=True))
        wanted[name] = {key: told.get(key) for key in dataset.values("key")}
    writing.write(dataset, wanted)
