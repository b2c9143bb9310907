//! Products with integers for weights beside the same weights dequantized, on every level.

use crate::compile::compile;
use crate::compile::harness::noise;
use crate::graph::ops::{Activation, Quantization, WeightOnlyLinear};
use crate::graph::{Dim, Fact, Graph, Op, Port, Tensor, ValueId, VarId, Variable};
use crate::kernels::suite::levels;
use crate::optimize::fold::evaluate;
use crate::runtime::damage::{damage, damage_each_word};
use crate::runtime::{KernelId, Program, Session};
use crate::tensor::DType;

const K: usize = 37;
const N: usize = 21;

/// How weights are stored.
#[derive(Clone, Copy, Debug)]
struct Form {
    dtype: DType,
    transposed: bool,
    /// Zero where there is one scale for each column, or `single`.
    block: usize,
    single: bool,
    zeros: bool,
    /// All integers fit four bits.
    small: bool,
}

fn integers(dtype: DType, shape: &[usize], seed: usize, small: bool) -> Tensor {
    let len: usize = shape.iter().product();
    let (range, least) = match (small, dtype) {
        (true, DType::U8) => (16, 0),
        (true, _) => (16, -8),
        (false, DType::U8) => (256, 0),
        (false, _) => (256, -128),
    };
    let value = |i: usize| ((i * 131 + seed * 17 + 5) % 257 % range) as i32 + least;
    let bytes: Vec<u8> = (0..len).map(|i| value(i) as u8).collect();
    Tensor::from_bytes(dtype, shape, &bytes)
}

/// Weights, scales and zero points, and what they mean.
fn weights(form: Form) -> (Tensor, Tensor, Option<Tensor>, Tensor) {
    let Form { dtype, transposed, block, single, zeros, small } = form;
    let turned = |[k, n]: [usize; 2]| if transposed { [n, k] } else { [k, n] };
    let shape = turned([K, N]);
    let w = integers(dtype, &shape, 1, small);
    let scales: Vec<usize> = match (single, block) {
        (true, _) => Vec::new(),
        (_, 0) => vec![N],
        _ => turned([K.div_ceil(block), N]).to_vec(),
    };
    let scale: Vec<f32> = noise(&scales, 3).to_f64s().iter().map(|x| *x as f32 / 100.0).collect();
    let scale = Tensor::new(&scales, &scale);
    let zero = zeros.then(|| integers(dtype, &scales, 2, small));
    let columns = usize::from(!transposed);
    let axis = match (single, block) {
        (true, _) => 0,
        (_, 0) => columns,
        _ => 1 - columns,
    };
    let op = Op::DequantizeLinear(Quantization { axis, block, integer: dtype });
    let shape = shape.iter().map(|n| Dim::Fixed(*n as i64)).collect();
    let given = [Some(w.clone()), Some(scale.clone()), zero.clone()];
    let plain =
        evaluate(&op, &given, &[Fact { dtype: DType::F32, shape }]).expect("folds").remove(0);
    (w, scale, zero, plain)
}

/// `tanh(x · w + b + x2)`, with integers for `w` or with what they mean.
fn graph(rows: &Dim, form: Form, plain: bool) -> Graph {
    let mut g = Graph { variables: vec![Variable::chosen("n", 0, 40)], ..Graph::default() };
    let input = |g: &mut Graph, name: &str, columns: usize| {
        let shape = vec![rows.clone(), Dim::Fixed(columns as i64)];
        let value = g.add_value(name, &Fact { dtype: DType::F32, shape });
        g.inputs.push(Port { name: name.into(), value });
        value
    };
    let (x, residual) = (input(&mut g, "x", K), input(&mut g, "r", N));
    let (w, scale, zero, dequantized) = weights(form);
    let bias = g.add_constant("b", noise(&[N], 2));
    let (activation, transposed) = (Activation::Tanh, form.transposed);
    let add = |op: Op, w: Tensor, more: Vec<Option<ValueId>>, g: &mut Graph| {
        let w = g.add_constant("w", w);
        let inputs = [[Some(x), Some(w), Some(bias), Some(residual)].to_vec(), more].concat();
        g.add_node("product", op, &inputs, &[]).expect("suits")[0]
    };
    let y = if plain {
        add(Op::Linear { activation, transposed }, dequantized, Vec::new(), &mut g)
    } else {
        let scale = g.add_constant("s", scale);
        let zero = zero.map(|zero| g.add_constant("z", zero));
        let more = std::iter::once(Some(scale)).chain(zero.map(Some)).collect();
        let op = WeightOnlyLinear { activation, transposed, block: form.block };
        add(Op::WeightOnlyLinear(op), w, more, &mut g)
    };
    g.outputs.push(Port { name: "y".into(), value: y });
    g
}

fn answers(program: &Program<'_>, rows: usize) -> Vec<Vec<f32>> {
    let mut all = Vec::new();
    for level in levels() {
        let mut session = Session::new_at(program, level).expect("runs");
        for (i, columns) in [K, N].into_iter().enumerate() {
            let x = noise(&[rows, columns], i as u32 + 3);
            session.set_input_shape(i, x.shape()).expect("suits");
            session.input_bytes_mut(i).expect("there").copy_from_slice(x.bytes());
        }
        session.run().expect("runs");
        all.push(session.output::<f32>(0).expect("f32")[..rows * N].to_vec());
    }
    all
}

fn check(form: Form, rows: Dim) {
    let program = compile(&graph(&rows, form, false)).expect("compiles");
    let plain = compile(&graph(&rows, form, true)).expect("compiles");
    let kernel = if form.small { KernelId::LinearW4 } else { KernelId::LinearW8 };
    assert_eq!(program.steps().filter(|step| step.id == kernel).count(), 1, "{form:?}");
    let extents = match rows.fixed() {
        Some(n) => vec![n as usize],
        None => vec![0, 1, 5, 12, 40],
    };
    for rows in extents {
        let (got, wanted) = (answers(&program, rows), answers(&plain, rows));
        for (got, wanted) in got.iter().flatten().zip(wanted.iter().flatten()) {
            assert!((got - wanted).abs() <= 1e-5, "{form:?}, {rows} rows: {got}, not {wanted}");
        }
    }
    if rows.fixed().is_none() {
        damage_each_word("a product with integers", &program, false);
        damage("a product with integers", &program, 1, 20);
    }
}

#[test]
fn integers_give_what_they_mean() {
    for dtype in [DType::I8, DType::U8] {
        for (i, (transposed, zeros)) in
            [(false, false), (false, true), (true, false), (true, true)].into_iter().enumerate()
        {
            for small in [false, true] {
                for (block, single) in [(0, true), (0, false), (8, false), (16, false), (40, false)]
                {
                    let form = Form { dtype, transposed, block, single, zeros, small };
                    check(form, Dim::Fixed([1, 3, 12, 17][(i + block) % 4]));
                }
            }
        }
    }
    let form = Form {
        dtype: DType::U8,
        transposed: true,
        block: 16,
        single: false,
        zeros: true,
        small: true,
    };
    check(form, Dim::var(VarId(0)));
    check(Form { small: false, dtype: DType::I8, zeros: false, ..form }, Dim::var(VarId(0)));
}

#[test]
fn weights_take_a_quarter_or_an_eighth_of_the_bytes() {
    let form = |small| Form {
        dtype: DType::I8,
        transposed: false,
        block: 0,
        single: true,
        zeros: false,
        small,
    };
    let bytes = |small, plain| {
        let program = compile(&graph(&Dim::Fixed(1), form(small), plain)).expect("compiles");
        program.memory().constant_bytes
    };
    let scales = 2 * 64;
    assert_eq!(bytes(false, true) - bytes(false, false), (K * 4 - 40) * 32 - scales);
    assert_eq!(bytes(true, true) - bytes(true, false), (K * 4 - 20) * 32 - scales);
}
