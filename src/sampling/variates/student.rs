//! Student's t distribution with any degrees of freedom, by inversion.
//!
//! Owns [`StudentT`] and the arithmetic of its draws, all in `f64`; `f32` is the result rounded.
//!
//! With `nu` degrees of freedom and `t` the magnitude of a variate, beyond which on either side
//! together the probability is `q`:
//! - `e = -ln q` is worked out from the word, with a logarithm that is exact at both ends;
//! - `r = sqrt(nu ln(1 + t^2 / nu))` is a smooth function of `e` for every `nu`: near zero
//!   proportional to it, far out `sqrt(2 e)`. `r / e` is a polynomial of degree 7 on each of sixteen
//!   parts of each octave of `1 + e / floor`, in a table that is made at set-up;
//! - `t = sqrt(nu (exp(r^2 / nu) - 1))`.
//!
//! The exponential makes of a relative error of `r` that of `t`: as large where `t` is small,
//! `2 e / nu` times as large in the tail.

mod make;

use super::error::VariateError;
use super::fill::Variate;
use super::logarithm::minus_log64;
use super::{drawn, power, top_bit, widened, within};
use crate::kernels::{Level, Simd};
use crate::sampling::error::DrawError;
use crate::sampling::real::Real;
use crate::sampling::source::{Source, Words};
use crate::sampling::tile::Layout;
use make::Exact;

/// Coefficients of a row of the table.
const COEFFICIENTS: usize = 8;
type Row = [f64; COEFFICIENTS];
/// Binary logarithm of the rows of an octave.
const OCTAVE_BITS: u32 = 4;
/// Above `-ln q` of every word: the smallest `q` is `2^-64`.
const FURTHEST: f64 = 44.5;

/// Student's t distribution, ready to draw from.
///
/// It borrows the memory that it was made in and never changes it. A location and a scale are the
/// caller's: `location + scale * t`.
///
/// # Examples
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::{PathAddress, StudentT};
///
/// let mut storage = [0.0; StudentT::len(3.5)];
/// let student = StudentT::new(3.5, &mut storage)?;
/// assert!((student.quantile(0.975) - 2.940_088_637_982_7).abs() < 1e-12);
///
/// let mut paths = [0.0f32; 1000 * 2];
/// student.draw(Level::detect(), PathAddress { seed: 42, stream: 0, path: 0 }, 2, &mut paths)?;
/// let beyond = paths.iter().filter(|t| t.abs() > 2.940_089).count();
/// assert!((60..140).contains(&beyond));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StudentT<'a> {
    freedom: f64,
    /// `1 / floor`.
    per_floor: f64,
    rows: &'a [Row],
}

impl StudentT<'_> {
    /// The fewest degrees of freedom: of fewer, about half of all variates are beyond the range of
    /// `f64`.
    pub const LEAST_FREEDOM: f64 = 1e-3;
    /// More degrees of freedom than this make no difference.
    const MOST_FREEDOM: f64 = 1e100;

    /// Elements of storage: 824 for one degree of freedom and more, up to 2104 for less. None for
    /// what is no number of degrees of freedom.
    pub const fn len(freedom: f64) -> usize {
        if !(freedom >= Self::LEAST_FREEDOM && freedom < f64::INFINITY) {
            return 0;
        }
        COEFFICIENTS * (row(1.0 + FURTHEST / floor(freedom)) + 1)
    }
}

/// The number of the row of `1 + e / floor`.
const fn row(place: f64) -> usize {
    ((place.to_bits() >> (52 - OCTAVE_BITS)) - FIRST_ROW) as usize
}

/// What [`row`] takes off the bits.
const FIRST_ROW: u64 = 1023 << OCTAVE_BITS;

/// Where rows begin to be as wide as their distance from zero demands: a power of two from a
/// quarter to half of the degrees of freedom, and no more than a half.
const fn floor(freedom: f64) -> f64 {
    let exponent = (freedom.to_bits() >> 52) as i32 - 1023;
    power(if exponent < 0 { exponent } else { 0 } - 1)
}

impl<'a> StudentT<'a> {
    /// The distribution with `freedom` degrees of freedom, which may be any real number from
    /// [`LEAST_FREEDOM`](Self::LEAST_FREEDOM) on.
    ///
    /// **Shapes and units**: `storage` has at least [`len`](Self::len) elements.
    ///
    /// **Errors**: [`VariateError::Freedom`], [`VariateError::StorageTooSmall`]; `storage` is
    /// unchanged.
    ///
    /// **Cost**: no allocation; about a thousand quantiles, some milliseconds.
    ///
    /// **Source**: DiDonato and Morris, "Algorithm 708: significant digit computation of the
    /// incomplete beta function ratios", ACM Transactions on Mathematical Software 18(3), 1992: its
    /// continued fraction, and its power series.
    pub fn new(freedom: f64, storage: &'a mut [f64]) -> Result<Self, VariateError> {
        let (needed, got) = (Self::len(freedom), storage.len());
        if needed == 0 {
            return Err(VariateError::Freedom { value: freedom });
        }
        let storage =
            storage.get_mut(..needed).ok_or(VariateError::StorageTooSmall { needed, got })?;
        let freedom = freedom.min(Self::MOST_FREEDOM);
        let floor = floor(freedom);
        let rows = storage.as_chunks_mut::<COEFFICIENTS>().0;
        make::fill(&Exact::new(freedom), floor, rows);
        Ok(Self { freedom, per_floor: 1.0 / floor, rows })
    }

    /// The degrees of freedom.
    pub fn freedom(&self) -> f64 {
        self.freedom
    }

    /// The value below which a variate falls with probability `p`: without the table, for any `p`.
    ///
    /// Zero and one give the infinities, what is no probability NaN.
    ///
    /// **Cost**: no allocation; some microseconds.
    pub fn quantile(&self, p: f64) -> f64 {
        Exact::new(self.freedom).quantile(p)
    }

    /// Draws independent variates: of each word the quantile at the probability below its normal
    /// (see the [module](crate::sampling)), with all bits of its second word.
    ///
    /// The relative error of `t` is below `2e-15 (1 + (1 + 2 e) / nu)`, where `e`, at most 44.4, is
    /// the logarithm of one over the probability beyond `t` on both sides together; of `f32` that of
    /// its rounding besides. What is beyond the range of the element type is infinite.
    ///
    /// **Shapes and units**: `out` is `[paths, dim]`, row-major, as many paths as fit; row `n` is
    /// the path of `source` that is `n` behind its first.
    ///
    /// **Errors**: [`DrawError::NotWholePaths`], [`DrawError::TooManyWords`]; `out` is unchanged.
    ///
    /// **Cost**: no allocation; at most 9 KiB of stack; for each variate one word, a row of the
    /// table, a logarithm, an exponential and a square root.
    pub fn draw<T: Real>(
        &self,
        level: Level,
        source: impl Source,
        dim: usize,
        out: &mut [T],
    ) -> Result<(), DrawError> {
        drawn(level, source, *self, dim, Layout::ByPath, out)
    }

    /// Draws the paths of [`draw`](Self::draw), dimension after dimension.
    ///
    /// **Shapes and units**: `out` is `[dim, paths]`, row-major, as many paths as fit.
    ///
    /// **Errors**, **Cost**: as there.
    pub fn draw_transposed<T: Real>(
        &self,
        level: Level,
        source: impl Source,
        dim: usize,
        out: &mut [T],
    ) -> Result<(), DrawError> {
        drawn(level, source, *self, dim, Layout::ByDim, out)
    }

    /// `r` of `e`.
    #[inline(always)]
    fn root<S: Simd>(&self, s: S, e: S::F64) -> S::F64 {
        let place = s.f64_mul_add(e, s.f64_splat(self.per_floor), s.f64_splat(1.0));
        let bits = s.f64_to_bits(place);
        let row = s.u64_sub(s.u64_shr::<{ 52 - OCTAVE_BITS }>(bits), s.u64_splat(FIRST_ROW));
        // In [1, 2): where it is in its row.
        let within = s.u64_and(s.u64_shl::<OCTAVE_BITS>(bits), s.u64_splat((1 << 52) - 1));
        let x = s.f64_from_bits(s.u64_or(within, s.u64_splat(1.0f64.to_bits())));
        let x = s.f64_sub(x, s.f64_splat(1.5));
        let columns = self.columns(s, row);
        let coefficient = |at: usize| &columns[at * S::F64_LANES..];
        let mut ratio = s.f64_load(coefficient(COEFFICIENTS - 1));
        for at in (0..COEFFICIENTS - 1).rev() {
            ratio = s.f64_mul_add(ratio, x, s.f64_load(coefficient(at)));
        }
        s.f64_mul(e, ratio)
    }

    /// The rows of the lanes, by coefficient.
    #[inline(always)]
    fn columns<S: Simd>(&self, s: S, rows: S::U64) -> [f64; 8 * COEFFICIENTS] {
        let (mut numbers, mut columns) = ([0; 8], [0.0; 8 * COEFFICIENTS]);
        s.u64_store(rows, &mut numbers);
        let lanes = S::F64_LANES;
        if lanes < 4 {
            for (lane, number) in numbers[..lanes].iter().enumerate() {
                for (at, c) in self.rows[*number as usize].iter().enumerate() {
                    columns[at * lanes + lane] = *c;
                }
            }
            return columns;
        }
        let mut together = [0.0; 8 * COEFFICIENTS];
        let to = together.as_chunks_mut::<COEFFICIENTS>().0;
        for (to, number) in to.iter_mut().zip(&numbers[..lanes]) {
            *to = self.rows[*number as usize];
        }
        for lane in (0..lanes).step_by(4) {
            for at in (0..COEFFICIENTS).step_by(4) {
                let from = &together[lane * COEFFICIENTS + at..];
                s.f64_transpose4(from, COEFFICIENTS, &mut columns[at * lanes + lane..], lanes);
            }
        }
        columns
    }

    /// `t` of `r`.
    #[inline(always)]
    fn magnitude<S: Simd>(&self, s: S, r: S::F64) -> S::F64 {
        // Of more than this, the root of the exponential is infinite.
        const MOST: f64 = 1500.0;
        const LN_2_HIGH: f64 = f64::from_bits(core::f64::consts::LN_2.to_bits() & !0xffff_ffff);
        let y = s.f64_mul(s.f64_mul(r, r), s.f64_splat(1.0 / self.freedom));
        let y = s.f64_min(y, s.f64_splat(MOST));
        let twos = s.f64_round(s.f64_mul(y, s.f64_splat(core::f64::consts::LOG2_E)));
        let f = s.f64_neg_mul_add(twos, s.f64_splat(LN_2_HIGH), y);
        let f = s.f64_neg_mul_add(twos, s.f64_splat(LN_2_LOW), f);
        let [rest @ .., last] = &EXPONENTIAL;
        let mut p = s.f64_splat(*last);
        for c in rest.iter().rev() {
            p = s.f64_mul_add(p, f, s.f64_splat(*c));
        }
        let p = s.f64_mul_add(s.f64_mul(f, f), p, f);
        // `2^twos (1 + p) - 1` is `4^even 2^odd` of which `1 + p` less `2^-twos`.
        let twos = s.f64_to_u64(twos);
        let (even, odd) = (s.u64_shr::<1>(twos), s.u64_and(twos, s.u64_splat(1)));
        let less = s.f64_min(s.u64_to_f64(twos), s.f64_splat(1000.0));
        let less = exponent(s, s.u64_sub(s.u64_splat(1023), s.f64_to_u64(less)));
        let p = s.f64_add(p, s.f64_sub(s.f64_splat(1.0), less));
        let odd = exponent(s, s.u64_add(s.u64_splat(1023), odd));
        let even = s.f64_min(s.u64_to_f64(even), s.f64_splat(1024.0));
        let even = exponent(s, s.u64_add(s.u64_splat(1023), s.f64_to_u64(even)));
        let root = s.f64_sqrt(s.f64_mul(s.f64_mul(p, odd), s.f64_splat(self.freedom)));
        s.f64_mul(root, even)
    }
}

/// The number with this exponent, biased.
#[inline(always)]
fn exponent<S: Simd>(s: S, biased: S::U64) -> S::F64 {
    s.f64_from_bits(s.u64_shl::<52>(biased))
}

/// What the upper half of the bits of the logarithm of two leaves, rounded.
const LN_2_LOW: f64 = 4.749_325_039_031_672e-7;
/// `(exp(f) - 1 - f) / f^2`, ascending: near-minimax between minus and plus 0.3475 (Chebyshev
/// interpolation with 40 digits, mpmath), then rounded. Relative error of `exp(f) - 1` of the exact
/// polynomial: 1e-18.
const EXPONENTIAL: [f64; 11] = [
    0.5,
    0.166_666_666_666_666_67,
    0.041_666_666_666_666_664,
    0.008_333_333_333_329_994,
    0.001_388_888_888_888_650_4,
    0.000_198_412_698_633_922_13,
    2.480_158_731_738_63e-5,
    2.755_726_793_523_192_7e-6,
    2.755_728_259_480_407e-7,
    2.510_063_446_187_849_7e-8,
    2.091_141_442_195_665_6e-9,
];

impl Variate for StudentT<'_> {
    #[inline(always)]
    fn next<S: Simd, T: Real>(&self, s: S, words: &mut impl Words<S>) -> T::Vector<S> {
        let word = words.next(s);
        let second = words.second(s);
        let negative = top_bit(s, word);
        let magnitude = s.u32_xor(word, negative);
        let tail = s.u32_xor(magnitude, s.u32_splat(u32::MAX >> 1));
        let (inner, tail) = (widened(s, magnitude), widened(s, tail));
        let complement = widened(s, s.u32_xor(second, s.u32_splat(u32::MAX)));
        let (second, signs) = (widened(s, second), widened(s, negative));
        let mut t = [s.f64_splat(0.0); 2];
        for half in 0..S::LANES / S::F64_LANES {
            let q = within(s, tail[half], second[half], power(-31));
            let rest = within(s, inner[half], complement[half], power(-31));
            let magnitude = self.magnitude(s, self.root(s, minus_log64(s, q, rest)));
            let sign = s.f64_from_bits(s.u64_shl::<32>(signs[half]));
            t[half] = s.f64_copysign(magnitude, sign);
        }
        T::rounded(s, t)
    }
}

#[cfg(test)]
mod tests;
