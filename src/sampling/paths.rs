//! One generator for each path, found by address.
//!
//! Owns [`PathAddress`] and the xoshiro128++ state of a path, alone or in the lanes of a vector.
//! It must not know what the words are used for.

use super::philox::philox;
use crate::kernels::{Scalar, Simd};

/// Where a path's random numbers come from.
///
/// The same address gives the same path everywhere; a different seed, stream or path gives one
/// that is independent for every practical purpose. The state has 128 bits: the chance that any
/// two of `n` paths of `length` words overlap is below `n^2 * length / 2^127`.
///
/// # Examples
/// ```
/// use nowcast::sampling::{PathAddress, PathWords};
///
/// let address = PathAddress { seed: 42, stream: 0, path: 7 };
/// let words: [u32; 2] = core::array::from_fn({
///     let mut words = PathWords::new(address);
///     move |_| words.next_word()
/// });
/// assert_eq!(words[0], PathWords::new(address).next_word());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathAddress {
    /// Chosen by the user: another seed is another experiment.
    pub seed: u64,
    /// Chosen by the program: the series, the step or the purpose that the path is drawn for.
    pub stream: u64,
    /// The path's number. After `u64::MAX` comes zero.
    pub path: u64,
}

/// The words of one path: xoshiro128++, started by Philox from the address.
///
/// **Cost**: no allocation; sixteen bytes of state; about a nanosecond a word. Draws that fill
/// memory run many paths side by side and are ten times faster.
///
/// **Source**: Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS
/// 47(4), 2021.
#[derive(Clone, Debug)]
pub struct PathWords(Lanes<Scalar>);

impl PathWords {
    /// Starts at the first word of the path.
    pub fn new(address: PathAddress) -> Self {
        Self(Lanes::new(Scalar, address, address.path as u32, (address.path >> 32) as u32))
    }

    /// The next 32 uniform bits. The sequence has a period of `2^128 - 1` words.
    pub fn next_word(&mut self) -> u32 {
        self.0.next(Scalar)
    }
}

/// The generators of `LANES` neighbouring paths.
#[derive(Clone, Copy, Debug)]
pub struct Lanes<S: Simd> {
    state: [S::U32; 4],
}

impl<S: Simd> Lanes<S> {
    /// The paths of the seed and stream of `of` whose numbers have these halves.
    #[inline(always)]
    pub(super) fn new(s: S, of: PathAddress, low: S::U32, high: S::U32) -> Self {
        let PathAddress { seed, stream, .. } = of;
        let counter = [low, high, s.u32_splat(stream as u32), s.u32_splat((stream >> 32) as u32)];
        Self::from_state(s, philox(s, counter, [seed as u32, (seed >> 32) as u32]))
    }

    /// From a state, whose lanes of four zeros become `[0, 0, 0, 1]`.
    #[inline(always)]
    fn from_state(s: S, state: [S::U32; 4]) -> Self {
        let [a, b, c, d] = state;
        let any_bit = s.u32_or(s.u32_or(a, b), s.u32_or(c, d));
        let d = s.u32_select(s.u32_eq(any_bit, s.u32_splat(0)), s.u32_splat(1), d);
        Self { state: [a, b, c, d] }
    }

    /// The next word of each path.
    #[inline(always)]
    pub(super) fn next(&mut self, s: S) -> S::U32 {
        let [mut a, mut b, mut c, mut d] = self.state;
        let word = s.u32_add(s.u32_rotate_left::<7>(s.u32_add(a, d)), a);
        let shifted = s.u32_shl::<9>(b);
        c = s.u32_xor(c, a);
        d = s.u32_xor(d, b);
        b = s.u32_xor(b, c);
        a = s.u32_xor(a, d);
        c = s.u32_xor(c, shifted);
        d = s.u32_rotate_left::<11>(d);
        self.state = [a, b, c, d];
        word
    }

    /// A second word to go with the last one, beside the sequence: calling it or not changes no
    /// later word. Given the last word it is uniform, since that one came from `s[0]` and `s[3]`,
    /// and what is hashed here is, for each value of those, a bijection of `s[1]` and `s[2]`
    /// folded in half.
    ///
    /// **Source**: the finalizer of MurmurHash3 by Austin Appleby, in the public domain.
    #[inline(always)]
    pub(super) fn second(&self, s: S) -> S::U32 {
        let mut h = s.u32_xor(self.state[1], s.u32_rotate_left::<16>(self.state[2]));
        h = s.u32_xor(h, s.u32_shr::<16>(h));
        h = s.u32_mul(h, s.u32_splat(0x85eb_ca6b));
        h = s.u32_xor(h, s.u32_shr::<13>(h));
        h = s.u32_mul(h, s.u32_splat(0xc2b2_ae35));
        s.u32_xor(h, s.u32_shr::<16>(h))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state `[1, 2, 3, 4]`, worked by the authors' reference program.
    #[test]
    fn xoshiro128_plus_plus_known_answers() {
        let mut lanes = Lanes::from_state(Scalar, [1, 2, 3, 4]);
        let expected = [
            641, 1573767, 3222811527, 3517856514, 836907274, 4247214768, 3867114732, 1355841295,
            495546011, 621204420,
        ];
        for word in expected {
            assert_eq!(lanes.next(Scalar), word);
        }
    }

    #[test]
    fn a_state_of_zeros_is_replaced() {
        let mut lanes = Lanes::from_state(Scalar, [0; 4]);
        assert_eq!(lanes.state, [0, 0, 0, 1]);
        assert_ne!(lanes.next(Scalar), 0);
    }

    #[test]
    fn every_part_of_the_address_counts() {
        let address = PathAddress { seed: 1, stream: 2, path: 3 };
        let first = |address| PathWords::new(address).next_word();
        let mut words = [
            first(address),
            first(PathAddress { seed: 1 | 1 << 32, ..address }),
            first(PathAddress { stream: 2 | 1 << 32, ..address }),
            first(PathAddress { path: 3 | 1 << 32, ..address }),
            first(PathAddress { seed: 2, ..address }),
            first(PathAddress { stream: 3, ..address }),
            first(PathAddress { path: 4, ..address }),
        ];
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
