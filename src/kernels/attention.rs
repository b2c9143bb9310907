//! Scaled dot-product attention of one head.
//!
//! Owns [`attention_f32`]. Keys go by in blocks, and for each block of keys queries in blocks of
//! rows, so that scores never leave the first-level cache: they are written there, become weights
//! there and are multiplied with the values, which are read in place. From one block of keys to
//! the next a query keeps its largest score and the sum of its weights, and what it has gathered
//! is made smaller where a larger score is met.
//!
//! Its invariant: the result is what softmax of the whole scores gives, NaN and infinities
//! included, except that keys beyond the causal limit are not looked at.
#![allow(clippy::needless_range_loop, reason = "an index says which row or column")]

use core::array::from_fn;
use core::ops::Range;

use super::activation::Activation;
use super::gemm::{Bias, GemmF32, PANEL, gemm_f32};
use super::pack::{pack_transposed_f32, packed_len};
use super::simd::{Simd, Vectorized};

mod short;
mod weigh;

use short::Short;
use weigh::{Finish, Weigh};

/// Queries whose scores are computed at once: a multiple of the rows of a tile.
const ROWS: usize = 24;
/// Keys that they are computed for: a multiple of the columns of a panel.
const KEYS: usize = 128;
/// So few queries do not pay for packing the keys.
const FEW: usize = 2;
/// Masks at most.
pub const MASKS: usize = 4;

/// Contiguous rows, `stride` apart.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// From the first element on.
    pub data: &'a [f32],
    /// Elements from a row to the next.
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// The rows from `first` on. Of rows without elements there may be no memory.
    #[inline(always)]
    fn after(&self, first: usize) -> &'a [f32] {
        self.data.get(first * self.stride..).unwrap_or(&[])
    }
}

/// What changes the scores of a head: a row of it for each query.
#[derive(Clone, Copy, Debug)]
pub struct MaskRows<'a> {
    /// One element for each key.
    pub rows: Rows<'a>,
    /// One element for all keys instead.
    pub spread: bool,
    /// Elements that are not zero stand in the place of scores; otherwise all are added to them.
    pub replace: bool,
}

/// What a query gets whose weights are no numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unseeing {
    /// NaN.
    #[default]
    Nan,
    /// Zeros where all scores are minus infinity.
    Zero,
    /// Zeros where one of the weights is NaN.
    ZeroForNan,
}

/// `y = softmax(masked(scale q k')) v`, the softmax over the keys.
#[derive(Debug)]
pub struct AttentionF32<'a> {
    /// Rows of `q` and `y`.
    pub queries: usize,
    /// Rows of `k` and `v`. Without any the result is zero.
    pub keys: usize,
    /// Columns of `q` and `k`.
    pub size: usize,
    /// Columns of `v` and `y`.
    pub width: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// Scores become `softcap tanh(score / softcap)`, unless it is zero.
    pub softcap: f32,
    /// What changes the scores then, one behind the other: [`MASKS`] at most.
    pub masks: &'a [MaskRows<'a>],
    /// Query `i` sees the keys up to `i + causal` only.
    pub causal: Option<isize>,
    /// What a query gets that sees nothing.
    pub unseeing: Unseeing,
    /// Queries.
    pub q: Rows<'a>,
    /// Keys; `size` rows of `keys` elements if they lie `by_column`.
    pub k: Rows<'a>,
    /// Whether the elements of one column of the keys are contiguous.
    pub by_column: bool,
    /// Values.
    pub v: Rows<'a>,
    /// The result, each row contiguous. Elements between rows are left alone.
    pub y: &'a mut [f32],
    /// Elements from a row of the result to the next, at least `width`.
    pub y_stride: usize,
    /// [`scratch_len`] elements.
    pub scratch: &'a mut [f32],
    /// The call before had the same keys and scratch.
    pub same_keys: bool,
}

/// Elements of working memory: packed keys, scores, and where keys come in several blocks the
/// state of each query. It does not shrink as an extent grows. `None` beyond the address space.
pub fn scratch_len(queries: usize, keys: usize, size: usize) -> Option<usize> {
    let [panels, scores, state] = parts(queries, keys, size)?;
    panels.checked_add(scores)?.checked_add(state)
}

fn parts(queries: usize, keys: usize, size: usize) -> Option<[usize; 3]> {
    let block = keys.min(KEYS).next_multiple_of(PANEL);
    let panels = if queries > FEW { packed_len(size, block)? } else { 0 };
    let state = if keys > KEYS { queries.checked_mul(2)? } else { 0 };
    Some([panels, queries.min(ROWS) * block, state])
}

/// Ranges of about equal length, `most` at most and a multiple of `unit`, that cover `0..len`.
fn blocks(len: usize, most: usize, unit: usize) -> impl Iterator<Item = Range<usize>> {
    let step = len.div_ceil(len.div_ceil(most).max(1)).next_multiple_of(unit);
    (0..len).step_by(step.max(1)).map(move |first| first..len.min(first + step))
}

/// Computes an [`AttentionF32`].
///
/// **Shapes and units**: as the struct says; any extent may be zero.
///
/// **Panics**: if a slice is too short for its shape and stride, rows of `y` overlap, or there are
/// more than [`MASKS`] masks.
///
/// **Cost**: `queries keys (size + width)` multiply-adds and `queries keys` exponentials, without
/// those of blocks that lie beyond the causal limit; no allocation. Keys are packed once where
/// they are one block, else once for each call; for one or two queries never.
///
/// **Source**: M. Milakov and N. Gimelshein, Online normalizer calculation for softmax, 2018;
/// T. Dao, D. Y. Fu, S. Ermon, A. Rudra and C. Ré, FlashAttention, 2022.
pub fn attention_f32<S: Simd>(s: S, mut a: AttentionF32<'_>) {
    assert!(a.masks.len() <= MASKS, "too many masks");
    if a.queries == 0 || a.width == 0 {
        return;
    }
    if a.keys == 0 {
        a.y.chunks_mut(a.y_stride.max(a.width))
            .take(a.queries)
            .for_each(|y| y[..a.width].fill(0.0));
        return;
    }
    let Some([panels, scores, state]) = parts(a.queries, a.keys, a.size) else {
        panic!("attention beyond the address space")
    };
    let scratch = core::mem::take(&mut a.scratch);
    let (panels, rest) = scratch.split_at_mut(panels);
    let (scores, rest) = rest.split_at_mut(scores);
    let (tops, sums) = rest[..state].split_at_mut(state / 2);
    let packs = a.queries > FEW && !a.by_column;
    let is_packed = a.same_keys && a.keys <= KEYS;
    if packs && a.keys <= PANEL {
        if !is_packed {
            pack_transposed_f32(s, a.k.after(0), a.size, a.keys, a.k.stride, panels);
        }
        s.vectorize(Short { a: &mut a, panel: panels, scores });
        return;
    }
    for keys in blocks(a.keys, KEYS, PANEL) {
        if packs && !is_packed {
            let src = a.k.after(keys.start);
            pack_transposed_f32(s, src, a.size, keys.len(), a.k.stride, panels);
        }
        for queries in blocks(a.queries, ROWS, 1) {
            if state == 0 {
                let (mut top, mut sum) = ([0.0; ROWS], [0.0; ROWS]);
                let state = [&mut top[..queries.len()], &mut sum[..queries.len()]];
                block(s, &mut a, (queries, keys.clone()), panels, scores, state);
            } else {
                let state = [&mut tops[queries.clone()], &mut sums[queries.clone()]];
                block(s, &mut a, (queries, keys.clone()), panels, scores, state);
            }
        }
    }
}

impl AttentionF32<'_> {
    /// How many keys query `i` sees.
    fn seen(&self, i: usize) -> usize {
        match self.causal {
            None => self.keys,
            Some(offset) => (i as isize).saturating_add(offset).saturating_add(1).max(0) as usize,
        }
    }
}

/// Adds what the queries of a block get from the keys of a block.
fn block<S: Simd>(
    s: S,
    a: &mut AttentionF32<'_>,
    (queries, keys): (Range<usize>, Range<usize>),
    panels: &[f32],
    scores: &mut [f32],
    [tops, sums]: [&mut [f32]; 2],
) {
    let rows = queries.len();
    // The last query sees most.
    let seen = a.seen(queries.end - 1).min(keys.end).saturating_sub(keys.start);
    let stride = keys.len().next_multiple_of(PANEL);
    let first = keys.start == 0;
    let y_from = queries.start * a.y_stride;
    if seen > 0 {
        multiply(s, a, &queries, keys.start, seen, panels, (scores, stride));
        s.vectorize(Weigh {
            a,
            queries: queries.clone(),
            keys: keys.start..keys.start + seen,
            scores,
            stride,
            state: [&mut *tops, &mut *sums],
        });
        let gemm = GemmF32 {
            m: rows,
            n: a.width,
            k: seen,
            a_row_stride: stride,
            a: scores,
            b: a.v.after(keys.start),
            b_k_stride: a.v.stride,
            b_panel_stride: PANEL,
            bias: Bias::None,
            activation: Activation::None,
            accumulate: !first,
            c: &mut a.y[y_from..],
            c_row_stride: a.y_stride,
        };
        gemm_f32(s, gemm);
    } else if first {
        tops.fill(f32::NEG_INFINITY);
        sums.fill(0.0);
        let rows_of_y = a.y[y_from..].chunks_mut(a.y_stride.max(a.width)).take(rows);
        rows_of_y.for_each(|y| y[..a.width].fill(0.0));
    }
    if keys.end == a.keys {
        let (y, y_stride) = (&mut a.y[y_from..], a.y_stride);
        s.vectorize(Finish { unseeing: a.unseeing, width: a.width, tops, sums, y, y_stride });
    }
}

/// The products of some queries with `n` keys from `first` on; columns of the last panel beyond
/// them may hold anything.
fn multiply<S: Simd>(
    s: S,
    a: &AttentionF32<'_>,
    queries: &Range<usize>,
    first: usize,
    n: usize,
    panels: &[f32],
    (scores, stride): (&mut [f32], usize),
) {
    let q = a.q.after(queries.start);
    if a.queries <= FEW && !a.by_column {
        let q = Rows { data: q, stride: a.q.stride };
        let k = Rows { data: a.k.after(first), stride: a.k.stride };
        let [rows, size] = [queries.len(), a.size];
        s.vectorize(Dots { rows, n, size, q, k, scores, stride });
        return;
    }
    // Packed panels are whole: what pads the last one is stored along.
    let (b, b_k_stride, b_panel_stride, n) = if a.by_column {
        (a.k.data.get(first..).unwrap_or(&[]), a.k.stride, PANEL, n)
    } else {
        (panels, PANEL, PANEL * a.size, n.next_multiple_of(PANEL))
    };
    let gemm = GemmF32 {
        m: queries.len(),
        n,
        k: a.size,
        a_row_stride: a.q.stride,
        a: q,
        b,
        b_k_stride,
        b_panel_stride,
        bias: Bias::None,
        activation: Activation::None,
        accumulate: false,
        c: scores,
        c_row_stride: stride,
    };
    gemm_f32(s, gemm);
}

/// Products of rows with rows, without packing: each key is read once for each query.
struct Dots<'a> {
    rows: usize,
    n: usize,
    size: usize,
    q: Rows<'a>,
    k: Rows<'a>,
    scores: &'a mut [f32],
    stride: usize,
}

impl Vectorized for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const ABREAST: usize = 4;
        let Self { rows, n, size, q, k, scores, stride } = self;
        let mut first = 0;
        while first < n {
            // The last keys are computed twice rather than one by one.
            let j = if n < ABREAST { first } else { first.min(n - ABREAST) };
            let abreast = if n < ABREAST { 1 } else { ABREAST };
            let keys: [&[f32]; ABREAST] = from_fn(|c| &k.after(j + c.min(abreast - 1))[..size]);
            for i in 0..rows {
                let q = &q.after(i)[..size];
                let mut sums = [s.splat(0.0); ABREAST];
                let mut p = 0;
                while p + S::LANES <= size {
                    let x = s.load(&q[p..]);
                    for c in 0..ABREAST {
                        sums[c] = s.mul_add_relaxed(x, s.load(&keys[c][p..]), sums[c]);
                    }
                    p += S::LANES;
                }
                if p < size {
                    let x = s.load_tail(&q[p..]);
                    for c in 0..ABREAST {
                        sums[c] = s.mul_add_relaxed(x, s.load_tail(&keys[c][p..]), sums[c]);
                    }
                }
                for (to, sum) in scores[i * stride + j..].iter_mut().zip(sums).take(abreast) {
                    *to = s.reduce_add(sum);
                }
            }
            first = j + abreast;
        }
    }
}

#[cfg(test)]
mod tests;
