"""A forest as an ONNX file, and the file's output compared with the forest's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from curate.foundation import atomic
from curate.foundation.errors import FewposeError
from curate.pose import posture
from curate.pose.forest import Forest
from fewshot.exporting import library
from fewshot.exporting.alone import FEATURES, PROBABILITIES, shares

MOST_DIFFERENCE = 1e-5  # of a share, between onnxruntime's sum in float32 and the forest's in float64
_MOST_BYTES = 2**31 - 2**24  # protobuf's limit on one file
_LEAF = -1
_TRIED = 256  # postures
_OPSET, _TREES_OPSET, _IR = 13, 1, 8  # old enough for any onnxruntime that is about


def write(forest: Forest, classes: int, path: Path, properties: Mapping[str, str]) -> float:
    """Write a forest, whose classes are places in so many, as a whole file, or none.

    It takes `features` (n, 178) float32, of n postures, and gives `probabilities` (n, classes) float32, each row the
    mean over the trees. Returns the largest difference from `forest` on drawn features. Raises FewposeError where the
    extra is missing, the trees are too many for one file, or onnxruntime's output differs by MOST_DIFFERENCE.
    """
    onnx = library.onnx()
    helper = onnx.helper
    tensor = onnx.TensorProto.FLOAT
    node = helper.make_node(
        "TreeEnsembleRegressor", [FEATURES], [PROBABILITIES], domain="ai.onnx.ml", **_attributes(forest, classes)
    )
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info(FEATURES, tensor, ["batch", posture.WIDTH])],
        [helper.make_tensor_value_info(PROBABILITIES, tensor, ["batch", classes])],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _TREES_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="fewpose")
    helper.set_model_props(model, dict(properties))
    if model.ByteSize() > _MOST_BYTES:
        raise FewposeError("trees of more than 2 GB don't fit in an ONNX file; train a model of fewer --trees")
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        found = difference(forest, classes, temporary)
        if not found <= MOST_DIFFERENCE:  # nan, too
            raise FewposeError(
                f"{path} is not written: in onnxruntime, shares of the trees' votes differ by up to {found:.2g}, and "
                f"{MOST_DIFFERENCE:g} is allowed; another version of onnxruntime may do better"
            )
    return found


def difference(forest: Forest, classes: int, path: Path) -> float:
    """The largest difference of a share between the file and the forest, on drawn features."""
    features = drawn(forest)
    expected = np.zeros((len(features), classes))
    expected[:, forest.classes] = forest.probabilities(features)
    return float(np.abs(shares(library.session(path, 1), features) - expected).max())


def drawn(forest: Forest) -> np.ndarray:
    """(256, 178) float32, always the same; half of the values are thresholds of the trees, where a comparison that is
    rounded otherwise shows.
    """
    random = np.random.default_rng(0)
    features = random.normal(size=(_TRIED, posture.WIDTH)).astype(np.float32)
    inner = np.flatnonzero(forest.feature != _LEAF)
    if len(inner):
        chosen = random.choice(inner, (_TRIED, posture.WIDTH))
        columns = forest.feature[chosen]
        rows = np.repeat(np.arange(_TRIED), posture.WIDTH)[::2]
        features[rows, columns.ravel()[::2]] = forest.threshold[chosen].ravel()[::2]
    return features


def _attributes(forest: Forest, classes: int) -> dict[str, Any]:
    """Of a TreeEnsembleRegressor with a target for each class; a leaf has a weight for each class that it votes for."""
    forest = forest if len(forest.roots) else _knows_nothing()
    nodes = np.arange(len(forest.feature))
    tree = np.searchsorted(forest.roots, nodes, side="right") - 1
    root = forest.roots[tree]
    inner = forest.feature != _LEAF
    voting = np.repeat(nodes, np.diff(forest.first))
    arrays = {
        "nodes_treeids": tree,
        "nodes_nodeids": nodes - root,
        "nodes_modes": np.where(inner, "BRANCH_LEQ", "LEAF"),
        "nodes_featureids": np.where(inner, forest.feature, 0),
        "nodes_values": forest.threshold,
        "nodes_truenodeids": np.where(inner, forest.below - root, 0),
        "nodes_falsenodeids": np.where(inner, forest.above - root, 0),
        "target_treeids": tree[voting],
        "target_nodeids": (nodes - root)[voting],
        "target_ids": forest.classes[forest.votes],
        "target_weights": forest.shares / len(forest.roots),
    }
    lists = {name: each.tolist() for name, each in arrays.items()}
    return {"n_targets": classes, "aggregate_function": "SUM", "post_transform": "NONE"} | lists


def _knows_nothing() -> Forest:
    """A tree of one leaf, which gives no class any share: ONNX knows no forest without a tree."""
    arrays = {name: np.array([0], kind) for name, kind in Forest.KINDS.items()}
    arrays |= {"feature": np.array([_LEAF], np.int16), "first": np.array([0, 1], np.int32)}
    return Forest(**arrays)
