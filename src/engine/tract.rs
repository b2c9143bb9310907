//! tract, through the crate `tract-onnx`.
//!
//! It plans for fixed shapes: a model with open dimensions is planned at its first run, and again
//! when inputs of other shapes come.

use std::path::Path;
use std::sync::Arc;

use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable,
    IntoTensor, TValue, TVec, Tensor, TractError, TypedRunnableModel, TypedSimpleState, onnx,
};
use tract_onnx::tract_core::internal::DimLike;
use tract_onnx::tract_hir::infer::Factoid;

use super::{Array, EngineError, EngineOptions, Port, PortDim, Rewrite, matched};
use crate::tensor::DType;

const ENGINE: &str = "tract";

/// A model loaded by tract, which always runs on one thread.
#[derive(Debug)]
pub struct TractEngine {
    model: InferenceModel,
    rewrite: Rewrite,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    plan: Option<Plan>,
}

/// A plan, and the shapes of inputs that it was made for.
#[derive(Debug)]
struct Plan {
    shapes: Vec<Vec<usize>>,
    model: Arc<TypedRunnableModel>,
}

impl TractEngine {
    /// Loads an ONNX file, and plans it if the shapes of its inputs are fixed.
    ///
    /// # Errors
    ///
    /// What tract says of the model.
    pub fn load(path: impl AsRef<Path>, options: &EngineOptions) -> Result<Self, EngineError> {
        Self::new(onnx().model_for_path(path).map_err(load_error)?, options)
    }

    /// Loads ONNX bytes.
    ///
    /// # Errors
    ///
    /// As [`TractEngine::load`].
    pub fn load_bytes(bytes: &[u8], options: &EngineOptions) -> Result<Self, EngineError> {
        Self::new(onnx().model_for_read(&mut &*bytes).map_err(load_error)?, options)
    }

    fn new(model: InferenceModel, options: &EngineOptions) -> Result<Self, EngineError> {
        let port = |outlet| {
            let named = model.outlet_label(outlet);
            let name = named.unwrap_or(&model.nodes[outlet.node].name).to_owned();
            port(name, model.outlet_fact(outlet).map_err(load_error)?)
        };
        let inputs = model.inputs.iter().map(|outlet| port(*outlet)).collect::<Result<_, _>>()?;
        let outputs = model.outputs.iter().map(|outlet| port(*outlet)).collect::<Result<_, _>>()?;
        let mut engine = Self { inputs, outputs, rewrite: options.rewrite, plan: None, model };
        if let Some(shapes) = engine.fixed_shapes() {
            engine.plan(shapes)?;
        }
        Ok(engine)
    }

    /// The inputs that the model declares, in its order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs that the model declares, in its order. tract may know no more of an output than
    /// its name before the model has run: its element type reads as f32 then.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Runs the model once and returns its outputs in their order.
    ///
    /// # Errors
    ///
    /// [`EngineError::Input`] if `inputs` are not the model's, [`EngineError::Type`] if an output
    /// is not a tensor of a [`DType`], otherwise what tract says.
    pub fn run(&mut self, inputs: &[Array]) -> Result<Vec<Array>, EngineError> {
        self.prepare(inputs)?.run_and_read()
    }

    /// Plans for inputs of these shapes, and keeps their elements, so that [`TractCall::run`]
    /// makes no copy of them: the fair way to time it.
    ///
    /// # Errors
    ///
    /// As [`TractEngine::run`].
    pub fn prepare(&mut self, inputs: &[Array]) -> Result<TractCall<'_>, EngineError> {
        let values = self.values(inputs)?;
        let shapes: Vec<Vec<usize>> = values.iter().map(|value| value.shape().to_vec()).collect();
        if self.plan.as_ref().is_none_or(|plan| plan.shapes != shapes) {
            self.plan(shapes)?;
        }
        let plan = self.plan.as_ref().map(|plan| &plan.model);
        let state = plan.ok_or_else(|| EngineError::Run {
            engine: ENGINE,
            reason: "there is no plan".to_owned(),
        })?;
        let state = state.spawn().map_err(run_error)?;
        Ok(TractCall { outputs: &self.outputs, state, inputs: values })
    }

    /// The shapes of all inputs, if none depends on a call.
    fn fixed_shapes(&self) -> Option<Vec<Vec<usize>>> {
        let fixed = |dim: &PortDim| match dim {
            PortDim::Fixed(extent) => Some(*extent),
            PortDim::Open(_) => None,
        };
        self.inputs.iter().map(|port| port.dims.iter().map(fixed).collect()).collect()
    }

    fn plan(&mut self, shapes: Vec<Vec<usize>>) -> Result<(), EngineError> {
        let mut model = self.model.clone();
        for (i, (port, shape)) in self.inputs.iter().zip(&shapes).enumerate() {
            let ty = datum_type(port.dtype).ok_or_else(|| foreign(&port.name, port.dtype))?;
            let fact = InferenceFact::dt_shape(ty, shape);
            model.set_input_fact(i, fact).map_err(load_error)?;
        }
        let model = match self.rewrite {
            Rewrite::None => model.into_typed(),
            Rewrite::Full => model.into_optimized(),
        };
        let model = model.and_then(IntoRunnable::into_runnable).map_err(load_error)?;
        self.plan = Some(Plan { shapes, model });
        Ok(())
    }

    /// One value for each input of the model.
    fn values(&self, arrays: &[Array]) -> Result<TVec<TValue>, EngineError> {
        let value = |array: &Array| {
            let ty = datum_type(array.dtype).ok_or_else(|| foreign(&array.name, array.dtype))?;
            let mut tensor = Tensor::zero_dt(ty, &array.shape).map_err(run_error)?;
            fill(&mut tensor, &array.name, &array.bytes)?;
            Ok(tensor.into())
        };
        matched(&self.inputs, arrays)?.into_iter().map(value).collect()
    }
}

/// A call whose inputs are kept.
#[derive(Debug)]
pub struct TractCall<'a> {
    outputs: &'a [Port],
    state: TypedSimpleState,
    inputs: TVec<TValue>,
}

impl TractCall<'_> {
    /// Copies new elements into the input at `index`.
    ///
    /// # Errors
    ///
    /// [`EngineError::Input`] if there is no such input or `bytes` does not fill it; it is then
    /// unchanged.
    pub fn set_input(&mut self, index: usize, bytes: &[u8]) -> Result<(), EngineError> {
        let Some(value) = self.inputs.get_mut(index) else {
            return Err(EngineError::input(&index.to_string(), "the model has no such input"));
        };
        let mut tensor = value.clone().into_tensor();
        fill(&mut tensor, &index.to_string(), bytes)?;
        *value = tensor.into();
        Ok(())
    }

    /// Runs the model on its inputs.
    ///
    /// # Errors
    ///
    /// What tract says.
    pub fn run(&mut self) -> Result<(), EngineError> {
        self.state.run(self.inputs.clone()).map_err(run_error).map(drop)
    }

    /// Runs the model on its inputs and copies its outputs out.
    ///
    /// # Errors
    ///
    /// What tract says.
    pub fn run_and_read(&mut self) -> Result<Vec<Array>, EngineError> {
        let outputs = self.state.run(self.inputs.clone()).map_err(run_error)?;
        self.outputs.iter().zip(&outputs).map(|(port, value)| array(&port.name, value)).collect()
    }
}

fn port(name: String, fact: &InferenceFact) -> Result<Port, EngineError> {
    let dims = fact.shape.dims().map(|dim| {
        let extent = dim.concretize().and_then(|dim| dim.to_usize().ok());
        extent.map_or_else(|| PortDim::Open(dim.to_string()), PortDim::Fixed)
    });
    let dtype = match fact.datum_type.concretize() {
        Some(ty) => dtype(&name, ty)?,
        None => DType::F32,
    };
    Ok(Port { dims: dims.collect(), dtype, name })
}

macro_rules! types {
    ($($dtype:ident)*) => {
        fn dtype(name: &str, ty: DatumType) -> Result<DType, EngineError> {
            match ty {
                $(DatumType::$dtype => Ok(DType::$dtype),)*
                other => {
                    Err(EngineError::Type { name: name.to_owned(), found: format!("{other:?}") })
                }
            }
        }

        /// What tract calls a type; `None` for one that it does not have.
        fn datum_type(dtype: DType) -> Option<DatumType> {
            match dtype {
                $(DType::$dtype => Some(DatumType::$dtype),)*
                _ => None,
            }
        }
    };
}
types!(F32 F64 I32 I64 U8 I8 Bool U16 I16 U32 U64 F16);

/// Copies `bytes` into a tensor that must have exactly their length.
fn fill(tensor: &mut Tensor, name: &str, bytes: &[u8]) -> Result<(), EngineError> {
    let room = tensor.as_bytes_mut();
    if room.len() != bytes.len() {
        let reason = format!("has {} bytes, its shape takes {}", bytes.len(), room.len());
        return Err(EngineError::input(name, &reason));
    }
    room.copy_from_slice(bytes);
    Ok(())
}

/// Copies a value out.
fn array(name: &str, value: &Tensor) -> Result<Array, EngineError> {
    let dtype = dtype(name, value.datum_type())?;
    let (shape, bytes) = (value.shape().to_vec(), value.as_bytes().to_vec());
    Ok(Array { name: name.to_owned(), dtype, shape, bytes, labels: Vec::new() })
}

/// The error for a type that [`datum_type`] does not have.
fn foreign(name: &str, dtype: DType) -> EngineError {
    EngineError::Type { name: name.to_owned(), found: dtype.name().to_owned() }
}

fn load_error(error: TractError) -> EngineError {
    EngineError::Load { engine: ENGINE, reason: format!("{error:#}") }
}

fn run_error(error: TractError) -> EngineError {
    EngineError::Run { engine: ENGINE, reason: format!("{error:#}") }
}
