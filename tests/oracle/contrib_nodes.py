"""Single nodes of com.microsoft operators; contrib.py says what becomes of them."""

import ml_dtypes
import numpy as np
import onnx
from contrib import answers, value, write
from onnx import helper, numpy_helper

# Sums in another order.
FLOAT = 2e-5
RANDOM = np.random.default_rng(20261125)


def f32(*shape, scale=1.0):
    return (RANDOM.standard_normal(shape) * scale).astype(np.float32)


def u8(*shape, dtype=np.uint8, low=None, high=None):
    info = np.iinfo(dtype)
    low, high = info.min if low is None else low, info.max if high is None else high
    return RANDOM.integers(low, high, shape, dtype, endpoint=True)


def scalar(x, dtype=np.float32):
    return np.array(x, dtype)


class Const:
    """An operand that is a constant of the model."""

    def __init__(self, array):
        self.array = array


class Suite:
    def __init__(self, out):
        self.out, self.index = out, []

    def add(self, name, op, operands, outputs=1, part=FLOAT, steps=0, domain="com.microsoft",
            **attributes):
        """One node; `outputs` is a number, or a list with None where an output is not asked for."""
        names = [f"y{i}" for i in range(outputs)] if isinstance(outputs, int) else [
            f"y{i}" if wanted else "" for i, wanted in enumerate(outputs)]
        inputs, constants, operand_names = {}, [], []
        for i, operand in enumerate(operands):
            operand_names.append("" if operand is None else f"x{i}")
            if isinstance(operand, Const):
                constants.append(numpy_helper.from_array(operand.array, f"x{i}"))
            elif operand is not None:
                inputs[f"x{i}"] = operand
        node = helper.make_node(op, operand_names, names, domain=domain, **attributes)
        declared = [onnx.ValueInfoProto(name=name) for name in names if name]
        graph = helper.make_graph([node], name, [value(n, a) for n, a in inputs.items()],
                                  declared, constants)
        imports = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=10)
        results = answers(model, inputs)
        for info in graph.output:
            model.graph.output.remove(info)
        del model.graph.output[:]
        model.graph.output.extend(value(n, a) for n, a in results.items())
        self.index.append(write(self.out, name, model, inputs, results, part, steps))


def products(suite):
    a, b = f32(2, 3, 4), f32(2, 4, 5)
    suite.add("fused_matmul", "FusedMatMul", [a, b], alpha=0.5)
    suite.add("fused_matmul_trans", "FusedMatMul", [f32(2, 4, 3), f32(2, 5, 4)], transA=1, transB=1)
    suite.add("fused_matmul_trans_batch", "FusedMatMul", [f32(3, 2, 4), f32(4, 2, 5)],
              transBatchA=1, transBatchB=1)
    suite.add("fused_matmul_trans_batch_4d", "FusedMatMul", [f32(3, 2, 6, 4), f32(5, 2, 6, 4)],
              transBatchA=1, transBatchB=1, transB=1)
    suite.add("fused_matmul_trans_batch_both", "FusedMatMul", [f32(4, 2, 6, 3), f32(2, 6, 4, 5)],
              transBatchA=1, transA=1)
    suite.add("fused_matmul_vector", "FusedMatMul", [f32(4), f32(4, 5)], transA=1)
    for activation, parameters in [("Relu", {}), ("LeakyRelu", {"activation_alpha": 0.2}),
                                   ("Sigmoid", {}), ("Tanh", {})]:
        suite.add(f"fused_gemm_{activation.lower()}", "FusedGemm",
                  [f32(3, 4), f32(5, 4), f32(5)], activation=activation, transB=1, alpha=0.7,
                  beta=1.3, **parameters)
    x, w, bias = f32(1, 4, 9, 9), f32(6, 2, 3, 3), f32(6)
    suite.add("fused_conv_relu", "FusedConv", [x, w, bias], activation="Relu", group=2,
              pads=[1, 1, 1, 1])
    suite.add("fused_conv_clip", "FusedConv", [x, w, bias], activation="Clip", group=2,
              activation_params=[-0.5, 0.75])
    suite.add("fused_conv_hard_sigmoid", "FusedConv", [x, w, bias], activation="HardSigmoid",
              group=2, activation_params=[0.3, 0.4])
    suite.add("fused_conv_add", "FusedConv", [x, w, bias, f32(1, 6, 7, 7)], activation="Relu",
              group=2)


def bits(suite):
    for bits, k, n, block, zero in [(4, 32, 6, 16, None), (4, 50, 7, 16, "packed"),
                                    (4, 48, 5, 32, "float"), (8, 40, 6, 32, None),
                                    (8, 64, 3, 16, "packed"), (4, 16, 1, 16, None),
                                    (2, 64, 8, 32, "packed")]:
        blocks = -(-k // block)
        operands = [f32(2, 3, k), Const(u8(n, blocks, block * bits // 8)),
                    Const(np.abs(f32(n * blocks, scale=0.1)))]
        if zero == "packed":
            operands.append(Const(u8(n * (-(-blocks * bits // 8)))))
        if zero == "float":
            operands.append(Const(RANDOM.uniform(0, 15, n * blocks).astype(np.float32)))
        suite.add(f"matmul_{bits}_bits_{k}x{n}_{zero}", "MatMulNBits", operands, K=k, N=n, bits=bits,
                  block_size=block)
    suite.add("matmul_4_bits_bias", "MatMulNBits",
              [f32(4, 32), Const(u8(6, 2, 8)), Const(f32(12)), None, None, Const(f32(6))], K=32,
              N=6, bits=4, block_size=16)


def tables(suite):
    at = np.array([[3, 0], [7, 3]], np.int64)
    for bits, packed in [(4, False), (4, True), (8, True)]:
        operands = [Const(u8(9, 48 * bits // 8)), at, Const(np.abs(f32(9, 3, scale=0.1)))]
        if packed:
            operands.append(Const(u8(9, -(-3 * bits // 8))))
        suite.add(f"gather_{bits}_bits{'_zeros' * packed}", "GatherBlockQuantized", operands,
                  bits=bits, block_size=16, gather_axis=0, quantize_axis=1)
    scales = Const(np.linspace(0.01, 0.3, 27, dtype=np.float32).reshape(9, 3))
    for dtype, low in [(ml_dtypes.int4, -8), (ml_dtypes.uint4, 0)]:
        rows, middles = [(np.arange(9 * n) * 7 % 16 + low).reshape(9, n).astype(dtype)
                         for n in (48, 3)]
        for zeros in (False, True):
            operands = [Const(rows), at, scales, *([Const(middles)] * zeros)]
            suite.add(f"gather_{np.dtype(dtype).name}{'_zeros' * zeros}", "GatherBlockQuantized",
                      operands, block_size=16, gather_axis=0, quantize_axis=1)
    suite.add("gather_single_block", "GatherBlockQuantized",
              [Const(u8(9, 8)), np.array([4], np.int64), Const(np.abs(f32(9, 1)))], bits=4,
              block_size=16, gather_axis=0, quantize_axis=1)


def pictures(suite):
    """Bytes between pixels are cut off, so that the last place of a float decides near an integer."""
    random = np.random.default_rng(7)
    for dtype in (np.uint8, np.int8):
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        for coordinates in ("half_pixel", "align_corners", "asymmetric"):
            for factors in ((2.0, 3.0), (0.6, 1.7)):
                if coordinates == "align_corners" and factors[0] < 1:
                    # Engines differ where a scale gives a broken size.
                    continue
                x = random.integers(low, high, (1, 2, 7, 9), dtype, endpoint=True)
                scales = Const(np.array([1, 1, *factors], np.float32))
                suite.add(f"resize_{np.dtype(dtype).name}_{coordinates}_{factors[0]}", "Resize",
                          [x, None, scales], steps=1, domain="", mode="linear",
                          coordinate_transformation_mode=coordinates)


def activations(suite):
    x = f32(3, 5, 8, scale=3)
    suite.add("gelu", "Gelu", [x])
    suite.add("bias_gelu", "BiasGelu", [x, f32(8)])
    suite.add("fast_gelu", "FastGelu", [x])
    suite.add("fast_gelu_bias", "FastGelu", [x, f32(8)])
    suite.add("quick_gelu", "QuickGelu", [x])
    suite.add("quick_gelu_alpha", "QuickGelu", [x], alpha=1.0)


def norms(suite):
    x, skip, scale, shift, bias = f32(2, 5, 16), f32(2, 5, 16), f32(16), f32(16), f32(16)
    suite.add("skip_layer_norm", "SkipLayerNormalization", [x, skip, scale, shift, bias],
              [True, False, False, True], epsilon=1e-5)
    suite.add("skip_layer_norm_plain", "SkipLayerNormalization", [x, skip, scale])
    suite.add("skip_layer_norm_broadcast", "SkipLayerNormalization",
              [x, f32(1, 5, 16), scale, shift])
    suite.add("skip_rms_norm", "SkipSimplifiedLayerNormalization", [x, skip, scale, bias],
              [True, False, False, True], epsilon=1e-6)
    suite.add("layer_norm", "LayerNormalization", [x, scale, shift], domain="", axis=-1)
    suite.add("rms_norm", "SimplifiedLayerNormalization", [x, scale], domain="", axis=-1)
    ids, segments = u8(2, 5, dtype=np.int32, low=0, high=19), u8(2, 5, dtype=np.int32, low=0, high=1)
    tables = [Const(f32(20, 16)), Const(f32(7, 16)), Const(f32(2, 16))]
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    suite.add("embed_layer_norm", "EmbedLayerNormalization",
              [ids, segments, *tables, scale, shift, mask], 3, epsilon=1e-6)
    suite.add("embed_layer_norm_positions", "EmbedLayerNormalization",
              [ids, None, tables[0], tables[1], None, scale, shift, None,
               u8(2, 5, dtype=np.int32, low=0, high=6)], 2)


def lengths(*values):
    return np.array(values, np.int32)


def masks():
    yield "none", None
    yield "ends", lengths(3, 5)
    yield "ends_and_starts", lengths(4, 5, 1, 0)
    yield "keys", np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]], np.int32)
    yield "queries", u8(2, 5, 5, dtype=np.int32, low=0, high=1)


def attention(suite):
    x, w, bias = f32(2, 5, 8), Const(f32(8, 48, scale=0.4)), Const(f32(48))
    for name, mask in masks():
        for causal in (0, 1):
            suite.add(f"attention_{name}{'_causal' * causal}", "Attention", [x, w, bias, mask], 2,
                      num_heads=4, unidirectional=causal)
    suite.add("attention_past", "Attention",
              [x, w, bias, None, f32(2, 2, 4, 3, 4)], 2, num_heads=4, unidirectional=1)
    suite.add("attention_bias", "Attention", [x, w, bias, None, None, f32(1, 4, 5, 5)],
              num_heads=4)
    suite.add("attention_sizes", "Attention", [x, Const(f32(8, 40)), Const(f32(40))], 1,
              num_heads=4, qkv_hidden_sizes=[16, 16, 8], scale=0.3)
    q, k, v = f32(2, 5, 16), f32(2, 7, 16), f32(2, 7, 8)
    suite.add("mha", "MultiHeadAttention", [q, k, v], num_heads=4)
    suite.add("mha_bias", "MultiHeadAttention", [q, k, v, f32(40)], num_heads=4)
    suite.add("mha_present", "MultiHeadAttention", [q, k, v, f32(40)], 3, num_heads=4)
    suite.add("mha_heads", "MultiHeadAttention", [q, f32(2, 4, 7, 4), f32(2, 4, 7, 4)],
              num_heads=4)
    suite.add("mha_lengths", "MultiHeadAttention", [q, k, v, None, lengths(4, 7)], num_heads=4)
    flags = np.array([[1] * 4 + [0] * 3, [1] * 7], np.int32)
    suite.add("mha_flags", "MultiHeadAttention", [q, k, v, None, flags], num_heads=4)
    suite.add("mha_attention_bias", "MultiHeadAttention", [q, k, v, None, None, f32(1, 4, 5, 7)],
              num_heads=4)
    same = f32(2, 5, 16)
    suite.add("mha_past_causal", "MultiHeadAttention",
              [q, same, same, None, None, None, f32(2, 4, 3, 4), f32(2, 4, 3, 4)], 3, num_heads=4,
              unidirectional=1)


def caches(suite):
    tables = [Const(f32(20, 4)), Const(f32(20, 4))]
    at = np.array([[0, 1, 2, 3, 4], [7, 8, 9, 10, 11]], np.int64)
    suite.add("rotary", "RotaryEmbedding", [f32(2, 5, 24), at, *tables])
    suite.add("rotary_interleaved", "RotaryEmbedding", [f32(2, 3, 5, 8), at, *tables],
              interleaved=1)
    suite.add("rotary_offset", "RotaryEmbedding",
              [f32(2, 5, 24), np.array([3], np.int64), *tables])
    suite.add("rotary_partial", "RotaryEmbedding", [f32(2, 5, 36), at, *tables], num_heads=3,
              rotary_embedding_dim=8)
    head = {"num_heads": 4, "kv_num_heads": 2}
    q, k, v = f32(2, 5, 32), f32(2, 5, 16), f32(2, 5, 16)
    total = Const(scalar(5, np.int32))
    suite.add("gqa_prompt", "GroupQueryAttention", [q, k, v, None, None, lengths(4, 4), total], 3,
              **head)
    suite.add("gqa_packed", "GroupQueryAttention",
              [f32(2, 5, 64), None, None, None, None, lengths(4, 4), total], 3, **head)
    wide = [Const(f32(20, 8)), Const(f32(20, 8))]
    long = [f32(2, 5, 64), f32(2, 5, 32), f32(2, 5, 32)]
    suite.add("gqa_rotary_softcap", "GroupQueryAttention",
              [*long, None, None, lengths(4, 4), total, *wide], 3, do_rotary=1, softcap=5.0,
              **head)
    suite.add("gqa_window", "GroupQueryAttention",
              [q, k, v, None, None, lengths(4, 4), total], 3, local_window_size=2, **head)
    suite.add("gqa_smooth", "GroupQueryAttention",
              [q, k, v, None, None, lengths(4, 4), total], 3, smooth_softmax=1, **head)
    step = [f32(2, 1, 32), f32(2, 1, 16), f32(2, 1, 16)]
    past = [f32(2, 2, 6, 8), f32(2, 2, 6, 8)]
    suite.add("gqa_growing", "GroupQueryAttention",
              [f32(2, 1, 64), f32(2, 1, 32), f32(2, 1, 32), f32(2, 2, 6, 16), f32(2, 2, 6, 16),
               lengths(6, 6), Const(scalar(7, np.int32)), *wide], 3, do_rotary=1,
              rotary_interleaved=1, **head)
    suite.add("gqa_sink", "GroupQueryAttention",
              [*step, *past, lengths(6, 6), Const(scalar(7, np.int32)), None, None, None, None,
               f32(4)], 3, **head)
    suite.add("gqa_bias", "GroupQueryAttention",
              [*step, *past, lengths(6, 6), Const(scalar(7, np.int32)), None, None, None,
               f32(1, 4, 1, 7)], 3, **head)


def elementwise_quantized(suite):
    for dtype in (np.uint8, np.int8):
        kind = np.dtype(dtype).name
        a = [u8(3, 4, dtype=dtype), Const(scalar(0.03)), Const(scalar(7, dtype))]
        b = [u8(3, 4, dtype=dtype), Const(scalar(0.05)), Const(scalar(3, dtype))]
        out = [Const(scalar(0.09)), Const(scalar(5, dtype))]
        suite.add(f"qlinear_add_{kind}", "QLinearAdd", [*a, *b, *out], steps=1)
        suite.add(f"qlinear_mul_{kind}", "QLinearMul", [*a, *b, *out], steps=1)
        suite.add(f"qlinear_sigmoid_{kind}", "QLinearSigmoid", [*a, Const(scalar(1 / 256)), a[2]],
                  steps=1)
        suite.add(f"qlinear_leaky_relu_{kind}", "QLinearLeakyRelu", [*a, *out], steps=1, alpha=0.1)
        suite.add(f"qlinear_softmax_{kind}", "QLinearSoftmax", [*a, Const(scalar(1 / 256)),
                  Const(scalar(0 if dtype is np.uint8 else -128, dtype))], steps=1, axis=-1,
                  opset=13)
        suite.add(f"qlinear_concat_{kind}", "QLinearConcat", [*out, *a, *b], steps=1, axis=1)
        x = [u8(2, 3, 6, 6, dtype=dtype), *a[1:]]
        suite.add(f"qlinear_average_pool_{kind}", "QLinearAveragePool", [*x, *out], steps=1,
                  kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        suite.add(f"qlinear_average_pool_last_{kind}", "QLinearAveragePool", [*x, *out], steps=1,
                  kernel_shape=[2, 2], channels_last=1, count_include_pad=1)
        suite.add(f"qlinear_global_average_pool_{kind}", "QLinearGlobalAveragePool", [*x, *out],
                  steps=1)
    condition = u8(3, 4, low=0, high=1).astype(bool)
    suite.add("qlinear_where", "QLinearWhere", [condition, *a, *b, *out], steps=1)


def quantized_products(suite):
    a, a_scale, a_zero = u8(4, 12), Const(scalar(0.03)), Const(scalar(120, np.uint8))
    b, b_zero = Const(u8(12, 5, dtype=np.int8)), Const(scalar(3, np.int8))
    b_scale, scales = Const(scalar(0.02)), Const(np.abs(f32(5, scale=0.02)) + np.float32(0.001))
    zeros = Const(np.zeros(5, np.int8))
    c = Const(RANDOM.integers(-2000, 2000, 5, np.int32))
    y = [Const(scalar(0.5)), Const(scalar(100, np.uint8))]
    suite.add("qgemm_float", "QGemm", [a, a_scale, a_zero, b, b_scale, b_zero, c], alpha=0.5)
    suite.add("qgemm", "QGemm", [a, a_scale, a_zero, b, scales, zeros, c, *y], steps=1)
    suite.add("qgemm_trans", "QGemm",
              [a, a_scale, a_zero, Const(u8(5, 12, dtype=np.int8)), b_scale, b_zero, None, *y],
              steps=1, transB=1)
    bias = Const(f32(5))
    suite.add("matmul_integer_to_float", "MatMulIntegerToFloat",
              [a, b, a_scale, b_scale, a_zero, b_zero, bias])
    suite.add("matmul_integer_to_float_columns", "MatMulIntegerToFloat",
              [a, b, a_scale, scales, a_zero, zeros])
    suite.add("dynamic_quantize_matmul", "DynamicQuantizeMatMul",
              [f32(2, 4, 12), b, b_scale, b_zero, bias], part=1e-4)
    suite.add("dynamic_quantize_matmul_columns", "DynamicQuantizeMatMul",
              [f32(4, 12), b, scales, zeros], part=1e-4)
    x = [u8(1, 8, 8, 4), a_scale, a_zero]
    w = [Const(u8(6, 4, 3, 3, dtype=np.int8)), b_scale, b_zero]
    suite.add("qlinear_conv_last", "QLinearConv",
              [*x, *w, Const(scalar(0.2)), y[1], Const(RANDOM.integers(-500, 500, 6, np.int32))],
              steps=1, channels_last=1, pads=[1, 1, 1, 1])
    suite.add("qattention", "QAttention",
              [u8(2, 5, 8), Const(u8(8, 48, dtype=np.int8)), Const(f32(48)), a_scale, b_scale,
               None, a_zero, b_zero], 1, num_heads=4)
    suite.add("qattention_past", "QAttention",
              [u8(2, 5, 8), Const(u8(8, 48, dtype=np.int8)), Const(f32(48)), a_scale, b_scale,
               None, a_zero, b_zero, f32(2, 2, 4, 3, 4)], 2, num_heads=4, unidirectional=1)
    lstm = [f32(6, 2, 3), Const(u8(1, 3, 16, dtype=np.int8)), Const(u8(1, 4, 16, dtype=np.int8)),
            Const(f32(1, 32)), None, None, None, None]
    suite.add("dynamic_quantize_lstm", "DynamicQuantizeLSTM",
              [*lstm, Const(np.array([0.01], np.float32)), Const(np.array([0], np.int8)),
               Const(np.array([0.01], np.float32)), Const(np.array([0], np.int8))], 3,
              hidden_size=4)
    suite.add("quantize", "QuantizeLinear", [f32(3, 4), Const(scalar(0.02)), y[1]], steps=1)
    suite.add("dequantize_axis", "DequantizeLinear",
              [u8(3, 4), Const(np.array([0.1, 0.2, 0.3], np.float32)),
               Const(np.array([1, 2, 3], np.uint8))], axis=0)


def others(suite):
    suite.add("trilu", "Trilu", [f32(3, 4)], upper=0)
    suite.add("pad", "Pad", [f32(3, 4), Const(np.array([1, 0, 2, 3], np.int64)),
                             Const(scalar(0.5))])
    suite.add("gather_nd", "GatherND", [f32(3, 4), np.array([[0, 1], [2, 3]], np.int64)])
    suite.add("range", "Range", [Const(scalar(2.0)), Const(scalar(9.0))])
    suite.add("expand_dims", "ExpandDims", [f32(3, 4), Const(scalar(-1, np.int32))])


def write_all(out):
    suite = Suite(out)
    for group in (products, bits, tables, pictures, activations, norms, attention, caches,
                  elementwise_quantized, quantized_products, others):
        group(suite)
    return suite.index
