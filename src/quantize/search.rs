//! What each layer loses, and which stay in float so that the whole loses little enough.

use super::error::QuantizeError;
use super::judge::{Judge, Loss};
use super::{LayerReport, Progress, Stage, Task};

/// The model that was chosen.
pub(super) struct Found {
    pub(super) onnx: Vec<u8>,
    pub(super) layers: Vec<LayerReport>,
    pub(super) loss: Option<f64>,
    /// The weighted quantile loss.
    pub(super) score: Option<f64>,
}

/// Quantizes every layer, or as many as the loss that is allowed lets.
pub(super) fn search(
    task: &Task<'_>,
    judge: Option<&Judge<'_>>,
    watch: &mut dyn FnMut(Progress),
) -> Result<Found, QuantizeError> {
    let count = task.layers.len();
    let mut layers: Vec<LayerReport> = task
        .layers
        .iter()
        .map(|layer| LayerReport {
            name: layer.name.clone(),
            op: layer.op.clone(),
            shape: layer.weights[0].tensor.shape().to_vec(),
            loss: None,
            is_quantized: true,
        })
        .collect();
    let whole = task.write(&|_| true)?;
    let Some(judge) = judge else {
        return Ok(Found { onnx: whole, layers, loss: None, score: None });
    };
    let loss = judge.loss(&whole)?;
    let limit = task.options.max_loss.unwrap_or(f64::INFINITY);
    // A loss that is no number is too much, too.
    let is_enough = loss.per_cent <= limit;
    let is_too_much = !is_enough;
    if task.options.table || is_too_much {
        for (i, layer) in layers.iter_mut().enumerate() {
            watch(Progress { stage: Stage::Measuring, done: i, parts: count });
            let alone = task.write(&|other| other == i)?;
            layer.loss = Some(judge.loss(&alone)?.per_cent);
        }
        watch(Progress { stage: Stage::Measuring, done: count, parts: count });
    }
    let (onnx, Loss { per_cent, score }) = match is_too_much {
        false => (whole, loss),
        true => within(task, judge, &mut layers, limit, loss, watch)?,
    };
    Ok(Found { onnx, layers, loss: Some(per_cent), score })
}

/// Keeps the fewest layers in float, those that lose most first, with which the loss is within the
/// limit. The loss falls with their number, but for chance: the number is found by halving.
fn within(
    task: &Task<'_>,
    judge: &Judge<'_>,
    layers: &mut [LayerReport],
    limit: f64,
    whole: Loss,
    watch: &mut dyn FnMut(Progress),
) -> Result<(Vec<u8>, Loss), QuantizeError> {
    let loss_of = |i: &usize| layers[*i].loss.unwrap_or(0.0);
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by(|a, b| loss_of(b).total_cmp(&loss_of(a)));
    let parts = layers.len().ilog2() as usize + 1;
    let (mut too_few, mut enough, mut done) = (0, layers.len(), 0);
    let mut best = None;
    while enough - too_few > 1 {
        watch(Progress { stage: Stage::Searching, done: done.min(parts), parts });
        done += 1;
        let kept = too_few + (enough - too_few) / 2;
        let in_float = &order[..kept];
        let file = task.write(&|i| !in_float.contains(&i))?;
        let loss = judge.loss(&file)?;
        if loss.per_cent <= limit {
            (enough, best) = (kept, Some((file, loss)));
        } else {
            too_few = kept;
        }
    }
    let Some(found) = best else {
        return Err(QuantizeError::Nothing(format!(
            "quantized whole, the model loses {:.2} %, and each layer alone more than the {limit} \
             % that are allowed: allow more, or choose another mode or calibration",
            whole.per_cent
        )));
    };
    for i in &order[..enough] {
        layers[*i].is_quantized = false;
    }
    Ok(found)
}
