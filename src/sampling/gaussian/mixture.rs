//! Drawing from mixtures.
//!
//! Owns the choice of a component for each path. Its invariant: a path of a mixture is the path of
//! its component at the same address, one word later.
//!
//! Paths come in chunks. Those of one component are drawn side by side, so that the lanes share a
//! factor, and then take their places: no more than the paths of a chunk are ever sorted.

use super::{Form, Gaussian};
use crate::kernels::{Level, Simd, Vectorized, dispatch};
use crate::sampling::draw::{Numbered, WIDTH};
use crate::sampling::real::Real;
use crate::sampling::source::{Source, Words};
use crate::sampling::tile::{Layout, Window};

/// Paths that are sorted together: many where vectors are long, few where memory is short. A path's
/// place among them is a byte.
const CHUNK: usize = 8 * WIDTH;

/// Component `index` of the mixture `whole`.
pub(super) fn component<'a, T: Real>(whole: &Gaussian<'a, T>, index: usize) -> Gaussian<'a, T> {
    let Form::Mixture { components, of } = whole.form else { return *whole };
    let (dim, form) = (whole.dim(), Form::from(of));
    let len = form.len(dim);
    let start = dim + 2 * components + index * len;
    Gaussian::of(form, dim, &whole.rest[start..][..len])
}

/// Draws from the mixture `whole` into `out`, which was checked.
pub(super) fn fill<T: Real, G: Source>(
    whole: &Gaussian<'_, T>,
    level: Level,
    source: G,
    mut out: Window<'_, T>,
) {
    let components = whole.weights().len();
    let cumulative = &whole.rest[whole.dim() + components..][..components];
    let mut first = 0;
    while first < out.paths() {
        let source = source.at(source.first().wrapping_add(first as u64));
        let together = G::together(source.first()).min(CHUNK as u64) as usize;
        let paths = (out.paths() - first).min(together);
        let mut out = out.part(first, paths);
        let mut words = [0; CHUNK];
        dispatch(level, FirstWords { source, words: &mut words[..paths] });
        let share = |word: u32| (f64::from(word) + 0.5) / 4_294_967_296.0;
        // Where each path comes to lie, sorted by component, and back.
        let (mut order, mut numbers) = ([0u8; CHUNK], [0; CHUNK]);
        let (mut drawn, mut chosen) = (0, [false; CHUNK]);
        for (index, &above) in cumulative.iter().enumerate() {
            let start = drawn;
            // The last one takes what is left, so that no number in a file leaves a path without.
            let (last, above) = (index + 1 == components, above.to_f64());
            let paths = words[..paths].iter().zip(&mut chosen).enumerate();
            for (path, (word, chosen)) in paths {
                if !*chosen && (share(*word) < above || last) {
                    *chosen = true;
                    order[drawn] = path as u8;
                    numbers[drawn] = source.first().wrapping_add(path as u64);
                    drawn += 1;
                }
            }
            if drawn > start {
                let numbers = &numbers[start..drawn];
                let from = Numbered { source, numbers, used: 1 };
                component(whole, index).fill(level, from, out.part(start, drawn - start));
            }
        }
        place(&mut order[..paths], &mut out);
        first += paths;
    }
}

/// Brings path `n` of `out` to place `order[n]`.
fn place<T: Real>(order: &mut [u8], out: &mut Window<'_, T>) {
    if out.layout() == Layout::ByDim {
        let mut sorted = [T::ZERO; CHUNK];
        for index in 0..out.dim() {
            let row = out.dimension(index);
            let sorted = &mut sorted[..row.len()];
            sorted.copy_from_slice(row);
            for (x, to) in sorted.iter().zip(&*order) {
                row[usize::from(*to)] = *x;
            }
        }
        return;
    }
    // Cycle by cycle: each exchange brings one path home.
    for at in 0..order.len() {
        while usize::from(order[at]) != at {
            let to = usize::from(order[at]);
            out.swap_paths(at, to);
            order.swap(at, to);
        }
    }
}

/// The first word of each path of a source.
struct FirstWords<'a, G> {
    source: G,
    words: &'a mut [u32],
}

impl<G: Source> Vectorized for FirstWords<'_, G> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let from = Numbered::all(self.source);
        let mut lanes = [0; WIDTH];
        for (at, to) in self.words.chunks_mut(S::LANES).enumerate() {
            let [mut words] = from.words::<S, 1>(s, at * S::LANES, to.len());
            s.u32_store(words.next(s), &mut lanes);
            to.copy_from_slice(&lanes[..to.len()]);
        }
    }
}
