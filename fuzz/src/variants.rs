//! Options that a model can be loaded with: dimensions fixed and ranged, vectors bound, outputs
//! kept as inputs.

use nowcast::graph::Tensor;
use nowcast::load::Options;
use nowcast::onnx::proto::{DimensionValue, GraphProto, ModelProto, TypeValue};
use prost::Message;

/// Each set of options that this model makes a difference to.
pub fn variants(model: &[u8]) -> Vec<Options> {
    let mut all = vec![Options::new()];
    let Some(graph) = ModelProto::decode(model).ok().and_then(|model| model.graph) else {
        return all;
    };
    let ports = Ports::of(&graph);
    let each = |choose: fn(Options, &str) -> Options| {
        ports.open.iter().fold(Options::new(), |options, name| choose(options, name))
    };
    if !ports.open.is_empty() {
        all.push(each(|options, name| options.dim(name, 2)));
        all.push(ports.bound(each(|options, name| options.dim_range(name, 1, 5))));
        all.push(ports.kept(each(|options, name| options.dim_range(name, 0, 3))));
    } else if !(ports.vectors.is_empty() && ports.states.is_empty()) {
        all.push(ports.kept(ports.bound(Options::new())));
    }
    all
}

/// What the options of a model can name.
#[derive(Default)]
struct Ports {
    /// Open dimensions.
    open: Vec<String>,
    /// Integer vectors among the inputs, with their length.
    vectors: Vec<(String, usize)>,
    /// Outputs and the inputs that they become.
    states: Vec<(String, String)>,
}

impl Ports {
    fn of(graph: &GraphProto) -> Self {
        let mut ports = Self::default();
        let constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
        for input in graph.input.iter().filter(|input| !constant(&input.name)).take(16) {
            let kind = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
            let Some(TypeValue::Tensor(kind)) = kind else { continue };
            let Some(shape) = &kind.shape else { continue };
            for (axis, dim) in shape.dim.iter().enumerate().take(16) {
                let name = match &dim.value {
                    Some(DimensionValue::Value(n)) if *n >= 0 => continue,
                    Some(DimensionValue::Param(name)) if !name.is_empty() => name.clone(),
                    _ => format!("{}.{axis}", input.name),
                };
                if !ports.open.contains(&name) {
                    ports.open.push(name);
                }
            }
            if let (7, [dim]) = (kind.elem_type, &shape.dim[..])
                && let Some(DimensionValue::Value(len @ 0..9)) = &dim.value
            {
                ports.vectors.push((input.name.clone(), *len as usize));
            }
        }
        for output in graph.output.iter().take(16) {
            let name = output.name.replace("present", "past").replace("_out", "_in");
            if graph.input.iter().any(|input| input.name == name) {
                ports.states.push((output.name.clone(), name));
            }
        }
        ports
    }

    /// Binds integer vectors, which may decide shapes.
    fn bound(&self, options: Options) -> Options {
        self.vectors.iter().fold(options, |options, (name, len)| {
            let value: Vec<i64> = [2, 1, 3, 0, -1, 2, 1, 2, 1][..*len].to_vec();
            options.bind_value(name, Tensor::vector(&value))
        })
    }

    /// Keeps what is named as if it were meant to be.
    fn kept(&self, options: Options) -> Options {
        self.states
            .iter()
            .fold(options, |options, (output, input)| options.bind_state(output, input))
    }
}
