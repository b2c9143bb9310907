//! Moments of what was drawn.
//!
//! Owns the sums over paths of deviations from the means that were asked for, and of their
//! products, in f64. Paths come in blocks; a tile of eight by eight products takes a block at a
//! time and stays in registers.

use nowcast::kernels::{Level, Simd, Vectorized, dispatch};

use super::rows::Number;

/// Dimensions of a panel, rows and columns of a tile.
const SIDE: usize = 8;
/// Paths of a block.
const BLOCK: usize = 32;
/// Products of more dimensions than this are not taken: they would be gigabytes.
pub(super) const MOST_CORRELATED: usize = 2048;

/// Sums over paths.
pub(super) struct Moments {
    level: Level,
    mean: Vec<f64>,
    sums: Vec<f64>,
    squares: Vec<f64>,
    /// Deviations of a block: panel after panel, path after path, [`SIDE`] dimensions.
    panels: Vec<f64>,
    /// The tiles of the lower triangle, row after row; none where products are not taken.
    tiles: Vec<f64>,
    paths: u64,
}

impl Moments {
    /// Of deviations from `mean`.
    pub(super) fn new(level: Level, mean: &[f64]) -> Self {
        let panels = mean.len().div_ceil(SIDE);
        let tiles = if mean.len() <= MOST_CORRELATED { panels * (panels + 1) / 2 } else { 0 };
        Self {
            level,
            mean: mean.to_vec(),
            sums: vec![0.0; mean.len()],
            squares: vec![0.0; mean.len()],
            panels: vec![0.0; panels * BLOCK * SIDE],
            tiles: vec![0.0; tiles * SIDE * SIDE],
            paths: 0,
        }
    }

    /// Adds whole paths.
    pub(super) fn add<T: Number>(&mut self, paths: &[T]) {
        let dim = self.mean.len();
        for block in paths.chunks(BLOCK * dim) {
            let len = block.len() / dim;
            for (path, elements) in block.chunks_exact(dim).enumerate() {
                for (panel, elements) in elements.chunks(SIDE).enumerate() {
                    let first = panel * SIDE;
                    let to = &mut self.panels[(panel * BLOCK + path) * SIDE..][..elements.len()];
                    let mean = &self.mean[first..][..elements.len()];
                    for ((to, x), mean) in to.iter_mut().zip(elements).zip(mean) {
                        *to = x.to_f64() - mean;
                    }
                    let (sums, squares) = (&mut self.sums[first..], &mut self.squares[first..]);
                    for ((sum, square), x) in sums.iter_mut().zip(squares).zip(&*to) {
                        *sum += x;
                        *square += x * x;
                    }
                }
            }
            if !self.tiles.is_empty() {
                let Self { panels, tiles, .. } = self;
                dispatch(self.level, Products { panels, paths: len, tiles });
            }
            self.paths += len as u64;
        }
    }

    pub(super) fn paths(&self) -> u64 {
        self.paths
    }

    /// Whether products were taken.
    pub(super) fn correlated(&self) -> bool {
        !self.tiles.is_empty()
    }

    /// Mean of dimension `index`, less the one that was asked for.
    pub(super) fn bias(&self, index: usize) -> f64 {
        self.sums[index] / self.paths as f64
    }

    /// Mean square about the drawn mean.
    pub(super) fn variance(&self, index: usize) -> f64 {
        (self.squares[index] / self.paths as f64 - self.bias(index).powi(2)).max(0.0)
    }

    /// Covariance about the drawn means; `col` is at most `row`.
    pub(super) fn covariance(&self, row: usize, col: usize) -> f64 {
        let (panel, other) = (row / SIDE, col / SIDE);
        let tile = &self.tiles[(panel * (panel + 1) / 2 + other) * SIDE * SIDE..];
        let product = tile[row % SIDE * SIDE + col % SIDE] / self.paths as f64;
        product - self.bias(row) * self.bias(col)
    }
}

/// Adds the products of a block to the tiles.
struct Products<'a> {
    panels: &'a [f64],
    paths: usize,
    tiles: &'a mut [f64],
}

impl Vectorized for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let panel = |index: usize| {
            let panel = &self.panels[index * BLOCK * SIDE..][..self.paths * SIDE];
            panel.as_chunks::<SIDE>().0
        };
        let mut tiles = self.tiles.chunks_exact_mut(SIDE * SIDE);
        for row in 0..self.panels.len() / (BLOCK * SIDE) {
            for (col, tile) in (0..=row).zip(&mut tiles) {
                for at in (0..SIDE).step_by(S::F64_LANES) {
                    let mut sums = [s.f64_splat(0.0); SIDE];
                    for (a, b) in panel(row).iter().zip(panel(col)) {
                        let b = s.f64_load(&b[at..]);
                        for (sum, a) in sums.iter_mut().zip(a) {
                            *sum = s.f64_mul_add(s.f64_splat(*a), b, *sum);
                        }
                    }
                    for (to, sum) in tile.chunks_exact_mut(SIDE).zip(sums) {
                        let to = &mut to[at..];
                        s.f64_store(s.f64_add(s.f64_load(to), sum), to);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_by_hand() {
        let mut moments = Moments::new(Level::detect(), &[1.0, 2.0]);
        moments.add(&[0.0f64, 1.0, 2.0, 3.0, 0.0, 3.0]);
        moments.add(&[2.0f32, 2.0]);
        assert_eq!((moments.paths(), moments.bias(0), moments.bias(1)), (4, 0.0, 0.25));
        assert_eq!((moments.variance(0), moments.variance(1)), (1.0, 0.6875));
        assert_eq!(moments.covariance(1, 0), 0.25 * (1.0 + 1.0 - 1.0 + 0.0));
    }

    /// Every size around that of a panel, against sums taken one after the other.
    #[test]
    fn products_of_every_size() {
        for dim in [1, 7, 8, 9, 17] {
            let paths = BLOCK + 5;
            let x: Vec<f64> = (0..paths * dim).map(|n| (n as f64 * 0.7).sin()).collect();
            let mut moments = Moments::new(Level::detect(), &vec![0.5; dim]);
            moments.add(&x);
            for row in 0..dim {
                for col in 0..=row {
                    let product = |path: &[f64]| (path[row] - 0.5) * (path[col] - 0.5);
                    let mean = x.chunks(dim).map(product).sum::<f64>() / paths as f64;
                    let expected = mean - moments.bias(row) * moments.bias(col);
                    let got = moments.covariance(row, col);
                    assert!((got - expected).abs() < 1e-13, "{dim}, {row}, {col}");
                }
                assert!((moments.variance(row) - moments.covariance(row, row)).abs() < 1e-13);
            }
        }
    }
}
