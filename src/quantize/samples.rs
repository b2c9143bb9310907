//! Calibration data, and a model run over it.

use std::collections::HashMap;

use super::draft::code;
use super::error::QuantizeError;
use super::model::{Model, output};
use super::options::Options;
use crate::graph::{Extent, Tensor};
use crate::load::{self, LoadError};
use crate::onnx::proto::{DimensionValue, TypeValue, ValueInfoProto};
use crate::onnx::{ImportError, element_type};
use crate::runtime::{BindError, Program, RunError, Session};
use crate::tensor::DType;

/// Inputs of a model, several times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Names of the inputs.
    names: Vec<String>,
    /// For each sample the input of each name.
    sets: Vec<Vec<Tensor>>,
}

impl Samples {
    /// The samples in arrays, one array for each input, of which axis 0 counts the samples.
    ///
    /// **Shapes and units**: an array has the axes of its input behind the axis of the samples, or
    /// the axes of its input of which the first is the batch: then a sample is as many rows as the
    /// model takes at once, and one where it leaves that open. An array of one sample is used with
    /// every sample of the others. In a table of two axes a row may hold all elements of a sample.
    /// At most `limit` samples are taken, evenly over all.
    ///
    /// **Errors**: an array that is no input, has another rank, or another number of samples; an
    /// input without an array.
    ///
    /// # Examples
    /// ```
    /// use nowcast::graph::Tensor;
    /// use nowcast::quantize::{Model, Samples};
    ///
    /// let model = Model::from_path("models/jfk-sklearn-mlp/model.onnx")?;
    /// let rows = Tensor::new(&[5, 96], &[0.5f32; 480]);
    /// assert_eq!(Samples::new(&model, &[("context".to_owned(), rows)], 512)?.len(), 5);
    /// # Ok::<(), nowcast::quantize::QuantizeError>(())
    /// ```
    pub fn new(
        model: &Model,
        arrays: &[(String, Tensor)],
        limit: usize,
    ) -> Result<Self, QuantizeError> {
        let inputs: Vec<&ValueInfoProto> = model.inputs().collect();
        let list = || inputs.iter().map(|info| info.name.as_str()).collect::<Vec<_>>().join(", ");
        let mut columns: Vec<(String, Vec<Tensor>)> = Vec::new();
        for (name, array) in arrays {
            let Some(info) = inputs.iter().find(|info| info.name == *name) else {
                return Err(QuantizeError::Samples(format!(
                    "there is no input {name:?}, only [{}]",
                    list()
                )));
            };
            let column = typed(array, info).and_then(|array| split(&array, info));
            let column = column.map_err(|why| {
                QuantizeError::Samples(format!("the calibration data of input {name:?} {why}"))
            })?;
            columns.push((name.clone(), column));
        }
        let len = columns.iter().map(|(_, column)| column.len()).max().unwrap_or(0);
        for (name, column) in &columns {
            if column.len() != len && column.len() != 1 {
                return Err(QuantizeError::Samples(format!(
                    "input {name:?} has {} calibration samples and another {len}: give each the \
                     same number, or one",
                    column.len()
                )));
            }
        }
        let taken = len.min(limit);
        let at = |i: usize| if taken > 1 { i * (len - 1) / (taken - 1) } else { 0 };
        let set = |i: usize| {
            let pick = |column: &Vec<Tensor>| column[if column.len() == 1 { 0 } else { i }].clone();
            columns.iter().map(|(_, column)| pick(column)).collect()
        };
        let sets = (0..taken).map(|i| set(at(i))).collect();
        Ok(Self { names: columns.into_iter().map(|(name, _)| name).collect(), sets })
    }

    /// No sample, for a model that is only looked at.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// Samples of these inputs.
    pub(super) fn of_sets(names: Vec<String>, sets: Vec<Vec<Tensor>>) -> Self {
        Self { names, sets }
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// The inputs of a sample, by their names.
    pub fn sample(&self, i: usize) -> Option<impl Iterator<Item = (&str, &Tensor)>> {
        let set = self.sets.get(i)?;
        Some(self.names.iter().map(String::as_str).zip(set))
    }

    /// Options with the shapes of the inputs, but where a dimension is left to each call.
    pub(super) fn shaped(&self, options: &load::Options) -> load::Options {
        if options.dims().values().any(|extent| matches!(extent, Extent::Range(..))) {
            return options.clone();
        }
        let shapes = self.sets.first().into_iter().flat_map(|set| self.names.iter().zip(set));
        let open = shapes.filter(|(name, _)| !options.bindings().values.contains_key(*name));
        open.fold(options.clone(), |load, (name, tensor)| load.input_shape(name, tensor.shape()))
    }

    /// Loads a model for these samples: open dimensions take their sizes from them, and an input
    /// that decides shapes becomes a constant, that of the first sample.
    ///
    /// **Errors** and **cost** as [`load::from_bytes`].
    pub fn load(
        &self,
        onnx: &[u8],
        options: &load::Options,
    ) -> Result<Program<'static>, LoadError> {
        let mut options = self.shaped(options);
        loop {
            let error = match load::from_bytes(onnx, &options) {
                Ok(program) => return Ok(program),
                Err(error) => error,
            };
            let bound = &options.bindings().values;
            let needed = |name: &str| decides(&error, name) && !bound.contains_key(name);
            match self.sample(0).and_then(|mut all| all.find(|(name, _)| needed(name))) {
                Some((name, tensor)) => options = options.bind_value(name, tensor.clone()),
                None => return Err(error),
            }
        }
    }

    /// At most so many of them, evenly over all.
    pub(super) fn thinned(&self, limit: usize) -> Self {
        let len = self.len().min(limit);
        let at = |i: usize| if len > 1 { i * (self.len() - 1) / (len - 1) } else { 0 };
        let sets = (0..len).map(|i| self.sets[at(i)].clone()).collect();
        Self { names: self.names.clone(), sets }
    }
}

/// Whether a model asks an input to be a constant.
fn decides(error: &LoadError, input: &str) -> bool {
    let LoadError::Import { source, .. } = error else { return false };
    match source {
        ImportError::Branch { input: asked, .. } => asked == input,
        // The operand may be computed from an input, which the hint names.
        ImportError::NotConstant { input: asked, hint, .. } => {
            asked == input || hint.contains(&format!("graph input {input:?}"))
        }
        _ => false,
    }
}

/// The declared extents of an input; `None` where its rank is open.
fn extents(info: &ValueInfoProto) -> Option<Vec<Option<usize>>> {
    let Some(TypeValue::Tensor(tensor)) = info.r#type.as_ref()?.value.as_ref() else { return None };
    let extent = |value: &Option<DimensionValue>| match value {
        Some(DimensionValue::Value(n)) => usize::try_from(*n).ok(),
        _ => None,
    };
    Some(tensor.shape.as_ref()?.dim.iter().map(|dim| extent(&dim.value)).collect())
}

/// An array in the element type of its input.
fn typed(array: &Tensor, info: &ValueInfoProto) -> Result<Tensor, String> {
    let Some(TypeValue::Tensor(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return Err("is for an input that is no tensor".to_owned());
    };
    let wanted = element_type(tensor.elem_type)?;
    converted(array, wanted)
        .ok_or_else(|| format!("is {}, the input {wanted}: save it with that type", array.dtype()))
}

fn split(array: &Tensor, info: &ValueInfoProto) -> Result<Vec<Tensor>, String> {
    let shape = array.shape();
    let declared = extents(info).unwrap_or_else(|| vec![None; shape.len()]);
    let show = || {
        let dims: Vec<String> =
            declared.iter().map(|dim| dim.map_or("?".to_owned(), |n| n.to_string())).collect();
        format!("the input is [{}] and the array {shape:?}", dims.join(", "))
    };
    let fits = |shape: &[usize], declared: &[Option<usize>]| {
        shape.iter().zip(declared).all(|(n, dim)| dim.is_none_or(|dim| dim == *n))
    };
    if shape.contains(&0) {
        return Err("is empty".to_owned());
    }
    let sample = if shape.len() == declared.len() + 1 {
        if !fits(&shape[1..], &declared) {
            return Err(format!("does not fit: {}", show()));
        }
        shape[1..].to_vec()
    } else if shape.len() == declared.len() && !shape.is_empty() {
        let rows = declared[0].unwrap_or(1);
        if !fits(&shape[1..], &declared[1..]) || rows == 0 || shape[0] < rows {
            return Err(format!("does not fit: {}", show()));
        }
        [&[rows], &shape[1..]].concat()
    } else if let Some(sample) = flattened(shape, &declared) {
        sample
    } else {
        return Err(format!(
            "has another rank: {}; axis 0 of the array counts the samples",
            show()
        ));
    };
    let bytes = sample.iter().product::<usize>() * array.dtype().bytes();
    let chunks = array.bytes().chunks_exact(bytes);
    Ok(chunks.map(|chunk| Tensor::from_bytes(array.dtype(), &sample, chunk)).collect())
}

/// The shape of a sample where each row of a table holds the elements of one; an open batch is of
/// one.
fn flattened(shape: &[usize], declared: &[Option<usize>]) -> Option<Vec<usize>> {
    let (first, behind) = declared.split_first()?;
    let behind: Vec<usize> = behind.iter().copied().collect::<Option<_>>()?;
    let sample = [&[first.unwrap_or(1)], &behind[..]].concat();
    (shape.len() == 2 && sample.iter().product::<usize>() == shape[1]).then_some(sample)
}

/// Looks at an output of a sample: the sample, the place of the output, its name and elements.
pub(super) type See<'a> = dyn FnMut(usize, usize, &str, &[f32]) -> Result<(), QuantizeError> + 'a;

/// A model that is loaded for samples, with some of its values as outputs.
pub(super) struct Observed {
    program: Program<'static>,
    names: Vec<String>,
}

impl Observed {
    /// Loads a model whose outputs are these values of f32.
    pub(super) fn load(
        model: &Model,
        values: &[&str],
        samples: &Samples,
        options: &Options,
    ) -> Result<Self, QuantizeError> {
        let mut proto = model.proto.clone();
        let graph = proto.graph.get_or_insert_default();
        graph.output = values.iter().map(|name| output(name, code::F32)).collect();
        Self::load_bytes(&model.encode(&proto)?, samples, options)
    }

    /// Loads a file for samples.
    pub(super) fn load_bytes(
        file: &[u8],
        samples: &Samples,
        options: &Options,
    ) -> Result<Self, QuantizeError> {
        let program = samples.load(file, &options.load)?;
        let names = samples.names.clone();
        Ok(Self { program, names })
    }

    /// The rank of each output.
    pub(super) fn ranks(&self) -> HashMap<String, usize> {
        self.program.outputs().map(|port| (port.name.to_owned(), port.rank())).collect()
    }

    /// Runs the model on each sample and shows the outputs of f32: the sample, the place of the
    /// output, its name and elements.
    pub(super) fn run(
        &self,
        samples: &Samples,
        see: &mut See<'_>,
        passed: &mut dyn FnMut(usize),
    ) -> Result<(), QuantizeError> {
        let mut session = Session::new(&self.program)?;
        let ports: Vec<(usize, String)> = self
            .program
            .outputs()
            .enumerate()
            .filter(|(_, port)| port.dtype == DType::F32)
            .map(|(i, port)| (i, port.name.to_owned()))
            .collect();
        let mut elements = Vec::new();
        for (s, set) in samples.sets.iter().enumerate() {
            self.fill(&mut session, set)?;
            session.run()?;
            for (i, name) in &ports {
                let at = |error| QuantizeError::Run(RunError::Bind { port: *i, error });
                let len = session.output_shape(*i).map_err(at)?.iter().product();
                elements.resize(len, 0.0);
                session.copy_output(*i, &mut elements).map_err(at)?;
                see(s, *i, name, &elements)?;
            }
            passed(s + 1);
        }
        Ok(())
    }

    /// Writes the inputs of a session.
    pub(super) fn fill(
        &self,
        session: &mut Session<'_>,
        set: &[Tensor],
    ) -> Result<(), QuantizeError> {
        for (name, tensor) in self.names.iter().zip(set) {
            // One that decides a shape may have become a constant.
            let Some(i) = self.program.input_index(name) else { continue };
            let port = self.program.inputs().nth(i);
            let Some(port) = port.filter(|port| !port.is_state()) else { continue };
            if tensor.dtype() != port.dtype {
                let (expected, got) = (port.dtype, tensor.dtype());
                let error = BindError::DType { expected, got };
                return Err(QuantizeError::Run(RunError::Bind { port: i, error }));
            }
            let refused = |error: BindError| {
                QuantizeError::Samples(format!(
                    "the calibration data of input {name:?} has the shape {:?}: {error}",
                    tensor.shape()
                ))
            };
            session.set_input_shape(i, tensor.shape()).map_err(refused)?;
            session.input_bytes_mut(i).map_err(refused)?.copy_from_slice(tensor.bytes());
        }
        let given = |name: &str| self.names.iter().any(|given| given == name);
        let missing = self.program.inputs().find(|port| !port.is_state() && !given(port.name));
        match missing {
            Some(port) => Err(QuantizeError::Samples(format!(
                "input {:?} has no calibration data: give it some",
                port.name
            ))),
            None => Ok(()),
        }
    }
}

/// Numbers in the type of an input: floats as floats, integers as integers, where none is lost.
fn converted(tensor: &Tensor, wanted: DType) -> Option<Tensor> {
    if tensor.dtype() == wanted {
        return Some(tensor.clone());
    }
    let (values, shape) = (tensor.to_f64s(), tensor.shape());
    let whole = |low: f64, high: f64| {
        values.iter().all(|x| x.fract() == 0.0 && (low..=high).contains(x)).then_some(())
    };
    Some(match wanted {
        DType::F32 => Tensor::new(shape, &values.iter().map(|x| *x as f32).collect::<Vec<_>>()),
        DType::F64 => Tensor::new(shape, &values),
        DType::I64 => {
            whole(-9e15, 9e15)?;
            Tensor::new(shape, &values.iter().map(|x| *x as i64).collect::<Vec<_>>())
        }
        DType::I32 => {
            whole(f64::from(i32::MIN), f64::from(i32::MAX))?;
            Tensor::new(shape, &values.iter().map(|x| *x as i32).collect::<Vec<_>>())
        }
        DType::Bool => {
            whole(0.0, 1.0)?;
            let bytes: Vec<u8> = values.iter().map(|x| *x as u8).collect();
            Tensor::from_bytes(DType::Bool, shape, &bytes)
        }
        small if small.is_half() => Tensor::narrowed(small, shape, &values),
        _ => return None,
    })
}
