//! Where the words of paths come from.
//!
//! Owns [`Source`], the one interface of generators to draws, and the sources that need no memory.
//! Its invariant: what a path is given depends on its number alone, not on its neighbours.

use super::paths::{Lanes, PathAddress};
use crate::kernels::Simd;

/// Numbered paths of random words: what a draw is made from.
///
/// - [`PathAddress`]: independent paths.
/// - [`Antithetic`]: pairs of paths that mirror each other.
/// - [`SobolPaths`](super::SobolPaths): points that fill the cube evenly.
///
/// A path is a function of its number, so any block of a draw can be made alone.
pub trait Source: Generator {}

impl<T: Generator> Source for T {}

/// What a draw asks of a source. Nobody outside can name this trait.
pub trait Generator: Copy {
    /// The generators of `S::LANES` paths.
    type Words<S: Simd>: Words<S>;

    /// The number of the first path.
    fn first(&self) -> u64;
    /// The same paths, from another number on.
    fn at(self, first: u64) -> Self;
    /// How many paths from this number on may share a vector, or 256 paths of a mixture.
    #[inline(always)]
    fn together(_number: u64) -> u64 {
        u64::MAX
    }
    /// Words of a path at most.
    fn most_words(&self) -> usize {
        usize::MAX
    }
    /// The generators of the paths whose numbers have these halves. They ascend from the first
    /// lane, by less than 256 and within what may be [together](Self::together); lanes in which they
    /// do not, nobody looks at.
    fn words<S: Simd>(&self, s: S, low: S::U32, high: S::U32) -> Self::Words<S>;
}

/// The words of `S::LANES` paths, one after the other.
pub trait Words<S: Simd>: Copy {
    /// The next word of each path.
    fn next(&mut self, s: S) -> S::U32;
    /// 32 more bits below the last word, beside the sequence: asking for them or not changes no
    /// later word.
    fn second(&self, s: S) -> S::U32;
}

impl Generator for PathAddress {
    type Words<S: Simd> = Lanes<S>;

    #[inline(always)]
    fn first(&self) -> u64 {
        self.path
    }

    #[inline(always)]
    fn at(self, path: u64) -> Self {
        Self { path, ..self }
    }

    #[inline(always)]
    fn words<S: Simd>(&self, s: S, low: S::U32, high: S::U32) -> Lanes<S> {
        Lanes::new(s, *self, low, high)
    }
}

impl<S: Simd> Words<S> for Lanes<S> {
    #[inline(always)]
    fn next(&mut self, s: S) -> S::U32 {
        Self::next(self, s)
    }

    #[inline(always)]
    fn second(&self, s: S) -> S::U32 {
        Self::second(self, s)
    }
}

/// Pairs of paths that mirror each other: path `2n + 1` has the words of path `2n`, with every
/// bit flipped, so its normals are those of path `2n` with the other sign. Path `2n` is the path of
/// the same number of [`PathAddress`].
///
/// The mean over a whole number of pairs is exact for whatever is linear in the normals, and has a
/// smaller variance for whatever is monotone in each of them.
///
/// **Source**: Hammersley and Morton, "A new Monte Carlo technique: antithetic variates",
/// Mathematical Proceedings of the Cambridge Philosophical Society 52(3), 1956.
///
/// # Examples
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::{Antithetic, PathAddress, standard_normals};
///
/// let first = Antithetic(PathAddress { seed: 42, stream: 0, path: 0 });
/// let mut out = [0.0f32; 2 * 3];
/// standard_normals(Level::detect(), first, 3, &mut out)?;
/// assert_eq!(out[..3], [-out[3], -out[4], -out[5]]);
/// # Ok::<(), nowcast::sampling::DrawError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Antithetic(
    /// The first path, which may be the second of a pair.
    pub PathAddress,
);

impl Generator for Antithetic {
    type Words<S: Simd> = Mirrored<S>;

    #[inline(always)]
    fn first(&self) -> u64 {
        self.0.path
    }

    #[inline(always)]
    fn at(self, first: u64) -> Self {
        Self(self.0.at(first))
    }

    #[inline(always)]
    fn words<S: Simd>(&self, s: S, low: S::U32, high: S::U32) -> Mirrored<S> {
        let one = s.u32_splat(1);
        let odd = s.u32_and(low, one);
        let even = s.u32_xor(low, odd);
        // All ones from one, zeros from zero.
        let flip = s.u32_sub(s.u32_splat(0), odd);
        Mirrored { lanes: Lanes::new(s, self.0, even, high), flip }
    }
}

/// The generators of paths, some of which have their bits flipped.
#[derive(Clone, Copy, Debug)]
pub struct Mirrored<S: Simd> {
    lanes: Lanes<S>,
    flip: S::U32,
}

impl<S: Simd> Words<S> for Mirrored<S> {
    #[inline(always)]
    fn next(&mut self, s: S) -> S::U32 {
        s.u32_xor(self.lanes.next(s), self.flip)
    }

    /// As it is: it is a distance from the middle of the word on either side.
    #[inline(always)]
    fn second(&self, s: S) -> S::U32 {
        self.lanes.second(s)
    }
}
