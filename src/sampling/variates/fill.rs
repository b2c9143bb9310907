//! The loop that makes paths of variates.

use crate::kernels::{Level, Simd, Vectorized, dispatch};
use crate::sampling::draw::{BLOCK, Numbered};
use crate::sampling::real::Real;
use crate::sampling::room::Room;
use crate::sampling::source::{Source, Words};
use crate::sampling::tile::Window;

/// A variate that is made from one word.
pub(super) trait Variate: Copy {
    /// One for each path, from its next word (and the second that goes with it).
    fn next<S: Simd, T: Real>(&self, s: S, words: &mut impl Words<S>) -> T::Vector<S>;
}

/// Draws variates into `out`, which was checked.
pub(super) fn fill<T: Real>(
    level: Level,
    source: impl Source,
    variate: impl Variate,
    out: Window<'_, T>,
) {
    dispatch(level, Fill { source, variate, out });
}

struct Fill<'a, T, G, V> {
    source: G,
    variate: V,
    out: Window<'a, T>,
}

impl<T: Real, G: Source, V: Variate> Vectorized for Fill<'_, T, G, V> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { source, variate, mut out } = self;
        let (from, dim) = (Numbered::all(source), out.dim());
        let (mut room, width) = (Room::NEW, S::LANES);
        let tile = room.zeros(dim.min(BLOCK) * width);
        let mut first = 0;
        while first < out.paths() {
            let paths = from.together(first, (out.paths() - first).min(width));
            let [mut words] = from.words::<S, 1>(s, first, paths);
            let mut group = out.part(first, paths);
            for start in (0..dim).step_by(BLOCK) {
                let tile = &mut tile[..BLOCK.min(dim - start) * width];
                for row in tile.chunks_exact_mut(width) {
                    T::store(s, variate.next::<S, T>(s, &mut words), row);
                }
                group.write(s, tile, width, start);
            }
            first += paths;
        }
    }
}
