"""The methods of fewpose: an entry here and a file of its own make one. Packages register others (fewshot.methods)."""

from collections.abc import Iterable

from fewshot.methods.description import Description, Numbered

_TRIAL = ("augment", "class_weights")
_TUNING = ("lr", "epochs", "batch_size")

LISTED = (
    Description(
        "zero-shot",
        "fewshot.methods.zero_shot:ZeroShot",
        "cosine to the words of each class, no training",
        needs=("texts",),
        trains=False,
        options=(),
    ),
    Description(
        "nearest-class-mean",
        "fewshot.methods.nearest_class_mean:NearestClassMean",
        "cosine to the mean of each class's images",
        options=(),
    ),
    Description(
        "tip-adapter",
        "fewshot.methods.tip_adapter:TipAdapter",
        "the words, and the training images as a cache beside them",
        needs=("texts",),
        options=(),
    ),
    Description(
        "tip-adapter-f",
        "fewshot.methods.tip_adapter:TipAdapterF",
        "as that, with the cache's keys trained",
        needs=("texts",),
    ),
    Description(
        "linear-probe",
        "fewshot.methods.linear_probe:LinearProbe",
        "logistic regression on frozen features",
    ),
    Description(
        "pose",
        "fewshot.methods.pose:Pose",
        "extremely randomised trees on the keypoints of the surest person",
        needs=("keypoints",),
    ),
    Description(
        "pose-prior",
        "fewshot.methods.pose_prior:PosePrior",
        "as that, on skeletons of known poses, too: also without any image",
        needs=("keypoints",),
        alone=True,
        flags=("pose_map",),
    ),
    Description(
        "proj",
        "fewshot.methods.projection:Projection",
        "the visual projection alone is trained",
        needs=("pixels", "activations", "texts"),
        tuned=True,
        cost=5,
    ),
    Description(
        "lora",
        "fewshot.methods.lora:Lora",
        "low-rank adapters in every attention block",
        needs=("pixels", "texts"),
        tuned=True,
        cost=100,  # roughly, as of finetune: both towers, or one of them, run both ways
        options=_TRIAL,
    ),
    Description(
        "finetune-last",
        "fewshot.methods.finetune_last:FinetuneLast",
        "the last blocks of the image tower, here 2, and class vectors",
        needs=("pixels", "activations", "texts"),
        tuned=True,
        numbered=Numbered("blocks", "of the last blocks it trains"),
        cost=20,
        recipe=True,
        options=_TRIAL,
        flags=_TUNING,
    ),
    Description(
        "finetune",
        "fewshot.methods.finetune:Finetune",
        "both towers, or the image tower",
        needs=("pixels", "texts"),
        tuned=True,
        cost=100,
        recipe=True,
        options=_TRIAL,
        flags=(*_TUNING, "image_only"),
    ),
)


def listing(names: Iterable[str]) -> str:
    """Names as a list in a sentence: a, b and c."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def taking(flag: str) -> str:
    """The methods of which a flag (Description.flags) sets something, for help sentences."""
    return listing(each.name for each in LISTED if flag in each.flags)
