//! Compiles models into the program: no model file, nothing to parse when it starts.

use nowcast::build::{BuildError, Model, emit};

fn main() -> Result<(), BuildError> {
    // A forecaster's folder.
    Model::new("../../models/jfk-sklearn-mlp").emit("temperature")?;
    // Several models, with what they leave open chosen here.
    let families = "../../models/families";
    let mlp = Model::new(format!("{families}/mlp_jax_batch.onnx")).name("mlp");
    let mut decoder = Model::new(format!("{families}/decoder_cache_dynamo.onnx")).name("decoder");
    for cache in ["key_0", "value_0", "key_1", "value_1"] {
        decoder = decoder.bind_state(&format!("present_{cache}"), &format!("past_{cache}"));
    }
    emit("families", &[mlp.dim_range("batch", 1, 8), decoder.dim_range("past", 0, 7)])
}
