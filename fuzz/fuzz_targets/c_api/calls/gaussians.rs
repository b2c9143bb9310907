//! Distributions, and draws from them.

use core::ffi::c_void;
use core::ptr::{null, null_mut};

use nowcast_fuzz::choices::Choices;

use super::{isa, number, paths, room};
use crate::header::*;
use crate::world::{Kind, World, checked, out};

pub(super) fn make_gaussian(world: &mut World, choices: &mut Choices<'_>) {
    let dim = match choices.byte() {
        byte @ 0..216 => 1 + byte as usize % 19,
        _ => {
            // Sizes only: no memory is that large.
            let dim = choices.hostile();
            // SAFETY: outputs are ours.
            unsafe {
                out::<u64>(choices, |to, choices| {
                    checked(choices, |e| nowcast_gaussian_diagonal_bytes(dim, to, e))
                });
                let mut scratch = 0;
                out::<u64>(choices, |to, choices| {
                    let scratch = &raw mut scratch;
                    checked(choices, |e| nowcast_gaussian_full_bytes(dim, to, scratch, e))
                });
            }
            return;
        }
    };
    let len = dim as u64;
    let mean: Vec<f64> = (0..dim).map(|_| number(choices)).collect();
    let mut covariance = vec![0.0; dim * dim];
    for row in 0..dim {
        covariance[row * dim + row] = 8.0;
    }
    for _ in 0..choices.below(6) {
        let (row, col) = (choices.below(dim), choices.below(dim));
        let x = number(choices);
        covariance[row * dim + col] = x;
        covariance[col * dim + row] = if choices.one_in(8) { -x } else { x };
    }
    let mean = if choices.one_in(40) { null() } else { mean.as_ptr() };
    let (mut bytes, mut scratch_bytes) = (0, 0);
    let isa = isa(choices);
    // SAFETY: arrays and memory are as long as we say.
    unsafe {
        let made = if choices.one_in(2) {
            let to = &raw mut bytes;
            assert_eq!(
                nowcast_gaussian_full_bytes(len, to, &raw mut scratch_bytes, null_mut()),
                OK
            );
            let (memory, pointer, bytes) = room(bytes, choices);
            let (_scratch, scratch, scratch_bytes) = room(scratch_bytes, choices);
            let of = covariance.as_ptr();
            let made = out::<*mut c_void>(choices, |to, choices| {
                checked(choices, |e| {
                    nowcast_gaussian_full(
                        mean,
                        of,
                        len,
                        isa,
                        pointer,
                        bytes,
                        scratch,
                        scratch_bytes,
                        to,
                        e,
                    )
                })
            });
            made.map(|gaussian| (gaussian, memory))
        } else {
            assert_eq!(nowcast_gaussian_diagonal_bytes(len, &raw mut bytes, null_mut()), OK);
            let (memory, pointer, bytes) = room(bytes, choices);
            let of = covariance.as_ptr();
            let made = out::<*mut c_void>(choices, |to, choices| {
                checked(choices, |e| {
                    nowcast_gaussian_diagonal(mean, of, len, isa, pointer, bytes, to, e)
                })
            });
            made.map(|gaussian| (gaussian, memory))
        };
        if let Some((gaussian, memory)) = made {
            world.add(Kind::Gaussian, gaussian, null_mut(), Some(memory));
        }
    }
}

pub(super) fn use_gaussian(world: &World, choices: &mut Choices<'_>) {
    let gaussian = world.handle(Kind::Gaussian, choices);
    // SAFETY: handles are live or refused; `out` has as many elements as are asked for, or more
    // are asked for than memory has.
    unsafe {
        let mut dim = 1u64;
        nowcast_gaussian_dim(gaussian, &raw mut dim, null_mut());
        match choices.below(3) {
            0 => drop(out::<u64>(choices, |to, choices| {
                checked(choices, |e| nowcast_gaussian_dim(gaussian, to, e))
            })),
            1 => {
                let (seed, stream, first) =
                    (choices.hostile(), choices.hostile(), choices.hostile());
                let (memory, paths) = paths(dim, choices);
                let to = memory.as_ref().map_or(null_mut(), |memory| memory.pointer().cast());
                checked(choices, |e| {
                    nowcast_gaussian_draw(gaussian, seed, stream, first, to, paths, e)
                });
            }
            _ => {
                let (index, p) = (choices.hostile(), number(choices));
                out::<f64>(choices, |to, choices| {
                    checked(choices, |e| nowcast_gaussian_quantile(gaussian, index, p, to, e))
                });
            }
        }
    }
}
