//! Products with weights of eight and four bits beside those in f32 and in bf16.
//!
//! `cargo bench --bench narrow` prints nanoseconds of f32 and ratios to it for numbers of rows and
//! sizes of weights. The runs are interleaved and the fastest of each counts. Every answer is
//! checked before the clock starts.

mod timing;

use nowcast::kernels::bf16::{pack_pairs, packed_pairs_len, round};
use nowcast::kernels::gemm::bf16::{GemmBf16, gemm_bf16, rounded_len};
use nowcast::kernels::gemm::narrow::digits::digits_len;
use nowcast::kernels::gemm::narrow::{
    GemmNarrow, UNPACKED_ROWS, Way, gemm_narrow_by, unpacked_len,
};
use nowcast::kernels::gemm::{Activation, Bias, GemmF32, PANEL, gemm_f32};
use nowcast::kernels::narrow::{Bits, NarrowWeights, block_len};
use nowcast::kernels::pack::{pack_panels_f32, packed_len};
use nowcast::kernels::{Isa, Level, Simd, Vectorized, dispatch};

/// Products in a row, each with weights of its own: as the layers of a model.
struct Case {
    m: usize,
    k: usize,
    n: usize,
    layers: usize,
    block: usize,
    a: Vec<f32>,
    panels: Vec<f32>,
    pairs: Vec<u32>,
    rounded: Vec<u32>,
    words: [Vec<u32>; 2],
    scales: Vec<f32>,
    zeros: Vec<f32>,
    unpacked: Vec<f32>,
    digits: (Vec<u8>, Vec<f32>),
    c: Vec<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Choice {
    F32,
    Bf16,
    /// The bits, whether there are zero points, the way.
    Narrow(Bits, bool, Way),
}

struct Run<'a>(&'a mut Case, Level, Choice);

impl Vectorized for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Run(case, level, choice) = self;
        for layer in 0..case.layers {
            fn part<T>(all: &[T], layers: usize, layer: usize) -> &[T] {
                let len = all.len() / layers;
                &all[layer * len..][..len]
            }
            let product = GemmF32 {
                m: case.m,
                n: case.n,
                k: case.k,
                a_row_stride: case.k,
                a: &case.a,
                b: part(&case.panels, case.layers, layer),
                b_k_stride: PANEL,
                b_panel_stride: PANEL * case.k,
                bias: Bias::None,
                activation: Activation::Relu,
                accumulate: false,
                c: &mut case.c,
                c_row_stride: case.n,
            };
            match choice {
                Choice::F32 => gemm_f32(s, product),
                Choice::Bf16 => {
                    let b = part(&case.pairs, case.layers, layer);
                    gemm_bf16(s, level, GemmBf16 { product, b, rounded: &mut case.rounded });
                }
                Choice::Narrow(bits, zeros, way) => {
                    let words = &case.words[usize::from(bits == Bits::Eight)];
                    let weights = NarrowWeights {
                        bits,
                        words: part(words, case.layers, layer),
                        block: case.block,
                        scales: part(&case.scales, case.layers, layer),
                        zeros: if zeros { part(&case.zeros, case.layers, layer) } else { &[] },
                    };
                    let unpacked = &mut case.unpacked;
                    let digits = (&mut case.digits.0[..], &mut case.digits.1[..]);
                    let gemm = GemmNarrow { product, weights, unpacked, digits };
                    gemm_narrow_by(way, s, level, gemm);
                }
            }
        }
    }
}

impl Case {
    fn new(m: usize, k: usize, n: usize, layers: usize, block: usize) -> Self {
        let number = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0;
        let a = (0..m * k).map(number).collect::<Vec<f32>>();
        let integers: Vec<i8> = (0..k * n).map(|i| (number(i) * 8.0).floor() as i8).collect();
        let w: Vec<f32> = integers.iter().map(|x| f32::from(*x) * 0.125).collect();
        let bits: Vec<u16> = w.iter().copied().map(round).collect();
        let mut panels = vec![0.0; packed_len(k, n).unwrap()];
        pack_panels_f32(&w, k, n, n, 1, &mut panels);
        let mut pairs = vec![0; packed_pairs_len(k, n).unwrap()];
        pack_pairs(&bits, k, n, n, 1, &mut pairs);
        let words = [Bits::Four, Bits::Eight].map(|bits| {
            let mut words = vec![0; bits.packed_len(k, n).unwrap()];
            bits.pack(&integers, k, n, n, 1, &mut words);
            words.repeat(layers)
        });
        let (bytes, sums) = digits_len(m, k, block).unwrap();
        let blocks = block_len(k, n, block).unwrap() * layers;
        Self {
            m,
            k,
            n,
            layers,
            block,
            a,
            panels: panels.repeat(layers),
            pairs: pairs.repeat(layers),
            rounded: vec![0; rounded_len(m.max(64), k).unwrap()],
            words,
            scales: vec![0.125; blocks],
            zeros: vec![0.0; blocks],
            unpacked: vec![0.0; unpacked_len(UNPACKED_ROWS, k).unwrap()],
            digits: (vec![0; bytes], vec![0.0; sums]),
            c: vec![0.0; m * n],
        }
    }

    fn check(&mut self, choices: &[(Level, Choice)]) {
        dispatch(Level::scalar(), Run(self, Level::scalar(), Choice::F32));
        let wanted = self.c.clone();
        let largest = wanted.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        for (level, choice) in choices {
            dispatch(*level, Run(self, *level, *choice));
            let near = if *choice == Choice::Bf16 { 1.0 / 64.0 } else { 1e-5 };
            for (got, wanted) in self.c.iter().zip(&wanted) {
                assert!((got - wanted).abs() <= largest * near, "{choice:?}: {got}, not {wanted}");
            }
        }
    }
}

fn main() {
    let best = Level::detect();
    let mut choices: Vec<(Level, Choice)> = Vec::new();
    for isa in Isa::ALL.into_iter().rev().filter(|isa| best.has(*isa) && *isa != Isa::Scalar) {
        let level = best.at_most(isa);
        choices.extend([Choice::F32, Choice::Bf16].map(|choice| (level, choice)));
        for bits in [Bits::Eight, Bits::Four] {
            choices.push((level, Choice::Narrow(bits, false, Way::Widened)));
            choices.push((level, Choice::Narrow(bits, true, Way::Widened)));
            choices.push((level, Choice::Narrow(bits, false, Way::WrittenOut)));
        }
    }
    if best.has_avx512_vnni() {
        choices.extend([
            (best, Choice::F32),
            (best, Choice::Bf16),
            (best, Choice::Narrow(Bits::Eight, false, Way::Digits)),
            (best, Choice::Narrow(Bits::Eight, true, Way::Digits)),
            (best, Choice::Narrow(Bits::Eight, false, Way::WrittenOut)),
            (best, Choice::Narrow(Bits::Four, false, Way::Digits)),
            (best, Choice::Narrow(Bits::Four, true, Way::Digits)),
            (best, Choice::Narrow(Bits::Four, false, Way::WrittenOut)),
        ]);
    }
    let argument = |i: usize| std::env::args().nth(i).and_then(|n| n.parse().ok());
    let rounds = argument(1).unwrap_or(60);
    println!(
        "| rows x depth x columns, layers, block | f32, ns | bf16 | 8 bits | with zeros | written | 4 bits | with zeros | written |"
    );
    for (k, n, layers) in [
        (100, 50, 1),
        (256, 256, 1),
        (128, 512, 1),
        (512, 128, 1),
        (128, 2048, 1),
        (2048, 128, 1),
        (128, 2048, 5),
    ] {
        for m in [1, 2, 3, 5, 8, 12, 16, 64] {
            for block in [1 << 20, 32] {
                let mut case = Case::new(m, k, n, layers, block);
                case.check(&choices);
                let mut times = vec![f64::INFINITY; choices.len()];
                for _ in 0..rounds {
                    for (time, (level, choice)) in times.iter_mut().zip(&choices) {
                        *time = time.min(timing::seconds(|| {
                            dispatch(*level, Run(&mut case, *level, *choice))
                        }));
                    }
                }
                let block = if block > k { "-".to_owned() } else { block.to_string() };
                let width = 8;
                for (choices, times) in choices.chunks(width).zip(times.chunks(width)) {
                    print!(
                        "| {} {m}x{k}x{n}, {layers}, {block} | {:.0} |",
                        if choices[2].1 == Choice::Narrow(Bits::Eight, false, Way::Digits) {
                            "digits"
                        } else {
                            choices[0].0.isa().name()
                        },
                        times[0] * 1e9
                    );
                    for time in &times[1..] {
                        print!(" {:.2} |", time / times[0]);
                    }
                    println!();
                }
            }
        }
    }
}
