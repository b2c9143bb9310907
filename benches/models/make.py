"""Writes the models of `cargo xtask bench` and a list of them: `make.py FOLDER`.

The same seeds give the same files. Beside each case stands the ratio to the fastest peer that is to be
reached.
"""

import json
import sys
from pathlib import Path

import dynamo
import onnx
import quantized
import torchscript
from forest import forest

ENCODER = {"dim": 128, "heads": 4, "ff": 2048, "vocab": 256}


def cases(folder):
    """For each case its group, name, title, the ratio to reach, and what makes the model: nothing
    where it is one of those before."""
    ts, dyn = torchscript, dynamo
    deep = [32, 256, 256, 24]

    def f32(*case):
        return "f32", *case

    def odd(name, title, *make):
        # Shapes that are no multiples of a vector, several examples at once.
        return "odd", f"odd-{name}", title, 0.9, *make

    yield f32("mlp", "MLP 32-256-256-24", 0.55, ts.mlp, deep)
    yield f32("encoder-w5", "encoder d 128, window 5", 0.9, ts.encoder, 5, ENCODER)
    yield f32("encoder-w5-dynamo", "the same, exported by dynamo", 0.9, dyn.encoder, 5, ENCODER)
    yield f32("encoder-w64", "encoder d 128, window 64", 0.9, ts.encoder, 64, ENCODER)
    yield f32("lstm", "LSTM 8-64, 32 steps", 0.55, ts.recurrent, "LSTM", 32, 8, 64)
    yield f32("gru", "GRU 8-64, 32 steps", 0.55, ts.recurrent, "GRU", 32, 8, 64)
    yield f32("tcn", "causal Conv1d x5, 32 x 128", 0.4, ts.tcn, 32, 128)
    yield f32("tcn-dynamo", "the same, exported by dynamo", 0.4, dyn.tcn, 32, 128)

    yield odd("mlp", "MLP 30-100-100-7", ts.mlp, [30, 100, 100, 7])
    yield odd("mlp-batch3", "MLP 32-256-256-24, 3 rows", ts.mlp, deep, {"batch": 3})
    small = {"dim": 96, "heads": 3, "ff": 384, "vocab": 256}
    yield odd("encoder-d96", "encoder d 96, 3 heads, window 77", ts.encoder, 77, small)
    small = {"dim": 100, "heads": 4, "ff": 400, "vocab": 256}
    yield odd("encoder-d100", "encoder d 100, 4 heads, window 77", ts.encoder, 77, small)
    batch = ENCODER | {"batch": 3}
    yield odd("encoder-batch3", "encoder d 128, window 5, 3 rows", ts.encoder, 5, batch)
    yield odd("lstm-h50", "LSTM 7-50, 32 steps", ts.recurrent, "LSTM", 32, 7, 50)
    yield odd("tcn-c20", "causal Conv1d x5, 20 x 77", ts.tcn, 20, 77)

    # Weights of ours in bf16 beside the same models in f32: no peer has bf16 on a CPU.
    for name, title, to_reach in [
        ("mlp", "MLP 32-256-256-24, bf16", None),
        ("encoder-w5", "encoder d 128, window 5, bf16", None),
        ("encoder-w64", "encoder d 128, window 64, bf16", 0.4),
    ]:
        yield "bf16", name, title, to_reach, None

    # As ONNX Runtime's quantizers write them: static, and by the range of the data in each run.
    vocab = ENCODER["vocab"]
    for name, title, to_reach, to_reach_dynamic in [
        ("mlp", "MLP 32-256-256-24", 0.25, None),
        ("encoder-w5", "encoder d 128, window 5", 0.3, 0.3),
        ("encoder-w64", "encoder d 128, window 64", 0.7, None),
        ("tcn", "causal Conv1d x5, 32 x 128", 0.4, None),
        ("lstm", "LSTM 8-64, 32 steps", None, None),
        ("odd-mlp", "MLP 30-100-100-7", None, None),
        ("odd-encoder-d100", "encoder d 100, window 77", None, None),
    ]:
        source = folder / f"{name}.onnx"
        if name != "lstm":
            title_qdq = f"{title}, int8 QDQ"
            yield "int8", f"{name}-int8", title_qdq, to_reach, quantized.static, source, vocab
        if name != "tcn":
            case = f"{name}-int8-dynamic"
            yield "int8", case, f"{title}, int8 dynamic", to_reach_dynamic, quantized.dynamic, source

    yield "forest", "forest", "random forest, 100 trees, 5 inputs", 0.4, forest, 100, 5

    # What counts here is the time to read the file and to make it ready to run.
    yield "load", "load-encoder", "loading the encoder, 5 MB", 0.5, ts.encoder, 5, ENCODER
    wide = [512, 1024, 512, 256]
    yield "load", "load-mlp", "loading MLP 512-1024-512-256, 4.7 MB", 0.5, ts.mlp, wide


def inputs(model):
    """What the inputs of a model are: integers are tokens."""
    for value in model.graph.input:
        tensor = value.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        shape = [dim.dim_value for dim in tensor.shape.dim]
        yield {"name": value.name, "dtype": dtype, "shape": shape, "below": ENCODER["vocab"]}


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for group, name, title, to_reach, make, *operands in cases(folder):
        file = folder / f"{name}.onnx"
        if make is not None:
            options = operands.pop() if isinstance(operands[-1], dict) else {}
            model = make(*operands, **options)
            # The quantizers write operators of domains that the checker does not know.
            if group != "int8":
                onnx.checker.check_model(model, full_check=True)
            file.write_bytes(model.SerializeToString())
        model = onnx.load(file)
        bf16 = group == "bf16"
        case = {"group": group, "case": f"{name}-bf16" if bf16 else name, "title": title}
        precision = group if group in ("bf16", "int8") else "f32"
        case |= {"file": file.name, "precision": precision}
        listed.append(case | {"to_reach": to_reach, "inputs": list(inputs(model))})
    (folder / "cases.json").write_text(json.dumps(listed, indent=1) + "\n")


if __name__ == "__main__":
    main()
