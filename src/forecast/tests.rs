//! A toy model, forecast through the runtime and by hand.

use super::calendar::Feature;
use super::*;
use crate::compile::compile;
use crate::graph::dim::Dim;
use crate::graph::ops::{Binary, SliceAxis};
use crate::graph::{Fact, Graph, Op, Port, Tensor, ValueId};
use crate::kernels::{Isa, Level};
use crate::runtime::{Program, SessionError};
use crate::sampling::{Gaussian, PathAddress};
use crate::tensor::DType;

const CONTEXT: [f32; 5] = [30.0, 32.5, 31.0, 28.0, 29.0];
const HORIZON: usize = 2;
const COVARIANCE: [f64; 4] = [4.0, 1.5, 1.5, 9.0];
/// 31 December 2013, 06:00.
const FIRST_STEP: i64 = 1_388_469_600;

fn input(graph: &mut Graph, name: &str, len: usize) -> ValueId {
    let shape = vec![Dim::Fixed(1), Dim::Fixed(len as i64)];
    let value = graph.add_value(name, &Fact { dtype: DType::F32, shape });
    graph.inputs.push(Port { name: name.into(), value });
    value
}

fn node(graph: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    graph.add_node("n", op, &inputs, &[]).expect("suits")[0]
}

/// `mean = factor * context[..2] + calendar * [1, -1]`.
fn program(factor: f32) -> Program<'static> {
    let mut g = Graph::default();
    let context = input(&mut g, "context", CONTEXT.len());
    let calendar = input(&mut g, "calendar", HORIZON);
    let (start, extent) = (Dim::Fixed(0), Dim::Fixed(HORIZON as i64));
    let axes = vec![SliceAxis { axis: 1, start, step: 1, extent }];
    let head = node(&mut g, Op::Slice { axes }, &[context]);
    let factor = g.add_constant("factor", Tensor::scalar(factor));
    let signs = g.add_constant("signs", Tensor::new(&[1, HORIZON], &[1.0f32, -1.0]));
    let scaled = node(&mut g, Op::Binary(Binary::Mul), &[head, factor]);
    let signed = node(&mut g, Op::Binary(Binary::Mul), &[calendar, signs]);
    let mean = node(&mut g, Op::Binary(Binary::Add), &[scaled, signed]);
    g.outputs.push(Port { name: "mean".into(), value: mean });
    compile(&g).expect("compiles")
}

const FEATURES: [Feature; 2] = [Feature::HourSin, Feature::YearCos];
const INPUTS: [Input<'static>; 2] = [
    Input { name: "context", kind: InputKind::Context },
    Input { name: "calendar", kind: InputKind::Calendar(&FEATURES) },
];
const LAYOUT: Layout<'static> = Layout {
    name: "toy",
    unit: "degF",
    context: CONTEXT.len(),
    horizon: HORIZON,
    step_seconds: 3600,
    scale: Scale { center: Center::Last, spread: Spread::Fixed(10.0) },
    inputs: &INPUTS,
    output: "mean",
};

fn with_errors<R>(use_errors: impl FnOnce(Gaussian<'_>) -> R) -> R {
    let mut storage = [0.0; Gaussian::full_len(HORIZON)];
    let mut scratch = [0.0; Gaussian::full_scratch_len(HORIZON)];
    let errors =
        Gaussian::full(Level::detect(), &[0.0; HORIZON], &COVARIANCE, &mut storage, &mut scratch);
    use_errors(errors.expect("positive definite"))
}

fn with_session(factor: f32, level: Level, check: impl FnOnce(&mut ForecastSession<'_>)) {
    with_errors(|errors| {
        let forecaster = Forecaster::new(program(factor), errors, &LAYOUT).expect("suits");
        check(&mut ForecastSession::new_at(&forecaster, level).expect("runs"));
    });
}

/// The same by hand: the year has its cosine at 364 days and a quarter, the hour its sine at one.
fn expected_mean() -> [f32; HORIZON] {
    let year = (core::f64::consts::TAU * 364.25 / 365.2425).cos();
    let scaled = [3.0 * (30.0 - 29.0) / 10.0 + 1.0, 3.0 * (32.5 - 29.0) / 10.0 - year];
    scaled.map(|y| (y * 10.0 + 29.0) as f32)
}

fn assert_close(got: &[f32], expected: &[f32]) {
    let close = got.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs());
    assert!(got.len() == expected.len() && close, "{got:?} is not {expected:?}");
}

#[test]
fn a_forecast_is_what_it_is_by_hand() {
    for isa in Isa::ALL {
        with_session(3.0, Level::detect().at_most(isa), |session| {
            assert!(session.mean().is_empty());
            session.forecast(&CONTEXT, FIRST_STEP).expect("a context");
            let mean = expected_mean();
            assert_close(session.mean(), &mean);

            let mut upper = [0.0; HORIZON];
            session.quantile(0.95, &mut upper).expect("a probability");
            let z = 1.644_853_6;
            assert_close(&upper, &[mean[0] + 2.0 * z, mean[1] + 3.0 * z]);
            session.quantile(0.5, &mut upper).expect("a probability");
            assert_eq!(upper, session.mean());
        });
    }
}

#[test]
fn paths_are_the_mean_and_correlated_errors() {
    with_session(3.0, Level::detect(), |session| {
        session.forecast(&CONTEXT, FIRST_STEP).expect("a context");
        let mut paths = [0.0; 40 * HORIZON];
        session.paths(7, 3, 10, &mut paths).expect("whole paths");
        with_errors(|errors| {
            let mut expected = [0.0; 40 * HORIZON];
            let first = PathAddress { seed: 7, stream: 3, path: 10 };
            errors.draw(Level::scalar(), first, &mut expected).expect("whole paths");
            for (path, mean) in expected.iter_mut().zip(session.mean().iter().cycle()) {
                *path += mean;
            }
            assert_close(&paths, &expected);
        });

        // A path is a function of its address, whatever comes with it.
        let mut last = [0.0; HORIZON];
        session.paths(7, 3, 49, &mut last).expect("a path");
        assert_eq!(paths[39 * HORIZON..], last);
        session.paths(8, 3, 49, &mut last).expect("a path");
        assert_ne!(paths[39 * HORIZON..], last);
    });
}

#[test]
fn what_is_refused_changes_nothing() {
    with_session(3.0, Level::detect(), |session| {
        let mut out = [5.0; HORIZON];
        assert_eq!(session.quantile(0.5, &mut out), Err(ForecastError::NoForecast));
        assert_eq!(session.paths(0, 0, 0, &mut out), Err(ForecastError::NoForecast));

        session.forecast(&CONTEXT, FIRST_STEP).expect("a context");
        let mean = session.mean().to_vec();
        let short = session.forecast(&CONTEXT[1..], FIRST_STEP);
        assert_eq!(short, Err(ForecastError::ContextLength { expected: 5, got: 4 }));
        let mut context = CONTEXT;
        context[3] = f32::NAN;
        let refused = session.forecast(&context, FIRST_STEP);
        assert_eq!(refused, Err(ForecastError::NotFinite { index: 3 }));
        assert_eq!(session.mean(), mean);

        for p in [0.0, 1.0, -0.5, f64::NAN] {
            assert_eq!(session.quantile(p, &mut out), Err(ForecastError::Probability));
        }
        let long = Err(ForecastError::OutputLength { horizon: 2, got: 3 });
        assert_eq!(session.quantile(0.5, &mut [0.0; 3]), long);
        assert_eq!(session.paths(0, 0, 0, &mut [0.0; 3]), long);
        assert_eq!(out, [5.0; HORIZON]);

        session.prefault();
        assert!(session.mean().is_empty());
        session.forecast(&CONTEXT, FIRST_STEP).expect("a context");
        assert_eq!(session.mean(), mean);
    });
}

#[test]
fn a_model_that_answers_with_nan_is_caught() {
    with_session(f32::NAN, Level::detect(), |session| {
        let answer = session.forecast(&CONTEXT, FIRST_STEP);
        assert_eq!(answer, Err(ForecastError::MeanNotFinite { step: 0 }));
        assert!(session.mean().is_empty());
    });
}

#[test]
fn the_callers_memory_serves_as_well() {
    #[repr(align(64))]
    struct Aligned([u8; 4096]);
    let mut memory = Aligned([0; 4096]);
    with_errors(|errors| {
        let forecaster = Forecaster::new(program(3.0), errors, &LAYOUT).expect("suits");
        let (level, needed) = (Level::detect(), forecaster.memory().session_bytes);
        let small = ForecastSession::in_memory(&forecaster, level, &mut memory.0[..needed - 1]);
        assert_eq!(small.err(), Some(SessionError::TooSmall { needed, given: needed - 1 }));
        let skewed = ForecastSession::in_memory(&forecaster, level, &mut memory.0[2..]);
        assert_eq!(skewed.err(), Some(SessionError::Misaligned));
        let mut session =
            ForecastSession::in_memory(&forecaster, level, &mut memory.0[..needed]).expect("fits");
        session.forecast(&CONTEXT, FIRST_STEP).expect("a context");
        assert_close(session.mean(), &expected_mean());
    });
}

#[test]
fn a_layout_that_does_not_suit_is_refused() {
    let context = INPUTS[0];
    let calendar = |features| Input { name: "calendar", kind: InputKind::Calendar(features) };
    let scale = Scale { center: Center::Last, spread: Spread::Fixed(0.0) };
    let covariance = LayoutError::Covariance { expected: 2, got: 1 };
    let cases = [
        (Layout { context: 0, ..LAYOUT }, LayoutError::Zero),
        (Layout { scale, ..LAYOUT }, LayoutError::Scale),
        (Layout { context: 4, ..LAYOUT }, LayoutError::InputShape { input: 0 }),
        (Layout { horizon: 3, ..LAYOUT }, LayoutError::OutputShape),
        (Layout { output: "std", ..LAYOUT }, LayoutError::NoSuchOutput),
        (Layout { inputs: &[context], ..LAYOUT }, LayoutError::NotGiven { input: 1 }),
        (Layout { inputs: &[context, context], ..LAYOUT }, LayoutError::NoSuchInput { input: 1 }),
        (
            Layout { inputs: &[context, calendar(&FEATURES[..1])], ..LAYOUT },
            LayoutError::InputShape { input: 1 },
        ),
        (LAYOUT, covariance),
    ];
    for (layout, expected) in cases {
        let mut storage = [0.0; Gaussian::diagonal_len(1)];
        let errors = Gaussian::diagonal(&[0.0], &[1.0], &mut storage).expect("a variance");
        assert_eq!(Forecaster::new(program(1.0), errors, &layout).err(), Some(expected));
    }
}

#[test]
fn forecasters_are_shared_and_sessions_move() {
    fn shared<T: Send + Sync>() {}
    fn moves<T: Send>() {}
    shared::<Forecaster<'_>>();
    moves::<ForecastSession<'_>>();
}
