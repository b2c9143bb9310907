//! Whole graphs, compiled and run.

use crate::graph::dim::Dim;
use crate::graph::ops::{Binary, SliceAxis, Unary};
use crate::graph::{Fact, Graph, Op, Port, State, Tensor, ValueId, VarId, Variable};
use crate::kernels::{Isa, Level};
use crate::runtime::damage::{damage, damage_each_word};
use crate::runtime::{KERNELS, Program, RunError, Session, ViewMut};
use crate::tensor::DType;

use super::compile;

fn fixed(shape: &[i64]) -> Vec<Dim> {
    shape.iter().map(|n| Dim::Fixed(*n)).collect()
}

fn input(graph: &mut Graph, name: &str, shape: Vec<Dim>) -> ValueId {
    let value = graph.add_value(name, &Fact { dtype: DType::F32, shape });
    graph.inputs.push(Port { name: name.into(), value });
    value
}

fn output(graph: &mut Graph, name: &str, value: ValueId) {
    graph.outputs.push(Port { name: name.into(), value });
}

fn node(graph: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    graph.add_node("n", op, &inputs, &[]).expect("suits")[0]
}

fn run_all_levels(program: &Program<'_>, check: impl Fn(&mut Session<'_>)) {
    for isa in Isa::ALL {
        let level = Level::detect().at_most(isa);
        let mut session = Session::new_at(program, level).expect("runs");
        check(&mut session);
    }
    damage_each_word("a graph", program, false);
    damage("a graph", program, 1, 50);
}

#[test]
fn views_cost_no_step_and_elementwise_runs_in_place() {
    let mut g = Graph::default();
    let x = input(&mut g, "x", fixed(&[2, 3]));
    let t = node(&mut g, Op::Transpose { perm: vec![1, 0] }, &[x]);
    let r = node(&mut g, Op::Unary(Unary::Neg), &[t]);
    let two = g.add_constant("two", Tensor::scalar(2.0f32));
    let s = node(&mut g, Op::Binary(Binary::Mul), &[r, two]);
    let y = node(&mut g, Op::Reshape { shape: fixed(&[6]) }, &[s]);
    output(&mut g, "y", y);
    let program = compile(&g).expect("compiles");
    assert_eq!(program.steps().len(), 2, "{:?}", program.steps().collect::<Vec<_>>());
    // The input and the result, each on a cache line.
    assert_eq!(program.memory().arena_bytes, 64 + 24);
    run_all_levels(&program, |session| {
        session.input_mut::<f32>(0).expect("f32").copy_from_slice(&[1., 2., 3., 4., 5., 6.]);
        session.run().expect("runs");
        assert_eq!(session.output::<f32>(0), Ok(&[-2., -8., -4., -10., -6., -12.][..]));
    });
}

#[test]
fn an_operand_read_twice_is_not_overwritten() {
    let mut g = Graph::default();
    let x = input(&mut g, "x", fixed(&[2, 2]));
    let a = node(&mut g, Op::Unary(Unary::Neg), &[x]);
    let t = node(&mut g, Op::Transpose { perm: vec![1, 0] }, &[a]);
    let y = node(&mut g, Op::Binary(Binary::Sub), &[a, t]);
    output(&mut g, "y", y);
    let program = compile(&g).expect("compiles");
    run_all_levels(&program, |session| {
        session.input_mut::<f32>(0).expect("f32").copy_from_slice(&[1., 2., 5., 4.]);
        session.run().expect("runs");
        assert_eq!(session.output::<f32>(0), Ok(&[0., 3., -3., 0.][..]));
    });
}

#[test]
fn a_cache_grows_with_each_run_until_it_is_full() {
    let mut g = Graph { variables: vec![Variable::chosen("past", 0, 3)], ..Graph::default() };
    let past = Dim::var(VarId(0));
    let cache = input(&mut g, "cache", vec![past, Dim::Fixed(2)]);
    let new = input(&mut g, "new", fixed(&[1, 2]));
    let y = node(&mut g, Op::Concat { axis: 0 }, &[cache, new]);
    output(&mut g, "present", y);
    g.states.push(State { input: 0, output: 0 });
    let program = compile(&g).expect("compiles");
    run_all_levels(&program, |session| {
        for i in 0..4 {
            session.input_mut::<f32>(1).expect("f32").fill(i as f32);
            session.run().expect("runs");
            assert_eq!(session.output_shape(0).expect("there")[..], [i + 1, 2]);
            let want: Vec<f32> = (0..=i).flat_map(|j| [j as f32; 2]).collect();
            assert_eq!(session.output::<f32>(0), Ok(&want[..]));
        }
        assert_eq!(session.run(), Err(RunError::StateFull { max: 3 }));
        session.reset();
        session.run().expect("runs again");
        assert_eq!(session.output_shape(0).expect("there")[..], [1, 2]);
    });
}

/// Small whole numbers, so that sums are exact in every order.
fn whole(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + seed * 13) % 11) as f32 - 5.0).collect()
}

fn product(a: &[f32], b: &[f32], (m, k, n): (usize, usize, usize)) -> Vec<f32> {
    (0..m * n).map(|i| (0..k).map(|p| a[i / n * k + p] * b[p * n + i % n]).sum()).collect()
}

/// The only row of a reversed axis lies in order, whatever the stride of that axis is.
#[test]
fn a_row_of_reversed_rows_is_an_operand_of_a_product() {
    let mut g = Graph::default();
    let x = input(&mut g, "x", fixed(&[2, 3]));
    let cut = |start: i64, step, extent: i64| {
        let (start, extent) = (Dim::Fixed(start), Dim::Fixed(extent));
        Op::Slice { axes: vec![SliceAxis { axis: 0, start, step, extent }] }
    };
    let reversed = node(&mut g, cut(1, -1, 2), &[x]);
    let row = node(&mut g, cut(1, 1, 1), &[reversed]);
    let w = g.add_constant("w", Tensor::new(&[3, 1], &[1.0f32, 10.0, 100.0]));
    let y = node(&mut g, Op::MatMul, &[row, w]);
    output(&mut g, "y", y);
    let program = compile(&g).expect("compiles");
    run_all_levels(&program, |session| {
        session.input_mut::<f32>(0).expect("f32").copy_from_slice(&[1., 2., 3., 4., 5., 6.]);
        session.run().expect("runs");
        assert_eq!(session.output::<f32>(0), Ok(&[321.0][..]));
    });
}

#[test]
fn products_of_views_equal_the_naive_ones() {
    // [heads, past, d] keys, transposed: the score product of an attention over a ranged cache.
    let mut g = Graph { variables: vec![Variable::chosen("past", 0, 40)], ..Graph::default() };
    let past = Dim::var(VarId(0));
    let q = input(&mut g, "q", fixed(&[2, 3, 5]));
    let keys = input(&mut g, "keys", vec![Dim::Fixed(2), past, Dim::Fixed(5)]);
    let t = node(&mut g, Op::Transpose { perm: vec![0, 2, 1] }, &[keys]);
    let scores = node(&mut g, Op::MatMul, &[q, t]);
    let back = node(&mut g, Op::MatMul, &[scores, keys]);
    output(&mut g, "scores", scores);
    output(&mut g, "back", back);
    let program = compile(&g).expect("compiles");
    run_all_levels(&program, |session| {
        for past in [0, 1, 17, 40] {
            session.set_extent("past", past).expect("in range");
            let (q, keys) = (whole(30, 1), whole(2 * past * 5, 2));
            session.input_mut::<f32>(0).expect("f32").copy_from_slice(&q);
            session.input_mut::<f32>(1).expect("f32").copy_from_slice(&keys);
            session.run().expect("runs");
            for head in 0..2 {
                let (q, k) = (&q[head * 15..][..15], &keys[head * past * 5..][..past * 5]);
                let turned: Vec<f32> = (0..5 * past).map(|i| k[i % past * 5 + i / past]).collect();
                let scores = product(q, &turned, (3, 5, past));
                let got = session.output::<f32>(0).expect("f32");
                assert_eq!(&got[head * 3 * past..][..3 * past], scores);
                let back = product(&scores, k, (3, past, 5));
                assert_eq!(&session.output::<f32>(1).expect("f32")[head * 15..][..15], back);
            }
        }
    });
}

#[test]
fn gemm_in_every_form_equals_the_naive_one() {
    // Each operand as it is stored, and turned by its node, by a view, or by both.
    let forms = (0..16).map(|bits| [0, 1, 2, 3].map(|i| bits >> i & 1 == 1));
    for [trans_a, trans_b, view_a, view_b] in forms {
        let with_c = trans_a == view_b;
        let (m, k, n) = (3, 7, 18);
        let (turned_a, turned_b) = (trans_a != view_a, trans_b != view_b);
        let mut g = Graph::default();
        let mut a = input(&mut g, "a", fixed(if turned_a { &[7, 3] } else { &[3, 7] }));
        let mut w = input(&mut g, "b", fixed(if turned_b { &[18, 7] } else { &[7, 18] }));
        let c = input(&mut g, "c", fixed(&[3, 1]));
        for (value, _) in [(&mut a, view_a), (&mut w, view_b)].into_iter().filter(|(_, v)| *v) {
            *value = node(&mut g, Op::Transpose { perm: vec![1, 0] }, &[*value]);
        }
        let op = Op::Gemm(crate::graph::ops::Gemm { alpha: 2.0, beta: 3.0, trans_a, trans_b });
        let inputs = [Some(a), Some(w), with_c.then_some(c)];
        let y = g.add_node("gemm", op, &inputs, &[]).expect("suits")[0];
        output(&mut g, "y", y);
        let program = compile(&g).expect("compiles");
        let (a, b, c) = (whole(m * k, 1), whole(k * n, 2), whole(m, 3));
        let turn = |x: &[f32], rows: usize, cols: usize| -> Vec<f32> {
            (0..rows * cols).map(|i| x[i % rows * cols + i / rows]).collect()
        };
        let stored_a = if turned_a { turn(&a, m, k) } else { a.clone() };
        let stored_b = if turned_b { turn(&b, k, n) } else { b.clone() };
        let want: Vec<f32> = product(&a, &b, (m, k, n))
            .iter()
            .enumerate()
            .map(|(i, x)| 2.0 * x + if with_c { 3.0 * c[i / n] } else { 0.0 })
            .collect();
        run_all_levels(&program, |session| {
            session.input_mut::<f32>(0).expect("f32").copy_from_slice(&stored_a);
            session.input_mut::<f32>(1).expect("f32").copy_from_slice(&stored_b);
            session.input_mut::<f32>(2).expect("f32").copy_from_slice(&c);
            session.run().expect("runs");
            let form = [trans_a, trans_b, view_a, view_b];
            assert_eq!(session.output::<f32>(0).expect("f32"), want, "{form:?}");
        });
    }
}

#[test]
fn a_program_is_plain_data() {
    let mut g = Graph::default();
    let x = input(&mut g, "x", fixed(&[1, 2]));
    let w = g.add_constant("w", Tensor::new(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]));
    let y = node(&mut g, Op::MatMul, &[x, w]);
    output(&mut g, "y", y);
    let compiled = compile(&g).expect("compiles");
    let borrowed = Program::from_words(compiled.words(), &KERNELS).expect("checks");
    assert_eq!(borrowed.words().as_ptr(), compiled.words().as_ptr());
    run_all_levels(&borrowed, |session| {
        session.input_mut::<f32>(0).expect("f32").copy_from_slice(&[10.0, 1.0]);
        session.run().expect("runs");
        assert_eq!(session.output::<f32>(0), Ok(&[13.0, 24.0][..]));
    });
    // Every word changed, one at a time, is refused or leaves a program that runs.
    damage_each_word("a product", &compiled, true);
}

#[test]
fn a_bias_of_zeros_makes_room_for_the_true_one() {
    let mut g = Graph::default();
    let x = input(&mut g, "x", fixed(&[1, 4]));
    let w = g.add_constant("w", Tensor::new(&[4, 3], &whole(12, 5)));
    let zero = g.add_constant("c", Tensor::scalar(0.0f32));
    let bias = g.add_constant("b", Tensor::new(&[1, 3], &[1.0f32, 2.0, 3.0]));
    let gemm = crate::graph::ops::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };
    let p = node(&mut g, Op::Gemm(gemm), &[x, w, zero]);
    let y = node(&mut g, Op::Binary(Binary::Add), &[p, bias]);
    output(&mut g, "y", y);
    crate::optimize::run(&mut g, &[]);
    let program = compile(&g).expect("compiles");
    assert_eq!(program.steps().map(|s| s.kernel).collect::<Vec<_>>(), ["linear_f32"]);
    run_all_levels(&program, |session| {
        session.run().expect("runs");
        assert_eq!(session.output::<f32>(0), Ok(&[1.0, 2.0, 3.0][..]));
    });
}

#[test]
fn constant_products_take_bias_and_activation_along() {
    let mut g = Graph::default();
    let x = input(&mut g, "x", fixed(&[2, 2, 4]));
    let weights = whole(4 * 21, 5);
    let w = g.add_constant("w", Tensor::new(&[4, 21], &weights));
    let bias = whole(21, 6);
    let b = g.add_constant("b", Tensor::vector(&bias));
    let p = node(&mut g, Op::MatMul, &[x, w]);
    let s = node(&mut g, Op::Binary(Binary::Add), &[b, p]);
    let y = node(&mut g, Op::Unary(Unary::Relu), &[s]);
    output(&mut g, "y", y);
    crate::optimize::run(&mut g, &[]);
    let program = compile(&g).expect("compiles");
    let kernels: Vec<_> = program.steps().map(|s| s.kernel).collect();
    assert_eq!(kernels, ["linear_f32"]);
    run_all_levels(&program, |session| {
        let x = whole(16, 7);
        session.input_mut::<f32>(0).expect("f32").copy_from_slice(&x);
        session.run().expect("runs");
        let want: Vec<f32> = product(&x, &weights, (4, 4, 21))
            .iter()
            .enumerate()
            .map(|(i, v)| (v + bias[i % 21]).max(0.0))
            .collect();
        assert_eq!(session.output::<f32>(0).expect("f32"), want);
    });
}

#[test]
fn a_cache_of_several_heads_grows_in_place() {
    let mut g = Graph { variables: vec![Variable::chosen("past", 0, 5)], ..Graph::default() };
    let past = Dim::var(VarId(0));
    let cache = input(&mut g, "cache", vec![Dim::Fixed(2), past, Dim::Fixed(3)]);
    let new = input(&mut g, "new", fixed(&[2, 1, 3]));
    let present = node(&mut g, Op::Concat { axis: 1 }, &[cache, new]);
    let turned = node(&mut g, Op::Transpose { perm: vec![0, 2, 1] }, &[present]);
    let scores = node(&mut g, Op::MatMul, &[new, turned]);
    output(&mut g, "scores", scores);
    output(&mut g, "present", present);
    g.states.push(State { input: 0, output: 1 });
    let program = compile(&g).expect("compiles");
    let kernels: Vec<_> = program.steps().map(|s| s.kernel).collect();
    // The new rows are copied to their place; the past is not.
    assert_eq!(kernels, ["copy", "matmul_f32"]);
    assert_eq!(program.memory().state_bytes, (2usize * 6 * 3 * 4).next_multiple_of(64));
    run_all_levels(&program, |session| {
        let mut rows: Vec<Vec<f32>> = Vec::new();
        for i in 0..4 {
            let new = whole(6, i);
            rows.push(new.clone());
            session.input_mut::<f32>(1).expect("f32").copy_from_slice(&new);
            session.run().expect("runs");
            let want: Vec<f32> = (0..2)
                .flat_map(|head| rows.iter().flat_map(move |r| r[head * 3..][..3].to_vec()))
                .collect();
            let mut got = vec![0.0; want.len()];
            session.copy_output(1, &mut got).expect("fits");
            assert_eq!(got, want);
            for head in 0..2 {
                for (j, row) in rows.iter().enumerate() {
                    let dot: f32 = (0..3).map(|d| new[head * 3 + d] * row[head * 3 + d]).sum();
                    let at = head * rows.len() + j;
                    assert_eq!(session.output::<f32>(0).expect("f32")[at], dot);
                }
            }
        }
        let mut saved = vec![0; session.snapshot_bytes()];
        session.snapshot(&mut saved).expect("fits");
        session.reset();
        session.restore(&saved).expect("fits");
        session.run().expect("runs");
        assert_eq!(session.output_shape(1).expect("there")[..], [2, 5, 3]);
    });
}

#[test]
fn an_output_that_is_a_part_has_memory_of_its_own() {
    let mut g = Graph { variables: vec![Variable::chosen("n", 0, 5)], ..Graph::default() };
    let n = Dim::var(VarId(0));
    let x = input(&mut g, "x", fixed(&[5]));
    let whole = node(&mut g, Op::Unary(Unary::Neg), &[x]);
    let cut = SliceAxis { axis: 0, start: Dim::Fixed(0), step: 1, extent: n };
    let y = node(&mut g, Op::Slice { axes: vec![cut] }, &[whole]);
    output(&mut g, "y", y);
    let program = compile(&g).expect("compiles");
    run_all_levels(&program, |session| {
        session.set_extent("n", 2).expect("in range");
        session.input_mut::<f32>(0).expect("f32").copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let mut y = [0.0f32; 2];
        session.run_with(&[], &mut [(0, ViewMut::new(&mut y))]).expect("suits");
        assert_eq!(y, [-1.0, -2.0]);
    });
}

#[test]
fn products_of_no_matrices_are_none() {
    let mut g = Graph { variables: vec![Variable::chosen("n", 0, 3)], ..Graph::default() };
    let n = Dim::var(VarId(0));
    let a = input(&mut g, "a", vec![n.clone(), Dim::Fixed(2), Dim::Fixed(5)]);
    let b = input(&mut g, "b", vec![n, Dim::Fixed(5), Dim::Fixed(3)]);
    let y = node(&mut g, Op::MatMul, &[a, b]);
    output(&mut g, "y", y);
    let program = compile(&g).expect("compiles");
    run_all_levels(&program, |session| {
        session.run().expect("runs");
        assert_eq!(session.output::<f32>(0), Ok(&[][..]));
    });
}

#[test]
fn a_value_is_not_overwritten_while_a_row_of_it_is_read() {
    let mut g = Graph::default();
    let x = input(&mut g, "x", fixed(&[3, 2]));
    let whole = node(&mut g, Op::Unary(Unary::Neg), &[x]);
    let axes = vec![SliceAxis { axis: 0, start: Dim::Fixed(0), step: 1, extent: Dim::Fixed(1) }];
    let row = node(&mut g, Op::Slice { axes }, &[whole]);
    let sum = node(&mut g, Op::Binary(Binary::Add), &[row, whole]);
    output(&mut g, "y", sum);
    run_all_levels(&compile(&g).expect("compiles"), |session| {
        session.input_mut::<f32>(0).expect("f32").copy_from_slice(&[1., 2., 3., 4., 5., 6.]);
        session.run().expect("runs");
        assert_eq!(session.output::<f32>(0), Ok(&[-2., -4., -4., -6., -6., -8.][..]));
    });
}
