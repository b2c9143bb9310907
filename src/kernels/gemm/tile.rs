//! The tile of `C` that stays in registers, and how a matrix is cut into tiles.
#![allow(clippy::needless_range_loop, reason = "an index says which lane, row or dimension")]

use core::ops::Range;

use super::{Bias, GemmF32, PANEL};
use crate::kernels::simd::{Simd, Vectorized};

/// `MR` rows by `P` panels of `C`, which are `NV` vectors a row, and so on from panel `panel` up to
/// `end`; the sum over `k` is split into `KS` chains, so that few rows still keep enough
/// multiply-adds in flight.
struct Tile<'t, 'g, const MR: usize, const P: usize, const NV: usize, const KS: usize> {
    gemm: &'t mut GemmF32<'g>,
    row: usize,
    panel: usize,
    end: usize,
}

impl<const MR: usize, const P: usize, const NV: usize, const KS: usize> Vectorized
    for Tile<'_, '_, MR, P, NV, KS>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        debug_assert!(NV * S::LANES == P * PANEL);
        let Self { gemm, row, panel, end } = self;
        let mut panel = panel;
        loop {
            let tile = Self::sums(s, gemm, row, panel);
            finish(s, gemm, row, panel * PANEL, &tile);
            panel += P;
            // Several rows have registers for what one pair of panels needs, no more.
            if MR > 1 || panel + P > end {
                return;
            }
        }
    }
}

impl<const MR: usize, const P: usize, const NV: usize, const KS: usize>
    Tile<'_, '_, MR, P, NV, KS>
{
    /// The products of `MR` rows with `P` panels.
    #[inline(always)]
    fn sums<S: Simd>(s: S, gemm: &GemmF32<'_>, row: usize, panel: usize) -> [[S::F32; NV]; MR] {
        let (k, stride) = (gemm.k, gemm.b_k_stride);
        let mut sums = [[[s.splat(0.0); NV]; MR]; KS];

        if k > 0 {
            let (mut a, mut b) = ([&[][..]; MR], [&[][..]; P]);
            for i in 0..MR {
                a[i] = &gemm.a[(row + i) * gemm.a_row_stride..][..k];
            }
            for j in 0..P {
                b[j] = &gemm.b[(panel + j) * gemm.b_panel_stride..];
            }
            // Rows of which all 16 columns are inside `b`: the last panel may be narrower.
            let whole = match b[P - 1].len().checked_sub(PANEL) {
                Some(room) if room >= (k - 1) * stride => k,
                Some(room) => (room.checked_div(stride).map_or(k, |rows| rows + 1)).min(k),
                None => 0,
            };
            let mut p = 0;
            if stride == PANEL {
                // Packed panels: walking them needs one check of bounds for `KS` rows.
                let (mut block, mut rest) = ([&[][..]; P], b);
                while p + KS <= whole {
                    for j in 0..P {
                        (block[j], rest[j]) = rest[j].split_at(PANEL * KS);
                    }
                    for c in 0..KS {
                        let rows = rows_at(block, c * PANEL);
                        step::<S, MR, P, NV>(s, &mut sums[c], a, p + c, rows);
                    }
                    p += KS;
                }
            }
            while p + KS <= whole {
                for c in 0..KS {
                    let rows = rows_at(b, (p + c) * stride);
                    step::<S, MR, P, NV>(s, &mut sums[c], a, p + c, rows);
                }
                p += KS;
            }
            // Each row that is left to a chain of its own.
            for c in 0..KS {
                if p < whole {
                    step::<S, MR, P, NV>(s, &mut sums[c], a, p, rows_at(b, p * stride));
                    p += 1;
                }
            }
            while p < k {
                let mut rows = [[0.0; PANEL]; P];
                for j in 0..P {
                    narrow_row(&b[j][p * stride..], &mut rows[j]);
                }
                let mut from = [&[][..]; P];
                for j in 0..P {
                    from[j] = &rows[j][..];
                }
                step::<S, MR, P, NV>(s, &mut sums[0], a, p, from);
                p += 1;
            }
        }
        // A copy in memory for the epilogue, which is not unrolled: the sums stay in registers.
        let mut tile = sums[0];
        for i in 0..MR {
            for v in 0..NV {
                // In pairs, so that few sums wait for one another.
                if KS >= 8 {
                    for c in 0..4 {
                        sums[c][i][v] = s.add(sums[c][i][v], sums[c + 4][i][v]);
                    }
                }
                if KS >= 4 {
                    for c in 0..2 {
                        sums[c][i][v] = s.add(sums[c][i][v], sums[c + 2][i][v]);
                    }
                }
                if KS >= 2 {
                    sums[0][i][v] = s.add(sums[0][i][v], sums[1][i][v]);
                }
                tile[i][v] = sums[0][i][v];
            }
        }
        tile
    }
}

/// Adds the products of column `p` of `a` with one row of the panels.
#[inline(always)]
fn step<S: Simd, const MR: usize, const P: usize, const NV: usize>(
    s: S,
    sums: &mut [[S::F32; NV]; MR],
    a: [&[f32]; MR],
    p: usize,
    rows: [&[f32]; P],
) {
    let mut b = [s.splat(0.0); NV];
    for v in 0..NV {
        let at = v * S::LANES;
        b[v] = s.load(&rows[at / PANEL][at % PANEL..]);
    }
    for i in 0..MR {
        let x = s.splat(a[i][p]);
        for v in 0..NV {
            sums[i][v] = s.mul_add_relaxed(x, b[v], sums[i][v]);
        }
    }
}

/// A row of each panel, from the same place on.
#[inline(always)]
fn rows_at<const P: usize>(b: [&[f32]; P], at: usize) -> [&[f32]; P] {
    let mut rows = [&[][..]; P];
    for j in 0..P {
        rows[j] = &b[j][at..][..PANEL];
    }
    rows
}

/// What there is of a row; zeros stay behind it.
#[cold]
fn narrow_row(from: &[f32], row: &mut [f32; PANEL]) {
    let len = from.len().min(PANEL);
    row[..len].copy_from_slice(&from[..len]);
}

/// Adds the bias and what `C` held, clamps, and stores what is inside `C`.
#[inline(always)]
pub(in crate::kernels) fn finish<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    gemm: &mut GemmF32<'_>,
    row: usize,
    col: usize,
    tile: &[[S::F32; NV]; MR],
) {
    let cols = (gemm.n - col).min(NV * S::LANES);
    let (low, high) = gemm.activation.clamp().unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    let (low, high) = (s.splat(low), s.splat(high));
    for i in 0..MR {
        let c = &mut gemm.c[(row + i) * gemm.c_row_stride + col..][..cols];
        let row_bias = match gemm.bias {
            Bias::PerRow(bias) => s.splat(bias[row + i]),
            _ => s.splat(0.0),
        };
        for v in 0..NV {
            let at = v * S::LANES;
            if at >= cols {
                break;
            }
            let whole = cols - at >= S::LANES;
            let end = if whole { at + S::LANES } else { cols };
            let to = &mut c[at..end];
            let load = |from: &[f32]| if whole { s.load(from) } else { s.load_tail(from) };
            let mut x = s.add(tile[i][v], row_bias);
            if let Bias::PerCol(bias) = gemm.bias {
                x = s.add(x, load(&bias[col + at..col + end]));
            }
            if gemm.accumulate {
                x = s.add(x, load(to));
            }
            let x = s.min(high, s.max(low, x));
            if whole {
                s.store(x, to);
            } else {
                s.store_tail(x, to);
            }
        }
    }
}

/// Elements of `C` that the activation is applied to at a time, while they are in the first-level
/// cache.
const BLOCK: usize = 2048;

/// Cuts `C` into groups of panels, and these into blocks of rows: all panels that
/// [`BLOCK`] allows for one block of rows, else as many as a tile is wide.
pub(super) fn run<S: Simd>(s: S, gemm: &mut GemmF32<'_>) {
    let rows = 0..gemm.m;
    by_columns(s, gemm, rows, |gemm| gemm, |gemm, panel, left| column(s, gemm, panel, left));
}

/// Calls `column` with the first panel that is still to be computed and the number of those left;
/// it says how many it has. Behind it, applies an activation that the tile does not do itself.
pub(in crate::kernels) fn by_columns<'g, S: Simd, G>(
    s: S,
    gemm: &mut G,
    rows: Range<usize>,
    product: fn(&mut G) -> &mut GemmF32<'g>,
    mut column: impl FnMut(&mut G, usize, usize) -> usize,
) {
    let &mut GemmF32 { n, activation, .. } = product(gemm);
    let (panels, clamps) = (n.div_ceil(PANEL), activation.clamp().is_some());
    let (mut panel, mut active) = (0, 0);
    while panel < panels {
        panel += column(gemm, panel, panels - panel);
        let cols = active * PANEL..n.min(panel * PANEL);
        if !clamps && (panel >= panels || cols.len() * rows.len() >= BLOCK) {
            s.vectorize(Activate { gemm: product(gemm), rows: rows.clone(), cols });
            active = panel;
        }
    }
}

/// Applies an activation that is not a clamp, which the tile does itself, to a part of `C`.
struct Activate<'t, 'g> {
    gemm: &'t mut GemmF32<'g>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl Vectorized for Activate<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let GemmF32 { n, activation, c_row_stride, c, .. } = self.gemm;
        if self.cols.len() == *n && *c_row_stride == *n {
            activation.apply(s, &mut c[self.rows.start * *n..self.rows.end * *n]);
        } else {
            for row in self.rows {
                activation.apply(s, &mut c[row * *c_row_stride..][self.cols.clone()]);
            }
        }
    }
}

/// Computes as many panels from `panel` on as suit the number of rows, and says how many.
///
/// A block of rows is as tall as the registers allow, and all blocks are about equally tall:
/// each reads the panels again. One row of packed panels is one stream through memory, cut into
/// chains along `k`; in place, a row is read across four panels.
fn column<S: Simd>(s: S, gemm: &mut GemmF32<'_>, panel: usize, left: usize) -> usize {
    let m = gemm.m;
    let packed = gemm.b_k_stride == PANEL;
    // Short panels of weights that are soon through: their ends would be much of the time.
    let small = gemm.k <= 128 && gemm.k * gemm.n <= 1 << 14;
    let mut row = 0;
    /// Tiles of at most `$tallest` rows; of those listed, the tallest that fits. `$width` panels
    /// side by side.
    macro_rules! rows {
        ($width:literal, $tallest:literal; $($mr:literal x $p:literal, $nv:literal, $ks:literal;)*) => {{
            // One row goes through all panels that the activation allows.
            let many = if m == 1 { BLOCK / PANEL / $width } else { 1 };
            let panels = many.min(left / $width) * $width;
            let end = panel + panels;
            while row < m {
                let rows = m - row;
                let rows = if rows <= $tallest { rows } else { rows.div_ceil(rows.div_ceil($tallest)) };
                $(if rows >= $mr {
                    s.vectorize(Tile::<$mr, $p, $nv, $ks> { gemm, row, panel, end });
                    row += $mr;
                    continue;
                })*
            }
            panels
        }};
    }
    match S::LANES {
        16 => match (m, left) {
            (1, 2..) if packed && small => rows! { 2, 1; 1 x 2, 2, 4; },
            (1, _) if packed => rows! { 1, 1; 1 x 1, 1, 4; },
            (1, 4..) => rows! { 4, 1; 1 x 4, 4, 2; },
            (_, 2..) => rows! {
                2, 12; 12 x 2, 2, 1; 11 x 2, 2, 1; 10 x 2, 2, 1; 9 x 2, 2, 1; 8 x 2, 2, 1;
                7 x 2, 2, 1; 6 x 2, 2, 1; 5 x 2, 2, 1; 4 x 2, 2, 1; 3 x 2, 2, 2; 2 x 2, 2, 2;
                1 x 2, 2, 4;
            },
            _ => rows! { 1, 12; 12 x 1, 1, 1; 6 x 1, 1, 1; 4 x 1, 1, 2; 2 x 1, 1, 4; 1 x 1, 1, 8; },
        },
        8 => match (m, left) {
            (1, 4..) if !packed => rows! { 4, 1; 1 x 4, 8, 1; },
            (1, 2..) if packed && small => rows! { 2, 1; 1 x 2, 4, 2; },
            _ => rows! {
                1, 6; 6 x 1, 2, 1; 5 x 1, 2, 1; 4 x 1, 2, 1; 3 x 1, 2, 1; 2 x 1, 2, 2; 1 x 1, 2, 4;
            },
        },
        4 => match (m, left) {
            (1, 2..) if !packed => rows! { 2, 1; 1 x 2, 8, 1; },
            _ => rows! {
                1, 6; 6 x 1, 4, 1; 5 x 1, 4, 1; 4 x 1, 4, 1; 3 x 1, 4, 1; 2 x 1, 4, 1; 1 x 1, 4, 2;
            },
        },
        _ => rows! { 1, 2; 2 x 1, 16, 1; 1 x 1, 16, 1; },
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::{Activation, gemm_f32};
    use super::*;
    use crate::kernels::pack::{pack_panels_f32, packed_len};
    use crate::kernels::suite::{Rng, assert_close, levels};
    use crate::kernels::{Level, dispatch};
    use proptest::prelude::*;
    use std::{format, vec, vec::Vec};

    struct Run<'a>(GemmF32<'a>);

    impl Vectorized for Run<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            gemm_f32(s, self.0);
        }
    }

    fn check(m: usize, n: usize, k: usize, packed: bool, options: u64, level: Level) {
        let rng = &mut Rng::new((m * 1_000_000 + n * 1000 + k) as u64);
        let (a_gap, b_gap, c_gap) = match options & 1 {
            0 => (0, 0, 0),
            _ => (3, 5, 2),
        };
        let (lda, ldb, ldc) = (k + a_gap, n + b_gap, n + c_gap);
        let extent = |rows: usize, stride: usize, cols: usize| {
            if rows == 0 { 0 } else { (rows - 1) * stride + cols }
        };
        let a = rng.vector(extent(m, lda, k));
        let b = rng.vector(extent(k, ldb, n));
        let bias = rng.vector(m.max(n));
        let c = rng.vector(extent(m, ldc, n));
        let accumulate = options & 2 != 0;
        let activation =
            [Activation::None, Activation::Relu, Activation::Clip(-0.5, 0.25), Activation::Tanh]
                [(options >> 2 & 3) as usize];
        let bias = match options >> 4 & 3 {
            1 => Bias::PerCol(&bias[..n]),
            2 => Bias::PerRow(&bias[..m]),
            _ => Bias::None,
        };

        let mut wanted = c.clone();
        for i in 0..m {
            for j in 0..n {
                let mut sum = 0.0;
                for p in 0..k {
                    sum += f64::from(a[i * lda + p]) * f64::from(b[p * ldb + j]);
                }
                sum += f64::from(match bias {
                    Bias::None => 0.0,
                    Bias::PerCol(bias) => bias[j],
                    Bias::PerRow(bias) => bias[i],
                });
                let to = &mut wanted[i * ldc + j];
                let x = sum + if accumulate { f64::from(*to) } else { 0.0 };
                *to = match activation {
                    Activation::Relu => x.max(0.0),
                    Activation::Clip(low, high) => x.clamp(f64::from(low), f64::from(high)),
                    Activation::Tanh => libm::tanh(x),
                    _ => x,
                } as f32;
            }
        }

        let mut panels = vec![f32::NAN; packed_len(k, n).unwrap()];
        pack_panels_f32(&b, k, n, ldb, 1, &mut panels);
        let (b, b_k_stride, b_panel_stride): (&[f32], _, _) =
            if packed { (&panels, PANEL, PANEL * k) } else { (&b, ldb, PANEL) };
        let mut got = c;
        dispatch(
            level,
            Run(GemmF32 {
                m,
                n,
                k,
                a_row_stride: lda,
                a: &a,
                b,
                b_k_stride,
                b_panel_stride,
                bias,
                activation,
                accumulate,
                c: &mut got,
                c_row_stride: ldc,
            }),
        );
        let what = format!("{m}x{n}x{k} packed {packed} options {options:b} {}", level.isa());
        assert_close(&got, &wanted, 1e-6 * (k as f32).sqrt().max(1.0), &what);
    }

    #[test]
    fn every_small_shape() {
        for level in levels() {
            for m in 0..=15 {
                for n in [0, 1, 2, 5, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 81] {
                    for k in [0, 1, 2, 3, 4, 5, 7, 8, 17] {
                        check(m, n, k, k % 2 == 0, (m * 7 + n + k) as u64, level);
                        check(m, n, k, k % 2 == 1, (m * 5 + n + k) as u64, level);
                    }
                }
            }
        }
    }

    #[test]
    fn nan_and_infinity_stay_in_their_column() {
        for level in levels() {
            let a = [1.0, 2.0];
            let mut b = vec![0.5; 2 * 20];
            b[3] = f32::NAN;
            b[25] = f32::INFINITY;
            for activation in [Activation::None, Activation::Relu, Activation::Clip(0.0, 9.0)] {
                let mut c = vec![0.0; 20];
                dispatch(
                    level,
                    Run(GemmF32 {
                        m: 1,
                        n: 20,
                        k: 2,
                        a_row_stride: 2,
                        a: &a,
                        b: &b,
                        b_k_stride: 20,
                        b_panel_stride: PANEL,
                        bias: Bias::None,
                        activation,
                        accumulate: false,
                        c: &mut c,
                        c_row_stride: 20,
                    }),
                );
                let mut wanted: Vec<f32> = vec![1.5; 20];
                wanted[3] = f32::NAN;
                wanted[5] =
                    if activation == Activation::Clip(0.0, 9.0) { 9.0 } else { f32::INFINITY };
                assert_close(&c, &wanted, 0.0, level.isa().name());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn any_shape(
            m in 0..40usize, n in 0..140usize, k in 0..90usize, packed: bool, options: u64
        ) {
            for level in levels() {
                check(m, n, k, packed, options, level);
            }
        }
    }
}
