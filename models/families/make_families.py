"""Writes one small ONNX file per model family and exporter, and the README.

Weights are random and seeded: the files are for parity of the runtime with
ONNX Runtime on graphs as exporters write them, not for forecasting.
"""

import collections
import logging
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotSupported
import torch
from jax2onnx import to_onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.export import Dim

import jax_models
import keras_models
import more_cases
import torch_models as tm
from torch_case import DYNAMO, TORCHSCRIPT, TorchCase, tokens, window

FOLDER = Path(__file__).resolve().parent
SEED = 7
SIZE_LIMIT = 60_000
TORCHSCRIPT_OPSET, DYNAMO_OPSET, OTHER_OPSET = 17, 20, 18


def recurrent_cases() -> list[TorchCase]:
    return [
        TorchCase(
            f"{kind.__name__.lower()}_{'bi' if both else 'uni'}",
            lambda kind=kind, both=both: tm.Recurrent(kind, both),
            (window(),),
        )
        for kind in (nn.LSTM, nn.GRU)
        for both in (False, True)
    ]


def torch_cases() -> list[TorchCase]:
    layers = range(tm.CachedDecoder.LAYERS)
    pairs = [f"{part}_{layer}" for layer in layers for part in ("key", "value")]
    past = tuple(torch.randn(1, tm.HEADS, 5, tm.DIM // tm.HEADS) for _ in pairs)
    state = torch.zeros(2, 1, tm.DIM)
    return [
        TorchCase("mlp", tm.Mlp, (torch.randn(1, tm.CONTEXT),)),
        TorchCase("encoder_library", tm.LibraryEncoder, (window(),)),
        TorchCase(
            "encoder_library_prenorm_batch",
            lambda: tm.LibraryEncoder(layers=1, norm_first=True),
            (window(2),),
            dynamic=({0: "batch"},),
        ),
        TorchCase("encoder_hand", tm.HandEncoder, (tokens(),), ("tokens",), ("logits",)),
        TorchCase(
            "encoder_hand_batch", tm.HandEncoder, (tokens(2),), ("tokens",), ("logits",),
            dynamic=({0: "batch"},),
        ),
        TorchCase("decoder_causal", tm.CausalDecoder, (tokens(),), ("tokens",), ("logits",)),
        TorchCase(
            "decoder_causal_length", tm.CausalDecoder, (tokens(1, 7),), ("tokens",), ("logits",),
            dynamic=({1: "length"},),
        ),
        TorchCase("decoder_sdpa", tm.SdpaDecoder, (window(),)),
        TorchCase(
            "decoder_cache", tm.CachedDecoder, (tokens(1, 1), *past),
            ("token", *(f"past_{p}" for p in pairs)),
            ("logits", *(f"present_{p}" for p in pairs)),
            dynamic=({}, *({2: "past"} for _ in pairs)),
        ),
        *recurrent_cases(),
        TorchCase(
            "lstm_stateful", tm.StatefulLstm, (window()[:, :1], state, state),
            ("step", "hidden_in", "cell_in"), ("forecast", "hidden_out", "cell_out"),
        ),
        TorchCase("tcn", tm.Tcn, (torch.randn(1, tm.CHANNELS, tm.CONTEXT),)),
        TorchCase("nbeats", tm.NBeats, (torch.randn(1, tm.CONTEXT),)),
        TorchCase(
            "tide", tm.Tide,
            (torch.randn(1, tm.CONTEXT), torch.randn(1, tm.CONTEXT + tm.HORIZON, 2)),
            ("context", "covariates"),
        ),
        TorchCase("tsmixer", tm.TsMixer, (window(),)),
        *more_cases.torch_cases(),
    ]  # fmt: skip


def export_torch(case: TorchCase, exporter: str, path: Path):
    torch.manual_seed(SEED)
    network = case.build().eval()
    if exporter == TORCHSCRIPT:
        torch.onnx.export(
            network, case.args, str(path), dynamo=False, opset_version=TORCHSCRIPT_OPSET,
            input_names=list(case.inputs), output_names=list(case.outputs),
            dynamic_axes={n: d for n, d in zip(case.inputs, case.dynamic) if d},
        )  # fmt: skip
        return
    shapes = None
    if case.dynamic:
        shapes = [{axis: Dim(n) for axis, n in d.items()} for d in case.dynamic]
        is_variadic = isinstance(network, tm.CachedDecoder)
        shapes = (shapes[0], tuple(shapes[1:])) if is_variadic else tuple(shapes)
    torch.onnx.export(
        network, case.args, str(path), dynamo=True, opset_version=DYNAMO_OPSET,
        input_names=list(case.inputs), output_names=list(case.outputs),
        dynamic_shapes=shapes, external_data=False, verbose=False,
    )  # fmt: skip


def dense(key, rows: int, cols: int):
    return jax.random.normal(key, (rows, cols)) / np.sqrt(rows)


def jax_mlp():
    first, second = jax.random.split(jax.random.key(SEED))
    into, out = dense(first, tm.CONTEXT, tm.DIM), dense(second, tm.DIM, tm.HORIZON)
    return lambda x: jax.nn.gelu(x @ into + 0.1) @ out + 0.2


def layer_norm(x):
    centered = x - x.mean(axis=-1, keepdims=True)
    return centered * jax.lax.rsqrt((centered**2).mean(axis=-1, keepdims=True) + 1e-5)


def jax_encoder():
    keys = iter(jax.random.split(jax.random.key(SEED), 16))
    into, out = dense(next(keys), tm.CHANNELS, tm.DIM), dense(next(keys), tm.DIM, tm.HORIZON)
    place = 0.1 * jax.random.normal(next(keys), (tm.CONTEXT, tm.DIM))
    layers = [
        (
            dense(next(keys), tm.DIM, 3 * tm.DIM),
            dense(next(keys), tm.DIM, tm.DIM),
            dense(next(keys), tm.DIM, 2 * tm.DIM),
            dense(next(keys), 2 * tm.DIM, tm.DIM),
        )
        for _ in range(2)
    ]

    def heads(x):
        return x.reshape(1, tm.CONTEXT, tm.HEADS, -1).transpose(0, 2, 1, 3)

    def encoder(x):
        x = x @ into + place
        for qkv, mix, up, down in layers:
            q, k, v = (heads(part) for part in jnp.split(layer_norm(x) @ qkv, 3, axis=-1))
            scores = jnp.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(tm.DIM // tm.HEADS)
            mixed = jnp.einsum("bhqk,bhkd->bhqd", jax.nn.softmax(scores, axis=-1), v)
            x = x + mixed.transpose(0, 2, 1, 3).reshape(1, tm.CONTEXT, tm.DIM) @ mix
            x = x + jax.nn.silu(layer_norm(x) @ up) @ down
        return x[:, -1] @ out

    return encoder


JAX_CASES = {
    "mlp_jax": (jax_mlp, (1, tm.CONTEXT)),
    "mlp_jax_batch": (jax_mlp, ("batch", tm.CONTEXT)),
    "encoder_jax": (jax_encoder, (1, tm.CONTEXT, tm.CHANNELS)),
    **jax_models.CASES,
}

SKLEARN_CASES = {
    "mlp_sklearn": MLPRegressor(hidden_layer_sizes=(tm.DIM,), max_iter=20, random_state=SEED),
    "linear_sklearn": LinearRegression(),
    "ridge_scaled_sklearn": make_pipeline(StandardScaler(), Ridge()),
}


def export_sklearn(model, path: Path):
    """Fitted to a random linear map; MLPRegressor's converter knows one output only."""
    random = np.random.default_rng(SEED)
    x = random.normal(size=(200, tm.CONTEXT))
    outputs = 1 if isinstance(model, MLPRegressor) else tm.HORIZON
    y = x @ random.normal(size=(tm.CONTEXT, outputs))
    model.fit(x, y.ravel() if outputs == 1 else y)
    proto = convert_sklearn(
        model,
        initial_types=[("context", FloatTensorType([None, tm.CONTEXT]))],
        target_opset=OTHER_OPSET,
    )
    path.write_bytes(proto.SerializeToString())


def strip_origins(path: Path):
    """Drops the source lines that the dynamo exporter notes on every node and value."""
    model = onnx.load(path)
    graphs = [model.graph, *model.functions]
    parts = [part for graph in graphs for part in (graph, *graph.node, *graph.value_info)]
    values = [*model.graph.input, *model.graph.output, *model.graph.initializer]
    for part in (*parts, *values):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


def write_all() -> dict[Path, str]:
    """Writes every file; gives each one's exporter."""
    written = {}
    for case in torch_cases():
        for exporter in case.exporters:
            suffix = "torchscript" if exporter == TORCHSCRIPT else "dynamo"
            path = FOLDER / f"{case.name}_{suffix}.onnx"
            export_torch(case, exporter, path)
            strip_origins(path)
            written[path] = exporter
    for name, (build, shape) in JAX_CASES.items():
        path = FOLDER / f"{name}.onnx"
        model = to_onnx(build(), [shape], model_name=name, opset=OTHER_OPSET)
        path.write_bytes(model.SerializeToString())
        written[path] = "jax2onnx"
    for name, build in keras_models.CASES.items():
        path = FOLDER / f"{name}.onnx"
        keras_models.export(build, path)
        strip_origins(path)
        written[path] = "Keras"
    for name, model in SKLEARN_CASES.items():
        path = FOLDER / f"{name}.onnx"
        export_sklearn(model, path)
        written[path] = "skl2onnx"
    return written


NUMPY_TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_,
}  # fmt: skip


def random_input(value, random) -> np.ndarray:
    """Any dimension that is not fixed is three; zero and one are indices, masks and lengths."""
    shape = [d if isinstance(d, int) else 3 for d in value.shape]
    dtype = NUMPY_TYPES[value.type]
    if np.issubdtype(dtype, np.floating):
        return random.normal(size=shape).astype(dtype)
    return np.ones(shape, dtype) if "length" in value.name else random.integers(0, 2, shape, dtype)


def check(path: Path):
    """The file is small, valid, and runs to finite numbers."""
    assert path.stat().st_size < SIZE_LIMIT, f"{path.name}: {path.stat().st_size} bytes"
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(SEED)
    feed = {value.name: random_input(value, random) for value in session.get_inputs()}
    for output in session.run(None, feed):
        assert np.isfinite(output).all(), f"{path.name}: not finite"


def operators(model: onnx.ModelProto) -> collections.Counter:
    """Operator types of the graph and of its functions, with counts."""
    nodes = [*model.graph.node, *(n for f in model.functions for n in f.node)]
    return collections.Counter(
        f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in nodes
    )


def readme(rows: list[str], union: collections.Counter) -> str:
    used = ", ".join(f"{op} {count}" for op, count in sorted(union.items()))
    return "\n".join(
        [
            "# Model families",
            "",
            "Small networks with random, seeded weights, as real exporters write them: from PyTorch by both",
            "of its exporters, from JAX and Flax, and from Keras on PyTorch; models of scikit-learn, LightGBM",
            "and XGBoost are in [sklearn](sklearn/README.md). The parity tests run each one beside ONNX Runtime.",
            "To make these again, in an environment with `requirements-families.txt` below `.oracle/`:",
            "",
            "```sh",
            "cargo xtask models --only networks",
            "```",
            "",
            "After export only the source lines noted in the metadata are dropped; nodes,",
            "names and shapes are the exporters' own. skl2onnx reshapes the output of every",
            "`MLPRegressor` to one column, so that model has one output.",
            "",
            "| file | exporter | opset | bytes | operators |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## All operator types, with counts",
            "",
            used,
            "",
            "`flow/` has models with control flow, in the forms that exporters give it (scripted PyTorch,",
            "tf2onnx, skl2onnx); `flow/make_flow.py` writes them with onnx and numpy alone.",
            "",
        ]
    )


def main():
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.manual_seed(SEED)
    rows, union = [], collections.Counter()
    for path, exporter in write_all().items():
        try:
            check(path)
        except NotSupported as error:
            # Nothing to compare with: bfloat16, for one.
            print(f"{path.name} is left out, ONNX Runtime does not run it: {error}")
            path.unlink()
            continue
        model = onnx.load(path)
        counts = operators(model)
        union += counts
        opset = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)
        names = ", ".join(sorted(counts))
        rows.append(f"| `{path.name}` | {exporter} | {opset} | {path.stat().st_size} | {names} |")
    (FOLDER / "README.md").write_text(readme(rows, union))
    for operator, count in sorted(union.items()):
        print(f"{operator} {count}")


if __name__ == "__main__":
    main()
