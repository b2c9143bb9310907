"""Writes small models with control flow, in the forms that exporters give it.

    python models/families/flow/make_flow.py

needs onnx and numpy alone. Weights are random and seeded.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
RANDOM = np.random.RandomState(7)
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def weights(name, *shape):
    return constant(name, (0.4 * RANDOM.randn(*shape)).astype(np.float32))


def value(name, dtype=FLOAT, shape=None):
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def save(name, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, HERE / f"{name}.onnx")


def branch():
    """torch.jit.script: one of two layers, by the sign of a sum; each with its own weights."""

    def layer(name, activation):
        nodes = [node("MatMul", "h w_" + name, "p_" + name),
                 node(activation, "p_" + name, "y_" + name)]
        return helper.make_graph(nodes, name, [], [value("y_" + name)], [weights("w_" + name, 8, 8)])

    nodes = [
        node("MatMul", "x w", "h"),
        node("ReduceSum", "h", "total", keepdims=0),
        node("Less", "total zero", "below"),
        node("If", "below", "chosen", then_branch=layer("then", "Tanh"),
             else_branch=layer("else", "Relu")),
        node("Add", "chosen h", "y"),
    ]
    constants = [weights("w", 4, 8), constant("zero", np.float32(0))]
    save("branch", nodes, [value("x", FLOAT, [3, 4])], [value("y", FLOAT, [3, 8])], constants)


def while_loop():
    """tf2onnx: Newton's method until it is close enough, with a bound on the iterations."""
    body = helper.make_graph(
        [
            node("Div", "a guess_in", "quotient"),
            node("Add", "guess_in quotient", "both"),
            node("Mul", "both half", "guess_out"),
            node("Mul", "guess_out guess_out", "square"),
            node("Sub", "square a", "error"),
            node("Abs", "error", "size"),
            node("ReduceMax", "size", "worst", keepdims=0),
            node("Less", "close worst", "on_out"),
            node("Add", "count_in one", "count_out"),
        ],
        "body",
        [value("i", INT64, []), value("on_in", BOOL, []), value("guess_in", FLOAT, [5]),
         value("count_in", INT64, [])],
        [value("on_out", BOOL, []), value("guess_out", FLOAT, [5]), value("count_out", INT64, [])],
    )
    nodes = [
        node("Abs", "x", "size_of_x"),
        node("Add", "size_of_x half", "a"),
        node("Loop", "most start a zero", "root count", body=body),
    ]
    constants = [constant("half", np.float32(0.5)), constant("close", np.float32(1e-3)),
                 constant("one", np.int64(1)), constant("zero", np.int64(0)),
                 constant("most", np.int64(100)), constant("start", np.bool_(True))]
    save("while", nodes, [value("x", FLOAT, [5])],
         [value("root", FLOAT, [5]), value("count", INT64, [])], constants)


def cell():
    """torch.jit.script: a recurrent cell over 200 steps, its outputs collected."""
    body = helper.make_graph(
        [
            node("Gather", "x i", "row", axis=0),
            node("MatMul", "row w", "from_x"),
            node("MatMul", "h_in u", "from_h"),
            node("Add", "from_x from_h", "sum"),
            node("Tanh", "sum", "h_out"),
            node("Identity", "h_out", "piece"),
            node("Identity", "on_in", "on_out"),
        ],
        "body",
        [value("i", INT64, []), value("on_in", BOOL, []), value("h_in", FLOAT, [1, 6])],
        [value("on_out", BOOL, []), value("h_out", FLOAT, [1, 6]), value("piece", FLOAT, [1, 6])],
    )
    nodes = [node("Loop", "steps always h0", "h all", body=body)]
    constants = [weights("w", 3, 6), weights("u", 6, 6), constant("steps", np.int64(200)),
                 constant("always", np.bool_(True)),
                 constant("h0", np.zeros((1, 6), np.float32))]
    save("cell", nodes, [value("x", FLOAT, [200, 1, 3])],
         [value("h", FLOAT, [1, 6]), value("all", FLOAT, [200, 1, 6])], constants)


def distances():
    """skl2onnx: distances of an open number of rows to 12 neighbours, a Scan over the rows."""
    body = helper.make_graph(
        [
            node("Identity", "next_in", "next_out"),
            node("Sub", "next_in row", "difference"),
            node("ReduceSumSquare", "difference", "squares", axes=[1], keepdims=0),
        ],
        "body",
        [value("next_in", FLOAT, [12, 4]), value("row", FLOAT, [4])],
        [value("next_out", FLOAT, [12, 4]), value("squares", FLOAT, [12])],
    )
    nodes = [
        node("Scan", "neighbours x", "unused all", body=body, num_scan_inputs=1),
        node("Sqrt", "all", "distances"),
        node("TopK", "distances k", "nearest which", largest=0),
        node("Gather", "targets which", "picked"),
        node("ReduceMean", "picked", "y", axes=[1], keepdims=1),
    ]
    constants = [weights("neighbours", 12, 4), weights("targets", 12),
                 constant("k", np.array([3], np.int64))]
    save("distances", nodes, [value("x", FLOAT, ["n", 4])], [value("y", FLOAT, ["n", 1])],
         constants)


def appended():
    """torch.jit.script: a list that a loop appends to, joined at the end."""
    body = helper.make_graph(
        [
            node("MatMul", "h_in w", "product"),
            node("Sigmoid", "product", "h_out"),
            node("SequenceInsert", "list_in h_out", "list_out"),
            node("Identity", "on_in", "on_out"),
        ],
        "body",
        [value("i", INT64, []), value("on_in", BOOL, []), value("h_in", FLOAT, [2, 5]),
         helper.make_tensor_sequence_value_info("list_in", FLOAT, None)],
        [value("on_out", BOOL, []), value("h_out", FLOAT, [2, 5]),
         helper.make_tensor_sequence_value_info("list_out", FLOAT, None)],
    )
    nodes = [
        node("SequenceEmpty", "", "nothing", dtype=FLOAT),
        node("Loop", "steps always x nothing", "h list", body=body),
        node("ConcatFromSequence", "list", "y", axis=1, new_axis=1),
    ]
    constants = [weights("w", 5, 5), constant("steps", np.int64(6)),
                 constant("always", np.bool_(True))]
    save("appended", nodes, [value("x", FLOAT, [2, 5])], [value("y", FLOAT, [2, 6, 5])], constants)


def nested():
    """A Scan from the last row to the first, with a choice and a loop in each iteration."""
    halve = helper.make_graph(
        [
            node("Mul", "v_in half", "v_out"),
            node("ReduceMax", "v_out", "largest", keepdims=0),
            node("Less", "unit largest", "on_out"),
        ],
        "halve",
        [value("i", INT64, []), value("on_in", BOOL, []), value("v_in", FLOAT, [4])],
        [value("on_out", BOOL, []), value("v_out", FLOAT, [4])],
    )
    large = helper.make_graph([node("Loop", "most always next", "small", body=halve)],
                              "large", [], [value("small", FLOAT, [4])])
    fine = helper.make_graph([node("Identity", "next", "same")],
                             "fine", [], [value("same", FLOAT, [4])])
    body = helper.make_graph(
        [
            node("Add", "state_in row", "next"),
            node("ReduceMax", "next", "peak", keepdims=0),
            node("Less", "unit peak", "is_large"),
            node("If", "is_large", "state_out", then_branch=large, else_branch=fine),
            node("Neg", "state_out", "piece"),
        ],
        "body",
        [value("state_in", FLOAT, [4]), value("row", FLOAT, [4])],
        [value("state_out", FLOAT, [4]), value("piece", FLOAT, [4])],
    )
    nodes = [node("Scan", "start x", "state all", body=body, num_scan_inputs=1,
                  scan_input_axes=[1], scan_input_directions=[1], scan_output_axes=[-1],
                  scan_output_directions=[1])]
    constants = [constant("start", np.zeros(4, np.float32)), constant("unit", np.float32(1)),
                 constant("half", np.float32(0.5)), constant("most", np.int64(90)),
                 constant("always", np.bool_(True))]
    save("nested", nodes, [value("x", FLOAT, [4, 7])],
         [value("state", FLOAT, [4]), value("all", FLOAT, [4, 7])], constants)


if __name__ == "__main__":
    for make in (branch, while_loop, cell, distances, appended, nested):
        make()
