//! What the tests of all kernels share: the levels of this CPU, numbers, and distances.

extern crate std;

use core::cell::Cell;
use std::vec::Vec;

use super::isa::Level;

/// Every level that this CPU has, scalar first.
pub(crate) fn levels() -> Vec<Level> {
    Level::each().collect()
}

/// Those, then the best one with what it has beyond its instruction set, and with AMX and with
/// AVX-VNNI: of this CPU, or emulated where it has AVX512-BF16 to round with, or AVX2.
pub(crate) fn levels_and_beyond() -> Vec<Level> {
    let mut all = levels();
    all.push(Level::detect());
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        use super::x86_64::emulator;
        all.extend(emulator::amx().into_iter().chain(emulator::avx_vnni()));
    }
    all
}

/// SplitMix64: numbers for tests, from a seed.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next() >> 40) as f32 / (1 << 24) as f32)
    }

    pub(crate) fn vector(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.uniform(-1.0, 1.0)).collect()
    }

    /// Any floats: NaN, infinities, zeros of both signs and subnormals among them.
    pub(crate) fn any_vector(&mut self, len: usize) -> Vec<f32> {
        const SPECIAL: [f32; 8] =
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40, 0.5, 2.5];
        (0..len)
            .map(|_| match self.below(4) {
                0 => SPECIAL[self.below(SPECIAL.len())],
                1 => f32::from_bits(self.next() as u32),
                _ => self.uniform(-4.0, 4.0),
            })
            .collect()
    }
}

/// The distance of `got` from `wanted` in units of `wanted`'s last place.
pub(crate) fn ulps(got: f32, wanted: f64) -> f64 {
    let rounded = wanted as f32;
    if got == rounded || got.is_nan() && rounded.is_nan() {
        return if rounded.is_finite() {
            (f64::from(got) - wanted).abs() / ulp(rounded)
        } else {
            0.0
        };
    }
    if got.is_nan() || rounded.is_nan() {
        return f64::INFINITY;
    }
    // An infinity is one step past the largest float.
    let widen = |x: f32| {
        if x.is_infinite() { f64::from(x.signum()) * 2f64.powi(128) } else { f64::from(x) }
    };
    (widen(got) - wanted.clamp(-2f64.powi(128), 2f64.powi(128))).abs() / ulp(rounded)
}

fn ulp(x: f32) -> f64 {
    let exponent = (x.abs().to_bits() >> 23).clamp(1, 254) as i32;
    2f64.powi(exponent - 150)
}

/// Panics unless the slices are equal up to `tolerance` times the larger of one and `wanted`,
/// with NaN and infinities in the same places.
#[track_caller]
pub(crate) fn assert_close(got: &[f32], wanted: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        let close = got == wanted
            || got.is_nan() && wanted.is_nan()
            || (got - wanted).abs() <= tolerance * wanted.abs().max(1.0);
        assert!(close, "{what}: [{i}] is {got:e}, wanted {wanted:e}");
    }
}

pub(crate) fn cells(x: &[f32]) -> Vec<Cell<f32>> {
    x.iter().map(|&x| Cell::new(x)).collect()
}

pub(crate) fn values(x: &[Cell<f32>]) -> Vec<f32> {
    x.iter().map(Cell::get).collect()
}
