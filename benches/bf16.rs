//! Products with weights in bf16 beside those in f32, in each way that this CPU has.
//!
//! `cargo bench --bench bf16` prints nanoseconds and ratios for numbers of rows and sizes of
//! weights in the second and in the third cache. The runs are interleaved and the fastest of each
//! counts. Every answer is checked before the clock starts.

mod timing;

use nowcast::kernels::bf16::{pack_pairs, packed_pairs_len, round};
use nowcast::kernels::gemm::bf16::{GemmBf16, Way, gemm_bf16_by, rounded_len};
use nowcast::kernels::gemm::{Activation, Bias, GemmF32, PANEL, gemm_f32};
use nowcast::kernels::pack::{pack_panels_f32, packed_len};
use nowcast::kernels::{Isa, Level, Simd, Tiles, Vectorized, dispatch};

/// Products in a row, each with weights of its own: as the layers of a model.
struct Case {
    m: usize,
    k: usize,
    n: usize,
    layers: usize,
    a: Vec<f32>,
    panels: Vec<f32>,
    pairs: Vec<u32>,
    rounded: Vec<u32>,
    c: Vec<f32>,
}

/// A way, or f32.
type Choice = Option<Way>;

struct Run<'a>(&'a mut Case, Level, Choice);

impl Vectorized for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Run(case, level, choice) = self;
        let (panels, pairs) = (case.panels.len() / case.layers, case.pairs.len() / case.layers);
        for layer in 0..case.layers {
            let product = GemmF32 {
                m: case.m,
                n: case.n,
                k: case.k,
                a_row_stride: case.k,
                a: &case.a,
                b: &case.panels[layer * panels..][..panels],
                b_k_stride: PANEL,
                b_panel_stride: PANEL * case.k,
                bias: Bias::None,
                activation: Activation::Relu,
                accumulate: false,
                c: &mut case.c,
                c_row_stride: case.n,
            };
            let b = &case.pairs[layer * pairs..][..pairs];
            match choice {
                None => gemm_f32(s, product),
                Some(way) => {
                    let gemm = GemmBf16 { product, b, rounded: &mut case.rounded };
                    gemm_bf16_by(way, s, level, gemm);
                }
            }
        }
    }
}

impl Case {
    fn new(m: usize, k: usize, n: usize, layers: usize) -> Self {
        let number = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0;
        let numbers = |len: usize| (0..len).map(number).collect::<Vec<f32>>();
        let (a, w) = (numbers(m * k), numbers(k * n));
        let bits: Vec<u16> = w.iter().copied().map(round).collect();
        let mut panels = vec![0.0; packed_len(k, n).unwrap()];
        pack_panels_f32(&w, k, n, n, 1, &mut panels);
        let mut pairs = vec![0; packed_pairs_len(k, n).unwrap()];
        pack_pairs(&bits, k, n, n, 1, &mut pairs);
        Self {
            m,
            k,
            n,
            layers,
            a,
            panels: panels.repeat(layers),
            pairs: pairs.repeat(layers),
            rounded: vec![0; rounded_len(m.max(64), k).unwrap()],
            c: vec![0.0; m * n],
        }
    }

    fn check(&mut self, choices: &[(Level, Choice)]) {
        dispatch(Level::scalar(), Run(self, Level::scalar(), Some(Way::Widened)));
        let wanted = self.c.clone();
        let largest = wanted.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        for (level, choice) in choices {
            dispatch(*level, Run(self, *level, *choice));
            for (got, wanted) in self.c.iter().zip(&wanted) {
                assert!((got - wanted).abs() <= largest / 64.0, "{choice:?}: {got}, not {wanted}");
            }
        }
    }
}

fn main() {
    let best = Level::detect().ask_for_amx();
    let mut choices: Vec<(Level, Choice)> = Vec::new();
    for isa in Isa::ALL.into_iter().rev().filter(|isa| best.has(*isa) && *isa != Isa::Scalar) {
        choices.push((best.at_most(isa), None));
        choices.push((best.at_most(isa), Some(Way::Widened)));
    }
    if best.has_avx512_bf16() {
        choices.push((best, Some(Way::Avx512Bf16)));
    }
    if best.tiles() == Tiles::Allowed {
        choices.push((best, Some(Way::Amx)));
    }
    print!("| rows x depth x columns, layers |");
    for (level, choice) in &choices {
        print!(" {} {} |", level.isa(), choice.map_or("f32", Way::name));
    }
    println!();
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(60);
    let few = [1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64];
    let l2 = few.map(|m| (m, 256, 256, 1));
    let l3 = few.map(|m| (m, 128, 2048, 5));
    for (m, k, n, layers) in l2.into_iter().chain(l3).chain([(64, 2048, 128, 1), (77, 100, 300, 1)])
    {
        let mut case = Case::new(m, k, n, layers);
        case.check(&choices);
        let mut times = vec![f64::INFINITY; choices.len()];
        for _ in 0..rounds {
            for (time, (level, choice)) in times.iter_mut().zip(&choices) {
                *time =
                    time.min(timing::seconds(|| dispatch(*level, Run(&mut case, *level, *choice))));
            }
        }
        print!("| {m}x{k}x{n}, {layers} |");
        for time in &times {
            print!(" {:.0} ({:.2}) |", time * 1e9, time / times[0]);
        }
        println!();
    }
}
