//! The calls themselves.

use std::path::Path;

use nowcast::forecast::{ForecastSession, Forecaster};
use nowcast::graph::Tensor;
use nowcast::load::{self, LoadError, Options};
use nowcast::onnx::ImportError;
use nowcast::runtime::{Program, Session, prepare_thread};

use super::counting;
use super::models::{self, Random};
use super::{Array, Failure, sampling};

/// The outputs of `model` for `inputs`; those in `bound` are constants when it is loaded.
pub(crate) fn answer(
    model: &Path,
    inputs: &[Array],
    bound: &[Array],
) -> Result<Vec<Array>, Failure> {
    let mut options = Options::default();
    for array in inputs {
        options = options.input_shape(&array.name, &array.shape);
    }
    for array in bound {
        let tensor = Tensor::from_bytes(array.dtype, &array.shape, &array.bytes);
        options = options.bind_value(&array.name, tensor);
    }
    let program = load(model, &options)?;
    let mut session = Session::new(&program).map_err(run_failure)?;
    for (i, port) in program.inputs().enumerate() {
        let array = inputs
            .iter()
            .find(|array| array.name == port.name)
            .ok_or_else(|| Failure::Run(format!("input `{}` has no value", port.name)))?;
        let bytes = session.input_bytes_mut(i).map_err(run_failure)?;
        if bytes.len() != array.bytes.len() {
            return Err(Failure::Run(format!("input `{}` has another length", port.name)));
        }
        bytes.copy_from_slice(&array.bytes);
    }
    counting::counted(|| session.run()).map_err(run_failure)?;
    let output = |(i, port): (usize, nowcast::runtime::Port<'_>)| {
        Ok(Array {
            name: port.name.to_owned(),
            dtype: port.dtype,
            shape: session.output_shape(i).map_err(run_failure)?.to_vec(),
            bytes: session.output_bytes(i).map_err(run_failure)?.to_vec(),
            labels: port.labels().map(str::to_owned).collect(),
        })
    };
    program.outputs().enumerate().map(output).collect()
}

/// Everything that is served, by name: the models, the forecasters (folders), and sampling.
pub(crate) fn served() -> Vec<String> {
    let models = models::models().into_iter().map(|path| path.display().to_string());
    let folders = models::forecasters().into_iter().map(|path| path.display().to_string());
    models.chain(folders).chain(sampling::served()).collect()
}

/// Sets up `what` (one of [`served`]) and passes `body` its serving call, with
/// what a first call pays paid beforehand or not.
pub(crate) fn with_serving(
    what: &str,
    prefault: bool,
    body: &mut dyn FnMut(&mut dyn FnMut()),
) -> Result<(), Failure> {
    if sampling::served().any(|name| name == what) {
        return sampling::with_serving(what, body);
    }
    if Path::new(what).is_dir() {
        return with_forecast(Path::new(what), prefault, body);
    }
    let program = load_open(Path::new(what))?;
    let mut session = Session::new(&program).map_err(run_failure)?;
    let mut random = Random::new(what);
    let mut inputs = Vec::new();
    for (i, port) in program.inputs().enumerate() {
        let bytes_len = session.input_bytes_mut(i).map_err(run_failure)?.len();
        inputs.push(random.elements(port.dtype, bytes_len / port.dtype.bytes()));
    }
    let outputs_len = program.outputs().len();
    if prefault {
        prepare_thread();
        session.prefault();
    }
    body(&mut || {
        for (i, bytes) in inputs.iter().enumerate() {
            session.input_bytes_mut(i).expect("port exists").copy_from_slice(bytes);
        }
        session.run().expect("inputs are whole");
        for i in 0..outputs_len {
            std::hint::black_box(session.output_bytes(i).expect("port exists"));
        }
    });
    Ok(())
}

fn with_forecast(
    folder: &Path,
    prefault: bool,
    body: &mut dyn FnMut(&mut dyn FnMut()),
) -> Result<(), Failure> {
    let forecaster = Forecaster::from_folder(folder).map_err(run_failure)?;
    let mut session = ForecastSession::new(&forecaster).map_err(run_failure)?;
    let context: Vec<f32> = (0..forecaster.context()).map(|i| (i % 24) as f32).collect();
    let mut quantile = vec![0.0; forecaster.horizon()];
    let mut paths = vec![0.0; forecaster.horizon() * 37];
    if prefault {
        prepare_thread();
        session.prefault();
    }
    body(&mut || {
        session.forecast(&context, 1_385_856_000).expect("a whole context");
        session.quantile(0.9, &mut quantile).expect("a probability");
        session.paths(1, 0, 0, &mut paths).expect("whole paths");
        std::hint::black_box(session.mean());
    });
    Ok(())
}

/// Loads a model whose open dimensions nobody has chosen: gives each a small extent as the model
/// asks for it.
fn load_open(model: &Path) -> Result<Program<'static>, Failure> {
    let mut options = Options::default();
    loop {
        match load::from_path(model, &options) {
            Err(LoadError::Import {
                source: ImportError::OpenDimension { input, axis, name, .. },
                ..
            }) if !options.dims().contains_key(&name) => {
                let unnamed = name == format!("{input}.{axis}");
                let extent = models::open_extent(axis, if unnamed { "" } else { &name });
                options = options.dim(&name, extent);
            }
            other => return other.map_err(|error| load_failure(model, &error)),
        }
    }
}

fn load(model: &Path, options: &Options) -> Result<Program<'static>, Failure> {
    load::from_path(model, options).map_err(|error| load_failure(model, &error))
}

/// The failure without the path, which the tests name themselves.
fn load_failure(model: &Path, error: &LoadError) -> Failure {
    let text = error.to_string();
    let prefix = format!("{}: ", model.display());
    let text = text.strip_prefix(&prefix).unwrap_or(&text).to_owned();
    match error {
        LoadError::Import { source: ImportError::NotConstant { .. }, .. } => {
            Failure::InputMustBeKnown(text)
        }
        _ => Failure::Load(text),
    }
}

fn run_failure(error: impl std::fmt::Display) -> Failure {
    Failure::Run(error.to_string())
}
