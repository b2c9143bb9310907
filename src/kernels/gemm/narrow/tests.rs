//! Every layout on every level against naive loops.

extern crate std;

use super::*;
use crate::kernels::gemm::Activation;
use crate::kernels::gemm::narrow::digits::digits_len;
use crate::kernels::suite::{Rng, assert_close, levels};
use crate::kernels::{Level, dispatch};
use proptest::prelude::*;
use std::{format, vec, vec::Vec};

struct Run<'a>(Way, Level, GemmNarrow<'a>);

impl Vectorized for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        gemm_narrow_by(self.0, s, self.1, self.2);
    }
}

/// The levels, each with the ways that it has.
fn ways() -> Vec<(Level, Way)> {
    let all = levels().into_iter().chain([Level::detect()]);
    all.flat_map(|level| {
        let digits = level.has_avx512_vnni().then_some(Way::Digits);
        [Some(Way::Widened), Some(Way::WrittenOut), digits]
            .into_iter()
            .flatten()
            .map(move |way| (level, way))
    })
    .collect()
}

/// The bits, the rows that share a scale, and whether there are zero points.
type Form = (Bits, usize, bool);

fn check(m: usize, n: usize, k: usize, options: u64, (bits, block, zeros): Form, on: (Level, Way)) {
    let rng = &mut Rng::new((m * 1_000_000 + n * 1000 + k) as u64);
    let (a_gap, c_gap) = if options & 1 == 0 { (0, 0) } else { (3, 2) };
    let (lda, ldc) = (k + a_gap, n + c_gap);
    let extent = |rows: usize, stride: usize, cols: usize| {
        if rows == 0 { 0 } else { (rows - 1) * stride + cols }
    };
    let range = if bits == Bits::Four { 16 } else { 256 };
    let mut integers = |len: usize| -> Vec<i8> {
        (0..len).map(|_| (rng.below(range) as i64 - range as i64 / 2) as i8).collect()
    };
    let blocks = k.div_ceil(block);
    let (b, zero) = (integers(k * n), integers(blocks * n));
    let a = rng.vector(extent(m, lda, k));
    let scale: Vec<f32> = (0..blocks * n).map(|_| rng.uniform(0.5, 1.0) / range as f32).collect();
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
    let accumulate = options >> 6 & 1 == 1;

    let mut wanted = c.clone();
    for i in 0..m {
        for j in 0..n {
            let weight = |p: usize| {
                let zero = if zeros { i32::from(zero[p / block * n + j]) } else { 0 };
                f64::from(i32::from(b[p * n + j]) - zero) * f64::from(scale[p / block * n + j])
            };
            let x = (0..k).map(|p| f64::from(a[i * lda + p]) * weight(p)).sum::<f64>()
                + if accumulate { f64::from(c[i * ldc + j]) } else { 0.0 }
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

    let mut words = vec![u32::MAX; bits.packed_len(k, n).unwrap()];
    bits.pack(&b, k, n, n, 1, &mut words);
    // Behind the last column stands what no answer may depend on.
    let by_block = |of: &dyn Fn(usize) -> f32| {
        let mut all = vec![7.0; block_len(k, n, block).unwrap()];
        for i in 0..blocks * n {
            let (b, j) = (i / n, i % n);
            all[(j / PANEL * blocks + b) * PANEL + j % PANEL] = of(i);
        }
        all
    };
    let scales = by_block(&|i| scale[i]);
    let zeros = if zeros { by_block(&|i| zero[i].into()) } else { Vec::new() };
    let (level, way) = on;
    let (bytes, sums) = digits_len(m, k, block).unwrap();
    let (mut bytes, mut sums) = (vec![77; bytes], vec![f32::NAN; sums]);
    {
        let mut unpacked = vec![f32::NAN; unpacked_len(UNPACKED_ROWS, k).unwrap()];
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
            accumulate,
            c: &mut got,
            c_row_stride: ldc,
        };
        let weights = NarrowWeights { bits, words: &words, block, scales: &scales, zeros: &zeros };
        let digits = (&mut bytes[..], &mut sums[..]);
        let gemm = GemmNarrow { product, weights, unpacked: &mut unpacked, digits };
        dispatch(level, Run(way, level, gemm));
        let what = format!(
            "{m}x{n}x{k} options {options:b} {bits:?} by {block} {} zeros {} {way:?}",
            zeros.len(),
            level.isa()
        );
        assert_close(&got, &wanted, 2e-6 * (k as f32).sqrt().max(1.0), &what);
    }
}

fn form(seed: usize) -> Form {
    let bits = if seed.is_multiple_of(2) { Bits::Four } else { Bits::Eight };
    (bits, [8, 16, 32, 1 << 20][seed / 2 % 4], (seed / 8).is_multiple_of(2))
}

#[test]
fn every_small_shape() {
    for level in ways() {
        for m in 0..=13 {
            for n in [0, 1, 15, 16, 17, 31, 33, 48] {
                for k in [0, 1, 2, 3, 8, 17, 31, 33, 66] {
                    check(m, n, k, (m * 7 + n + 3 * k) as u64, form(m + n + k), level);
                    check(m, n, k, (m * 5 + n + k) as u64, form(m + 3 * n + 7 * k + 1), level);
                }
            }
        }
    }
}

#[test]
fn a_weight_at_its_zero_point_is_nothing() {
    // What multiplies it may be as large as it likes, but for digits, which count in steps of it.
    for (level, way) in ways().into_iter().filter(|(_, way)| *way != Way::Digits) {
        for bits in [Bits::Four, Bits::Eight] {
            let (m, n, k) = (2, 3, 9);
            let mut b = vec![5; k * n];
            b[3..6].fill(6);
            let mut words = vec![0; bits.packed_len(k, n).unwrap()];
            bits.pack(&b, k, n, n, 1, &mut words);
            let (scales, zeros) = (vec![0.1; 2 * PANEL], vec![5.0; 2 * PANEL]);
            let mut a = vec![1e30f32; m * k];
            (a[1], a[k + 1]) = (2.0, 3.0);
            {
                let (mut bytes, mut sums) = (vec![77; 2 * 48], vec![f32::NAN; 2 * 10]);
                let mut unpacked = vec![f32::NAN; unpacked_len(UNPACKED_ROWS, k).unwrap()];
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
                    activation: Activation::None,
                    accumulate: false,
                    c: &mut c,
                    c_row_stride: n,
                };
                let weights =
                    NarrowWeights { bits, words: &words, block: 8, scales: &scales, zeros: &zeros };
                let digits = (&mut bytes[..], &mut sums[..]);
                let gemm = GemmNarrow { product, weights, unpacked: &mut unpacked, digits };
                dispatch(level, Run(way, level, gemm));
                assert_close(&c, &[0.2, 0.2, 0.2, 0.3, 0.3, 0.3], 1e-6, level.isa().name());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_shape(
        m in 0..40usize, n in 0..140usize, k in 0..90usize, options: u64, seed in 0..16usize
    ) {
        for way in ways() {
            check(m, n, k, options, form(seed), way);
        }
    }
}
