//! Every way on every level against naive loops: sums exactly, and what follows them bit by bit.

extern crate std;

use super::*;
use crate::kernels::Activation;
use crate::kernels::int8::pack_quads;
use crate::kernels::simd::{Vectorized, dispatch};
use crate::kernels::suite::{Rng, assert_close, levels_and_beyond};
use proptest::prelude::*;
use std::{format, string::String, vec, vec::Vec};

struct Run<'a>(Level, Way, GemmI8<'a>);

impl Vectorized for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        gemm_i8_by(self.1, s, self.0, self.2);
    }
}

/// The levels, each with the ways that it has.
fn ways() -> Vec<(Level, Way)> {
    let mut ways = Vec::new();
    for level in levels_and_beyond() {
        ways.push((level, Way::Plain));
        if level.has(Isa::Avx2) {
            ways.push((level, Way::Avx2));
        }
        if level.has_avx_vnni() {
            ways.push((level, Way::AvxVnni));
        }
        if level.has_avx512_vnni() {
            ways.push((level, Way::Avx512Vnni));
        }
        if level.tiles() == Tiles::Allowed {
            ways.push((level, Way::Amx));
        }
        if level.has(Isa::Neon) {
            ways.push((level, Way::Neon));
        }
        if level.has_neon_dotprod() {
            ways.push((level, Way::NeonDotprod));
        }
    }
    ways
}

/// The operands of a product.
struct Case {
    m: usize,
    n: usize,
    k: usize,
    a: Vec<u8>,
    a_row_stride: usize,
    a_grid: Grid8,
    weights: Vec<i8>,
    b: Vec<u32>,
    b_sums: Vec<i32>,
    b_scale: Vec<f32>,
    b_zero: Option<Vec<i32>>,
}

impl Case {
    /// Bytes are random, or with bits of `options` set the ends of their ranges.
    fn new((m, n, k): (usize, usize, usize), options: u64) -> Self {
        let rng = &mut Rng::new((m * 1_000_000 + n * 1000 + k) as u64 ^ options << 40);
        let bit = |i: u32| options >> i & 1 == 1;
        let (signed, ends) = (bit(0), bit(1) && bit(2));
        let a_row_stride = k + if bit(3) { 3 } else { 0 };
        let mut byte = |ends: bool, end: u8| if ends { end } else { rng.next() as u8 };
        // The rows end where the slice ends: what is read behind them would panic, or be seen by a
        // sanitizer.
        let len = if m * k == 0 { 0 } else { (m - 1) * a_row_stride + k };
        let top = if signed { 0x80 } else { 0xff };
        let a: Vec<u8> = (0..len).map(|_| byte(ends, top)).collect();
        let weights: Vec<i8> =
            (0..k * n).map(|_| byte(ends, if bit(4) { 0x80 } else { 0x7f }) as i8).collect();
        let zero = if bit(5) { 0 } else { rng.below(256) as i32 - if signed { 128 } else { 0 } };
        let a_grid = Grid8 { scale: rng.uniform(0.001, 0.1), zero, signed };
        let cols = n.next_multiple_of(PANEL);
        let (mut b, mut b_sums) = (vec![9; packed_quads_len(k, n).unwrap()], vec![9; cols]);
        pack_quads(
            &weights.iter().map(|x| x.cast_unsigned()).collect::<Vec<_>>(),
            0,
            (k, n),
            (n, 1),
            &mut b,
            &mut b_sums,
        );
        let b_scale = (0..cols).map(|_| rng.uniform(0.001, 0.02)).collect();
        let mut zero = || rng.below(256) as i32 - 128;
        let (one, alike) = (zero(), bit(7));
        let b_zero = bit(6).then(|| (0..cols).map(|_| if alike { one } else { zero() }).collect());
        Self { m, n, k, a, a_row_stride, a_grid, weights, b, b_sums, b_scale, b_zero }
    }

    /// One zero point where all are alike.
    fn zeros(&self) -> Zeros<'_> {
        match self.b_zero.as_deref() {
            Some(&[first, ref others @ ..]) if others.iter().all(|zero| *zero == first) => {
                Zeros::One(first)
            }
            zeros => Zeros::each(zeros),
        }
    }

    fn exact(&self) -> Vec<i32> {
        let mut sums = Vec::new();
        for i in 0..self.m {
            for j in 0..self.n {
                let zero = self.b_zero.as_ref().map_or(0, |zero| zero[j]);
                let products = (0..self.k).map(|p| {
                    let a = self.a_grid.value(self.a[i * self.a_row_stride + p]);
                    let b = i32::from(self.weights[p * self.n + j]);
                    i64::from(a - self.a_grid.zero) * i64::from(b - zero)
                });
                sums.push(products.sum::<i64>() as i32);
            }
        }
        sums
    }

    fn run(&self, (level, way): (Level, Way), stages: &[Stage<'_>], output: Output<'_>) {
        let mut scratch = vec![u32::MAX; scratch_len(self.m, self.k).unwrap()];
        let gemm = GemmI8 {
            m: self.m,
            n: self.n,
            k: self.k,
            a: &self.a,
            a_row_stride: self.a_row_stride,
            windows: None,
            a_grid: self.a_grid,
            b: &self.b,
            b_sums: &self.b_sums,
            b_scale: &self.b_scale,
            b_zero: self.zeros(),
            stages,
            output,
            c_row_stride: self.n,
            scratch: &mut scratch,
        };
        dispatch(level, Run(level, way, gemm));
    }

    fn what(&self, (level, way): (Level, Way)) -> String {
        let Self { m, n, k, a_grid, .. } = self;
        format!("{m}x{n}x{k} {a_grid:?} {} {}", level.isa(), way.name())
    }

    fn check_sums(&self, way: (Level, Way)) {
        let mut got = vec![i32::MIN; self.m * self.n];
        self.run(way, &[], Output::I32(&mut got));
        assert_eq!(got, self.exact(), "{}", self.what(way));
    }
}

/// The nearest value of a grid, in plain words.
fn nearest(x: f32, grid: Grid8) -> i32 {
    let [low, high] = grid.range();
    let q = x / grid.scale;
    if q.is_nan() {
        return grid.zero;
    }
    let rounded = f64::from(libm::rintf(q)) + f64::from(grid.zero);
    rounded.clamp(low.into(), high.into()) as i32
}

fn apply(case: &Case, stages: &[Stage<'_>], i: usize, j: usize, sum: i32) -> f32 {
    let mut x = sum as f32 * (case.a_grid.scale * case.b_scale[j]);
    for stage in stages {
        x = match *stage {
            Stage::Round(to) => (nearest(x, to.grid()) - to.grid().zero) as f32 * to.grid().scale,
            Stage::Times(factor) => x * factor,
            Stage::Plus(summand) => x + summand,
            Stage::MulRow(data) => x * data[j],
            Stage::AddRow(data) => x + data[j],
            Stage::Add { data, row_stride } => x + data[i * row_stride + j],
            Stage::AddQuantized { data, row_stride, grid } => {
                x + (grid.value(data[i * row_stride + j]) - grid.zero) as f32 * grid.scale
            }
            Stage::Activate(Activation::Relu) => {
                // Zeros keep their sign.
                if x >= 0.0 || x.is_nan() { x } else { 0.0 }
            }
            Stage::Activate(Activation::LeakyRelu(slope)) => {
                if x < 0.0 {
                    x * slope
                } else {
                    x
                }
            }
            Stage::Activate(Activation::Tanh) => libm::tanhf(x),
            Stage::Activate(_) => unreachable!(),
        };
    }
    x
}

/// Some stages, chosen by the bits of `options`, and an output in `f32` and in bytes.
fn check_stages(case: &Case, options: u64, way: (Level, Way)) {
    let &Case { m, n, .. } = case;
    let rng = &mut Rng::new(options);
    let row_stride = n + (options & 3) as usize;
    let len = if m * n == 0 { 0 } else { (m - 1) * row_stride + n };
    let (row, matrix) = (rng.vector(n), rng.vector(len));
    let bytes: Vec<u8> = (0..len).map(|_| rng.next() as u8).collect();
    let mut grid = || {
        let signed = rng.below(2) == 0;
        let zero = rng.below(256) as i32 - if signed { 128 } else { 0 };
        Grid8 { scale: [0.25, 0.037][rng.below(2)], zero, signed }
    };
    let all = [
        Stage::Round(grid().into()),
        Stage::AddRow(&row),
        Stage::MulRow(&row),
        Stage::Round(grid().into()),
        Stage::Activate(Activation::Relu),
        Stage::Add { data: &matrix, row_stride },
        Stage::AddQuantized { data: &bytes, row_stride, grid: grid() },
        Stage::Activate(Activation::LeakyRelu(0.1)),
        Stage::Round(grid().into()),
    ];
    let stages: Vec<Stage<'_>> = all
        .into_iter()
        .enumerate()
        .filter(|(i, _)| options >> (8 + i) & 1 == 1)
        .map(|(_, stage)| stage)
        .collect();
    let exact = case.exact();
    let wanted: Vec<f32> =
        (0..m * n).map(|at| apply(case, &stages, at / n, at % n, exact[at])).collect();
    let mut got = vec![f32::NAN; m * n];
    case.run(way, &stages, Output::F32(&mut got));
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&got), bits(&wanted), "{} {stages:?}", case.what(way));
    let grid = grid();
    let mut got = vec![77; m * n];
    case.run(way, &stages, Output::Quantized(&mut got, grid.into()));
    let got: Vec<i32> = got.into_iter().map(|x| grid.value(x)).collect();
    let wanted: Vec<i32> = wanted.into_iter().map(|x| nearest(x, grid)).collect();
    assert_eq!(got, wanted, "{} {stages:?} {grid:?}", case.what(way));
}

#[test]
fn every_small_shape() {
    let ways = ways();
    for m in (0..=7).chain([9, 12, 13, 17, 25]) {
        for n in [0, 1, 16, 17, 33, 64, 81] {
            for k in [0, 1, 3, 4, 5, 8, 31, 33, 66] {
                let case = Case::new((m, n, k), (m * 7 + n + 3 * k) as u64);
                for way in &ways {
                    // A step of the emulator takes its time.
                    if way.1 != Way::Amx || (m + n + k) % 5 == 0 {
                        case.check_sums(*way);
                    }
                }
            }
        }
    }
}

#[test]
fn rows_beyond_a_block_of_tiles() {
    for way in ways() {
        for m in [256, 257, 290] {
            for options in [0x40, 0x41, 0xc0] {
                Case::new((m, 17, 5), options).check_sums(way);
            }
        }
    }
}

#[test]
fn the_largest_products_do_not_saturate() {
    for way in ways() {
        for m in [1, 2, 5, 16] {
            for options in [0b110, 0b111, 0b1_0110, 0b1_0111, 0b101_0110] {
                Case::new((m, 50, 300), options).check_sums(way);
            }
        }
    }
}

#[test]
fn sums_wrap() {
    // 140,000 products of 255 * 128 exceed 32 bits.
    let case = Case::new((2, 3, 140_000), 0b1_0110);
    for way in ways().into_iter().filter(|way| way.1 != Way::Amx) {
        case.check_sums(way);
    }
}

#[test]
fn an_approximated_activation_is_close() {
    let case = Case::new((3, 40, 21), 1);
    let stages = [Stage::Activate(Activation::Tanh)];
    let exact = case.exact();
    let wanted: Vec<f32> =
        (0..3 * 40).map(|at| apply(&case, &stages, at / 40, at % 40, exact[at])).collect();
    for way in ways() {
        let mut got = vec![f32::NAN; 3 * 40];
        case.run(way, &stages, Output::F32(&mut got));
        assert_close(&got, &wanted, 1e-6, &case.what(way));
    }
}

#[test]
fn nan_becomes_zero_and_infinity_the_end() {
    let mut case = Case::new((1, 20, 3), 0);
    case.b_scale[3] = f32::NAN;
    case.b_scale[5] = f32::INFINITY;
    for way in ways() {
        let mut got = vec![0; 20];
        let grid = Grid8 { scale: 0.5, zero: 9, signed: false };
        case.run(way, &[], Output::Quantized(&mut got, grid.into()));
        assert_eq!(got[3], 9);
        assert!(matches!((got[5], case.exact()[5]), (255, 1..) | (0, ..0) | (9, 0)));
        case.run(way, &[Stage::Round(grid.into())], Output::Quantized(&mut got, grid.into()));
        assert_eq!(got[3], 9);
    }
}

#[test]
fn the_way_is_the_best_that_is_proven() {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    assert_eq!(
        levels_and_beyond().iter().any(|level| level.has_avx_vnni()),
        Level::detect().has(Isa::Avx2)
    );
    for level in levels_and_beyond() {
        let best = match level {
            _ if level.has_avx512_vnni() => Way::Avx512Vnni,
            _ if level.has_avx_vnni() => Way::AvxVnni,
            _ if level.has(Isa::Avx2) => Way::Avx2,
            _ if level.has_neon_dotprod() => Way::NeonDotprod,
            _ if level.has(Isa::Neon) => Way::Neon,
            _ => Way::Plain,
        };
        assert_eq!(Way::new(level, 1), best);
        let amx = level.tiles() == Tiles::Allowed;
        assert_eq!(Way::new(level, 64), if amx { Way::Amx } else { best });
        assert_ne!(Way::new(level.without_amx(), 64), Way::Amx);
        assert_ne!(Way::new(level.at_most(Isa::Avx512), 1), Way::Avx512Vnni);
        assert_ne!(Way::new(level.at_most(Isa::Neon), 1), Way::NeonDotprod);
    }
    assert_eq!(scratch_len(1, 100), Some(50));
    assert_eq!(scratch_len(64, 7), Some(48));
    assert_eq!(scratch_len(64, usize::MAX), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_shape(m in 0..40usize, n in 0..140usize, k in 0..90usize, options: u64) {
        let case = Case::new((m, n, k), options & 0xff);
        for way in ways() {
            if way.1 != Way::Amx || m * n < 2000 {
                case.check_sums(way);
                check_stages(&case, options, way);
            }
        }
    }
}
