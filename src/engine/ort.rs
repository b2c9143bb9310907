//! ONNX Runtime, through the `ort` crate.
//!
//! The shared library is named by `ORT_DYLIB_PATH`; a wheel of `onnxruntime` holds one.

#[expect(clippy::disallowed_types, reason = "one environment a process; not a serving call")]
use std::sync::OnceLock;
use std::{env, path::Path};

use ort::environment::Environment;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::{DynMapValueType, DynTensor, DynValue, Outlet, TensorElementType, ValueType};

use super::{Array, EngineError, EngineOptions, Port, PortDim, Rewrite, matched};
use crate::tensor::DType;

const ENGINE: &str = "ONNX Runtime";

/// A model loaded by ONNX Runtime.
#[derive(Debug)]
pub struct OrtEngine {
    session: Session,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl OrtEngine {
    /// Loads an ONNX file.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] if `ORT_DYLIB_PATH` names no usable library, otherwise what
    /// ONNX Runtime says of the model.
    pub fn load(path: impl AsRef<Path>, options: &EngineOptions) -> Result<Self, EngineError> {
        Self::new(builder(options)?.commit_from_file(path).map_err(load_error)?)
    }

    /// Loads ONNX bytes.
    ///
    /// # Errors
    ///
    /// As [`OrtEngine::load`].
    pub fn load_bytes(bytes: &[u8], options: &EngineOptions) -> Result<Self, EngineError> {
        Self::new(builder(options)?.commit_from_memory(bytes).map_err(load_error)?)
    }

    fn new(session: Session) -> Result<Self, EngineError> {
        let inputs = session.inputs().iter().map(port).collect::<Result<_, _>>()?;
        let outputs = session.outputs().iter().map(port).collect::<Result<_, _>>()?;
        Ok(Self { session, inputs, outputs })
    }

    /// The inputs that the model declares, in its order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs that the model declares, in its order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Runs the model once and returns its outputs in their order.
    ///
    /// # Errors
    ///
    /// [`EngineError::Input`] if `inputs` are not the model's, [`EngineError::Type`] if an output
    /// is not a tensor of a [`DType`], otherwise what ONNX Runtime says.
    pub fn run(&mut self, inputs: &[Array]) -> Result<Vec<Array>, EngineError> {
        let values = self.tensors(inputs)?;
        let named: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let outputs = self.session.run(named).map_err(run_error)?;
        outputs.iter().map(|(name, value)| array(name, &value)).collect()
    }

    /// Binds buffers for inputs of these shapes, so that [`OrtCall::run`] makes no copy and ONNX
    /// Runtime need not make its outputs anew: the fair way to time it.
    ///
    /// The model runs once here, to learn the shapes of its outputs; they must be the same in
    /// every later call.
    ///
    /// # Errors
    ///
    /// As [`OrtEngine::run`].
    pub fn prepare(&mut self, inputs: &[Array]) -> Result<OrtCall<'_>, EngineError> {
        let shapes = self.run(inputs)?;
        let mut binding = self.session.create_binding().map_err(run_error)?;
        let bound_inputs = self.tensors(inputs)?;
        for (name, value) in &bound_inputs {
            binding.bind_input(name.as_str(), value).map_err(run_error)?;
        }
        for output in &shapes {
            let value = empty(&self.session, &output.name, output.dtype, &output.shape)?;
            binding.bind_output(output.name.as_str(), value).map_err(run_error)?;
        }
        Ok(OrtCall { session: &mut self.session, binding, inputs: bound_inputs })
    }

    /// One tensor in ONNX Runtime's memory for each input of the model.
    fn tensors(&self, arrays: &[Array]) -> Result<Vec<(String, DynTensor)>, EngineError> {
        let tensor = |array: &Array| {
            let mut value = empty(&self.session, &array.name, array.dtype, &array.shape)?;
            fill(&mut value, &array.name, array.dtype, &array.bytes)?;
            Ok((array.name.clone(), value))
        };
        matched(&self.inputs, arrays)?.into_iter().map(tensor).collect()
    }
}

/// A call with bound input and output buffers.
#[derive(Debug)]
pub struct OrtCall<'a> {
    session: &'a mut Session,
    binding: IoBinding,
    inputs: Vec<(String, DynTensor)>,
}

impl OrtCall<'_> {
    /// Copies new elements into the bound buffer of the input at `index`.
    ///
    /// # Errors
    ///
    /// [`EngineError::Input`] if there is no such input or `bytes` does not fill it; the buffer is
    /// then unchanged.
    pub fn set_input(&mut self, index: usize, bytes: &[u8]) -> Result<(), EngineError> {
        let Some((name, value)) = self.inputs.get_mut(index) else {
            return Err(EngineError::input(&index.to_string(), "the model has no such input"));
        };
        let dtype = dtype(name, *value.data_type())?;
        fill(value, name, dtype, bytes)
    }

    /// Runs the model on the bound buffers.
    ///
    /// # Errors
    ///
    /// What ONNX Runtime says.
    pub fn run(&mut self) -> Result<(), EngineError> {
        self.session.run_binding(&self.binding).map_err(run_error).map(drop)
    }

    /// Runs the model on the bound buffers and copies its outputs out.
    ///
    /// # Errors
    ///
    /// What ONNX Runtime says.
    pub fn run_and_read(&mut self) -> Result<Vec<Array>, EngineError> {
        let outputs = self.session.run_binding(&self.binding).map_err(run_error)?;
        outputs.iter().map(|(name, value)| array(name, &value)).collect()
    }
}

/// A session builder in the environment of the process.
fn builder(options: &EngineOptions) -> Result<SessionBuilder, EngineError> {
    let level = match options.rewrite {
        Rewrite::None => GraphOptimizationLevel::Disable,
        Rewrite::Full => GraphOptimizationLevel::All,
    };
    let builder = Session::builder(environment()?).map_err(load_error)?;
    let builder = builder.with_intra_threads(options.threads).map_err(load_error)?;
    let builder = builder.with_inter_threads(1).map_err(load_error)?;
    builder.with_optimization_level(level).map_err(load_error)
}

/// ONNX Runtime allows one environment a process, and sessions need it alive.
fn environment() -> Result<&'static Environment, EngineError> {
    #[expect(clippy::disallowed_types, reason = "one environment a process; not a serving call")]
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    let made = ENVIRONMENT.get_or_init(|| {
        let library = env::var_os("ORT_DYLIB_PATH")
            .filter(|path| !path.is_empty())
            .ok_or("set ORT_DYLIB_PATH to its shared library")?;
        ort::init_from(library)
            .map_err(|error| error.to_string())?
            .with_telemetry(false)
            .build()
            .map_err(|error| error.to_string())
    });
    made.as_ref()
        .map_err(|reason| EngineError::Unavailable { engine: ENGINE, reason: reason.clone() })
}

fn port(outlet: &Outlet) -> Result<Port, EngineError> {
    let name = outlet.name().to_owned();
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, dimension_symbols } => {
            let dims = shape
                .iter()
                .zip(dimension_symbols.iter())
                .map(|(&extent, symbol)| match usize::try_from(extent) {
                    Ok(extent) => PortDim::Fixed(extent),
                    Err(_) => PortDim::Open(symbol.clone()),
                })
                .collect();
            Ok(Port { dtype: dtype(&name, *ty)?, name, dims })
        }
        ValueType::Sequence(element) if matches!(**element, ValueType::Map { .. }) => {
            let dims = vec![PortDim::Open(String::new()); 2];
            Ok(Port { dtype: DType::F32, name, dims })
        }
        other => Err(EngineError::Type { name, found: format!("{other:?}") }),
    }
}

fn dtype(name: &str, ty: TensorElementType) -> Result<DType, EngineError> {
    Ok(match ty {
        TensorElementType::Float32 => DType::F32,
        TensorElementType::Float64 => DType::F64,
        TensorElementType::Int32 => DType::I32,
        TensorElementType::Int64 => DType::I64,
        TensorElementType::Uint8 => DType::U8,
        TensorElementType::Int8 => DType::I8,
        TensorElementType::Bool => DType::Bool,
        TensorElementType::Uint16 => DType::U16,
        TensorElementType::Int16 => DType::I16,
        TensorElementType::Uint32 => DType::U32,
        TensorElementType::Uint64 => DType::U64,
        TensorElementType::Float16 => DType::F16,
        TensorElementType::Bfloat16 => DType::BF16,
        // What an array of text holds are the places of its texts among its labels.
        TensorElementType::String => DType::I64,
        other => {
            return Err(EngineError::Type { name: name.to_owned(), found: format!("{other:?}") });
        }
    })
}

/// What ONNX Runtime calls a type; `None` for one that no array of it can be exchanged in.
fn element_type(dtype: DType) -> Option<TensorElementType> {
    Some(match dtype {
        DType::F32 => TensorElementType::Float32,
        DType::F64 => TensorElementType::Float64,
        DType::I32 => TensorElementType::Int32,
        DType::I64 => TensorElementType::Int64,
        DType::U8 => TensorElementType::Uint8,
        DType::I8 => TensorElementType::Int8,
        DType::Bool => TensorElementType::Bool,
        DType::U16 => TensorElementType::Uint16,
        DType::I16 => TensorElementType::Int16,
        DType::U32 => TensorElementType::Uint32,
        DType::U64 => TensorElementType::Uint64,
        DType::F16 => TensorElementType::Float16,
        DType::BF16 => TensorElementType::Bfloat16,
        _ => return None,
    })
}

/// The error for a type that [`element_type`] does not have.
fn foreign(name: &str, dtype: DType) -> EngineError {
    EngineError::Type { name: name.to_owned(), found: dtype.name().to_owned() }
}

/// A tensor of zeros in ONNX Runtime's memory.
fn empty(
    session: &Session,
    name: &str,
    dtype: DType,
    shape: &[usize],
) -> Result<DynTensor, EngineError> {
    let ty = element_type(dtype).ok_or_else(|| foreign(name, dtype))?;
    let dims: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
    DynTensor::new(session.allocator(), ty, dims).map_err(run_error)
}

/// Copies `bytes` into a tensor that must have exactly their length.
fn fill(value: &mut DynTensor, name: &str, dtype: DType, bytes: &[u8]) -> Result<(), EngineError> {
    macro_rules! numbers {
        ($($dtype:ident => $ty:ty),*) => { match dtype {
            $(DType::$dtype => {
                let (_, elements) = value.try_extract_tensor_mut::<$ty>().map_err(run_error)?;
                let (chunks, rest) = bytes.as_chunks::<{ size_of::<$ty>() }>();
                if !rest.is_empty() || chunks.len() != elements.len() {
                    return Err(length_error(name, size_of_val(elements), bytes.len()));
                }
                for (element, chunk) in elements.iter_mut().zip(chunks) {
                    *element = <$ty>::from_ne_bytes(*chunk);
                }
            })*
            DType::Bool => {
                let (_, elements) = value.try_extract_tensor_mut::<bool>().map_err(run_error)?;
                if bytes.len() != elements.len() {
                    return Err(length_error(name, elements.len(), bytes.len()));
                }
                for (element, &byte) in elements.iter_mut().zip(bytes) {
                    *element = byte != 0;
                }
            }
            _ => return Err(foreign(name, dtype)),
        }};
    }
    numbers!(F32 => f32, F64 => f64, I32 => i32, I64 => i64, U8 => u8, I8 => i8,
        U16 => u16, I16 => i16, U32 => u32, U64 => u64, F16 => half::f16, BF16 => half::bf16);
    Ok(())
}

/// Copies a value out.
fn array(name: &str, value: &DynValue) -> Result<Array, EngineError> {
    if let ValueType::Sequence(_) = value.dtype() {
        return table(name, value).map_err(run_error);
    }
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        let found = format!("{:?}", value.dtype());
        return Err(EngineError::Type { name: name.to_owned(), found });
    };
    let dtype = dtype(name, *ty)?;
    // A tensor that exists has no negative extent.
    let shape = shape.iter().map(|&extent| extent as usize).collect();
    if *ty == TensorElementType::String {
        let (_, texts) = value.try_extract_strings().map_err(run_error)?;
        let mut labels = texts.clone();
        labels.sort();
        labels.dedup();
        let place = |text: &String| labels.partition_point(|label| label < text) as i64;
        let bytes = texts.iter().flat_map(|text| place(text).to_ne_bytes()).collect();
        return Ok(Array { name: name.to_owned(), dtype, shape, bytes, labels });
    }
    macro_rules! numbers {
        ($($dtype:ident => $ty:ty),*) => { match dtype {
            $(DType::$dtype => {
                let (_, elements) = value.try_extract_tensor::<$ty>().map_err(run_error)?;
                elements.iter().flat_map(|element| element.to_ne_bytes()).collect()
            })*
            DType::Bool => {
                let (_, elements) = value.try_extract_tensor::<bool>().map_err(run_error)?;
                elements.iter().map(|&element| u8::from(element)).collect()
            }
            _ => return Err(foreign(name, dtype)),
        }};
    }
    let bytes = numbers!(F32 => f32, F64 => f64, I32 => i32, I64 => i64, U8 => u8, I8 => i8,
        U16 => u16, I16 => i16, U32 => u32, U64 => u64,
        F16 => half::f16, BF16 => half::bf16);
    Ok(Array { name: name.to_owned(), dtype, shape, bytes, labels: Vec::new() })
}

/// A list of maps as a table: a row a map, a column a key.
fn table(name: &str, value: &DynValue) -> Result<Array, ort::Error> {
    let (mut labels, mut bytes) = (Vec::new(), Vec::new());
    let rows = value.try_extract_sequence::<DynMapValueType>()?;
    for row in &rows {
        let mut row: Vec<(String, f32)> = match row.dtype() {
            ValueType::Map { key: TensorElementType::Int64, .. } => {
                let row = row.try_extract_key_values::<i64, f32>()?;
                row.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
            }
            _ => row.try_extract_key_values::<String, f32>()?,
        };
        row.sort_by(|a, b| a.0.cmp(&b.0));
        bytes.extend(row.iter().flat_map(|(_, value)| value.to_ne_bytes()));
        labels = row.into_iter().map(|(key, _)| key).collect();
    }
    let shape = vec![rows.len(), labels.len()];
    Ok(Array { name: name.to_owned(), dtype: DType::F32, shape, bytes, labels })
}

fn load_error<R>(error: ort::Error<R>) -> EngineError {
    EngineError::Load { engine: ENGINE, reason: error.to_string() }
}

fn run_error(error: ort::Error) -> EngineError {
    EngineError::Run { engine: ENGINE, reason: error.to_string() }
}

fn length_error(name: &str, expected_bytes: usize, found_bytes: usize) -> EngineError {
    EngineError::input(name, &format!("has {found_bytes} bytes, its shape takes {expected_bytes}"))
}
