//! Options that a model can be loaded with: dimensions fixed and ranged, vectors bound, outputs
//! kept as inputs.

use nowcast::graph::Tensor;
use nowcast::load::Options;
use nowcast::onnx::proto::{DimensionValue, ModelProto, TypeValue};
use nowcast::onnx::{Names, names};
use prost::Message;

/// Each set of options that this model makes a difference to.
pub fn variants(model: &[u8]) -> Vec<Options> {
    let mut all = vec![Options::new()];
    let Ok(names) = names(model) else { return all };
    let each = |choose: fn(Options, &str) -> Options| {
        names.dims.iter().fold(Options::new(), |options, name| choose(options, name))
    };
    if names.dims.is_empty() {
        let chosen = kept(bound(Options::new(), model), &names);
        all.extend((!chosen.is_empty()).then_some(chosen));
    } else {
        all.push(each(|options, name| options.dim(name, 2)));
        all.push(bound(each(|options, name| options.dim_range(name, 1, 5)), model));
        all.push(kept(each(|options, name| options.dim_range(name, 0, 3)), &names));
    }
    all
}

/// Binds the model's short vectors of integers, which may decide shapes.
fn bound(options: Options, model: &[u8]) -> Options {
    let Some(graph) = ModelProto::decode(model).ok().and_then(|model| model.graph) else {
        return options;
    };
    graph.input.iter().fold(options, |options, input| {
        let kind = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
        let Some(TypeValue::Tensor(kind)) = kind else { return options };
        let axes = kind.shape.as_ref().map(|shape| &shape.dim[..]);
        let (7, Some([axis])) = (kind.elem_type, axes) else { return options };
        let Some(DimensionValue::Value(len @ 0..9)) = axis.value else { return options };
        let value = &[2i64, 1, 3, 0, -1, 2, 1, 2, 1][..len as usize];
        options.bind_value(&input.name, Tensor::vector(value))
    })
}

/// Keeps each output whose name says that it is the input of the next run.
fn kept(options: Options, names: &Names) -> Options {
    names.outputs.iter().fold(options, |options, output| {
        let input = output.replace("present", "past").replace("_out", "_in");
        if names.inputs.contains(&input) { options.bind_state(output, &input) } else { options }
    })
}
