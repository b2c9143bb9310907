//! Calibration forecasts: a series through a forecaster's own scaling.

use std::path::Path;

use super::error::QuantizeError;
use super::samples::Samples;
use crate::forecast::{Description, ForecastSession, Forecaster, ForecasterError};
use crate::graph::Tensor;
use crate::sampling::normal_quantile;

/// The quantiles that the weighted quantile loss is averaged over.
const QUANTILES: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// Forecasts of a series whose outcome is known.
#[derive(Clone, Debug)]
pub struct Forecasts {
    description: Description,
    json: String,
    covariance: Vec<u8>,
    values: Vec<f32>,
    first_unix_seconds: i64,
    /// Positions of the first steps that are forecast.
    origins: Vec<usize>,
}

impl Forecasts {
    /// Forecasts of the forecaster in a folder: at most `limit`, evenly over all that have a
    /// context and an outcome.
    ///
    /// **Shapes and units**: `values` in the series' unit, a step apart, the first at
    /// `first_unix_seconds`.
    ///
    /// **Errors**: the folder is none of a forecaster; the series is too short.
    pub fn new(
        folder: impl AsRef<Path>,
        values: &[f32],
        first_unix_seconds: i64,
        limit: usize,
    ) -> Result<Self, QuantizeError> {
        let folder = folder.as_ref();
        let description = Description::from_folder(folder)?;
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|source| ForecasterError::Io { path, source })
        };
        let json = String::from_utf8_lossy(&read("forecaster.json")?).into_owned();
        let covariance = read(&description.covariance)?;
        let (context, horizon) = (description.context, description.horizon);
        let Some(last) = values.len().checked_sub(context + horizon) else {
            return Err(QuantizeError::Samples(format!(
                "{} observations are too short a series: give at least the {context} that the \
                 forecaster looks back on and the {horizon} that it forecasts",
                values.len()
            )));
        };
        let len = (last + 1).min(limit.max(1));
        let at = |i: usize| context + if len > 1 { i * last / (len - 1) } else { 0 };
        Ok(Self {
            origins: (0..len).map(at).collect(),
            values: values.to_vec(),
            description,
            json,
            covariance,
            first_unix_seconds,
        })
    }

    /// The number of forecasts.
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    fn context(&self, origin: usize) -> &[f32] {
        &self.values[origin - self.description.context..origin]
    }

    fn time(&self, origin: usize) -> i64 {
        self.first_unix_seconds + origin as i64 * i64::from(self.description.step_seconds)
    }

    /// What the model is given for each.
    pub fn samples(&self) -> Samples {
        let names = self.description.inputs.iter().map(|input| input.name.clone()).collect();
        let set = |origin: &usize| {
            let context = self.context(*origin);
            let (center, spread) = self.description.scale.of(context);
            let input = |calendar: &Option<Vec<crate::forecast::calendar::Feature>>| {
                let row: Vec<f32> = match calendar {
                    None => {
                        context.iter().map(|x| ((f64::from(*x) - center) / spread) as f32).collect()
                    }
                    Some(features) => {
                        let time = self.time(*origin);
                        features.iter().map(|feature| feature.value(time) as f32).collect()
                    }
                };
                Tensor::new(&[1, row.len()], &row)
            };
            self.description.inputs.iter().map(|described| input(&described.calendar)).collect()
        };
        Samples::of_sets(names, self.origins.iter().map(set).collect())
    }

    /// The weighted quantile loss of the forecasts that a model makes: twice the pinball loss over
    /// the sum of the observations' magnitudes, the mean over the quantiles 0.1 to 0.9.
    ///
    /// **Errors**: the model is none for this forecaster; a forecast fails.
    ///
    /// **Cost**: loads the model and makes every forecast.
    ///
    /// **Source**: the weighted quantile loss of Y. Park et al., "Learning Quantile Functions
    /// without Quantile Crossing for Distribution-free Time Series Forecasting", 2022
    /// (arXiv:2111.06581), section 5.
    pub fn quantile_loss(&self, onnx: &[u8]) -> Result<f64, QuantizeError> {
        let forecaster = Forecaster::from_parts(&self.json, onnx, &self.covariance)?;
        let mut session = ForecastSession::new(&forecaster)?;
        let horizon = self.description.horizon;
        let normals = QUANTILES.map(|p| (p, normal_quantile(p)));
        let (mut loss, mut magnitude) = (0.0, 0.0);
        for origin in &self.origins {
            session.forecast(self.context(*origin), self.time(*origin))?;
            let outcome = &self.values[*origin..origin + horizon];
            for (step, (y, mean)) in outcome.iter().zip(session.mean()).enumerate() {
                let std = f64::from(forecaster.errors().marginal_std(step));
                magnitude += f64::from(y.abs());
                for (p, z) in normals {
                    let over = f64::from(*y) - (f64::from(*mean) + z * std);
                    loss += if over > 0.0 { p * over } else { (p - 1.0) * over };
                }
            }
        }
        if magnitude == 0.0 {
            return Err(QuantizeError::Samples(
                "the series is zero throughout: its quantile loss is no number".to_owned(),
            ));
        }
        Ok(2.0 * loss / (QUANTILES.len() as f64 * magnitude))
    }
}
