"""One LSTM layer over the context.

A dense head reads its last state, the hour, and the context itself, so that
the layer learns what a linear forecast misses.
"""

import jax
import jax.numpy as jnp
import numpy as np
from onnx import TensorProto, helper, numpy_helper

import data
from fit import dense, dropout, fit
from forecaster import Spec, Trained

SEED = 2
HIDDEN = 64
DROPOUT = 0.2
SPEC = Spec(
    name="jfk-lstm",
    series="../jfk-temperature/series.csv",
    context=96,
    center="last",
    spread=10.0,
    calendar=("hour_sin", "hour_cos"),
    output="mean",
)


def init(key) -> dict:
    """Weights in ONNX's gate order: input, output, forget, cell."""
    w, r, head = jax.random.split(key, 3)
    features = HIDDEN + SPEC.context + len(SPEC.calendar)
    forget = jnp.zeros(4 * HIDDEN).at[2 * HIDDEN : 3 * HIDDEN].set(1.0)
    return {
        "w": dense(w, 1, 4 * HIDDEN, 0.5),
        "r": dense(r, HIDDEN, 4 * HIDDEN),
        "b": forget,
        "head": dense(head, features, data.HORIZON, 0.3),
        "head_b": jnp.zeros(data.HORIZON),
    }


def predict(params, context, calendar, key):
    def step(state, value):
        hidden, cell = state
        gates = value[:, None] @ params["w"] + hidden @ params["r"] + params["b"]
        i, o, f, c = jnp.split(gates, 4, axis=1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(c)
        return (jax.nn.sigmoid(o) * jnp.tanh(cell), cell), None

    zeros = jnp.zeros((len(context), HIDDEN))
    (hidden, _), _ = jax.lax.scan(step, (zeros, zeros), context.T)
    state = dropout(key, DROPOUT, hidden)
    features = jnp.concatenate([state, context, calendar], axis=1)
    return features @ params["head"] + params["head_b"]


def to_onnx(params):
    weights = {k: np.asarray(v, np.float32) for k, v in params.items()}
    bias = np.concatenate([weights["b"], np.zeros(4 * HIDDEN, np.float32)])
    constants = {
        "lstm_w": weights["w"].T[None],
        "lstm_r": weights["r"].T[None],
        "lstm_b": bias[None],
        "head_w": weights["head"],
        "head_b": weights["head_b"],
        "feature_axis": np.array([2], np.int64),
        "direction_axis": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node("Transpose", ["context"], ["by_time"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["by_time", "feature_axis"], ["sequence"]),
        helper.make_node(
            "LSTM",
            ["sequence", "lstm_w", "lstm_r", "lstm_b"],
            ["", "last_state"],
            hidden_size=HIDDEN,
        ),
        helper.make_node("Squeeze", ["last_state", "direction_axis"], ["state"]),
        helper.make_node("Concat", ["state", "context", "calendar"], ["features"], axis=1),
        helper.make_node("Gemm", ["features", "head_w", "head_b"], ["mean"]),
    ]

    def value(name: str, dim: int):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", dim])

    graph = helper.make_graph(
        nodes,
        "jfk_lstm",
        [value("context", SPEC.context), value("calendar", len(SPEC.calendar))],
        [value("mean", data.HORIZON)],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )


def train() -> Trained:
    inputs, targets = SPEC.training_set()
    start, run = jax.random.split(jax.random.key(SEED))
    params = fit(
        init(start), predict, inputs, targets, run,
        steps=1500, batch=128, learning_rate=2e-3,
    )  # fmt: skip
    return Trained(
        spec=SPEC,
        training={
            "framework": "jax",
            "exporter": "onnx.helper",
            "seed": SEED,
            "airports": data.AIRPORTS,
            "architecture": f"LSTM, hidden {HIDDEN}, dense head with a linear skip",
        },
        model=to_onnx(params),
        predict=lambda x: np.asarray(predict(params, x["context"], x["calendar"], None)),
    )
