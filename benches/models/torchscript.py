"""Networks as `torch.onnx.export(..., dynamo=False, opset_version=17)` of PyTorch 2 writes them.

The exporter leaves arithmetic on shapes in the graph, and a constant for each of its operands.
The counts of operators were compared with exports by PyTorch 2.15, for each of these networks.
"""

import numpy as np
from onnx import numpy_helper

from graph import Graph

LAST = np.iinfo("int64").max


class Torchscript(Graph):
    """A graph with the constants of this exporter."""

    def __init__(self, seed):
        super().__init__(opset=17, ir_version=8, seed=seed)

    def constant(self, scope, value, dtype="int64"):
        tensor = numpy_helper.from_array(np.array(value, dtype))
        return self.node(scope, "Constant", [], value=tensor)

    def scalar(self, scope, value):
        """An index, which the exporter writes once for the model."""
        if value not in self.scalars:
            self.scalars[value] = self.constant(scope, value)
        return self.scalars[value]

    def reshape(self, scope, x, shape):
        return self.node(scope, "Reshape", [x, self.constant(scope, shape)], allowzero=0)

    def gemm(self, scope, x, name, inputs, outputs):
        """A linear layer over a matrix."""
        bound = inputs**-0.5
        weight = self.uniform(f"{name}.weight", (outputs, inputs), bound)
        bias = self.uniform(f"{name}.bias", (outputs,), bound)
        return self.node(scope, "Gemm", [x, weight, bias], alpha=1.0, beta=1.0, transB=1)

    def linear(self, scope, x, name, inputs, outputs, bias_name=None):
        """A linear layer over a tensor of three dimensions."""
        bound = inputs**-0.5
        weight = self.uniform(f"onnx::MatMul_{len(self.weights)}", (inputs, outputs), bound)
        bias = self.uniform(bias_name or f"{name}.bias", (outputs,), bound)
        product = self.node(scope, "MatMul", [x, weight])
        return self.node(scope, "Add", [bias, product])

    def norm(self, scope, x, name, dim):
        weight = self.uniform(f"{name}.weight", (dim,), 0.1, around=1.0)
        bias = self.uniform(f"{name}.bias", (dim,), 0.1)
        return self.node(scope, "LayerNormalization", [x, weight, bias], axis=-1, epsilon=1e-5)


def mlp(sizes, batch=1, seed=0):
    """`nn.Sequential` of linear layers with ReLU between them."""
    g = Torchscript(seed)
    x = g.input("x", [batch, sizes[0]])
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        if i > 0:
            x = g.node(f"/{2 * i - 1}", "Relu", [x])
        x = g.gemm(f"/{2 * i}", x, str(2 * i), inputs, outputs)
    g.output("y", [batch, sizes[-1]])
    return g.model("main_graph")


def attention(g, scope, x, name, batch, window, dim, heads):
    """`nn.MultiheadAttention` with one weight for queries, keys and values."""
    size, group = dim // heads, batch * heads
    zero = g.scalar(scope, 0)
    x = g.node(scope, "Transpose", [x], perm=[1, 0, 2])
    two = g.scalar(scope, 2)
    x = g.linear(scope, x, name, dim, 3 * dim, bias_name=f"{name}.in_proj_bias")

    # unflatten(-1, (3, dim)): the new shape is computed from the old one.
    parts = g.constant(scope, [3, dim])
    axis = g.node(scope, "Mod", [g.constant(scope, [2]), g.constant(scope, [3])])
    shape = g.node(scope, "Shape", [x])
    begin = g.constant(scope, [0])
    end = g.node(scope, "Reshape", [axis, g.constant(scope, [1])])
    before = g.node(scope, "Slice", [shape, begin, end])
    after = g.node(scope, "Add", [axis, g.constant(scope, [1])])
    after = g.node(scope, "Reshape", [after, g.constant(scope, [1])])
    after = g.node(scope, "Slice", [shape, after, g.constant(scope, [LAST])])
    shape = g.node(scope, "Concat", [before, parts, after], axis=0)
    x = g.node(scope, "Reshape", [x, shape], allowzero=0)
    x = g.node(scope, "Unsqueeze", [x, g.constant(scope, [0])])
    x = g.node(scope, "Transpose", [x], perm=[3, 1, 2, 0, 4])
    x = g.node(scope, "Squeeze", [x, g.constant(scope, [3])])

    which = [zero, g.scalar(scope, 1), two]
    query, key, value = (g.node(scope, "Gather", [x, i], axis=0) for i in which)

    def per_head(x):
        x = g.reshape(scope, x, [window, group, size])
        return g.node(scope, "Transpose", [x], perm=[1, 0, 2])

    query, key, value = per_head(query), per_head(key), per_head(value)
    shape = [batch, heads, window, size]
    query, key, value = (g.reshape(scope, x, shape) for x in (query, key, value))

    shape = g.node(scope, "Shape", [query])
    width = g.node(scope, "Slice", [shape, g.constant(scope, [-1]), g.constant(scope, [LAST])])
    root = g.node(scope, "Sqrt", [g.node(scope, "Cast", [width], to=1)])
    scale = g.node(scope, "Div", [g.constant(scope, [1.0], "float32"), root])
    scale = g.node(scope, "Cast", [scale], to=1)
    key = g.node(scope, "Transpose", [key], perm=[0, 1, 3, 2])
    query = g.node(scope, "Mul", [query, g.node(scope, "Sqrt", [scale])])
    key = g.node(scope, "Mul", [key, g.node(scope, "Sqrt", [scale])])
    scores = g.node(scope, "Softmax", [g.node(scope, "MatMul", [query, key])], axis=-1)
    x = g.node(scope, "MatMul", [scores, value])

    x = g.node(scope, "Transpose", [x], perm=[2, 0, 1, 3])
    x = g.reshape(scope, x, [window * batch, dim])
    x = g.gemm(scope, x, f"{name}.out_proj", dim, dim)
    x = g.reshape(scope, x, [window, batch, dim])
    return g.node(scope, "Transpose", [x], perm=[1, 0, 2])


def encoder(window, dim, heads, ff, vocab, layers=2, batch=1, seed=0):
    """Embedding, `nn.TransformerEncoder` (norms last), and the scores after the last token."""
    g = Torchscript(seed)
    tokens = g.input("tokens", [batch, window], "int64")
    table = g.normal("emb.weight", (vocab, dim), 1.0)
    positions = g.normal("pos", (1, window, dim), 0.02)
    last = g.scalar("/emb", -1)
    x = g.node("/emb", "Gather", [table, tokens])
    g.scalar("", 1)
    x = g.node("", "Add", [x, positions])
    for i in range(layers):
        scope, name = f"/enc/layers.{i}", f"enc.layers.{i}"
        y = attention(g, f"{scope}/self_attn", x, f"{name}.self_attn", batch, window, dim, heads)
        x = g.norm(f"{scope}/norm1", g.node(scope, "Add", [x, y]), f"{name}.norm1", dim)
        y = g.linear(f"{scope}/linear1", x, f"{name}.linear1", dim, ff)
        y = g.node(scope, "Relu", [y])
        y = g.linear(f"{scope}/linear2", y, f"{name}.linear2", ff, dim)
        x = g.norm(f"{scope}/norm2", g.node(scope, "Add", [x, y]), f"{name}.norm2", dim)
    x = g.node("", "Gather", [x, last], axis=1)
    g.gemm("/head", x, "head", dim, vocab)
    g.output("scores", [batch, vocab])
    return g.model("main_graph")


def recurrent(cell, steps, inputs, hidden, outputs=1, batch=1, seed=0):
    """`nn.LSTM` or `nn.GRU`, batch first, and a linear layer on the last step."""
    g = Torchscript(seed)
    gates = {"LSTM": 4, "GRU": 3}[cell]
    x = g.input("x", [batch, steps, inputs])
    scope, bound = "/rnn", hidden**-0.5
    zeros = g.constant(scope, np.zeros((1, 1, hidden)), "float32")
    x = g.node(scope, "Transpose", [x], perm=[1, 0, 2])

    def initial():
        shape = g.node(scope, "Shape", [x])
        size = g.node(scope, "Gather", [shape, g.constant(scope, 1)])
        size = g.node("", "Unsqueeze", [size, g.constant("", [0])])
        width = g.constant(scope, [hidden])
        shape = g.node(scope, "Concat", [g.constant("", [1]), size, width], axis=0)
        return g.node(scope, "Expand", [zeros, shape])

    states = [initial() for _ in range(2 if cell == "LSTM" else 1)]
    weights = [
        g.uniform(f"onnx::{cell}_0", (1, gates * hidden, inputs), bound),
        g.uniform(f"onnx::{cell}_1", (1, gates * hidden, hidden), bound),
        g.uniform(f"onnx::{cell}_2", (1, 2 * gates * hidden), bound),
    ]
    attributes = {"GRU": {"linear_before_reset": 1}}.get(cell, {})
    operands = [x, *weights, "", *states]
    x = g.node(scope, cell, operands, results=1 + len(states), hidden_size=hidden, **attributes)
    x = g.node(scope, "Squeeze", [x, g.constant(scope, [1])])
    x = g.node(scope, "Transpose", [x], perm=[1, 0, 2])
    x = g.node("", "Gather", [x, g.constant("", -1)], axis=1)
    g.gemm("/head", x, "head", hidden, outputs)
    g.output("y", [batch, outputs])
    return g.model("main_graph")


def pad_left(g, scope, x, amount):
    """`F.pad(x, (amount, 0))`: the exporter turns the order of axes around in the graph."""
    more = g.constant(scope, [4])
    given = g.constant(scope, [amount, 0])
    zero = numpy_helper.from_array(np.array([0], "int64"))
    rest = g.node(scope, "ConstantOfShape", [more], value=zero)
    pads = g.node(scope, "Concat", [given, rest], axis=0)
    pads = g.node(scope, "Reshape", [pads, g.constant(scope, [-1, 2])], allowzero=0)
    axis, start, end, step = (g.constant(scope, [i]) for i in (0, -1, -LAST, -1))
    pads = g.node(scope, "Slice", [pads, start, end, axis, step])
    pads = g.node(scope, "Transpose", [pads], perm=[1, 0])
    pads = g.node(scope, "Reshape", [pads, g.constant(scope, [-1])], allowzero=0)
    pads = g.node(scope, "Cast", [pads], to=7)
    return g.node(scope, "Pad", [x, pads, ""], mode="constant")


def tcn(channels, length, layers=5, kernel=3, inputs=1, outputs=1, batch=1, seed=0):
    """Causal convolutions, the dilation doubling, and a linear layer on the last column."""
    g = Torchscript(seed)
    x = g.input("x", [batch, inputs, length])
    width = inputs
    for i in range(layers):
        scope, name, bound = f"/layers.{i}", f"layers.{i}.conv", (width * kernel) ** -0.5
        x = pad_left(g, scope, x, (kernel - 1) * 2**i)
        weight = g.uniform(f"{name}.weight", (channels, width, kernel), bound)
        bias = g.uniform(f"{name}.bias", (channels,), bound)
        window = {"kernel_shape": [kernel], "dilations": [2**i], "strides": [1], "pads": [0, 0]}
        x = g.node(f"{scope}/conv", "Conv", [x, weight, bias], group=1, **window)
        x = g.node(scope, "Relu", [x])
        width = channels
    x = g.node("", "Gather", [x, g.constant("", -1)], axis=2)
    g.gemm("/head", x, "head", channels, outputs)
    g.output("y", [batch, outputs])
    return g.model("main_graph")
