//! The graph under construction: operators in, values with known facts out.
//!
//! Every value's shape passes one check, constants are folded on the way, and shape arithmetic
//! is kept symbolic until somebody needs it as data.

mod blocks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::graph::ops::Measure;
use crate::graph::{Dim, Fact, Graph, Node, Op, Tensor, ValueId, VarId, Variable};
use crate::tensor::DType;

use super::budget::Budget;
use super::error::ImportError;
use super::proto::TensorProto;
use super::text::{self, TEXT_CODE, TextFacts};
use super::{Fold, known, tensor};

use blocks::Outer;

/// Most elements of a value.
const MAX_ELEMENTS: i64 = 1 << 32;
/// Most axes of a value.
const MAX_RANK: usize = 16;
/// Greatest weight of a dimension.
const MAX_WEIGHT: usize = 64;
/// Most products in the expanded element count of a value.
const MAX_TERMS: usize = 1 << 10;
/// Most elements of a value that decides shapes while the program runs.
const MAX_MEASURED: i64 = 16;
/// Most variables of a model.
const MAX_VARIABLES: usize = 1 << 12;
/// A folded result larger than this must not be much larger than its operands.
const FREE_BYTES: usize = 1 << 20;
/// What computing constants may take, in multiplications, for each byte of the file and in any
/// case; beyond that it is left to the run.
const WORK_PER_BYTE: u64 = 64;
const FREE_WORK: u64 = 1 << 30;

/// What computing `made` elements from operands of so many takes at most, roughly.
fn work(op: &Op, lens: &[u64], made: u64) -> u64 {
    let read = lens.iter().fold(made, |sum, len| sum.saturating_add(*len));
    let largest = |n: usize| lens.iter().take(n).copied().max().unwrap_or(0).max(1);
    match op {
        // `[m, k]` by `[k, n]` is `m * k * n`: the root of the product of the three areas.
        Op::MatMul | Op::Linear { .. } | Op::Gemm(_) | Op::Distances { .. } => {
            let areas = lens.iter().take(2).fold(made as f64, |product, len| product * *len as f64);
            read.saturating_add(areas.sqrt() as u64)
        }
        Op::Conv(_) => read.saturating_add(made.saturating_mul(lens.get(1).copied().unwrap_or(1))),
        Op::Recurrent(_) => read.saturating_add(largest(1).saturating_mul(largest(3))),
        Op::Pool(_) | Op::MaxPositions(_) | Op::RoiAlign(_) | Op::MaxRoiPool(_) => {
            read.saturating_add(made.saturating_mul(largest(1)))
        }
        Op::NonMaxSuppression(_) | Op::SvmPairs(_) | Op::TreeEnsemble(_) | Op::Det => {
            read.saturating_mul(largest(usize::MAX))
        }
        _ => read,
    }
}

/// A graph that grows.
pub(super) struct Builder<'f> {
    pub(super) graph: Graph,
    fold: &'f mut Fold<'f>,
    /// Elements of values that are no constants but known.
    known: BTreeMap<ValueId, Vec<Dim>>,
    /// Known values that no node computes yet.
    pending: BTreeSet<ValueId>,
    /// What stands around the block whose nodes are being added, the outermost first.
    outer: Vec<Outer>,
    /// The elements of values that are sequences, `None` for an optional value that is not there;
    /// nothing computes those themselves.
    sequences: BTreeMap<ValueId, Option<Vec<ValueId>>>,
    /// The elements of sequences of open length, one behind the other along a new first axis.
    stacks: BTreeMap<ValueId, ValueId>,
    /// The f32 of each half that has one, and the half of each f32 that has one of that type:
    /// what `half.rs` converts, once.
    pub(super) wide: BTreeMap<ValueId, ValueId>,
    pub(super) rounded: BTreeMap<(ValueId, DType), ValueId>,
    /// The positions of the elements of a value that are not zero, where they have been found:
    /// what one mask picks has one length, however often the model asks for it.
    pub(super) positions: BTreeMap<ValueId, ValueId>,
    /// Values of one float whose floor is known.
    ratios: BTreeMap<ValueId, known::Ratio>,
    /// Bytes that constants made here may still take.
    fold_bytes: usize,
    /// Multiplications and moves that computing them may still take.
    fold_work: u64,
    /// Bounds of values that decide shapes, given by the caller.
    ranges: BTreeMap<String, (i64, i64)>,
    /// Names of bounds that were used.
    bounded: BTreeSet<String>,
    /// Memory of all that is made here.
    pub(super) budget: Budget,
    /// What values mean as text.
    pub(super) texts: TextFacts,
}

impl<'f> Builder<'f> {
    /// An empty graph; folding takes memory in proportion to `model_bytes`.
    pub(super) fn new(
        fold: &'f mut Fold<'f>,
        model_bytes: usize,
        ranges: BTreeMap<String, (i64, i64)>,
        budget: Budget,
    ) -> Self {
        Self {
            graph: Graph::default(),
            fold,
            known: BTreeMap::new(),
            pending: BTreeSet::new(),
            outer: Vec::new(),
            sequences: BTreeMap::new(),
            stacks: BTreeMap::new(),
            wide: BTreeMap::new(),
            rounded: BTreeMap::new(),
            positions: BTreeMap::new(),
            ratios: BTreeMap::new(),
            fold_bytes: model_bytes.saturating_mul(4).saturating_add(16 << 20),
            fold_work: FREE_WORK.saturating_add(model_bytes as u64 * WORK_PER_BYTE),
            ranges,
            bounded: BTreeSet::new(),
            budget,
            texts: TextFacts::default(),
        }
    }

    /// What is known of a value.
    pub(super) fn fact(&self, id: ValueId) -> Fact {
        self.graph.fact(id)
    }

    /// The constant behind a value.
    pub(super) fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.graph.value(id).constant.as_ref()
    }

    /// The elements of a small value of integers or whole floats, where they are known.
    pub(super) fn known(&self, id: ValueId) -> Option<Vec<Dim>> {
        match self.constant(id) {
            Some(tensor) => known::of_constant(tensor),
            None => self.known.get(&id).cloned(),
        }
    }

    /// Adds a constant.
    pub(super) fn add_constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        self.budget.constant(name, tensor.bytes().len() as u64);
        self.graph.add_constant(name, tensor)
    }

    /// The caller's bounds of a value that are no bounds of any value so far.
    pub(super) fn unused_range(&self) -> Option<&str> {
        self.ranges.keys().find(|name| !self.bounded.contains(*name)).map(String::as_str)
    }

    /// Whether the caller has bounded the value.
    pub(super) fn is_bounded(&self, id: ValueId) -> bool {
        self.ranges.contains_key(&self.graph.value(id).name)
    }

    /// The elements of an integer value that only a run knows, as measured dimensions. They lie
    /// within the caller's bounds; where there are none, a number that has more than 32 bits means
    /// the nearest that has not. `None` where the value is none that could decide a shape.
    pub(super) fn measured(&mut self, id: ValueId) -> Option<Vec<Dim>> {
        let name = self.graph.value(id).name.clone();
        let given = self.ranges.get(&name).copied();
        if given.is_some() {
            self.bounded.insert(name);
        }
        let far = i64::from(i32::MAX);
        let dims = self.measured_within(id, given.unwrap_or((-far, far)), given.is_none())?;
        self.known.insert(id, dims.clone());
        Some(dims)
    }

    /// The same within other bounds; `saturate` says what a number outside means: the nearest
    /// within, or an error that ends the run.
    pub(super) fn measured_within(
        &mut self,
        id: ValueId,
        (min, max): (i64, i64),
        saturate: bool,
    ) -> Option<Vec<Dim>> {
        let fact = self.fact(id);
        let len = crate::graph::dim::product(&fact.shape).fixed()?;
        let fits = fact.shape.len() <= 1 && len <= MAX_MEASURED && !fact.dtype.is_float();
        if !fits || fact.dtype == DType::Bool || self.graph.variables.len() > MAX_VARIABLES {
            return None;
        }
        let name = self.graph.value(id).name.clone();
        let numbers: Vec<(usize, VarId)> = (0..len as usize)
            .map(|i| {
                let name = if len == 1 { name.clone() } else { format!("{name}[{i}]") };
                (i, self.add_variable(Variable::measured(name, min, max)))
            })
            .collect();
        let dims = numbers.iter().map(|(_, id)| Dim::var(*id)).collect();
        self.materialise(id);
        let mut from = id;
        if fact.dtype != DType::I64 {
            let wide = Fact { dtype: DType::I64, shape: fact.shape };
            from = self.graph.add_value(&*name, &wide);
            let op = Op::Cast { to: DType::I64 };
            let (inputs, outputs) = (vec![Some(id)], vec![Some(from)]);
            self.nodes_around(id).push(Node { name: name.clone(), op, inputs, outputs });
        }
        let op = Op::Measure(Measure { numbers, saturate });
        let node = Node { name, op, inputs: vec![Some(from)], outputs: Vec::new() };
        // What is known of a value holds wherever it is seen, so it is measured where it is made.
        self.nodes_around(id).push(node);
        Some(dims)
    }

    /// A number that is found while the program runs.
    pub(super) fn add_variable(&mut self, variable: Variable) -> VarId {
        self.graph.variables.push(variable);
        VarId(self.graph.variables.len() as u32 - 1)
    }

    /// Adds a constant as it stands in the file; texts become indices of them.
    pub(super) fn add_stored(
        &mut self,
        name: &str,
        proto: &TensorProto,
        folder: Option<&Path>,
    ) -> Result<ValueId, ImportError> {
        if proto.data_type != TEXT_CODE {
            return Ok(self.add_constant(name, tensor::decode(proto, folder)?));
        }
        let (indices, table) = text::decode(proto)
            .map_err(|problem| ImportError::Tensor { tensor: proto.name.clone(), problem })?;
        let id = self.add_constant(name, indices);
        self.texts.set(id, table);
        Ok(id)
    }

    /// Adds a vector of dimensions as a value.
    pub(super) fn add_known(&mut self, name: &str, fact: &Fact, elements: Vec<Dim>) -> ValueId {
        let shape: Option<Vec<usize>> =
            fact.shape.iter().map(|d| d.fixed().and_then(|n| usize::try_from(n).ok())).collect();
        let tensor = shape.and_then(|shape| known::to_constant(fact.dtype, &shape, &elements));
        if let Some(tensor) = tensor {
            return self.add_constant(name, tensor);
        }
        let id = self.graph.add_value(name, fact);
        self.known.insert(id, elements);
        self.pending.insert(id);
        id
    }

    /// Adds what the operator computes.
    pub(super) fn emit(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[Option<ValueId>],
    ) -> Result<Vec<ValueId>, String> {
        for dims in op.dims() {
            self.check_terms(dims)?;
        }
        if !inputs.iter().flatten().all(|id| self.is_tensor(*id)) {
            return Err("it takes tensors, and one of its inputs is none".into());
        }
        let facts: Vec<Option<Fact>> = inputs.iter().map(|i| i.map(|v| self.fact(v))).collect();
        let results = op.infer(&facts, &self.graph.variables).map_err(|e| e.0)?;
        for result in &results {
            self.check_shape(&result.shape)?;
        }
        if let [result] = &results[..]
            && let Some(elements) = self.evaluated(&op, inputs, &facts, result)
        {
            return Ok(vec![self.add_known(name, result, elements)]);
        }
        if let ([Some(id)], [result]) = (inputs, &results[..])
            && let Some(dim) = self.ratios.get(id).and_then(|ratio| ratio.rounded(&op))
        {
            return Ok(vec![self.add_known(name, result, vec![dim])]);
        }
        let ratio = self.ratio(&op, inputs, &results);
        for id in inputs.iter().flatten() {
            self.materialise(*id);
        }
        if let Some(tensors) = self.folded(&op, inputs, &results) {
            return Ok(tensors.into_iter().map(|t| self.add_constant(name, t)).collect());
        }
        let outputs: Vec<ValueId> =
            results.iter().map(|fact| self.graph.add_value(name, fact)).collect();
        self.push(name, op, inputs.to_vec(), &outputs);
        self.ratios.extend(outputs.first().copied().zip(ratio));
        Ok(outputs)
    }

    /// The result as a quotient of an extent.
    fn ratio(&self, op: &Op, inputs: &[Option<ValueId>], results: &[Fact]) -> Option<known::Ratio> {
        let ([Some(a), Some(b)], [result]) = (inputs, results) else { return None };
        if !matches!(op, Op::Binary(_)) || !result.shape.iter().all(|dim| dim.is(1)) {
            return None;
        }
        let factor = |id: &ValueId| match self.constant(*id) {
            Some(tensor) => known::Factor::of_constant(tensor),
            None => Some(known::Factor::Whole(self.known.get(id)?.first()?.clone())),
        };
        let dtype = result.dtype;
        known::Ratio::new(op, dtype, [factor(a)?, factor(b)?], &self.graph.variables)
    }

    /// The elements of the result, when those of the operands are known.
    fn evaluated(
        &mut self,
        op: &Op,
        inputs: &[Option<ValueId>],
        facts: &[Option<Fact>],
        result: &Fact,
    ) -> Option<Vec<Dim>> {
        // Constants fold; only whole floats that come from extents are followed.
        let is_float =
            result.dtype.is_float() || facts.iter().flatten().any(|f| f.dtype.is_float());
        if is_float && !inputs.iter().flatten().any(|v| self.known.contains_key(v)) {
            return None;
        }
        let operands: Vec<_> = inputs.iter().map(|i| i.and_then(|v| self.known(v))).collect();
        let elements = known::evaluate(op, &operands, facts, result, &self.graph.variables)?;
        let taken = elements.iter().map(|d| size_of::<Dim>() * (1 + d.weight())).sum();
        self.fold_bytes = self.fold_bytes.checked_sub(taken)?;
        Some(elements)
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<Option<ValueId>>, outputs: &[ValueId]) {
        self.budget.node();
        let outputs = outputs.iter().copied().map(Some).collect();
        self.graph.nodes.push(Node { name: name.to_owned(), op, inputs, outputs });
    }

    /// Adds a node with blocks; `results` are what is known of its results, by name.
    pub(super) fn push_control(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[ValueId],
        results: Vec<(String, Fact)>,
    ) -> Result<Vec<ValueId>, String> {
        results.iter().try_for_each(|(_, fact)| self.check_shape(&fact.shape))?;
        let inputs = inputs.iter().copied().map(Some).collect();
        let outputs: Vec<ValueId> =
            results.iter().map(|(name, fact)| self.graph.add_value(&**name, fact)).collect();
        self.push(name, op, inputs, &outputs);
        Ok(outputs)
    }

    /// Sees to it that some node computes a value that so far was only known.
    pub(super) fn materialise(&mut self, id: ValueId) {
        if !self.pending.remove(&id) {
            return;
        }
        let dims = self.known.get(&id).cloned().unwrap_or_default();
        let (name, fact) = (self.graph.value(id).name.clone(), self.fact(id));
        let vector = vec![Dim::Fixed(dims.len() as i64)];
        let mut stages = Vec::new();
        let mut at = Fact { dtype: DType::I64, shape: vector };
        stages.push((Op::Extents { dims }, at.clone()));
        if at.shape != fact.shape {
            at.shape = fact.shape.clone();
            stages.push((Op::Reshape { shape: at.shape.clone() }, at.clone()));
        }
        if at.dtype != fact.dtype {
            stages.push((Op::Cast { to: fact.dtype }, fact));
        }
        let last = stages.len() - 1;
        let mut input = None;
        for (i, (op, fact)) in stages.into_iter().enumerate() {
            let output = if i == last { id } else { self.graph.add_value(&*name, &fact) };
            let inputs = input.into_iter().collect();
            let node = Node { name: name.clone(), op, inputs, outputs: vec![Some(output)] };
            self.nodes_around(id).push(node);
            input = Some(Some(output));
        }
    }

    /// The results as constants, when all operands are and the results are not much larger.
    fn folded(
        &mut self,
        op: &Op,
        inputs: &[Option<ValueId>],
        results: &[Fact],
    ) -> Option<Vec<Tensor>> {
        // A dequantized constant is four times its size; whoever fuses wants the integers.
        if matches!(op, Op::DequantizeLinear(_)) || inputs.is_empty() {
            return None;
        }
        if let (Op::Reshape { .. }, [Some(id)], [result]) = (op, inputs, results) {
            let shape = result.shape.iter().map(|d| usize::try_from(d.fixed()?).ok());
            let shape: Vec<usize> = shape.collect::<Option<_>>()?;
            return Some(vec![self.constant(*id)?.reshaped(&shape)]);
        }
        let mut operands = Vec::with_capacity(inputs.len());
        for id in inputs {
            operands.push(match id {
                Some(id) => Some(self.constant(*id)?.clone()),
                None => None,
            });
        }
        let taken: usize = operands.iter().flatten().map(|t| t.bytes().len()).sum();
        let mut given = 0usize;
        for fact in results {
            let len = fact
                .shape
                .iter()
                .try_fold(1usize, |n, d| n.checked_mul(usize::try_from(d.fixed()?).ok()?))?;
            given = given.checked_add(len.checked_mul(fact.dtype.bytes())?)?;
        }
        let large = given > FREE_BYTES && given / 4 > taken;
        if large || given > self.fold_bytes.min(self.budget.left()) {
            return None;
        }
        let lens: Vec<u64> =
            operands.iter().flatten().map(|t| t.shape().iter().product::<usize>() as u64).collect();
        let made = given as u64 / results.iter().map(|f| f.dtype.bytes() as u64).max().unwrap_or(1);
        self.fold_work = self.fold_work.checked_sub(work(op, &lens, made))?;
        let tensors = (self.fold)(op, &operands, results)?;
        let fits = tensors.len() == results.len()
            && tensors.iter().zip(results).all(|(tensor, fact)| {
                let shape = tensor.shape().iter().map(|n| Dim::Fixed(*n as i64));
                tensor.dtype() == fact.dtype && shape.eq(fact.shape.iter().cloned())
            });
        self.fold_bytes -= given;
        fits.then_some(tensors)
    }

    /// Name of a graph input that a value is computed from.
    pub(super) fn source(&self, id: ValueId) -> Option<&str> {
        let mut wanted = BTreeSet::from([id]);
        for node in self.all_nodes().rev() {
            if node.outputs.iter().flatten().any(|o| wanted.contains(o)) {
                node.each_read(&mut |id| {
                    wanted.insert(id);
                });
            }
        }
        let port = self.graph.inputs.iter().find(|port| wanted.contains(&port.value))?;
        Some(&port.name)
    }

    /// Refuses shapes that no model of sense has, so that later arithmetic cannot overflow.
    pub(super) fn check_shape(&self, shape: &[Dim]) -> Result<(), String> {
        if shape.len() > MAX_RANK {
            return Err(format!(
                "a value has {} axes, at most {MAX_RANK} are supported",
                shape.len()
            ));
        }
        self.check_terms(shape)?;
        let mut elements = 1i64;
        for dim in shape {
            let (low, high) = dim.bounds(&self.graph.variables);
            if low < 0 {
                let dim = dim.display(&self.graph.variables);
                return Err(format!(
                    "the extent {dim} can become negative; narrow the --dim ranges"
                ));
            }
            elements = elements.saturating_mul(high.max(1));
        }
        if elements > MAX_ELEMENTS {
            return Err(format!("a value has {elements} elements, at most 2^32 are supported"));
        }
        Ok(())
    }

    fn check_terms(&self, dims: &[Dim]) -> Result<(), String> {
        let mut terms = 1usize;
        for dim in dims {
            terms = terms.saturating_mul(dim.products().count().max(1));
            if dim.weight() > MAX_WEIGHT || terms > MAX_TERMS {
                return Err("a shape is too complicated; give its open dimensions one size".into());
            }
        }
        Ok(())
    }
}
