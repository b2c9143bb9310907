"""Writes models of one operator each, over all their attributes, with the answers of ONNX Runtime.

    single_operators.py <out> [<seed> [<scale>]]

The files are those of export_node_suite.py: a folder a case, and <out>/index.json. The forms are
drawn at random from a fixed seed; <scale> times as many are drawn. A form that ONNX Runtime
refuses is left out. Where its answer is not the one that the standard defines, the reference
implementation of the onnx package gives the answer (REFERENCE below says where and why).
"""

import json
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

FAMILIES = []
FLOATS = [np.float32, np.float32, np.float64]
INTEGERS = [np.int32, np.int64, np.uint8, np.int8]

def dilated_volume(form):
    """ONNX Runtime misplaces dilated blocks of other than two axes."""
    return form.inputs[1].size != 2 and max(form.attributes.get("dilations") or [1]) > 1


def half_spectrum(form):
    """ONNX Runtime cuts a one-sided spectrum that is longer than the signal needs elsewhere."""
    return form.attributes.get("onesided") == 1 and form.attributes.get("inverse") == 1


def cropped(form):
    """ONNX Runtime does not crop an axis whose scale is one."""
    return form.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"


# Operator -> whether the form is one where ONNX Runtime's answer is not the standard's.
REFERENCE = {
    "Col2Im": dilated_volume, "DFT": half_spectrum,
    "Resize": cropped,
}


class Form:
    """A node: attributes, inputs (array, or None where left out), names of wanted outputs."""

    def __init__(self, op, inputs, constant=(), outputs=1, opset=21, **attributes):
        self.op, self.inputs, self.constant = op, inputs, constant
        self.outputs, self.opset = outputs, opset
        self.attributes = {k: v for k, v in attributes.items() if v is not None}

    def model(self, types=None):
        names = [f"x{i}" if x is not None else "" for i, x in enumerate(self.inputs)]
        while names and not names[-1]:
            names.pop()
        kinds = [(n, x, i in self.constant)
                 for i, (n, x) in enumerate(zip(names, self.inputs)) if n]
        ports = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
                 for n, x, constant in kinds if not constant]
        constants = [numpy_helper.from_array(x, n) for n, x, constant in kinds if constant]
        wanted = [f"y{i}" for i in range(self.outputs)] if isinstance(self.outputs, int) else [
            f"y{i}" if w else "" for i, w in enumerate(self.outputs)]
        node = helper.make_node(self.op, names, wanted, **self.attributes)
        results = [helper.make_empty_tensor_value_info(n) for n in wanted if n]
        if types:
            results = [helper.make_tensor_value_info(r.name, t, s)
                       for r, (t, s) in zip(results, types)]
        graph = helper.make_graph([node], self.op, ports, results, constants)
        return helper.make_model(
            graph, ir_version=10, opset_imports=[helper.make_opsetid("", self.opset)])

    def feeds(self):
        return {f"x{i}": x for i, x in enumerate(self.inputs)
                if x is not None and i not in self.constant}


def family(count):
    """Registers a function that draws one form; `count` are drawn."""
    def add(draw):
        FAMILIES.append((draw.__name__, count, draw))
        return draw
    return add


class Draw:
    """Random choices."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def pick(self, *options):
        return options[self.rng.integers(len(options))]

    def int(self, low, high):
        """From low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def ints(self, n, low, high):
        return [self.int(low, high) for _ in range(n)]

    def flag(self):
        return self.int(0, 1)

    def maybe(self, value):
        return value if self.flag() else None

    def data(self, shape, dtype=np.float32):
        dtype = np.dtype(dtype)
        if dtype == bool:
            return self.rng.integers(0, 2, shape).astype(bool)
        if dtype.kind == "f":
            return self.rng.standard_normal(shape).astype(dtype)
        low = 0 if dtype.kind == "u" else -9
        return self.rng.integers(low, 10, shape).astype(dtype)


def vector(values):
    return np.array(values, dtype=np.int64)


# ---- windows -----------------------------------------------------------------------------------

def window(d, space, dilations=True):
    """Attributes of a window, and what the data must at least have."""
    kernel = d.ints(space, 1, 3)
    strides = d.maybe(d.ints(space, 1, 3))
    dilation = d.maybe(d.ints(space, 1, 2)) if dilations else None
    auto = d.pick("NOTSET", "NOTSET", None, "VALID", "SAME_UPPER", "SAME_LOWER")
    pads = None
    if auto in ("NOTSET", None):
        pads = d.maybe([min(d.int(0, 2), k - 1) for k in kernel + kernel])
    size = [(k - 1) * (dilation or [1] * space)[i] + 1 + d.int(0, 5) for i, k in enumerate(kernel)]
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads, "auto_pad": auto}
    if dilations:
        attributes["dilations"] = dilation
    return size, attributes


@family(60)
def max_pool(d):
    size, attributes = window(d, d.int(1, 3))
    dtype = d.pick(np.float32, np.float32, np.float64, np.int8, np.uint8)
    x = d.data([d.int(1, 2), d.int(1, 3), *size], dtype)
    return Form("MaxPool", [x], outputs=d.int(1, 2), opset=d.pick(12, 22),
                ceil_mode=d.maybe(d.flag()), storage_order=d.maybe(d.flag()), **attributes)


@family(60)
def average_pool(d):
    opset = d.pick(11, 19, 22)
    size, attributes = window(d, d.int(1, 3), dilations=opset >= 19)
    x = d.data([d.int(1, 2), d.int(1, 3), *size], np.float32)
    return Form("AveragePool", [x], opset=opset, ceil_mode=d.maybe(d.flag()),
                count_include_pad=d.maybe(d.flag()), **attributes)


@family(40)
def lp_pool(d):
    opset = d.pick(11, 18, 22)
    size, attributes = window(d, d.int(1, 3), dilations=opset >= 18)
    x = d.data([d.int(1, 2), d.int(1, 3), *size], np.float32)
    return Form("LpPool", [x], opset=opset, p=d.pick(None, 1, 2, 3),
                ceil_mode=d.maybe(d.flag()) if opset >= 18 else None, **attributes)


@family(60)
def conv(d):
    size, attributes = window(d, d.int(1, 3))
    kernel = attributes["kernel_shape"]
    if d.flag():
        attributes["kernel_shape"] = None
    group, per, outputs = d.int(1, 3), d.int(1, 3), d.int(1, 3)
    x = d.data([d.int(1, 2), group * per, *size])
    w = d.data([group * outputs, per, *kernel])
    bias = d.maybe(d.data([group * outputs]))
    return Form("Conv", [x, w, bias], d.pick((), (1,), (1, 2)), opset=d.pick(11, 22),
                group=group if group > 1 else d.maybe(1), **attributes)


@family(60)
def conv_transpose(d):
    space = d.int(1, 3)
    kernel, strides = d.ints(space, 1, 3), d.ints(space, 1, 3)
    dilation = d.maybe(d.ints(space, 1, 2))
    group, per, outputs = d.int(1, 3), d.int(1, 2), d.int(1, 2)
    x = d.data([d.int(1, 2), group * per, *d.ints(space, 1, 4)])
    w = d.data([group * per, outputs, *kernel])
    more = {}
    kind = d.int(0, 3)
    if kind == 0:
        more["pads"] = d.maybe([min(d.int(0, 1), k - 1) for k in kernel + kernel])
        more["output_padding"] = d.maybe([d.int(0, s - 1) for s in strides])
    elif kind == 1:
        more["auto_pad"] = d.pick("SAME_UPPER", "SAME_LOWER", "VALID")
        more["output_padding"] = d.pick(None, None, [d.int(0, s - 1) for s in strides])
        # Of windows that do not reach the next one ONNX Runtime gives fewer elements than asked.
        if more["auto_pad"] != "VALID" and any(
                (k - 1) * (dilation or [1] * space)[i] + 1
                + (more["output_padding"] or [0] * space)[i] < strides[i]
                for i, k in enumerate(kernel)):
            return None
    elif kind == 2:
        reach = [(k - 1) * (dilation or [1] * space)[i] + 1 for i, k in enumerate(kernel)]
        full = [(n - 1) * s + r for n, s, r in zip(x.shape[2:], strides, reach)]
        more["output_shape"] = [max(1, f - d.int(0, r - 1) + d.int(0, s - 1))
                                for f, r, s in zip(full, reach, strides)]
        more["auto_pad"] = d.pick(None, "SAME_UPPER", "SAME_LOWER", "NOTSET")
    return Form("ConvTranspose", [x, w, d.maybe(d.data([group * outputs]))], d.pick((), (1,)),
                opset=d.pick(11, 22), group=group, strides=strides, dilations=dilation,
                kernel_shape=d.maybe(kernel), **more)


@family(12)
def max_unpool(d):
    x = d.data([1, 2, d.int(2, 4), d.int(2, 4)])
    kernel, strides = d.ints(2, 1, 3), d.ints(2, 1, 3)
    to = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], strides, kernel)]
    at = d.rng.permutation(2 * to[0] * to[1])
    if at.size < x.size:
        return None
    at = at[: x.size].reshape(x.shape).astype(np.int64)
    shape = d.maybe(vector([1, 2, *to]))
    return Form("MaxUnpool", [x, at, shape], (2,), opset=d.pick(11, 22), kernel_shape=kernel,
                strides=strides)


# ---- pictures ----------------------------------------------------------------------------------

@family(60)
def grid_sample(d):
    opset = d.pick(16, 20, 22)
    space = 2 if opset < 20 else d.int(2, 3)
    mode = d.pick("nearest", "bilinear", "bicubic") if opset < 20 else d.pick(
        "nearest", "linear", "cubic")
    if space == 3 and mode == "cubic":
        mode = "linear"
    batch = d.int(1, 2)
    dtype = np.float32
    x = d.data([batch, d.int(1, 2), *d.ints(space, 1, 5)], dtype)
    grid = (d.rng.uniform(-1.5, 1.5, [batch, *d.ints(space, 1, 4), space])).astype(dtype)
    return Form("GridSample", [x, grid], opset=opset, mode=mode,
                padding_mode=d.pick(None, "zeros", "border", "reflection"),
                align_corners=d.maybe(d.flag()))


@family(40)
def roi_align(d):
    opset = d.pick(10, 16)
    batch, count = d.int(1, 3), d.int(1, 4)
    x = d.data([batch, d.int(1, 3), d.int(1, 9), d.int(1, 9)])
    corner = d.rng.uniform(-3, 8, [count, 2])
    rois = np.concatenate([corner, corner + d.rng.uniform(-0.5, 9, [count, 2])], 1)
    return Form("RoiAlign", [x, rois.astype(np.float32), d.rng.integers(0, batch, count)],
                opset=opset, mode=d.pick(None, "avg", "max"),
                output_height=d.maybe(d.int(1, 3)), output_width=d.maybe(d.int(1, 3)),
                sampling_ratio=d.maybe(d.int(0, 3)), spatial_scale=d.maybe(d.pick(0.5, 1.0, 2.0)),
                coordinate_transformation_mode=d.pick(None, "half_pixel", "output_half_pixel")
                if opset >= 16 else None)


@family(15)
def max_roi_pool(d):
    batch, count = d.int(1, 2), d.int(1, 3)
    x = d.data([batch, d.int(1, 3), d.int(2, 7), d.int(2, 7)])
    corner = d.rng.integers(0, 6, [count, 2])
    rois = np.concatenate([d.rng.integers(0, batch, [count, 1]), corner,
                           corner + d.rng.integers(0, 6, [count, 2])], 1)
    return Form("MaxRoiPool", [x, rois.astype(np.float32)], opset=11,
                pooled_shape=d.ints(2, 1, 3), spatial_scale=d.maybe(d.pick(0.5, 1.0)))


@family(30)
def deform_conv(d):
    size, attributes = window(d, 2)
    attributes["auto_pad"] = None
    kernel = attributes["kernel_shape"]
    group, per, shared = d.int(1, 2), d.int(1, 2), d.int(1, 2)
    channels, outputs, batch = group * per * shared, group * d.int(1, 2), d.int(1, 2)
    pads = attributes["pads"] or [0] * 4
    to = [(n + pads[i] + pads[i + 2] - (kernel[i] - 1) * (attributes["dilations"] or [1, 1])[i] - 1)
          // (attributes["strides"] or [1, 1])[i] + 1 for i, n in enumerate(size)]
    taps = kernel[0] * kernel[1]
    return Form("DeformConv", [
        d.data([batch, channels, *size]), d.data([outputs, channels // group, *kernel]),
        d.data([batch, shared * taps * 2, *to]), d.maybe(d.data([outputs])),
        d.maybe(d.data([batch, shared * taps, *to]))],
        opset=d.pick(19, 22), group=group, offset_group=shared, **{
            k: v for k, v in attributes.items() if k != "auto_pad"})


@family(15)
def affine_grid(d):
    space, batch = d.int(2, 3), d.int(1, 2)
    size = vector([batch, 1, *d.ints(space, 2, 5)])
    return Form("AffineGrid", [d.data([batch, space, space + 1], d.pick(*FLOATS)), size], (1,),
                opset=20, align_corners=d.maybe(d.flag()))


@family(20)
def col2im(d):
    space = d.int(1, 3)
    size, attributes = window(d, space)
    kernel, pads = attributes["kernel_shape"], attributes["pads"] or [0] * (2 * space)
    count = [(n + pads[i] + pads[i + space]
              - (kernel[i] - 1) * (attributes["dilations"] or [1] * space)[i] - 1)
             // (attributes["strides"] or [1] * space)[i] + 1 for i, n in enumerate(size)]
    x = d.data([d.int(1, 2), d.int(1, 2) * int(np.prod(kernel)), int(np.prod(count))])
    return Form("Col2Im", [x, vector(size), vector(kernel)], (1, 2), opset=18,
                strides=attributes["strides"], pads=attributes["pads"],
                dilations=attributes["dilations"])


@family(90)
def resize(d):
    opset = d.pick(11, 13, 18, 19)
    mode = d.pick("nearest", "linear", "cubic")
    rank = {"nearest": d.int(1, 4), "linear": d.int(1, 4), "cubic": d.pick(2, 4)}[mode]
    shape = d.ints(rank, 1, d.pick(6, 11))
    modes = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    if opset >= 19:
        modes.append("half_pixel_symmetric")
    modes.append("tf_crop_and_resize")
    coordinates = d.pick(None, *modes)
    axes, kept = None, list(range(rank))
    if opset >= 18 and d.flag():
        kept = sorted(d.rng.permutation(rank)[: d.int(1, rank)].tolist())
        axes = [int(a) for a in kept]
    by_size = d.flag()
    policy = d.pick(None, "stretch", "not_larger", "not_smaller")
    if axes and not (by_size and policy):  # ONNX Runtime loses sizes of axes from the end.
        axes = [a - (rank if d.flag() else 0) for a in axes]
    # Runtimes interpolate over the last axes only.
    fixed = {a for a in range(rank) if mode != "nearest" and rank == 4 and a < 2}
    factors = [1.0 if a in fixed else d.pick(0.5, 2.0, 1.5, 0.4, 1.0, 3.0, 0.7, 1.7, 0.6, 0.3, 0.1) for a in kept]
    sizes = scales = roi = None
    if by_size:
        sizes = vector([shape[a] if a in fixed else d.int(1, 9) for a in kept])
    else:
        scales = np.array(factors, np.float32)
        if any(int(np.floor(np.float32(shape[a]) * f)) < 1 for a, f in zip(kept, scales)):
            return None
    if coordinates == "tf_crop_and_resize":
        start = d.rng.uniform(-0.2, 0.4, len(kept))
        end = d.rng.uniform(0.5, 1.2, len(kept))
        for i, a in enumerate(kept):
            if a in fixed:
                start[i], end[i] = 0, 1
        roi = np.concatenate([start, end]).astype(np.float32)
    x = d.data(shape, np.float32)
    if opset < 13 and roi is None:
        roi = np.zeros(0, np.float32)
    if opset < 13 and scales is None:
        scales = np.zeros(0, np.float32)
    return Form("Resize", [x, roi, scales, sizes], (1, 2, 3), opset=opset, mode=mode, axes=axes,
                coordinate_transformation_mode=coordinates,
                nearest_mode=d.pick(None, "round_prefer_floor", "round_prefer_ceil", "floor",
                                    "ceil") if mode == "nearest" else None,
                cubic_coeff_a=d.maybe(-0.5) if mode == "cubic" else None,
                exclude_outside=d.maybe(d.flag()) if mode == "cubic" else None,
                extrapolation_value=d.maybe(7.5),
                antialias=d.maybe(d.flag()) if opset >= 18 and mode != "nearest" else None,
                keep_aspect_ratio_policy=policy if opset >= 18 and by_size else None)


@family(12)
def upsample(d):
    opset = d.pick(7, 9)
    x = d.data([1, d.int(1, 2), d.int(1, 4), d.int(1, 4)])
    scales = [1.0, 1.0, d.pick(1.0, 2.0, 3.0, 1.5), d.pick(1.0, 2.0, 2.5)]
    mode = d.pick(None, "nearest", "linear")
    if opset == 7:
        return Form("Upsample", [x], opset=7, mode=mode, scales=scales)
    return Form("Upsample", [x, np.array(scales, np.float32)], (1,), opset=9, mode=mode)


# ---- signals and matrices ----------------------------------------------------------------------

@family(40)
def dft(d):
    opset = d.pick(17, 20)
    rank = d.int(2, 4)
    shape = d.ints(rank - 1, 1, 6)
    axis = d.int(0, rank - 2)
    shape[axis] = d.pick(1, 2, 3, 5, 8, 12, 17)
    inverse, onesided = d.flag(), d.flag()
    parts = (2 if inverse else 1) if onesided else d.int(1, 2)
    dtype = d.pick(*FLOATS)
    length = d.maybe(np.array(d.int(1, 12), np.int64))
    attributes = {"inverse": inverse if inverse else d.maybe(0),
                  "onesided": onesided if onesided else d.maybe(0)}
    x = d.data([*shape, parts], dtype)
    if opset == 17:
        return Form("DFT", [x, length], (1,), opset=17, axis=axis, **attributes)
    at = d.maybe(np.array(axis - (rank if d.flag() else 0), np.int64))
    return Form("DFT", [x, length, at], (1, 2), opset=20, **attributes)


@family(15)
def stft(d):
    frame = d.int(1, 9)
    parts = d.int(1, 2)
    x = d.data([d.int(1, 2), frame + d.int(0, 20), parts])
    window = d.maybe(d.data([frame]))
    length = np.array(frame, np.int64) if window is None or d.flag() else None
    return Form("STFT", [x, np.array(d.int(1, 5), np.int64), window, length],
                (1, 3) if d.flag() else (1, 2, 3), opset=17,
                onesided=0 if parts == 2 else d.pick(None, 0, 1))


@family(12)
def determinant(d):
    n = d.int(1, 5)
    return Form("Det", [d.data([*d.ints(d.int(0, 2), 1, 3), n, n])], opset=d.pick(11, 22))


@family(40)
def running(d):
    rank = d.int(1, 4)
    x = d.data(d.ints(rank, 1, 4), d.pick(*FLOATS, np.int32, np.int64))
    axis = np.array(d.int(-rank, rank - 1), d.pick(np.int32, np.int64))
    return Form("CumSum", [x, axis], (1,), opset=14, exclusive=d.maybe(d.flag()),
                reverse=d.maybe(d.flag()))


@family(60)
def einsum(d):
    equation, shapes = d.pick(
        ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]), ("...ii->...i", [(2, 3, 3)]), ("...ij,...jk->...ik", [(2, 1, 2, 3), (4, 3, 2)]),
        ("i,i->", [(3,), (3,)]), ("i,j->ij", [(3,), (2,)]), ("ij->ji", [(2, 3)]),
        ("ba", [(2, 3)]), ("ij->", [(2, 3)]), ("ij->j", [(2, 3)]), ("bij,bjk->bik", [(2, 2, 3), (2, 3, 4)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]), ("i,ij,j->", [(2,), (2, 3), (3,)]),
        ("bhqd,bhkd->bhqk", [(1, 2, 3, 4), (1, 2, 5, 4)]), ("...,...->...", [(2, 3), (3,)]),
        ("...i->...", [(2, 3)]), ("iji->j", [(2, 3, 2)]), ("ijk,ilj->kl", [(2, 3, 4), (2, 5, 3)]),
        (" i j , j k -> i k ", [(2, 3), (3, 4)]), ("...j,jk->...k", [(2, 2, 3), (3, 4)]),
        ("aB,Bc->ac", [(2, 3), (3, 4)]), ("ij,ij->ij", [(2, 3), (2, 3)]), ("ij,ij,ij->i", [(2, 3)] * 3),
        ("i...->...", [(2, 3, 4)]), ("ij...,jk...->ik...", [(2, 3, 4), (3, 5, 4)]),
        ("iij,jk->ik", [(2, 2, 3), (3, 4)]), ("...ij->...ji", [(2, 3, 4)]), ("bij,bjk", [(2, 2, 3), (2, 3, 4)]),
        ("ij,kj->ik", [(1, 3), (4, 3)]), ("ij,jk->ik", [(2, 1), (3, 4)]))
    dtype = d.pick(np.float32, np.float32, np.float64, np.int32, np.int64)
    return Form("Einsum", [d.data(s, dtype) for s in shapes], opset=12, equation=equation)


# ---- movement and indices ----------------------------------------------------------------------

@family(80)
def pad(d):
    opset = d.pick(11, 13, 18, 19, 21)
    rank = d.int(1, 4)
    shape = d.ints(rank, 2, 5)
    mode = d.pick(None, "constant", "reflect", "edge", *(["wrap"] if opset >= 19 else []))
    axes, kept = None, list(range(rank))
    if opset >= 18 and d.flag():
        kept = d.rng.permutation(rank)[: d.int(1, rank)].tolist()
        axes = np.array([int(a) - (rank if d.flag() else 0) for a in kept], d.pick(np.int32, np.int64))
    low = d.pick(0, -1)
    pads = [d.int(low, min(3, shape[a] - 1)) for a in kept + kept]
    dtype = d.pick(*FLOATS, *INTEGERS, bool)
    value = d.maybe(np.array(d.data([]), dtype)) if mode in (None, "constant") else None
    return Form("Pad", [d.data(shape, dtype), vector(pads), value, axes], (1, 3) if d.flag() else (1, 2, 3),
                opset=opset, mode=mode)


@family(30)
def gather(d):
    rank = d.int(1, 3)
    shape = d.ints(rank, 1, 5)
    axis = d.int(-rank, rank - 1)
    n = shape[axis]
    at = d.rng.integers(-n, n, d.ints(d.int(0, 2), 1, 4)).astype(d.pick(np.int32, np.int64))
    return Form("Gather", [d.data(shape, d.pick(*FLOATS, *INTEGERS, bool)), at], d.pick((), (1,)),
                opset=13, axis=axis if axis else d.maybe(0))


@family(30)
def gather_elements(d):
    rank = d.int(1, 3)
    shape = d.ints(rank, 1, 5)
    axis = d.int(-rank, rank - 1)
    n = shape[axis]
    to = [d.int(1, s) for s in shape]
    to[axis] = d.int(1, 6)
    at = d.rng.integers(-n, n, to).astype(d.pick(np.int32, np.int64))
    return Form("GatherElements", [d.data(shape, d.pick(*FLOATS, *INTEGERS, bool)), at],
                d.pick((), (1,)), opset=13, axis=axis)


@family(30)
def gather_nd(d):
    rank = d.int(1, 4)
    shape = d.ints(rank, 1, 4)
    batch = d.int(0, rank - 1)
    width = d.int(1, rank - batch)
    at = [d.rng.integers(-n, n, [*shape[:batch], 3, 1]) for n in shape[batch: batch + width]]
    return Form("GatherND", [d.data(shape, d.pick(*FLOATS, *INTEGERS, bool)),
                             np.concatenate(at, -1).astype(np.int64)], d.pick((), (1,)),
                opset=13, batch_dims=batch if batch else d.maybe(0))


@family(40)
def scatter_elements(d):
    opset = d.pick(11, 13, 16, 18)
    rank = d.int(1, 3)
    shape = d.ints(rank, 1, 5)
    axis = d.int(-rank, rank - 1)
    n = shape[axis]
    reduction = d.pick(None, *[[], [], ["none", "add", "mul"], ["none", "add", "mul", "min", "max"]][
        [11, 13, 16, 18].index(opset)])
    to = [d.int(1, s) for s in shape]
    at = d.rng.integers(-n, n, to)
    if reduction in (None, "none"):
        at = np.argsort(d.rng.random(to), axis=axis) % n
    at = at.astype(d.pick(np.int32, np.int64))
    dtype = d.pick(*FLOATS, np.int32, np.int64, np.uint8)
    return Form("ScatterElements", [d.data(shape, dtype), at, d.data(to, dtype)], d.pick((), (1,)),
                opset=opset, axis=axis, reduction=reduction)


@family(30)
def scatter_nd(d):
    opset = d.pick(13, 16, 18)
    rank = d.int(1, 4)
    shape = d.ints(rank, 1, 4)
    width = d.int(1, rank)
    reduction = d.pick(None, *[[], ["none", "add", "mul"], ["none", "add", "mul", "min", "max"]][
        [13, 16, 18].index(opset)])
    count = 1 if reduction in (None, "none") else 3
    at = np.concatenate([d.rng.integers(-n, n, [count, 1]) for n in shape[:width]], -1)
    dtype = d.pick(*FLOATS, np.int32, np.int64, np.uint8)
    return Form("ScatterND", [d.data(shape, dtype), at.astype(np.int64),
                              d.data([count, *shape[width:]], dtype)], d.pick((), (1,)),
                opset=opset, reduction=reduction)


@family(40)
def top_k(d):
    opset = d.pick(10, 11, 24)
    rank = d.int(1, 3)
    shape = d.ints(rank, 1, 6)
    axis = d.int(-rank, rank - 1)
    dtype = d.pick(np.float32, np.float64, np.int32, np.int64) if opset > 10 else np.float32
    k = vector([d.int(0, shape[axis])])
    return Form("TopK", [d.data(shape, dtype), k], (1,), outputs=2, opset=opset,
                axis=axis, largest=d.maybe(d.flag()) if opset > 10 else None,
                sorted=d.maybe(1) if opset > 10 else None)


@family(40)
def arg_reduce(d):
    rank = d.int(1, 3)
    opset = d.pick(11, 12, 13)
    shape = d.ints(rank, 1, 5)
    dtype = d.pick(np.float32, np.float64, np.int32, np.int8, np.uint8)
    x = d.rng.integers(0, 4, shape).astype(dtype)
    return Form(d.pick("ArgMax", "ArgMin"), [x], opset=opset, axis=d.maybe(d.int(-rank, rank - 1)),
                keepdims=d.maybe(d.flag()),
                select_last_index=d.maybe(d.flag()) if opset >= 12 else None)


@family(60)
def reduce(d):
    op = d.pick("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
    rank = d.int(0, 4)
    shape = d.ints(rank, 1, 4)
    dtypes = [np.float32, np.float64, np.int32, np.int64]
    if op in ("Max", "Min"):
        dtypes += [np.int8, np.uint8, bool]
    dtype = d.pick(*dtypes)
    x = d.data(shape, dtype)
    if op == "Prod" and np.dtype(dtype).kind == "i":
        x = x % 3  # Overflow saturates there and wraps here.
    if op.startswith("Log"):
        x = np.abs(d.data(shape, d.pick(np.float32, np.float64))) + np.array(0.1, np.float32).astype(np.float32)
        x = x.astype(np.float32)
    axes = d.maybe(d.rng.permutation(rank)[: d.int(0, rank)].tolist())
    axes = axes if axes is None else [int(a) - (rank if d.flag() else 0) for a in axes]
    keep, empty = d.maybe(d.flag()), d.maybe(d.flag())
    opset = 20 if dtype == bool else d.pick(11, 13, 18)
    if opset >= 18 or (op == "Sum" and opset == 13):
        return Form(f"Reduce{op}", [x, axes if axes is None else vector(axes)], (1,), opset=opset,
                    keepdims=keep, noop_with_empty_axes=empty)
    return Form(f"Reduce{op}", [x], opset=opset, keepdims=keep, axes=axes or None)


@family(20)
def trilu(d):
    x = d.data(d.ints(d.int(2, 3), 1, 5), d.pick(*FLOATS, np.int64, np.uint8, bool))
    return Form("Trilu", [x, d.maybe(np.array(d.int(-6, 6), np.int64))], (1,), opset=14,
                upper=d.maybe(d.flag()))


@family(15)
def reverse_sequence(d):
    batch = d.int(0, 1)
    shape = d.ints(d.int(2, 4), 1, 5)
    lens = d.rng.integers(1, shape[1 - batch] + 1, shape[batch])
    return Form("ReverseSequence", [d.data(shape, d.pick(*FLOATS, np.int64)), lens], d.pick((), (1,)),
                opset=10, batch_axis=batch, time_axis=1 - batch)


@family(16)
def depth_space(d):
    b = d.int(1, 3)
    dtype = d.pick(np.float32, np.float64)
    if d.flag():
        x = d.data([d.int(1, 2), b * b * d.int(1, 3), d.int(1, 3), d.int(1, 3)], dtype)
        return Form("DepthToSpace", [x], opset=13, blocksize=b, mode=d.pick(None, "DCR", "CRD"))
    x = d.data([d.int(1, 2), d.int(1, 3), b * d.int(1, 3), b * d.int(1, 3)], dtype)
    return Form("SpaceToDepth", [x], opset=13, blocksize=b)


@family(25)
def one_hot(d):
    rank = d.int(1, 3)
    at = d.rng.integers(-6, 7, d.ints(rank, 1, 4)).astype(np.int64)
    depth = np.array(d.int(1, 5), np.int64)
    if d.flag():
        depth = depth.reshape(1)
    return Form("OneHot", [at, depth, d.data([2], d.pick(np.float32, np.int64))], (1,), opset=11,
                axis=d.maybe(d.int(-rank - 1, rank)))


@family(50)
def slices(d):
    rank = d.int(1, 4)
    shape = d.ints(rank, 1, 6)
    axes = d.rng.permutation(rank)[: d.int(1, rank)].tolist()
    start = [d.int(-8, 8) for _ in axes]
    end = [d.pick(d.int(-8, 8), 2**62, -(2**62)) for _ in axes]
    steps = d.maybe([d.pick(1, 2, 3, -1, -2) for _ in axes])
    given = [a - (rank if d.flag() else 0) for a in axes]
    kind = d.pick(np.int32, np.int64)
    if kind is np.int32:
        end = [int(np.clip(e, -(2**31), 2**31 - 1)) for e in end]
    lists = [None if v is None else np.array(v, kind) for v in (start, end, given, steps)]
    # ONNX Runtime takes the largest int32 as the end of a backward slice too.
    if steps and any(e == 2**31 - 1 and s < 0 for e, s in zip(end, steps)):
        return None
    return Form("Slice", [d.data(shape, d.pick(*FLOATS, *INTEGERS, bool)), *lists], (1, 2, 3, 4), opset=13)


# ---- normalization -----------------------------------------------------------------------------

@family(50)
def normalization(d):
    kind = d.int(0, 6)
    c, batch = d.int(1, 4), d.int(1, 2)
    x = d.data([batch, c, *d.ints(d.int(1, 3), 1, 5)])
    eps = d.maybe(d.pick(1e-3, 0.1))
    per = lambda: d.data([c])
    if kind == 0:
        return Form("BatchNormalization", [x, per(), per(), per(), np.abs(per())], d.pick((), (1, 2, 3, 4)),
                    opset=d.pick(9, 14, 15), epsilon=eps, momentum=d.maybe(0.5))
    if kind == 1:
        return Form("InstanceNormalization", [x, per(), per()], opset=d.pick(6, 22) if False else 22, epsilon=eps)
    if kind == 2:
        rank = x.ndim
        axis = d.int(-rank, rank - 1)
        shape = x.shape[axis:]
        if d.flag():
            shape = shape[-1:] if len(shape) > 1 else shape
        return Form("LayerNormalization", [x, d.data(shape), d.maybe(d.data(shape))],
                    outputs=d.pick(1, 1, 3, 2), opset=17, axis=axis, epsilon=eps)
    if kind == 3:
        groups = d.pick(*[g for g in range(1, c + 1) if c % g == 0])
        return Form("GroupNormalization", [x, per(), per()], opset=21, num_groups=groups, epsilon=eps)
    if kind == 4:
        return Form("LRN", [d.data([batch, c, 3, 2])], opset=13, size=d.pick(1, 3, 5, 2), alpha=d.maybe(0.1), beta=d.maybe(0.5),
                    bias=d.maybe(2.0))
    if kind == 5:
        rank = x.ndim
        axes = d.maybe(sorted(d.rng.permutation(rank)[: d.int(1, rank)].tolist())) if rank == 4 else [0, 2]
        return Form("MeanVarianceNormalization", [x], opset=13, axes=axes)
    rank = x.ndim
    axis = d.int(-rank, rank - 1)
    return Form("RMSNormalization", [x, d.data(x.shape[axis:])], opset=23, axis=axis, epsilon=eps)


@family(40)
def softmax(d):
    rank = d.int(1, 4)
    x = d.data(d.ints(rank, 1, 4), d.pick(np.float32, np.float64))
    opset = d.pick(9, 11, 13)
    op = d.pick("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")
    low = -rank if opset >= 11 else 0
    axis = d.maybe(d.int(low, rank - 1))
    if op == "LpNormalization":
        return Form(op, [x], opset=opset, axis=axis, p=d.maybe(d.int(1, 2)))
    if axis is None and opset < 13 and rank < 2:
        axis = 0
    return Form(op, [x], opset=opset, axis=axis)


# ---- recurrent ---------------------------------------------------------------------------------

ACTIVATIONS = {"Tanh": 0, "Sigmoid": 0, "Relu": 0, "Affine": 2, "LeakyRelu": 1, "ThresholdedRelu": 1,
               "ScaledTanh": 2, "HardSigmoid": 2, "Elu": 1, "Softsign": 0, "Softplus": 0}


@family(120)
def recurrent(d):
    op = d.pick("RNN", "GRU", "LSTM")
    gates, functions = {"RNN": (1, 1), "GRU": (3, 2), "LSTM": (4, 3)}[op]
    steps, batch, size, hidden = d.int(1, 4), d.int(1, 3), d.int(1, 3), d.int(1, 4)
    direction = d.pick(None, "forward", "reverse", "bidirectional")
    dirs = 2 if direction == "bidirectional" else 1
    layout = d.pick(None, 0, 0, 1)
    turned = (lambda x: x.swapaxes(0, 1)) if layout == 1 else (lambda x: x)
    state = lambda: d.maybe(np.ascontiguousarray(turned(d.data([dirs, batch, hidden]))))
    inputs = [
        np.ascontiguousarray(turned(d.data([steps, batch, size]))), d.data([dirs, gates * hidden, size]),
        d.data([dirs, gates * hidden, hidden]), d.maybe(d.data([dirs, 2 * gates * hidden])),
        d.maybe(d.rng.integers(1, steps + 1, batch).astype(np.int32)), state()]
    if op == "LSTM":
        inputs += [state(), d.maybe(d.data([dirs, 3 * hidden]))]
    names, alpha, beta = None, None, None
    if d.flag():
        names = [d.pick(*ACTIVATIONS) for _ in range(functions * dirs)]
        alpha = [0.5 + 0.1 * i for i, n in enumerate(names) if ACTIVATIONS[n] >= 1] or None
        beta = [0.3 + 0.1 * i for i, n in enumerate(names) if ACTIVATIONS[n] >= 2] or None
    outputs = [d.flag() for _ in range(3 if op == "LSTM" else 2)]
    if not any(outputs):
        outputs[0] = 1
    return Form(op, inputs, d.pick((), (1, 2, 3)), outputs=tuple(outputs), opset=d.pick(7, 14, 22) if layout is None else d.pick(14, 22),
                hidden_size=hidden, direction=direction, layout=layout, activations=names,
                activation_alpha=alpha, activation_beta=beta, clip=d.pick(None, None, 0.75, 2.0),
                input_forget=d.maybe(d.flag()) if op == "LSTM" else None,
                linear_before_reset=d.maybe(d.flag()) if op == "GRU" else None)


# ---- elementwise -------------------------------------------------------------------------------

@family(60)
def arithmetic(d):
    op = d.pick("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Mod", "BitShift", "Min", "Max", "Equal", "Less",
                "GreaterOrEqual", "PRelu", "BitwiseAnd", "BitwiseXor")
    shapes = d.pick([(2, 3), (2, 3)], [(2, 3), (3,)], [(2, 1, 3), (4, 1)], [(), (2,)], [(1,), (2, 2)])
    dtype = d.pick(*FLOATS, np.int32, np.int64, np.uint8, np.int8)
    more, opset = {}, 18
    if op in ("BitShift", "BitwiseAnd", "BitwiseXor"):
        dtype = d.pick(np.uint8, np.uint32, np.uint64)
        if op == "BitShift":
            more["direction"] = d.pick("LEFT", "RIGHT")
    a, b = d.data(shapes[0], dtype), d.data(shapes[1], dtype)
    if op == "PRelu":
        a, b, = d.data([2, 3]), d.data(d.pick((1,), (3,), (2, 3)))
    if op in ("Div", "Mod") and np.dtype(dtype).kind != "f":
        b = np.where(b == 0, np.ones_like(b), b)
    if op == "Mod":
        more["fmod"] = 1 if np.dtype(dtype).kind == "f" else d.maybe(d.flag())
    if op == "Pow":
        a = np.abs(a)
        if np.dtype(dtype).kind != "f":
            dtype = d.pick(np.int32, np.int64)
            a, b = (d.data(shapes[0], dtype) % 5).astype(dtype), (np.abs(d.data(shapes[1], dtype)) % 4).astype(dtype)
    return Form(op, [a, b], opset=opset, **more)


@family(80)
def unary(d):
    op, more = d.pick(
        ("Abs", {}), ("Neg", {}), ("Sign", {}), ("Floor", {}), ("Round", {}), ("Ceil", {}), ("Relu", {}),
        ("Exp", {}), ("Sqrt", {}), ("Erf", {}), ("Softplus", {}), ("Softsign", {}), ("HardSwish", {}),
        ("Mish", {}), ("Celu", {"alpha": 0.7}), ("Elu", {"alpha": 0.6}), ("Selu", {"alpha": 1.5, "gamma": 0.9}),
        ("LeakyRelu", {"alpha": 0.3}), ("HardSigmoid", {"alpha": 0.4, "beta": 0.3}), ("ThresholdedRelu", {"alpha": 0.5}),
        ("Gelu", {"approximate": "tanh"}), ("Gelu", {}), ("Shrink", {"lambd": 0.4, "bias": 0.1}), ("IsNaN", {}),
        ("IsInf", {"detect_negative": 0}), ("IsInf", {"detect_positive": 0}), ("Reciprocal", {}), ("Tan", {}),
        ("Asinh", {}), ("Atan", {}), ("Sinh", {}), ("Log", {}), ("Acosh", {}), ("Atanh", {}), ("Asin", {}))
    dtype = d.pick(*FLOATS)
    if op in ("Abs", "Neg", "Sign", "Relu", "Shrink"):
        dtype = d.pick(*FLOATS, *([] if op == "Shrink" else [np.int32, np.int64, np.int8]))
    x = d.data([3, 5], dtype)
    if np.dtype(dtype).kind == "f" and d.flag():
        x[0, :3] = [np.inf, -np.inf, np.nan]
        x[1, :3] = [0.5, 1.5, -2.5]
    return Form(op, [x], opset=20, **more)


@family(60)
def cast(d):
    kinds = [np.float32, np.float64, np.int32, np.int64, np.uint8, np.int8, np.uint32, np.uint64, np.int16, bool]
    source, to = d.pick(*kinds), d.pick(*kinds)
    x = d.data([3, 4], source)
    if np.dtype(source).kind == "f":
        x = (x * 3).astype(source)
        if np.dtype(to).kind == "u":
            x = np.abs(x)
    elif np.dtype(to).kind == "u" and source is not bool:
        x = np.abs(x)
    return Form("Cast", [x], opset=19, to=helper.np_dtype_to_tensor_dtype(np.dtype(to)))


# ---- shapes ------------------------------------------------------------------------------------

@family(60)
def shapes(d):
    rank = d.int(1, 4)
    shape = d.ints(rank, 1, 4)
    x = d.data(shape, d.pick(*FLOATS, *INTEGERS, bool))
    kind = d.pick("Transpose", "Expand", "Tile", "Concat", "Split", "Squeeze", "Unsqueeze",
                  "Flatten", "Reshape", "CenterCropPad", "Compress", "EyeLike")
    if kind == "Transpose":
        return Form(kind, [x], opset=13, perm=d.maybe(d.rng.permutation(rank).tolist()))
    if kind == "Expand":
        to = [n if n > 1 else d.int(1, 3) for n in shape]
        to = [1 if d.int(0, 3) == 0 else n for n in to]
        cut = d.int(0, rank)
        return Form(kind, [x, vector(d.pick([2, *to], to, to[cut:]))], (1,), opset=13)
    if kind == "Tile":
        return Form(kind, [x, vector(d.ints(rank, 1, 3))], (1,), opset=13)
    if kind == "Concat":
        axis = d.int(-rank, rank - 1)
        parts = []
        for _ in range(d.int(1, 3)):
            part = list(shape)
            part[axis] = d.int(0, 3)
            parts.append(d.data(part, x.dtype))
        return Form(kind, [x, *parts], d.pick((), (1,)), opset=13, axis=axis)
    if kind == "Split":
        axis = d.int(-rank, rank - 1)
        if d.flag():
            cut = d.int(0, shape[axis])
            return Form(kind, [x, vector([cut, shape[axis] - cut])], (1,), outputs=2, opset=13, axis=axis)
        parts = d.int(1, shape[axis])
        if (parts - 1) * -(-shape[axis] // parts) >= shape[axis]:
            return None
        return Form(kind, [x], outputs=parts, opset=18, num_outputs=parts, axis=axis)
    if kind == "Squeeze":
        ones = [i - (rank if d.flag() else 0) for i, n in enumerate(shape) if n == 1]
        return Form(kind, [x, vector(ones) if ones and d.flag() else None], (1,), opset=13)
    if kind == "Unsqueeze":
        axes = d.rng.permutation(rank + 2)[:2]
        return Form(kind, [x, vector([int(a) - (rank + 2 if d.flag() else 0) for a in axes])], (1,), opset=13)
    if kind == "Flatten":
        return Form(kind, [x], opset=13, axis=d.maybe(d.int(-rank, rank)))
    if kind == "Reshape":
        to = d.pick([-1], [0, -1], [1, -1, 1], [x.size], [0] * rank, [x.size, 1])
        return Form(kind, [x, vector(to)], (1,), opset=14)
    if kind == "CenterCropPad":
        axes = d.maybe(sorted(d.rng.permutation(rank)[: d.int(1, rank)].tolist()))
        return Form(kind, [x, vector(d.ints(len(axes) if axes else rank, 1, 6))], (1,), opset=18, axes=axes)
    if kind == "Compress":
        axis = d.maybe(d.int(-rank, rank - 1))
        n = x.size if axis is None else shape[axis]
        return Form(kind, [x, d.data([d.int(1, n)], bool)], (1,), opset=11, axis=axis)
    return Form(kind, [d.data(d.ints(2, 1, 5), d.pick(*FLOATS, np.int64))], opset=9,
                k=d.maybe(d.int(-3, 3)), dtype=d.maybe(d.pick(1, 7, 11)))


@family(60)
def products(d):
    kind = d.pick("MatMul", "MatMul", "Gemm", "Gemm", "MatMulInteger", "ConvInteger")
    m, k, n = d.ints(3, 1, 5)
    if kind == "MatMul":
        a, b = d.pick(([m, k], [k, n]), ([k], [k]), ([k], [k, n]), ([m, k], [k]), ([2, m, k], [k, n]),
                      ([2, 1, m, k], [3, k, n]), ([k], [2, k, n]), ([3, m, k], [3, k]) if False else ([3, m, k], [k]))
        dtype = d.pick(*FLOATS, np.int32, np.int64)
        return Form(kind, [d.data(a, dtype), d.data(b, dtype)], d.pick((), (0,), (1,)), opset=13)
    if kind == "Gemm":
        a, b = d.flag(), d.flag()
        c = d.pick(None, [n], [m, n], [1], [], [m, 1], [1, n])
        dtype = d.pick(*FLOATS)
        return Form(kind, [d.data([k, m] if a else [m, k], dtype), d.data([n, k] if b else [k, n], dtype),
                           None if c is None else d.data(c, dtype)], d.pick((), (1,), (1, 2)), opset=13,
                    transA=a or d.maybe(0), transB=b or d.maybe(0), alpha=d.maybe(0.5), beta=d.maybe(d.pick(0.0, 2.0)))
    left, right = d.pick(np.uint8, np.int8), d.pick(np.uint8, np.int8)
    if kind == "MatMulInteger":
        a, b = d.data([m, k], left), d.data([k, n], right)
        zero_a = d.maybe(d.data(d.pick([], [1]), left))
        zero_b = d.maybe(d.data(d.pick([], [n]), right))
        return Form(kind, [a, b, zero_a, zero_b], d.pick((), (1,), (1, 2, 3)), opset=10)
    size, attributes = window(d, 2)
    attributes["auto_pad"] = None
    group = d.int(1, 2)
    x = d.data([1, group * 2, *size], np.uint8)
    w = d.data([group * 2, 2, *attributes["kernel_shape"]], np.uint8)
    return Form(kind, [x, w, d.maybe(np.array(3, np.uint8)), d.maybe(np.array(2, np.uint8))], (1, 2, 3), opset=10,
                group=group, **{k: v for k, v in attributes.items() if k != "auto_pad"})


@family(60)
def quantization(d):
    kind = d.pick("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Clip", "Where")
    shape = d.ints(d.int(1, 3), 1, 5)
    axis = d.int(-len(shape), len(shape) - 1)
    dtype = d.pick(np.uint8, np.int8, np.uint16, np.int16)
    per = d.pick([], [shape[axis]])
    scale = np.abs(d.data(per)) + np.float32(0.1)
    zero = d.data(per, dtype)
    opset = 21
    if kind == "QuantizeLinear":
        return Form(kind, [d.data(shape) * 20, np.asarray(scale), d.pick(None, zero)], d.pick((), (1, 2)), opset=opset,
                    axis=axis)
    if kind == "DequantizeLinear":
        return Form(kind, [d.data(shape, dtype), np.asarray(scale), d.maybe(zero)], d.pick((), (1, 2)), opset=opset,
                    axis=axis)
    if kind == "DynamicQuantizeLinear":
        return Form(kind, [d.data(shape) * 3 + d.pick(0, 10, -10)], outputs=3, opset=11)
    if kind == "Where":
        kind_of = d.pick(*FLOATS, np.int32, np.int64, np.uint8)
        return Form(kind, [d.data(d.pick(shape, [1], []), bool), d.data(d.pick(shape, [1]), kind_of),
                           d.data(shape, kind_of)], opset=16)
    kind_of = d.pick(*FLOATS, np.int32, np.int64, np.uint8, np.int8)
    low, high = np.array(d.int(0, 2), kind_of), np.array(d.int(3, 5), kind_of)
    return Form(kind, [d.data(shape, kind_of), d.maybe(low), d.maybe(high)], d.pick((), (1, 2)), opset=13)


@family(20)
def global_pool(d):
    kind = d.pick("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    x = d.data([d.int(1, 2), d.int(1, 3), *d.ints(d.int(1, 3), 1, 4)])
    return Form(kind, [x], opset=2 if kind == "GlobalLpPool" and False else 13, p=d.maybe(d.int(1, 3)) if kind == "GlobalLpPool" else None)


# ---- writing -----------------------------------------------------------------------------------

def answer(form):
    """The outputs, or None where ONNX Runtime refuses the form."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        model = form.model()
        if REFERENCE.get(form.op, lambda form: False)(form):
            return ReferenceEvaluator(model).run(None, form.feeds())
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results = session.run(None, form.feeds())
        overflows = form.op in ("RNN", "GRU", "LSTM") and not all(
            np.isfinite(y).all() for y in results)
        # A variance of nothing but rounding is a negative number there.
        overflows |= form.op.startswith("MeanVariance") and np.isnan(results[0]).any()
        return None if overflows else results
    except Exception as error:  # noqa: BLE001: whatever it says, there is no answer
        if "-v" in sys.argv:
            print(form.op, form.attributes, str(error)[:300], file=sys.stderr)
        return None


def port(name, array):
    dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
    return {"name": name, "kind": "tensor", "dtype": TensorProto.DataType.Name(dtype).lower(),
            "declared": list(array.shape), "shape": list(array.shape), "raw_bits": False}


def write(out, name, form, results):
    types = [(helper.np_dtype_to_tensor_dtype(y.dtype), y.shape) for y in results]
    model = form.model(types)
    folder = out / name
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    feeds = form.feeds()
    for side, arrays in (("input", feeds.values()), ("output", results)):
        for i, array in enumerate(arrays):
            np.save(folder / f"{side}_0_{i}.npy", np.asarray(array, order="C"))
    finite = [np.abs(y[np.isfinite(y)]).max(initial=0) for y in results if y.dtype.kind == "f"]
    return {"name": name, "expanded": False, "opsets": {"": form.opset}, "ops": [form.op],
            "rtol": 1e-5, "atol": 2e-5 * float(max([1.0, *finite])), "sets": 1, "reason": None,
            "inputs": [port(n, x) for n, x in feeds.items()],
            "outputs": [port(y.name, a) for y, a in zip(model.graph.output, results)]}


def main():
    arguments = [a for a in sys.argv[1:] if a != "-v"]
    out = Path(arguments[0])
    seed = int(arguments[1]) if len(arguments) > 1 else 1
    scale = float(arguments[2]) if len(arguments) > 2 else 1.0
    shutil.rmtree(out, ignore_errors=True)
    index, refused = [], {}
    for name, count, draw in FAMILIES:
        d = Draw([seed, zlib.crc32(name.encode())])
        for i in range(int(count * scale)):
            form = draw(d)
            results = answer(form) if form else None
            if results is None:
                refused[name] = refused.get(name, 0) + 1
            else:
                index.append(write(out, f"{name}_{i}", form, results))
    (out / "index.json").write_text(json.dumps(index))
    print(f"{len(index)} forms of {len(FAMILIES)} families; refused by ONNX Runtime: {refused}")


if __name__ == "__main__":
    main()
