use crate::compile::compile;
use crate::graph::ops::flow::reversed;
use crate::graph::ops::{
    Binary, Block, Branches, Collected, Compare, Loop, Measure, Reduce, ReduceKind, SliceAxis,
    Unary,
};
use crate::graph::{Dim, Fact, Graph, Op, Port, State, Tensor, ValueId, VarId, Variable};
use crate::kernels::{Isa, Level};
use crate::runtime::damage::{damage, damage_each_word};
use crate::runtime::{BindError, RunError, Session, View, ViewMut};
use crate::tensor::DType;

fn fact(dtype: DType, shape: &[i64]) -> Fact {
    Fact { dtype, shape: shape.iter().map(|n| Dim::Fixed(*n)).collect() }
}

fn input(g: &mut Graph, name: &str, shape: Vec<Dim>) -> ValueId {
    let value = g.add_value(name, &Fact { dtype: DType::F32, shape });
    g.inputs.push(Port { name: name.into(), value });
    value
}

fn node(g: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    g.add_node("n", op, &inputs, &[]).expect("suits")[0]
}

/// A block of what `make` adds.
fn block(g: &mut Graph, make: impl FnOnce(&mut Graph) -> Vec<ValueId>) -> Block {
    let outer = std::mem::take(&mut g.nodes);
    let results = make(g).into_iter().map(Some).collect();
    let nodes = std::mem::replace(&mut g.nodes, outer);
    Block { nodes, results, extents: Vec::new() }
}

fn control(g: &mut Graph, op: Op, inputs: &[ValueId]) -> Vec<ValueId> {
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    g.add_node("control", op, &inputs, &[]).expect("suits")
}

fn outputs(g: &mut Graph, values: &[ValueId]) {
    for (i, value) in values.iter().enumerate() {
        g.outputs.push(Port { name: format!("y{i}"), value: *value });
    }
}

fn sum(g: &mut Graph, x: ValueId) -> ValueId {
    let axes = (0..g.value(x).shape.len()).collect();
    node(g, Op::Reduce(Reduce { kind: ReduceKind::Sum, axes, keep_dims: false }), &[x])
}

fn scalar(g: &mut Graph, x: f32) -> ValueId {
    g.add_constant("c", Tensor::scalar(x))
}

/// Runs a graph on every level, twice, and damages its program.
fn on_all_levels(g: &Graph, check: impl Fn(&mut Session<'_>)) {
    let program = compile(g).expect("compiles");
    for isa in Isa::ALL {
        let mut session = Session::new_at(&program, Level::detect().at_most(isa)).expect("runs");
        check(&mut session);
        check(&mut session);
    }
    damage_each_word("control flow", &program, false);
    damage("control flow", &program, 1, 100);
}

fn run(session: &mut Session<'_>, x: &[f32]) -> Vec<Vec<f32>> {
    session.set_input_shape(0, &[x.len()]).expect("suits");
    session.input_mut::<f32>(0).expect("f32").copy_from_slice(x);
    session.run().expect("runs");
    let outputs = session.program().outputs().len();
    (0..outputs).map(|i| session.output::<f32>(i).expect("f32").to_vec()).collect()
}

/// `if sum(x) < 0 { (-x, x) } else { (h + h, h) }` where h = 2x is read on both sides.
#[test]
fn branches_write_the_same_memory() {
    let mut g = Graph::default();
    let x = input(&mut g, "x", vec![Dim::Fixed(3)]);
    let two = scalar(&mut g, 2.0);
    let h = node(&mut g, Op::Binary(Binary::Mul), &[x, two]);
    let (total, zero) = (sum(&mut g, x), scalar(&mut g, 0.0));
    let below = node(&mut g, Op::Compare(Compare::Less), &[total, zero]);
    let then = block(&mut g, |g| {
        let n = node(g, Op::Unary(Unary::Neg), &[h]);
        vec![node(g, Op::Unary(Unary::Abs), &[n]), x]
    });
    let otherwise = block(&mut g, |g| vec![node(g, Op::Binary(Binary::Add), &[h, h]), h]);
    let facts = vec![fact(DType::F32, &[3]), fact(DType::F32, &[3])];
    let y = control(&mut g, Op::If(Branches { then, otherwise, facts }), &[below]);
    outputs(&mut g, &y);
    on_all_levels(&g, |session| {
        assert_eq!(run(session, &[-1.0, -2.0, 1.0]), [[2.0, 4.0, 2.0], [-1.0, -2.0, 1.0]]);
        assert_eq!(run(session, &[1.0, 2.0, 3.0]), [[4.0, 8.0, 12.0], [2.0, 4.0, 6.0]]);
    });
}

/// The branches give two or three elements.
#[test]
fn branches_of_different_shapes_measure() {
    let mut g = Graph::default();
    g.variables.push(Variable::measured("n", 2, 3));
    let n = Dim::var(VarId(0));
    let x = input(&mut g, "x", vec![Dim::Fixed(3)]);
    let (total, zero) = (sum(&mut g, x), scalar(&mut g, 0.0));
    let below = node(&mut g, Op::Compare(Compare::Less), &[total, zero]);
    let mut then = block(&mut g, |g| {
        let axes =
            vec![SliceAxis { axis: 0, start: Dim::Fixed(1), step: 1, extent: Dim::Fixed(2) }];
        vec![node(g, Op::Slice { axes }, &[x])]
    });
    then.extents.push((VarId(0), Dim::Fixed(2)));
    let mut otherwise = block(&mut g, |g| vec![node(g, Op::Unary(Unary::Neg), &[x])]);
    otherwise.extents.push((VarId(0), Dim::Fixed(3)));
    let facts = vec![Fact { dtype: DType::F32, shape: vec![n] }];
    let y = control(&mut g, Op::If(Branches { then, otherwise, facts }), &[below]);
    let y = node(&mut g, Op::Unary(Unary::Neg), &y);
    outputs(&mut g, &[y]);
    on_all_levels(&g, |session| {
        assert_eq!(run(session, &[-9.0, 2.0, 1.0]), [[-2.0, -1.0]]);
        assert_eq!(run(session, &[1.0, 2.0, 3.0]), [[1.0, 2.0, 3.0]]);
    });
}

/// Variables: 0 is chosen, 1 and 2 count.
fn counting(trips: Dim, carried: Vec<ValueId>, body: Block, facts: Vec<Fact>) -> Loop {
    Loop {
        trips,
        counter: VarId(1),
        done: VarId(2),
        conditional: false,
        strict: false,
        carried,
        collected: Vec::new(),
        body,
        facts,
    }
}

fn with_counters(most: i64) -> Graph {
    Graph {
        variables: vec![
            Variable::chosen("n", 0, most),
            Variable::measured("i", 0, most - 1),
            Variable::measured("done", 0, most),
        ],
        ..Graph::default()
    }
}

/// Running sums from the back, over as many elements as the caller gives: also none.
#[test]
fn a_loop_over_slices_collects() {
    let mut g = with_counters(5);
    let n = Dim::var(VarId(0));
    let x = input(&mut g, "x", vec![n.clone()]);
    let start = scalar(&mut g, 0.5);
    let p = g.add_value("p", &fact(DType::F32, &[]));
    let body = block(&mut g, |g| {
        let at = reversed(&n, &Dim::var(VarId(1)), &g.variables);
        let cut = SliceAxis { axis: 0, start: at, step: 1, extent: Dim::Fixed(1) };
        let row = node(g, Op::Slice { axes: vec![cut] }, &[x]);
        let row = node(g, Op::Reshape { shape: Vec::new() }, &[row]);
        let next = node(g, Op::Binary(Binary::Add), &[p, row]);
        vec![next, node(g, Op::Reshape { shape: vec![Dim::Fixed(1)] }, &[next])]
    });
    let facts = vec![fact(DType::F32, &[]), Fact { dtype: DType::F32, shape: vec![n.clone()] }];
    let mut op = counting(n, vec![p], body, facts);
    op.collected = vec![Collected { axis: 0, reverse: true }];
    let y = control(&mut g, Op::Loop(op), &[start]);
    outputs(&mut g, &y);
    on_all_levels(&g, |session| {
        assert_eq!(run(session, &[1.0, 2.0, 4.0]), [vec![7.5], vec![7.5, 6.5, 4.5]]);
        assert_eq!(run(session, &[]), [vec![0.5], vec![]]);
        assert_eq!(run(session, &[1.0; 5])[1], [5.5, 4.5, 3.5, 2.5, 1.5]);
    });
}

/// Two values change places; what is read from before the loop stays.
#[test]
fn carried_values_change_places() {
    let mut g = with_counters(3);
    let x = input(&mut g, "x", vec![Dim::Fixed(2)]);
    let a = node(&mut g, Op::Unary(Unary::Neg), &[x]);
    let kept = node(&mut g, Op::Unary(Unary::Abs), &[x]);
    let p = g.add_value("p", &fact(DType::F32, &[2]));
    let q = g.add_value("q", &fact(DType::F32, &[2]));
    let body = block(&mut g, |g| vec![q, node(g, Op::Binary(Binary::Add), &[p, kept])]);
    let facts = vec![fact(DType::F32, &[2]), fact(DType::F32, &[2])];
    let op = counting(Dim::Fixed(3), vec![p, q], body, facts);
    let y = control(&mut g, Op::Loop(op), &[x, a]);
    outputs(&mut g, &y);
    g.variables[0].max = 2;
    on_all_levels(&g, |session| {
        // (x, -x), (-x, x+k), (x+k, -x+k), (-x+k, x+2k)
        assert_eq!(run(session, &[1.0, -2.0]), [[0.0, 4.0], [3.0, 2.0]]);
    });
}

/// Doubles while the sum is below 100, at most 4 times; more is an error.
#[test]
fn a_loop_that_decides_when_it_ends_is_bounded() {
    let mut g = with_counters(4);
    let x = input(&mut g, "x", vec![Dim::Fixed(2)]);
    let limit = scalar(&mut g, 100.0);
    let total = sum(&mut g, x);
    let first = node(&mut g, Op::Compare(Compare::Less), &[total, limit]);
    let on = g.add_value("on", &fact(DType::Bool, &[]));
    let p = g.add_value("p", &fact(DType::F32, &[2]));
    let body = block(&mut g, |g| {
        let next = node(g, Op::Binary(Binary::Add), &[p, p]);
        let total = sum(g, next);
        let on = node(g, Op::Compare(Compare::Less), &[total, limit]);
        let shape = vec![Dim::Fixed(1), Dim::Fixed(2)];
        vec![on, next, node(g, Op::Reshape { shape }, &[next])]
    });
    let shape = vec![Dim::var(VarId(2)), Dim::Fixed(2)];
    let facts =
        vec![fact(DType::Bool, &[]), fact(DType::F32, &[2]), Fact { dtype: DType::F32, shape }];
    let mut op = counting(Dim::Fixed(4), vec![on, p], body, facts);
    (op.conditional, op.strict) = (true, true);
    op.collected = vec![Collected { axis: 0, reverse: false }];
    let y = control(&mut g, Op::Loop(op), &[first, x]);
    outputs(&mut g, &y[1..]);
    on_all_levels(&g, |session| {
        let (a, b) = (vec![80.0, 40.0], vec![20.0, 10.0, 40.0, 20.0, 80.0, 40.0]);
        assert_eq!(run(session, &[10.0, 5.0]), [a, b]);
        assert_eq!(run(session, &[200.0, 1.0]), [vec![200.0, 1.0], vec![]]);
        session.input_mut::<f32>(0).expect("f32").fill(0.5);
        let over = RunError::OutOfRange { dim: 2, min: 0, max: 4, got: 5 };
        assert_eq!(session.run(), Err(over));
    });
}

#[test]
fn too_many_iterations_are_refused() {
    let mut g = with_counters(1 << 25);
    let x = input(&mut g, "x", vec![Dim::Fixed(1)]);
    let p = g.add_value("p", &fact(DType::F32, &[1]));
    let body = block(&mut g, |g| vec![node(g, Op::Unary(Unary::Neg), &[p])]);
    let op = counting(Dim::Fixed(1 << 25), vec![p], body, vec![fact(DType::F32, &[1])]);
    let y = control(&mut g, Op::Loop(op), &[x]);
    outputs(&mut g, &y);
    let error = compile(&g).expect_err("is refused").to_string();
    assert!(error.contains("33554432 times"), "{error}");
}

/// The branch cuts its result, of `n` elements, from one of four that is its own.
#[test]
fn a_result_is_not_longer_than_the_callers_memory() {
    let mut g = Graph { variables: vec![Variable::chosen("n", 1, 4)], ..Graph::default() };
    let n = Dim::var(VarId(0));
    let x = input(&mut g, "x", vec![n.clone()]);
    let c = g.add_constant("c", Tensor::new(&[4], &[1.0f32, 2.0, 3.0, 4.0]));
    let (total, zero) = (sum(&mut g, x), scalar(&mut g, 0.0));
    let below = node(&mut g, Op::Compare(Compare::Less), &[total, zero]);
    let then = block(&mut g, |g| {
        let four = node(g, Op::Binary(Binary::Add), &[c, total]);
        let axes = vec![SliceAxis { axis: 0, start: Dim::Fixed(0), step: 1, extent: n.clone() }];
        vec![node(g, Op::Slice { axes }, &[four])]
    });
    let otherwise = block(&mut g, |g| vec![node(g, Op::Unary(Unary::Neg), &[x])]);
    let facts = vec![Fact { dtype: DType::F32, shape: vec![n] }];
    let y = control(&mut g, Op::If(Branches { then, otherwise, facts }), &[below]);
    outputs(&mut g, &y);
    on_all_levels(&g, |session| {
        assert_eq!(run(session, &[-9.0, 2.0]), [[-6.0, -5.0]]);
        assert_eq!(run(session, &[9.0, 2.0]), [[-9.0, -2.0]]);
        session.set_input_shape(0, &[2]).expect("suits");
        let (x, mut y) = ([-9.0f32, 2.0], [0.0f32; 2]);
        session.run_with(&[(0, View::new(&x))], &mut [(0, ViewMut::new(&mut y))]).expect("runs");
        assert_eq!(y, [-6.0, -5.0]);
    });
}

/// `x`, kept between runs, grows three times by `w`; where it has become large, it is `w` again.
/// What is positive of it is measured.
#[test]
fn a_loop_and_a_branch_carry_a_state() {
    let mut g = with_counters(3);
    g.variables.push(Variable::measured("found", 0, 2));
    let x = input(&mut g, "x", vec![Dim::Fixed(2)]);
    let w = input(&mut g, "w", vec![Dim::Fixed(2)]);
    let p = g.add_value("p", &fact(DType::F32, &[2]));
    let body = block(&mut g, |g| vec![node(g, Op::Binary(Binary::Add), &[p, w])]);
    let op = counting(Dim::Fixed(3), vec![p], body, vec![fact(DType::F32, &[2])]);
    let grown = control(&mut g, Op::Loop(op), &[x])[0];
    let (total, limit) = (sum(&mut g, x), scalar(&mut g, 20.0));
    let small = node(&mut g, Op::Compare(Compare::Less), &[total, limit]);
    let then = block(&mut g, |_| vec![grown]);
    let otherwise = block(&mut g, |_| vec![w]);
    let facts = vec![fact(DType::F32, &[2])];
    let y = control(&mut g, Op::If(Branches { then, otherwise, facts }), &[small])[0];
    let len = Dim::var(VarId(3));
    let relu = node(&mut g, Op::Unary(Unary::Relu), &[y]);
    let found = control(&mut g, Op::NonZero { len: len.clone() }, &[relu]);
    let measure = Measure { numbers: vec![(0, VarId(3))], saturate: false };
    control(&mut g, Op::Measure(measure), &[found[1]]);
    let places = node(&mut g, Op::Reshape { shape: vec![len] }, &[found[0]]);
    let positive = node(&mut g, Op::Gather { axis: 0 }, &[y, places]);
    outputs(&mut g, &[y, positive]);
    g.states.push(State { input: 0, output: 0 });
    on_all_levels(&g, |session| {
        session.reset();
        let step = |session: &mut Session<'_>, w: [f32; 2]| {
            session.run_with(&[(1, View::new(&w))], &mut []).expect("runs");
            let y = session.output::<f32>(0).expect("f32").to_vec();
            (y, session.output::<f32>(1).expect("f32").to_vec())
        };
        assert_eq!(step(session, [1.0, 2.0]), (vec![3.0, 6.0], vec![3.0, 6.0]));
        let mut taken = vec![0; session.snapshot_bytes()];
        session.snapshot(&mut taken).expect("fits");
        assert_eq!(step(session, [-2.0, 6.0]), (vec![-3.0, 24.0], vec![24.0]));
        assert_eq!(step(session, [-2.0, -1.0]), (vec![-2.0, -1.0], vec![]));
        session.restore(&taken).expect("fits");
        assert_eq!(step(session, [-1.0, 0.5]), (vec![0.0, 7.5], vec![7.5]));
        session.prefault();
        assert_eq!(step(session, [1.0, 2.0]).0, [3.0, 6.0]);
        let mut bound = [0.0f32; 2];
        let outcome = session.run_with(&[], &mut [(1, ViewMut::new(&mut bound))]);
        assert_eq!(outcome, Err(RunError::Bind { port: 3, error: BindError::Measured }));
        assert_eq!(session.input_mut::<f32>(0).expect("f32"), [3.0, 6.0]);
    });
}

/// A branch that works in place must not do so on what the loop reads again, nor on what the
/// other branch gives.
#[test]
fn a_branch_in_a_loop_does_not_spoil_what_is_read_again() {
    let mut g = with_counters(4);
    let x = input(&mut g, "x", vec![Dim::Fixed(2)]);
    let (kept, zero) = (node(&mut g, Op::Unary(Unary::Abs), &[x]), scalar(&mut g, 0.0));
    let p = g.add_value("p", &fact(DType::F32, &[2]));
    let q = g.add_value("q", &fact(DType::F32, &[2]));
    let body = block(&mut g, |g| {
        let total = sum(g, p);
        let below = node(g, Op::Compare(Compare::Less), &[total, zero]);
        let then = block(g, |g| {
            let n = node(g, Op::Unary(Unary::Neg), &[kept]);
            vec![node(g, Op::Binary(Binary::Sub), &[q, n]), p]
        });
        let otherwise = block(g, |g| vec![node(g, Op::Unary(Unary::Neg), &[p]), q]);
        let facts = vec![fact(DType::F32, &[2]); 2];
        control(g, Op::If(Branches { then, otherwise, facts }), &[below])
    });
    let facts = vec![fact(DType::F32, &[2]); 2];
    let op = counting(Dim::Fixed(4), vec![p, q], body, facts);
    let y = control(&mut g, Op::Loop(op), &[x, kept]);
    outputs(&mut g, &y);
    g.variables[0].max = 2;
    on_all_levels(&g, |session| {
        let want = |x: [f32; 2]| {
            let kept = x.map(f32::abs);
            let (mut p, mut q) = (x, kept);
            for _ in 0..4 {
                (p, q) = match p[0] + p[1] < 0.0 {
                    true => ([q[0] + kept[0], q[1] + kept[1]], p),
                    false => (p.map(|v| -v), q),
                };
            }
            [p.to_vec(), q.to_vec()]
        };
        for x in [[1.0, 2.0], [-1.0, -3.0], [0.5, -4.0]] {
            assert_eq!(run(session, &x), want(x));
        }
    });
}
