//! Elements moved or made without arithmetic on them: margins, triangles, ranges.

use super::number::{BinaryCode, Number, codes};
use crate::tensor::Element;

codes! {
    /// What stands in a margin. The numbers are pinned.
    PadCode { Constant = 0, Reflect = 1, Edge = 2, Wrap = 3, }
}

/// One axis of [`pad`].
#[derive(Clone, Copy, Debug)]
pub struct PadAxis {
    /// Margin before the source.
    pub before: usize,
    /// Extent of the source.
    pub extent: usize,
    /// Margin behind it.
    pub after: usize,
    /// Distance between elements of the source.
    pub stride: isize,
}

impl PadAxis {
    fn padded(&self) -> usize {
        self.before + self.extent + self.after
    }

    /// Which element of the source stands at `at`, if one does.
    fn source(&self, mode: PadCode, at: usize) -> Option<usize> {
        let n = self.extent;
        let inside = at.checked_sub(self.before).filter(|i| *i < n);
        if inside.is_some() || n == 0 {
            return inside;
        }
        let (i, n) = (at as i64 - self.before as i64, n as i64);
        let found = match mode {
            PadCode::Constant => return None,
            PadCode::Edge => i.clamp(0, n - 1),
            PadCode::Wrap => i.rem_euclid(n),
            PadCode::Reflect if n == 1 => 0,
            PadCode::Reflect => {
                let folded = i.rem_euclid(2 * (n - 1));
                folded.min(2 * (n - 1) - folded)
            }
        };
        Some(found as usize)
    }
}

/// Copies `src`, whose first element is at `offset`, into the middle of row-major `dst`, and
/// fills the margins. Where there is nothing to mirror or repeat, `value` stands.
///
/// **Panics**: if a slice is shorter than its shape.
///
/// **Cost**: one write an element; rows are copied whole where the last stride is one.
pub fn pad<T: Element>(
    mode: PadCode,
    axes: &[PadAxis],
    offset: isize,
    value: T,
    src: &[T],
    dst: &mut [T],
) {
    let len: usize = axes.iter().map(PadAxis::padded).product();
    let dst = &mut dst[..len];
    let Some((last, outer)) = axes.split_last() else {
        dst.fill(src[offset as usize]);
        return;
    };
    if len == 0 {
        return;
    }
    // Where zeros go between elements, rows have one each: those of the axis before are walked.
    if let (PadCode::Constant, 1, Some((middle, outer))) =
        (mode, last.extent, outer.split_last().filter(|(middle, _)| middle.extent > 0))
    {
        let apart = last.padded();
        for (row, to) in dst.chunks_exact_mut(middle.padded() * apart).enumerate() {
            to.fill(value);
            let Some(at) = place(mode, outer, offset, row) else { continue };
            let to = to[middle.before * apart + last.before..].iter_mut().step_by(apart);
            for (i, to) in to.take(middle.extent).enumerate() {
                *to = src[(at + i as isize * middle.stride) as usize];
            }
        }
        return;
    }
    for (row, to) in dst.chunks_exact_mut(last.padded()).enumerate() {
        let at = place(mode, outer, offset, row);
        let Some(at) = at else {
            to.fill(value);
            continue;
        };
        let element = |i: usize| src[(at + i as isize * last.stride) as usize];
        let (before, rest) = to.split_at_mut(last.before);
        let (middle, after) = rest.split_at_mut(last.extent);
        for (i, to) in before.iter_mut().enumerate() {
            *to = last.source(mode, i).map_or(value, element);
        }
        if last.stride == 1 && last.extent > 0 {
            middle.copy_from_slice(&src[at as usize..][..last.extent]);
        } else {
            middle.iter_mut().enumerate().for_each(|(i, to)| *to = element(i));
        }
        for (i, to) in after.iter_mut().enumerate() {
            *to = last.source(mode, last.before + last.extent + i).map_or(value, element);
        }
    }
}

/// Where the source of a row begins, if it has one.
fn place(mode: PadCode, axes: &[PadAxis], offset: isize, row: usize) -> Option<isize> {
    let mut left = row;
    let mut at = Some(offset);
    for axis in axes.iter().rev() {
        let source = axis.source(mode, left % axis.padded());
        left /= axis.padded();
        // Where another axis is empty, nothing is read and strides are any numbers.
        let far = |i: usize| (i as isize).wrapping_mul(axis.stride);
        at = at.zip(source).map(|(at, i)| at.wrapping_add(far(i)));
    }
    at
}

/// `out[i] = start + i * step`; integers wrap.
pub fn range<T: Number>(start: T, step: T, out: &mut [T]) {
    if T::DTYPE.is_float() {
        for (i, to) in out.iter_mut().enumerate() {
            let far = step.binary(BinaryCode::Mul, T::from_f64(i as f64));
            *to = start.binary(BinaryCode::Add, far);
        }
        return;
    }
    let mut next = start;
    for to in out {
        *to = next;
        next = next.binary(BinaryCode::Add, step);
    }
}

/// Keeps one side of the diagonal `k` (above the main one where positive), zeros the other.
///
/// **Shapes and units**: `x` and `y` are `[batches, rows, cols]`.
///
/// **Panics**: if a slice is shorter than its shape.
pub fn trilu<T: Element>(
    upper: bool,
    k: i64,
    [batches, rows, cols]: [usize; 3],
    x: &[T],
    y: &mut [T],
) {
    let len = batches * rows * cols;
    if len == 0 {
        return;
    }
    let lines = x[..len].chunks_exact(cols).zip(y[..len].chunks_exact_mut(cols));
    for (i, (x, y)) in lines.enumerate() {
        // The first column that belongs to the upper triangle, or is above the lower one.
        let diagonal = k.saturating_add((i % rows) as i64);
        let border = if upper { diagonal } else { diagonal.saturating_add(1) };
        let border = border.clamp(0, cols as i64) as usize;
        let (kept, cleared) =
            if upper { (border..cols, 0..border) } else { (0..border, border..cols) };
        y[kept.clone()].copy_from_slice(&x[kept]);
        y[cleared].fill(T::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_of_one_row() {
        let axis = |before, extent, after| [PadAxis { before, extent, after, stride: 1 }];
        let mut y = [0i32; 12];
        let x = [1, 2, 3];
        pad(PadCode::Reflect, &axis(5, 3, 4), 0, 9, &x, &mut y);
        assert_eq!(y, [2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3]);
        pad(PadCode::Wrap, &axis(5, 3, 4), 0, 9, &x, &mut y);
        assert_eq!(y, [2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1]);
        pad(PadCode::Edge, &axis(5, 3, 4), 0, 9, &x, &mut y);
        assert_eq!(y, [1, 1, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3]);
        pad(PadCode::Reflect, &axis(5, 1, 6), 2, 9, &x, &mut y);
        assert_eq!(y, [3; 12]);
        for mode in [PadCode::Constant, PadCode::Edge, PadCode::Wrap, PadCode::Reflect] {
            pad(mode, &axis(5, 0, 7), 0, 9, &x[..0], &mut y);
            assert_eq!(y, [9; 12]);
        }
    }
}
