//! Philox4x32-10: a keyed bijection of 128 bits.
//!
//! Owns the rounds, for one counter or one in each lane. It must not know what counters mean.

use crate::kernels::{Scalar, Simd};

const ROUNDS: usize = 10;
const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
/// Added to the key between rounds: the golden ratio and the square root of three, less one.
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

/// Philox4x32-10 of one counter.
///
/// **Cost**: no allocation; ten rounds of two multiplications.
///
/// **Source**: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
/// SC 2011.
///
/// # Examples
/// ```
/// let words = nowcast::sampling::philox4x32_10([0; 4], [0; 2]);
/// assert_eq!(words, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
/// ```
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    philox(Scalar, counter, key)
}

/// Philox4x32-10 of one counter in each lane.
#[inline(always)]
pub(super) fn philox<S: Simd>(s: S, counter: [S::U32; 4], key: [u32; 2]) -> [S::U32; 4] {
    let [mut a, mut b, mut c, mut d] = counter;
    let [mut key_low, mut key_high] = key;
    for _ in 0..ROUNDS {
        let (high_a, low_a) = s.u32_mul_wide(a, s.u32_splat(MULTIPLIERS[0]));
        let (high_c, low_c) = s.u32_mul_wide(c, s.u32_splat(MULTIPLIERS[1]));
        a = s.u32_xor(s.u32_xor(high_c, b), s.u32_splat(key_low));
        b = low_c;
        c = s.u32_xor(s.u32_xor(high_a, d), s.u32_splat(key_high));
        d = low_a;
        key_low = key_low.wrapping_add(WEYL[0]);
        key_high = key_high.wrapping_add(WEYL[1]);
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that Random123 publishes (`tests/kat_vectors`).
    #[test]
    fn known_answers() {
        let cases = [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([!0; 4], [!0; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }
}
