//! Symmetric integers for weights.
//!
//! `w` is stored as the integer nearest to `w / scale`, so that `scale * q` is within half a scale
//! of it. The largest element of a channel is 127 scales (of 4 bits: 7), so that the negative of
//! each is there too and no element is clipped.

use crate::graph::Tensor;

/// Quantized weights: integers in the place of the floats.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Integers {
    pub(super) values: Vec<i8>,
    pub(super) scales: Vec<f32>,
}

/// The smallest scale: its reciprocal and its multiples are normal numbers.
const LEAST_SCALE: f32 = 1e-30;

/// The place of the channel of element `i`, and the number of channels.
fn channels(shape: &[usize], axis: Option<usize>) -> (usize, usize) {
    let Some(axis) = axis else { return (usize::MAX, 1) };
    (shape[axis + 1..].iter().product(), shape[axis])
}

/// Quantizes with a scale for each position of `axis`, or one for all, and integers of at most
/// `limit`. No scale is less than its floor: `floors` has one for each scale, or is empty.
pub(super) fn symmetric(w: &Tensor, axis: Option<usize>, limit: i8, floors: &[f32]) -> Integers {
    let elements = w.as_slice::<f32>().unwrap_or_default();
    let (inner, count) = channels(w.shape(), axis);
    let channel = |i: usize| if count == 1 { 0 } else { i / inner % count };
    let mut largest = vec![0.0f32; count];
    for (i, x) in elements.iter().enumerate() {
        let slot = &mut largest[channel(i)];
        *slot = slot.max(x.abs());
    }
    let scale = |(c, most): (usize, &f32)| {
        let floor = floors.get(c).copied().unwrap_or(0.0);
        (most / f32::from(limit)).max(floor).max(LEAST_SCALE)
    };
    let scales: Vec<f32> = largest.iter().enumerate().map(scale).collect();
    let values =
        elements.iter().enumerate().map(|(i, x)| nearest(*x, scales[channel(i)], limit)).collect();
    Integers { values, scales }
}

/// Quantizes with a scale for each `block` of elements along `axis`. The scales have the shape of
/// the weights, but as many along `axis` as there are blocks.
pub(super) fn blocked(w: &Tensor, axis: usize, block: usize, limit: i8) -> Integers {
    let elements = w.as_slice::<f32>().unwrap_or_default();
    let (inner, along) = channels(w.shape(), Some(axis));
    let blocks = along.div_ceil(block);
    let place = |i: usize| {
        let (before, at, behind) = (i / inner / along, i / inner % along, i % inner);
        (before * blocks + at / block) * inner + behind
    };
    let mut scales = vec![0.0f32; elements.len() / along.max(1) * blocks];
    for (i, x) in elements.iter().enumerate() {
        let slot = &mut scales[place(i)];
        *slot = slot.max(x.abs());
    }
    scales.iter_mut().for_each(|s| *s = (*s / f32::from(limit)).max(LEAST_SCALE));
    let values =
        elements.iter().enumerate().map(|(i, x)| nearest(*x, scales[place(i)], limit)).collect();
    Integers { values, scales }
}

fn nearest(x: f32, scale: f32, limit: i8) -> i8 {
    let limit = f32::from(limit);
    (x / scale).round_ties_even().clamp(-limit, limit) as i8
}

/// Two integers of 4 bits a byte, the first in the low half.
pub(super) fn packed4(values: &[i8]) -> Vec<u8> {
    let nibble = |value: Option<&i8>| value.map_or(0, |value| *value as u8 & 15);
    values.chunks(2).map(|pair| nibble(pair.first()) | nibble(pair.get(1)) << 4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_weight_is_within_half_a_step(
            rows in 1usize..7, cols in 1usize..70, block in 1usize..40,
            seed in proptest::collection::vec(-3.0f32..3.0, 490),
        ) {
            let w = Tensor::new(&[rows, cols], &seed[..rows * cols]);
            let elements = w.as_slice::<f32>().expect("f32");
            for (axis, limit) in [(None, 127), (Some(0), 127), (Some(1), 127), (Some(0), 7)] {
                let q = symmetric(&w, axis, limit, &[]);
                for (i, x) in elements.iter().enumerate() {
                    let s = q.scales[axis.map_or(0, |axis| [i / cols, i % cols][axis])];
                    let error = (f32::from(q.values[i]) * s - x).abs();
                    prop_assert!(error <= s * 0.50001, "{error} of {s}");
                }
            }
            for axis in [0, 1] {
                let q = blocked(&w, axis, block, 7);
                for (i, x) in elements.iter().enumerate() {
                    let (row, col) = (i / cols, i % cols);
                    let blocks = cols.div_ceil(block);
                    let place = [row / block * cols + col, row * blocks + col / block][axis];
                    let error = (f32::from(q.values[i]) * q.scales[place] - x).abs();
                    prop_assert!(error <= q.scales[place] * 0.50001);
                }
            }
        }
    }

    #[test]
    fn a_floor_is_kept_and_zeros_have_a_scale() {
        let w = Tensor::new(&[2, 2], &[0.0f32, 0.0, 1.0, -1.27]);
        let q = symmetric(&w, Some(0), 127, &[0.5, 0.0]);
        assert_eq!(q.scales, [0.5, 0.01]);
        assert_eq!(q.values, [0, 0, 100, -127]);
        assert!(symmetric(&w, Some(0), 127, &[]).scales.iter().all(|s| *s > 0.0));
    }

    #[test]
    fn four_bits_share_bytes() {
        assert_eq!(packed4(&[1, -1, 7, -7, 3]), [0xf1, 0x97, 0x03]);
    }
}
