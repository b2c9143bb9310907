//! A model with what it is to be run on: the arguments that `run`, `bench`, `verify` and `inspect`
//! share.

use std::path::{Path, PathBuf};
use std::time::Instant;

use nowcast::graph::Tensor;
use nowcast::kernels::{Isa, Level};
use nowcast::load::{self, LoadError};
use nowcast::onnx::ImportError;
use nowcast::runtime::{BindError, KERNELS, Port, Program, Session};
use nowcast::sampling::{PathAddress, PathWords};
use nowcast::tensor::{DType, Rounding, narrow};

use crate::choices::{ChoiceArgs, pair};
use crate::failure::Failure;
use crate::npy;
use crate::source::{Kind, Source};

/// A model and the choices that it leaves open.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ModelArgs {
    /// ONNX file or bundle; `-` reads standard input
    pub(crate) model: PathBuf,
    /// Model of a bundle that has several
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) choices: ChoiceArgs,
}

/// Elements for the inputs.
#[derive(clap::Args, Debug)]
pub(crate) struct InputArgs {
    /// Elements of an input, which give its open dimensions their sizes; may be given more than
    /// once; `NAME=-` reads standard input
    #[arg(long, value_name = "NAME=FILE.npy", value_parser = pair)]
    pub(crate) input: Vec<(String, String)>,
}

/// An instruction set by its name.
fn isa(text: &str) -> Result<Isa, String> {
    let names: Vec<&str> = Isa::ALL.iter().map(|isa| isa.name()).collect();
    let found = Isa::ALL.into_iter().find(|isa| isa.name() == text);
    found.ok_or_else(|| format!("the instruction sets are {}", names.join(", ")))
}

/// What of the CPU a run may use.
#[derive(clap::Args, Debug)]
pub(crate) struct LevelArgs {
    /// Instruction set, without what this CPU has beyond it: scalar, avx2, avx512 or neon
    /// [default: the best of this CPU]
    #[arg(long, value_parser = isa)]
    isa: Option<Isa>,
    /// Do not use AMX, nor ask the system for its tiles
    #[arg(long)]
    no_amx: bool,
}

impl LevelArgs {
    /// The level to run on: the best, or what was asked for.
    pub(crate) fn level(&self) -> Result<Level, Failure> {
        let level = limited(self.isa)?;
        Ok(if self.no_amx { level.without_amx() } else { level })
    }
}

fn limited(isa: Option<Isa>) -> Result<Level, Failure> {
    let best = Level::detect();
    match isa {
        None => Ok(best),
        Some(isa) if best.has(isa) => Ok(best.at_most(isa)),
        Some(isa) => Err(Failure::User(format!(
            "this CPU does not run {isa}: ask for {} or less with --isa",
            best.isa()
        ))),
    }
}

/// Elements of an input by its name.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) tensor: Tensor,
    /// Where they come from, for errors.
    file: String,
}

pub(crate) fn read_all(pairs: &[(String, String)]) -> Result<Vec<Given>, Failure> {
    pairs
        .iter()
        .map(|(name, file)| {
            let tensor = npy::read(Path::new(file))?;
            Ok(Given { name: name.clone(), tensor, file: file.clone() })
        })
        .collect()
}

/// A model that is loaded for the inputs that were given.
pub(crate) struct Model {
    /// What errors call it.
    pub(crate) name: String,
    /// The ONNX bytes, where the model has no file.
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) program: Program<'static>,
    /// Inputs that are constants of the program.
    pub(crate) bound: Vec<Given>,
    given: Vec<Given>,
    /// From opening the file to a program.
    pub(crate) load_ns: u64,
    /// For every byte of a bundle.
    pub(crate) verify_ns: Option<u64>,
}

impl ModelArgs {
    /// Loads the model for inputs.
    pub(crate) fn load(&self, inputs: &InputArgs) -> Result<Model, Failure> {
        self.load_from(Source::open(&self.model)?, inputs, false)
    }

    /// Loads a model that is opened. `with_constants` says that --value names constants that a
    /// bundle was compiled with, for another runtime that needs them too.
    pub(crate) fn load_from(
        &self,
        source: Source,
        inputs: &InputArgs,
        with_constants: bool,
    ) -> Result<Model, Failure> {
        let bound = read_all(&self.choices.value)?;
        let given = read_all(&inputs.input)?;
        let name = source.name.clone();
        match source.kind {
            Kind::Bundle(ref bundle) => {
                self.choices.refuse_for_bundle(&name, with_constants)?;
                let verify_ns = Some(source.verify()?);
                let started = Instant::now();
                let model = source.model(self.name.as_deref())?;
                let program = bundle
                    .program(Some(model.name()), &KERNELS)
                    .map_err(|error| Failure::User(format!("{name}: {error}")))?;
                let load_ns = source.open_ns + started.elapsed().as_nanos() as u64;
                Ok(Model { name, bytes: None, program, bound, given, load_ns, verify_ns })
            }
            Kind::Onnx(bytes) => {
                self.refuse_name()?;
                self.load_onnx(name, bytes, bound, given)
            }
        }
    }

    /// Fails if a model of an ONNX file is named.
    pub(crate) fn refuse_name(&self) -> Result<(), Failure> {
        if self.name.is_none() {
            return Ok(());
        }
        Err(Failure::User(format!(
            "{}: --name is for bundles, and this is none: leave it out",
            self.model.display()
        )))
    }

    /// An input that the model needs as a constant becomes one.
    fn load_onnx(
        &self,
        name: String,
        bytes: Option<Vec<u8>>,
        mut bound: Vec<Given>,
        mut given: Vec<Given>,
    ) -> Result<Model, Failure> {
        let mut options = self.choices.options()?;
        // A dimension in bounds is chosen per call; a shape would fix it.
        if !self.choices.has_range() {
            for given in &given {
                options = options.input_shape(&given.name, given.tensor.shape());
            }
        }
        loop {
            let started = Instant::now();
            let loaded = match &bytes {
                Some(bytes) => load::from_bytes(bytes, &options),
                None => load::from_path(&self.model, &options),
            };
            let load_ns = started.elapsed().as_nanos() as u64;
            match loaded {
                Ok(program) => {
                    let verify_ns = None;
                    return Ok(Model { name, bytes, program, bound, given, load_ns, verify_ns });
                }
                Err(error) => {
                    let i = needed_as_constant(&error, &given)
                        .ok_or_else(|| Failure::User(error.to_string()))?;
                    let constant = given.remove(i);
                    options = options.bind_value(&constant.name, constant.tensor.clone());
                    bound.push(constant);
                }
            }
        }
    }
}

/// The input that a model asks to be a constant, among those that were given.
fn needed_as_constant(error: &LoadError, given: &[Given]) -> Option<usize> {
    let LoadError::Import { source, .. } = error else { return None };
    given.iter().position(|given| match source {
        ImportError::Branch { input, .. } => given.name == *input,
        // The operand may be computed from an input, which the hint names.
        ImportError::NotConstant { input, hint, .. } => {
            given.name == *input || hint.contains(&format!("graph input {:?}", given.name))
        }
        _ => false,
    })
}

impl Model {
    /// Writes the inputs of a session: those that were given, and random ones from `seed` for the
    /// others; without a seed, every input must be given.
    pub(crate) fn fill(&self, session: &mut Session<'_>, seed: Option<u64>) -> Result<(), Failure> {
        if let Some(stray) =
            self.given.iter().find(|given| self.program.input_index(&given.name).is_none())
        {
            let names: Vec<&str> = self.program.inputs().map(|port| port.name).collect();
            return Err(Failure::User(format!(
                "{}: there is no input {:?}, only [{}]",
                self.name,
                stray.name,
                names.join(", ")
            )));
        }
        self.largest_extents(session)?;
        let given = |port: &Port<'_>| self.given.iter().find(|given| given.name == port.name);
        for (i, port) in self.program.inputs().enumerate() {
            let Some(given) = given(&port) else { continue };
            if port.is_state() {
                return Err(Failure::User(format!(
                    "{}: input {:?} is kept from run to run and starts at zero: leave out its \
                     --input, or its --state",
                    self.name, port.name
                )));
            }
            session
                .set_input_shape(i, given.tensor.shape())
                .map_err(|error| refused(given, &port, error))?;
        }
        for (i, port) in self.program.inputs().enumerate() {
            let internal = |error: BindError| Failure::Internal(error.to_string());
            if let Some(given) = given(&port) {
                let tensor = npy::as_input(given.tensor.clone(), port.dtype);
                if tensor.dtype() != port.dtype {
                    let (expected, got) = (port.dtype, tensor.dtype());
                    return Err(refused(given, &port, BindError::DType { expected, got }));
                }
                let elements = session.input_bytes_mut(i).map_err(internal)?;
                elements.copy_from_slice(tensor.bytes());
            } else if !port.is_state() {
                let seed = seed.ok_or_else(|| {
                    Failure::User(format!(
                        "{}: input {port:?} has no value: give it one with --input {}=FILE.npy",
                        self.name, port.name
                    ))
                })?;
                let address = PathAddress { seed, stream: i as u64, path: 0 };
                random(port.dtype, session.input_bytes_mut(i).map_err(internal)?, address);
            }
        }
        Ok(())
    }

    /// Sets every dimension that is chosen per call to its largest extent.
    fn largest_extents(&self, session: &mut Session<'_>) -> Result<(), Failure> {
        for port in self.program.inputs().filter(|port| !port.is_state()) {
            for axis in 0..port.rank() {
                if let Some((name, _, max)) = port.variable(axis) {
                    session
                        .set_extent(name, max)
                        .map_err(|error| Failure::Internal(error.to_string()))?;
                }
            }
        }
        Ok(())
    }

    /// Every input of the model as a session of it will read them, constants included.
    pub(crate) fn inputs(&self, session: &mut Session<'_>) -> Result<Vec<Given>, Failure> {
        let mut all = self.bound.clone();
        for (i, port) in self.program.inputs().enumerate() {
            let internal = |error: BindError| Failure::Internal(error.to_string());
            let shape = session.input_shape(i).map_err(internal)?;
            // A state is as it was cleared, also one that cannot be looked at in one piece.
            let tensor = match session.input_bytes_mut(i) {
                Ok(bytes) => Tensor::from_bytes(port.dtype, &shape, bytes),
                Err(_) if port.is_state() => zeros(port.dtype, &shape),
                Err(error) => return Err(internal(error)),
            };
            all.push(Given { name: port.name.to_owned(), tensor, file: String::new() });
        }
        Ok(all)
    }

    /// The outputs of the last run.
    pub(crate) fn outputs(&self, session: &Session<'_>) -> Result<Vec<(String, Tensor)>, Failure> {
        let output = |(i, port): (usize, Port<'_>)| {
            let internal = |error: BindError| Failure::Internal(error.to_string());
            let shape = session.output_shape(i).map_err(internal)?;
            let tensor = copied(session, i, port.dtype, &shape).map_err(internal)?;
            Ok((port.name.to_owned(), tensor))
        };
        self.program.outputs().enumerate().map(output).collect()
    }
}

fn zeros(dtype: DType, shape: &[usize]) -> Tensor {
    let bytes = shape.iter().product::<usize>() * dtype.bytes();
    Tensor::from_bytes(dtype, shape, &vec![0; bytes])
}

/// Output `i`, also one whose elements do not lie behind one another.
fn copied(
    session: &Session<'_>,
    i: usize,
    dtype: DType,
    shape: &[usize],
) -> Result<Tensor, BindError> {
    let len = shape.iter().product();
    macro_rules! of {
        ($element:ty) => {{
            let mut elements = vec![<$element>::default(); len];
            session.copy_output(i, &mut elements)?;
            let bytes: Vec<u8> = elements.iter().flat_map(|e| e.to_le_bytes()).collect();
            Tensor::from_bytes(dtype, shape, &bytes)
        }};
    }
    Ok(match dtype.plain() {
        DType::F32 => of!(f32),
        DType::F64 => of!(f64),
        DType::I32 => of!(i32),
        DType::I64 => of!(i64),
        DType::I8 => of!(i8),
        DType::U16 => of!(u16),
        DType::I16 => of!(i16),
        DType::U32 => of!(u32),
        DType::U64 => of!(u64),
        _ => of!(u8),
    })
}

fn refused(given: &Given, port: &Port<'_>, error: BindError) -> Failure {
    let (file, name) = (&given.file, port.name);
    Failure::User(match error {
        BindError::DType { expected, got } => format!(
            "{file}: the elements are {got}, input {name:?} is {expected}: save it with \
             {}({:?})",
            npy::conversion(expected),
            npy::numpy_name(expected)
        ),
        _ => format!(
            "{file}: the shape is {:?}, the input is {port:?}: reshape it, or choose another \
             --dim",
            given.tensor.shape()
        ),
    })
}

/// Fills with floats between -1 and 1, or with integers 0 and 1.
pub(crate) fn random(dtype: DType, bytes: &mut [u8], address: PathAddress) {
    let mut words = PathWords::new(address);
    let mut float = || f64::from(words.next_word() as i32) / f64::from(1u32 << 31);
    match dtype {
        DType::F32 => {
            for element in bytes.chunks_exact_mut(4) {
                element.copy_from_slice(&(float() as f32).to_le_bytes());
            }
        }
        DType::F64 => {
            for element in bytes.chunks_exact_mut(8) {
                element.copy_from_slice(&float().to_le_bytes());
            }
        }
        _ if dtype.is_float() => {
            for element in bytes.chunks_exact_mut(dtype.bytes()) {
                let bits = narrow(dtype, float(), Rounding::default()).to_le_bytes();
                element.copy_from_slice(&bits[..element.len()]);
            }
        }
        _ => {
            for element in bytes.chunks_exact_mut(dtype.bytes()) {
                element.fill(0);
                element[0] = (words.next_word() >> 31) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_elements_are_in_range_and_repeat() {
        let address = PathAddress { seed: 7, stream: 0, path: 0 };
        let mut floats = [0; 4096];
        random(DType::F32, &mut floats, address);
        let values: Vec<f32> =
            floats.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert!(values.iter().all(|x| (-1.0..=1.0).contains(x)));
        assert!(values.iter().any(|x| *x < -0.9) && values.iter().any(|x| *x > 0.9));
        let mut again = [0; 4096];
        random(DType::F32, &mut again, address);
        assert_eq!(floats, again);
        for dtype in DType::ALL.into_iter().filter(|dtype| !dtype.is_float()) {
            let mut bytes = [9; 64];
            random(dtype, &mut bytes, address);
            let integers = Tensor::from_bytes(dtype, &[64 / dtype.bytes()], &bytes).to_f64s();
            assert!(integers.iter().all(|n| *n == 0.0 || *n == 1.0), "{dtype}");
        }
    }
}
