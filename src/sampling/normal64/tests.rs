extern crate std;

use std::vec::Vec;

use super::anchors::ANCHORS;
use super::*;
use crate::kernels::suite::levels;
use crate::kernels::{Level, Scalar, Vectorized, dispatch};
use crate::sampling::normal::normal;
use crate::sampling::paths::{Lanes, PathAddress};

/// The magnitude of the normal of `tail * 2^32 + k`.
fn magnitude(tail: u64) -> f64 {
    normal64(Scalar, i32::MAX as u32 - (tail >> 32) as u32, tail as u32)[0]
}

/// What an error is of `z`, held to `limit`.
struct Worst {
    limit: f64,
    error: f64,
}

impl Worst {
    fn below(limit: f64) -> Self {
        Self { limit, error: 0.0 }
    }

    fn see(&mut self, tail: u64, error: f64) {
        assert!(error.abs() < self.limit, "{tail:#x}: {error:e}");
        self.error = self.error.max(error.abs());
    }
}

#[test]
fn agrees_with_sixty_digits() {
    let mut worst = Worst::below(MAX_RELATIVE_ERROR);
    for (tail, nearest, rest) in ANCHORS {
        worst.see(tail, ((magnitude(tail) - nearest) - rest) / nearest);
    }
    assert!(worst.error > 0.5 * MAX_RELATIVE_ERROR, "the stated bound is loose: {:e}", worst.error);
}

/// The probability between `from` and `from + distance`, of the density at `from`: the rule of
/// Gauss and Legendre with five nodes.
fn between(from: f64, distance: f64) -> f64 {
    const NODES: [(f64, f64); 5] = [
        (-0.906_179_845_938_664, 0.236_926_885_056_189_08),
        (-0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
        (0.0, 0.568_888_888_888_888_9),
        (0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
        (0.906_179_845_938_664, 0.236_926_885_056_189_08),
    ];
    let sum: f64 = NODES
        .iter()
        .map(|(node, weight)| {
            let s = 0.5 * distance * (1.0 + node);
            weight * libm::exp(-s * (from + 0.5 * s))
        })
        .sum();
    0.5 * distance * sum
}

/// From 1/20 up, each normal is at most that far from a tabulated one, so that what the density
/// between them lacks or exceeds, in double precision, tells its error to 1e-16.
#[test]
fn is_accurate_between_tabulated_values() {
    let mut worst = Worst::below(MAX_RELATIVE_ERROR + 1e-16);
    let from = ANCHORS.iter().position(|(_, z, _)| *z >= 0.04999).unwrap();
    for pair in ANCHORS[from..].windows(2) {
        let [(start, nearest, rest), (end, next, _)] = *pair else { unreachable!() };
        // The last few probabilities are so far apart that all of them are tabulated.
        if next - nearest > 0.051 {
            continue;
        }
        let density = libm::exp(-0.5 * nearest * nearest) / core::f64::consts::TAU.sqrt();
        let step = ((start - end) / 300).max(1);
        for tail in (end..start).step_by(step as usize) {
            let z = magnitude(tail);
            let distance = (z - nearest) - rest;
            let probability = (start - tail) as f64 * 0.5f64.powi(64) / density;
            let error = between(nearest, distance) - probability;
            let slope = libm::exp(-distance * (nearest + 0.5 * distance));
            worst.see(tail, error / slope / z);
        }
    }
    assert!(worst.error > 0.5 * MAX_RELATIVE_ERROR, "the stated bound is loose: {:e}", worst.error);
}

/// Below 1/20 the series of the inverse in `y = sqrt(2 pi) q`, whose first term is worked with
/// twice the precision.
#[test]
fn is_accurate_near_zero() {
    const ROOT: (f64, f64) = (2.506_628_274_631_000_7, -1.832_857_998_045_930_2e-16);
    let mut worst = Worst::below(MAX_RELATIVE_ERROR);
    for bit in 1..59 {
        for part in 0..200 {
            let first = 1u64 << bit;
            let twice = (first + first / 200 * part) | 1;
            let high = twice as f64;
            let low = (i128::from(twice) - high as i128) as f64;
            let y = high * ROOT.0;
            let rest = libm::fma(high, ROOT.0, -y) + high * ROOT.1 + low * ROOT.0;
            let scale = 0.5f64.powi(65);
            let (y, rest) = (y * scale, rest * scale);
            let y2 = y * y;
            let series = [34807.0 / 5702400.0, 4369.0 / 362880.0, 127.0 / 5040.0, 7.0 / 120.0]
                .iter()
                .fold(0.0, |sum, c| (sum + c) * y2);
            let cubed = y * y2 * (1.0 / 6.0 + series);
            let tail = (u64::MAX - twice) >> 1;
            worst.see(tail, ((magnitude(tail) - y) - rest - cubed) / y);
        }
    }
    assert!(worst.error > 0.5 * MAX_RELATIVE_ERROR, "the stated bound is loose: {:e}", worst.error);
}

struct All<'a>(&'a [u32], &'a [u32]);

impl Vectorized for All<'_> {
    type Output = Vec<u64>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<u64> {
        let mut bits = Vec::new();
        for (words, seconds) in self.0.chunks_exact(16).zip(self.1.chunks_exact(16)) {
            for at in (0..16).step_by(S::LANES) {
                let z = normal64(s, s.u32_load(&words[at..]), s.u32_load(&seconds[at..]));
                for half in z.into_iter().take(S::LANES / S::F64_LANES) {
                    let mut lanes = [0.0; 8];
                    s.f64_store(half, &mut lanes);
                    bits.extend(lanes[..S::F64_LANES].iter().map(|z| z.to_bits()));
                }
            }
        }
        bits
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits_and_no_end_is_special() {
    let mut lanes = Lanes::new(Scalar, PathAddress { seed: 1, stream: 2, path: 3 }, 3, 0);
    let edges = [0, 1, 2, 1 << 23, (1 << 23) - 1, i32::MAX as u32, i32::MAX as u32 - 1];
    let edges: Vec<u32> = edges.iter().flat_map(|edge| [*edge, !edge]).collect();
    let (mut words, mut seconds) = (Vec::new(), Vec::new());
    for edge in &edges {
        for other in &edges {
            // The edges of the tail are those of the word.
            words.extend([*edge, i32::MAX as u32 ^ edge]);
            seconds.extend([*other, *other]);
        }
    }
    for n in 0..16 * 512 {
        // Tails are tried more often than they come.
        words.push(lanes.next(Scalar) >> (n % 3 * 5));
        seconds.push(lanes.second(Scalar));
    }
    words.truncate(words.len() / 16 * 16);
    let wanted = dispatch(Level::scalar(), All(&words, &seconds));
    for (z, word) in wanted.iter().zip(&words) {
        let z = f64::from_bits(*z);
        assert_eq!(z.is_sign_negative(), word.cast_signed() < 0);
        assert!((6.7e-20..9.2).contains(&z.abs()), "{z}");
    }
    for level in levels() {
        assert_eq!(dispatch(level, All(&words, &seconds)), wanted, "{}", level.isa());
    }
}

/// The word's own half step, and the rounding of single precision, part the two.
#[test]
fn refines_the_normal_of_single_precision() {
    let mut lanes = Lanes::new(Scalar, PathAddress { seed: 7, stream: 0, path: 0 }, 0, 0);
    for _ in 0..20_000 {
        let mut again = lanes;
        let word = again.next(Scalar);
        let z = normal64(Scalar, word, again.second(Scalar))[0];
        let single = f64::from(normal(Scalar, &mut lanes));
        let density = libm::exp(-0.5 * z * z) / core::f64::consts::TAU.sqrt();
        let half_step = if z.abs() < 2.8 { 0.5f64.powi(33) / density } else { 0.0 };
        assert!((z - single).abs() < 3.1e-7 * z.abs() + 1.01 * half_step, "{z} {single}");
    }
}

/// Golden: a change of any bit of any normal is a change of every path.
#[test]
fn bits_stay_as_they_are() {
    let cases: [(u32, u32); 6] = [
        (0, 0),
        (0x8000_0000, 0),
        (0x1234_5678, 0x9abc_def0),
        (0xfedc_ba98, 0x7654_3210),
        (0x7fff_0000, 5),
        (0x6000_0000, u32::MAX),
    ];
    let bits = cases.map(|(word, second)| normal64(Scalar, word, second)[0].to_bits());
    assert_eq!(bits, GOLDEN, "{bits:#x?}");
}

const GOLDEN: [u64; 6] = [
    0x3e04_0d93_1fec_203c,
    0xc022_4f82_aa55_eb14,
    0x3fc6_f025_62a1_0d10,
    0xbf86_d0fc_f0ac_5c14,
    0x4010_ada4_7e0c_f48e,
    0x3ff2_67d4_c07b_0568,
];
