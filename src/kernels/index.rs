//! Elements picked and placed by index.
//!
//! Indices are data, so every number has a meaning: a negative one counts from the end, one that
//! is outside even so means the nearest element there is. Where there is no element, zero is
//! picked, and nothing is placed.

use super::number::{BinaryCode, Number, codes};
use crate::tensor::Element;

/// Indices of either type.
#[derive(Clone, Copy, Debug)]
pub enum Indices<'a> {
    /// 32 bits each.
    I32(&'a [i32]),
    /// 64 bits each.
    I64(&'a [i64]),
}

impl Indices<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::I32(list) => list.len(),
            Self::I64(list) => list.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Index `i`.
    #[inline(always)]
    pub fn at(&self, i: usize) -> i64 {
        match self {
            Self::I32(list) => i64::from(list[i]),
            Self::I64(list) => list[i],
        }
    }
}

/// The element that `index` means among `extent` (zero where there is none).
#[inline(always)]
pub fn position(index: i64, extent: usize) -> usize {
    let n = extent as i64;
    let counted = if index < 0 { index.saturating_add(n) } else { index };
    counted.clamp(0, (n - 1).max(0)) as usize
}

/// `out[o, i, ..] = data[o, indices[i], ..]`.
///
/// **Shapes and units**: `data` is `[outer, axis, inner]`, `out` `[outer, indices, inner]`.
///
/// **Panics**: if a slice is shorter than its shape.
pub fn gather<T: Element>(
    [outer, axis, inner]: [usize; 3],
    data: &[T],
    indices: Indices<'_>,
    out: &mut [T],
) {
    let picked = indices.len() * inner;
    let out = &mut out[..outer * picked];
    if axis * inner == 0 || picked == 0 {
        out.fill(T::default());
        return;
    }
    let data = data[..outer * axis * inner].chunks_exact(axis * inner);
    for (data, out) in data.zip(out.chunks_exact_mut(picked)) {
        if inner == 1 {
            for (i, to) in out.iter_mut().enumerate() {
                *to = data[position(indices.at(i), axis)];
            }
        } else {
            for (i, to) in out.chunks_exact_mut(inner).enumerate() {
                to.copy_from_slice(&data[position(indices.at(i), axis) * inner..][..inner]);
            }
        }
    }
}

/// Where tuple `t` of indices points in a block of these extents, in elements of the block.
#[inline(always)]
fn flat(dims: &[usize], indices: Indices<'_>, t: usize) -> usize {
    let at = |(i, dim): (usize, &usize)| (position(indices.at(t * dims.len() + i), *dim), *dim);
    dims.iter().enumerate().map(at).fold(0, |flat, (at, dim)| flat * dim + at)
}

/// `out[b, t, ..] = data[b, indices[b, t, 0], indices[b, t, 1], .., ..]`.
///
/// **Shapes and units**: `data` is `[batches, dims.., inner]`, `indices` `[batches, tuples,
/// dims.len()]`, `out` `[batches, tuples, inner]`.
///
/// **Panics**: if a slice is shorter than its shape.
pub fn gather_nd<T: Element>(
    dims: &[usize],
    [batches, tuples, inner]: [usize; 3],
    data: &[T],
    indices: Indices<'_>,
    out: &mut [T],
) {
    let out = &mut out[..batches * tuples * inner];
    let block = dims.iter().product::<usize>() * inner;
    if block == 0 {
        out.fill(T::default());
        return;
    }
    for (t, to) in out.chunks_exact_mut(inner).enumerate() {
        let data = &data[t / tuples * block..][..block];
        to.copy_from_slice(&data[flat(dims, indices, t) * inner..][..inner]);
    }
}

codes! {
    /// How an update meets the element in its place. The numbers are pinned.
    ScatterCode { Replace = 0, Add = 1, Mul = 2, Min = 3, Max = 4, }
}

impl ScatterCode {
    #[inline(always)]
    fn join<T: Number>(self, old: T, update: T) -> T {
        match self {
            Self::Replace => update,
            Self::Add => old.binary(BinaryCode::Add, update),
            Self::Mul => old.binary(BinaryCode::Mul, update),
            Self::Min => old.binary(BinaryCode::Min, update),
            Self::Max => old.binary(BinaryCode::Max, update),
        }
    }
}

/// `out[indices[t, 0], indices[t, 1], .., ..]` joined with `updates[t, ..]`, in the order of `t`.
///
/// **Shapes and units**: `out` is `[dims.., inner]`, `indices` `[tuples, dims.len()]`, `updates`
/// `[tuples, inner]`.
///
/// **Panics**: if a slice is shorter than its shape.
pub fn scatter_nd<T: Number>(
    code: ScatterCode,
    dims: &[usize],
    [tuples, inner]: [usize; 2],
    indices: Indices<'_>,
    updates: &[T],
    out: &mut [T],
) {
    if dims.iter().product::<usize>() * inner == 0 {
        return;
    }
    for (t, from) in updates[..tuples * inner].chunks_exact(inner).enumerate() {
        let to = &mut out[flat(dims, indices, t) * inner..][..inner];
        if code == ScatterCode::Replace {
            to.copy_from_slice(from);
        } else {
            for (to, from) in to.iter_mut().zip(from) {
                *to = code.join(*to, *from);
            }
        }
    }
}

/// A row of elements that indices move along an axis: element `i` lies at `base + i * step +
/// index * stride`.
#[derive(Clone, Copy, Debug)]
pub struct Along {
    /// Place of the row's first element, for index zero.
    pub base: isize,
    /// From one element of the row to the next.
    pub step: isize,
    /// From one index to the next.
    pub stride: isize,
    /// Extent of the axis that is indexed, not zero.
    pub extent: usize,
}

impl Along {
    #[inline(always)]
    fn at(&self, i: usize, index: i64) -> usize {
        let moved = position(index, self.extent) as isize * self.stride;
        (self.base + i as isize * self.step + moved) as usize
    }
}

/// Picks a row: `out[i]` by index `first + i`.
pub fn pick_row<T: Element>(
    along: Along,
    data: &[T],
    indices: Indices<'_>,
    first: usize,
    out: &mut [T],
) {
    for (i, to) in out.iter_mut().enumerate() {
        *to = data[along.at(i, indices.at(first + i))];
    }
}

/// Places a row: `updates[i]` by index `first + i`.
pub fn place_row<T: Number>(
    code: ScatterCode,
    along: Along,
    out: &mut [T],
    indices: Indices<'_>,
    first: usize,
    updates: &[T],
) {
    for (i, update) in updates.iter().enumerate() {
        let to = &mut out[along.at(i, indices.at(first + i))];
        *to = code.join(*to, *update);
    }
}

/// `on` where the middle axis is at the index, `off` elsewhere and where the index is outside.
///
/// **Shapes and units**: `indices` is `[outer, inner]`, `out` `[outer, depth, inner]`.
///
/// **Panics**: if a slice is shorter than its shape.
pub fn one_hot<T: Element>(
    [outer, depth, inner]: [usize; 3],
    indices: Indices<'_>,
    [off, on]: [T; 2],
    out: &mut [T],
) {
    let out = &mut out[..outer * depth * inner];
    if out.is_empty() {
        return;
    }
    out.fill(off);
    let n = depth as i64;
    for o in 0..outer {
        for i in 0..inner {
            let index = indices.at(o * inner + i);
            if index >= -n && index < n {
                out[(o * depth + position(index, depth)) * inner + i] = on;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_means_an_element() {
        for (index, want) in [(0, 0), (4, 4), (-1, 4), (-5, 0), (5, 4), (-6, 0)] {
            assert_eq!(position(index, 5), want, "{index}");
        }
        assert_eq!(position(i64::MIN, 5), 0);
        assert_eq!(position(i64::MAX, 5), 4);
        assert_eq!(position(3, 0), 0);
    }

    #[test]
    fn nothing_is_picked_from_nothing() {
        let mut out = [7.0f32; 2];
        gather([1, 0, 1], &[], Indices::I64(&[3, -1]), &mut out);
        assert_eq!(out, [0.0; 2]);
        gather_nd::<f32>(&[0], [1, 2, 1], &[], Indices::I32(&[3, -1]), &mut [1.0; 2]);
        scatter_nd(ScatterCode::Add, &[0], [1, 1], Indices::I32(&[3]), &[1i32], &mut []);
    }
}
