//! Attention of one head against what its multiply-adds and exponentials take at best.
//!
//! `cargo bench --bench attention` prints, for each instruction set and shape, the time of a head,
//! the fraction of its limit, and the time of the same in parts: keys packed, product, scale,
//! softmax, product. All runs are interleaved and the fastest of each counts.

#[path = "timing/best.rs"]
mod best;
mod timing;

use best::Best;
use std::cell::Cell;
use std::hint::black_box;

use nowcast::kernels::attention::{
    AttentionF32, MaskRows, Rows, Unseeing, attention_f32, scratch_len,
};
use nowcast::kernels::gemm::{Activation, Bias, GemmF32, PANEL, gemm_f32};
use nowcast::kernels::pack::{pack_panels_f32, packed_len};
use nowcast::kernels::rows::softmax_f32;
use nowcast::kernels::{Isa, Level, Simd, Vectorized, dispatch};

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

/// Multiply-adds in twelve chains: the peak rate.
struct Peak(usize);

impl Vectorized for Peak {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (x, y) = (s.splat(black_box(0.999)), s.splat(black_box(0.001)));
        let mut sums = [x; 12];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = s.mul_add_relaxed(*sum, x, y);
            }
        }
        sums.into_iter().map(|sum| s.reduce_add(sum)).sum()
    }
}

struct Whole<'a>(AttentionF32<'a>);

impl Vectorized for Whole<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        attention_f32(s, self.0);
    }
}

/// Three operands of a head among others: rows of queries, keys and values stand side by side.
struct Head {
    shape: [usize; 3],
    causal: bool,
    mask: bool,
    stride: usize,
    data: &'static [f32],
    bias: &'static [f32],
    y: &'static mut [f32],
    parts: &'static mut [f32],
    scratch: &'static mut [f32],
    panels: &'static mut [f32],
    scores: &'static mut [f32],
}

impl Head {
    fn new([queries, keys, size]: [usize; 3], mask: bool, causal: bool) -> Self {
        let stride = 3 * 4 * size;
        let zeros = |len: usize| aligned(&vec![0.0; len]);
        let mut head = Self {
            shape: [queries, keys, size],
            causal,
            mask,
            stride,
            data: aligned(&numbers(stride * queries.max(keys))),
            bias: aligned(&numbers(queries * keys)),
            y: zeros(queries * size),
            parts: zeros(queries * size),
            scratch: zeros(scratch_len(queries, keys, size).unwrap()),
            panels: zeros(packed_len(size, keys).unwrap()),
            scores: zeros(queries * keys),
        };
        head.run(Level::detect());
        head.in_parts(Level::detect());
        for (a, b) in head.y.iter().zip(&*head.parts).filter(|_| !causal && !mask) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        head
    }

    fn run(&mut self, level: Level) {
        let ([queries, keys, size], stride) = (self.shape, self.stride);
        let rows = |at: usize| Rows { data: &self.data[at..], stride };
        let mask = [MaskRows {
            rows: Rows { data: self.bias, stride: keys },
            spread: false,
            replace: false,
        }];
        dispatch(
            level,
            Whole(AttentionF32 {
                queries,
                keys,
                size,
                width: size,
                scale: 0.3,
                softcap: 0.0,
                masks: if self.mask { &mask } else { &[] },
                causal: self.causal.then_some((keys - queries) as isize),
                unseeing: Unseeing::Nan,
                q: rows(0),
                k: rows(4 * size),
                by_column: false,
                v: rows(8 * size),
                y: self.y,
                y_stride: size,
                scratch: self.scratch,
                same_keys: false,
            }),
        );
    }

    fn in_parts(&mut self, level: Level) {
        dispatch(level, InParts(self));
    }
}

struct InParts<'a>(&'a mut Head);

impl Vectorized for InParts<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let head = self.0;
        let ([queries, keys, size], stride) = (head.shape, head.stride);
        pack_panels_f32(&head.data[4 * size..], size, keys, 1, stride, head.panels);
        let product = GemmF32 {
            m: queries,
            n: keys,
            k: size,
            a_row_stride: stride,
            a: head.data,
            b: head.panels,
            b_k_stride: PANEL,
            b_panel_stride: PANEL * size,
            bias: Bias::None,
            activation: Activation::None,
            accumulate: false,
            c: head.scores,
            c_row_stride: keys,
        };
        gemm_f32(s, product);
        for x in head.scores.chunks_mut(S::LANES) {
            s.store_tail(s.mul(s.load_tail(x), s.splat(0.3)), x);
        }
        let cells = Cell::from_mut(&mut *head.scores).as_slice_of_cells();
        softmax_f32(s, [queries, keys], cells, cells);
        let product = GemmF32 {
            m: queries,
            n: size,
            k: keys,
            a_row_stride: keys,
            a: head.scores,
            b: &head.data[8 * size..],
            b_k_stride: stride,
            b_panel_stride: PANEL,
            bias: Bias::None,
            activation: Activation::None,
            accumulate: false,
            c: head.parts,
            c_row_stride: size,
        };
        gemm_f32(s, product);
    }
}

fn report(level: Level) {
    const ROUNDS: usize = 200;
    /// Instructions of an exponential that the units of multiply-adds run.
    const EXP: f64 = 8.0;
    let lanes = match level.isa() {
        Isa::Avx512 => 16,
        Isa::Avx2 => 8,
        Isa::Neon => 4,
        _ => 1,
    };
    let shapes = [
        ([1, 512, 64], false, false),
        ([2, 512, 64], false, false),
        ([3, 512, 64], false, false),
        ([1, 64, 32], false, false),
        ([5, 5, 32], false, false),
        ([16, 16, 25], false, false),
        ([64, 64, 32], false, false),
        ([64, 64, 32], true, false),
        ([64, 64, 64], false, false),
        ([77, 77, 25], false, false),
        ([128, 128, 64], false, false),
        ([512, 512, 64], false, false),
        ([512, 512, 64], false, true),
    ];
    let mut heads: Vec<Head> =
        shapes.iter().map(|(shape, mask, causal)| Head::new(*shape, *mask, *causal)).collect();
    let mut times: Vec<[Best; 2]> =
        heads.iter().map(|_| [Best(f64::INFINITY), Best(f64::INFINITY)]).collect();
    let mut peak = Best(f64::INFINITY);
    for _ in 0..ROUNDS {
        peak.measure(|| _ = black_box(dispatch(level, Peak(100))));
        for (head, [whole, parts]) in heads.iter_mut().zip(&mut times) {
            whole.measure(|| head.run(level));
            parts.measure(|| head.in_parts(level));
        }
    }
    let rate = (12 * 100 * lanes) as f64 / peak.0;
    println!("{}: {:.1} G multiply-adds/s", level.isa(), rate / 1e9);
    println!("| queries x keys x size | ns | of the limit | in parts | ratio |");
    println!("|---|---:|---:|---:|---:|");
    for (head, [whole, parts]) in heads.iter().zip(&times) {
        let [queries, keys, size] = head.shape.map(|n| n as f64);
        let seen = if head.causal { 0.5 } else { 1.0 };
        let limit = queries * keys * seen * (2.0 * size + EXP) / rate;
        let kind = match (head.mask, head.causal) {
            (true, _) => ", mask",
            (_, true) => ", causal",
            _ => "",
        };
        println!(
            "| {queries}x{keys}x{size}{kind} | {:.0} | {:.2} | {:.0} | {:.2} |",
            whole.0 * 1e9,
            limit / whole.0,
            parts.0 * 1e9,
            whole.0 / parts.0
        );
    }
}

fn main() {
    let best = Level::detect();
    for isa in Isa::ALL.into_iter().rev().filter(|&isa| best.has(isa) && isa != Isa::Scalar) {
        report(best.at_most(isa));
    }
}
