use super::*;
use crate::compile::compile;
use crate::graph::ops::{Binary, Conv, Pad, PadMode, SliceAxis, Unary};
use crate::graph::{Dim, Port};
use crate::runtime::Session;

/// Numbers that look random, the same for the same seed.
fn noise(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    let len = shape.iter().product();
    Tensor::new(shape, &std::iter::repeat_with(next).take(len).collect::<Vec<f32>>())
}

struct Model(Graph);

impl Model {
    fn new(shape: &[usize]) -> (Self, ValueId) {
        let mut model = Self(Graph::default());
        let x = model.input(shape);
        (model, x)
    }

    fn input(&mut self, shape: &[usize]) -> ValueId {
        let id = self.constant(noise(shape, 9));
        self.0.value_mut(id).constant = None;
        self.0.inputs.push(Port { name: format!("x{}", id.0), value: id });
        id
    }

    fn constant(&mut self, tensor: Tensor) -> ValueId {
        self.0.add_constant("constant", tensor)
    }

    fn node(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        self.0.add_node("node", op, &inputs, &[]).expect("suits")[0]
    }

    fn conv(&mut self, x: ValueId, outputs: usize, kernel: &[usize], pad: usize) -> ValueId {
        let channels = self.0.value(x).shape[1].fixed().expect("fixed") as usize;
        let shape = [&[outputs, channels], kernel].concat();
        let (w, n) = (self.constant(noise(&shape, 3)), kernel.len());
        let conv = Conv {
            kernel: kernel.to_vec(),
            strides: vec![1; n],
            dilations: vec![1; n],
            pads_before: vec![pad; n],
            pads_after: vec![pad; n],
            group: 1,
            activation: Activation::None,
        };
        self.node(Op::Conv(conv), &[x, w])
    }

    fn binary(&mut self, op: Binary, x: ValueId, shape: &[usize]) -> ValueId {
        let other = self.constant(noise(shape, 5));
        self.node(Op::Binary(op), &[x, other])
    }

    fn relu(&mut self, x: ValueId) -> ValueId {
        self.node(Op::Unary(Unary::Relu), &[x])
    }

    fn norm(&mut self, x: ValueId) -> ValueId {
        let channels = self.0.value(x).shape[1].fixed().expect("fixed") as usize;
        let mut inputs = vec![x];
        inputs.extend((0..3).map(|i| self.constant(noise(&[channels], i))));
        let variance: Vec<f32> = (0..channels).map(|i| 0.5 + i as f32).collect();
        inputs.push(self.constant(Tensor::vector(&variance)));
        self.node(Op::BatchNorm { epsilon: 1e-5 }, &inputs)
    }

    fn results(&self) -> Vec<f32> {
        let program = compile(&self.0).expect("compiles");
        let mut session = Session::new(&program).expect("runs");
        for (i, port) in self.0.inputs.iter().enumerate() {
            let shape: Vec<usize> = self
                .0
                .value(port.value)
                .shape
                .iter()
                .map(|n| n.fixed().expect("fixed") as usize)
                .collect();
            let tensor = noise(&shape, 40 + i as u32);
            session.input_bytes_mut(i).expect("there").copy_from_slice(tensor.bytes());
        }
        session.run().expect("runs");
        (0..self.0.outputs.len())
            .flat_map(|i| session.output::<f32>(i).expect("f32").to_vec())
            .collect()
    }

    /// Fuses, checks that the outputs stay what they were, and gives the names of what is left.
    fn fused(mut self, outputs: &[ValueId]) -> Vec<&'static str> {
        self.0.outputs =
            outputs.iter().map(|v| Port { name: format!("y{}", v.0), value: *v }).collect();
        let want = self.results();
        fuse(&mut self.0);
        crate::graph::Live::keep(&mut self.0);
        let got = self.results();
        let largest = want.iter().fold(0f32, |a, b| a.max(b.abs()));
        for (got, want) in got.iter().zip(&want) {
            assert!((got - want).abs() <= 1e-5 * largest, "{got} is not {want}");
        }
        self.0.nodes.iter().map(|node| node.op.name()).collect()
    }
}

#[test]
fn what_follows_moves_into_weights_and_bias() {
    let (mut m, x) = Model::new(&[2, 3, 9]);
    let y = m.conv(x, 4, &[3], 1);
    let y = m.norm(y);
    let y = m.binary(Binary::Mul, y, &[4, 1]);
    let y = m.binary(Binary::Sub, y, &[1]);
    let y = m.relu(y);
    assert_eq!(m.fused(&[y]), ["Conv"]);
    // A row across positions is no factor of channels.
    let (mut m, x) = Model::new(&[2, 3, 4]);
    let y = m.conv(x, 4, &[1], 0);
    let y = m.binary(Binary::Mul, y, &[4]);
    assert_eq!(m.fused(&[y]), ["Conv", "Mul"]);
}

#[test]
fn a_second_reader_keeps_what_is_between() {
    let (mut m, x) = Model::new(&[1, 2, 5]);
    let y = m.conv(x, 3, &[3], 1);
    let z = m.relu(y);
    assert_eq!(m.fused(&[y, z]), ["Conv", "Relu"]);
    let (mut m, x) = Model::new(&[1, 2, 5]);
    let y = m.conv(x, 3, &[3], 1);
    let z = m.node(Op::Binary(Binary::Add), &[y, y]);
    assert_eq!(m.fused(&[z]), ["Conv", "Add"]);
}

#[test]
fn a_residual_block() {
    let (mut m, x) = Model::new(&[1, 3, 6, 5]);
    let y = m.conv(x, 3, &[3, 3], 1);
    let y = m.norm(y);
    let y = m.relu(y);
    let y = m.conv(y, 3, &[3, 3], 1);
    let y = m.norm(y);
    let y = m.node(Op::Binary(Binary::Add), &[x, y]);
    let y = m.relu(y);
    assert_eq!(m.fused(&[y]), ["Conv", "Conv"]);
}

#[test]
fn of_two_convolutions_the_later_adds_the_other() {
    let (mut m, x) = Model::new(&[1, 3, 8]);
    let a = m.conv(x, 4, &[3], 1);
    let b = m.conv(x, 4, &[1], 0);
    let y = m.node(Op::Binary(Binary::Add), &[a, b]);
    let y = m.relu(y);
    assert_eq!(m.fused(&[y]), ["Conv", "Conv"]);
}

#[test]
fn a_residual_that_comes_later_is_waited_for() {
    let (mut m, x) = Model::new(&[1, 3, 8]);
    let y = m.conv(x, 3, &[1], 0);
    let turned = m.node(Op::Transpose { perm: vec![0, 2, 1] }, &[y]);
    let later = m.input(&[1, 8, 3]);
    let later = m.node(Op::Unary(Unary::Tanh), &[later]);
    let y = m.node(Op::Binary(Binary::Add), &[turned, later]);
    let y = m.relu(y);
    assert_eq!(m.fused(&[y]), ["Tanh", "Transpose", "Conv", "Transpose"]);
}

#[test]
fn through_transposes_and_axes_of_one() {
    let (mut m, x) = Model::new(&[1, 7, 3]);
    let y = m.node(Op::Transpose { perm: vec![0, 2, 1] }, &[x]);
    let wide = |n: i64| Op::Reshape { shape: [1, n, 1, 7].map(Dim::Fixed).to_vec() };
    let y = m.node(wide(3), &[y]);
    let y = m.conv(y, 3, &[1, 1], 0);
    let flat = Op::Reshape { shape: [1, 3, 7].map(Dim::Fixed).to_vec() };
    let y = m.node(flat, &[y]);
    let y = m.node(Op::Transpose { perm: vec![0, 2, 1] }, &[y]);
    let y = m.binary(Binary::Add, y, &[3]);
    let y = m.node(Op::Binary(Binary::Add), &[y, x]);
    let y = m.relu(y);
    let left = m.fused(&[y]);
    assert!(!left.contains(&"Add") && !left.contains(&"Relu"), "{left:?}");
}

#[test]
fn what_comes_before() {
    let (mut m, x) = Model::new(&[1, 3, 6, 5]);
    let y = m.norm(x);
    let y = m.conv(y, 4, &[3, 3], 0);
    assert_eq!(m.fused(&[y]), ["Conv"]);
    // Padding is not shifted.
    let (mut m, x) = Model::new(&[1, 3, 6, 5]);
    let y = m.norm(x);
    let y = m.conv(y, 4, &[3, 3], 1);
    assert_eq!(m.fused(&[y]), ["BatchNormalization", "Conv"]);
    let (mut m, x) = Model::new(&[1, 3, 6, 5]);
    let y = m.binary(Binary::Mul, x, &[3, 1, 1]);
    let y = m.conv(y, 4, &[3, 3], 1);
    assert_eq!(m.fused(&[y]), ["Conv"]);
}

#[test]
fn zeros_around_become_padding() {
    let dims = |list: &[i64]| list.iter().copied().map(Dim::Fixed).collect::<Vec<_>>();
    let pad = |before: &[i64], after: &[i64]| {
        Op::Pad(Pad { mode: PadMode::Constant, before: dims(before), after: dims(after) })
    };
    let (mut m, x) = Model::new(&[1, 7, 3]);
    let y = m.node(pad(&[0, 2, 0], &[0, 0, 0]), &[x]);
    let y = m.node(Op::Transpose { perm: vec![0, 2, 1] }, &[y]);
    let y = m.conv(y, 4, &[3], 0);
    assert_eq!(m.fused(&[y]), ["Transpose", "Conv"]);
    for other in [pad(&[0, 1, 0], &[0, 0, 0]), pad(&[0, 0, -1], &[0, 0, 0])] {
        let (mut m, x) = Model::new(&[1, 3, 7]);
        let y = m.node(other, &[x]);
        let y = m.conv(y, 4, &[3], 0);
        assert_eq!(m.fused(&[y]), ["Pad", "Conv"]);
    }
    // A value that is not zero stays.
    let (mut m, x) = Model::new(&[1, 3, 7]);
    let one = m.constant(Tensor::scalar(1f32));
    let y = m.node(pad(&[0, 0, 2], &[0, 0, 0]), &[x, one]);
    let y = m.conv(y, 4, &[3], 0);
    let cut = SliceAxis { axis: 2, start: Dim::Fixed(0), step: 1, extent: Dim::Fixed(3) };
    let y = m.node(Op::Slice { axes: vec![cut] }, &[y]);
    assert_eq!(m.fused(&[y]), ["Pad", "Conv", "Slice"]);
}
