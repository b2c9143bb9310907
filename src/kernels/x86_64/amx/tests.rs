//! The kernel on tiles of the CPU, or of the emulator where it has none.

use super::*;
use crate::kernels::suite::Rng;
use crate::kernels::x86_64::emulator;
use std::vec::Vec;

extern crate std;

#[test]
fn tiles_are_released_and_their_contents_are_right() {
    if emulator::amx().is_none() {
        return;
    }
    let mut rng = Rng::new(7);
    let cases: [(usize, usize, usize, usize); 5] =
        [(16, 64, 2, 2), (5, 70, 2, 2), (9, 3, 1, 2), (1, 33, 2, 1), (13, 1, 1, 1)];
    for (height, k, tiles, panels) in cases {
        let (pairs, stride) = (k.div_ceil(PAIR), rounded_stride(k));
        // Small integers: every sum is exact, and so the same in any order.
        let mut bits = |len: usize| -> Vec<u32> {
            let mut one = || crate::kernels::bf16::round(rng.below(17) as f32 - 8.0);
            (0..len).map(|_| u32::from(one()) | u32::from(one()) << 16).collect()
        };
        let mut a = bits(tiles * height * stride);
        for row in a.chunks_exact_mut(stride) {
            row[pairs..].fill(0);
        }
        let b = bits(panels * pairs * PANEL);
        let block = Block { a: &a, b: &b, k, tiles, panels };
        let mut sums = Sums([f32::NAN; 4 * TILE]);
        {
            // SAFETY: there is a level that has AMX.
            let mut registers = unsafe { Configured::new(height) };
            assert!(emulator::is_configured() || Level::detect().tiles() != Tiles::None);
            block.multiply(&mut registers, &mut sums);
        }
        assert!(!emulator::is_configured());
        let number = |word: u32, h: usize| crate::kernels::bf16::widen((word >> (16 * h)) as u16);
        for i in 0..tiles * height {
            for j in 0..panels * PANEL {
                let products = (0..pairs).flat_map(|p| {
                    let x = a[i * stride + p];
                    let y = b[(j / PANEL * pairs + p) * PANEL + j % PANEL];
                    [0, 1].map(|h| number(x, h) * number(y, h))
                });
                assert_eq!(
                    sums.0[i * 2 * PANEL + j],
                    products.sum::<f32>(),
                    "{height}x{k}: {i}, {j}"
                );
            }
        }
    }
}

#[test]
fn asking_is_answered() {
    let level = Level::detect().ask_for_amx();
    assert_ne!(level.tiles(), Tiles::Offered);
    assert_eq!(level.ask_for_amx(), level);
    touch();
}
