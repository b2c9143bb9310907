//! Running moments of paths that nobody keeps.
//!
//! Owns [`Moments`]. Its invariant: what it says depends on the paths and their order, not on how
//! they came in blocks, nor on the instruction set.

use super::cholesky::packed_len;
use super::real::Real;
use crate::kernels::{Level, Simd, Vectorized, dispatch};

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
/// let mut moments = Moments::new(&[0.0, 0.0], &mut storage);
/// moments.add(Level::detect(), &[1.0f32, 2.0, 3.0, 6.0]);
/// assert_eq!((moments.mean(0), moments.mean(1)), (2.0, 4.0));
/// assert_eq!((moments.covariance(0, 0), moments.covariance(1, 0)), (1.0, 2.0));
/// ```
#[derive(Debug)]
pub struct Moments<'a> {
    paths: u64,
    centre: &'a mut [f64],
    /// The path that is being added.
    away: &'a mut [f64],
    sums: &'a mut [f64],
    /// The lower triangle of the sums of products, row by row.
    products: &'a mut [f64],
}

impl<'a> Moments<'a> {
    /// Elements of storage for `dim` dimensions.
    pub const fn storage_len(dim: usize) -> usize {
        packed_len(dim).saturating_add(dim.saturating_mul(3))
    }

    /// No path yet.
    ///
    /// **Shapes and units**: `centre` is `[dim]`.
    ///
    /// **Panics**: when `storage` is shorter than [`storage_len`](Self::storage_len).
    pub fn new<T: Real>(centre: &[T], storage: &'a mut [f64]) -> Self {
        let dim = centre.len();
        let storage = &mut storage[..Self::storage_len(dim)];
        storage.fill(0.0);
        let (to, rest) = storage.split_at_mut(dim);
        let (away, rest) = rest.split_at_mut(dim);
        let (sums, products) = rest.split_at_mut(dim);
        for (to, centre) in to.iter_mut().zip(centre) {
            *to = centre.to_f64();
        }
        Self { paths: 0, centre: to, away, sums, products }
    }

    /// Adds paths.
    ///
    /// **Shapes and units**: `paths` is `[paths, dim]`, row-major.
    ///
    /// **Panics**: when its length is no multiple of `dim`.
    ///
    /// **Cost**: no allocation; `dim^2 / 2` multiply-adds a path.
    pub fn add<T: Real>(&mut self, level: Level, paths: &[T]) {
        let dim = self.centre.len().max(1);
        assert!(paths.len().is_multiple_of(dim), "{} elements of {dim} dimensions", paths.len());
        dispatch(level, Add { moments: self, paths });
    }

    /// Paths that were added.
    pub fn paths(&self) -> u64 {
        self.paths
    }

    /// Dimensions.
    pub fn dim(&self) -> usize {
        self.centre.len()
    }

    /// The mean of a component: of no path, the centre.
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    pub fn mean(&self, index: usize) -> f64 {
        self.centre[index] + self.sums[index] / self.paths.max(1) as f64
    }

    /// The covariance of two components, divided by the number of paths: of no path, zero.
    ///
    /// **Panics**: when one is not below [`dim`](Self::dim).
    pub fn covariance(&self, row: usize, col: usize) -> f64 {
        let (row, col) = (row.max(col), row.min(col));
        let paths = self.paths.max(1) as f64;
        let (a, b) = (self.sums[row] / paths, self.sums[col] / paths);
        self.products[packed_len(row) + col] / paths - a * b
    }

    /// The standard deviation of a component.
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    pub fn std(&self, index: usize) -> f64 {
        libm::sqrt(self.covariance(index, index).max(0.0))
    }
}

struct Add<'m, 'a, T> {
    moments: &'m mut Moments<'a>,
    paths: &'m [T],
}

impl<T: Real> Vectorized for Add<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Moments { paths, centre, away, sums, products } = self.moments;
        for path in self.paths.chunks_exact(centre.len().max(1)) {
            *paths += 1;
            for ((away, x), centre) in away.iter_mut().zip(path).zip(&**centre) {
                *away = x.to_f64() - centre;
            }
            let mut rest = &mut **products;
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum += away[row];
                let (now, below) = rest.split_at_mut(row + 1);
                rest = below;
                let whole = now.len() - now.len() % S::F64_LANES;
                let (lanes, tail) = now.split_at_mut(whole);
                let x = s.f64_splat(away[row]);
                for (to, other) in
                    lanes.chunks_exact_mut(S::F64_LANES).zip(away.chunks_exact(S::F64_LANES))
                {
                    s.f64_store(s.f64_mul_add(x, s.f64_load(other), s.f64_load(to)), to);
                }
                if !tail.is_empty() {
                    let other = s.f64_load_tail(&away[whole..=row]);
                    let sums = s.f64_mul_add(x, other, s.f64_load_tail(tail));
                    s.f64_store_tail(sums, tail);
                }
            }
        }
    }
}
