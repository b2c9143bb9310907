//! The parameters of Sobol sequences by Joe and Kuo, and the direction numbers made of them.
//!
//! Owns the table and its format. Its one invariant: the direction numbers of a dimension are a
//! function of its index alone. It must not know how points are scrambled.
//!
//! `joe_kuo.bin`, which `joe_kuo.py` makes, has one record of 12 bytes, little-endian, for each
//! dimension after the first: the primitive polynomial in 14 bits, highest power first, then of
//! each initial number `m_1`, `m_2`, ... (odd, `m_i` below `2^i`) the `i - 1` bits above its
//! lowest. The first dimension has all `m_i = 1`.
//!
//! **Source**: Joe and Kuo, "Constructing Sobol sequences with better two-dimensional projections",
//! SIAM J. Sci. Comput. 30, 2008; their file new-joe-kuo-6, as far as polynomials of degree 13 go.
//! Its licence:
//!
//! ```text
//! Copyright (c) 2008, Frances Y. Kuo and Stephen Joe
//! All rights reserved.
//!
//! Redistribution and use in source and binary forms, with or without
//! modification, are permitted provided that the following conditions are met:
//!
//!     * Redistributions of source code must retain the above copyright
//!       notice, this list of conditions and the following disclaimer.
//!
//!     * Redistributions in binary form must reproduce the above copyright
//!       notice, this list of conditions and the following disclaimer in the
//!       documentation and/or other materials provided with the distribution.
//!
//!     * Neither the names of the copyright holders nor the names of the
//!       University of New South Wales and the University of Waikato
//!       and its contributors may be used to endorse or promote products derived
//!       from this software without specific prior written permission.
//!
//! THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS ``AS IS'' AND ANY
//! EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED
//! WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
//! DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDERS BE LIABLE FOR ANY
//! DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES
//! (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES;
//! LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND
//! ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT
//! (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS
//! SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
//! ```

/// Bits of a word, and of the number of a point.
pub(super) const BITS: usize = 32;
/// Of the polynomials in the table, at most.
const DEGREE: usize = 13;
const RECORD_BYTES: usize = 12;

static TABLE: &[[u8; RECORD_BYTES]] = include_bytes!("joe_kuo.bin").as_chunks().0;

/// Dimensions that the table has.
pub(super) const MAX_DIM: usize = 1 + include_bytes!("joe_kuo.bin").len() / RECORD_BYTES;

/// The direction numbers of dimension `index`, which is below [`MAX_DIM`]: what each bit of a
/// point's number contributes to its coordinate, with the bits reversed, so that the lowest is a
/// half.
pub(super) fn direction_numbers(index: usize) -> [u32; BITS] {
    let mut numbers = [0; BITS];
    let Some(record) = index.checked_sub(1).map(|record| TABLE[record]) else {
        for (k, number) in numbers.iter_mut().enumerate() {
            *number = 1 << k;
        }
        return numbers;
    };
    let [a, b, c, d, e, f, g, h, i, j, k, l] = record;
    let record = u128::from_le_bytes([a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0]);
    let polynomial = record as u32 & ((1 << (DEGREE + 1)) - 1);
    let degree = polynomial.ilog2() as usize;
    let mut rest = record >> (DEGREE + 1);
    for (k, number) in numbers[..degree].iter_mut().enumerate() {
        let m = (rest as u32 & ((1 << k) - 1)) << 1 | 1;
        rest >>= k;
        *number = m.reverse_bits() >> (BITS - 1 - k);
    }
    for k in degree..BITS {
        let mut number = numbers[k - degree] ^ numbers[k - degree] << degree;
        for back in 1..degree {
            if polynomial >> (degree - back) & 1 == 1 {
                number ^= numbers[k - back];
            }
        }
        numbers[k] = number;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a of the direction numbers that SciPy 1.17 works with, of all dimensions in turn.
    #[test]
    fn all_direction_numbers_are_scipys() {
        let numbers = (0..MAX_DIM).flat_map(direction_numbers);
        let bytes = numbers.flat_map(|number| number.reverse_bits().to_le_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!((MAX_DIM, hash), (1111, 0xf6cd_5ecb_7ac7_27f0), "{hash:#018x}");
    }

    /// The last record is full: 14 + 78 bits, then zeros.
    #[test]
    fn records_end_in_zeros() {
        assert!(TABLE.iter().all(|record| record[RECORD_BYTES - 1] >> 4 == 0));
    }
}
