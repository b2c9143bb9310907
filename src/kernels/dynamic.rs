//! Results whose size depends on the data: each says how many elements it has written.

use core::cmp::Ordering;

use super::number::Number;

/// Writes the positions of elements that are not zero, in row-major order: `positions` becomes
/// `[rank, found]`, one column a position. Returns `found`. NaN is not zero.
///
/// **Shapes and units**: `x` has the product of `shape` elements, `positions` room for `rank` as
/// many.
///
/// **Panics**: if a slice is shorter than its shape.
///
/// **Cost**: two passes over `x`.
pub fn non_zero<T: Number>(shape: &[usize], x: &[T], positions: &mut [i64]) -> usize {
    let zero = T::default();
    let found = x.iter().filter(|v| **v != zero).count();
    let places = x.iter().enumerate().filter(|(_, v)| **v != zero).map(|(i, _)| i);
    for (column, place) in places.enumerate() {
        let mut rest = place;
        for (axis, extent) in shape.iter().enumerate().rev() {
            positions[axis * found + column] = (rest % extent) as i64;
            rest /= extent;
        }
    }
    found
}

/// Numbers in their order; NaN behind all others, and equal to itself.
fn order<T: Number>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Where the results of [`unique`] go.
pub struct UniqueOut<'a, T> {
    /// The distinct slices: becomes `[outer, found, inner]`.
    pub values: &'a mut [T],
    /// Where each first occurs: `[found]`.
    pub first: &'a mut [i64],
    /// Which of them each slice is: `[axis]`.
    pub inverse: &'a mut [i64],
    /// How often each occurs: `[found]`.
    pub counts: &'a mut [i64],
}

/// Finds the distinct slices along the middle axis, in ascending order or in that of their first
/// occurrence. Returns how many there are.
///
/// **Shapes and units**: `x` is `[outer, axis, inner]`; `scratch` has room for two numbers a
/// slice, each result for as many as there are slices.
///
/// **Panics**: if a slice is shorter than its shape.
///
/// **Cost**: a sort of the slices.
pub fn unique<T: Number>(
    [outer, axis, inner]: [usize; 3],
    sorted: bool,
    x: &[T],
    scratch: &mut [u32],
    out: UniqueOut<'_, T>,
) -> usize {
    // Slices without elements are all equal; no loop runs over them.
    let outer = if inner == 0 { 0 } else { outer };
    let (order_of, group_at) = scratch.split_at_mut(axis);
    let element = |o: usize, i: u32, k: usize| x[(o * axis + i as usize) * inner + k];
    let compare = |a: u32, b: u32| {
        let mut elements = (0..outer).flat_map(|o| (0..inner).map(move |k| (o, k)));
        let differs = elements.find_map(|(o, k)| {
            let ordering = order(element(o, a, k), element(o, b, k));
            (ordering != Ordering::Equal).then_some(ordering)
        });
        differs.unwrap_or(Ordering::Equal)
    };
    for (i, slot) in order_of.iter_mut().enumerate() {
        *slot = i as u32;
    }
    // Equal slices stand in the order in which they occur.
    order_of.sort_unstable_by(|a, b| compare(*a, *b).then(a.cmp(b)));
    let mut found = 0;
    for at in 0..axis {
        if at == 0 || compare(order_of[at - 1], order_of[at]) != Ordering::Equal {
            group_at[found] = at as u32;
            found += 1;
        }
    }
    // From here on `group_at` lists the groups in the order of the results.
    let groups = &mut group_at[..found];
    if !sorted {
        groups.sort_unstable_by_key(|at| order_of[*at as usize]);
    }
    for (result, at) in groups.iter().enumerate() {
        let start = *at as usize;
        let first = order_of[start];
        let same = order_of[start..].iter().take_while(|i| compare(first, **i) == Ordering::Equal);
        let mut times = 0;
        for i in same {
            out.inverse[*i as usize] = result as i64;
            times += 1;
        }
        out.first[result] = i64::from(first);
        out.counts[result] = times;
        for o in 0..outer {
            for k in 0..inner {
                out.values[(o * found + result) * inner + k] = element(o, first, k);
            }
        }
    }
    found
}

/// How boxes are suppressed.
#[derive(Clone, Copy, Debug)]
pub struct Suppression {
    /// Most boxes of each class of each batch.
    pub most: usize,
    /// A box that overlaps a better one by more is dropped: intersection over union.
    pub iou_threshold: f32,
    /// Boxes that score no more are not looked at.
    pub score_threshold: Option<f32>,
    /// Boxes are centre and size, else two opposite corners.
    pub centred: bool,
}

/// Two opposite corners, the lower one first: `[y1, x1, y2, x2]`.
fn corners(rule: &Suppression, b: &[f32]) -> [f32; 4] {
    if rule.centred {
        // x, y, width, height.
        let (w, h) = (b[2] / 2.0, b[3] / 2.0);
        return [b[1] - h, b[0] - w, b[1] + h, b[0] + w];
    }
    [b[0].min(b[2]), b[1].min(b[3]), b[0].max(b[2]), b[1].max(b[3])]
}

/// Intersection over union; zero where there is none.
fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let high = a[2].min(b[2]) - a[0].max(b[0]);
    let wide = a[3].min(b[3]) - a[1].max(b[1]);
    let area = |c: [f32; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    let both = high.max(0.0) * wide.max(0.0);
    let either = area(a) + area(b) - both;
    if both <= 0.0 || either <= 0.0 { 0.0 } else { both / either }
}

/// Selects boxes, the best first, and drops those that a selected one of the same class covers.
/// Writes `[batch, class, box]` for each; returns how many. Of equal scores the first box is the
/// better one. Stops where `selected` is full.
///
/// **Shapes and units**: `boxes` is `[batches, boxes, 4]`, `scores` `[batches, classes, boxes]`,
/// `scratch` `[2, boxes]`, `selected` three numbers a box.
///
/// **Panics**: if a slice is shorter than its shape.
///
/// **Cost**: for each class a sort of its boxes and one comparison for each pair of a box and a
/// selected one.
pub fn suppress(
    rule: &Suppression,
    [batches, classes, boxes_len]: [usize; 3],
    boxes: &[f32],
    scores: &[f32],
    scratch: &mut [u32],
    selected: &mut [i64],
) -> usize {
    if boxes_len == 0 {
        // Nothing bounds the number of batches and classes then.
        return 0;
    }
    let (order_of, chosen) = scratch.split_at_mut(boxes_len);
    let mut rows = selected.chunks_exact_mut(3);
    let mut found = 0;
    for batch in 0..batches {
        for class in 0..classes {
            let scores = &scores[(batch * classes + class) * boxes_len..][..boxes_len];
            let boxes = &boxes[batch * boxes_len * 4..][..boxes_len * 4];
            let at = |i: u32| corners(rule, &boxes[i as usize * 4..][..4]);
            let mut candidates = 0;
            for (i, score) in scores.iter().enumerate() {
                if rule.score_threshold.is_none_or(|threshold| *score > threshold) {
                    order_of[candidates] = i as u32;
                    candidates += 1;
                }
            }
            let candidates = &mut order_of[..candidates];
            let score = |i: u32| scores[i as usize];
            candidates.sort_unstable_by(|a, b| order(score(*b), score(*a)).then(a.cmp(b)));
            let mut taken = 0;
            for candidate in candidates.iter() {
                if taken == rule.most.min(boxes_len) {
                    break;
                }
                let this = at(*candidate);
                let covers = |i: &u32| overlap(at(*i), this) > rule.iou_threshold;
                if chosen[..taken].iter().any(covers) {
                    continue;
                }
                let Some(row) = rows.next() else { return found };
                row.copy_from_slice(&[batch as i64, class as i64, i64::from(*candidate)]);
                chosen[taken] = *candidate;
                taken += 1;
                found += 1;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lie_in_columns() {
        let mut positions = [0; 8];
        let x = [1.0f32, 0.0, f32::NAN, -0.0];
        assert_eq!(non_zero(&[2, 2], &x, &mut positions), 2);
        assert_eq!(positions[..4], [0, 1, 0, 0]);
        assert_eq!(non_zero::<f32>(&[0, 2], &[], &mut []), 0);
    }

    fn distinct(sorted: bool, x: &[f32]) -> (Vec<f32>, Vec<i64>, Vec<i64>, Vec<i64>) {
        let n = x.len();
        let (mut values, mut scratch) = (vec![0.0; n], vec![0; 2 * n]);
        let [mut first, mut inverse, mut counts] = [(); 3].map(|()| vec![0; n]);
        let out = UniqueOut {
            values: &mut values,
            first: &mut first,
            inverse: &mut inverse,
            counts: &mut counts,
        };
        let found = unique([1, n, 1], sorted, x, &mut scratch, out);
        for list in [&mut first, &mut counts] {
            list.truncate(found);
        }
        values.truncate(found);
        (values, first, inverse, counts)
    }

    #[test]
    fn slices_are_distinct() {
        let x = [2.0, 1.0, 1.0, 3.0, 4.0, 3.0];
        let (values, first, inverse, counts) = distinct(true, &x);
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!((first, inverse), (vec![1, 0, 3, 4], vec![1, 0, 0, 2, 3, 2]));
        assert_eq!(counts, [2, 1, 2, 1]);
        let (values, first, inverse, _) = distinct(false, &x);
        assert_eq!(values, [2.0, 1.0, 3.0, 4.0]);
        assert_eq!((first, inverse), (vec![0, 1, 3, 4], vec![0, 1, 1, 2, 3, 2]));
        let nan = f32::NAN;
        let (values, first, _, counts) = distinct(true, &[nan, 1.0, nan]);
        assert!(values[0] == 1.0 && values[1].is_nan());
        assert_eq!((first, counts), (vec![1, 0], vec![1, 2]));
        assert!(distinct(true, &[]).0.is_empty());
    }

    #[test]
    fn a_better_box_covers() {
        let boxes = [
            0.0, 0.0, 1.0, 1.0, // the same, with the corners exchanged
            1.0, 1.0, 0.0, 0.0, // elsewhere
            0.0, 5.0, 1.0, 6.0, // without extent
            0.5, 0.5, 0.5, 0.5f32,
        ];
        let rule =
            Suppression { most: 3, iou_threshold: 0.5, score_threshold: Some(0.1), centred: false };
        let (mut scratch, mut selected) = ([0; 8], [0; 12]);
        let scores = [0.5, 0.9, 0.4, 0.1];
        let sizes = [1, 1, 4];
        assert_eq!(suppress(&rule, sizes, &boxes, &scores, &mut scratch, &mut selected), 2);
        assert_eq!(selected[..6], [0, 0, 1, 0, 0, 2]);
        let found = suppress(&rule, sizes, &boxes, &scores, &mut scratch, &mut selected[..4]);
        assert_eq!(found, 1, "no room for more");
        let found = suppress(&rule, [1 << 31, 1 << 31, 0], &[], &[], &mut [], &mut []);
        assert_eq!(found, 0, "at once");
    }
}
