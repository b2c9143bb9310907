//! Scans, positions and selections along the middle axis of an `[outer, axis, inner]` tensor.
//!
//! Functions here panic when a slice is shorter than its shape.

use core::cmp::Ordering;

use super::number::{BinaryCode, Number};

/// Running sum: each element is the sum of those up to it.
///
/// **Cost**: one pass; an axis is summed in order.
pub fn cum_sum<T: Number>(lanes: [usize; 3], exclusive: bool, reverse: bool, x: &[T], y: &mut [T]) {
    running(lanes, (BinaryCode::Add, T::default()), exclusive, reverse, x, y);
}

/// Running product, as [`cum_sum`].
pub fn cum_prod<T: Number>(
    lanes: [usize; 3],
    exclusive: bool,
    reverse: bool,
    x: &[T],
    y: &mut [T],
) {
    running(lanes, (BinaryCode::Mul, T::from_f64(1.0)), exclusive, reverse, x, y);
}

fn running<T: Number>(
    [outer, axis, inner]: [usize; 3],
    (code, first): (BinaryCode, T),
    exclusive: bool,
    reverse: bool,
    x: &[T],
    y: &mut [T],
) {
    let len = axis * inner;
    if len == 0 {
        return;
    }
    let blocks = x[..outer * len].chunks_exact(len).zip(y[..outer * len].chunks_exact_mut(len));
    for (x, y) in blocks {
        for lane in 0..inner {
            let mut sum = first;
            for i in 0..axis {
                let at = if reverse { axis - 1 - i } else { i } * inner + lane;
                let next = sum.binary(code, x[at]);
                y[at] = if exclusive { sum } else { next };
                sum = next;
            }
        }
    }
}

/// Position of the largest (else smallest) element: of equal ones the first, or the last. NaN is
/// never found, unless it stands first. `y` is `[outer, inner]`; without elements, zero.
pub fn arg_reduce<T: Number>(
    [outer, axis, inner]: [usize; 3],
    largest: bool,
    select_last: bool,
    x: &[T],
    y: &mut [i64],
) {
    if outer * inner == 0 {
        return;
    }
    for o in 0..outer {
        for lane in 0..inner {
            let x = |i: usize| x[(o * axis + i) * inner + lane];
            let mut found = 0;
            for i in 1..axis {
                let (best, next) = (x(found), x(i));
                let better = if largest { next > best } else { next < best };
                if better || (select_last && next == best) {
                    found = i;
                }
            }
            y[o * inner + lane] = found as i64;
        }
    }
}

/// Smaller numbers first; NaN behind all.
#[inline(always)]
fn order<T: Number>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The `k` largest (else smallest) elements in order, and their positions; of equal ones the
/// first comes first. NaN counts as the largest.
///
/// **Shapes and units**: `x` is `[outer, axis, inner]`, `values` and `positions` `[outer, k,
/// inner]`; where `k` is more than there are, the rest is zero. `scratch` is `axis` elements.
///
/// **Cost**: selection, then a sort of `k`; no allocation.
pub fn top_k<T: Number>(
    [outer, axis, inner]: [usize; 3],
    k: usize,
    largest: bool,
    x: &[T],
    scratch: &mut [u32],
    values: &mut [T],
    positions: &mut [i64],
) {
    let len = outer * k * inner;
    let (values, positions) = (&mut values[..len], &mut positions[..len]);
    if len == 0 {
        return;
    }
    let scratch = &mut scratch[..axis];
    for o in 0..outer {
        for lane in 0..inner {
            let x = |i: u32| x[(o * axis + i as usize) * inner + lane];
            let rank = |a: &u32, b: &u32| {
                let (first, second) = if largest { (*b, *a) } else { (*a, *b) };
                order(x(first), x(second)).then(a.cmp(b))
            };
            scratch.iter_mut().zip(0..).for_each(|(to, i)| *to = i);
            if k > 0 && k < axis {
                scratch.select_nth_unstable_by(k - 1, rank);
            }
            let chosen = &mut scratch[..k.min(axis)];
            chosen.sort_unstable_by(rank);
            for i in 0..k {
                let at = (o * k + i) * inner + lane;
                let found = chosen.get(i).copied();
                values[at] = found.map_or(T::default(), x);
                positions[at] = found.map_or(0, i64::from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_elements_keep_their_order() {
        let x = [3.0f32, 1.0, f32::NAN, 3.0, -0.0, 0.0];
        let (mut values, mut at) = ([0.0; 4], [0; 4]);
        top_k([1, 6, 1], 4, true, &x, &mut [0; 6], &mut values, &mut at);
        assert_eq!(at, [2, 0, 3, 1]);
        assert!(values[0].is_nan());
        top_k([1, 6, 1], 4, false, &x, &mut [0; 6], &mut values, &mut at);
        assert_eq!((values, at), ([0.0, 0.0, 1.0, 3.0], [4, 5, 1, 0]));
        top_k([1, 2, 1], 3, false, &x, &mut [0; 2], &mut values, &mut at);
        assert_eq!(&at[..3], [1, 0, 0]);
    }
}
