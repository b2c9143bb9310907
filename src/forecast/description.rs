//! What `forecaster.json` says.
//!
//! Owns the format of a forecaster's folder. Its invariant: a [`Description`] that exists is
//! complete and its numbers are in range; whether the model suits it is checked later. A field it
//! does not know is refused, so that a misspelt one is not ignored.

use serde::Deserialize;

use super::calendar::Feature;
use super::forecaster::{Input, InputKind, Layout, MAX_FEATURES, MAX_INPUTS};
use super::scale::{Center, Scale, Spread};

/// The version of the format that this build reads.
const FORMAT: u64 = 1;
const MAX_CONTEXT: usize = 1 << 20;
/// Bounds the covariance at 128 MiB.
const MAX_HORIZON: usize = 4096;

/// What a forecaster's folder says of itself.
///
/// # Examples
/// ```
/// use nowcast::forecast::Description;
///
/// let description = Description::from_json(r#"{
///     "format": 1,
///     "name": "load",
///     "model": "model.onnx",
///     "covariance": "covariance.npy",
///     "context": 48,
///     "horizon": 12,
///     "step_seconds": 1800,
///     "unit": "kW",
///     "scale": {"center": "context_mean", "spread": "context_std"},
///     "inputs": [
///         {"name": "x", "kind": "context"},
///         {"name": "t", "kind": "calendar", "features": ["hour_sin", "hour_cos"]}
///     ],
///     "output": "y"
/// }"#)?;
/// assert_eq!(description.context, 48);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Description {
    /// Its name.
    pub name: String,
    /// The model's file, from the folder.
    pub model: String,
    /// The file of the covariance of the mean's errors, f64 `[horizon, horizon]` in the series'
    /// unit, from the folder.
    pub covariance: String,
    /// The file of a series to forecast from, from the folder.
    pub series: Option<String>,
    /// Observations that a forecast is made from.
    pub context: usize,
    /// Steps that it reaches.
    pub horizon: usize,
    /// Seconds from one step to the next.
    pub step_seconds: u32,
    /// The unit of observations and forecasts.
    pub unit: String,
    /// How observations are scaled for the model, and its output back.
    pub scale: Scale,
    /// What each input of the model is given.
    pub inputs: Vec<InputDescription>,
    /// The model's output that is the scaled mean, f32 `[1, horizon]`.
    pub output: String,
}

/// What an input of the model, f32 `[1, n]`, is given.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct InputDescription {
    /// Its name in the model.
    pub name: String,
    /// Features of the time of the first step; none where it is given the scaled context.
    pub calendar: Option<Vec<Feature>>,
}

impl InputDescription {
    pub(super) fn borrow(&self) -> Input<'_> {
        let kind = self.calendar.as_deref().map_or(InputKind::Context, InputKind::Calendar);
        Input { name: &self.name, kind }
    }
}

impl Description {
    /// Reads `forecaster.json`.
    ///
    /// **Errors**: one sentence that names the field.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let Version { format } = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if format != FORMAT {
            return Err(format!("format {format} is not {FORMAT}, the one this build reads"));
        }
        let raw: Raw = serde_json::from_str(text).map_err(|e| e.to_string())?;
        raw.checked()
    }

    pub(super) fn layout<'a>(&'a self, inputs: &'a [Input<'a>]) -> Layout<'a> {
        Layout {
            name: &self.name,
            unit: &self.unit,
            context: self.context,
            horizon: self.horizon,
            step_seconds: self.step_seconds,
            scale: self.scale,
            inputs,
            output: &self.output,
        }
    }
}

#[derive(Deserialize)]
struct Version {
    format: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(rename = "format")]
    _format: u64,
    name: String,
    model: String,
    covariance: String,
    series: Option<String>,
    context: usize,
    horizon: usize,
    step_seconds: u32,
    unit: String,
    scale: RawScale,
    inputs: Vec<RawInput>,
    output: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScale {
    center: RawCenter,
    spread: RawSpread,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "center must be \"context_mean\", \"last\" or a number")]
enum RawCenter {
    Word(CenterWord),
    Number(f64),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CenterWord {
    ContextMean,
    Last,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "spread must be \"context_std\" or a number")]
enum RawSpread {
    Word(SpreadWord),
    Number(f64),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SpreadWord {
    ContextStd,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum RawInput {
    Context { name: String },
    Calendar { name: String, features: Vec<RawFeature> },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawFeature {
    HourSin,
    HourCos,
    YearSin,
    YearCos,
}

impl Raw {
    fn checked(self) -> Result<Description, String> {
        let within = |name: &str, value: usize, max: usize| match value {
            value if (1..=max).contains(&value) => Ok(value),
            value => Err(format!("\"{name}\" is {value}, expected 1 to {max}")),
        };
        let scale = Scale {
            center: match self.scale.center {
                RawCenter::Word(CenterWord::ContextMean) => Center::ContextMean,
                RawCenter::Word(CenterWord::Last) => Center::Last,
                RawCenter::Number(center) => Center::Fixed(center),
            },
            spread: match self.scale.spread {
                RawSpread::Word(SpreadWord::ContextStd) => Spread::ContextStd,
                RawSpread::Number(spread) => Spread::Fixed(spread),
            },
        };
        if !scale.is_valid() {
            return Err("\"spread\" must be above zero".to_owned());
        }
        within("step_seconds", self.step_seconds as usize, u32::MAX as usize)?;
        let inputs: Vec<_> = self.inputs.into_iter().map(RawInput::described).collect();
        if !inputs.iter().any(|input| input.calendar.is_none()) {
            return Err("\"inputs\" has none of the kind \"context\"".to_owned());
        }
        if inputs.len() > MAX_INPUTS {
            return Err(format!("\"inputs\" has {}, at most {MAX_INPUTS} are read", inputs.len()));
        }
        for InputDescription { name, calendar } in &inputs {
            let features = calendar.as_ref().map_or(1, Vec::len);
            if !(1..=MAX_FEATURES).contains(&features) {
                return Err(format!(
                    "the input \"{name}\" has {features} features, expected 1 to {MAX_FEATURES}"
                ));
            }
        }
        Ok(Description {
            name: self.name,
            model: self.model,
            covariance: self.covariance,
            series: self.series,
            context: within("context", self.context, MAX_CONTEXT)?,
            horizon: within("horizon", self.horizon, MAX_HORIZON)?,
            step_seconds: self.step_seconds,
            unit: self.unit,
            scale,
            inputs,
            output: self.output,
        })
    }
}

impl RawInput {
    fn described(self) -> InputDescription {
        match self {
            Self::Context { name } => InputDescription { name, calendar: None },
            Self::Calendar { name, features } => {
                let features = features.into_iter().map(|feature| match feature {
                    RawFeature::HourSin => Feature::HourSin,
                    RawFeature::HourCos => Feature::HourCos,
                    RawFeature::YearSin => Feature::YearSin,
                    RawFeature::YearCos => Feature::YearCos,
                });
                InputDescription { name, calendar: Some(features.collect()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"format": 1, "name": "n", "model": "m.onnx", "covariance": "c.npy",
        "series": "s.csv", "context": 4, "horizon": 2, "step_seconds": 3600, "unit": "degF",
        "scale": {"center": "last", "spread": 10.0},
        "inputs": [{"name": "x", "kind": "context"},
                   {"name": "t", "kind": "calendar", "features": ["hour_sin", "year_cos"]}],
        "output": "mean"}"#;

    #[test]
    fn a_description_is_read() {
        let description = Description::from_json(GOOD).expect("good");
        assert_eq!((description.context, description.horizon), (4, 2));
        assert_eq!(description.scale, Scale { center: Center::Last, spread: Spread::Fixed(10.0) });
        assert_eq!(description.inputs[1].calendar, Some(vec![Feature::HourSin, Feature::YearCos]));
        let spread = GOOD.replace("\"last\", \"spread\": 10.0", "3, \"spread\": \"context_std\"");
        let scale = Description::from_json(&spread).expect("good").scale;
        assert_eq!(scale, Scale { center: Center::Fixed(3.0), spread: Spread::ContextStd });
    }

    #[test]
    fn each_mistake_is_named() {
        let cases = [
            ("\"unit\"", "\"units\"", "unknown field `units`"),
            ("\"format\": 1", "\"format\": 2", "format 2 is not 1"),
            ("\"format\": 1,", "", "missing field `format`"),
            ("\"horizon\": 2,", "", "missing field `horizon`"),
            ("\"context\": 4", "\"context\": 0", "\"context\" is 0, expected 1 to 1048576"),
            ("\"horizon\": 2", "\"horizon\": 5000", "\"horizon\" is 5000, expected 1 to 4096"),
            ("\"step_seconds\": 3600", "\"step_seconds\": 0", "\"step_seconds\" is 0"),
            ("\"last\"", "\"median\"", "center must be \"context_mean\", \"last\" or a number"),
            ("10.0", "\"big\"", "spread must be \"context_std\" or a number"),
            ("10.0", "0", "\"spread\" must be above zero"),
            ("hour_sin", "minute_sin", "unknown variant `minute_sin`, expected one of `hour_sin`"),
            ("\"kind\": \"context\"", "\"kind\": \"past\"", "unknown variant `past`"),
            ("\"kind\": \"context\"", "\"kind\": \"context\", \"lags\": 3", "unknown field `lags`"),
            (", \"year_cos\"", ", \"year_cos\"], \"of\": [", "unknown field `of`"),
            ("\"hour_sin\", \"year_cos\"", "", "the input \"t\" has 0 features"),
            ("{\"name\": \"x\", \"kind\": \"context\"},", "", "none of the kind \"context\""),
        ];
        for (good, bad, expected) in cases {
            let error = Description::from_json(&GOOD.replacen(good, bad, 1)).expect_err(bad);
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }
}
