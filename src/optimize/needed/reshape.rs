//! Reshapes: which part of the operand is a part of the result.
//!
//! Axes of both shapes fall into groups of equal extent, the least ones that there are. An axis
//! that is a group of its own is passed through, whatever is cut of it. In another group the
//! needed elements are seen as one lattice over the flattened group: merging and splitting axes
//! (heads, batches) keeps rows and steps of them in sight.

use crate::graph::{Dim, Op};

use super::part::{Part, Window, gcd};
use super::rules::{Call, Step};

/// Rounds in which a lattice may grow until both shapes can say it.
const ROUNDS: usize = 8;

pub(super) fn reshape(call: &Call<'_>) -> Option<Step> {
    let part = call.want()?;
    let (from, to) = (call.shape(call.operand(0)?), call.result_shape()?);
    let mut needs = Part::whole(from.len());
    let mut gives = Part::whole(to.len());
    if !part.is_whole() {
        for (of, into) in groups(from, to)? {
            if let ([of], [into]) = (&of[..], &into[..]) {
                needs.0[*of].clone_from(&part.0[*into]);
                gives.0[*into].clone_from(&part.0[*into]);
                continue;
            }
            let Some((of_from, of_to)) = lattices(&of, from, &into, to, &part) else { continue };
            of.iter().zip(of_from).for_each(|(axis, window)| needs.0[*axis] = window);
            into.iter().zip(of_to).for_each(|(axis, window)| gives.0[*axis] = window);
        }
    }
    let op = Op::Reshape { shape: gives.shape(to) };
    Some(Step::of(call.node, op, |_, _| needs.clone(), &[gives]))
}

type Groups = Vec<(Vec<usize>, Vec<usize>)>;

/// Axes that are not one, in the least runs of equal products. `None` where there are none such.
fn groups(from: &[Dim], to: &[Dim]) -> Option<Groups> {
    let mut groups = Vec::new();
    let axes = |shape: &[Dim]| -> Vec<usize> {
        (0..shape.len()).filter(|axis| !shape[*axis].is(1)).collect()
    };
    let (of, into) = (axes(from), axes(to));
    let (mut i, mut j) = (0, 0);
    while i < of.len() && j < into.len() {
        let (first_i, first_j) = (i, j);
        let (mut left, mut right) = (from[of[i]].clone(), to[into[j]].clone());
        (i, j) = (i + 1, j + 1);
        while left != right {
            let shorter = match (left.fixed(), right.fixed()) {
                (Some(left), Some(right)) => left < right,
                _ => right.exact_div(&left).is_some(),
            };
            if shorter {
                left = left * from[*of.get(i)?].clone();
                i += 1;
            } else {
                right = right * to[*into.get(j)?].clone();
                j += 1;
            }
        }
        groups.push((of[first_i..i].to_vec(), into[first_j..j].to_vec()));
    }
    (i == of.len() && j == into.len()).then_some(groups)
}

/// A window for each of several axes, where one is cut.
type Windows = Vec<Option<Window>>;

/// Windows of the axes `of` and `into`, which hold the same elements, those of `part` among them.
fn lattices(
    of: &[usize],
    from: &[Dim],
    into: &[usize],
    to: &[Dim],
    part: &Part,
) -> Option<(Windows, Windows)> {
    let extents = |axes: &[usize], shape: &[Dim]| -> Option<Vec<i64>> {
        axes.iter().map(|axis| shape[*axis].fixed().filter(|n| *n > 0)).collect()
    };
    let (from, to) = (extents(of, from)?, extents(into, to)?);
    let wanted = into.iter().zip(&to).map(|(axis, n)| match &part.0[*axis] {
        None => Some(Lattice { start: 0, step: 1, len: *n }),
        Some(window) => {
            let (start, len) = (window.start.fixed()?, window.extent.fixed()?);
            (len > 0).then_some(Lattice { start, step: window.step, len })
        }
    });
    let mut lattice = flatten(&wanted.collect::<Option<Vec<_>>>()?, &to);
    for _ in 0..ROUNDS {
        let of_from = unflatten(lattice, &from);
        let on_from = flatten(&of_from, &from);
        let of_to = unflatten(on_from, &to);
        // What holds all of a lattice, and has as many elements, is the lattice.
        let len = |windows: &[Lattice]| windows.iter().map(|l| l.len).product::<i64>();
        if len(&of_from) == on_from.len && len(&of_to) == on_from.len {
            let windows = |lattices: &[Lattice], extents: &[i64]| {
                let window = |(l, n): (&Lattice, &i64)| {
                    Window::over(&Dim::Fixed(*n), l.start.into(), l.step, l.len.into())
                };
                lattices.iter().zip(extents).map(window).collect()
            };
            return Some((windows(&of_from, &from), windows(&of_to, &to)));
        }
        lattice = flatten(&of_to, &to);
    }
    None
}

/// A [`Window`] of fixed numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lattice {
    start: i64,
    step: i64,
    len: i64,
}

impl Lattice {
    fn last(self) -> i64 {
        self.start + (self.len - 1) * self.step
    }
}

/// The least lattice over the flattened axes that holds all elements under windows of each.
fn flatten(windows: &[Lattice], extents: &[i64]) -> Lattice {
    let mut outer = Lattice { start: 0, step: 1, len: 1 };
    for (inner, n) in windows.iter().zip(extents) {
        let (start, last) = (outer.start * n + inner.start, outer.last() * n + inner.last());
        let of = |lattice: &Lattice, step: i64| if lattice.len > 1 { step } else { 0 };
        let step = gcd(of(&outer, outer.step * n), of(inner, inner.step)).max(1);
        outer = Lattice { start, step, len: (last - start) / step + 1 };
    }
    outer
}

/// Windows of each axis that hold all elements of a lattice over the flattened axes.
fn unflatten(mut lattice: Lattice, extents: &[i64]) -> Vec<Lattice> {
    let mut windows = Vec::with_capacity(extents.len());
    for n in extents.iter().rev() {
        let Lattice { start, step, len } = lattice;
        let (first, last) = (start / n, lattice.last() / n);
        let one = Lattice { start: first, step: 1, len: 1 };
        let (outer, inner) = if first == last {
            (one, Lattice { start: start % n, step, len })
        } else if step % n == 0 {
            let outer = Lattice { start: first, step: step / n, len };
            (outer, Lattice { start: start % n, step: 1, len: 1 })
        } else {
            // Each row on the way has the same elements where the step divides it.
            let even = n % step == 0;
            let inner = Lattice { start: start % step, step, len: n / step };
            let all = Lattice { start: 0, step: 1, len: *n };
            let rows = Lattice { start: first, step: 1, len: last - first + 1 };
            (rows, if even { inner } else { all })
        };
        windows.push(inner);
        lattice = outer;
    }
    windows.reverse();
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window of each axis of the operand and of the result: start, step, extent.
    type Cuts = Vec<Option<(i64, i64, i64)>>;

    fn cuts(part: &[Option<Window>]) -> Cuts {
        let number = |dim: &Dim| dim.fixed().expect("fixed");
        let cut = |w: &Window| (number(&w.start), w.step, number(&w.extent));
        part.iter().map(|w| w.as_ref().map(cut)).collect()
    }

    fn through(from: &[i64], to: &[i64], part: &[Option<(i64, i64, i64)>]) -> (Cuts, Cuts) {
        let dims = |shape: &[i64]| shape.iter().map(|n| Dim::Fixed(*n)).collect::<Vec<_>>();
        let window = |(start, step, len): (i64, i64, i64)| Window {
            start: start.into(),
            step,
            extent: len.into(),
        };
        let part = Part(part.iter().map(|w| w.map(window)).collect());
        let axes = |n: usize| (0..n).collect::<Vec<_>>();
        let (of, into) = (axes(from.len()), axes(to.len()));
        let (a, b) = lattices(&of, &dims(from), &into, &dims(to), &part).expect("fixed");
        (cuts(&a), cuts(&b))
    }

    #[test]
    fn groups_are_the_least() {
        let dims = |shape: &[i64]| shape.iter().map(|n| Dim::Fixed(*n)).collect::<Vec<_>>();
        let found = groups(&dims(&[1, 6, 5, 8]), &dims(&[2, 3, 1, 5, 4, 2])).expect("there are");
        assert_eq!(found, [(vec![1], vec![0, 1]), (vec![2], vec![3]), (vec![3], vec![4, 5])]);
    }

    #[test]
    fn steps_are_kept_where_axes_are_merged_and_split() {
        // The last of 7 rows, each of 3 batches: merged, then split again.
        let last = Some((6, 1, 1));
        assert_eq!(
            through(&[21], &[3, 7], &[None, last]),
            (vec![Some((6, 7, 3))], vec![None, last])
        );
        let merged = through(&[3, 7], &[21], &[Some((6, 7, 3))]);
        assert_eq!(merged, (vec![None, last], vec![Some((6, 7, 3))]));
        // Two rows in each batch cannot be said of one axis.
        let two = through(&[21], &[3, 7], &[None, Some((5, 1, 2))]);
        assert_eq!(two, (vec![None], vec![None, None]));
        // One head of four, of features split into heads.
        let head = through(&[32], &[4, 8], &[Some((2, 1, 1)), None]);
        assert_eq!(head, (vec![Some((16, 1, 8))], vec![Some((2, 1, 1)), None]));
        let even = through(&[4, 8], &[32], &[Some((1, 2, 16))]);
        assert_eq!(even, (vec![None, Some((1, 2, 4))], vec![Some((1, 2, 16))]));
        // Boundaries that do not meet are passed by whole rows.
        let across = through(&[4, 6], &[3, 8], &[Some((1, 1, 1)), Some((0, 1, 2))]);
        assert_eq!(
            across,
            (vec![Some((1, 1, 1)), Some((2, 1, 2))], vec![Some((1, 1, 1)), Some((0, 1, 2))])
        );
    }

    /// Every window of every small shape: both parts hold the same elements, and what was wanted.
    #[test]
    fn parts_of_both_shapes_are_the_same_elements() {
        let elements = |cuts: &Cuts, shape: &[i64]| -> Vec<i64> {
            let mut all = vec![0];
            for (cut, n) in cuts.iter().zip(shape) {
                let (start, step, len) = cut.unwrap_or((0, 1, *n));
                let along = |outer: &i64| {
                    let first = outer * n + start;
                    (0..len).map(move |i| first + i * step)
                };
                all = all.iter().flat_map(along).collect();
            }
            all
        };
        let windows = |n: i64| {
            let each = move |start: i64| {
                (1..=n).flat_map(move |step| {
                    (1..=n)
                        .filter(move |len| start + (len - 1) * step < n)
                        .map(move |len| (start, step, len))
                })
            };
            (0..n).flat_map(each).collect::<Vec<_>>()
        };
        let shapes = [[2, 12], [3, 8], [4, 6], [6, 4], [8, 3], [24, 1], [1, 24]];
        for (from, to) in shapes.iter().flat_map(|from| shapes.iter().map(move |to| (from, to))) {
            for (a, b) in
                windows(to[0]).iter().flat_map(|a| windows(to[1]).into_iter().map(move |b| (*a, b)))
            {
                let (of, into) = through(from, to, &[Some(a), Some(b)]);
                let given = elements(&into, to);
                assert_eq!(elements(&of, from), given, "{from:?} {to:?} {a:?} {b:?}");
                let wanted = elements(&vec![Some(a), Some(b)], to);
                assert!(wanted.iter().all(|at| given.contains(at)), "{from:?} {to:?} {a:?} {b:?}");
            }
        }
    }
}
