"""Fields of a dataset, written in bulk, and only where they are not what they should be."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_BATCH = 2000  # samples a write


def write(dataset: Any, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """Set fields, by path and then by key, where they are not what they should be."""
    samples, keys, *columns = dataset.values(["id", "key", *wanted])
    updates: dict[str, dict[str, Any]] = defaultdict(dict)
    for (path, by_key), values in zip(wanted.items(), columns, strict=True):
        for sample, key, has in zip(samples, keys, values, strict=True):
            if key in by_key and by_key[key] != has:
                updates[sample][path] = by_key[key]
    apply(dataset, updates)


def apply(dataset: Any, updates: Mapping[str, Mapping[str, Any]]) -> None:
    """Write values as MongoDB stores them, by sample: FiftyOne's set_values took ten times as long for the findings."""
    import bson
    from pymongo import UpdateOne

    now = {"last_modified_at": datetime.now(UTC)}
    writes = [
        UpdateOne({"_id": bson.ObjectId(sample)}, {"$set": {**values, **now}}) for sample, values in updates.items()
    ]
    for start in range(0, len(writes), _BATCH):
        dataset._sample_collection.bulk_write(writes[start : start + _BATCH], ordered=False)
