//! What this CPU does at most: the ceilings that a kernel is measured against.
//!
//! Nothing that serves calls these loops; `bench --profile` and the benches time them.

use core::hint::black_box;

use super::{Simd, Vectorized};

/// Multiply-adds of whole vectors in chains that do not wait for each other: the peak rate.
#[derive(Clone, Copy, Debug)]
pub struct MultiplyAdds {
    /// Steps of each chain.
    pub steps: usize,
}

impl MultiplyAdds {
    /// Enough for four cycles of latency and two units, with registers to spare for the operands.
    const CHAINS: usize = 12;
}

impl Vectorized for MultiplyAdds {
    /// How many there were.
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let (x, y) = (s.splat(black_box(0.999)), s.splat(black_box(0.001)));
        let mut sums = [x; Self::CHAINS];
        for _ in 0..self.steps {
            for sum in &mut sums {
                *sum = s.mul_add_relaxed(*sum, x, y);
            }
        }
        black_box(sums.into_iter().map(|sum| s.reduce_add(sum)).sum::<f32>());
        self.steps * Self::CHAINS * S::LANES
    }
}

/// The sum of a buffer, in chains that do not wait for each other: the bandwidth of the cache
/// that it fits.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a>(
    /// A multiple of 128 elements is read whole.
    pub &'a [f32],
);

impl Vectorized for Stream<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sums = [s.splat(0.0); 8];
        for block in self.0.chunks_exact(8 * S::LANES) {
            for (sum, x) in sums.iter_mut().zip(block.chunks_exact(S::LANES)) {
                *sum = s.add(*sum, s.load(x));
            }
        }
        black_box(sums.into_iter().map(|sum| s.reduce_add(sum)).sum::<f32>());
    }
}
