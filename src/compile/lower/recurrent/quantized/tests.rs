//! An LSTM on integers beside one on floats that are rounded alike.

use crate::compile::compile;
use crate::compile::harness::noise;
use crate::graph::ops::{Cell, CellActivation, Direction, Quantization, QuantizedLstm, Recurrent};
use crate::graph::{Dim, Fact, Graph, Op, Port, Tensor, ValueId, VarId, Variable};
use crate::kernels::suite::levels_and_beyond;
use crate::runtime::damage::{damage, damage_each_word};
use crate::runtime::{KernelId, Program, Session};
use crate::tensor::DType;

const INPUT: usize = 5;

/// A layer, its weights, and what varies.
#[derive(Clone, Copy, Debug)]
struct Form {
    hidden: usize,
    batch: usize,
    direction: Direction,
    dtype: DType,
    by_column: bool,
    batch_major: bool,
    /// Peepholes, coupled gates, a limit, lengths and other activations.
    unusual: bool,
}

impl Form {
    fn layer(&self, rounded: bool) -> Recurrent {
        let directions = if self.direction == Direction::Bidirectional { 2 } else { 1 };
        let first = match self.unusual {
            true => CellActivation::HardSigmoid { alpha: 0.2, beta: 0.5 },
            false => CellActivation::Sigmoid,
        };
        Recurrent {
            cell: Cell::Lstm { input_forget: self.unusual, rounded },
            direction: self.direction,
            activations: [first, CellActivation::Tanh, CellActivation::Tanh].repeat(directions),
            clip: self.unusual.then_some(2.5),
            batch_major: self.batch_major,
        }
    }

    fn integers(&self, shape: &[usize], seed: usize) -> Tensor {
        let len: usize = shape.iter().product();
        let bytes: Vec<u8> = (0..len).map(|i| ((i * 131 + seed * 89 + 5) % 253) as u8).collect();
        Tensor::from_bytes(self.dtype, shape, &bytes)
    }

    /// Zero points around the middle of the type.
    fn zeros(&self, shape: &[usize], seed: usize) -> Tensor {
        let middle = if self.dtype == DType::U8 { 120 } else { 250 };
        let len: usize = shape.iter().product();
        let bytes: Vec<u8> = (0..len).map(|i| (middle + (i + seed) % 5) as u8).collect();
        Tensor::from_bytes(self.dtype, shape, &bytes)
    }
}

fn node(g: &mut Graph, op: Op, inputs: &[Option<ValueId>]) -> Vec<ValueId> {
    g.add_node("node", op, inputs, &[]).expect("suits")
}

/// The layer as one of integers, or of floats that are rounded.
fn graph(form: Form, time: &Dim, integers: bool) -> Graph {
    let mut g = Graph { variables: vec![Variable::chosen("n", 0, 9)], ..Graph::default() };
    let layer = form.layer(!integers);
    let (directions, columns) = (layer.directions(), 4 * form.hidden);
    let batch = Dim::Fixed(form.batch as i64);
    let mut shape = vec![time.clone(), batch, Dim::Fixed(INPUT as i64)];
    if form.batch_major {
        shape.swap(0, 1);
    }
    let x = g.add_value("x", &Fact { dtype: DType::F32, shape });
    g.inputs.push(Port { name: "x".into(), value: x });
    let mut x = node(&mut g, Op::DynamicQuantizeLinear, &[Some(x)]);
    let whole = Quantization { axis: 0, block: 0, integer: DType::U8 };
    let mut weights = Vec::new();
    let mut grids = vec![Some(x[1]), Some(x[2])];
    for (i, rows) in [INPUT, form.hidden].into_iter().enumerate() {
        let w = g.add_constant("w", form.integers(&[directions, rows, columns], i));
        let grid = if form.by_column { vec![directions, columns] } else { vec![directions] };
        let scales: Vec<f32> = noise(&grid, i as u32 + 7)
            .to_f64s()
            .iter()
            .map(|x| (x.abs() as f32 + 0.5) / 400.0)
            .collect();
        let (scales, zeros) = (Tensor::new(&grid, &scales), form.zeros(&grid, i));
        if integers {
            let scale = g.add_constant("s", scales);
            let zero = g.add_constant("z", zeros);
            weights.push(Some(w));
            grids.extend([Some(scale), Some(zero)]);
            continue;
        }
        // Each number of a direction, or of its columns, for a row of all weights.
        let spread = |tensor: &Tensor| -> Vec<f64> {
            let given = tensor.to_f64s();
            (0..directions * columns)
                .map(|i| given[if form.by_column { i } else { i / columns }])
                .collect()
        };
        let (q, s, z) =
            (g.value(w).constant.clone().expect("is one"), spread(&scales), spread(&zeros));
        let mut plain = vec![0.0f32; directions * columns * rows];
        for (i, q) in q.to_f64s().into_iter().enumerate() {
            let (d, row, column) = (i / columns / rows, i / columns % rows, i % columns);
            let at = d * columns + column;
            plain[at * rows + row] = ((q - z[at]) * s[at]) as f32;
        }
        weights.push(Some(g.add_constant("w", Tensor::new(&[directions, columns, rows], &plain))));
    }
    let bias = g.add_constant("b", noise(&[directions, 2 * columns], 3));
    let lengths: Vec<i32> = (0..form.batch).map(|i| 7 - 2 * (i as i32 % 2)).collect();
    let lengths = form.unusual.then(|| g.add_constant("l", Tensor::vector(&lengths)));
    let state = match form.batch_major {
        true => [form.batch, directions, form.hidden],
        false => [directions, form.batch, form.hidden],
    };
    let h0 = g.add_constant("h0", noise(&state, 4));
    let peephole =
        form.unusual.then(|| g.add_constant("p", noise(&[directions, 3 * form.hidden], 5)));
    if !integers {
        let operands = [Some(x[0]), Some(x[1]), Some(x[2])];
        x = node(&mut g, Op::DequantizeLinear(whole), &operands);
        grids.clear();
    }
    let more = [Some(bias), lengths, Some(h0), None, peephole];
    let inputs = [&[Some(x[0])], &weights[..], &more[..], &grids[..]].concat();
    let op = if integers { Op::QuantizedLstm(QuantizedLstm(layer)) } else { Op::Recurrent(layer) };
    for (i, y) in node(&mut g, op, &inputs).into_iter().enumerate() {
        g.outputs.push(Port { name: format!("y{i}"), value: y });
    }
    g
}

/// The results at every level.
fn answers(program: &Program<'_>, form: Form, time: usize) -> Vec<Vec<f32>> {
    let shape = match form.batch_major {
        true => [form.batch, time, INPUT],
        false => [time, form.batch, INPUT],
    };
    let run = |level| {
        let mut session = Session::new_at(program, level).expect("runs");
        let x = noise(&shape, 6);
        session.set_input_shape(0, x.shape()).expect("suits");
        session.input_bytes_mut(0).expect("there").copy_from_slice(x.bytes());
        session.run().expect("runs");
        session.run().expect("runs");
        (0..3).flat_map(|i| session.output::<f32>(i).expect("f32").to_vec()).collect()
    };
    levels_and_beyond().into_iter().map(run).collect()
}

fn check(form: Form, time: &Dim) {
    let program = compile(&graph(form, time, true)).expect("compiles");
    assert!(program.steps().any(|step| step.id == KernelId::LstmI8));
    let plain = compile(&graph(form, time, false)).expect("compiles");
    let moments = time.fixed().map_or(vec![0, 1, 7, 9], |n| vec![n as usize]);
    for moments in moments {
        let got = answers(&program, form, moments);
        let wanted = &answers(&plain, form, moments)[0];
        for got in &got {
            assert_eq!(got.len(), wanted.len());
            // A state on the border between two steps may be rounded to either.
            for (got, wanted) in got.iter().zip(wanted) {
                assert!((got - wanted).abs() <= 2e-3, "{form:?}, {moments}: {got}, not {wanted}");
            }
        }
    }
    if time.fixed().is_none() {
        damage_each_word("a quantized layer", &program, false);
        damage("a quantized layer", &program, 1, 5);
    }
}

#[test]
fn integers_give_what_rounded_floats_give() {
    let plain = Form {
        hidden: 16,
        batch: 1,
        direction: Direction::Forward,
        dtype: DType::I8,
        by_column: false,
        batch_major: false,
        unusual: false,
    };
    check(plain, &Dim::Fixed(9));
    check(Form { dtype: DType::U8, hidden: 21, by_column: true, ..plain }, &Dim::Fixed(30));
    let both = Form { direction: Direction::Bidirectional, batch: 2, by_column: true, ..plain };
    check(both, &Dim::var(VarId(0)));
    check(Form { batch_major: true, hidden: 7, dtype: DType::U8, ..both }, &Dim::Fixed(11));
    let unusual = Form { unusual: true, direction: Direction::Reverse, batch: 4, ..plain };
    check(unusual, &Dim::Fixed(7));
}
