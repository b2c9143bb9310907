extern crate std;
use super::*;
use crate::kernels::suite::{Rng, assert_close, levels};
use crate::kernels::{Level, dispatch};
use proptest::prelude::*;
use std::{format, vec, vec::Vec};

/// A mask as tests make it: `[queries, keys]`, or one number a row, its rows `gap` further apart.
#[derive(Clone)]
struct Mask {
    data: Vec<f32>,
    spread: bool,
    replace: bool,
}

#[derive(Clone)]
struct Case {
    shape: [usize; 4],
    scale: f32,
    softcap: f32,
    masks: Vec<Mask>,
    causal: Option<isize>,
    unseeing: Unseeing,
    by_column: bool,
    gap: usize,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Case {
    fn new(shape: [usize; 4], seed: u64) -> Self {
        let [queries, keys, size, width] = shape;
        let mut rng = Rng::new(seed);
        let mut matrix = |rows: usize, cols: usize| {
            rng.vector(rows * cols).iter().map(|x| 2.0 * x).collect::<Vec<f32>>()
        };
        let (q, k, v) = (matrix(queries, size), matrix(keys, size), matrix(keys, width));
        Self {
            shape,
            scale: 0.5,
            softcap: 0.0,
            masks: Vec::new(),
            causal: None,
            unseeing: Unseeing::Nan,
            by_column: false,
            gap: 0,
            q,
            k,
            v,
        }
    }

    fn mask(mut self, replace: bool, spread: bool, value: impl Fn(usize, usize) -> f32) -> Self {
        let [queries, keys, ..] = self.shape;
        let cols = if spread { 1 } else { keys };
        let data = (0..queries * cols).map(|at| value(at / cols, at % cols)).collect();
        self.masks.push(Mask { data, spread, replace });
        self
    }

    /// What softmax of the whole scores gives.
    fn naive(&self) -> Vec<f32> {
        let [queries, keys, size, width] = self.shape;
        let mut y = Vec::new();
        for i in 0..queries {
            let score = |j: usize| {
                let products = (0..size)
                    .map(|p| f64::from(self.q[i * size + p]) * f64::from(self.k[j * size + p]));
                let mut x = products.sum::<f64>() * f64::from(self.scale);
                if self.softcap != 0.0 {
                    let cap = f64::from(self.softcap);
                    x = cap * libm::tanh(x / cap);
                }
                for mask in &self.masks {
                    let value = mask.data[if mask.spread { i } else { i * keys + j }];
                    match mask.replace {
                        true if value != 0.0 => x = f64::from(value),
                        true => {}
                        // In double precision no score is lost beside a mask.
                        false => x = f64::from((x + f64::from(value)) as f32),
                    }
                }
                if self.causal.is_some_and(|c| j as isize > (i as isize).saturating_add(c)) {
                    x = f64::NEG_INFINITY;
                }
                x
            };
            let scores: Vec<f64> = (0..keys).map(score).collect();
            let top = scores.iter().fold(f64::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
            let weights: Vec<f64> = scores.iter().map(|x| libm::exp(x - top)).collect();
            let sum: f64 = weights.iter().sum();
            let zero = match self.unseeing {
                Unseeing::Nan => false,
                Unseeing::Zero => scores.iter().all(|x| *x == f64::NEG_INFINITY),
                Unseeing::ZeroForNan => sum.is_nan(),
            };
            for col in 0..width {
                let value = |j: usize| f64::from(self.v[j * width + col]);
                let gathered: f64 =
                    weights.iter().enumerate().map(|(j, w)| w / sum * value(j)).sum();
                y.push(if zero { 0.0 } else { gathered as f32 });
            }
        }
        y
    }

    fn run(&self, level: Level) -> Vec<f32> {
        let [queries, keys, size, width] = self.shape;
        let (q, q_stride) = apart(&self.q, size, self.gap);
        let (k, k_stride) = if self.by_column {
            let turned: Vec<f32> =
                (0..size * keys).map(|at| self.k[at % keys * size + at / keys]).collect();
            apart(&turned, keys, self.gap)
        } else {
            apart(&self.k, size, self.gap)
        };
        let (v, v_stride) = apart(&self.v, width, self.gap);
        let masks: Vec<(Vec<f32>, usize)> = self
            .masks
            .iter()
            .map(|mask| apart(&mask.data, if mask.spread { 1 } else { keys }, self.gap))
            .collect();
        let masks: Vec<MaskRows<'_>> = self
            .masks
            .iter()
            .zip(&masks)
            .map(|(mask, (data, stride))| MaskRows {
                rows: Rows { data, stride: *stride },
                spread: mask.spread,
                replace: mask.replace,
            })
            .collect();
        let y_stride = width + self.gap;
        let len = if queries == 0 { 0 } else { (queries - 1) * y_stride + width };
        let (mut y, untouched) = (vec![7.5; len], 7.5);
        let mut scratch = vec![f32::NAN; scratch_len(queries, keys, size).unwrap()];
        for same_keys in [false, true] {
            let attention = AttentionF32 {
                queries,
                keys,
                size,
                width,
                scale: self.scale,
                softcap: self.softcap,
                masks: &masks,
                causal: self.causal,
                unseeing: self.unseeing,
                q: Rows { data: &q, stride: q_stride },
                k: Rows { data: &k, stride: k_stride },
                by_column: self.by_column,
                v: Rows { data: &v, stride: v_stride },
                y: &mut y,
                y_stride,
                scratch: &mut scratch,
                same_keys,
            };
            dispatch(level, Run(attention));
        }
        let mut got = Vec::new();
        for row in y.chunks(y_stride.max(1)).take(queries) {
            got.extend(&row[..width]);
            assert!(row[width..].iter().all(|x| *x == untouched));
        }
        got
    }

    fn check(&self, what: &str) {
        let wanted = self.naive();
        for level in levels() {
            let what = format!("{what} {:?} {}", self.shape, level.isa());
            assert_close(&self.run(level), &wanted, 4e-6, &what);
        }
    }
}

/// Rows with `gap` numbers between them.
fn apart(data: &[f32], cols: usize, gap: usize) -> (Vec<f32>, usize) {
    let mut out = Vec::new();
    for row in data.chunks(cols.max(1)) {
        out.extend(row);
        out.extend((0..gap).map(|_| f32::NAN));
    }
    out.truncate(out.len().saturating_sub(gap));
    (out, cols + gap)
}

struct Run<'a>(AttentionF32<'a>);

impl Vectorized for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        attention_f32(s, self.0);
    }
}

const SHAPES: [[usize; 4]; 17] = [
    [1, 1, 1, 1],
    [1, 70, 25, 33],
    [2, 300, 40, 36],
    [3, 5, 32, 32],
    [5, 5, 33, 31],
    [5, 129, 8, 64],
    [13, 16, 25, 25],
    [24, 128, 4, 4],
    [25, 17, 7, 100],
    [49, 260, 2, 3],
    // Keys of one panel: several blocks of queries, and rows of every number at their end.
    [5, 5, 8, 8],
    [31, 3, 33, 1],
    [26, 16, 16, 47],
    [3, 7, 0, 4],
    [3, 7, 4, 0],
    [4, 0, 3, 5],
    [0, 4, 3, 5],
];

#[test]
fn every_form_is_softmax_of_the_scores() {
    for (n, shape) in SHAPES.into_iter().enumerate() {
        let plain = Case::new(shape, n as u64);
        plain.check("plain");
        Case { gap: 3, by_column: true, ..plain.clone() }.check("by column, apart");
        Case { scale: -0.25, ..plain.clone() }.check("negative scale");
        Case { softcap: 1.5, ..plain.clone() }.check("capped");
        // The exponents are apart by less than a product of a score and the scale is rounded.
        Case { scale: 3e9, ..plain.clone() }.check("large scores");
        let bias = |i: usize, j: usize| (i * 7 + j * 3) as f32 % 5.0 - 2.0;
        let far = |i: usize, j: usize| {
            if j == 0 || !(i + j).is_multiple_of(3) { 0.0 } else { f32::NEG_INFINITY }
        };
        plain.clone().mask(false, false, bias).check("added");
        Case { gap: 2, ..plain.clone() }
            .mask(false, false, bias)
            .mask(false, true, |i, _| i as f32)
            .mask(true, false, far)
            .check("added twice and replaced");
        for causal in [-2, 0, 1, 40, 400, isize::MAX, isize::MIN] {
            let unseeing = if causal < 0 { Unseeing::Zero } else { Unseeing::Nan };
            let limited = Case { causal: Some(causal), unseeing, ..plain.clone() };
            limited.check(&format!("causal {causal}"));
            limited.mask(false, false, bias).check(&format!("causal {causal}, added"));
        }
    }
}

#[test]
fn whatever_is_no_number_stays_so() {
    let shapes = [[1, 9, 4, 4], [4, 9, 5, 18], [4, 40, 5, 18], [5, 300, 8, 8]];
    for (n, shape) in shapes.into_iter().enumerate() {
        let plain = Case::new(shape, 50 + n as u64);
        for unseeing in [Unseeing::Nan, Unseeing::Zero, Unseeing::ZeroForNan] {
            let case = Case { unseeing, ..plain.clone() };
            let none = |i: usize, _| if i.is_multiple_of(2) { f32::NEG_INFINITY } else { 0.0 };
            case.clone().mask(false, false, none).check("rows without a key");
            case.clone().mask(true, true, none).check("rows without a key, replaced");
            // One block of keys unseen, another seen.
            let late = |_, j: usize| if j < 150 { f32::NEG_INFINITY } else { 0.0 };
            case.clone().mask(false, false, late).check("late keys");
            let early = |_, j: usize| if j < 150 { 0.0 } else { f32::NEG_INFINITY };
            case.clone().mask(true, false, early).check("early keys");
            // As low as can be is a number: such rows see all keys alike.
            case.clone().mask(false, false, |_, _| f32::MIN).check("lowest");
            case.clone().mask(true, false, |_, j| f32::MIN * (j % 2) as f32).check("half lowest");
            let mut bad = case.clone();
            bad.q[0] = f32::NAN;
            bad.check("NaN in a query");
            case.mask(false, false, |i, j| if i == j { f32::INFINITY } else { 0.0 })
                .check("infinite score");
        }
    }
}

#[test]
fn scores_that_grow_from_block_to_block() {
    let mut case = Case { scale: 0.05, ..Case::new([30, 400, 16, 16], 9) };
    for (j, row) in case.k.chunks_mut(16).enumerate() {
        row.iter_mut().for_each(|x| *x *= 1.0 + j as f32 / 20.0);
    }
    case.check("growing");
    Case { by_column: true, causal: Some(200), ..case }.check("growing, causal");
}

#[test]
fn scratch_never_shrinks() {
    let lens = [0, 1, 2, 3, 16, 17, 128, 129, 1000];
    for queries in lens {
        for keys in lens {
            let here = scratch_len(queries, keys, 5).unwrap();
            assert!(here <= scratch_len(queries + 1, keys, 5).unwrap());
            assert!(here <= scratch_len(queries, keys + 1, 5).unwrap());
            assert!(here <= scratch_len(queries, keys, 6).unwrap());
        }
    }
    assert_eq!(scratch_len(usize::MAX, usize::MAX, 2), None);
    assert_eq!(scratch_len(5, 5, usize::MAX), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_shape(
        queries in 0..60usize, keys in 0..300usize, size in 0..40usize, width in 0..40usize,
        options: u64
    ) {
        let mut case = Case::new([queries, keys, size, width], options);
        case.by_column = options & 1 != 0;
        case.gap = (options >> 1 & 3) as usize;
        case.causal = (options & 8 != 0).then_some((options >> 4 & 63) as isize);
        if options & 1 << 10 != 0 {
            case = case.mask(false, false, |i, j| ((i * 5 + j) % 7) as f32);
        }
        case.check(&format!("{options:b}"));
    }
}
