//! The product of a hidden state with the recurrent weights of one group of units.
#![allow(clippy::needless_range_loop, reason = "an index says which lane, row or gate")]

use core::array::from_fn;

use crate::kernels::gemm::PANEL;
use crate::kernels::simd::Simd;

/// Which way the weights are read.
///
/// They are read whole in every step of time. More of them than the first-level cache holds would
/// never be found there in the same order again; read to and fro, the last ones are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Groups from the first one on, each from its last row of weights.
    To,
    /// Groups from the last one on, each from its first row of weights: what was computed last
    /// in [`To`](Self::To), and is ready last, is needed last.
    Fro,
}

impl Sweep {
    /// The other way.
    pub fn back(self) -> Self {
        match self {
            Self::To => Self::Fro,
            Self::Fro => Self::To,
        }
    }

    /// The `i`th of `groups`.
    pub(super) fn group(self, i: usize, groups: usize) -> usize {
        match self {
            Self::To => i,
            Self::Fro => groups - 1 - i,
        }
    }
}

/// `c = h w`, or `c += h w`, for the `16 * G` columns of one group.
pub(super) struct GroupProduct<'a, const G: usize> {
    pub(super) rows: usize,
    /// Columns of `h`, rows of `w`.
    pub(super) depth: usize,
    pub(super) h: &'a [f32],
    pub(super) h_row_stride: usize,
    /// `[depth][G][16]`.
    pub(super) w: &'a [f32],
    pub(super) sweep: Sweep,
    pub(super) accumulate: bool,
    pub(super) c: &'a mut [f32],
    pub(super) c_row_stride: usize,
}

/// Rows of weights between two checks of bounds.
const BLOCK: usize = 8;

impl<const G: usize> GroupProduct<'_, G> {
    #[inline(always)]
    pub(super) fn run<S: Simd>(mut self, s: S) {
        let mut row = 0;
        /// Tiles of rows, the tallest that leaves none or several; `$vectors` of a panel's at a
        /// time.
        macro_rules! rows {
            ($($rows:literal x $vectors:literal),*) => {
                while row < self.rows {
                    let left = self.rows - row;
                    $(if $rows == 1 || left == $rows || left > $rows + 1 {
                        for first in (0..PANEL / S::LANES).step_by($vectors) {
                            self.tile::<S, $rows, $vectors>(s, row, first * S::LANES);
                        }
                        row += $rows;
                        continue;
                    })*
                }
            };
        }
        match S::LANES {
            16 => rows!(6 x 1, 4 x 1, 3 x 1, 2 x 1, 1 x 1),
            8 => rows!(3 x 1, 2 x 1, 1 x 2),
            4 => rows!(3 x 2, 2 x 2, 1 x 4),
            _ => rows!(1 x 4),
        }
    }

    /// `R` rows by `V` vectors of each gate's panel, from column `first` of the panels on.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(&mut self, s: S, row: usize, first: usize) {
        let depth = self.depth;
        // Independent chains of sums, so that a few rows keep enough multiply-adds in flight.
        let chains = const {
            let tiles = R * V * G;
            if tiles >= 6 {
                1
            } else if tiles >= 3 {
                2
            } else {
                4
            }
        };
        let mut sums = [[[[s.splat(0.0); V]; G]; R]; 4];
        let h: [&[f32]; R] = from_fn(|i| &self.h[(row + i) * self.h_row_stride..][..depth]);
        let w = &self.w[..depth * G * PANEL];

        /// Adds row `p` of the weights to the sums of chain `c`.
        macro_rules! step {
            ($h:expr, $w:expr, $p:expr, $c:expr) => {
                for i in 0..R {
                    let x = s.splat($h[i][$p]);
                    for gate in 0..G {
                        for v in 0..V {
                            let at = ($p * G + gate) * PANEL + first + v * S::LANES;
                            let w = s.load(&$w[at..at + S::LANES]);
                            sums[$c][i][gate][v] = s.mul_add_relaxed(x, w, sums[$c][i][gate][v]);
                        }
                    }
                }
            };
        }
        // The scalar instance stays small.
        let block = if S::LANES == 1 { 1 } else { BLOCK };
        let blocks = depth / block;
        for i in 0..blocks {
            let at = block * if self.sweep == Sweep::To { blocks - 1 - i } else { i };
            let h: [&[f32]; R] = from_fn(|i| &h[i][at..at + block]);
            let w = &w[at * G * PANEL..(at + block) * G * PANEL];
            let together = chains.min(block);
            for p in (0..block).step_by(together) {
                for c in 0..together {
                    step!(h, w, p + c, c);
                }
            }
        }
        for p in blocks * block..depth {
            step!(h, w, p, 0);
        }

        for i in 0..R {
            let c = &mut self.c[(row + i) * self.c_row_stride..][..G * PANEL];
            for gate in 0..G {
                for v in 0..V {
                    let mut sum = sums[0][i][gate][v];
                    for c in 1..chains {
                        sum = s.add(sum, sums[c][i][gate][v]);
                    }
                    let at = gate * PANEL + first + v * S::LANES;
                    let to = &mut c[at..at + S::LANES];
                    if self.accumulate {
                        sum = s.add(sum, s.load(to));
                    }
                    s.store(sum, to);
                }
            }
        }
    }
}
