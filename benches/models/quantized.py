"""Eight-bit models as ONNX Runtime's quantizers write them, from the float models beside them."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

CALIBRATED_ON = 8


class Samples(quantization.CalibrationDataReader):
    """Random inputs, the same each time."""

    def __init__(self, model, below):
        rng = np.random.default_rng(5)
        self.samples = iter([self.sample(model, below, rng) for _ in range(CALIBRATED_ON)])

    @staticmethod
    def sample(model, below, rng):
        inputs = {}
        for value in model.graph.input:
            tensor = value.type.tensor_type
            shape = [dim.dim_value for dim in tensor.shape.dim]
            if tensor.elem_type == onnx.TensorProto.INT64:
                inputs[value.name] = rng.integers(0, below, shape)
            else:
                inputs[value.name] = rng.uniform(-1, 1, shape).astype(np.float32)
        return inputs

    def get_next(self):
        return next(self.samples, None)


def written(source, write):
    """What `write` makes of the preprocessed model."""
    with tempfile.TemporaryDirectory() as folder:
        prepared, file = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        write(prepared, file)
        return onnx.load(file)


def static(source, below):
    """QDQ: u8 activations, a scale for each column of weights."""

    def write(prepared, file):
        quantization.quantize_static(
            prepared,
            file,
            Samples(onnx.load(prepared), below),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )

    return written(source, write)


def dynamic(source):
    """Activations by their range in each run."""

    def write(prepared, file):
        quantization.quantize_dynamic(prepared, file, weight_type=quantization.QuantType.QInt8)

    return written(source, write)
