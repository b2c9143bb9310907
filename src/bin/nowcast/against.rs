//! Other runtimes beside us, where the program was built with them.

use std::path::{Path, PathBuf};

use nowcast::graph::Tensor;

use crate::failure::Failure;
use crate::inputs::{Given, Model};
use crate::source::{Kind, Source};

/// Another runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Against {
    /// ONNX Runtime
    Ort,
    /// tract
    Tract,
}

impl Against {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ort => "ONNX Runtime",
            Self::Tract => "tract",
        }
    }
}

/// What to compare with.
#[derive(clap::Args, Debug)]
pub(crate) struct AgainstArgs {
    /// Another runtime: `bench` times it too, in turns; `verify` compares with it, and takes ort
    /// if none is named
    #[arg(long)]
    pub(crate) against: Option<Against>,
    /// ONNX file that a bundle was compiled from, for the other runtime
    #[arg(long, value_name = "FILE")]
    pub(crate) onnx: Option<PathBuf>,
}

impl AgainstArgs {
    /// The file for the other runtime, which reads no bundle.
    pub(crate) fn file<'a>(
        &'a self,
        source: &Source,
        model: &'a Path,
    ) -> Result<&'a Path, Failure> {
        match (&self.onnx, &source.kind) {
            (None, Kind::Onnx(_)) => Ok(model),
            (Some(onnx), Kind::Bundle(_)) => Ok(onnx),
            (Some(_), Kind::Onnx(_)) => Err(Failure::User(format!(
                "{}: --onnx is for bundles, and this is none: leave it out",
                source.name
            ))),
            (None, Kind::Bundle(_)) => Err(Failure::User(format!(
                "{}: another runtime does not read bundles: name the ONNX file with --onnx",
                source.name
            ))),
        }
    }
}

/// A call that may fail.
pub(crate) type Call<'a> = &'a mut dyn FnMut() -> Result<(), Failure>;

/// What the model says as it is written, operator by operator.
pub(crate) fn answer(
    against: Against,
    model: &Model,
    path: &Path,
    inputs: &[Given],
) -> Result<Vec<Tensor>, Failure> {
    match against {
        Against::Ort => ort::answer(model, path, inputs),
        Against::Tract => tract::answer(model, path, inputs),
    }
}

/// Passes `body` a call of another runtime at its fastest: one thread, bound buffers.
pub(crate) fn with_call<R>(
    against: Against,
    model: &Model,
    path: &Path,
    inputs: &[Given],
    body: impl FnOnce(Call<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    match against {
        Against::Ort => ort::with_call(model, path, inputs, body),
        Against::Tract => tract::with_call(model, path, inputs, body),
    }
}

/// What both engines are fed with.
#[cfg(any(feature = "ort", feature = "tract"))]
mod fed {
    use nowcast::engine::{Array, EngineError};

    use super::{Failure, Given, Model, Tensor};

    pub(super) fn failed(error: EngineError) -> Failure {
        Failure::User(error.to_string())
    }

    pub(super) fn arrays(inputs: &[Given]) -> Vec<Array> {
        let array = |given: &Given| Array {
            labels: Vec::new(),
            name: given.name.clone(),
            dtype: given.tensor.dtype(),
            shape: given.tensor.shape().to_vec(),
            bytes: given.tensor.bytes().to_vec(),
        };
        inputs.iter().map(array).collect()
    }

    /// Outputs as ours are: texts numbered as our program numbers them.
    pub(super) fn tensors(model: &Model, mut outputs: Vec<Array>) -> Vec<Tensor> {
        for (array, port) in outputs.iter_mut().zip(model.program.outputs()) {
            let labels: Vec<String> = port.labels().map(str::to_owned).collect();
            array.relabel(&labels);
        }
        let tensor = |array: &Array| Tensor::from_bytes(array.dtype, &array.shape, &array.bytes);
        outputs.iter().map(tensor).collect()
    }
}

/// An engine of the library as this program calls it, or what to do to have it.
macro_rules! engine {
    ($module:ident, $feature:literal, $engine:ident, $name:literal) => {
        #[cfg(feature = $feature)]
        mod $module {
            use nowcast::engine::{EngineOptions, Rewrite, $engine};

            use super::fed::{arrays, failed, tensors};
            use super::{Call, Failure, Given, Model, Path, Tensor};

            fn load(model: &Model, path: &Path, rewrite: Rewrite) -> Result<$engine, Failure> {
                let mut options = EngineOptions::default();
                options.rewrite = rewrite;
                match &model.bytes {
                    Some(bytes) => $engine::load_bytes(bytes, &options),
                    None => $engine::load(path, &options),
                }
                .map_err(failed)
            }

            pub(super) fn answer(
                model: &Model,
                path: &Path,
                inputs: &[Given],
            ) -> Result<Vec<Tensor>, Failure> {
                let mut engine = load(model, path, Rewrite::None)?;
                Ok(tensors(model, engine.run(&arrays(inputs)).map_err(failed)?))
            }

            pub(super) fn with_call<R>(
                model: &Model,
                path: &Path,
                inputs: &[Given],
                body: impl FnOnce(Call<'_>) -> Result<R, Failure>,
            ) -> Result<R, Failure> {
                let mut engine = load(model, path, Rewrite::Full)?;
                let mut call = engine.prepare(&arrays(inputs)).map_err(failed)?;
                body(&mut || call.run().map_err(failed))
            }
        }

        #[cfg(not(feature = $feature))]
        mod $module {
            use super::{Call, Failure, Given, Model, Path, Tensor};

            fn missing() -> Failure {
                Failure::User(format!(
                    "this nowcast was built without {}: build it with `--features {}`",
                    $name, $feature
                ))
            }

            pub(super) fn answer(_: &Model, _: &Path, _: &[Given]) -> Result<Vec<Tensor>, Failure> {
                Err(missing())
            }

            pub(super) fn with_call<R>(
                _: &Model,
                _: &Path,
                _: &[Given],
                _: impl FnOnce(Call<'_>) -> Result<R, Failure>,
            ) -> Result<R, Failure> {
                Err(missing())
            }
        }
    };
}

engine!(ort, "ort", OrtEngine, "ONNX Runtime");
engine!(tract, "tract", TractEngine, "tract");
