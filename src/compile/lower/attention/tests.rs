use super::super::super::compile;
use super::super::super::harness::{assert_same, noise, run, run_ranged};
use super::*;
use crate::graph::ops::{Attention, Binary, Compare, Unary};
use crate::graph::{Graph, Port, Tensor, VarId, Variable};
use crate::kernels::{Isa, Level};
use crate::runtime::damage::damage;
use crate::runtime::{Program, Session};

fn plain(scale: f32) -> Attention {
    Attention { scale, softcap: 0.0, masks: Vec::new(), causal: None, unseeing: Unseeing::Nan }
}

/// What the operators that attention stands for give.
fn decomposed(op: &Attention, operands: &[Tensor]) -> Vec<Tensor> {
    let mut g = Graph::default();
    let constants: Vec<ValueId> =
        operands.iter().map(|tensor| g.add_constant("x", tensor.clone())).collect();
    let [scale, zero, cap] =
        [op.scale, 0.0, op.softcap].map(|x| g.add_constant("x", Tensor::scalar(x)));
    let [q, k, v, masks @ ..] = &constants[..] else { panic!("too few operands") };
    let mut node = |op: Op, inputs: &[ValueId]| {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        g.add_node("n", op, &inputs, &[]).expect("suits")[0]
    };
    let mut perm: Vec<usize> = (0..operands[1].shape().len()).collect();
    let n = perm.len();
    perm.swap(n - 2, n - 1);
    let turned = node(Op::Transpose { perm }, &[*k]);
    let mut scores = node(Op::MatMul, &[*q, turned]);
    scores = node(Op::Binary(Binary::Mul), &[scores, scale]);
    if op.softcap != 0.0 {
        scores = node(Op::Binary(Binary::Div), &[scores, cap]);
        scores = node(Op::Unary(Unary::Tanh), &[scores]);
        scores = node(Op::Binary(Binary::Mul), &[scores, cap]);
    }
    for (kind, mask) in op.masks.iter().zip(masks) {
        scores = match kind {
            Mask::Add => node(Op::Binary(Binary::Add), &[scores, *mask]),
            Mask::Replace => {
                let keep = node(Op::Compare(Compare::Equal), &[*mask, zero]);
                node(Op::Where, &[keep, scores, *mask])
            }
        };
    }
    let axis = operands[0].shape().len().max(n) - 1;
    let weights = node(Op::Softmax { axis }, &[scores]);
    let y = node(Op::MatMul, &[weights, *v]);
    g.outputs.push(Port { name: "y".into(), value: y });
    let program = compile(&g).expect("compiles");
    results(&program, &[], Level::scalar())
}

fn results(program: &Program<'_>, inputs: &[&Tensor], level: Level) -> Vec<Tensor> {
    let mut session = Session::new_at(program, level).expect("runs");
    for (i, tensor) in inputs.iter().enumerate() {
        session.set_input_shape(i, tensor.shape()).expect("suits");
        session.input_bytes_mut(i).expect("there").copy_from_slice(tensor.bytes());
    }
    session.run().expect("runs");
    let of_port = |(i, port): (usize, crate::runtime::Port<'_>)| {
        let shape = session.output_shape(i).expect("there");
        Tensor::from_bytes(port.dtype, &shape, session.output_bytes(i).expect("there"))
    };
    program.outputs().enumerate().map(of_port).collect()
}

/// On every instruction set, without damage: that is for one test.
fn check(op: &Attention, operands: &[Tensor]) {
    let want = decomposed(op, operands);
    let mut g = Graph::default();
    let ids: Vec<_> =
        operands.iter().map(|tensor| Some(g.add_constant("x", tensor.clone()))).collect();
    let y = g.add_node("a", Op::Attention(op.clone()), &ids, &[]).expect("suits")[0];
    g.outputs.push(Port { name: "y".into(), value: y });
    let program = compile(&g).expect("compiles");
    for isa in Isa::ALL {
        assert_same(&results(&program, &[], Level::detect().at_most(isa)), &want);
    }
}

fn low(shape: &[usize]) -> Tensor {
    let noise = noise(shape, 77).to_f64s();
    let value = |x: &f64| if *x > 0.5 { f32::NEG_INFINITY } else { 0.0 };
    Tensor::new(shape, &noise.iter().map(value).collect::<Vec<f32>>())
}

#[test]
fn it_is_softmax_of_the_masked_scores_times_the_values() {
    let q = noise(&[2, 3, 5, 4], 1);
    let (k, v) = (noise(&[2, 3, 7, 4], 2), noise(&[2, 3, 7, 6], 3));
    let three = [q.clone(), k, v];
    check(&plain(0.5), &three);
    check(&Attention { softcap: 1.5, ..plain(-0.5) }, &three);
    let with = |masks: &[(Mask, Tensor)], three: &[Tensor]| {
        let (kinds, tensors): (Vec<Mask>, Vec<Tensor>) = masks.iter().cloned().unzip();
        check(&Attention { masks: kinds, ..plain(0.5) }, &[three, &tensors].concat());
    };
    with(&[(Mask::Add, noise(&[5, 7], 4))], &three);
    with(&[(Mask::Add, noise(&[3, 5, 1], 5)), (Mask::Replace, low(&[2, 1, 1, 7]))], &three);
    // Heads that share their keys, single queries among them, and operands of fewer axes.
    for rows in [1, 5] {
        let q = noise(&[2, 3, 4, rows, 4], 6);
        let shared = [q.clone(), noise(&[2, 3, 1, 7, 4], 7), noise(&[2, 3, 1, 7, 6], 8)];
        check(&plain(1.0), &shared);
        with(&[(Mask::Replace, low(&[2, 1, 1, rows, 7]))], &shared);
        check(&plain(1.0), &[q.clone(), noise(&[7, 4], 9), noise(&[7, 6], 10)]);
    }
    check(&plain(1.0), &[noise(&[1, 4], 1), noise(&[1, 4], 2), noise(&[1, 3], 3)]);
    let none = [noise(&[2, 5, 4], 1), noise(&[2, 0, 4], 2), noise(&[2, 0, 6], 3)];
    check(&plain(1.0), &none);
    check(&plain(1.0), &[noise(&[0, 4], 1), noise(&[3, 4], 2), noise(&[3, 6], 3)]);
}

#[test]
fn programs_are_damaged() {
    let operands = [
        noise(&[2, 3, 4, 4], 1),
        noise(&[2, 1, 7, 4], 2),
        noise(&[2, 1, 7, 6], 3),
        noise(&[4, 7], 4),
        low(&[2, 1, 1, 7]),
    ];
    let op = Attention { masks: vec![Mask::Add, Mask::Replace], ..plain(0.5) };
    let given: Vec<Option<Tensor>> = operands.iter().cloned().map(Some).collect();
    assert_same(&run(Op::Attention(op.clone()), &given), &decomposed(&op, &operands));
}

#[test]
fn keys_beyond_the_causal_limit_are_masked() {
    let three = [noise(&[2, 10, 4], 1), noise(&[2, 13, 4], 2), noise(&[2, 13, 6], 3)];
    let limit = |offset: i64| {
        let value = |at: usize| {
            if (at % 13) as i64 > (at / 13) as i64 + offset { f32::NEG_INFINITY } else { 0.0 }
        };
        Tensor::new(&[10, 13], &(0..10 * 13).map(value).collect::<Vec<f32>>())
    };
    for offset in [-2, 3] {
        let causal = Attention { causal: Some(Dim::Fixed(offset)), ..plain(0.5) };
        let given: Vec<Option<Tensor>> = three.iter().cloned().map(Some).collect();
        let masked = Attention { masks: vec![Mask::Add], ..plain(0.5) };
        let want = decomposed(&masked, &[&three[..], &[limit(offset)]].concat());
        assert_same(&run(Op::Attention(causal.clone()), &given), &want);
        let zero = Attention { unseeing: Unseeing::Zero, ..causal };
        let want: Vec<f32> =
            want[0].to_f64s().iter().map(|x| if x.is_nan() { 0.0 } else { *x as f32 }).collect();
        let want = [Tensor::new(&[2, 10, 6], &want)];
        assert_same(&run(Op::Attention(zero), &given), &want);
    }
}

#[test]
fn lengths_that_are_chosen_per_call() {
    for keys in [0, 8] {
        let three = [noise(&[2, 3, 4], 1), noise(&[2, keys, 4], 2), noise(&[2, keys, 6], 3)];
        let given: Vec<Option<Tensor>> = three.iter().cloned().map(Some).collect();
        let got = run_ranged(|_| Op::Attention(plain(0.5)), &given, &[(1, 1), (2, 1)]);
        assert_same(&got, &decomposed(&plain(0.5), &three));
    }
    // Three queries behind as many keys as there are.
    let three = [noise(&[8, 4], 1), noise(&[8, 4], 2), noise(&[8, 6], 3)];
    let given: Vec<Option<Tensor>> = three.iter().cloned().map(Some).collect();
    let causal = |n: Dim| Attention { causal: Some(n - Dim::Fixed(8)), ..plain(0.5) };
    let got = run_ranged(|n| Op::Attention(causal(n)), &given, &[(0, 0), (1, 0), (2, 0)]);
    let fixed = Attention { causal: Some(Dim::Fixed(0)), ..plain(0.5) };
    assert_same(&got, &run(Op::Attention(fixed), &given));
}

/// Queries, keys and values in one product, heads side by side, as encoders have them: no operand
/// is copied, nor is the result.
#[test]
fn views_and_the_merge_of_heads_cost_no_step() {
    let mut g = Graph { variables: vec![Variable::chosen("batch", 1, 3)], ..Graph::default() };
    let batch = Dim::var(VarId(0));
    let fixed = |shape: &[i64]| {
        [
            std::slice::from_ref(&batch),
            &shape.iter().map(|n| Dim::Fixed(*n)).collect::<Vec<_>>()[..],
        ]
        .concat()
    };
    let fact = crate::graph::Fact { dtype: DType::F32, shape: fixed(&[5, 24]) };
    let x = g.add_value("x", &fact);
    g.inputs.push(Port { name: "x".into(), value: x });
    let mut node = |op: Op, inputs: &[ValueId]| {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        g.add_node("n", op, &inputs, &[]).expect("suits")[0]
    };
    let heads = node(Op::Reshape { shape: fixed(&[5, 3, 2, 4]) }, &[x]);
    let heads = node(Op::Transpose { perm: vec![2, 0, 3, 1, 4] }, &[heads]);
    let parts = [0, 1, 2].map(|i| {
        let one = ops::SliceAxis { axis: 0, start: Dim::Fixed(i), step: 1, extent: Dim::Fixed(1) };
        let part = node(Op::Slice { axes: vec![one] }, &[heads]);
        node(Op::Reshape { shape: fixed(&[2, 5, 4]) }, &[part])
    });
    let y = node(Op::Attention(plain(0.5)), &parts);
    let merged = node(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]);
    let merged = node(Op::Reshape { shape: fixed(&[5, 8]) }, &[merged]);
    g.outputs.push(Port { name: "y".into(), value: merged });
    let program = compile(&g).expect("compiles");
    assert_eq!(program.steps().len(), 1, "{:?}", program.steps().collect::<Vec<_>>());
    let data = noise(&[2, 5, 3, 2, 4], 5);
    let pick = |part: usize| {
        let value = |at: usize| {
            let (batch, head, row, col) = (at / 40, at / 20 % 2, at / 4 % 5, at % 4);
            data.to_f64s()[((batch * 5 + row) * 3 + part) * 8 + head * 4 + col] as f32
        };
        Tensor::new(&[2, 2, 5, 4], &(0..80).map(value).collect::<Vec<f32>>())
    };
    let want = decomposed(&plain(0.5), &[pick(0), pick(1), pick(2)])[0].to_f64s();
    let value = |at: usize| {
        let (batch, row, head, col) = (at / 40, at / 8 % 5, at / 4 % 2, at % 4);
        want[(batch * 2 + head) * 20 + row * 4 + col] as f32
    };
    let want = Tensor::new(&[2, 5, 8], &(0..80).map(value).collect::<Vec<f32>>());
    for isa in Isa::ALL {
        let data = data.reshaped(&[2, 5, 24]);
        let got = results(&program, &[&data], Level::detect().at_most(isa));
        assert_same(&got, std::slice::from_ref(&want));
    }
    damage("an encoder", &program, 1, 50);
}

/// Heads that share keys: their axis and that of the groups are joined behind the attention.
#[test]
fn the_merge_of_grouped_heads_costs_no_step() {
    for rows in [1, 3] {
        let mut g = Graph::default();
        let three =
            [noise(&[2, 3, 2, rows, 4], 1), noise(&[2, 3, 1, 7, 4], 2), noise(&[2, 3, 1, 7, 4], 3)];
        let ids = three.each_ref().map(|tensor| {
            let id = g.add_constant("x", tensor.clone());
            g.value_mut(id).constant = None;
            g.inputs.push(Port { name: "x".into(), value: id });
            id
        });
        let fixed = |shape: &[usize]| shape.iter().map(|n| Dim::Fixed(*n as i64)).collect();
        let mut node = |op: Op, inputs: &[ValueId]| {
            let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
            g.add_node("n", op, &inputs, &[]).expect("suits")[0]
        };
        let y = node(Op::Attention(plain(0.5)), &ids);
        let y = node(Op::Reshape { shape: fixed(&[2, 6, rows, 4]) }, &[y]);
        let y = node(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]);
        let y = node(Op::Reshape { shape: fixed(&[2, rows, 24]) }, &[y]);
        g.outputs.push(Port { name: "y".into(), value: y });
        let program = compile(&g).expect("compiles");
        assert_eq!(program.steps().len(), 1);
        let want = decomposed(&plain(0.5), &three)[0].to_f64s();
        let value = |at: usize| {
            let (batch, row, head, col) = (at / 24 / rows, at / 24 % rows, at / 4 % 6, at % 4);
            want[((batch * 6 + head) * rows + row) * 4 + col] as f32
        };
        let len = 2 * rows * 24;
        let want = Tensor::new(&[2, rows, 24], &(0..len).map(value).collect::<Vec<f32>>());
        let inputs = three.each_ref();
        for isa in Isa::ALL {
            let got = results(&program, &inputs, Level::detect().at_most(isa));
            assert_same(&got, std::slice::from_ref(&want));
        }
        damage("grouped heads", &program, 1, 50);
    }
}

#[test]
fn keys_that_lie_by_column_are_not_copied() {
    let mut g = Graph::default();
    let three = [noise(&[2, 5, 4], 1), noise(&[2, 4, 20], 2), noise(&[2, 20, 4], 3)];
    let ids = three.each_ref().map(|tensor| {
        let id = g.add_constant("x", tensor.clone());
        g.value_mut(id).constant = None;
        g.inputs.push(Port { name: "x".into(), value: id });
        id
    });
    let turned = g.add_node("t", Op::Transpose { perm: vec![0, 2, 1] }, &[Some(ids[1])], &[]);
    let turned = turned.expect("suits")[0];
    let operands = [Some(ids[0]), Some(turned), Some(ids[2])];
    let y = g.add_node("a", Op::Attention(plain(0.5)), &operands, &[]).expect("suits")[0];
    g.outputs.push(Port { name: "y".into(), value: y });
    let program = compile(&g).expect("compiles");
    assert_eq!(program.steps().len(), 1);
    let data = three[1].to_f64s();
    let keys: Vec<f32> =
        (0..160).map(|at| data[at / 80 * 80 + at % 4 * 20 + at / 4 % 20] as f32).collect();
    let natural = [three[0].clone(), Tensor::new(&[2, 20, 4], &keys), three[2].clone()];
    let want = decomposed(&plain(0.5), &natural);
    let inputs = three.each_ref();
    for isa in Isa::ALL {
        assert_same(&results(&program, &inputs, Level::detect().at_most(isa)), &want);
    }
    damage("keys by column", &program, 1, 50);
}
