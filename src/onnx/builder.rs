//! The graph under construction: operators in, values with known facts out.
//!
//! Every value's shape passes one check, constants are folded on the way, and shape arithmetic
//! is kept symbolic until somebody needs it as data.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Dim, Fact, Graph, Node, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::{Fold, known};

/// Most elements of a value.
const MAX_ELEMENTS: i64 = 1 << 32;
/// Most axes of a value.
const MAX_RANK: usize = 16;
/// Greatest weight of a dimension.
const MAX_WEIGHT: usize = 64;
/// Most products in the expanded element count of a value.
const MAX_TERMS: usize = 1 << 10;
/// A folded result larger than this must not be much larger than its operands.
const FREE_BYTES: usize = 1 << 20;

/// A graph that grows.
pub(super) struct Builder<'f> {
    pub(super) graph: Graph,
    fold: &'f mut Fold<'f>,
    /// Elements of values that are no constants but known.
    known: BTreeMap<ValueId, Vec<Dim>>,
    /// Known values that no node computes yet.
    pending: BTreeSet<ValueId>,
    /// Values of one float whose floor is known.
    ratios: BTreeMap<ValueId, known::Ratio>,
    /// Bytes that constants made here may still take.
    fold_bytes: usize,
}

impl<'f> Builder<'f> {
    /// An empty graph; folding takes memory in proportion to `model_bytes`.
    pub(super) fn new(fold: &'f mut Fold<'f>, model_bytes: usize) -> Self {
        Self {
            graph: Graph::default(),
            fold,
            known: BTreeMap::new(),
            pending: BTreeSet::new(),
            ratios: BTreeMap::new(),
            fold_bytes: model_bytes.saturating_mul(4).saturating_add(16 << 20),
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
        self.graph.add_constant(name, tensor)
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
        for dims in attribute_dims(&op) {
            self.check_terms(dims)?;
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
        let outputs = outputs.iter().copied().map(Some).collect();
        self.graph.nodes.push(Node { name: name.to_owned(), op, inputs, outputs });
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
            self.push(&name, op, input.into_iter().collect(), &[output]);
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
        if large || given > self.fold_bytes {
            return None;
        }
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
        for node in self.graph.nodes.iter().rev() {
            if node.outputs.iter().flatten().any(|o| wanted.contains(o)) {
                wanted.extend(node.inputs.iter().flatten());
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

/// Dimensions that an operator carries.
fn attribute_dims(op: &Op) -> Vec<&[Dim]> {
    match op {
        Op::Extents { dims } => vec![dims],
        Op::Reshape { shape } | Op::Expand { shape } | Op::Fill { shape } => vec![shape],
        Op::Tile { repeats } => vec![repeats],
        Op::Pad(pad) => vec![&pad.before, &pad.after],
        Op::Range { len } => vec![std::slice::from_ref(len)],
        Op::OneHot { depth, .. } => vec![std::slice::from_ref(depth)],
        Op::TopK(op) => vec![std::slice::from_ref(&op.k)],
        Op::Slice { axes } => {
            let one = std::slice::from_ref;
            axes.iter().flat_map(|cut| [one(&cut.start), one(&cut.extent)]).collect()
        }
        _ => Vec::new(),
    }
}
