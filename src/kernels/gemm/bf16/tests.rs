//! Every way on every level against naive loops.

extern crate std;

use super::*;
use crate::kernels::bf16::{pack_pairs, round, widen};
use crate::kernels::gemm::{Activation, Bias};
use crate::kernels::suite::{Rng, assert_close, levels_and_beyond};
use crate::kernels::{Isa, dispatch};
use proptest::prelude::*;
use std::{format, vec, vec::Vec};

struct Run<'a>(Level, Way, GemmBf16<'a>);

impl Vectorized for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        gemm_bf16_by(self.1, s, self.0, self.2);
    }
}

/// The levels, each with the ways that it has.
fn ways() -> Vec<(Level, Way)> {
    let mut ways = Vec::new();
    for level in levels_and_beyond() {
        ways.push((level, Way::Widened));
        if level.has_avx512_bf16() {
            ways.push((level, Way::Avx512Bf16));
        }
        if level.tiles() == Tiles::Allowed {
            ways.push((level, Way::Amx));
        }
    }
    ways
}

/// What `way` makes of an element of `A`.
fn seen(way: Way, x: f32) -> f64 {
    match way {
        Way::Widened => x,
        _ => widen(round(x)),
    }
    .into()
}

fn check(m: usize, n: usize, k: usize, options: u64, (level, way): (Level, Way)) {
    let rng = &mut Rng::new((m * 1_000_000 + n * 1000 + k) as u64);
    let (a_gap, c_gap) = if options & 1 == 0 { (0, 0) } else { (3, 2) };
    let (lda, ldc) = (k + a_gap, n + c_gap);
    let extent = |rows: usize, stride: usize, cols: usize| {
        if rows == 0 { 0 } else { (rows - 1) * stride + cols }
    };
    let a = rng.vector(extent(m, lda, k));
    let b: Vec<u16> = rng.vector(k * n).into_iter().map(round).collect();
    let bias = rng.vector(m.max(n));
    let c = rng.vector(extent(m, ldc, n));
    let activation =
        [Activation::None, Activation::Relu, Activation::Clip(-0.5, 0.25), Activation::Tanh]
            [(options >> 2 & 3) as usize];
    let bias = match options >> 4 & 3 {
        1 => Bias::PerCol(&bias[..n]),
        2 => Bias::PerRow(&bias[..m]),
        _ => Bias::None,
    };

    let mut wanted = c.clone();
    for i in 0..m {
        for j in 0..n {
            let products =
                (0..k).map(|p| seen(way, a[i * lda + p]) * f64::from(widen(b[p * n + j])));
            let x = products.sum::<f64>()
                + f64::from(match bias {
                    Bias::None => 0.0,
                    Bias::PerCol(bias) => bias[j],
                    Bias::PerRow(bias) => bias[i],
                });
            wanted[i * ldc + j] = match activation {
                Activation::Relu => x.max(0.0),
                Activation::Clip(low, high) => x.clamp(f64::from(low), f64::from(high)),
                Activation::Tanh => libm::tanh(x),
                _ => x,
            } as f32;
        }
    }

    let mut pairs = vec![0; packed_pairs_len(k, n).unwrap()];
    pack_pairs(&b, k, n, n, 1, &mut pairs);
    // NaN where nothing has been rounded yet.
    let mut rounded = vec![u32::MAX; rounded_len(m.max(ROUNDED_ROWS), k).unwrap()];
    let mut got = c;
    let product = GemmF32 {
        m,
        n,
        k,
        a_row_stride: lda,
        a: &a,
        b: &[],
        b_k_stride: 0,
        b_panel_stride: 0,
        bias,
        activation,
        accumulate: false,
        c: &mut got,
        c_row_stride: ldc,
    };
    dispatch(level, Run(level, way, GemmBf16 { product, b: &pairs, rounded: &mut rounded }));
    let what = format!("{m}x{n}x{k} options {options:b} {} {}", level.isa(), way.name());
    assert_close(&got, &wanted, 1e-6 * (k as f32).sqrt().max(1.0), &what);
}

#[test]
fn every_small_shape() {
    for way in ways() {
        for m in (0..=13).chain([16, 17, 33, 65]) {
            for n in [0, 1, 15, 16, 17, 31, 33, 48] {
                for k in [0, 1, 2, 3, 8, 17, 31, 33, 66] {
                    // A step of the emulator takes its time.
                    if way.1 != Way::Amx || (m + n + k) % 5 == 0 {
                        check(m, n, k, (m * 7 + n + 3 * k) as u64, way);
                    }
                }
            }
        }
    }
}

#[test]
fn nan_and_infinity_stay_where_they_belong() {
    for (level, way) in ways() {
        let (m, n, k) = (3, 20, 3);
        let mut b: Vec<u16> = vec![round(0.5); k * n];
        b[3] = round(f32::NAN);
        b[n + 5] = round(f32::INFINITY);
        let mut a = vec![1.0f32; m * k];
        a[2 * k] = f32::NAN;
        let mut pairs = vec![0; packed_pairs_len(k, n).unwrap()];
        pack_pairs(&b, k, n, n, 1, &mut pairs);
        let mut rounded = vec![u32::MAX; rounded_len(ROUNDED_ROWS, k).unwrap()];
        let mut c = vec![0.0; m * n];
        let product = GemmF32 {
            m,
            n,
            k,
            a_row_stride: k,
            a: &a,
            b: &[],
            b_k_stride: 0,
            b_panel_stride: 0,
            bias: Bias::None,
            activation: Activation::Relu,
            accumulate: false,
            c: &mut c,
            c_row_stride: n,
        };
        dispatch(level, Run(level, way, GemmBf16 { product, b: &pairs, rounded: &mut rounded }));
        let mut row = vec![1.5; n];
        row[3] = f32::NAN;
        row[5] = f32::INFINITY;
        let wanted = [row.clone(), row, vec![f32::NAN; n]].concat();
        assert_close(&c, &wanted, 0.0, way.name());
    }
}

#[test]
fn the_way_is_the_best_that_is_proven() {
    for level in levels_and_beyond() {
        assert_eq!(Way::new(level, 1), Way::Widened);
        let many = Way::new(level, 64);
        let best = match (level.tiles(), level.has_avx512_bf16()) {
            (Tiles::Allowed, _) => Way::Amx,
            (_, true) => Way::Avx512Bf16,
            _ => Way::Widened,
        };
        assert_eq!(many, best);
        assert_eq!(Way::new(level.at_most(Isa::Avx512), 64), Way::Widened);
        assert_ne!(Way::new(level.without_amx(), 64), Way::Amx);
    }
    assert_eq!(rounded_len(1, 100), Some(0));
    assert_eq!(rounded_len(20, 100), Some(32 * 64));
    assert_eq!(rounded_len(1000, 7), Some(64 * 16));
    assert_eq!(rounded_len(64, usize::MAX), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_shape(m in 0..90usize, n in 0..140usize, k in 0..90usize, options: u64) {
        for way in ways() {
            if way.1 != Way::Amx || m * n < 2000 {
                check(m, n, k, options, way);
            }
        }
    }
}
