//! How the weights of a recurrent layer lie: the gates of 16 hidden units side by side.
//!
//! Hidden units are taken in groups of 16, the last one padded with zeros. What has a number for
//! each gate of each unit, a row of gates or a bias, lies as `[group][gate][16]`, so that all that
//! a unit's next state depends on is in one place when the group's sums are complete.

use crate::kernels::gemm::PANEL;

/// Hidden units in whole groups.
pub const fn padded(hidden: usize) -> Option<usize> {
    hidden.div_ceil(PANEL).checked_mul(PANEL)
}

/// Weights of one gate after the other, as ONNX has them, and where they go.
#[derive(Clone, Copy, Debug)]
pub struct GateWeights {
    /// Gates.
    pub gates: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Weights of a unit in a gate.
    pub depth: usize,
    /// `[group][depth][gate][16]`, which one sweep reads from end to end; otherwise
    /// `[group][gate][depth][16]`, panels of a product with `16 * gates * groups` columns.
    pub side_by_side: bool,
}

impl GateWeights {
    /// Elements once packed. `None` beyond the address space.
    pub const fn packed_len(&self) -> Option<usize> {
        match padded(self.hidden) {
            Some(units) => match units.checked_mul(self.gates) {
                Some(columns) => columns.checked_mul(self.depth),
                None => None,
            },
            None => None,
        }
    }

    /// Packs `src`, `[gate][unit][depth]`.
    ///
    /// **Panics**: if a slice is too short.
    ///
    /// **Cost**: one pass, no allocation.
    pub fn pack(&self, src: &[f32], out: &mut [f32]) {
        let Self { gates, hidden, depth, side_by_side } = *self;
        for group in 0..hidden.div_ceil(PANEL) {
            for gate in 0..gates {
                for p in 0..depth {
                    let row = if side_by_side {
                        (group * depth + p) * gates + gate
                    } else {
                        (group * gates + gate) * depth + p
                    };
                    for (lane, to) in out[row * PANEL..][..PANEL].iter_mut().enumerate() {
                        let unit = group * PANEL + lane;
                        let at = (gate * hidden + unit) * depth + p;
                        *to = if unit < hidden { src[at] } else { 0.0 };
                    }
                }
            }
        }
    }
}

/// Biases of `gates` gates of `hidden` units, those of the input's part behind those of the
/// state's as ONNX has them.
///
/// `x`, `[group][gate][16]`, takes the sum of both; where the last gate's state keeps a bias of
/// its own, `h`, `[group][16]`, takes that.
///
/// **Panics**: if a slice is too short.
pub fn pack_biases(gates: usize, hidden: usize, src: &[f32], x: &mut [f32], h: Option<&mut [f32]>) {
    let (of_x, of_h) = src[..2 * gates * hidden].split_at(gates * hidden);
    let units = hidden.div_ceil(PANEL) * PANEL;
    let apart = h.is_some();
    for unit in 0..units {
        for gate in 0..gates {
            let at = gate * hidden + unit;
            let to = &mut x[(unit / PANEL * gates + gate) * PANEL + unit % PANEL];
            *to = match (unit < hidden, apart && gate == gates - 1) {
                (false, _) => 0.0,
                (true, false) => of_x[at] + of_h[at],
                (true, true) => of_x[at],
            };
        }
    }
    if let (Some(h), Some(last)) = (h, gates.checked_sub(1)) {
        h[..units].fill(0.0);
        h[..hidden].copy_from_slice(&of_h[last * hidden..][..hidden]);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn every_weight_is_where_it_belongs() {
        for (gates, hidden, depth) in [(1, 1, 1), (4, 16, 3), (3, 21, 2), (2, 40, 5), (3, 5, 0)] {
            let src: Vec<f32> = (0..gates * hidden * depth).map(|i| i as f32 + 1.0).collect();
            for side_by_side in [false, true] {
                let weights = GateWeights { gates, hidden, depth, side_by_side };
                let mut out = vec![f32::NAN; weights.packed_len().unwrap()];
                weights.pack(&src, &mut out);
                let mut out = out.chunks(PANEL);
                for group in 0..hidden.div_ceil(PANEL) {
                    for i in 0..gates * depth {
                        let (gate, p) = match side_by_side {
                            true => (i % gates, i / gates),
                            false => (i / depth, i % depth),
                        };
                        for (lane, &got) in out.next().unwrap().iter().enumerate() {
                            let unit = group * PANEL + lane;
                            let at = (gate * hidden + unit) * depth + p;
                            assert_eq!(got, if unit < hidden { src[at] } else { 0.0 });
                        }
                    }
                }
            }
        }
        let weights = GateWeights { gates: 4, hidden: usize::MAX, depth: 1, side_by_side: true };
        assert_eq!(weights.packed_len(), None);
    }

    #[test]
    fn biases_are_summed_unless_the_state_keeps_its_own() {
        let src: Vec<f32> = (0..2 * 3 * 17).map(|i| i as f32).collect();
        let (mut x, mut h) = (vec![f32::NAN; 96], vec![f32::NAN; 32]);
        pack_biases(3, 17, &src, &mut x, None);
        assert_eq!((x[0], x[16], x[47], x[48]), (51.0, 85.0, 149.0 - 0.0, 83.0));
        assert_eq!(x[49], 0.0);
        pack_biases(3, 17, &src, &mut x, Some(&mut h));
        assert_eq!((x[16], x[47], x[48]), (85.0, 49.0, 83.0));
        assert_eq!((h[0], h[16], h[17]), (85.0, 101.0, 0.0));
    }
}
