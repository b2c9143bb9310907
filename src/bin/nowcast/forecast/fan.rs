//! A forecast with all that is shown of it.

use nowcast::forecast::calendar::DateTime;
use nowcast::forecast::{ForecastError, ForecastSession, Forecaster};

use super::observations::Observations;

/// The quantiles that are shown.
pub(super) const PROBABILITIES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// History, forecast, and what came to pass.
pub(super) struct Fan {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) step_seconds: i64,
    /// Unix seconds of the first step that is forecast.
    pub(super) first_step: i64,
    /// The observations before it, oldest first.
    pub(super) history: Vec<f32>,
    pub(super) mean: Vec<f32>,
    /// In the order of [`PROBABILITIES`].
    pub(super) quantiles: [Vec<f32>; PROBABILITIES.len()],
    /// `[paths, horizon]`.
    pub(super) paths: Vec<f32>,
    /// Observations of the steps that are forecast, as far as there are any.
    pub(super) observed: Vec<f32>,
}

impl Fan {
    /// Room for a forecast of the steps from observation `at` on.
    pub(super) fn new(
        forecaster: &Forecaster<'_>,
        observations: &Observations,
        at: usize,
        paths: usize,
    ) -> Self {
        let horizon = forecaster.horizon();
        let values = &observations.values;
        let history = forecaster.context().min(2 * horizon);
        Self {
            name: forecaster.name().to_owned(),
            unit: forecaster.unit().to_owned(),
            step_seconds: i64::from(forecaster.step_seconds()),
            first_step: observations.time(at),
            history: values[at - history..at].to_vec(),
            mean: vec![0.0; horizon],
            quantiles: PROBABILITIES.map(|_| vec![0.0; horizon]),
            paths: vec![0.0; paths * horizon],
            observed: values[at..values.len().min(at + horizon)].to_vec(),
        }
    }

    /// Takes quantiles and mean of the session's last forecast. No allocation.
    pub(super) fn take(&mut self, session: &ForecastSession<'_>) -> Result<(), ForecastError> {
        self.mean.copy_from_slice(session.mean());
        for (p, out) in PROBABILITIES.iter().zip(&mut self.quantiles) {
            session.quantile(*p, out)?;
        }
        Ok(())
    }

    /// Keeps the first paths only.
    pub(super) fn keep_paths(&mut self, paths: usize) {
        self.paths.truncate(paths * self.horizon());
    }

    pub(super) fn horizon(&self) -> usize {
        self.mean.len()
    }

    pub(super) fn each_path(&self) -> impl Iterator<Item = &[f32]> {
        self.paths.chunks_exact(self.horizon())
    }

    /// Unix seconds of a step: zero is the first that is forecast, -1 the last observed.
    pub(super) fn seconds(&self, step: i64) -> i64 {
        self.first_step + step * self.step_seconds
    }

    /// The time of a step.
    pub(super) fn time(&self, step: usize) -> DateTime {
        date_time(self.seconds(step as i64))
    }

    /// The last observation: where the fan opens.
    pub(super) fn last(&self) -> f32 {
        self.history.last().copied().unwrap_or_default()
    }

    /// A quantile between steps: `step` runs from -1, where the fan opens at the last observation,
    /// to the last step of the forecast.
    pub(super) fn quantile_at(&self, quantile: usize, step: f64) -> f64 {
        between(&self.quantiles[quantile], self.last(), step)
    }

    /// History up to step -1, the mean from there on.
    pub(super) fn line_at(&self, step: f64) -> f64 {
        if step >= -1.0 {
            return between(&self.mean, self.last(), step);
        }
        let oldest = self.history.first().copied().unwrap_or_default();
        between(&self.history, oldest, step + self.history.len() as f64)
    }

    /// Lowest and highest value of what is drawn, `paths` besides the rest, with a margin.
    pub(super) fn range(&self, paths: &[f32]) -> (f64, f64) {
        let [low, .., high] = &self.quantiles;
        let drawn = [&self.history, low, high, &self.observed, paths];
        let drawn = || drawn.into_iter().flatten().map(|x| f64::from(*x));
        let (low, high) = (drawn().fold(f64::MAX, f64::min), drawn().fold(f64::MIN, f64::max));
        let margin = (0.04 * (high - low)).max(1e-3 * low.abs().max(high.abs())).max(1e-30);
        (low - margin, high + margin)
    }

    /// Decimals that show a tenth of the narrowest interval or so.
    pub(super) fn decimals(&self) -> usize {
        let [_, low, _, high, _] = &self.quantiles;
        let width = low.iter().zip(high).map(|(low, high)| high - low).fold(f32::MAX, f32::min);
        (1.0 - width.log10().floor()).clamp(0.0, 6.0) as usize
    }
}

/// `values` at a position between them; -1 is `before`.
fn between(values: &[f32], before: f32, position: f64) -> f64 {
    let at = |i: i64| match usize::try_from(i) {
        Ok(i) => values.get(i).or(values.last()).copied().unwrap_or(before),
        Err(_) => before,
    };
    let left = position.floor();
    let [a, b] = [at(left as i64), at(left as i64 + 1)].map(f64::from);
    a + (b - a) * (position - left)
}

/// The time; the last there is where it is beyond that.
pub(super) fn date_time(unix_seconds: i64) -> DateTime {
    let range = DateTime::RANGE;
    let seconds = unix_seconds.clamp(*range.start(), *range.end());
    DateTime::from_unix_seconds(seconds).unwrap_or_else(|| unreachable!("in range"))
}

/// A length of time in the largest unit that divides it.
pub(super) fn duration(seconds: i64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let (len, unit) = units.into_iter().find(|(len, _)| seconds % len == 0).unwrap_or((1, "s"));
    format!("{} {unit}", seconds / len)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A day of waves, eight steps ahead.
    pub(in super::super) fn fan() -> Fan {
        let wave = |i: usize| 50.0 + 10.0 * (i as f32 * 0.4).sin();
        let mean: Vec<f32> = (16..24).map(wave).collect();
        let quantile =
            |z: f32| mean.iter().enumerate().map(|(i, m)| m + z * (1.0 + i as f32 * 0.2)).collect();
        Fan {
            name: "waves".to_owned(),
            unit: "m".to_owned(),
            step_seconds: 3600,
            first_step: 1_388_469_600,
            history: (0..16).map(wave).collect(),
            quantiles: [-1.645, -0.674, 0.0, 0.674, 1.645].map(quantile),
            paths: mean.iter().chain(&mean).map(|m| m + 0.5).collect(),
            mean,
            observed: vec![],
        }
    }

    #[test]
    fn durations() {
        let cases = [(86_400, "1 d"), (7200, "2 h"), (5400, "90 min"), (61, "61 s")];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn lines_meet_at_the_last_observation() {
        let fan = fan();
        assert_eq!(fan.line_at(-1.0), f64::from(fan.history[15]));
        assert_eq!(fan.line_at(-16.0), f64::from(fan.history[0]));
        assert_eq!(fan.line_at(7.0), f64::from(fan.mean[7]));
        assert_eq!(fan.quantile_at(4, -1.0), fan.line_at(-1.0));
        let middle = f64::from(fan.mean[2] + fan.mean[3]) / 2.0;
        assert!((fan.line_at(2.5) - middle).abs() < 1e-5);
        let (low, high) = fan.range(&[]);
        assert!(low < 40.0 && high > 60.0 && high < 66.0);
    }

    #[test]
    fn decimals_follow_the_spread() {
        let mut fan = fan();
        assert_eq!(fan.decimals(), 1);
        fan.quantiles.iter_mut().flatten().for_each(|x| *x *= 1000.0);
        assert_eq!(fan.decimals(), 0);
        fan.quantiles.iter_mut().flatten().for_each(|x| *x *= 1e-12);
        assert_eq!(fan.decimals(), 6);
    }
}
