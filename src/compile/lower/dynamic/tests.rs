use crate::compile::compile;
use crate::graph::ops::{Measure, SliceAxis, Unary, Unique};
use crate::graph::{Dim, Fact, Graph, Op, Port, ValueId, VarId, Variable};
use crate::kernels::{Isa, Level};
use crate::runtime::damage::{damage, damage_each_word};
use crate::runtime::{BindError, Program, RunError, Session, ViewMut};
use crate::tensor::DType;

fn input(g: &mut Graph, name: &str, dtype: DType, shape: &[i64]) -> ValueId {
    let shape = shape.iter().map(|n| Dim::Fixed(*n)).collect();
    let value = g.add_value(name, &Fact { dtype, shape });
    g.inputs.push(Port { name: name.into(), value });
    value
}

fn node(g: &mut Graph, op: Op, inputs: &[ValueId]) -> Vec<ValueId> {
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    g.add_node("n", op, &inputs, &[]).expect("suits")
}

fn measure(g: &mut Graph, from: ValueId, var: VarId, saturate: bool) {
    node(g, Op::Measure(Measure { numbers: vec![(0, var)], saturate }), &[from]);
}

fn on_all_levels(g: &Graph, check: impl Fn(&Program<'_>, &mut Session<'_>)) {
    let program = compile(g).expect("compiles");
    for isa in Isa::ALL {
        let mut session = Session::new_at(&program, Level::detect().at_most(isa)).expect("runs");
        check(&program, &mut session);
    }
    damage_each_word("a graph", &program, false);
    damage("a graph", &program, 1, 50);
}

/// The elements that are not zero, negated: NonZero, then GatherND, then what reads it.
fn masked() -> Graph {
    let mut g = Graph::default();
    g.variables.push(Variable::measured("len", 0, 6));
    let len = VarId(0);
    let x = input(&mut g, "x", DType::F32, &[2, 3]);
    let found = node(&mut g, Op::NonZero { len: Dim::var(len) }, &[x]);
    measure(&mut g, found[1], len, false);
    let at = node(&mut g, Op::Transpose { perm: vec![1, 0] }, &found[..1])[0];
    let picked = node(&mut g, Op::GatherNd { batch_dims: 0 }, &[x, at])[0];
    let y = node(&mut g, Op::Unary(Unary::Neg), &[picked])[0];
    g.outputs.push(Port { name: "y".into(), value: y });
    g
}

#[test]
fn results_are_as_long_as_the_data_says() {
    on_all_levels(&masked(), |program, session| {
        let port = program.outputs().next().expect("there");
        assert!(port.is_measured() && port.max_extent(0) == Some(6) && port.variable(0).is_none());
        assert_eq!(program.dim_name(0), Some("len"));
        assert_eq!(session.set_extent("len", 3), Err(BindError::NotFound));
        for (x, want) in [
            ([0.0, 1.0, 0.0, 2.0, 3.0, 0.0], &[-1.0, -2.0, -3.0][..]),
            ([0.0; 6], &[]),
            ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]),
            ([0.0, 0.0, 0.0, 0.0, 0.0, 9.0], &[-9.0]),
        ] {
            session.input_mut::<f32>(0).expect("f32").copy_from_slice(&x);
            session.run().expect("runs");
            assert_eq!(session.output_shape(0).expect("there")[..], [want.len()]);
            assert_eq!(session.output::<f32>(0), Ok(want));
        }
        let mut y = [0.0f32; 6];
        let bound = session.run_with(&[], &mut [(0, ViewMut::new(&mut y))]);
        assert_eq!(bound, Err(RunError::Bind { port: 1, error: BindError::Measured }));
        session.prefault();
        assert_eq!(session.output_shape(0).expect("there")[..], [0]);
    });
}

/// `x[..k]`, where k is an input between 0 and 4.
fn cut(saturate: bool) -> Graph {
    let mut g = Graph::default();
    g.variables.push(Variable::measured("k", 0, 4));
    let k = VarId(0);
    let x = input(&mut g, "x", DType::F32, &[4]);
    let number = input(&mut g, "k", DType::I64, &[]);
    measure(&mut g, number, k, saturate);
    let axes = vec![SliceAxis { axis: 0, start: Dim::Fixed(0), step: 1, extent: Dim::var(k) }];
    let part = node(&mut g, Op::Slice { axes }, &[x])[0];
    let y = node(&mut g, Op::Unary(Unary::Neg), &[part])[0];
    g.outputs.push(Port { name: "y".into(), value: y });
    g
}

fn cut_at(session: &mut Session<'_>, k: i64) -> Result<usize, RunError> {
    session.input_mut::<i64>(1).expect("i64")[0] = k;
    session.run()?;
    Ok(session.output::<f32>(0).expect("f32").len())
}

#[test]
fn a_number_out_of_range_ends_the_run() {
    on_all_levels(&cut(false), |_, session| {
        for k in [3, 0, 4] {
            assert_eq!(cut_at(session, k), Ok(k as usize));
        }
        for got in [5, -1, i64::MAX, i64::MIN] {
            let out = RunError::OutOfRange { dim: 0, min: 0, max: 4, got };
            assert_eq!(cut_at(session, got), Err(out));
        }
        assert_eq!(cut_at(session, 2), Ok(2), "the session serves on");
    });
    on_all_levels(&cut(true), |_, session| {
        assert_eq!(cut_at(session, i64::MAX), Ok(4));
        assert_eq!(cut_at(session, i64::MIN), Ok(0));
    });
}

#[test]
fn distinct_slices() {
    let mut g = Graph::default();
    g.variables.push(Variable::measured("len", 0, 3));
    let len = VarId(0);
    let x = input(&mut g, "x", DType::I32, &[3, 2]);
    let op = Unique { axis: 0, sorted: true, len: Dim::var(len) };
    let results = node(&mut g, Op::Unique(op), &[x]);
    measure(&mut g, results[4], len, false);
    for (name, value) in ["y", "first", "inverse", "counts"].iter().zip(&results) {
        g.outputs.push(Port { name: (*name).into(), value: *value });
    }
    on_all_levels(&g, |_, session| {
        session.input_mut::<i32>(0).expect("i32").copy_from_slice(&[2, 1, 1, 9, 2, 1]);
        session.run().expect("runs");
        assert_eq!(session.output::<i32>(0), Ok(&[1, 9, 2, 1][..]));
        assert_eq!(session.output::<i64>(1), Ok(&[1, 0][..]));
        assert_eq!(session.output::<i64>(2), Ok(&[1, 0, 1][..]));
        assert_eq!(session.output::<i64>(3), Ok(&[1, 2][..]));
        session.input_mut::<i32>(0).expect("i32").fill(7);
        session.run().expect("runs");
        assert_eq!(session.output::<i32>(0), Ok(&[7, 7][..]));
        assert_eq!(session.output::<i64>(3), Ok(&[3][..]));
    });
}
