//! Formulas as models write them, for the tests of passes.

use crate::compile::compile;
use crate::graph::ops::{Binary, Reduce, ReduceKind, Unary};
use crate::graph::{Dim, Fact, Graph, Live, Op, Port, Tensor, ValueId, VarId, Variable};
use crate::kernels::Level;
use crate::runtime::Session;
use crate::tensor::DType;

/// A graph that grows line by line.
pub(super) struct Formula {
    pub(super) graph: Graph,
    names: usize,
}

impl Formula {
    /// A graph whose input is `x`, of f32. An extent of minus one is a variable from 1 to 7.
    pub(super) fn of(shape: &[i64]) -> (Self, ValueId) {
        let mut graph = Graph::default();
        graph.variables.push(Variable::chosen("n", 1, 7));
        let shape = shape
            .iter()
            .map(|n| if *n < 0 { Dim::var(VarId(0)) } else { Dim::Fixed(*n) })
            .collect();
        let x = graph.add_value("x", &Fact { dtype: DType::F32, shape });
        graph.inputs.push(Port { name: "x".into(), value: x });
        (Self { graph, names: 0 }, x)
    }

    pub(super) fn op(&mut self, op: Op, operands: &[ValueId]) -> ValueId {
        let operands: Vec<_> = operands.iter().copied().map(Some).collect();
        self.names += 1;
        let name = format!("node{}", self.names);
        self.graph.add_node(&name, op, &operands, &[]).expect("suits")[0]
    }

    pub(super) fn number(&mut self, x: f32) -> ValueId {
        self.graph.add_constant("number", Tensor::scalar(x))
    }

    pub(super) fn row(&mut self, len: usize, seed: f32) -> ValueId {
        let row: Vec<f32> = (0..len).map(|i| 0.5 + (seed + i as f32).sin().abs()).collect();
        self.graph.add_constant("row", Tensor::vector(&row))
    }

    pub(super) fn unary(&mut self, op: Unary, x: ValueId) -> ValueId {
        self.op(Op::Unary(op), &[x])
    }

    pub(super) fn binary(&mut self, op: Binary, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Binary(op), &[a, b])
    }

    pub(super) fn add(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.binary(Binary::Add, a, b)
    }

    pub(super) fn sub(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.binary(Binary::Sub, a, b)
    }

    pub(super) fn mul(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.binary(Binary::Mul, a, b)
    }

    pub(super) fn div(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.binary(Binary::Div, a, b)
    }

    pub(super) fn times(&mut self, a: ValueId, c: f32) -> ValueId {
        let c = self.number(c);
        self.mul(a, c)
    }

    pub(super) fn plus(&mut self, a: ValueId, c: f32) -> ValueId {
        let c = self.number(c);
        self.add(a, c)
    }

    pub(super) fn reduce(
        &mut self,
        kind: ReduceKind,
        x: ValueId,
        axes: &[usize],
        keep_dims: bool,
    ) -> ValueId {
        self.op(Op::Reduce(Reduce { kind, axes: axes.to_vec(), keep_dims }), &[x])
    }

    pub(super) fn mean(&mut self, x: ValueId) -> ValueId {
        let last = self.graph.value(x).shape.len() - 1;
        self.reduce(ReduceKind::Mean, x, &[last], true)
    }

    pub(super) fn output(&mut self, y: ValueId) {
        let name = format!("y{}", self.graph.outputs.len());
        self.graph.outputs.push(Port { name, value: y });
    }

    /// Asserts that `pass` leaves these operators, and that all outputs stay the same within
    /// 1e-5 of their largest element.
    pub(super) fn becomes(mut self, pass: fn(&mut Graph) -> usize, operators: &[&str]) -> Graph {
        Live::keep(&mut self.graph);
        let wanted = answers(&self.graph);
        pass(&mut self.graph);
        Live::keep(&mut self.graph);
        let names: Vec<_> = self.graph.nodes.iter().map(|node| node.op.name()).collect();
        assert_eq!(names, operators, "{}", self.graph);
        for (got, wanted) in answers(&self.graph).iter().zip(&wanted) {
            let size = wanted.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            assert_eq!(got.len(), wanted.len());
            for (got, wanted) in got.iter().zip(wanted) {
                assert!((got - wanted).abs() <= 1e-5 * size, "{got} {wanted} of {size}");
            }
        }
        self.graph
    }
}

/// The outputs for numbers between -5 and 5, the variable being 5.
fn answers(graph: &Graph) -> Vec<Vec<f32>> {
    let program = compile(graph).expect("compiles");
    let mut session = Session::new_at(&program, Level::detect()).expect("runs");
    let shape: Vec<usize> = graph
        .value(graph.inputs[0].value)
        .shape
        .iter()
        .map(|d| match d {
            Dim::Fixed(n) => *n as usize,
            Dim::Expr(_) => 5,
        })
        .collect();
    session.set_input_shape(0, &shape).expect("suits");
    for (i, x) in session.input_mut::<f32>(0).expect("f32").iter_mut().enumerate() {
        *x = 5.0 * (1.7 * i as f32).sin();
    }
    session.run().expect("runs");
    (0..graph.outputs.len()).map(|i| session.output::<f32>(i).expect("f32").to_vec()).collect()
}
