//! Owen-scrambled Sobol points, found by address.
//!
//! Owns [`Sobol`], the points of a vector of paths, and the errors. Its one invariant: a word is a
//! function of seed, stream, path and dimension alone, by integer arithmetic, whatever the number
//! of dimensions or of paths. It must not know what the words are used for.

mod joe_kuo;
#[cfg(feature = "std")]
mod owned;
mod paths;
mod scramble;
#[cfg(test)]
mod tests;

use joe_kuo::{BITS, MAX_DIM, direction_numbers};
#[cfg(feature = "std")]
pub use owned::OwnedSobol;
pub use paths::SobolPaths;
use scramble::Key;

use super::paths::PathAddress;
use crate::kernels::{Scalar, Simd};

/// Bits of a point's number that the lanes of a vector differ in.
const LANE_BITS: usize = 8;
/// Paths that are numbered alike but for those bits.
const LANE_PATHS: u32 = 1 << LANE_BITS;

/// A Sobol sequence of up to 1,111 dimensions, scrambled anew for each seed and stream.
///
/// Its points are spread more evenly than random ones, so that the mean of a smooth function over
/// `n` of them is off by about `n^-1.5` instead of `n^-0.5`, while each point alone is uniform.
///
/// Path `p` is the point with the number `p % 2^32`, in the binary order of the sequence (no Gray
/// code): of paths that start at a multiple of a power of two, that many are a net. Coordinate `j`
/// of the point is the XOR of the direction numbers of the bits of its number, as a fraction of
/// `2^32`, and is scrambled by a key: the first three words of [`philox4x32_10`] with the counter
/// `[j, p / 2^32, stream low, stream high]` and, as its key, the halves of the seed XORed with
/// `0x7363_7261_6d62_6c65`. So after `2^32` paths the sequence starts again with an independent
/// scrambling. With these words `[a, b, _]`, `x` the bits of the coordinate in reverse order and
/// `f(x, c) = x ^ x * c`, the word is, in reverse order again,
/// `f(f((f(x, 0x3d20_adea) + a) * (b | 1), 0x0552_6c56), 0x53a2_2864)`: a nested uniform scrambling
/// in Owen's sense, by a hash.
///
/// It borrows the memory that it was made in and never changes it.
///
/// **Source**: Joe and Kuo, "Constructing Sobol sequences with better two-dimensional projections",
/// SIAM J. Sci. Comput. 30, 2008 (direction numbers, new-joe-kuo-6); Burley, "Practical hash-based
/// Owen scrambling", JCGT 9(4), 2020; the constants by Vegdahl, "Building a better LK hash", 2021.
///
/// # Examples
/// ```
/// use nowcast::sampling::{PathAddress, Sobol};
///
/// let mut storage = [0; Sobol::storage_len(2)];
/// let sobol = Sobol::new(2, &mut storage)?;
///
/// // In each dimension, one of sixteen neighbouring points lies in each sixteenth.
/// let mut seen = [0u32; 2];
/// for path in 32..48 {
///     for (index, seen) in seen.iter_mut().enumerate() {
///         let word = sobol.word(PathAddress { seed: 42, stream: 0, path }, index);
///         *seen |= 1 << (word >> 28);
///     }
/// }
/// assert_eq!(seen, [0xffff; 2]);
/// # Ok::<(), nowcast::sampling::SobolError>(())
/// ```
///
/// [`philox4x32_10`]: super::philox4x32_10
#[derive(Clone, Copy, Debug)]
pub struct Sobol<'a> {
    /// Of each dimension, bits reversed.
    numbers: &'a [[u32; BITS]],
}

impl<'a> Sobol<'a> {
    /// Dimensions that a sequence can have.
    pub const MAX_DIM: usize = MAX_DIM;

    /// Elements of storage for `dim` dimensions: 32 each.
    pub const fn storage_len(dim: usize) -> usize {
        dim.saturating_mul(BITS)
    }

    /// A sequence of `dim` dimensions. The first dimensions are the same in every sequence, and
    /// the best: give them to what matters most.
    ///
    /// **Shapes and units**: `storage` has at least [`storage_len`](Self::storage_len) elements.
    ///
    /// **Errors**: any [`SobolError`]; `storage` is unchanged.
    ///
    /// **Cost**: no allocation; about 100 operations for each dimension. A program that does not
    /// call it does not hold its table of 13 KB.
    pub fn new(dim: usize, storage: &'a mut [u32]) -> Result<Self, SobolError> {
        check_dim(dim)?;
        let (needed, got) = (Self::storage_len(dim), storage.len());
        let storage =
            storage.get_mut(..needed).ok_or(SobolError::StorageTooSmall { needed, got })?;
        for (index, numbers) in storage.as_chunks_mut().0.iter_mut().enumerate() {
            *numbers = direction_numbers(index);
        }
        Ok(Self::of(storage))
    }

    /// The sequence that lies in `storage`, all of it.
    fn of(storage: &'a [u32]) -> Self {
        Self { numbers: storage.as_chunks().0 }
    }

    /// Dimensions.
    pub fn dim(&self) -> usize {
        self.numbers.len()
    }

    /// Coordinate `index` of the point at `address`, as a fraction of `2^32`.
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    ///
    /// **Cost**: no allocation; one Philox block for the key and, beside that, a few operations for
    /// each bit of the point's number. Draws that fill memory make many words side by side.
    pub fn word(&self, address: PathAddress, index: usize) -> u32 {
        let points = Points::new(Scalar, address.path as u32, address.path as u32);
        self.words(Scalar, index, Key::new(address, index), &points)
    }

    /// The paths of these points from `first` on, for draws.
    pub fn paths(self, first: PathAddress) -> SobolPaths<'a> {
        SobolPaths::new(self, first)
    }

    /// Coordinate `index` of each point, scrambled by `key`, which is that of `index` in the block
    /// of the points.
    #[inline(always)]
    pub(super) fn words<S: Simd>(
        &self,
        s: S,
        index: usize,
        key: Key,
        points: &Points<S>,
    ) -> S::U32 {
        key.scramble(s, points.coordinates(s, &self.numbers[index]))
    }
}

/// Points of paths that are near each other, one in each lane.
///
/// Their numbers differ in the lowest bits, and where those wrap by one in what is above. So most
/// of a coordinate is the same in all lanes: the work grows with the number of ones in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Points<S: Simd> {
    /// Ones where a number has this bit.
    lowest: [S::U32; LANE_BITS],
    /// The other bits of the first number.
    above: u32,
    /// The bits in which a number that has wrapped differs there, ones where it has; zero where
    /// none has.
    carries: u32,
    wrapped: S::U32,
}

impl<S: Simd> Points<S> {
    /// The points with these numbers: each lies from `first` to `first + 255`, modulo `2^32`, in
    /// any order. Other numbers give any points, in their lanes alone.
    #[inline(always)]
    pub(super) fn new(s: S, first: u32, numbers: S::U32) -> Self {
        let lowest = [
            ones(s, numbers),
            ones(s, s.u32_shr::<1>(numbers)),
            ones(s, s.u32_shr::<2>(numbers)),
            ones(s, s.u32_shr::<3>(numbers)),
            ones(s, s.u32_shr::<4>(numbers)),
            ones(s, s.u32_shr::<5>(numbers)),
            ones(s, s.u32_shr::<6>(numbers)),
            ones(s, s.u32_shr::<7>(numbers)),
        ];
        let above = first / LANE_PATHS;
        let next = first.wrapping_add(LANE_PATHS) / LANE_PATHS;
        let differs = s.u32_xor(s.u32_shr::<{ LANE_BITS as u32 }>(numbers), s.u32_splat(above));
        let wrapped = ones(s, differs);
        let any = s.mask_any(s.u32_eq(wrapped, s.u32_splat(!0)));
        Self { lowest, above, carries: if any { above ^ next } else { 0 }, wrapped }
    }

    /// Coordinates by the direction numbers of a dimension, bits reversed like those.
    #[inline(always)]
    fn coordinates(&self, s: S, numbers: &[u32; BITS]) -> S::U32 {
        let mut x = s.u32_splat(sum(numbers, self.above));
        for (bit, number) in self.lowest.iter().zip(numbers) {
            x = s.u32_xor(x, s.u32_and(*bit, s.u32_splat(*number)));
        }
        if self.carries != 0 {
            let carried = s.u32_splat(sum(numbers, self.carries));
            x = s.u32_xor(x, s.u32_and(self.wrapped, carried));
        }
        x
    }
}

/// All bits as the lowest.
#[inline(always)]
fn ones<S: Simd>(s: S, x: S::U32) -> S::U32 {
    s.u32_sub(s.u32_splat(0), s.u32_and(x, s.u32_splat(1)))
}

/// The XOR of the direction numbers of the bits of `above`, which counts `LANE_PATHS`.
#[inline(always)]
fn sum(numbers: &[u32; BITS], mut above: u32) -> u32 {
    let mut sum = 0;
    while above != 0 {
        sum ^= numbers[LANE_BITS + above.trailing_zeros() as usize];
        above &= above - 1;
    }
    sum
}

fn check_dim(dim: usize) -> Result<(), SobolError> {
    match dim {
        0 => Err(SobolError::Empty),
        1..=MAX_DIM => Ok(()),
        _ => Err(SobolError::DimTooLarge { max: MAX_DIM, got: dim }),
    }
}

/// Why a Sobol sequence was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SobolError {
    /// There is no dimension.
    Empty,
    /// There are more dimensions than the table has.
    DimTooLarge {
        /// Dimensions of the table: [`Sobol::MAX_DIM`].
        max: usize,
        /// Dimensions asked for.
        got: usize,
    },
    /// `storage` is shorter than [`Sobol::storage_len`].
    StorageTooSmall {
        /// Elements needed.
        needed: usize,
        /// Elements given.
        got: usize,
    },
}

impl core::fmt::Display for SobolError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Empty => write!(f, "a Sobol sequence of no dimension"),
            Self::DimTooLarge { max, got } => {
                write!(f, "a Sobol sequence of {got} dimensions, {max} at most")
            }
            Self::StorageTooSmall { needed, got } => {
                write!(f, "storage of {got} elements, {needed} needed")
            }
        }
    }
}

impl core::error::Error for SobolError {}
