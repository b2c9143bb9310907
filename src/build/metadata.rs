//! What a bundle says of a model, as JSON: its name, what was chosen, what goes in and out.
//!
//! The fields of each object stand in the order of their names, on every host.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::forecast::Forecaster;
use crate::graph::Extent;
use crate::load::{Options, Precision};
use crate::runtime::{KernelId, Port, Program, StepInfo};

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    forecaster: Option<Forecasts<'a>>,
    inputs: Vec<PortData<'a>>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Chosen<'a>>,
    outputs: Vec<PortData<'a>>,
    precision: &'static str,
    producer: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Forecasts<'a> {
    context: usize,
    horizon: usize,
    name: &'a str,
    step_seconds: u32,
    unit: &'a str,
}

#[derive(Serialize)]
struct PortData<'a> {
    dtype: &'static str,
    is_state: bool,
    name: &'a str,
    shape: Vec<Axis<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Axis<'a> {
    Extent(usize),
    /// Chosen per call.
    Dimension {
        dim: &'a str,
        max: usize,
        min: usize,
    },
    /// Follows from such dimensions.
    Follows(()),
}

#[derive(Serialize)]
struct Chosen<'a> {
    dims: BTreeMap<&'a str, Choice>,
    input_shapes: &'a BTreeMap<String, Vec<usize>>,
    states: &'a [(String, String)],
    values: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice {
    Fixed(i64),
    Range([i64; 2]),
}

/// Of a program.
pub(super) fn of_program(name: &str, program: &Program<'_>, options: &Options) -> String {
    let bindings = options.bindings();
    let choice = |extent: &Extent| match extent {
        Extent::Fixed(extent) => Choice::Fixed(*extent),
        Extent::Range(min, max) => Choice::Range([*min, *max]),
    };
    let dims = bindings.dims.iter().map(|(name, extent)| (name.as_str(), choice(extent)));
    let chosen = Chosen {
        dims: dims.collect(),
        input_shapes: &bindings.shapes,
        states: &bindings.states,
        values: bindings.values.keys().map(String::as_str).collect(),
    };
    text(name, program, Some(chosen), None)
}

/// Of a forecaster.
pub(super) fn of_forecaster(name: &str, forecaster: &Forecaster<'_>) -> String {
    let forecasts = Forecasts {
        context: forecaster.context(),
        horizon: forecaster.horizon(),
        name: forecaster.name(),
        step_seconds: forecaster.step_seconds(),
        unit: forecaster.unit(),
    };
    text(name, forecaster.program(), None, Some(forecasts))
}

/// Bf16 where some weights are.
fn precision(program: &Program<'_>) -> Precision {
    let is_bf16 = |step: StepInfo<'_>| step.id == KernelId::LinearBf16;
    if program.steps().any(is_bf16) { Precision::Bf16 } else { Precision::F32 }
}

fn text(
    name: &str,
    program: &Program<'_>,
    options: Option<Chosen<'_>>,
    forecaster: Option<Forecasts<'_>>,
) -> String {
    let metadata = Metadata {
        forecaster,
        inputs: program.inputs().map(PortData::new).collect(),
        name,
        options,
        outputs: program.outputs().map(PortData::new).collect(),
        precision: precision(program).name(),
        producer: "nowcast",
        version: env!("CARGO_PKG_VERSION"),
    };
    // Strings, numbers and maps of strings are always JSON.
    serde_json::to_string(&metadata).unwrap_or_default()
}

impl<'a> PortData<'a> {
    fn new(port: Port<'a>) -> Self {
        let axis = |axis| match (port.fixed_extent(axis), port.variable(axis)) {
            (Some(extent), _) => Axis::Extent(extent),
            (_, Some((dim, min, max))) => Axis::Dimension { dim, max, min },
            _ => Axis::Follows(()),
        };
        Self {
            dtype: port.dtype.name(),
            is_state: port.is_state(),
            name: port.name,
            shape: (0..port.rank()).map(axis).collect(),
        }
    }
}
