//! Kernels against the ceilings of the machine.
//!
//! `cargo bench --bench kernels` first prints, for each instruction set, how close the kernels
//! come to two ceilings measured beside them: the rate of multiply-adds in registers and the
//! bandwidth of a sum over a buffer that fits the second-level cache. The runs are interleaved
//! and the fastest of each counts, so the ratios hold on a busy machine. Criterion follows.
//! Every answer is checked before the clock starts.

#[path = "timing/best.rs"]
mod best;
mod timing;

use best::Best;
use std::cell::Cell;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nowcast::kernels::ceiling::{MultiplyAdds, Stream};
use nowcast::kernels::gemm::{Activation, Bias, GemmF32, PANEL, gemm_f32};
use nowcast::kernels::number::UnaryCode;
use nowcast::kernels::pack::{pack_panels_f32, pack_transposed_f32, packed_len};
use nowcast::kernels::rows::softmax_f32;
use nowcast::kernels::{Isa, Level, Simd, Vectorized, dispatch, elementwise};

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0).collect()
}

/// A copy that begins at a cache line, as in an arena.
fn aligned(data: &[f32]) -> &'static mut [f32] {
    let room = vec![0.0; data.len() + 16].leak();
    let skip = room.as_ptr().align_offset(64);
    let copy = &mut room[skip..][..data.len()];
    copy.copy_from_slice(data);
    copy
}

/// Two vectors of 4096, half a page apart: at the same offset in their pages, a load would wait
/// for a store to the other.
fn input_and_output() -> (&'static [Cell<f32>], &'static [Cell<f32>]) {
    let both = Cell::from_mut(aligned(&numbers(4096 + 512 + 4096))).as_slice_of_cells();
    (&both[..4096], &both[4096 + 512..])
}

struct Gemm<'a> {
    m: usize,
    n: usize,
    k: usize,
    a: &'a [f32],
    b: &'a [f32],
    packed: bool,
    bias: &'a [f32],
    c: &'a mut [f32],
}

impl Vectorized for Gemm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { m, n, k, a, b, packed, bias, c } = self;
        let (b_k_stride, b_panel_stride) = if packed { (PANEL, PANEL * k) } else { (n, PANEL) };
        let (bias, activation) = (Bias::PerCol(bias), Activation::Relu);
        gemm_f32(
            s,
            GemmF32 {
                m,
                n,
                k,
                a_row_stride: k,
                a,
                b,
                b_k_stride,
                b_panel_stride,
                bias,
                activation,
                accumulate: false,
                c,
                c_row_stride: n,
            },
        );
    }
}

struct Unary<'a>(UnaryCode, &'a [Cell<f32>], &'a [Cell<f32>]);

impl Vectorized for Unary<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        elementwise::unary_f32(s, self.0, [0.0; 2], self.1, self.2);
    }
}

struct Softmax<'a>([usize; 2], &'a [Cell<f32>], &'a [Cell<f32>]);

impl Vectorized for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        softmax_f32(s, self.0, self.1, self.2);
    }
}

/// Keys of an attention head as the second operand of the product with its queries.
struct Pack<'a>(&'a [f32], &'a mut [f32]);

impl Vectorized for Pack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        pack_transposed_f32(s, self.0, 32, 64, 32, self.1);
    }
}

/// A product with its operands.
struct Case {
    m: usize,
    n: usize,
    k: usize,
    packed: bool,
    a: &'static [f32],
    b: &'static [f32],
    bias: &'static [f32],
    c: &'static mut [f32],
}

impl Case {
    fn new(m: usize, n: usize, k: usize, packed: bool) -> Self {
        let (a, plain) = (numbers(m * k), numbers(k * n));
        let mut b = plain.clone();
        if packed {
            b = vec![0.0; packed_len(k, n).unwrap()];
            pack_panels_f32(&plain, k, n, n, 1, &mut b);
        }
        let (bias, c) = (aligned(&numbers(n)), aligned(&vec![0.0; m * n]));
        let mut case = Self { m, n, k, packed, a: aligned(&a), b: aligned(&b), bias, c };
        case.run(Level::detect());
        for (i, j) in [(0, 0), (m - 1, n - 1), (m / 2, n / 3)] {
            let sum: f32 = (0..k).map(|p| case.a[i * k + p] * plain[p * n + j]).sum();
            let wanted = (sum + case.bias[j]).max(0.0);
            assert!((case.c[i * n + j] - wanted).abs() <= 1e-4 * k as f32);
        }
        case
    }

    fn run(&mut self, level: Level) {
        let Self { m, n, k, packed, a, b, bias, ref mut c } = *self;
        dispatch(level, Gemm { m, n, k, a, b, packed, bias, c });
    }

    fn name(&self) -> String {
        let layout = if self.packed { "packed" } else { "in place" };
        format!("gemm {}x{}x{} {layout}", self.m, self.k, self.n)
    }

    fn multiply_adds(&self) -> f64 {
        (self.m * self.n * self.k) as f64
    }
}

fn report(level: Level) {
    const ROUNDS: usize = 400;
    let peak_run = MultiplyAdds { steps: 100 };
    let multiply_adds = dispatch(level, peak_run) as f64;
    let lanes = match level.isa() {
        Isa::Avx512 => 16,
        Isa::Avx2 => 8,
        Isa::Neon => 4,
        _ => 1,
    };
    let mut cases: Vec<Case> = [
        (1, 256, 256, true),
        (1, 512, 256, true),
        (1, 256, 256, false),
        (1, 256, 32, true),
        (1, 100, 30, true),
        (2, 256, 256, true),
        (4, 256, 256, true),
        (5, 512, 128, true),
        (8, 256, 256, true),
        (12, 256, 256, true),
        (64, 512, 128, true),
        (64, 512, 128, false),
        (64, 128, 512, true),
        (192, 192, 192, true),
        (64, 64, 32, true),
        (77, 100, 100, true),
        (77, 300, 100, true),
    ]
    .into_iter()
    .map(|(m, n, k, packed)| Case::new(m, n, k, packed))
    .collect();
    let buffer = aligned(&numbers(320 << 8));
    let (x, y) = input_and_output();

    let mut times: Vec<Best> = (0..cases.len()).map(|_| Best(f64::INFINITY)).collect();
    let [mut peak, mut stream, mut tanh, mut exp, mut softmax, mut pack] =
        [const { Best(f64::INFINITY) }; 6];
    let (keys, panels) = (aligned(&numbers(64 * 32)), aligned(&[0.0; 64 * 32]));
    for _ in 0..ROUNDS {
        peak.measure(|| _ = dispatch(level, peak_run));
        stream.measure(|| dispatch(level, Stream(black_box(&*buffer))));
        for (case, time) in cases.iter_mut().zip(&mut times) {
            time.measure(|| case.run(level));
        }
        tanh.measure(|| dispatch(level, Unary(UnaryCode::Tanh, x, y)));
        exp.measure(|| dispatch(level, Unary(UnaryCode::Exp, x, y)));
        softmax.measure(|| dispatch(level, Softmax([64, 64], x, y)));
        pack.measure(|| dispatch(level, Pack(black_box(&*keys), panels)));
    }
    let rate = multiply_adds / peak.0;
    let bandwidth = (buffer.len() * 4) as f64 / stream.0;
    println!("{}: {:.1} G multiply-adds/s, {:.1} GB/s", level.isa(), rate / 1e9, bandwidth / 1e9);
    println!("| kernel | ns | of peak rate | of bandwidth |\n|---|---:|---:|---:|");
    for (case, time) in cases.iter().zip(&times) {
        let of_rate = case.multiply_adds() / time.0 / rate;
        let of_bandwidth = (case.b.len() * 4) as f64 / time.0 / bandwidth;
        let ns = time.0 * 1e9;
        println!("| {} | {ns:.0} | {of_rate:.2} | {of_bandwidth:.2} |", case.name());
    }
    for (name, time) in [("tanh", tanh), ("exp", exp), ("softmax 64x64", softmax)] {
        let vectors = x.len() as f64 / f64::from(lanes);
        let as_multiply_adds = time.0 * rate / f64::from(lanes) / vectors;
        println!(
            "| {name} | {:.0} | {as_multiply_adds:.1} multiply-adds a vector | |",
            time.0 * 1e9
        );
    }
    println!("| pack 64 rows of 32 transposed | {:.0} | | |\n", pack.0 * 1e9);
}

fn criterion(c: &mut Criterion) {
    let level = Level::detect();
    for (m, n, k) in [(1, 256, 256), (64, 512, 128)] {
        let mut case = Case::new(m, n, k, true);
        let mut group = c.benchmark_group("gemm_f32");
        group.throughput(Throughput::Elements((m * n * k) as u64));
        group.bench_function(case.name(), |b| b.iter(|| case.run(level)));
        group.finish();
    }
    let (x, y) = input_and_output();
    let mut group = c.benchmark_group("elementwise");
    group.throughput(Throughput::Elements(64 * 64));
    for op in [UnaryCode::Tanh, UnaryCode::Exp] {
        group.bench_function(format!("{op:?}"), |b| {
            b.iter(|| dispatch(level, Unary(op, x, y)));
        });
    }
    group.bench_function("softmax 64x64", |b| b.iter(|| dispatch(level, Softmax([64, 64], x, y))));
    group.finish();
}

fn main() {
    let best = Level::detect();
    for isa in Isa::ALL.into_iter().rev().filter(|&isa| best.has(isa) && isa != Isa::Scalar) {
        report(best.at_most(isa));
    }
    if std::env::args().any(|arg| arg == "--ceilings") {
        return;
    }
    let mut c = Criterion::default().configure_from_args();
    criterion(&mut c);
    c.final_summary();
}
