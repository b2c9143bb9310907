//! Running moments of paths that nobody keeps.
//!
//! Owns [`Moments`]. Its invariant: what it says depends on the paths and their order, not on how
//! they came in blocks, nor on the instruction set.
//!
//! A tile of eight by eight products takes some paths at a time and stays in registers; each
//! product is one chain of fused multiply-adds over the paths.

use super::real::Real;
use crate::kernels::{Level, Simd, Vectorized, dispatch};

/// Dimensions of a panel, rows and columns of a tile.
const SIDE: usize = 8;
/// Paths that a tile takes at a time.
const BLOCK: usize = 32;

/// Mean and covariance of paths, in `f64`, as they come.
///
/// Sums of deviations from a centre that is given beforehand: the nearer that is to the mean, the
/// fewer digits are lost.
///
/// # Examples
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::Moments;
///
/// let mut storage = [0.0; Moments::storage_len(2)];
/// let mut moments = Moments::new(&[0.0f32, 0.0], &mut storage);
/// moments.add(Level::detect(), &[1.0f32, 2.0, 3.0, 6.0]);
/// assert_eq!((moments.mean(0), moments.mean(1)), (2.0, 4.0));
/// assert_eq!((moments.variance(0), moments.covariance(1, 0)), (1.0, 2.0));
/// ```
#[derive(Debug)]
pub struct Moments<'a> {
    paths: u64,
    centre: &'a mut [f64],
    sums: &'a mut [f64],
    squares: &'a mut [f64],
    /// Deviations of some paths: panel after panel, path after path, [`SIDE`] dimensions.
    panels: &'a mut [f64],
    /// The tiles of the lower triangle, row after row; none where covariances are not taken.
    tiles: &'a mut [f64],
}

/// Panels of `dim` dimensions.
const fn panels(dim: usize) -> usize {
    dim.div_ceil(SIDE)
}

impl<'a> Moments<'a> {
    /// Elements of storage for `dim` dimensions: about `dim^2 / 2`.
    pub const fn storage_len(dim: usize) -> usize {
        let tiles = panels(dim).saturating_mul(panels(dim).saturating_add(1)) / 2;
        Self::variances_len(dim).saturating_add(tiles.saturating_mul(SIDE * SIDE))
    }

    /// Elements of storage for `dim` dimensions without their covariances.
    pub const fn variances_len(dim: usize) -> usize {
        dim.saturating_mul(3).saturating_add(panels(dim).saturating_mul(BLOCK * SIDE))
    }

    /// No path yet.
    ///
    /// **Shapes and units**: `centre` is `[dim]`.
    ///
    /// **Panics**: when there is no dimension, or `storage` is shorter than
    /// [`storage_len`](Self::storage_len).
    pub fn new<T: Real>(centre: &[T], storage: &'a mut [f64]) -> Self {
        Self::of(centre, &mut storage[..Self::storage_len(centre.len())])
    }

    /// No path yet, and no covariances to be taken: what is linear in the dimensions.
    ///
    /// **Shapes and units**: `centre` is `[dim]`.
    ///
    /// **Panics**: when there is no dimension, or `storage` is shorter than
    /// [`variances_len`](Self::variances_len).
    pub fn of_variances<T: Real>(centre: &[T], storage: &'a mut [f64]) -> Self {
        Self::of(centre, &mut storage[..Self::variances_len(centre.len())])
    }

    fn of<T: Real>(centre: &[T], storage: &'a mut [f64]) -> Self {
        let dim = centre.len();
        assert!(dim > 0, "moments of no dimension");
        storage.fill(0.0);
        let (to, rest) = storage.split_at_mut(dim);
        let (sums, rest) = rest.split_at_mut(dim);
        let (squares, rest) = rest.split_at_mut(dim);
        let (panels, tiles) = rest.split_at_mut(panels(dim) * BLOCK * SIDE);
        for (to, centre) in to.iter_mut().zip(centre) {
            *to = centre.to_f64();
        }
        Self { paths: 0, centre: to, sums, squares, panels, tiles }
    }

    /// Adds paths.
    ///
    /// **Shapes and units**: `paths` is `[paths, dim]`, row-major.
    ///
    /// **Panics**: when its length is no multiple of `dim`.
    ///
    /// **Cost**: no allocation; `dim^2 / 2` multiply-adds a path, `dim` without covariances.
    pub fn add<T: Real>(&mut self, level: Level, paths: &[T]) {
        let dim = self.dim();
        assert!(paths.len().is_multiple_of(dim), "{} elements of {dim} dimensions", paths.len());
        for block in paths.chunks(BLOCK * dim) {
            for (path, elements) in block.chunks_exact(dim).enumerate() {
                self.add_path(path, elements);
            }
            let len = block.len() / dim;
            self.paths += len as u64;
            if !self.tiles.is_empty() {
                dispatch(level, Products { panels: self.panels, paths: len, tiles: self.tiles });
            }
        }
    }

    /// The deviations of path `path` of a block, and their sums.
    fn add_path<T: Real>(&mut self, path: usize, elements: &[T]) {
        for (panel, elements) in elements.chunks(SIDE).enumerate() {
            let first = panel * SIDE;
            let to = &mut self.panels[(panel * BLOCK + path) * SIDE..][..elements.len()];
            let sums = self.sums[first..].iter_mut().zip(&mut self.squares[first..]);
            let elements = elements.iter().zip(&self.centre[first..]);
            for ((to, (x, centre)), (sum, square)) in to.iter_mut().zip(elements).zip(sums) {
                *to = x.to_f64() - centre;
                *sum += *to;
                *square += *to * *to;
            }
        }
    }

    /// Paths that were added.
    pub fn paths(&self) -> u64 {
        self.paths
    }

    /// Dimensions.
    pub fn dim(&self) -> usize {
        self.centre.len()
    }

    /// Whether covariances are taken.
    pub fn has_covariances(&self) -> bool {
        !self.tiles.is_empty()
    }

    /// The mean of a component less its centre: of no path, zero.
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    pub fn bias(&self, index: usize) -> f64 {
        self.sums[index] / self.paths.max(1) as f64
    }

    /// The mean of a component: of no path, the centre.
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    pub fn mean(&self, index: usize) -> f64 {
        self.centre[index] + self.bias(index)
    }

    /// The variance of a component, divided by the number of paths: of no path, zero.
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    pub fn variance(&self, index: usize) -> f64 {
        let bias = self.bias(index);
        (self.squares[index] / self.paths.max(1) as f64 - bias * bias).max(0.0)
    }

    /// The covariance of two components, divided by the number of paths: of no path, zero.
    ///
    /// **Panics**: when one is not below [`dim`](Self::dim), or covariances are not taken.
    pub fn covariance(&self, row: usize, col: usize) -> f64 {
        let (row, col) = (row.max(col), row.min(col));
        let (panel, other) = (row / SIDE, col / SIDE);
        let tile = &self.tiles[(panel * (panel + 1) / 2 + other) * SIDE * SIDE..];
        let product = tile[row % SIDE * SIDE + col % SIDE] / self.paths.max(1) as f64;
        product - self.bias(row) * self.bias(col)
    }
}

/// Adds the products of some paths to the tiles.
struct Products<'a> {
    panels: &'a [f64],
    paths: usize,
    tiles: &'a mut [f64],
}

impl Products<'_> {
    /// The deviations of a panel.
    #[inline(always)]
    fn panel(&self, index: usize) -> &[[f64; SIDE]] {
        self.panels[index * BLOCK * SIDE..][..self.paths * SIDE].as_chunks().0
    }
}

impl Vectorized for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let tiles = core::mem::take(&mut self.tiles);
        let mut tiles = tiles.chunks_exact_mut(SIDE * SIDE);
        for row in 0..self.panels.len() / (BLOCK * SIDE) {
            for (col, tile) in (0..=row).zip(&mut tiles) {
                for at in (0..SIDE).step_by(S::F64_LANES) {
                    let mut sums = [s.f64_splat(0.0); SIDE];
                    for (sum, from) in sums.iter_mut().zip(tile.chunks_exact(SIDE)) {
                        *sum = s.f64_load(&from[at..]);
                    }
                    for (a, b) in self.panel(row).iter().zip(self.panel(col)) {
                        let b = s.f64_load(&b[at..]);
                        for (sum, a) in sums.iter_mut().zip(a) {
                            *sum = s.f64_mul_add(s.f64_splat(*a), b, *sum);
                        }
                    }
                    for (to, sum) in tile.chunks_exact_mut(SIDE).zip(sums) {
                        s.f64_store(sum, &mut to[at..]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn moments_by_hand() {
        let mut storage = [f64::NAN; Moments::storage_len(2)];
        let mut moments = Moments::new(&[1.0, 2.0], &mut storage);
        assert_eq!(
            (moments.mean(0), moments.variance(1), moments.covariance(0, 1)),
            (1.0, 0.0, 0.0)
        );
        moments.add(Level::detect(), &[0.0f64, 1.0, 2.0, 3.0, 0.0, 3.0]);
        moments.add(Level::scalar(), &[2.0f32, 2.0]);
        assert_eq!((moments.paths(), moments.bias(0), moments.bias(1)), (4, 0.0, 0.25));
        assert_eq!((moments.variance(0), moments.variance(1)), (1.0, 0.6875));
        assert_eq!(moments.covariance(1, 0), 0.25 * (1.0 + 1.0 - 1.0 + 0.0));

        let mut storage = [f64::NAN; Moments::variances_len(2)];
        let mut moments = Moments::of_variances(&[1.0, 2.0], &mut storage);
        moments.add(Level::detect(), &[0.0f64, 1.0, 2.0, 3.0]);
        assert!(!moments.has_covariances());
        assert_eq!((moments.variance(0), moments.mean(1)), (1.0, 2.0));
    }

    /// Every size around that of a panel, against sums taken one after the other; in blocks of any
    /// size the same bits.
    #[test]
    fn products_of_every_size() {
        for dim in [1, 7, 8, 9, 17] {
            let paths = 2 * BLOCK + 5;
            let x: Vec<f64> = (0..paths * dim).map(|n| libm::sin(n as f64 * 0.7)).collect();
            let centre = vec![0.5; dim];
            let (mut a, mut b) =
                (vec![0.0; Moments::storage_len(dim)], vec![0.0; Moments::storage_len(dim)]);
            let mut moments = Moments::new(&centre, &mut a);
            moments.add(Level::detect(), &x);
            let mut parts = Moments::new(&centre, &mut b);
            for part in x.chunks(7 * dim) {
                parts.add(Level::scalar(), part);
            }
            for row in 0..dim {
                for col in 0..=row {
                    let product = |path: &[f64]| (path[row] - 0.5) * (path[col] - 0.5);
                    let mean = x.chunks(dim).map(product).sum::<f64>() / paths as f64;
                    let expected = mean - moments.bias(row) * moments.bias(col);
                    let got = moments.covariance(row, col);
                    assert!((got - expected).abs() < 1e-13, "{dim}, {row}, {col}");
                    assert_eq!(got.to_bits(), parts.covariance(col, row).to_bits());
                }
                assert!((moments.variance(row) - moments.covariance(row, row)).abs() < 1e-13);
            }
        }
    }
}
