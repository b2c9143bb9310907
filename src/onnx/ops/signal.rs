//! Fourier transforms and what goes with them, as products with constant matrices.
//!
//! A transform of `n` points is one product with an `n` by `n` matrix up to [`DIRECT`] points.
//! Longer ones are split in two by a factor of `n` (Cooley and Tukey), each half by the same rule;
//! a length whose prime factor is too large for a matrix is refused.

use std::f64::consts::TAU;

use crate::graph::dim::product;
use crate::graph::ops::{Binary, Pad, PadMode, SliceAxis};
use crate::graph::{Dim, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};

/// Most points of a transform that is one product wherever it can be split.
const DIRECT: usize = 512;
/// Most points of one product.
const MAX_DIRECT: usize = 2048;
/// Most points of a transform.
const MAX_LENGTH: usize = 1 << 20;
/// Most elements of a mel matrix.
const MAX_MEL: i64 = 1 << 24;

/// A transform along one axis of complex numbers.
#[derive(Clone, Copy)]
struct Transform {
    len: usize,
    inverse: bool,
    /// Results that are wanted, from the first.
    bins: usize,
}

impl Transform {
    /// Cosine and sine of `k` of `n` turns, in the direction of this transform.
    fn turn(self, k: usize, n: usize) -> [f64; 2] {
        let angle = TAU * (k % n) as f64 / n as f64;
        [libm::cos(angle), if self.inverse { libm::sin(angle) } else { -libm::sin(angle) }]
    }

    /// The matrix from `[len, parts]` to `[bins, 2]`.
    fn matrix(self, parts: usize) -> Vec<f64> {
        let scale = if self.inverse { 1.0 / self.len as f64 } else { 1.0 };
        let turns: Vec<[f64; 2]> = (0..self.len).map(|k| self.turn(k, self.len)).collect();
        let mut matrix = Vec::with_capacity(self.len * parts * self.bins * 2);
        for i in 0..self.len {
            for part in 0..parts {
                for k in 0..self.bins {
                    let [cos, sin] = turns[i * k % self.len];
                    let pair = if part == 0 { [cos, sin] } else { [-sin, cos] };
                    matrix.extend(pair.map(|v| v * scale));
                }
            }
        }
        matrix
    }

    /// The two factors nearest each other.
    fn split(self) -> Option<[usize; 2]> {
        let small = (2..=self.len.isqrt()).rev().find(|f| self.len.is_multiple_of(*f))?;
        Some([small, self.len / small])
    }
}

/// A constant of this element type.
fn numbers(call: &mut Call, dtype: DType, shape: &[usize], values: &[f64]) -> ValueId {
    let tensor = if dtype == DType::F64 {
        Tensor::new(shape, values)
    } else {
        Tensor::new(shape, &values.iter().map(|v| *v as f32).collect::<Vec<_>>())
    };
    call.constant(tensor)
}

fn fixed(n: usize) -> Dim {
    Dim::Fixed(n as i64)
}

/// `[rows, len, parts]` to `[rows, bins, 2]`.
fn transform(call: &mut Call, x: ValueId, rows: &Dim, t: Transform) -> Imported<ValueId> {
    let dtype = call.dtype_of(x);
    let parts = match call.shape(x).last() {
        Some(dim) => call.size(dim, "the parts of a number")?,
        None => return call.fail("the signal is a scalar"),
    };
    let split = if t.len > DIRECT { t.split() } else { None };
    let Some([first, second]) = split else {
        if t.len > MAX_DIRECT {
            return call.fail(format!(
                "a transform of {} points (a prime, or a factor of the length that is one) is not \
                 supported; pad the signal to a length with small factors",
                t.len
            ));
        }
        let matrix = numbers(call, dtype, &[t.len * parts, t.bins * 2], &t.matrix(parts));
        let x = call.reshape(x, vec![rows.clone(), fixed(t.len * parts)])?;
        let y = call.one(Op::MatMul, &[x, matrix])?;
        return call.reshape(y, vec![rows.clone(), fixed(t.bins), Dim::Fixed(2)]);
    };
    // Point `i = second * i1 + i2`, bin `k = k1 + first * k2`.
    let x = call.reshape(x, vec![rows.clone(), fixed(first), fixed(second), fixed(parts)])?;
    let x = call.transpose(x, vec![0, 2, 1, 3])?;
    let many = rows.clone() * fixed(second);
    let x = call.reshape(x, vec![many.clone(), fixed(first), fixed(parts)])?;
    let inner = Transform { len: first, bins: first, ..t };
    let x = transform(call, x, &many, inner)?;
    let x = call.reshape(x, vec![rows.clone(), fixed(second), fixed(first), Dim::Fixed(2)])?;
    let turns: Vec<[f64; 2]> =
        (0..first * second).map(|at| t.turn(at / first * (at % first), t.len)).collect();
    let x = turned(call, x, &[1, second, first, 1], &turns)?;
    let x = call.transpose(x, vec![0, 2, 1, 3])?;
    let many = rows.clone() * fixed(first);
    let x = call.reshape(x, vec![many.clone(), fixed(second), Dim::Fixed(2)])?;
    let x = transform(call, x, &many, Transform { len: second, bins: second, ..t })?;
    let x = call.reshape(x, vec![rows.clone(), fixed(first), fixed(second), Dim::Fixed(2)])?;
    let x = call.transpose(x, vec![0, 2, 1, 3])?;
    let x = call.reshape(x, vec![rows.clone(), fixed(t.len), Dim::Fixed(2)])?;
    call.slice(x, 1, Dim::Fixed(0), fixed(t.bins))
}

/// Complex numbers times constants of this shape (without the pair).
fn turned(call: &mut Call, x: ValueId, shape: &[usize], turns: &[[f64; 2]]) -> Imported<ValueId> {
    let dtype = call.dtype_of(x);
    let last = call.shape(x).len() - 1;
    let part = |i: usize| turns.iter().map(|t| t[i]).collect::<Vec<_>>();
    let cos = numbers(call, dtype, shape, &part(0));
    let sin = numbers(call, dtype, shape, &part(1));
    let re = call.slice(x, last, Dim::Fixed(0), Dim::Fixed(1))?;
    let im = call.slice(x, last, Dim::Fixed(1), Dim::Fixed(1))?;
    let product = |call: &mut Call, a, b| call.binary(Binary::Mul, a, b);
    let (a, b) = (product(call, re, cos)?, product(call, im, sin)?);
    let (c, d) = (product(call, re, sin)?, product(call, im, cos)?);
    let (re, im) = (call.binary(Binary::Sub, a, b)?, call.binary(Binary::Add, c, d)?);
    call.concat(&[re, im], last)
}

/// An axis cut, or filled with zeros, to `len` elements.
fn fitted(call: &mut Call, x: ValueId, axis: usize, len: usize) -> Imported<ValueId> {
    let shape = call.shape(x);
    let Some(dim) = shape.get(axis) else { return call.fail("the signal has another rank") };
    let n = call.size(dim, "the length of the signal")?;
    if n >= len {
        return call.slice(x, axis, Dim::Fixed(0), fixed(len));
    }
    let before = vec![Dim::Fixed(0); shape.len()];
    let mut after = before.clone();
    after[axis] = fixed(len - n);
    call.one(Op::Pad(Pad { mode: PadMode::Constant, before, after }), &[x])
}

/// Half a spectrum of `len` points made whole: the other half is its mirrored conjugate.
fn whole(call: &mut Call, x: ValueId, len: usize) -> Imported<ValueId> {
    let half = len / 2 + 1;
    let x = fitted(call, x, 1, half)?;
    if len < 3 {
        return call.slice(x, 1, Dim::Fixed(0), fixed(len));
    }
    let rest = len - half;
    let cut = SliceAxis { axis: 1, start: fixed(rest), step: -1, extent: fixed(rest) };
    let mirrored = call.one(Op::Slice { axes: vec![cut] }, &[x])?;
    let dtype = call.dtype_of(x);
    let conjugate = numbers(call, dtype, &[2], &[1.0, -1.0]);
    let mirrored = call.binary(Binary::Mul, mirrored, conjugate)?;
    call.concat(&[x, mirrored], 1)
}

fn check_signal(call: &Call, x: ValueId) -> Imported<usize> {
    let shape = call.shape(x);
    let parts = match shape.last() {
        Some(Dim::Fixed(n @ 1..=2)) if shape.len() > 1 => *n as usize,
        _ => {
            return call.fail(format!(
                "the last axis of {} is not one number (real) or two (complex)",
                call.show(&shape)
            ));
        }
    };
    if !call.dtype_of(x).is_float() {
        return call.fail(format!("a transform of {} is not supported", call.dtype_of(x)));
    }
    Ok(parts)
}

fn check_length(call: &Call, len: usize) -> Imported<()> {
    if (1..=MAX_LENGTH).contains(&len) {
        return Ok(());
    }
    call.fail(format!("a transform of {len} points: one to {MAX_LENGTH} are supported"))
}

pub(super) fn dft(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let parts = check_signal(call, x)?;
    let shape = call.shape(x);
    let axis = if call.version < 20 {
        call.int_or("axis", 1)?
    } else {
        call.known_numbers(2)?.map_or(Ok(-2), |n| match n[..] {
            [axis] => Ok(axis),
            _ => call.fail("the axis is not one number"),
        })?
    };
    let axis = call.axis(axis, shape.len())?;
    if axis + 1 == shape.len() {
        return call.fail("the axis is the one of real and imaginary parts");
    }
    let (inverse, onesided) = (call.flag("inverse", false)?, call.flag("onesided", false)?);
    if onesided && inverse != (parts == 2) {
        return call.refuse(
            "onesided",
            "is 1: that needs a real signal, or with inverse = 1 a complex spectrum",
        );
    }
    let given = match call.known_numbers(1)?.as_deref() {
        None => None,
        Some([len]) => Some(usize::try_from(*len).unwrap_or(0)),
        Some(_) => return call.fail("the length of the transform is not one number"),
    };
    let dim = shape.get(axis).cloned().unwrap_or(Dim::Fixed(1));
    let points = call.size(&dim, "the length of the signal")?;
    let usual = if onesided && inverse { 2 * points.saturating_sub(1) } else { points };
    let len = given.unwrap_or(usual);
    check_length(call, len)?;
    // The axis of the transform beside the parts, all others before them.
    let mut order: Vec<usize> = (0..shape.len()).filter(|a| *a != axis).collect();
    order.insert(order.len() - 1, axis);
    let x = call.transpose(x, order.clone())?;
    let outer: Vec<Dim> = order[..order.len() - 2].iter().map(|a| shape[*a].clone()).collect();
    let rows = product(&outer);
    let mut x = call.reshape(x, vec![rows.clone(), dim, fixed(parts)])?;
    let halved = onesided && !inverse;
    let bins = if halved { len / 2 + 1 } else { len };
    x = if onesided && inverse { whole(call, x, len)? } else { fitted(call, x, 1, len)? };
    let mut y = transform(call, x, &rows, Transform { len, inverse, bins })?;
    let mut parts = 2;
    if onesided && inverse {
        y = call.slice(y, 2, Dim::Fixed(0), Dim::Fixed(1))?;
        parts = 1;
    }
    let y = call.reshape(y, [&outer[..], &[fixed(bins), fixed(parts)]].concat())?;
    let back: Vec<usize> =
        (0..order.len()).map(|a| order.iter().position(|o| *o == a).unwrap_or(a)).collect();
    Ok(vec![call.transpose(y, back)?])
}

/// Frames picked by index, weighed by the window, transformed.
pub(super) fn stft(call: &mut Call) -> Imported {
    let (x, window) = (call.input(0)?, call.optional(2));
    let dtype = call.dtype_of(x);
    let shape = call.shape(x);
    // A signal without the axis of parts is real.
    let x = if shape.len() == 2 { call.unsqueeze(x, &[2])? } else { x };
    let parts = check_signal(call, x)?;
    let shape = call.shape(x);
    let [batch, points, _] = &shape[..] else {
        return call.fail(format!("the signal {} is not of rank 3", call.show(&shape)));
    };
    let step = call.known_number(1)?;
    let stated = match call.optional(3) {
        Some(_) => Some(call.known_scalar(3)?),
        None => None,
    };
    let len = match (stated, window.map(|w| call.shape(w))) {
        (Some(len), _) => len,
        (None, Some(window)) => product(&window),
        (None, None) => points.clone(),
    };
    let len = call.size(&len, "the length of a frame")?;
    check_length(call, len)?;
    if window.is_some_and(|w| call.shape(w) != [fixed(len)]) {
        return call.fail(format!("the window has not the {len} elements of a frame"));
    }
    if step < 1 || (points.clone() - fixed(len)).bounds(call.variables()).0 < 0 {
        return call.fail("the signal is shorter than a frame, or the step is not positive");
    }
    let onesided = call.flag("onesided", true)?;
    if onesided && parts == 2 {
        return call.refuse("onesided", "is 1 (the default), which a complex signal cannot have");
    }
    let frames = (points.clone() - fixed(len)).floor_div(&Dim::Fixed(step)) + Dim::Fixed(1);
    let first = call.range(0, frames.clone())?;
    let first = call.with(Binary::Mul, first, step as f64)?;
    let first = call.unsqueeze(first, &[1])?;
    let within = call.range(0, fixed(len))?;
    let at = call.binary(Binary::Add, first, within)?;
    let mut frame = call.one(Op::Gather { axis: 1 }, &[x, at])?;
    if let Some(window) = window {
        if call.dtype_of(window) != dtype {
            return call.fail("the window has another element type than the signal");
        }
        let window = call.unsqueeze(window, &[1])?;
        frame = call.binary(Binary::Mul, frame, window)?;
    }
    let rows = batch.clone() * frames.clone();
    let frame = call.reshape(frame, vec![rows.clone(), fixed(len), fixed(parts)])?;
    let bins = if onesided { len / 2 + 1 } else { len };
    let y = transform(call, frame, &rows, Transform { len, inverse: false, bins })?;
    Ok(vec![call.reshape(y, vec![batch.clone(), frames, fixed(bins), Dim::Fixed(2)])?])
}

/// The only number of a constant input.
fn number(call: &Call, i: usize) -> Imported<f64> {
    let id = call.input(i)?;
    if let Some(tensor) = call.builder.constant(id) {
        return match tensor.to_f64s()[..] {
            [one] if one.is_finite() => Ok(one),
            _ => call.fail(format!("input {i} is not one number")),
        };
    }
    if call.dtype_of(id).is_float() {
        return Err(call.not_constant(i));
    }
    call.known_number(i).map(|n| n as f64)
}

/// Triangles over the bins of a spectrum, evenly spaced on the mel scale.
pub(super) fn mel_weights(call: &mut Call) -> Imported {
    let mut inputs = [0.0; 5];
    for (i, input) in inputs.iter_mut().enumerate() {
        *input = number(call, i)?;
    }
    let [bands, len, rate, low, high] = inputs;
    let dtype = call.dtype("output_datatype")?.unwrap_or(DType::F32);
    let bins = (len / 2.0).floor() + 1.0;
    let sane = bands >= 1.0 && len >= 1.0 && rate >= 1.0 && bins * bands <= MAX_MEL as f64;
    if !sane || low < 0.0 || high <= low || high > rate / 2.0 {
        return call.fail(format!(
            "{bands} bands from {low} to {high} Hz over {len} points at {rate} Hz are not possible"
        ));
    }
    let mel = |hertz: f64| 2595.0 * libm::log10(1.0 + hertz / 700.0);
    let (first, bands) = (mel(low), bands as usize);
    let step = (mel(high) - first) / (bands + 2) as f64;
    let bin = |i: usize| {
        let hertz = 700.0 * (libm::pow(10.0, (first + i as f64 * step) / 2595.0) - 1.0);
        ((len + 1.0) * hertz / rate).floor() as usize
    };
    let mut weights = vec![0.0; bins as usize * bands];
    for band in 0..bands {
        let [left, center, right] = [band, band + 1, band + 2].map(bin);
        let mut put = |row: usize, weight: f64| {
            if let Some(cell) = weights.get_mut(row * bands + band) {
                *cell = weight;
            }
        };
        if left == center {
            put(center, 1.0);
        } else {
            (left..=center).for_each(|j| put(j, (j - left) as f64 / (center - left) as f64));
        }
        (center..right).for_each(|j| put(j, (right - j) as f64 / (right - center) as f64));
    }
    let weights = call.constant(Tensor::new(&[bins as usize, bands], &weights));
    Ok(vec![call.cast(weights, dtype)?])
}
