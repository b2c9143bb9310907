"""Writes ONNX graphs the way exporters do: random weights, names, the order of nodes."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

ELEMENT = {np.dtype("float32"): TensorProto.FLOAT, np.dtype("int64"): TensorProto.INT64}


class Graph:
    """One model under construction. The weights depend on `seed` alone, not on NumPy's version."""

    def __init__(self, opset, ir_version, seed):
        self.opset, self.ir_version = opset, ir_version
        self.random = np.random.RandomState(seed)
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.counts = {}
        self.scalars = {}

    def input(self, name, shape, dtype="float32"):
        element = ELEMENT[np.dtype(dtype)]
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def output(self, name, shape):
        """Declares the result of the last node as the model's output, under this name."""
        self.nodes[-1].output[0] = name
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def node(self, scope, op, inputs, results=1, **attributes):
        """A node named by its scope and the count of its kind there; returns its first result."""
        kind = f"{scope}/{op}"
        count = self.counts.get(kind, 0)
        self.counts[kind] = count + 1
        name = kind if count == 0 else f"{kind}_{count}"
        outputs = [f"{name}_output_{i}" for i in range(results)]
        self.nodes.append(helper.make_node(op, inputs, outputs, name, **attributes))
        return outputs[0]

    def weight(self, name, array):
        self.weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def uniform(self, name, shape, bound, around=0.0):
        """A weight as a layer of PyTorch begins: uniform within `bound`."""
        values = self.random.uniform(-bound, bound, shape) + around
        return self.weight(name, values.astype("float32"))

    def normal(self, name, shape, deviation):
        return self.weight(name, (self.random.standard_normal(shape) * deviation).astype("float32"))

    def model(self, name, producer="pytorch"):
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.weights)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=self.ir_version, producer_name=producer
        )
