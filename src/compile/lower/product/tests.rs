//! Products whose weights the caller has chosen to store in bf16.

use crate::compile::compile;
use crate::compile::harness::noise;
use crate::graph::ops::{Activation, SliceAxis};
use crate::graph::{Dim, Fact, Graph, Op, Port, Tensor, ValueId, VarId, Variable};
use crate::kernels::bf16::{round, widen};
use crate::kernels::gemm::bf16::Way;
use crate::kernels::suite::levels_and_beyond;
use crate::kernels::{Level, Tiles};
use crate::optimize::Kept;
use crate::optimize::bf16::narrow;
use crate::runtime::damage::{damage, damage_each_word};
use crate::runtime::{KernelId, Program, Session};
use crate::tensor::DType;

const K: usize = 37;
const N: usize = 21;

fn input(g: &mut Graph, name: &str, shape: &[Dim]) -> ValueId {
    let value = g.add_value(name, &Fact { dtype: DType::F32, shape: shape.to_vec() });
    g.inputs.push(Port { name: name.into(), value });
    value
}

fn node(g: &mut Graph, name: &str, op: Op, inputs: &[ValueId]) -> ValueId {
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    g.add_node(name, op, &inputs, &[]).expect("suits")[0]
}

fn output(g: &mut Graph, value: ValueId) {
    g.outputs.push(Port { name: format!("y{}", g.outputs.len()), value });
}

fn linear(activation: Activation, transposed: bool) -> Op {
    Op::Linear { activation, transposed }
}

/// `relu(x · w + b)` of the columns of `x` from 3 on, and `tanh(x · w)` with the transpose of `w`.
fn graph(rows: Dim) -> Graph {
    let mut g = Graph { variables: vec![Variable::chosen("n", 0, 40)], ..Graph::default() };
    let x = input(&mut g, "x", &[rows, Dim::Fixed(K as i64 + 3)]);
    let columns =
        SliceAxis { axis: 1, start: Dim::Fixed(3), step: 1, extent: Dim::Fixed(K as i64) };
    let x = node(&mut g, "slice", Op::Slice { axes: vec![columns] }, &[x]);
    let w = g.add_constant("w", noise(&[K, N], 1));
    let bias = g.add_constant("b", noise(&[N], 2));
    let y = node(&mut g, "first", linear(Activation::Relu, false), &[x, w, bias]);
    let plain = noise(&[K, N], 1).to_f64s();
    let turned: Vec<f32> = (0..K * N).map(|i| plain[i % K * N + i / K] as f32).collect();
    let turned = g.add_constant("turned", Tensor::new(&[N, K], &turned));
    let z = node(&mut g, "second", linear(Activation::Tanh, true), &[x, turned]);
    output(&mut g, y);
    output(&mut g, z);
    g
}

/// The two results of [`graph`] on rows of `x`, in double precision.
fn wanted(x: &[f32], way: Way) -> [Vec<f64>; 2] {
    let (w, bias) = (noise(&[K, N], 1), noise(&[N], 2));
    let (w, bias) = (w.as_slice::<f32>().expect("f32"), bias.to_f64s());
    let seen = |x: f32| f64::from(if way == Way::Widened { x } else { widen(round(x)) });
    let sums = x.chunks_exact(K + 3).flat_map(|row| {
        (0..N).map(move |j| {
            let product = |p: usize| seen(row[p + 3]) * f64::from(widen(round(w[p * N + j])));
            (0..K).map(product).sum::<f64>()
        })
    });
    let sums: Vec<f64> = sums.collect();
    let relu = |(i, x): (usize, &f64)| (x + bias[i % N]).max(0.0);
    [sums.iter().enumerate().map(relu).collect(), sums.iter().map(|x| x.tanh()).collect()]
}

fn check(program: &Program<'_>, level: Level, rows: usize) {
    let mut session = Session::new_at(program, level).expect("runs");
    let x = noise(&[rows, K + 3], 3);
    session.set_input_shape(0, x.shape()).expect("suits");
    session.input_bytes_mut(0).expect("there").copy_from_slice(x.bytes());
    session.run().expect("runs");
    let way = Way::new(session.level(), rows);
    let wanted = wanted(x.as_slice().expect("f32"), way);
    for (i, wanted) in wanted.iter().enumerate() {
        let got = &session.output::<f32>(i).expect("f32")[..rows * N];
        for (got, wanted) in got.iter().zip(wanted) {
            let close = (f64::from(*got) - wanted).abs() <= 1e-5 * wanted.abs().max(1.0);
            assert!(close, "{rows} rows, {}: {got}, not {wanted}", way.name());
        }
    }
}

#[test]
fn every_level_gives_the_answer_of_its_way() {
    for rows in [Dim::Fixed(1), Dim::Fixed(7), Dim::Fixed(33), Dim::var(VarId(0))] {
        let mut g = graph(rows.clone());
        let narrowed = narrow(&mut g);
        assert_eq!((narrowed.places, narrowed.kept.len()), (2, 0));
        let program = compile(&g).expect("compiles");
        let is_bf16 = |id| id == KernelId::LinearBf16;
        assert_eq!(program.steps().filter(|step| is_bf16(step.id)).count(), 2);
        for level in levels_and_beyond() {
            match rows.fixed() {
                Some(rows) => check(&program, level, rows as usize),
                None => (0..=40).step_by(5).for_each(|rows| check(&program, level, rows)),
            }
        }
        if rows.fixed().is_none() {
            damage_each_word("a product in bf16", &program, false);
            damage("a product in bf16", &program, 1, 50);
        }
    }
}

#[test]
fn weights_take_half_of_the_bytes() {
    let mut narrowed = graph(Dim::Fixed(4));
    narrow(&mut narrowed);
    let [plain, small] =
        [graph(Dim::Fixed(4)), narrowed].map(|g| compile(&g).expect("compiles").memory());
    let (panels, pairs) = (K * 32 * 4, K.div_ceil(2) * 32 * 4);
    assert_eq!(plain.constant_bytes - small.constant_bytes, 2 * (panels - pairs));
}

#[test]
fn tiles_are_asked_for_where_rows_fill_them() {
    for (rows, fills) in [(1, false), (40, true)] {
        let mut g = graph(Dim::Fixed(rows));
        let plain = compile(&g).expect("compiles");
        narrow(&mut g);
        let program = compile(&g).expect("compiles");
        for level in levels_and_beyond() {
            let tiles = |program| Session::new_at(program, level).expect("runs").level().tiles();
            assert_eq!(tiles(&plain), Tiles::None);
            assert_eq!(tiles(&program) != Tiles::None, fills && level.tiles() != Tiles::None);
            let step = program.steps().position(|s| s.id == KernelId::LinearBf16).expect("there");
            assert_eq!(program.way(step, level), Some(Way::new(level, rows as usize).name()));
            assert_eq!(plain.way(step, level), None);
        }
    }
}

#[test]
fn what_stays_f32_says_why() {
    let mut g = graph(Dim::Fixed(4));
    let a = input(&mut g, "a", &[2, 3].map(Dim::Fixed));
    let b = input(&mut g, "b", &[3, 4].map(Dim::Fixed));
    let product = node(&mut g, "of two", Op::MatMul, &[a, b]);
    output(&mut g, product);
    let left = g.add_constant("left", noise(&[5, 2], 4));
    let product = node(&mut g, "on the left", Op::MatMul, &[left, product]);
    output(&mut g, product);
    let huge = g.add_constant("huge", Tensor::new(&[3, 1], &[1.0, f32::MAX, f32::INFINITY]));
    let product = node(&mut g, "huge", linear(Activation::None, false), &[a, huge]);
    output(&mut g, product);
    let narrowed = narrow(&mut g);
    assert_eq!(narrowed.places, 2);
    let kept: Vec<_> =
        narrowed.kept.iter().map(|Kept { node, reason, .. }| (node.as_str(), *reason)).collect();
    assert_eq!(
        kept,
        [
            ("of two", "both operands are computed"),
            ("on the left", "its constant is no matrix that rows are multiplied with"),
            ("huge", "a weight is beyond the largest bf16"),
        ]
    );
    // What is read in f32 as well keeps its constant.
    let mut g = graph(Dim::Fixed(4));
    let w = g.nodes[1].inputs[1].expect("weights");
    output(&mut g, w);
    narrow(&mut g);
    assert!(g.value(w).constant.is_some());
    assert_eq!(compile(&g).expect("compiles").outputs().len(), 3);
}
