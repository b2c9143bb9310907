//! Products of eight-bit values beside those in f32, in each way that this CPU has.
//!
//! `cargo bench --bench int8` prints nanoseconds and, in brackets, how many times as fast as f32 at
//! the same level that is; both add a bias and clamp, and products of eight-bit values round the
//! result to eight bits. Then what rounding and its inverse take alone. The runs are interleaved
//! and the fastest of each counts. Every answer is checked before the clock starts.

mod timing;

use nowcast::kernels::ceiling::{MultiplyAdds, Stream};
use nowcast::kernels::gemm::int8::{GemmI8, Output, Stage, Way, Zeros, gemm_i8_by, scratch_len};
use nowcast::kernels::gemm::{Activation, Bias, GemmF32, PANEL, gemm_f32};
use nowcast::kernels::int8::{
    Grid8, dequantize_rows, dynamic_quantize, pack_quads, packed_quads_len, quantize_rows,
};
use nowcast::kernels::pack::{pack_panels_f32, packed_len};
use nowcast::kernels::{Isa, Level, Simd, Vectorized, dispatch};

const A: Grid8 = Grid8 { scale: 0.01, zero: 3, signed: true };
const C: Grid8 = Grid8 { scale: 0.05, zero: 10, signed: false };
const B_SCALE: f32 = 0.004;

struct Case {
    m: usize,
    k: usize,
    n: usize,
    a: Vec<f32>,
    bytes: Vec<u8>,
    panels: &'static [f32],
    quads: &'static [u32],
    sums: Vec<i32>,
    scales: Vec<f32>,
    bias: Vec<f32>,
    scratch: Vec<u32>,
    c: Vec<f32>,
    rounded: Vec<u8>,
}

/// A way, or f32.
type Choice = Option<Way>;

struct Run<'a>(&'a mut Case, Level, Choice);

impl Vectorized for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Run(case, level, choice) = self;
        let &mut Case { m, k, n, .. } = case;
        let Some(way) = choice else {
            let product = GemmF32 {
                m,
                n,
                k,
                a_row_stride: k,
                a: &case.a,
                b: case.panels,
                b_k_stride: PANEL,
                b_panel_stride: PANEL * k,
                bias: Bias::PerCol(&case.bias),
                activation: Activation::Relu,
                accumulate: false,
                c: &mut case.c,
                c_row_stride: n,
            };
            return gemm_f32(s, product);
        };
        let product = GemmI8 {
            m,
            n,
            k,
            a: &case.bytes,
            a_row_stride: k,
            windows: None,
            a_grid: A,
            b: case.quads,
            b_sums: &case.sums,
            b_scale: &case.scales,
            b_zero: Zeros::None,
            stages: &[Stage::AddRow(&case.bias), Stage::Activate(Activation::Relu)],
            output: Output::Quantized(&mut case.rounded, C.into()),
            c_row_stride: n,
            scratch: &mut case.scratch,
        };
        gemm_i8_by(way, s, level, product);
    }
}

/// A copy that begins at a cache line, as in an arena.
fn aligned<T: Copy + Default>(data: &[T]) -> &'static [T] {
    let room = vec![T::default(); data.len() + 64].leak();
    let skip = room.as_ptr().align_offset(64);
    room[skip..][..data.len()].copy_from_slice(data);
    &room[skip..][..data.len()]
}

impl Case {
    fn new(m: usize, k: usize, n: usize) -> Self {
        let byte = |i: usize| ((i * 2_654_435_761) >> 7) as u8;
        let bytes: Vec<u8> = (0..m * k).map(byte).collect();
        let weights: Vec<i8> = (0..k * n).map(|i| byte(i + 5) as i8).collect();
        let a = bytes.iter().map(|x| (A.value(*x) - A.zero) as f32 * A.scale).collect();
        let numbers: Vec<f32> = weights.iter().map(|x| f32::from(*x) * B_SCALE).collect();
        let mut panels = vec![0.0; packed_len(k, n).unwrap()];
        pack_panels_f32(&numbers, k, n, n, 1, &mut panels);
        let cols = n.next_multiple_of(PANEL);
        let (mut quads, mut sums) = (vec![0; packed_quads_len(k, n).unwrap()], vec![0; cols]);
        pack_quads(
            &weights.iter().map(|x| x.cast_unsigned()).collect::<Vec<_>>(),
            0,
            (k, n),
            (n, 1),
            &mut quads,
            &mut sums,
        );
        Self {
            m,
            k,
            n,
            a,
            bytes,
            panels: aligned(&panels),
            quads: aligned(&quads),
            sums,
            scales: vec![B_SCALE; cols],
            bias: (0..n).map(|i| i as f32 / n as f32).collect(),
            scratch: vec![0; scratch_len(m, k).unwrap()],
            c: vec![0.0; m * n],
            rounded: vec![0; m * n],
        }
    }

    fn check(&mut self, choices: &[(Level, Choice)]) {
        for &(level, choice) in choices {
            dispatch(level, Run(self, level, None));
            let Some(way) = choice else { continue };
            dispatch(level, Run(self, level, Some(way)));
            for (got, wanted) in self.rounded.iter().zip(&self.c) {
                let got = (C.value(*got) - C.zero) as f32 * C.scale;
                let wanted = wanted.min((255 - C.zero) as f32 * C.scale);
                assert!((got - wanted).abs() <= 0.51 * C.scale, "{way:?}: {got}, not {wanted}");
            }
        }
    }
}

/// What a loop over rows of numbers does.
#[derive(Clone, Copy)]
enum Rows {
    Quantize,
    Dynamic,
    Dequantize,
}

struct RunRows<'a>(Rows, &'a mut [f32], &'a mut [u8]);

impl Vectorized for RunRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.0 {
            Rows::Quantize => quantize_rows(s, C, self.1, self.2),
            Rows::Dynamic => {
                dynamic_quantize(s, self.1, self.2);
            }
            Rows::Dequantize => dequantize_rows(s, C, self.2, self.1),
        }
    }
}

fn main() {
    let best = Level::detect().ask_for_amx();
    let mut choices: Vec<(Level, Choice)> = Vec::new();
    let mut levels: Vec<Level> = Isa::ALL
        .into_iter()
        .filter(|isa| best.has(*isa) && *isa != Isa::Scalar)
        .map(|isa| best.at_most(isa))
        .collect();
    levels.push(best);
    for level in &levels {
        choices.push((*level, None));
        choices.push((*level, Some(Way::new(*level, 64))));
    }
    let rounds: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(60);
    print!("| rows x depth x columns |");
    for (level, choice) in &choices {
        print!(" {} {} |", level.isa(), choice.map_or("f32", Way::name));
    }
    println!();
    let sizes = [(256, 256), (128, 512), (512, 128), (100, 50)];
    for (m, k, n) in sizes.iter().flat_map(|(k, n)| [1, 2, 5, 16, 64].map(|m| (m, *k, *n))) {
        let mut case = Case::new(m, k, n);
        case.check(&choices);
        let mut times = vec![f64::INFINITY; choices.len()];
        for _ in 0..rounds {
            for (time, (level, choice)) in times.iter_mut().zip(&choices) {
                *time =
                    time.min(timing::seconds(|| dispatch(*level, Run(&mut case, *level, *choice))));
            }
        }
        print!("| {m}x{k}x{n} |");
        for (i, time) in times.iter().enumerate() {
            print!(" {:.0} ({:.2}) |", time * 1e9, times[i & !1] / time);
        }
        println!();
    }
    for level in levels {
        let (mut x, mut y) = (vec![0.7; 4096], vec![7; 4096]);
        let mut times = [f64::INFINITY; 5];
        for _ in 0..rounds {
            for (i, rows) in [Rows::Quantize, Rows::Dynamic, Rows::Dequantize].iter().enumerate() {
                let call = || dispatch(level, RunRows(*rows, &mut x, &mut y));
                times[i] = times[i].min(timing::seconds(call));
            }
            let steps = 1000;
            let mut count = 0;
            let seconds = timing::seconds(|| count = dispatch(level, MultiplyAdds { steps }));
            times[3] = times[3].min(seconds / count as f64);
            let big = vec![1.0; 1 << 16];
            times[4] = times[4].min(timing::seconds(|| dispatch(level, Stream(&big))));
        }
        println!(
            "{}: quantize, dynamic, dequantize: {:.0}, {:.0}, {:.0} ns for 4096; {:.1} G multiply-adds/s; {:.0} GB/s",
            level.isa(),
            times[0] * 1e9,
            times[1] * 1e9,
            times[2] * 1e9,
            1e-9 / times[3],
            4e-9 * (1 << 16) as f64 / times[4],
        );
    }
}
