//! A head whose keys fit one panel.
//!
//! For so few of them the calls and checks of two products take longer than the products: scores,
//! weights and what is gathered are computed in one piece of code.
#![allow(clippy::needless_range_loop, reason = "an index says which row or vector")]

use core::array::from_fn;

use super::weigh::{Finish, Weigh};
use super::{AttentionF32, ROWS};
use crate::kernels::gemm::PANEL;
use crate::kernels::simd::{Simd, Vectorized};

/// Most vectors of a panel.
const VECTORS: usize = PANEL;

/// Some rows at a time.
macro_rules! by_rows {
    ($rows:expr, |$row:ident, $r:ident| $call:expr) => {{
        let mut $row = 0;
        while $row < $rows {
            match $rows - $row {
                4.. => {
                    const $r: usize = 4;
                    $call;
                    $row += $r;
                }
                2..4 => {
                    const $r: usize = 2;
                    $call;
                    $row += $r;
                }
                _ => {
                    const $r: usize = 1;
                    $call;
                    $row += $r;
                }
            }
        }
    }};
}

/// Computes a head with [`PANEL`] keys at most, which are packed.
pub(super) struct Short<'a, 'b> {
    pub(super) a: &'a mut AttentionF32<'b>,
    pub(super) panel: &'a [f32],
    pub(super) scores: &'a mut [f32],
}

impl Vectorized for Short<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, panel, scores } = self;
        let panel = &panel[..a.size * PANEL];
        let mut first = 0;
        while first < a.queries {
            let rows = ROWS.min(a.queries - first);
            let (scores, y_from) = (&mut scores[..rows * PANEL], first * a.y_stride);
            // The last query sees most.
            let seen = a.seen(first + rows - 1).min(a.keys);
            let (mut tops, mut sums) = ([f32::NEG_INFINITY; ROWS], [0.0; ROWS]);
            let (tops, sums) = (&mut tops[..rows], &mut sums[..rows]);
            if seen > 0 {
                by_rows!(rows, |row, R| multiply::<S, R>(s, a, first + row, panel, scores, row));
                Weigh {
                    a,
                    queries: first..first + rows,
                    keys: 0..seen,
                    scores,
                    stride: PANEL,
                    state: [&mut *tops, &mut *sums],
                }
                .run(s);
            }
            by_rows!(rows, |row, R| gather::<S, R>(s, a, first + row, scores, row, seen));
            let (y, y_stride) = (&mut a.y[y_from..], a.y_stride);
            Finish { unseeing: a.unseeing, width: a.width, tops, sums, y, y_stride }.run(s);
            first += rows;
        }
    }
}

/// Scores of `R` queries from `query` on, in the rows of `scores` from `row` on.
#[inline(always)]
fn multiply<S: Simd, const R: usize>(
    s: S,
    a: &AttentionF32<'_>,
    query: usize,
    panel: &[f32],
    scores: &mut [f32],
    row: usize,
) {
    let q: [&[f32]; R] = from_fn(|r| &a.q.after(query + r)[..a.size]);
    let mut sums = [[s.splat(0.0); VECTORS]; R];
    for (p, keys) in panel.as_chunks::<PANEL>().0.iter().enumerate() {
        for v in 0..PANEL / S::LANES {
            let keys = s.load(&keys[v * S::LANES..]);
            for r in 0..R {
                sums[r][v] = s.mul_add_relaxed(s.splat(q[r][p]), keys, sums[r][v]);
            }
        }
    }
    for r in 0..R {
        let to = &mut scores[(row + r) * PANEL..][..PANEL];
        for v in 0..PANEL / S::LANES {
            s.store(sums[r][v], &mut to[v * S::LANES..]);
        }
    }
}

/// What `R` queries from `query` on get from the values of the keys that are seen.
#[inline(always)]
fn gather<S: Simd, const R: usize>(
    s: S,
    a: &mut AttentionF32<'_>,
    query: usize,
    weights: &[f32],
    row: usize,
    seen: usize,
) {
    let weights: [&[f32]; R] = from_fn(|r| &weights[(row + r) * PANEL..][..seen]);
    let mut at = 0;
    while at < a.width {
        let cols = S::LANES.min(a.width - at);
        let mut sums = [s.splat(0.0); R];
        for j in 0..seen {
            let values = &a.v.after(j)[at..][..cols];
            let values = if cols == S::LANES { s.load(values) } else { s.load_tail(values) };
            for r in 0..R {
                sums[r] = s.mul_add_relaxed(s.splat(weights[r][j]), values, sums[r]);
            }
        }
        for r in 0..R {
            let to = &mut a.y[(query + r) * a.y_stride + at..][..cols];
            if cols == S::LANES {
                s.store(sums[r], to);
            } else {
                s.store_tail(sums[r], to);
            }
        }
        at += cols;
    }
}
