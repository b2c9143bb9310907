extern crate std;

use std::vec::Vec;

use super::*;
use crate::kernels::Scalar;
use crate::sampling::transform::Transform;

/// One path whose next word and second word are given.
#[derive(Clone, Copy)]
pub(super) struct Given(pub(super) u32, pub(super) u32);

impl Words<Scalar> for Given {
    fn next(&mut self, _: Scalar) -> u32 {
        self.0
    }
    fn second(&self, _: Scalar) -> u32 {
        self.1
    }
}

/// Words at both ends, at the middle, where second words and octaves begin, and between.
pub(super) fn words() -> impl Iterator<Item = Given> {
    let edges = (0..32).flat_map(|bit| (1u32 << bit).saturating_sub(3)..=(1 << bit) + 2);
    let edges: Vec<u32> = edges.chain((1 << 31) - 300..(1 << 31) + 300).collect();
    let between = (0..=u32::MAX).step_by(700_001);
    let all = edges.into_iter().chain(between).flat_map(|word| [word, !word]);
    all.flat_map(|word| [0, u32::MAX, word.wrapping_mul(0x9e37_79b9)].map(|k| Given(word, k)))
}

#[test]
fn uniforms_are_exact_and_mirrored() {
    for Given(word, second) in words() {
        let single = f32::uniform(Scalar, &mut Given(word, second));
        assert_eq!(f64::from(single), (f64::from(word >> 9) + 0.5) / 8_388_608.0);
        assert_eq!(f32::uniform(Scalar, &mut Given(!word, second)), 1.0 - single);

        let [double, _] = f64::uniform(Scalar, &mut Given(word, second));
        let fine = if word >> 31 == 0 { second } else { !second } >> 12;
        let whole = u64::from(word) << 20 | u64::from(fine);
        assert_eq!(double, (2 * whole + 1) as f64 / 9_007_199_254_740_992.0);
        assert_eq!(f64::uniform(Scalar, &mut Given(!word, second))[0], 1.0 - double);
        assert!((double - f64::from(single)).abs() <= 2f64.powi(-24));
    }
    assert_eq!(f32::uniform(Scalar, &mut Given(0, 0)), 2f32.powi(-24));
    assert_eq!(f32::uniform(Scalar, &mut Given(u32::MAX, 0)), 1.0 - 2f32.powi(-24));
    assert_eq!(f64::uniform(Scalar, &mut Given(0, 0))[0], 2f64.powi(-53));
}

/// `-ln` of the distance from the upper end.
fn exponential(word: u32, fraction: f64) -> f64 {
    let tail = f64::from(if word >> 31 == 0 { word } else { !word });
    let t = (tail + fraction) / 4_294_967_296.0;
    if word >> 31 == 0 { -libm::log1p(-t) } else { -libm::log(t) }
}

#[test]
fn exponentials_are_accurate() {
    let (mut single, mut double) = (0.0f64, 0.0f64);
    for Given(word, second) in words() {
        let tail = if word >> 31 == 0 { word } else { !word };
        let found = f64::from(f32::exponential(Scalar, &mut Given(word, second)));
        let coarse = (f64::from(second >> 1) + 0.5) / 2_147_483_648.0;
        let exact = exponential(word, if tail < 1 << 23 { coarse } else { 0.5 });
        single = single.max((found / exact - 1.0).abs());

        let [found, _] = f64::exponential(Scalar, &mut Given(word, second));
        let exact = exponential(word, (f64::from(second) + 0.5) / 4_294_967_296.0);
        double = double.max((found / exact - 1.0).abs());
    }
    assert!(single < 3e-7 && double < 6e-16, "{single:e} {double:e}");
    assert!(single > 1e-7 && double > 2e-16, "the stated bounds are loose: {single:e} {double:e}");
}

#[test]
fn the_ends_of_exponentials() {
    let single = |word, second| f32::exponential(Scalar, &mut Given(word, second));
    let double = |word, second| f64::exponential(Scalar, &mut Given(word, second))[0];
    // Worked with 50 decimal digits (mpmath).
    assert_eq!(single(0, 0), 5.421_011e-20);
    assert_eq!(double(0, 0), 2.710_505_431_213_761e-20);
    assert_eq!(single(u32::MAX, 0), 44.361_42);
    assert!((double(u32::MAX, 0) - 45.054_566_736_396_45).abs() < 1e-14);
    // They grow with the word where a second one begins to count.
    for edge in [1 << 23, (1 << 31) - 1, u32::MAX - (1 << 23)] {
        let around = (edge - 2..edge + 2).map(|word| (single(word, 7), double(word, 7)));
        let around: Vec<(f32, f64)> = around.collect();
        assert!(around.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 < w[1].1), "{around:?}");
    }
}
