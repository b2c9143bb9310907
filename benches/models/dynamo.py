"""Networks as `torch.onnx.export(..., dynamo=True)` of PyTorch 2 writes them, at opset 20.

This exporter folds the arithmetic on shapes; what is left are products, views and their shapes as
initializers. The counts of operators were compared with exports by PyTorch 2.15.
"""

import numpy as np

from graph import Graph


class Dynamo(Graph):
    """A graph whose constants are initializers, each written once."""

    def __init__(self, seed):
        super().__init__(opset=20, ir_version=10, seed=seed)

    def op(self, op, inputs, **attributes):
        return self.node("node", op, inputs, **attributes)

    def constant(self, value, dtype="int64"):
        key = (str(value), dtype)
        if key not in self.scalars:
            name = f"val_{len(self.scalars)}"
            self.scalars[key] = self.weight(name, np.array(value, dtype))
        return self.scalars[key]

    def view(self, x, shape):
        return self.op("Reshape", [x, self.constant(shape)], allowzero=1)

    def gemm(self, x, name, inputs, outputs):
        bound = inputs**-0.5
        weight = self.uniform(f"{name}.weight", (outputs, inputs), bound)
        bias = self.uniform(f"{name}.bias", (outputs,), bound)
        attributes = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
        return self.op("Gemm", [x, weight, bias], **attributes)

    def linear(self, x, name, inputs, outputs):
        bound = inputs**-0.5
        weight = self.uniform(f"{name}.weight_T", (inputs, outputs), bound)
        bias = self.uniform(f"{name}.bias", (outputs,), bound)
        return self.op("Add", [self.op("MatMul", [x, weight]), bias])

    def norm(self, x, name, dim):
        weight = self.uniform(f"{name}.weight", (dim,), 0.1, around=1.0)
        bias = self.uniform(f"{name}.bias", (dim,), 0.1)
        attributes = {"axis": -1, "epsilon": 1e-5, "stash_type": 1}
        return self.op("LayerNormalization", [x, weight, bias], **attributes)


def attention(g, x, name, batch, window, dim, heads):
    """`nn.MultiheadAttention` with one weight for queries, keys and values."""
    size, group = dim // heads, batch * heads
    x = g.op("Transpose", [x], perm=[1, 0, 2])
    x = g.linear(x, f"{name}.in_proj", dim, 3 * dim)
    x = g.view(x, [window, batch, 3, dim])
    x = g.op("Unsqueeze", [x, g.constant([0])])
    x = g.op("Transpose", [x], perm=[3, 1, 2, 0, 4])
    x = g.op("Squeeze", [x, g.constant([-2])])
    query, key, value = (g.op("Gather", [x, g.constant(i)], axis=0) for i in range(3))

    def per_head(x):
        return g.op("Transpose", [g.view(x, [window, group, size])], perm=[1, 0, 2])

    query, key, value = per_head(query), per_head(key), per_head(value)
    query, value = (g.view(x, [batch, heads, window, size]) for x in (query, value))
    key = g.op("Transpose", [key], perm=[0, 2, 1])
    shape = g.constant([batch, heads, size, window])
    key = g.op("Reshape", [key, shape], allowzero=0)
    scale = g.constant([size**-0.25], "float32")
    scores = g.op("MatMul", [g.op("Mul", [query, scale]), g.op("Mul", [key, scale])])
    x = g.op("MatMul", [g.op("Softmax", [scores], axis=-1), value])
    x = g.op("Transpose", [x], perm=[2, 0, 1, 3])
    x = g.view(x, [window * batch, dim])
    x = g.gemm(x, f"{name}.out_proj", dim, dim)
    x = g.view(x, [window, batch, dim])
    return g.op("Transpose", [x], perm=[1, 0, 2])


def encoder(window, dim, heads, ff, vocab, layers=2, batch=1, seed=0):
    """Embedding, `nn.TransformerEncoder` (norms last), and the scores after the last token."""
    g = Dynamo(seed)
    tokens = g.input("tokens", [batch, window], "int64")
    x = g.op("Gather", [g.normal("emb.weight", (vocab, dim), 1.0), tokens], axis=0)
    x = g.op("Add", [x, g.normal("pos", (1, window, dim), 0.02)])
    for i in range(layers):
        name = f"enc.layers.{i}"
        y = attention(g, x, f"{name}.self_attn", batch, window, dim, heads)
        x = g.norm(g.op("Add", [x, y]), f"{name}.norm1", dim)
        y = g.op("Relu", [g.linear(x, f"{name}.linear1", dim, ff)])
        y = g.linear(y, f"{name}.linear2", ff, dim)
        x = g.norm(g.op("Add", [x, y]), f"{name}.norm2", dim)
    x = g.op("Gather", [x, g.constant(-1)], axis=1)
    g.gemm(x, "head", dim, vocab)
    g.output("scores", [batch, vocab])
    return g.model("main_graph")


def tcn(channels, length, layers=5, kernel=3, inputs=1, outputs=1, batch=1, seed=0):
    """Causal convolutions, the dilation doubling, and a linear layer on the last column."""
    g = Dynamo(seed)
    x = g.input("x", [batch, inputs, length])
    width = inputs
    for i in range(layers):
        name, bound = f"layers.{i}.conv", (width * kernel) ** -0.5
        weight = g.uniform(f"{name}.weight", (channels, width, kernel), bound)
        bias = g.uniform(f"{name}.bias", (channels,), bound)
        window = {"kernel_shape": [kernel], "dilations": [2**i], "strides": [1]}
        window |= {"pads": [(kernel - 1) * 2**i, 0], "auto_pad": "NOTSET", "group": 1}
        x = g.op("Relu", [g.op("Conv", [x, weight, bias], **window)])
        width = channels
    x = g.op("Gather", [x, g.constant(-1)], axis=2)
    g.gemm(x, "head", channels, outputs)
    g.output("y", [batch, outputs])
    return g.model("main_graph")
