//! Copies of what a block sees of a plane, with its padding.

use super::{Layout, PITCH, Window};
use crate::kernels::simd::Simd;

/// What a block sees, whatever the channel. What lies behind it in a row is read for lanes that
/// nobody reads.
pub(super) struct Fill {
    /// Rows and columns of each phase.
    rows: usize,
    cols: usize,
    /// The rows that are inside the input, and where the first of them begins.
    inside: (usize, usize, usize),
    /// Elements of the input from a row to the next, and from a position to the next.
    line: usize,
    step: usize,
    /// For each phase of the columns, which are inside, and the element of the first of them.
    phases: [(usize, usize, usize); 2],
    /// Elements from the first phase to the second; zero where there is none.
    second: usize,
    /// Where a row begins, for each phase.
    leads: [usize; 2],
    /// Whether rows, and columns, outside the input are zeros already.
    steady: [bool; 2],
}

impl Fill {
    /// What is seen from the output at this plane, row and column on.
    #[inline(always)]
    pub(super) fn new(
        window: &Window,
        layout: &Layout,
        x_strides: &[usize; 5],
        at: [usize; 3],
        [rows, cols]: [usize; 2],
        steady: [bool; 2],
    ) -> Self {
        let [_, _, plane, line, step] = *x_strides;
        let [_, row_stride, stride] = window.stride;
        let plane = window.element(0, at[0], window.stride[0], 0).map(|i| i * plane);
        // A row of taps is a row of the block; where there is one, so is a row of a tile.
        let apart = match window.kernel[1] {
            1 => row_stride * layout.apart,
            _ => window.dilation[1],
        };
        let (start, end, first) = match plane {
            Some(_) => window.covered(1, at[1] * row_stride, apart, rows),
            None => (rows, rows, 0),
        };
        let columns = |phase| window.covered(2, at[2] * stride + phase, stride, cols);
        Self {
            rows,
            cols,
            inside: (start, end, plane.unwrap_or(0) + first * line),
            line: line * apart,
            step,
            phases: [columns(0), if stride == 2 { columns(1) } else { (0, 0, 0) }],
            second: if stride == 2 { layout.rows * PITCH } else { 0 },
            leads: layout.leads,
            steady,
        }
    }

    /// Copies what is seen of the channel `x`.
    #[inline(always)]
    pub(super) fn run<S: Simd>(&self, s: S, x: &[f32], image: &mut [f32]) {
        let (first, second) =
            image.split_at_mut(if self.second > 0 { self.second } else { image.len() });
        let (start, end, from) = self.inside;
        let (first, second) = match second {
            [] => (&mut first[self.leads[0]..], second),
            _ => (&mut first[self.leads[0]..], &mut second[self.leads[1]..]),
        };
        if !self.steady[0] {
            for row in (0..start).chain(end..self.rows) {
                first[row * PITCH..][..self.cols].fill(0.0);
                if self.second > 0 {
                    second[row * PITCH..][..self.cols].fill(0.0);
                }
            }
        }
        let [a, b] = self.phases;
        if self.second == 0 && self.step == 1 {
            let len = a.1 - a.0;
            let masks = tail::<S, 1>(s, len % S::LANES);
            for row in start..end {
                let from = from + (row - start) * self.line + a.2;
                let x = if len > 0 { &x[from..] } else { &[] };
                self.copy(s, (x, len), masks, a.0, &mut first[row * PITCH..]);
            }
        } else if self.second > 0 && self.step == 1 && a.0 < a.1 && b.0 < b.1 {
            let begin = a.2.min(b.2);
            let len = (a.2 + 2 * (a.1 - a.0)).max(b.2 + 2 * (b.1 - b.0)) - 1 - begin;
            let masks = tail::<S, 2>(s, len % (2 * S::LANES));
            for row in start..end {
                let x = (&x[from + (row - start) * self.line + begin..], len);
                let (first, second) = (&mut first[row * PITCH..], &mut second[row * PITCH..]);
                match a.2 < b.2 {
                    true => self.deal(s, x, masks, (first, a.0), (second, b.0)),
                    false => self.deal(s, x, masks, (second, b.0), (first, a.0)),
                }
            }
        } else {
            let stride = if self.second > 0 { 2 } else { 1 };
            for row in start..end {
                let from = from + (row - start) * self.line;
                for (to, (start, end, at)) in
                    [(&mut *first, a), (&mut *second, b)].into_iter().take(stride)
                {
                    let to = &mut to[row * PITCH..][..self.cols];
                    to[..start].fill(0.0);
                    to[end..].fill(0.0);
                    for i in start..end {
                        to[i] = x[from + (at + (i - start) * stride) * self.step];
                    }
                }
            }
        }
    }

    /// Copies the first `len` elements in whole vectors, with zeros before `start` and behind the
    /// end.
    #[inline(always)]
    fn copy<S: Simd>(
        &self,
        s: S,
        (from, len): (&[f32], usize),
        [mask]: [S::Mask; 1],
        start: usize,
        to: &mut [f32],
    ) {
        self.margins(s, start, start + len.next_multiple_of(S::LANES), to);
        let to = &mut to[start..];
        let mut at = 0;
        while at + S::LANES <= len {
            s.store(s.load(&from[at..]), &mut to[at..]);
            at += S::LANES;
        }
        if at < len {
            s.store(some(s, &from[at..], len - at, mask), &mut to[at..]);
        }
    }

    /// Copies the elements with even indices to one row and the others to another, as
    /// [`copy`](Self::copy) does.
    #[inline(always)]
    fn deal<S: Simd>(
        &self,
        s: S,
        (from, len): (&[f32], usize),
        masks: [S::Mask; 2],
        (even, even_start): (&mut [f32], usize),
        (odd, odd_start): (&mut [f32], usize),
    ) {
        let written = len.div_ceil(2).next_multiple_of(S::LANES);
        self.margins(s, even_start, even_start + written, even);
        self.margins(s, odd_start, odd_start + written, odd);
        let (even, odd) = (&mut even[even_start..], &mut odd[odd_start..]);
        let mut at = 0;
        while 2 * at < len {
            let (from, left) = (&from[2 * at..], len - 2 * at);
            let (a, b) = if left >= 2 * S::LANES {
                (s.load(from), s.load(&from[S::LANES..]))
            } else if left > S::LANES {
                let behind = left - S::LANES;
                (s.load(from), some(s, &from[S::LANES..], behind, masks[1]))
            } else {
                (some(s, from, left, masks[0]), s.splat(0.0))
            };
            let (a, b) = s.deal(a, b);
            s.store(a, &mut even[at..]);
            s.store(b, &mut odd[at..]);
            at += S::LANES;
        }
    }

    /// Zeros before and behind what is about to be written.
    #[inline(always)]
    fn margins<S: Simd>(&self, s: S, start: usize, end: usize, to: &mut [f32]) {
        if self.steady[1] {
            return;
        }
        if start > 0 {
            s.store(s.splat(0.0), to);
            if start > S::LANES {
                to[S::LANES..start].fill(0.0);
            }
        }
        if end < self.cols {
            to[end..self.cols].fill(0.0);
        }
    }
}

/// The first `len` lanes of each vector, `NV` in a row.
#[inline(always)]
fn tail<S: Simd, const NV: usize>(s: S, len: usize) -> [S::Mask; NV] {
    let lane = s.u32_to_i32(s.u32_lane_index());
    let mut masks = [s.i32_gt(lane, lane); NV];
    for v in 0..NV {
        let left = len.saturating_sub(v * S::LANES) as i32;
        masks[v] = s.i32_gt(s.i32_splat(left), lane);
    }
    masks
}

/// The first `len` elements, which `mask` tells, then zeros.
#[inline(always)]
fn some<S: Simd>(s: S, from: &[f32], len: usize, mask: S::Mask) -> S::F32 {
    match from.len() >= S::LANES {
        true => s.select(mask, s.load(from), s.splat(0.0)),
        false => s.load_tail(&from[..len]),
    }
}
