//! Walks strided operands together, one row at a time.

use arrayvec::ArrayVec;

use crate::runtime::record::MAX_RANK;

/// Calls `row` once for each row (a run along the last axis) of `shape`, with the place of the
/// row's first element in each of `N` operands.
///
/// Rows go by in row-major order. A shape without axes is one row of one element; a shape with an
/// extent of zero has no rows. Between two rows a place may wrap around: the stride of an axis of
/// one element can be any number.
#[inline(always)]
pub(crate) fn rows<const N: usize>(
    shape: &[usize],
    strides: [&[isize]; N],
    offsets: [isize; N],
    mut row: impl FnMut([isize; N]),
) {
    if shape.contains(&0) {
        return;
    }
    let outer = shape.len().saturating_sub(1);
    let mut index: ArrayVec<usize, MAX_RANK> = core::iter::repeat_n(0, outer).collect();
    let mut at = offsets;
    loop {
        row(at);
        let mut axis = outer;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            for (place, strides) in at.iter_mut().zip(strides) {
                *place = place.wrapping_add(strides[axis]);
            }
            if index[axis] < shape[axis] {
                break;
            }
            for (place, strides) in at.iter_mut().zip(strides) {
                let whole = strides[axis].wrapping_mul(shape[axis] as isize);
                *place = place.wrapping_sub(whole);
            }
            index[axis] = 0;
        }
    }
}

/// Extent and strides of the last axis.
#[inline(always)]
pub(crate) fn last<const N: usize>(shape: &[usize], strides: [&[isize]; N]) -> (usize, [isize; N]) {
    (shape.last().copied().unwrap_or(1), strides.map(|s| s.last().copied().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_by_in_order() {
        let mut seen = ArrayVec::<[isize; 2], 8>::new();
        rows(&[2, 3, 5], [&[15, 5, 1], &[0, -2, 1]], [0, 4], |at| seen.push(at));
        let want = [[0, 4], [5, 2], [10, 0], [15, 4], [20, 2], [25, 0]];
        assert_eq!(&seen[..], want);
        let mut count = 0;
        rows(&[], [&[]], [7], |at| {
            assert_eq!(at, [7]);
            count += 1;
        });
        rows(&[0, 3], [&[3, 1]], [0], |_| count += 10);
        assert_eq!(count, 1);
    }
}
