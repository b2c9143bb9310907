//! The forecast as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fan::{Fan, PROBABILITIES};
use super::measure::Measured;

/// What `--json` prints. Times are ISO 8601 in UTC, one a step.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    name: &'a str,
    unit: &'a str,
    time: Vec<String>,
    mean: &'a [f32],
    quantiles: BTreeMap<String, &'a [f32]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<&'a [f32]>,
    #[serde(skip_serializing_if = "<[f32]>::is_empty")]
    observed: &'a [f32],
    calls: usize,
    p50_ns: u64,
    p99_ns: u64,
    allocations: u64,
}

impl<'a> Report<'a> {
    pub(super) fn new(fan: &'a Fan, measured: &Measured) -> Self {
        let quantiles = PROBABILITIES.iter().map(|p| p.to_string()).zip(&fan.quantiles);
        Self {
            name: &fan.name,
            unit: &fan.unit,
            time: (0..fan.horizon()).map(|step| fan.time(step).to_string()).collect(),
            mean: &fan.mean,
            quantiles: quantiles.map(|(p, values)| (p, values.as_slice())).collect(),
            paths: fan.each_path().collect(),
            observed: &fan.observed,
            calls: measured.calls,
            p50_ns: measured.p50_ns,
            p99_ns: measured.p99_ns,
            allocations: measured.allocations,
        }
    }
}
