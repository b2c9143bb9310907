//! Nested uniform scrambling by a hash.
//!
//! Owns the keys, the hash, and the second word under a word. Its one invariant: the hash is a
//! bijection in which a bit depends on itself and the higher bits of the coordinate alone, so that
//! a net stays a net. It must not know where coordinates come from.
//!
//! **Source**: Burley, "Practical hash-based Owen scrambling", Journal of Computer Graphics
//! Techniques 9(4), 2020, with the hash of Vegdahl, "Building a better LK hash", 2021. There the
//! summand and the factor are made of one key of 32 bits. Here each has 32 bits of its own, so that
//! for any point, and any factor, the word is exactly uniform.

use crate::kernels::{Scalar, Simd};
use crate::sampling::paths::PathAddress;
use crate::sampling::philox::philox;

/// Added to the seed, without carries, for keys: no generator of a path starts from the same
/// numbers.
const PURPOSE: u64 = u64::from_be_bytes(*b"scramble");

/// How one dimension of one block of `2^32` points is scrambled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sampling) struct Key {
    summand: u32,
    /// Odd.
    factor: u32,
    second: u32,
}

impl Key {
    /// The key of dimension `index` for the block that holds `path`.
    pub(in crate::sampling) fn new(address: PathAddress, index: usize) -> Self {
        let mut key = [Self::default()];
        Self::fill(Scalar, address, index, &mut key);
        key[0]
    }

    /// The keys of the dimensions from `first` on, for the block that holds `path`: one block of
    /// Philox4x32-10 each, of the counter `[index, path high, stream low, stream high]`.
    #[inline(always)]
    pub(in crate::sampling) fn fill<S: Simd>(
        s: S,
        address: PathAddress,
        first: usize,
        keys: &mut [Self],
    ) {
        let seed = address.seed ^ PURPOSE;
        let block = s.u32_splat((address.path >> 32) as u32);
        let low = s.u32_splat(address.stream as u32);
        let high = s.u32_splat((address.stream >> 32) as u32);
        let mut index = s.u32_add(s.u32_splat(first as u32), s.u32_lane_index());
        for keys in keys.chunks_mut(S::LANES) {
            let words = philox(s, [index, block, low, high], [seed as u32, (seed >> 32) as u32]);
            let mut lanes = [[0; 16]; 3];
            for (lanes, words) in lanes.iter_mut().zip(words) {
                s.u32_store(words, lanes);
            }
            let [summands, factors, seconds] = lanes;
            let words = summands.into_iter().zip(factors).zip(seconds);
            for (key, ((summand, factor), second)) in keys.iter_mut().zip(words) {
                *key = Self { summand, factor: factor | 1, second };
            }
            index = s.u32_add(index, s.u32_splat(S::LANES as u32));
        }
    }

    /// The words of coordinates whose bits are reversed.
    #[inline(always)]
    pub(super) fn scramble<S: Simd>(self, s: S, reversed: S::U32) -> S::U32 {
        let x = fold(s, reversed, 0x3d20_adea);
        let x = s.u32_mul(s.u32_add(x, s.u32_splat(self.summand)), s.u32_splat(self.factor));
        let x = fold(s, x, 0x0552_6c56);
        reverse(s, fold(s, x, 0x53a2_2864))
    }

    /// Second words to go with those of the points with these numbers.
    ///
    /// Whatever the word, the second is exactly uniform, since its part of the key is a word of
    /// Philox that nothing else uses. Seconds are independent of each other, not a net.
    ///
    /// **Source**: the finalizer of MurmurHash3 by Austin Appleby, in the public domain.
    #[inline(always)]
    pub(in crate::sampling) fn second<S: Simd>(self, s: S, numbers: S::U32) -> S::U32 {
        let mut h = s.u32_xor(numbers, s.u32_splat(self.second));
        h = s.u32_xor(h, s.u32_shr::<16>(h));
        h = s.u32_mul(h, s.u32_splat(0x85eb_ca6b));
        h = s.u32_xor(h, s.u32_shr::<13>(h));
        h = s.u32_mul(h, s.u32_splat(0xc2b2_ae35));
        s.u32_xor(h, s.u32_shr::<16>(h))
    }
}

/// `x ^ x * factor`, a bijection where `factor` is even: a bit depends on itself and lower ones.
#[inline(always)]
fn fold<S: Simd>(s: S, x: S::U32, factor: u32) -> S::U32 {
    s.u32_xor(x, s.u32_mul(x, s.u32_splat(factor)))
}

/// The bits of each lane in reverse.
#[inline(always)]
fn reverse<S: Simd>(s: S, x: S::U32) -> S::U32 {
    let x = choose(s, 0x5555_5555, s.u32_shr::<1>(x), s.u32_shl::<1>(x));
    let x = choose(s, 0x3333_3333, s.u32_shr::<2>(x), s.u32_shl::<2>(x));
    let x = choose(s, 0x0f0f_0f0f, s.u32_shr::<4>(x), s.u32_shl::<4>(x));
    choose(s, 0x00ff_00ff, s.u32_rotate_left::<8>(x), s.u32_rotate_left::<24>(x))
}

/// The bits of `a` where `mask` has ones, of `b` elsewhere.
#[inline(always)]
fn choose<S: Simd>(s: S, mask: u32, a: S::U32, b: S::U32) -> S::U32 {
    s.u32_or(s.u32_and(a, s.u32_splat(mask)), s.u32_and(b, s.u32_splat(!mask)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::suite::Rng;

    const HOME: PathAddress = PathAddress { seed: 2026, stream: 3, path: 0 };

    #[test]
    fn bits_are_reversed() {
        let mut rng = Rng::new(1);
        for _ in 0..1000 {
            let x = rng.next() as u32;
            assert_eq!(reverse(Scalar, x), x.reverse_bits());
        }
    }

    /// What makes it a nested scrambling: words agree as far as coordinates do, and no further.
    #[test]
    fn words_part_where_coordinates_do() {
        let mut rng = Rng::new(2);
        for index in 0..1000 {
            let key = Key::new(HOME, index);
            let a = rng.next() as u32;
            for bit in 0..32 {
                let b = a ^ (1 << 31 | rng.next() as u32 >> 1) >> bit;
                let word = |x: u32| key.scramble(Scalar, x.reverse_bits());
                assert_eq!((word(a) ^ word(b)).leading_zeros(), bit, "{a:#x} {b:#x}");
            }
        }
    }

    /// Beyond the bit where two points part, their words have nothing to do with each other: the
    /// bits of the difference are even, over keys. Of 7,840 scores of one bit each none may be beyond
    /// 6 standard deviations, and the mean square is 1 within 0.08, five of its own: had the seed
    /// been random, one run in 60,000 would fail. (The hash of Burley's paper has a mean
    /// square of 9 and a score of 33.)
    #[test]
    fn beyond_that_they_are_independent() {
        const KEYS: usize = 1 << 11;
        let mut rng = Rng::new(3);
        let (mut squares, mut scores) = (0.0, 0.0);
        for pair in 0..448u32 {
            let bit = pair % 28;
            let a = rng.next() as u32;
            // Half of the pairs part in one bit alone.
            let below = if pair < 224 { 0 } else { rng.next() as u32 >> 1 };
            let b = a ^ (1 << 31 | below) >> bit;
            let mut counts = [0u32; 32];
            for index in 0..KEYS {
                let key = Key::new(PathAddress { stream: u64::from(pair), ..HOME }, index);
                let word = |x: u32| key.scramble(Scalar, x.reverse_bits());
                let difference = word(a) ^ word(b);
                for (place, count) in counts.iter_mut().enumerate() {
                    *count += difference >> (31 - place) & 1;
                }
            }
            for count in &counts[bit as usize + 1..] {
                let score = (f64::from(*count) - KEYS as f64 / 2.0) / (KEYS as f64 / 4.0).sqrt();
                assert!(score.abs() < 6.0, "{a:#x} {b:#x}: {score}");
                squares += score * score;
                scores += 1.0;
            }
        }
        assert!((squares / scores - 1.0f64).abs() < 0.08, "{scores}: {}", squares / scores);
    }

    #[test]
    fn every_part_of_the_address_counts() {
        let keys = [
            Key::new(HOME, 0),
            Key::new(HOME, 1),
            Key::new(PathAddress { seed: 2027, ..HOME }, 0),
            Key::new(PathAddress { seed: 2026 | 1 << 32, ..HOME }, 0),
            Key::new(PathAddress { stream: 4, ..HOME }, 0),
            Key::new(PathAddress { stream: 3 | 1 << 32, ..HOME }, 0),
            Key::new(PathAddress { path: 1 << 32, ..HOME }, 0),
        ];
        for (n, key) in keys.iter().enumerate() {
            assert!(keys[..n].iter().all(|other| {
                other.summand != key.summand
                    && other.factor != key.factor
                    && other.second != key.second
            }));
        }
        // The points of a block share its keys.
        assert_eq!(Key::new(PathAddress { path: u64::from(u32::MAX), ..HOME }, 0), keys[0]);
    }
}
