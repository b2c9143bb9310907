//! Bytes of a model: imported, optimized, compiled, served.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use nowcast::graph::Tensor;
use nowcast::load::{Options, from_bytes};
use nowcast::onnx::proto::{DimensionValue, ModelProto, TypeValue};
use nowcast_fuzz::change;
use nowcast_fuzz::choices::Choices;
use nowcast_fuzz::serve::{Origin, serve};
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    attempt(bytes, &Options::new());
    let Ok(model) = ModelProto::decode(bytes) else { return };
    let ports = Ports::of(&model);
    if !ports.open.is_empty() {
        let each = |choose: fn(Options, &str) -> Options| {
            ports.open.iter().fold(Options::new(), |options, name| choose(options, name))
        };
        attempt(bytes, &each(|options, name| options.dim(name, 2)));
        attempt(bytes, &ports.kept(each(|options, name| options.dim_range(name, 0, 3))));
        attempt(bytes, &ports.bound(each(|options, name| options.dim_range(name, 1, 5))));
    } else {
        attempt(bytes, &ports.kept(ports.bound(Options::new())));
    }
});

fn attempt(bytes: &[u8], options: &Options) {
    match from_bytes(bytes, options) {
        Ok(program) => serve(&program, Origin::Compiled, &mut Choices::new(bytes)),
        Err(error) => drop(std::hint::black_box(error.to_string())),
    }
}

/// What the options of a model can name.
#[derive(Default)]
struct Ports {
    /// Open dimensions.
    open: Vec<String>,
    /// Integer vectors among the inputs, with their length.
    vectors: Vec<(String, usize)>,
    /// The first input and the first output.
    state: Option<(String, String)>,
}

impl Ports {
    fn of(model: &ModelProto) -> Self {
        let mut ports = Self::default();
        let Some(graph) = &model.graph else { return ports };
        let constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
        for input in graph.input.iter().filter(|input| !constant(&input.name)).take(16) {
            let Some(TypeValue::Tensor(kind)) =
                input.r#type.as_ref().and_then(|t| t.value.as_ref())
            else {
                continue;
            };
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
        if let (Some(input), Some(output)) = (graph.input.first(), graph.output.first()) {
            ports.state = Some((output.name.clone(), input.name.clone()));
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

    /// Keeps the first output as the first input.
    fn kept(&self, options: Options) -> Options {
        match &self.state {
            Some((output, input)) => options.bind_state(output, input),
            None => options,
        }
    }
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match change::model(data, size, max_size, seed) {
        Some(size) => size,
        None => fuzzer_mutate(data, size, max_size),
    }
});
