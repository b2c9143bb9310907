"""Writes models of com.microsoft operators with the answers of ONNX Runtime.

    python tests/oracle/contrib.py OUT_FOLDER [MODELS_FOLDER]

Two kinds: single nodes of each operator that nowcast has, made here with a fixed seed
(contrib_nodes.py), and the models in MODELS_FOLDER as ONNX Runtime's optimizer and its quantizers
rewrite them (contrib_models.py). Folders and index.json have the form that export_node_suite.py
describes, with two fields read otherwise: `rtol` is how far a float may be off as a part of the
largest element of its output, `atol` how many steps an integer of eight bits may be off. Answers
are those of the file as written: ONNX Runtime with no rewriting, one thread.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from export_node_suite import op_types


def session(model, level=ort.GraphOptimizationLevel.ORT_DISABLE_ALL):
    """A session on one thread that rewrites as much as `level` says."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    data = model if isinstance(model, (str, Path)) else model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def answers(model, inputs, **level):
    """Outputs by name."""
    run = session(model, **level)
    names = [output.name for output in run.get_outputs()]
    return dict(zip(names, run.run(names, inputs)))


def value(name, array):
    """Name, type and shape of an array."""
    dtype = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    return onnx.helper.make_tensor_value_info(name, dtype, array.shape)


def described(folder, side, arrays):
    """Writes arrays and describes them for the index."""
    entries = []
    for i, (name, array) in enumerate(arrays):
        np.save(folder / f"{side}_0_{i}.npy", np.ascontiguousarray(array).reshape(array.shape))
        dtype = onnx.TensorProto.DataType.Name(onnx.helper.np_dtype_to_tensor_dtype(array.dtype))
        entries.append({"name": name, "kind": "tensor", "dtype": dtype.lower(),
                        "shape": list(array.shape), "raw_bits": False})
    return entries


def write(out, name, model, inputs, outputs, part, steps=0):
    """Writes one case and returns its index entry."""
    folder = out / name
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return {
        "name": name, "expanded": False,
        "opsets": {o.domain: o.version for o in model.opset_import}, "ops": op_types(model),
        "rtol": part, "atol": steps, "sets": 1,
        "inputs": described(folder, "input", inputs.items()),
        "outputs": described(folder, "output", outputs.items()), "reason": None,
    }


def main():
    import contrib_models
    import contrib_nodes

    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    # Written beside the final place and moved at the end: a folder that exists is whole.
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    index = contrib_nodes.write_all(part)
    nodes = len(index)
    if len(sys.argv) == 3:
        index += contrib_models.write_all(part, Path(sys.argv[2]))
    (part / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    print(f"contrib: {nodes} nodes and {len(index) - nodes} rewritten models "
          f"(onnxruntime {ort.__version__})")


if __name__ == "__main__":
    main()
