"""A random forest as scikit-learn grows it and `skl2onnx` writes it."""

import numpy as np
from onnx import TensorProto, helper


def best_split(x, y):
    """The feature and threshold with the least squared error; None where nothing divides."""
    rows, features = x.shape
    if rows < 2 or np.all(y == y[0]):
        return None
    order = np.argsort(x, axis=0, kind="stable")
    sorted_x = np.take_along_axis(x, order, axis=0)
    left = np.cumsum(y[order], axis=0)[:-1]
    count = np.arange(1, rows)[:, None]
    # Least squared error is the greatest sum of squared sums over counts.
    gain = left**2 / count + (y.sum() - left) ** 2 / (rows - count)
    gain[sorted_x[1:] <= sorted_x[:-1]] = -np.inf
    row, feature = np.unravel_index(np.argmax(gain), gain.shape)
    if gain[row, feature] == -np.inf:
        return None
    low, high = sorted_x[row, feature], sorted_x[row + 1, feature]
    threshold = np.float32((np.float64(low) + np.float64(high)) / 2)
    return feature, threshold if threshold < high else low


def grow(x, y):
    """A regression tree down to pure leaves: nodes in preorder, as scikit-learn numbers them."""
    nodes = []

    def visit(rows):
        at = len(nodes)
        split = best_split(x[rows], y[rows])
        if split is None:
            nodes.append({"value": y[rows].mean()})
            return at
        feature, threshold = split
        nodes.append({"feature": feature, "threshold": threshold})
        below = x[rows, feature] <= threshold
        nodes[at]["true"] = visit(rows[below])
        nodes[at]["false"] = visit(rows[~below])
        return at

    visit(np.arange(len(y)))
    return nodes


def forest(trees, inputs, rows=1000, seed=0):
    """`RandomForestRegressor(trees)` on bootstraps of a noisy function, as one operator."""
    random = np.random.RandomState(seed)
    x = random.standard_normal((rows, inputs)).astype("float32")
    y = x @ random.standard_normal(inputs) + np.sin(3 * x[:, 0]) + 0.1 * random.standard_normal(rows)
    columns = {key: [] for key in (
        "nodes_falsenodeids", "nodes_featureids", "nodes_hitrates",
        "nodes_missing_value_tracks_true", "nodes_modes", "nodes_nodeids", "nodes_treeids",
        "nodes_truenodeids", "nodes_values", "target_ids", "target_nodeids", "target_treeids",
        "target_weights",
    )}  # fmt: skip
    for tree in range(trees):
        sample = random.randint(0, rows, rows)
        for at, node in enumerate(grow(x[sample], y[sample])):
            leaf = "value" in node
            row = {
                "nodes_falsenodeids": node.get("false", 0),
                "nodes_featureids": node.get("feature", 0),
                "nodes_hitrates": 1.0,
                "nodes_missing_value_tracks_true": 0,
                "nodes_modes": "LEAF" if leaf else "BRANCH_LEQ",
                "nodes_nodeids": at,
                "nodes_treeids": tree,
                "nodes_truenodeids": node.get("true", 0),
                "nodes_values": float(node.get("threshold", 0.0)),
            }
            if leaf:
                row |= {"target_ids": 0, "target_nodeids": at, "target_treeids": tree}
                row |= {"target_weights": float(node["value"] / trees)}
            for key, value in row.items():
                columns[key].append(value)
    node = helper.make_node(
        "TreeEnsembleRegressor", ["X"], ["variable"], "TreeEnsembleRegressor",
        domain="ai.onnx.ml", n_targets=1, post_transform="NONE", **columns,
    )  # fmt: skip
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, [1, inputs])
    y = helper.make_tensor_value_info("variable", TensorProto.FLOAT, [1, 1])
    graph = helper.make_graph([node], "forest", [x], [y])
    opsets = [helper.make_opsetid("ai.onnx.ml", 1), helper.make_opsetid("", 17)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=8, producer_name="skl2onnx"
    )
