//! What was done, and what it costs and brings.

use nowcast::quantize::{Model, Quantized};
use serde::Serialize;

use super::QuantizeArgs;
use super::latency::Latency;

/// The report, as JSON has it.
#[derive(Serialize)]
pub(super) struct Report {
    output: String,
    mode: String,
    layers: Vec<Layer>,
    left_in_float: Vec<LeftOut>,
    /// Of the float model's files and of the quantized model's.
    bytes: [usize; 2],
    /// Median of a call before and after, on this machine, a short measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ns: Option<[u64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timed_calls: Option<usize>,
    /// Of the whole, in per cent, on the calibration data.
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_percent: Option<f64>,
    /// Of the forecasts before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    weighted_quantile_loss: Option<[f64; 2]>,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    op: String,
    shape: Vec<usize>,
    /// In per cent, when this layer alone is quantized.
    loss_percent: Option<f64>,
    quantized: bool,
}

#[derive(Serialize)]
struct LeftOut {
    name: String,
    op: String,
    why: String,
}

impl Report {
    pub(super) fn new(
        args: &QuantizeArgs,
        model: &Model,
        quantized: &Quantized,
        latency: Option<Latency>,
    ) -> Self {
        let layer = |layer: &nowcast::quantize::LayerReport| Layer {
            name: layer.name.clone(),
            op: layer.op.clone(),
            shape: layer.shape.clone(),
            loss_percent: layer.loss,
            quantized: layer.is_quantized,
        };
        let left = |left: &nowcast::quantize::LeftOut| LeftOut {
            name: left.name.clone(),
            op: left.op.clone(),
            why: left.why.clone(),
        };
        Self {
            output: args.output.display().to_string(),
            mode: format!("{:?}", args.mode).to_lowercase(),
            layers: quantized.layers.iter().map(layer).collect(),
            left_in_float: quantized.left_out.iter().map(left).collect(),
            bytes: [model.file_bytes(), quantized.onnx.len()],
            p50_ns: latency.map(|l| [l.float_ns, l.quantized_ns]),
            timed_calls: latency.map(|l| l.calls),
            loss_percent: quantized.loss,
            weighted_quantile_loss: quantized.quantile_losses,
        }
    }

    /// For people: the layers that lose most first.
    pub(super) fn text(&self) -> String {
        let count = self.layers.iter().filter(|layer| layer.quantized).count();
        let mut text = format!(
            "{}: {}, {count} of {} layers quantized\n\n",
            self.output,
            self.mode,
            self.layers.len()
        );
        let mut layers: Vec<&Layer> = self.layers.iter().collect();
        layers.sort_by(|a, b| {
            let loss = |layer: &Layer| layer.loss_percent.unwrap_or(0.0);
            loss(b).total_cmp(&loss(a))
        });
        let widest = layers.iter().map(|layer| layer.name.chars().count()).max().unwrap_or(0);
        let width = widest.clamp(5, 48);
        text += &format!("{:<width$}  {:<8} {:<18} loss alone\n", "layer", "operator", "weights");
        for layer in layers {
            let loss = layer.loss_percent.map_or("-".to_owned(), |loss| format!("{loss:.3} %"));
            let kept = if layer.quantized { "" } else { "  kept in float" };
            text += &format!(
                "{:<width$}  {:<8} {:<18} {loss:>10}{kept}\n",
                shortened(&layer.name, width),
                layer.op,
                format!("{:?}", layer.shape)
            );
        }
        if !self.left_in_float.is_empty() {
            text += "\nleft in float\n";
        }
        for left in &self.left_in_float {
            text += &format!("{} {:?} {}\n", left.op, left.name, left.why);
        }
        let [before, after] = self.bytes;
        text += &format!("\n{:<28}{:>14}{:>14}\n", "", "float", "quantized");
        text += &format!("{:<28}{before:>14}{after:>14}\n", "bytes");
        if let (Some([before, after]), Some(calls)) = (self.p50_ns, self.timed_calls) {
            let us = |ns: u64| format!("{:.1} µs", ns as f64 / 1000.0);
            text += &format!(
                "{:<28}{:>14}{:>14}  a short measure, {calls} calls each in turn\n",
                "p50 of a call, here",
                us(before),
                us(after)
            );
        }
        match (self.weighted_quantile_loss, self.loss_percent) {
            (Some([before, after]), Some(loss)) => {
                text += &format!(
                    "{:<28}{before:>14.5}{after:>14.5}  {loss:+.2} %\n",
                    "weighted quantile loss"
                );
            }
            (None, Some(loss)) => {
                text += &format!(
                    "{:<28}{:>14}{:>14}  root mean square over the outputs' standard deviation\n",
                    "loss on the outputs",
                    "0 %",
                    format!("{loss:.3} %")
                );
            }
            _ => text += "no calibration data: the loss was not measured\n",
        }
        text
    }
}

/// The end of a long name tells more than its beginning.
fn shortened(name: &str, width: usize) -> String {
    let len = name.chars().count();
    if len <= width {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(len - width + 3).collect();
    format!("...{tail}")
}
