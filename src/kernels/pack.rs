//! Writes a matrix as panels of 16 columns, k-major: the one layout of packed `f32` weights.

use core::ops::Range;

use super::gemm::PANEL;
use super::simd::{Simd, Vectorized};

/// Rows and columns that are transposed at once.
const BLOCK: usize = 8;

/// Elements of a packed `k` by `n` matrix: the last panel is padded to 16 columns.
///
/// Returns `None` where that exceeds the address space.
pub const fn packed_len(k: usize, n: usize) -> Option<usize> {
    match n.div_ceil(PANEL).checked_mul(PANEL) {
        Some(cols) => cols.checked_mul(k),
        None => None,
    }
}

/// Packs the `k` by `n` matrix whose element `(p, j)` is `src[p * row_stride + j * col_stride]`.
///
/// **Shapes and units**: `out` holds [`packed_len`] elements or more; the padding is zeroed.
/// Panel `j / 16` begins at `16 k (j / 16)`, its row `p` 16 elements further for each `p`.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: one pass, no allocation. Contiguous rows (`col_stride` 1) are copied, contiguous
/// columns (`row_stride` 1) transposed in blocks that stay in the first-level cache.
pub fn pack_panels_f32(
    src: &[f32],
    k: usize,
    n: usize,
    row_stride: usize,
    col_stride: usize,
    out: &mut [f32],
) {
    pack_panels(src, k, n, row_stride, col_stride, out);
}

/// As [`pack_panels_f32`], of elements of any kind, the bytes of a file that are not aligned among
/// them; padding is `T::default()`.
///
/// **Panics** and **cost** as there.
pub fn pack_panels<T: Copy + Default>(
    src: &[T],
    k: usize,
    n: usize,
    row_stride: usize,
    col_stride: usize,
    out: &mut [T],
) {
    let Some(len) = packed_len(k, n) else { panic!("a packed matrix beyond the address space") };
    if len == 0 {
        return;
    }
    for (panel, out) in out[..len].chunks_exact_mut(PANEL * k).enumerate() {
        let first = panel * PANEL;
        let cols = (n - first).min(PANEL);
        let src = &src[first * col_stride..];
        if col_stride == 1 {
            for (p, row) in out.chunks_exact_mut(PANEL).enumerate() {
                let from = &src[p * row_stride..][..cols];
                row[..cols].copy_from_slice(from);
                row[cols..].fill(T::default());
            }
        } else if row_stride == 1 && cols == PANEL {
            transpose(src, k, col_stride, out);
        } else {
            for (p, row) in out.chunks_exact_mut(PANEL).enumerate() {
                for (j, to) in row[..cols].iter_mut().enumerate() {
                    *to = src[p * row_stride + j * col_stride];
                }
                row[cols..].fill(T::default());
            }
        }
    }
}

/// Packs the transpose of `n` contiguous rows of `k` elements, `stride` apart: what
/// [`pack_panels_f32`] does with strides 1 and `stride`, fast enough to be done at every run.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: one pass, no allocation; blocks of eight by eight are transposed in registers.
pub fn pack_transposed_f32<S: Simd>(
    s: S,
    src: &[f32],
    k: usize,
    n: usize,
    stride: usize,
    out: &mut [f32],
) {
    s.vectorize(PackTransposed { src, k, n, stride, out });
}

struct PackTransposed<'a> {
    src: &'a [f32],
    k: usize,
    n: usize,
    stride: usize,
    out: &'a mut [f32],
}

impl Vectorized for PackTransposed<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { src, k, n, stride, out } = self;
        if k == 0 {
            return;
        }
        for (panel, out) in out.chunks_exact_mut(PANEL * k).take(n.div_ceil(PANEL)).enumerate() {
            for half in [0, BLOCK] {
                let first = panel * PANEL + half;
                let rows = n.saturating_sub(first).min(BLOCK);
                let src = if rows == 0 { &[] } else { &src[first * stride..] };
                let mut p = 0;
                while p < k {
                    let out = &mut out[p * PANEL + half..];
                    let cols = (k - p).min(BLOCK);
                    if (rows, cols) == (BLOCK, BLOCK) {
                        s.transpose8(&src[p..], stride, out, PANEL);
                    } else {
                        edge(s, src, (rows, stride), p..p + cols, out);
                    }
                    p += BLOCK;
                }
            }
        }
    }
}

/// Transposes a block that is not whole: columns `cols` of some rows, then zeros for the missing
/// ones.
#[inline(always)]
fn edge<S: Simd>(
    s: S,
    src: &[f32],
    (rows, stride): (usize, usize),
    cols: Range<usize>,
    out: &mut [f32],
) {
    let (mut block, mut turned) = ([0.0; BLOCK * BLOCK], [0.0; BLOCK * BLOCK]);
    for (i, row) in block.chunks_exact_mut(BLOCK).take(rows).enumerate() {
        let from = &src[i * stride..][cols.clone()];
        row[..from.len()].copy_from_slice(from);
    }
    s.transpose8(&block, BLOCK, &mut turned, BLOCK);
    let rows = out.chunks_mut(PANEL).zip(turned.chunks_exact(BLOCK));
    rows.take(cols.len()).for_each(|(to, from)| to[..BLOCK].copy_from_slice(from));
}

/// Transposes 16 contiguous columns of `k` elements.
fn transpose<T: Copy>(src: &[T], k: usize, col_stride: usize, out: &mut [T]) {
    /// Rows of a block: one cache line of each column.
    const BLOCK: usize = 16;
    let cols: [&[T]; PANEL] = core::array::from_fn(|j| &src[j * col_stride..][..k]);
    for (block, out) in out.chunks_mut(BLOCK * PANEL).enumerate() {
        let first = block * BLOCK;
        for (i, row) in out.chunks_exact_mut(PANEL).enumerate() {
            for (to, col) in row.iter_mut().zip(&cols) {
                *to = col[first + i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernels::dispatch;
    use crate::kernels::suite::{Rng, levels};
    use std::vec;

    #[test]
    fn every_layout_is_where_it_belongs() {
        let mut rng = Rng::new(1);
        for k in [0, 1, 3, 15, 16, 17, 40] {
            for n in [0, 1, 15, 16, 17, 33] {
                for (row_stride, col_stride) in [(n + 2, 1), (1, k + 3), (2 * n + 1, 2)] {
                    let src = rng.vector(k * row_stride + n * col_stride);
                    let mut out = vec![f32::NAN; packed_len(k, n).unwrap() + 1];
                    pack_panels_f32(&src, k, n, row_stride, col_stride, &mut out);
                    assert!(out.pop().unwrap().is_nan());
                    if row_stride == 1 {
                        for level in levels() {
                            let (src, stride) = (&src, col_stride);
                            let mut fast = vec![f32::NAN; out.len()];
                            let pack = PackTransposed { src, k, n, stride, out: &mut fast };
                            dispatch(level, pack);
                            assert_eq!(fast, out, "{k}x{n} on {}", level.isa());
                        }
                    }
                    for (i, &got) in out.iter().enumerate() {
                        let (panel, p, j) = (i / (PANEL * k), i / PANEL % k, i % PANEL);
                        let j = panel * PANEL + j;
                        let wanted = if j < n { src[p * row_stride + j * col_stride] } else { 0.0 };
                        assert_eq!(got, wanted, "{k}x{n} by {row_stride}, {col_stride}: {p}, {j}");
                    }
                }
            }
        }
        assert_eq!(packed_len(usize::MAX, 1), None);
        assert_eq!(packed_len(2, usize::MAX), None);
    }
}
