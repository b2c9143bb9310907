"""scikit-learn's MLPRegressor on the standardized context alone."""

import numpy as np
import onnx
from onnx import numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.neural_network import MLPRegressor

import data
from forecaster import Spec, Trained

SEED = 3
SPEC = Spec(
    name="jfk-sklearn-mlp",
    series="../jfk-temperature/series.csv",
    context=96,
    center="context_mean",
    spread="context_std",
    calendar=(),
    output="variable",
)


def name_batch(model: onnx.ModelProto):
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


def restore_horizon(model: onnx.ModelProto):
    """The converter reshapes every MLPRegressor's output to one column."""
    (reshape,) = (node for node in model.graph.node if node.op_type == "Reshape")
    (shape,) = (c for c in model.graph.initializer if c.name == reshape.input[1])
    shape.CopyFrom(numpy_helper.from_array(np.array([-1, data.HORIZON]), shape.name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = data.HORIZON


def train() -> Trained:
    inputs, targets = SPEC.training_set()
    model = MLPRegressor(
        hidden_layer_sizes=(64, 64),
        alpha=1.0,
        learning_rate_init=1e-3,
        max_iter=20,
        n_iter_no_change=20,
        random_state=SEED,
    ).fit(inputs["context"], targets)
    onnx_model = convert_sklearn(
        model,
        name="jfk_sklearn_mlp",
        initial_types=[("context", FloatTensorType([None, SPEC.context]))],
        target_opset=18,
    )
    name_batch(onnx_model)
    restore_horizon(onnx_model)
    return Trained(
        spec=SPEC,
        training={
            "framework": "scikit-learn",
            "exporter": "skl2onnx",
            "seed": SEED,
            "airports": data.AIRPORTS,
            "architecture": "MLPRegressor, hidden 64 and 64, relu",
        },
        model=onnx_model,
        predict=lambda x: model.predict(x["context"]).astype(np.float32),
    )
