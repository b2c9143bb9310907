//! One node on its way into the graph: what the importers of operators work with.

use std::path::Path;

use crate::graph::ops::{Binary, Compare, Reduce, ReduceKind, SliceAxis, Unary};
use crate::graph::{Dim, Op, Tensor, ValueId, Variable};
use crate::tensor::DType;

use super::attributes::{AttributeProblem, Attributes};
use super::builder::Builder;
use super::error::{ImportError, NodeRef};
use super::proto::GraphProto;
use super::tensor::element_type;

/// The result of importing an operator or a part of it.
pub(super) type Imported<T = Vec<ValueId>> = Result<T, ImportError>;

/// A node with its operands in the graph.
pub(super) struct Call<'c, 'm, 'f> {
    pub(super) builder: &'c mut Builder<'f>,
    pub(super) node: Box<NodeRef>,
    /// What nodes and values made here are called.
    pub(super) label: String,
    /// Version of the operator's set.
    pub(super) version: i64,
    pub(super) inputs: Vec<Option<ValueId>>,
    pub(super) input_names: &'m [String],
    pub(super) output_names: &'m [String],
    pub(super) attributes: Attributes<'m>,
    pub(super) folder: Option<&'c Path>,
    /// Operands that decide a shape, are known only while the program runs, and have no bounds.
    pub(super) unbounded: Vec<usize>,
}

impl<'m> Call<'_, 'm, '_> {
    /// An error about this node.
    pub(super) fn fail<T>(&self, problem: impl Into<String>) -> Imported<T> {
        Err(self.problem(problem))
    }

    /// An error about this node, as a value.
    pub(super) fn problem(&self, problem: impl Into<String>) -> ImportError {
        ImportError::Node { node: self.node.clone(), problem: problem.into() }
    }

    /// An error about an attribute.
    pub(super) fn refuse<T>(&self, attribute: &str, problem: impl Into<String>) -> Imported<T> {
        Err(ImportError::Attribute {
            node: self.node.clone(),
            attribute: attribute.to_owned(),
            problem: problem.into(),
        })
    }

    fn read<T>(&self, read: Result<T, AttributeProblem>) -> Imported<T> {
        read.map_err(|e| ImportError::Attribute {
            node: self.node.clone(),
            attribute: e.attribute,
            problem: e.problem,
        })
    }

    /// An integer attribute.
    pub(super) fn int(&self, name: &str) -> Imported<Option<i64>> {
        self.read(self.attributes.int(name))
    }

    /// An integer attribute with a default.
    pub(super) fn int_or(&self, name: &str, default: i64) -> Imported<i64> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// An integer attribute that is zero or one.
    pub(super) fn flag(&self, name: &str, default: bool) -> Imported<bool> {
        match self.int_or(name, i64::from(default))? {
            0 => Ok(false),
            1 => Ok(true),
            other => self.refuse(name, format!("is {other}, expected 0 or 1")),
        }
    }

    /// A float attribute.
    pub(super) fn float(&self, name: &str) -> Imported<Option<f32>> {
        self.read(self.attributes.float(name))
    }

    /// A float attribute with a default.
    pub(super) fn float_or(&self, name: &str, default: f32) -> Imported<f32> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    /// A text attribute.
    pub(super) fn string(&self, name: &str) -> Imported<Option<&'m str>> {
        self.read(self.attributes.string(name))
    }

    /// A text attribute with a default.
    pub(super) fn string_or(&self, name: &str, default: &'m str) -> Imported<&'m str> {
        Ok(self.string(name)?.unwrap_or(default))
    }

    /// An attribute of integers.
    pub(super) fn ints(&self, name: &str) -> Imported<Option<&'m [i64]>> {
        self.read(self.attributes.ints(name))
    }

    /// An attribute of floats.
    pub(super) fn floats(&self, name: &str) -> Imported<Option<&'m [f32]>> {
        self.read(self.attributes.floats(name))
    }

    /// An attribute of texts.
    pub(super) fn strings(&self, name: &str) -> Imported<Option<Vec<&'m str>>> {
        self.read(self.attributes.strings(name))
    }

    /// A tensor attribute, decoded.
    pub(super) fn tensor(&self, name: &str) -> Imported<Option<Tensor>> {
        let Some(proto) = self.read(self.attributes.tensor(name))? else { return Ok(None) };
        super::tensor::decode(proto, self.folder).map(Some)
    }

    /// A graph attribute.
    pub(super) fn graph(&self, name: &str) -> Imported<Option<&'m GraphProto>> {
        self.read(self.attributes.graph(name))
    }

    /// An attribute that names an element type.
    pub(super) fn dtype(&self, name: &str) -> Imported<Option<DType>> {
        let Some(code) = self.int(name)? else { return Ok(None) };
        let known = i32::try_from(code).map_err(|_| format!("of the unknown type {code}"));
        match known.and_then(element_type) {
            Ok(dtype) => Ok(Some(dtype)),
            Err(other) => self.refuse(name, format!("is {other}, which is not supported")),
        }
    }

    /// A required attribute.
    pub(super) fn required<T>(&self, name: &str, value: Option<T>) -> Imported<T> {
        match value {
            Some(value) => Ok(value),
            None => self.refuse(name, "is missing"),
        }
    }

    /// An operand that may be left out.
    pub(super) fn optional(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }

    /// An operand that the operator requires.
    pub(super) fn input(&self, i: usize) -> Imported<ValueId> {
        self.optional(i).ok_or_else(|| self.problem(format!("input {i} is missing")))
    }

    /// All operands of an operator that takes any number of them.
    pub(super) fn all_inputs(&self) -> Imported {
        if self.inputs.is_empty() {
            return self.fail("it has no inputs");
        }
        (0..self.inputs.len()).map(|i| self.input(i)).collect()
    }

    /// Whether the model names this output.
    pub(super) fn wants(&self, i: usize) -> bool {
        self.output_names.get(i).is_some_and(|name| !name.is_empty())
    }

    /// The shape of a value.
    pub(super) fn shape(&self, id: ValueId) -> Vec<Dim> {
        self.builder.fact(id).shape
    }

    /// The element type of a value.
    pub(super) fn dtype_of(&self, id: ValueId) -> DType {
        self.builder.graph.value(id).dtype
    }

    /// Dimension variables.
    pub(super) fn variables(&self) -> &[Variable] {
        &self.builder.graph.variables
    }

    /// A shape as text.
    pub(super) fn show(&self, shape: &[Dim]) -> String {
        let dims: Vec<_> = shape.iter().map(|d| d.display(self.variables()).to_string()).collect();
        format!("[{}]", dims.join(", "))
    }

    /// A number that must not vary.
    pub(super) fn fixed(&self, dim: &Dim, what: &str) -> Imported<i64> {
        dim.fixed().ok_or_else(|| {
            let measured = dim.is_measured(self.variables());
            let dim = dim.display(self.variables());
            if measured {
                return self.problem(format!("{what} is {dim}, which depends on the data"));
            }
            self.problem(format!("{what} is {dim}; give its dimensions one size with --dim"))
        })
    }

    /// The same as a size.
    pub(super) fn size(&self, dim: &Dim, what: &str) -> Imported<usize> {
        let n = self.fixed(dim, what)?;
        usize::try_from(n).map_err(|_| self.problem(format!("{what} is {n}")))
    }

    /// An axis counted from either end.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Imported<usize> {
        let from_front = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        from_front
            .and_then(|a| usize::try_from(a).ok())
            .filter(|a| *a < rank)
            .ok_or_else(|| self.problem(format!("there is no axis {axis} in rank {rank}")))
    }

    /// Axes counted from either end, each once, ascending.
    pub(super) fn axes(&self, axes: &[i64], rank: usize) -> Imported<Vec<usize>> {
        let mut out: Vec<usize> =
            axes.iter().map(|a| self.axis(*a, rank)).collect::<Imported<_>>()?;
        out.sort_unstable();
        out.dedup();
        if out.len() != axes.len() {
            return self.fail(format!("the axes {axes:?} name one axis twice"));
        }
        Ok(out)
    }

    /// The elements of an operand that decides a shape, where they are known before a run.
    fn known_before(&self, i: usize) -> Imported<Option<Vec<Dim>>> {
        let id = self.input(i)?;
        if self.dtype_of(id).is_float() {
            return self.fail(format!("input {i} is {}, expected integers", self.dtype_of(id)));
        }
        if let Some(known) = self.builder.known(id) {
            return Ok(Some(known));
        }
        let numbers = self.builder.constant(id).and_then(Tensor::to_i64s);
        Ok(numbers.map(|numbers| numbers.into_iter().map(Dim::Fixed).collect()))
    }

    /// The elements of an operand that decides a shape. Those that only a run knows become
    /// measured dimensions.
    pub(super) fn known(&mut self, i: usize) -> Imported<Vec<Dim>> {
        if let Some(known) = self.known_before(i)? {
            return Ok(known);
        }
        let id = self.input(i)?;
        let measured = self.builder.measured(id).ok_or_else(|| self.not_constant(i))?;
        if !self.builder.is_bounded(id) {
            self.unbounded.push(i);
        }
        Ok(measured)
    }

    /// The same where the operand may be left out (or be empty of elements).
    pub(super) fn known_optional(&mut self, i: usize) -> Imported<Option<Vec<Dim>>> {
        if self.optional(i).is_some() { self.known(i).map(Some) } else { Ok(None) }
    }

    /// The only number of an operand that decides a shape, which must be within these bounds: a
    /// run with another one ends in an error.
    pub(super) fn known_within(&mut self, i: usize, min: i64, max: i64) -> Imported<Dim> {
        if self.known_before(i)?.is_some() {
            return self.known_scalar(i);
        }
        let id = self.input(i)?;
        match self.builder.measured_within(id, (min, max), false).as_deref() {
            Some([one]) => Ok(one.clone()),
            _ => Err(self.not_constant(i)),
        }
    }

    /// The numbers of an operand that decides a shape and must not vary.
    pub(super) fn known_numbers(&self, i: usize) -> Imported<Option<Vec<i64>>> {
        if self.optional(i).is_none() {
            return Ok(None);
        }
        let known = self.known_before(i)?.ok_or_else(|| self.not_constant(i))?;
        let what = format!("input {:?}", self.input_names.get(i).map_or("", |n| n));
        known.iter().map(|d| self.fixed(d, &what)).collect::<Imported<_>>().map(Some)
    }

    /// The only number of an operand that must be known before a run and must not vary.
    pub(super) fn known_number(&self, i: usize) -> Imported<i64> {
        match self.known_numbers(i)?.as_deref() {
            Some([one]) => Ok(*one),
            _ => self.fail(format!("input {i} is not one number")),
        }
    }

    /// The only number of an operand that decides a shape.
    pub(super) fn known_scalar(&mut self, i: usize) -> Imported<Dim> {
        match &self.known(i)?[..] {
            [one] => Ok(one.clone()),
            many => self.fail(format!("input {i} has {} elements, expected one", many.len())),
        }
    }

    /// The error for an operand that decides a shape and is computed at run time.
    pub(super) fn not_constant(&self, i: usize) -> ImportError {
        let input = self.input_names.get(i).cloned().unwrap_or_default();
        let hint = match self.optional(i).and_then(|id| self.builder.source(id)) {
            Some(name) => format!(
                "it comes from the graph input {name:?}: give that input a fixed value \
                 (Options::bind_value, or --value {name}=FILE.npy)"
            ),
            None => "export the model with a fixed shape".to_owned(),
        };
        ImportError::NotConstant { node: self.node.clone(), input, hint }
    }

    /// The error for an operand that decides a shape, is computed at run time and has no bounds;
    /// `because` says what cannot be done without.
    pub(super) fn not_bounded(&self, i: usize, because: &ImportError) -> ImportError {
        let input = self.input_names.get(i).cloned().unwrap_or_default();
        let because = match because {
            ImportError::Node { problem, .. } => problem.clone(),
            other => other.to_string(),
        };
        let known = match self.not_constant(i) {
            ImportError::NotConstant { hint, .. } => hint,
            other => other.to_string(),
        };
        let hint = format!(
            "{because}: bound it (Options::value_range, or --value-range \
             {input}=MIN..MAX), or: {known}"
        );
        ImportError::NotConstant { node: self.node.clone(), input, hint }
    }

    /// Adds what an operator computes.
    pub(super) fn emit(&mut self, op: Op, inputs: &[Option<ValueId>]) -> Imported {
        self.builder
            .emit(&self.label, op, inputs)
            .map_err(|problem| ImportError::Node { node: self.node.clone(), problem })
    }

    /// The same for an operator with one result that needs all its operands.
    pub(super) fn one(&mut self, op: Op, inputs: &[ValueId]) -> Imported<ValueId> {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        self.first(op, &inputs)
    }

    /// The first result of an operator.
    pub(super) fn first(&mut self, op: Op, inputs: &[Option<ValueId>]) -> Imported<ValueId> {
        let results = self.emit(op, inputs)?;
        results.first().copied().ok_or_else(|| self.problem("the operator has no result"))
    }

    /// A constant.
    pub(super) fn constant(&mut self, tensor: Tensor) -> ValueId {
        self.builder.add_constant(&self.label, tensor)
    }

    /// A scalar of some element type.
    pub(super) fn scalar(&mut self, dtype: DType, value: f64) -> ValueId {
        self.constant(scalar(dtype, value))
    }

    /// A function of each element.
    pub(super) fn unary(&mut self, op: Unary, x: ValueId) -> Imported<ValueId> {
        self.one(Op::Unary(op), &[x])
    }

    /// Arithmetic on two values.
    pub(super) fn binary(&mut self, op: Binary, a: ValueId, b: ValueId) -> Imported<ValueId> {
        self.one(Op::Binary(op), &[a, b])
    }

    /// Arithmetic on a value and a number.
    pub(super) fn with(&mut self, op: Binary, a: ValueId, b: f64) -> Imported<ValueId> {
        let b = self.scalar(self.dtype_of(a), b);
        self.binary(op, a, b)
    }

    /// A comparison.
    pub(super) fn compare(&mut self, op: Compare, a: ValueId, b: ValueId) -> Imported<ValueId> {
        self.one(Op::Compare(op), &[a, b])
    }

    /// Another element type; the value itself where it has that type.
    pub(super) fn cast(&mut self, x: ValueId, to: DType) -> Imported<ValueId> {
        if self.dtype_of(x) == to {
            return Ok(x);
        }
        self.one(Op::Cast { to }, &[x])
    }

    /// Another shape; the value itself where it has that shape.
    pub(super) fn reshape(&mut self, x: ValueId, shape: Vec<Dim>) -> Imported<ValueId> {
        if self.shape(x) == shape {
            return Ok(x);
        }
        self.one(Op::Reshape { shape }, &[x])
    }

    /// Axes of extent one put in before these axes of the result.
    pub(super) fn unsqueeze(&mut self, x: ValueId, axes: &[usize]) -> Imported<ValueId> {
        let mut shape = self.shape(x);
        for axis in axes {
            if *axis > shape.len() {
                return self.fail(format!("there is no axis {axis} in rank {}", shape.len() + 1));
            }
            shape.insert(*axis, Dim::Fixed(1));
        }
        self.reshape(x, shape)
    }

    /// Axes in another order; the value itself where the order is the same.
    pub(super) fn transpose(&mut self, x: ValueId, perm: Vec<usize>) -> Imported<ValueId> {
        if perm.iter().copied().eq(0..perm.len()) && perm.len() == self.shape(x).len() {
            return Ok(x);
        }
        self.one(Op::Transpose { perm }, &[x])
    }

    /// `extent` elements from `start` along one axis.
    pub(super) fn slice(
        &mut self,
        x: ValueId,
        axis: usize,
        start: Dim,
        extent: Dim,
    ) -> Imported<ValueId> {
        if start.is(0) && self.shape(x).get(axis) == Some(&extent) {
            return Ok(x);
        }
        self.one(Op::Slice { axes: vec![SliceAxis { axis, start, step: 1, extent }] }, &[x])
    }

    /// Values one behind the other.
    pub(super) fn concat(&mut self, values: &[ValueId], axis: usize) -> Imported<ValueId> {
        match values {
            [one] => Ok(*one),
            _ => self.one(Op::Concat { axis }, values),
        }
    }

    /// A broadcast; the value itself where it has that shape.
    pub(super) fn expand(&mut self, x: ValueId, shape: Vec<Dim>) -> Imported<ValueId> {
        if self.shape(x) == shape {
            return Ok(x);
        }
        self.one(Op::Expand { shape }, &[x])
    }

    /// A reduction that keeps its axes with extent one.
    pub(super) fn reduce(
        &mut self,
        kind: ReduceKind,
        x: ValueId,
        axes: Vec<usize>,
    ) -> Imported<ValueId> {
        self.one(Op::Reduce(Reduce { kind, axes, keep_dims: true }), &[x])
    }

    /// The i64 vector `start, start + 1, ..` with `len` elements.
    pub(super) fn range(&mut self, start: i64, len: Dim) -> Imported<ValueId> {
        let (start, step) =
            (self.constant(Tensor::scalar(start)), self.constant(Tensor::scalar(1i64)));
        self.one(Op::Range { len }, &[start, step])
    }
}

/// A scalar of some element type.
pub(super) fn scalar(dtype: DType, value: f64) -> Tensor {
    match dtype {
        DType::F32 => Tensor::scalar(value as f32),
        DType::F64 => Tensor::scalar(value),
        DType::I64 => Tensor::scalar(value as i64),
        DType::U64 => Tensor::scalar(value as u64),
        DType::I32 => Tensor::scalar(value as i32),
        DType::U32 => Tensor::scalar(value as u32),
        DType::I16 => Tensor::scalar(value as i16),
        DType::U16 => Tensor::scalar(value as u16),
        DType::I8 => Tensor::scalar(value as i8),
        DType::U8 => Tensor::scalar(value as u8),
        DType::Bool => Tensor::from_bytes(DType::Bool, &[], &[u8::from(value != 0.0)]),
        small => Tensor::narrowed(small, &[], &[value]),
    }
}
