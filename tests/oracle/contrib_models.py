"""Models as ONNX Runtime's optimizer and quantizers rewrite them; contrib.py says what becomes of
them."""

import tempfile
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from contrib import answers, session, value, write
from onnx import helper, numpy_helper
from onnxruntime.capi._pybind_state import quantize_matmul_4bits, quantize_matmul_8bits
from onnxruntime.quantization import (CalibrationDataReader, QuantFormat, QuantType,
                                      quantize_dynamic, quantize_static)

FLOAT = 2e-5
Level = ort.GraphOptimizationLevel
LEVELS = {"basic": Level.ORT_ENABLE_BASIC, "extended": Level.ORT_ENABLE_EXTENDED,
          "all": Level.ORT_ENABLE_ALL}
# Layers that a quantizer rewrites, one model of each exporter and kind.
QUANTIZED = ["mlp_torchscript", "mlp_jax", "encoder_library_torchscript", "encoder_hand_dynamo",
             "lstm_uni_torchscript", "gru_bi_torchscript", "tcn_torchscript", "tsmixer_dynamo",
             "decoder_cache_torchscript", "nbeats_torchscript", "tide_dynamo"]


def inputs_of(path):
    """Seeded inputs; open extents are small, one for each name."""
    random = np.random.default_rng(zlib.crc32(path.stem.encode()))
    extents = {}

    def extent(axis, dim):
        if isinstance(dim, int):
            return dim
        is_batch = axis == 0 if dim is None else "batch" in dim.lower() or dim.lower() in "nb"
        return extents.setdefault(dim, 2 if is_batch else 5) if dim else (2 if is_batch else 5)

    inputs = {}
    for port in session(path).get_inputs():
        shape = [extent(axis, dim) for axis, dim in enumerate(port.shape)]
        floats = {"tensor(float)": np.float32, "tensor(double)": np.float64,
                  "tensor(float16)": np.float16}
        if port.type in floats:
            inputs[port.name] = random.standard_normal(shape).astype(floats[port.type])
        else:
            dtype = {"tensor(int64)": np.int64, "tensor(int32)": np.int32,
                     "tensor(bool)": np.bool_}[port.type]
            inputs[port.name] = random.integers(0, 2, shape).astype(dtype)
    return inputs


class Calibration(CalibrationDataReader):
    """The inputs themselves, and less of them."""

    def __init__(self, inputs):
        self.sets = iter([inputs, {name: (x * 0.5).astype(x.dtype) for name, x in inputs.items()}])

    def get_next(self):
        return next(self.sets, None)


def n_bits(model, bits):
    """MatMul with constant weights as MatMulNBits, or None where there is none."""
    constants = {c.name: c for c in model.graph.initializer}
    block, changed = 32, False
    pack = {4: quantize_matmul_4bits, 8: quantize_matmul_8bits}[bits]
    for node in model.graph.node:
        weights = constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if weights is None or len(weights.dims) != 2:
            continue
        array = numpy_helper.to_array(weights)
        rows, cols = array.shape
        blocks = -(-rows // block)
        packed = np.zeros((cols, blocks, block * bits // 8), np.uint8)
        scales = np.zeros(cols * blocks, np.float32)
        zeros = np.zeros(cols * (-(-blocks * bits // 8)), np.uint8)
        pack(packed, array, scales, zeros, block, cols, rows, False)
        name = weights.name
        added = [numpy_helper.from_array(x, f"{name}.{i}")
                 for i, x in enumerate((packed, scales, zeros))]
        known = {c.name for c in model.graph.initializer}
        model.graph.initializer.extend(c for c in added if c.name not in known)
        operands = [node.input[0], *(c.name for c in added)]
        node.CopyFrom(helper.make_node("MatMulNBits", operands, node.output, node.name,
                                       domain="com.microsoft", K=rows, N=cols, bits=bits,
                                       block_size=block))
        changed = True
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model if changed else None


def rewritten(path, inputs, folder):
    """Every rewritten form of a model by name, with whether its numbers are rounded."""
    for name, level in LEVELS.items():
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        options.optimized_model_filepath = str(folder / "optimized.onnx")
        options.log_severity_level = 4
        ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        yield name, onnx.load(folder / "optimized.onnx"), False
    if path.stem not in QUANTIZED:
        return
    quantized = folder / "quantized.onnx"
    quantize_dynamic(path, quantized, weight_type=QuantType.QInt8)
    yield "dynamic", onnx.load(quantized), True
    for form in QuantFormat:
        for per_channel in (False, True):
            name = f"{form.name.lower()}{'_channels' * per_channel}"
            try:
                quantize_static(path, quantized, Calibration(inputs), quant_format=form,
                                per_channel=per_channel, activation_type=QuantType.QUInt8,
                                weight_type=QuantType.QInt8)
            except (IndexError, ValueError, RuntimeError) as error:
                print(f"    ONNX Runtime does not quantize {path.stem} as {name}: {error!r}")
                continue
            yield name, onnx.load(quantized), True
            if per_channel:
                continue
            options = ort.SessionOptions()
            options.graph_optimization_level = LEVELS["extended"]
            options.optimized_model_filepath = str(folder / "optimized.onnx")
            options.log_severity_level = 4
            ort.InferenceSession(quantized, options, providers=["CPUExecutionProvider"])
            yield f"{name}_extended", onnx.load(folder / "optimized.onnx"), True
    for bits in (4, 8):
        model = n_bits(onnx.load(path), bits)
        if model is not None:
            yield f"{bits}_bits", model, False


def limit(model, inputs, expected):
    """How far ONNX Runtime's own rewriting of a rounded model moves its answers, and two steps of
    a range of eight bits: the output's own, and one that a tie before it carries on."""
    moved = answers(model, inputs, level=Level.ORT_ENABLE_ALL)
    part = [np.abs(moved[n] - x).max() / max(np.abs(x).max(), 1e-30) for n, x in expected.items()
            if x.dtype == np.float32]
    return float(max([*part, 0.0])) + 1 / 64


def write_all(out, models):
    index = []
    for path in sorted(models.glob("*.onnx")):
        inputs = inputs_of(path)
        with tempfile.TemporaryDirectory() as folder:
            for name, model, rounded in rewritten(path, inputs, Path(folder)):
                if any("nchwc" in node.domain for node in model.graph.node):
                    # Layouts of one machine, which the documentation says not to ship.
                    continue
                expected = answers(model, inputs)
                declared = {o.name for o in model.graph.output}
                del model.graph.output[:]
                model.graph.output.extend(value(n, x) for n, x in expected.items())
                assert declared == set(expected)
                part = limit(model, inputs, expected) if rounded else FLOAT
                index.append(write(out, f"{path.stem}_{name}", model, inputs, expected, part, 1))
    return index
