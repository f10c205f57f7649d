"""Where a synthetic image comes from: one record, in the image table, in a text chunk of the file, and beside it."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from curate.foundation import json_files
from curate.images.decoding import Unreadable, read_file, sniff
from curate.images.work import TooMuchWork, check_work

CHUNK = "fewpose"  # the keyword of the PNG's text chunk; of a JPEG, how the comment begins

# What a record may hold, all as text; what does not apply is left out.
FACTS = (
    "key",
    "label",
    "index",
    "prompt",
    "negative_prompt",
    "seed",
    "generator",  # mannequin, augment, or the class of the pipeline
    "model",  # as the user named it
    "revision",  # the commit of a hub repository, where it is known
    "weights",  # digest of the weights
    "controlnet",
    "controlnet_weights",
    "controlnet_scale",
    "control",  # what the skeleton was drawn from
    "lora",
    "lora_weights",
    "lora_scale",
    "ip_adapter",
    "ip_adapter_weights",
    "ip_adapter_scale",
    "made_from",  # content id of the real image that it was made from
    "strength",
    "scheduler",
    "steps",
    "guidance",
    "size",  # WIDTHxHEIGHT
    "dtype",
    "device",
    "license",  # of the model card, where it can be read
    "settings",  # their digest
    "versions",  # of fewpose, diffusers, torch, ...
)


def text(record: Mapping[str, str]) -> str:
    """One line of JSON, in the order of FACTS. Raises ValueError for what is no fact."""
    unknown = sorted(record.keys() - set(FACTS))
    if unknown:
        raise ValueError(f"no facts of provenance: {', '.join(unknown)}")
    return json.dumps({name: record[name] for name in FACTS if name in record}, ensure_ascii=False)


def sidecar(image: Path) -> Path:
    """The JSON file beside an image."""
    return image.with_suffix(".json")


def read(image: Path) -> dict[str, Any]:
    """The record inside an image file. Raises OSError, and ValueError or SyntaxError where there is none."""
    try:
        content = read_file(image)
        check_work(content, sniff(content) or "")
    except (Unreadable, TooMuchWork) as error:
        raise ValueError(f"{image} can't be read: {error}") from error
    with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as opened:
        told = opened.info.get(CHUNK)
        comment = opened.info.get("comment", b"")
    if told is None and isinstance(comment, bytes) and comment.startswith(CHUNK.encode() + b" "):
        told = comment.decode("utf-8").partition(" ")[2]
    if told is None:
        raise ValueError(f"{image} says nothing of where it comes from")
    return json_files.parse_object(told)
