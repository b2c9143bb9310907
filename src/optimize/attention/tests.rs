//! Each form is run before and after the pass.

use super::*;
use crate::compile::compile;
use crate::graph::ops::{Binary, Block, Branches, Compare, Logic, Reduce, ReduceKind, Unary};
use crate::graph::{Fact, Port, VarId, Variable};
use crate::runtime::Session;

struct Net(Graph);

impl Net {
    fn new() -> Self {
        Self(Graph { variables: vec![Variable::chosen("n", 1, 9)], ..Graph::default() })
    }

    /// A negative extent is the variable.
    fn input(&mut self, dtype: DType, shape: &[i64]) -> ValueId {
        let dim = |n: &i64| if *n < 0 { Dim::var(VarId(0)) } else { Dim::Fixed(*n) };
        let fact = Fact { dtype, shape: shape.iter().map(dim).collect() };
        let name = format!("x{}", self.0.inputs.len());
        let value = self.0.add_value(name.clone(), &fact);
        self.0.inputs.push(Port { name, value });
        value
    }

    fn f32(&mut self, shape: &[i64]) -> ValueId {
        self.input(DType::F32, shape)
    }

    /// `[2, 3, 5, 4]`, `[2, 3, 7, 4]`, `[2, 3, 7, 6]`.
    fn three(&mut self) -> [ValueId; 3] {
        [self.f32(&[2, 3, 5, 4]), self.f32(&[2, 3, 7, 4]), self.f32(&[2, 3, 7, 6])]
    }

    fn constant(&mut self, shape: &[usize], data: &[f32]) -> ValueId {
        self.0.add_constant("c", Tensor::new(shape, data))
    }

    fn scalar(&mut self, x: f32) -> ValueId {
        self.constant(&[], &[x])
    }

    fn node(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        self.0.add_node("n", op, &inputs, &[]).expect("suits")[0]
    }

    fn binary(&mut self, op: Binary, a: ValueId, b: ValueId) -> ValueId {
        self.node(Op::Binary(op), &[a, b])
    }

    fn with(&mut self, op: Binary, a: ValueId, b: f32) -> ValueId {
        let b = self.scalar(b);
        self.binary(op, a, b)
    }

    fn turn(&mut self, x: ValueId) -> ValueId {
        let perm = swap(self.0.value(x).shape.len());
        self.node(Op::Transpose { perm }, &[x])
    }

    fn reshape(&mut self, x: ValueId, shape: &[i64]) -> ValueId {
        let shape = shape.iter().map(|n| Dim::Fixed(*n)).collect();
        self.node(Op::Reshape { shape }, &[x])
    }

    fn product(&mut self, q: ValueId, k: ValueId) -> ValueId {
        let k = self.turn(k);
        self.node(Op::MatMul, &[q, k])
    }

    fn softmax(&mut self, x: ValueId) -> ValueId {
        let axis = self.0.value(x).shape.len() - 1;
        self.node(Op::Softmax { axis }, &[x])
    }

    /// `softmax(scores) v` as the output.
    fn gather(&mut self, scores: ValueId, v: ValueId) {
        let weights = self.softmax(scores);
        let y = self.node(Op::MatMul, &[weights, v]);
        self.output(y);
    }

    fn output(&mut self, value: ValueId) {
        self.0.outputs.push(Port { name: "y".into(), value });
    }

    fn run(&self) -> Vec<Vec<f32>> {
        let program = compile(&self.0).expect("compiles");
        let mut session = Session::new(&program).expect("runs");
        let mut state = 1u32;
        for (i, port) in self.0.inputs.iter().enumerate() {
            let shape = &self.0.value(port.value).shape;
            let shape: Vec<usize> = shape.iter().map(|d| d.fixed().unwrap_or(6) as usize).collect();
            session.set_input_shape(i, &shape).expect("suits");
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            };
            if self.0.value(port.value).dtype == DType::Bool {
                let input = session.input_bytes_mut(i).expect("there");
                input.iter_mut().for_each(|x| *x = u8::from(next() > -0.3));
            } else {
                session.input_mut::<f32>(i).expect("f32").fill_with(&mut next);
            }
        }
        session.run().expect("runs");
        (0..self.0.outputs.len()).map(|o| session.output::<f32>(o).expect("f32").to_vec()).collect()
    }

    /// Fuses it, sees that the answer stays, and gives what it became.
    fn fused(mut self, places: usize) -> Vec<Attention> {
        let want = self.run();
        assert_eq!(fuse(&mut self.0), places, "{}", self.0);
        let got = self.run();
        let largest =
            want.iter().flatten().filter(|x| x.is_finite()).fold(0f32, |a, x| a.max(x.abs()));
        for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
            let same = (got - want).abs() <= 1e-5 * largest || got.is_nan() && want.is_nan();
            assert!(same, "{got} {want}\n{}", self.0);
        }
        let of = |node: &Node| match &node.op {
            Op::Attention(op) => Some(op.clone()),
            _ => None,
        };
        let left = self.0.nodes.iter().filter(|n| matches!(n.op, Op::Softmax { .. })).count();
        assert!(places == 0 || left == 0, "{}", self.0);
        self.0.nodes.iter().filter_map(of).collect()
    }
}

const LOW: f32 = f32::NEG_INFINITY;

#[test]
fn scales_wherever_they_stand() {
    let mut net = Net::new();
    let [q, k, v] = net.three();
    let (q, k) = (net.with(Binary::Mul, q, 0.5), net.turn(k));
    let four = net.constant(&[1], &[4.0]);
    let k = net.binary(Binary::Div, k, four);
    let scores = net.node(Op::MatMul, &[q, k]);
    let two = net.scalar(2.0);
    let scores = net.binary(Binary::Mul, two, scores);
    let scores = net.with(Binary::Div, scores, 3.0);
    net.gather(scores, v);
    assert_eq!(net.fused(1)[0].scale, (0.25 / 3.0) as f32);
    // A factor for each column is no scale.
    let mut net = Net::new();
    let [q, k, v] = net.three();
    let scores = net.product(q, k);
    let each = net.constant(&[7], &[1., 2., 3., 4., 5., 6., 7.]);
    let scores = net.binary(Binary::Mul, scores, each);
    net.gather(scores, v);
    net.fused(0);
}

#[test]
fn scores_are_bent_before_they_are_masked() {
    let mut net = Net::new();
    let [q, k, v] = net.three();
    let mask = net.f32(&[2, 1, 1, 7]);
    let scores = net.product(q, k);
    let scores = net.with(Binary::Mul, scores, 0.5);
    let scores = net.with(Binary::Div, scores, 2.5);
    let scores = net.node(Op::Unary(Unary::Tanh), &[scores]);
    let scores = net.with(Binary::Mul, scores, 2.5);
    let scores = net.binary(Binary::Add, mask, scores);
    net.gather(scores, v);
    let op = net.fused(1).remove(0);
    assert_eq!((op.scale, op.softcap, &op.masks[..]), (0.5, 2.5, &[Mask::Add][..]));
}

#[test]
fn masks_of_every_kind_in_their_order() {
    for (keep, fill) in [(true, LOW), (false, -1e9), (false, f32::MIN), (true, -5.0)] {
        let mut net = Net::new();
        let [q, k, v] = net.three();
        let (bias, seen) = (net.f32(&[3, 5, 7]), net.input(DType::Bool, &[2, 1, 1, 7]));
        let scores = net.product(q, k);
        let scores = net.binary(Binary::Add, scores, bias);
        let fill = net.constant(&[1, 1], &[fill]);
        let [a, b] = if keep { [scores, fill] } else { [fill, scores] };
        let scores = net.node(Op::Where, &[seen, a, b]);
        net.gather(scores, v);
        assert_eq!(net.fused(1)[0].masks, [Mask::Add, Mask::Replace]);
    }
    // What is masked with zero is no mask, nor is a mask that is scaled with the scores.
    let mut net = Net::new();
    let ([q, k, v], seen) = (net.three(), net.input(DType::Bool, &[7]));
    let scores = net.product(q, k);
    let zero = net.scalar(0.0);
    let scores = net.node(Op::Where, &[seen, scores, zero]);
    net.gather(scores, v);
    net.fused(0);
    let mut net = Net::new();
    let ([q, k, v], bias) = (net.three(), net.f32(&[5, 7]));
    let scores = net.product(q, k);
    let scores = net.binary(Binary::Add, scores, bias);
    let scores = net.with(Binary::Mul, scores, 0.5);
    net.gather(scores, v);
    net.fused(0);
    // A mask that makes more scores of one.
    let mut net = Net::new();
    let (q, k, v) = (net.f32(&[5, 4]), net.f32(&[7, 4]), net.f32(&[7, 6]));
    let bias = net.f32(&[3, 5, 7]);
    let scores = net.product(q, k);
    let scores = net.binary(Binary::Add, scores, bias);
    net.gather(scores, v);
    net.fused(0);
}

#[test]
fn constant_triangles_are_limits() {
    let triangle: Vec<f32> = (0..36).map(|at| if at % 6 > at / 6 { LOW } else { 0.0 }).collect();
    let kept: Vec<u8> = triangle.iter().map(|x| u8::from(*x == 0.0)).collect();
    for as_condition in [false, true] {
        let mut net = Net::new();
        let (q, k, v) = (net.f32(&[2, 6, 4]), net.f32(&[2, 6, 4]), net.f32(&[2, 6, 4]));
        let mut scores = net.product(q, k);
        if as_condition {
            let kept = Tensor::from_bytes(DType::Bool, &[1, 6, 6], &kept);
            let kept = net.0.add_constant("c", kept);
            let far = net.scalar(-1e10);
            scores = net.node(Op::Where, &[kept, scores, far]);
        } else {
            let mask = net.constant(&[6, 6], &triangle);
            scores = net.binary(Binary::Add, scores, mask);
        }
        net.gather(scores, v);
        let op = net.fused(1).remove(0);
        assert_eq!((op.causal, op.masks.len()), (Some(Dim::Fixed(0)), 0));
    }
    // Beside another mask only where nothing is as far below.
    for (low, chosen, limited) in
        [(LOW, false, true), (-1e9, false, false), (LOW, true, false), (-1e9, true, false)]
    {
        let mut net = Net::new();
        let (q, k, v) = (net.f32(&[2, 6, 4]), net.f32(&[2, 6, 4]), net.f32(&[2, 6, 4]));
        let seen = net.input(DType::Bool, &[2, 1, 6]);
        let (zero, far) = (net.scalar(0.0), net.scalar(-1e9));
        let triangle: Vec<f32> =
            triangle.iter().map(|x| if *x == LOW { low } else { 0.0 }).collect();
        let triangle = net.constant(&[6, 6], &triangle);
        let scores = net.product(q, k);
        let scores = net.binary(Binary::Add, scores, triangle);
        let scores = if chosen {
            net.node(Op::Where, &[seen, scores, far])
        } else {
            let mask = net.node(Op::Where, &[seen, zero, far]);
            net.binary(Binary::Add, scores, mask)
        };
        net.gather(scores, v);
        assert_eq!(net.fused(1)[0].causal.is_some(), limited);
    }
}

#[test]
fn products_the_other_way_round() {
    // As `einsum` writes it: keys times queries, transposed.
    let mut net = Net::new();
    let ([q, k, v], mask) = (net.three(), net.f32(&[5, 7]));
    let scores = net.product(k, q);
    let scores = net.turn(scores);
    let scores = net.with(Binary::Mul, scores, 0.5);
    let scores = net.binary(Binary::Add, scores, mask);
    let weights = net.softmax(scores);
    let (weights, v) = (net.turn(weights), net.turn(v));
    let y = net.node(Op::MatMul, &[v, weights]);
    let y = net.turn(y);
    net.output(y);
    net.fused(1);
    // A mask of the scores that are transposed after.
    let mut net = Net::new();
    let ([q, k, v], mask) = (net.three(), net.f32(&[7, 5]));
    let scores = net.product(k, q);
    let scores = net.binary(Binary::Add, scores, mask);
    let scores = net.turn(scores);
    net.gather(scores, v);
    net.fused(0);
}

#[test]
fn batches_and_heads_joined_for_the_products_alone() {
    let mut net = Net::new();
    let (q, k, v) = (net.f32(&[6, 5, 4]), net.f32(&[6, 7, 4]), net.f32(&[6, 7, 8]));
    let mask = net.f32(&[2, 1, 5, 7]);
    let scores = net.product(q, k);
    let scores = net.reshape(scores, &[2, 3, 5, 7]);
    let scores = net.binary(Binary::Add, scores, mask);
    let scores = net.reshape(scores, &[6, 5, 7]);
    let weights = net.softmax(scores);
    let y = net.node(Op::MatMul, &[weights, v]);
    let y = net.reshape(y, &[2, 3, 5, 8]);
    let y = net.node(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]);
    net.output(y);
    net.fused(1);
    // Without the reader that takes them apart again.
    let mut net = Net::new();
    let (q, k, v) = (net.f32(&[6, 5, 4]), net.f32(&[6, 7, 4]), net.f32(&[6, 7, 8]));
    let mask = net.f32(&[3, 5, 7]);
    let scores = net.product(q, k);
    let scores = net.reshape(scores, &[2, 3, 5, 7]);
    let scores = net.binary(Binary::Add, scores, mask);
    let weights = net.softmax(scores);
    let weights = net.reshape(weights, &[6, 5, 7]);
    let y = net.node(Op::MatMul, &[weights, v]);
    net.output(y);
    net.fused(1);
    // Keys that all share cannot be taken apart.
    let mut net = Net::new();
    let (q, k, v) = (net.f32(&[6, 5, 4]), net.f32(&[7, 4]), net.f32(&[6, 7, 8]));
    let scores = net.product(q, k);
    let scores = net.reshape(scores, &[2, 3, 5, 7]);
    let mask = net.f32(&[3, 5, 7]);
    let scores = net.binary(Binary::Add, scores, mask);
    let scores = net.reshape(scores, &[6, 5, 7]);
    net.gather(scores, v);
    net.fused(0);
}

/// Groups of heads have an axis of their own in the products, none where scores are masked.
#[test]
fn groups_joined_for_their_masks_alone() {
    for bias in [&[5, 7][..], &[2, 1, 5, 7], &[6, 1, 7], &[1, 1, 1, 7]] {
        let mut net = Net::new();
        let (q, k) = (net.f32(&[2, 3, 2, 5, 4]), net.f32(&[2, 3, 1, 7, 4]));
        let (v, bias) = (net.f32(&[2, 3, 1, 7, 8]), net.f32(bias));
        let scores = net.product(q, k);
        let scores = net.reshape(scores, &[2, 6, 5, 7]);
        let scores = net.binary(Binary::Add, scores, bias);
        let weights = net.softmax(scores);
        let weights = net.reshape(weights, &[2, 3, 2, 5, 7]);
        let y = net.node(Op::MatMul, &[weights, v]);
        let y = net.reshape(y, &[2, 6, 5, 8]);
        let y = net.node(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]);
        net.output(y);
        net.fused(1);
    }
}

#[test]
fn scales_in_front_of_the_split_into_heads() {
    let mut net = Net::new();
    let (q, k, v) = (net.f32(&[2, 5, 12]), net.f32(&[2, 3, 7, 4]), net.f32(&[2, 3, 7, 6]));
    let q = net.with(Binary::Mul, q, 0.25);
    let q = net.reshape(q, &[2, 5, 3, 4]);
    let q = net.node(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[q]);
    let scores = net.product(q, k);
    net.gather(scores, v);
    let mut graph = net.0.clone();
    assert_eq!(net.fused(1)[0].scale, 0.25);
    fuse(&mut graph);
    assert!(!graph.nodes.iter().any(|node| matches!(node.op, Op::Binary(_))), "{graph}");
    // The split is not needed.
    let mut net = Net::new();
    let (q, k) = (net.f32(&[2, 3, 5, 4]), net.f32(&[2, 3, 7, 4]));
    let (v, mask) = (net.f32(&[6, 7, 6]), net.f32(&[2, 1, 5, 7]));
    let (q, k) = (net.with(Binary::Mul, q, 0.25), net.with(Binary::Mul, k, 0.25));
    let (q, k) = (net.reshape(q, &[6, 5, 4]), net.reshape(k, &[6, 7, 4]));
    let scores = net.product(q, k);
    let scores = net.reshape(scores, &[2, 3, 5, 7]);
    let scores = net.binary(Binary::Add, scores, mask);
    let scores = net.reshape(scores, &[6, 5, 7]);
    net.gather(scores, v);
    assert_eq!(net.fused(1)[0].scale, 0.0625);
    // Others read what was split.
    let mut net = Net::new();
    let (q, k, v) = (net.f32(&[2, 5, 12]), net.f32(&[2, 3, 7, 4]), net.f32(&[2, 3, 7, 6]));
    let q = net.with(Binary::Mul, q, 0.25);
    let q = net.reshape(q, &[2, 5, 3, 4]);
    let turned = net.node(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[q]);
    let scores = net.product(turned, k);
    net.gather(scores, v);
    net.output(q);
    assert_eq!(net.fused(1)[0].scale, 1.0);
}

#[test]
fn rows_that_see_nothing() {
    // As `torch.export` guards them.
    let mut net = Net::new();
    let ([q, k, v], seen) = (net.three(), net.input(DType::Bool, &[2, 1, 5, 7]));
    let (zero, low) = (net.scalar(0.0), net.scalar(LOW));
    let never = net.node(Op::Logic(Logic::And), &[seen, seen]);
    let mask = net.node(Op::Where, &[never, low, low]);
    let scores = net.product(q, k);
    let scores = net.binary(Binary::Add, scores, mask);
    let weights = net.softmax(scores);
    let is_nan = net.node(Op::Unary(Unary::IsNan), &[weights]);
    let weights = net.node(Op::Where, &[is_nan, zero, weights]);
    let y = net.node(Op::MatMul, &[weights, v]);
    net.output(y);
    assert_eq!(net.fused(1)[0].unseeing, Unseeing::ZeroForNan);
    // As the function of ONNX's Attention does, with the same condition and with another.
    for same in [true, false] {
        let mut net = Net::new();
        let ([q, k, v], bias) = (net.three(), net.f32(&[5, 7]));
        let (seen, other) =
            (net.input(DType::Bool, &[2, 1, 5, 7]), net.input(DType::Bool, &[2, 1, 5, 7]));
        let (zero, low) = (net.scalar(0.0), net.scalar(LOW));
        let scores = net.product(q, k);
        let scores = net.binary(Binary::Add, scores, bias);
        let scores = net.node(Op::Where, &[seen, scores, low]);
        let visible = if same { seen } else { other };
        let visible = net.node(Op::Where, &[visible, bias, low]);
        let max = Reduce { kind: ReduceKind::Max, axes: vec![3], keep_dims: true };
        let best = net.node(Op::Reduce(max), &[visible]);
        let empty = net.node(Op::Compare(Compare::Equal), &[best, low]);
        let weights = net.softmax(scores);
        let weights = net.node(Op::Where, &[empty, zero, weights]);
        let y = net.node(Op::MatMul, &[weights, v]);
        net.output(y);
        let found = net.fused(usize::from(same));
        assert!(found.iter().all(|op| op.unseeing == Unseeing::Zero));
    }
}

#[test]
fn heads_that_share_keys() {
    for tiled in [false, true] {
        let mut net = Net::new();
        let (q, k, v) = (net.f32(&[2, 6, 5, 4]), net.f32(&[2, 3, 7, 4]), net.f32(&[2, 3, 7, 8]));
        let (mask, bias) = (net.f32(&[2, 1, 5, 7]), net.f32(&[6, 5, 7]));
        let mut repeat = |x, width: i64| {
            let x = net.reshape(x, &[2, 3, 1, 7, width]);
            let fixed = |list: &[i64]| list.iter().map(|n| Dim::Fixed(*n)).collect();
            let op = match tiled {
                false => Op::Expand { shape: fixed(&[2, 3, 2, 7, width]) },
                true => Op::Tile { repeats: fixed(&[1, 1, 2, 1, 1]) },
            };
            let x = net.node(op, &[x]);
            net.reshape(x, &[2, 6, 7, width])
        };
        let (k, v) = (repeat(k, 4), repeat(v, 8));
        let scores = net.product(q, k);
        let scores = net.binary(Binary::Add, scores, mask);
        let scores = net.binary(Binary::Add, scores, bias);
        net.gather(scores, v);
        let mut graph = net.0.clone();
        net.fused(1);
        fuse(&mut graph);
        let copies = |node: &Node| matches!(node.op, Op::Expand { .. } | Op::Tile { .. });
        assert!(!graph.nodes.iter().any(copies), "{graph}");
    }
}

#[test]
fn lengths_that_are_ranged() {
    let mut net = Net::new();
    let (q, k, v) = (net.f32(&[2, 1, 4]), net.f32(&[2, -1, 4]), net.f32(&[2, -1, 8]));
    let mask = net.f32(&[-1]);
    let scores = net.product(q, k);
    let scores = net.binary(Binary::Add, scores, mask);
    net.gather(scores, v);
    net.fused(1);
}

#[test]
fn what_others_read_too_stays() {
    // The weights are an output.
    let mut net = Net::new();
    let [q, k, v] = net.three();
    let scores = net.product(q, k);
    let weights = net.softmax(scores);
    let y = net.node(Op::MatMul, &[weights, v]);
    net.output(y);
    net.output(weights);
    net.fused(0);
    // The scores are read by another node.
    let mut net = Net::new();
    let [q, k, v] = net.three();
    let scores = net.product(q, k);
    net.gather(scores, v);
    let other = net.with(Binary::Mul, scores, 2.0);
    net.output(other);
    net.fused(0);
    // Scaled queries may be.
    let mut net = Net::new();
    let [q, k, v] = net.three();
    let q = net.with(Binary::Mul, q, 2.0);
    let scores = net.product(q, k);
    net.gather(scores, v);
    net.output(q);
    net.fused(1);
    // Softmax over another axis, and values that are packed beforehand.
    let mut net = Net::new();
    let (q, k, v) = (net.f32(&[2, 6, 4]), net.f32(&[2, 6, 4]), net.f32(&[2, 6, 4]));
    let scores = net.product(q, k);
    let weights = net.node(Op::Softmax { axis: 1 }, &[scores]);
    let y = net.node(Op::MatMul, &[weights, v]);
    net.output(y);
    net.fused(0);
    let mut net = Net::new();
    let [q, k, _] = net.three();
    let v = net.constant(&[7, 2], &[0.5; 14]);
    let scores = net.product(q, k);
    net.gather(scores, v);
    net.fused(0);
}

#[test]
fn two_layers_and_operands_in_common() {
    let mut net = Net::new();
    let x = net.f32(&[2, 6, 4]);
    let mask = net.input(DType::Bool, &[6, 6]);
    let low = net.scalar(-1e9);
    let mut y = x;
    for _ in 0..2 {
        let scores = net.product(y, y);
        let scores = net.node(Op::Where, &[mask, scores, low]);
        let weights = net.softmax(scores);
        y = net.node(Op::MatMul, &[weights, y]);
    }
    net.output(y);
    // Both have the mask that the first one made.
    let mut graph = net.0.clone();
    net.fused(2);
    fuse(&mut graph);
    let masks = graph.nodes.iter().filter(|node| matches!(node.op, Op::Where)).count();
    assert_eq!(masks, 1, "{graph}");
}

#[test]
fn within_a_block() {
    let mut net = Net::new();
    let [q, k, v] = net.three();
    let condition = net.input(DType::Bool, &[]);
    let outer = std::mem::take(&mut net.0.nodes);
    let scores = net.product(q, k);
    let weights = net.softmax(scores);
    let y = net.node(Op::MatMul, &[weights, v]);
    let nodes = std::mem::replace(&mut net.0.nodes, outer);
    let then = Block { nodes, results: vec![Some(y)], ..Block::default() };
    let fact = net.0.fact(y);
    let zero = net.scalar(0.0);
    let outer = std::mem::take(&mut net.0.nodes);
    let none = net.node(Op::Fill { shape: fact.shape.clone() }, &[zero]);
    let nodes = std::mem::replace(&mut net.0.nodes, outer);
    let otherwise = Block { nodes, results: vec![Some(none)], ..Block::default() };
    let given = net.node(Op::If(Branches { then, otherwise, facts: vec![fact] }), &[condition]);
    net.output(given);
    net.fused(1);
}
