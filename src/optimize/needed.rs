//! Only what the outputs need is computed.
//!
//! A slice, or whatever reads only part of its operand (a gather of the last step, a strided
//! convolution, a recurrent layer of which only the last state is read), is pushed back through
//! what computes the operand: operators then work on the rows, columns or steps that somebody
//! reads.
//!
//! Two sweeps. Backwards, each value gets the least part that holds what all its readers need
//! ([`Part`]: a strided window of each axis), and each node a plan: what it needs of its
//! operands, what it gives. Forwards, plans become nodes; an operand of which there is more than
//! a node needs is cut by a slice, which is a view. Nothing is computed twice: a value has one
//! part, whatever its readers need of it.
//!
//! Whole stay inputs, outputs, states, what blocks of control flow and operators without a rule
//! read, and axes of which only a run knows the cut.

mod constant;
mod movement;
mod normalize;
mod part;
mod pick;
mod pointwise;
mod price;
mod product;
mod recurrent;
mod reshape;
mod rules;
mod space;

use std::collections::HashMap;

use crate::graph::{Dim, Fact, Graph, Node, Op, ValueId};

use part::Part;
use rules::Step;

/// Factors in a window's bounds, beyond which it is not worth to reckon with them.
const HEAVIEST: usize = 64;

/// Runs the pass: in how many nodes less is computed.
pub(super) fn narrow(graph: &mut Graph) -> usize {
    let plans = plan(graph);
    if plans.iter().all(Option::is_none) {
        return 0;
    }
    let before = graph.clone();
    match Rewrite::new(graph).run(plans) {
        Some(count) if count > 0 => count,
        rewritten => {
            debug_assert!(rewritten.is_some(), "a rule is wrong about a shape\n{before}");
            *graph = before;
            0
        }
    }
}

/// Backwards: what becomes of each node; `None` where it stays as it is.
fn plan(graph: &mut Graph) -> Vec<Option<Vec<Step>>> {
    let nodes = std::mem::take(&mut graph.nodes);
    let mut needs = Needs(vec![None; graph.values.len()]);
    graph.outputs.iter().for_each(|port| needs.all(graph, port.value));
    let mut plans = vec![None; nodes.len()];
    for (node, slot) in nodes.iter().zip(&mut plans).rev() {
        let wanted: Vec<Option<Part>> =
            node.outputs.iter().map(|v| v.and_then(|v| needs.0[v.0 as usize].clone())).collect();
        let steps = rules::plan(graph, node, &wanted);
        match steps.filter(|steps| !matches!(&steps[..], [step] if step.is(node))) {
            None => node.each_read(&mut |v| needs.all(graph, v)),
            Some(steps) => {
                for (v, part) in steps.iter().flat_map(|step| step.operands.iter().flatten()) {
                    needs.also(graph, *v, part);
                }
                *slot = Some(steps);
            }
        }
    }
    graph.nodes = nodes;
    plans
}

/// What is needed of each value; values that plans add are not among them.
struct Needs(Vec<Option<Part>>);

impl Needs {
    fn also(&mut self, graph: &Graph, v: ValueId, part: &Part) {
        let Some(slot) = self.0.get_mut(v.0 as usize) else { return };
        let shape = &graph.value(v).shape;
        // What only a run knows is not known yet where the value is computed.
        let known = |dim: &Dim| !dim.is_measured(&graph.variables) && dim.weight() <= HEAVIEST;
        let mut part = part.clone();
        for (window, n) in part.0.iter_mut().zip(shape) {
            *window =
                window.take().filter(|w| known(&w.start) && known(&w.extent) && !w.hardly_cuts(n));
        }
        *slot = Some(match slot.take() {
            Some(other) => part.join(&other, shape),
            None => part,
        });
    }

    fn all(&mut self, graph: &Graph, v: ValueId) {
        self.also(graph, v, &Part::whole(graph.value(v).shape.len()));
    }
}

/// Forwards: plans become nodes.
struct Rewrite<'g> {
    graph: &'g mut Graph,
    /// Shapes before anything was cut: parts are parts of these.
    shapes: Vec<Vec<Dim>>,
    /// The part that there is of a value that is not whole.
    parts: HashMap<ValueId, Part>,
    /// Values that are others, element by element.
    same: HashMap<ValueId, ValueId>,
    /// Cuts that are made already.
    cuts: HashMap<(ValueId, Part), ValueId>,
    /// Values that must stay under their own name: outputs, and what blocks read.
    named: Vec<bool>,
    narrowed: usize,
}

impl<'g> Rewrite<'g> {
    fn new(graph: &'g mut Graph) -> Self {
        let mut named = vec![false; graph.values.len()];
        let mut name = |v: ValueId| named[v.0 as usize] = true;
        graph.outputs.iter().for_each(|port| name(port.value));
        for node in &graph.nodes {
            node.op.blocks().for_each(|block| block.each_read(&mut name));
        }
        Self {
            shapes: graph.values.iter().map(|value| value.shape.clone()).collect(),
            graph,
            parts: HashMap::new(),
            same: HashMap::new(),
            cuts: HashMap::new(),
            named,
            narrowed: 0,
        }
    }

    /// The number of nodes that compute less. `None` where a plan does not hold what it says.
    fn run(mut self, plans: Vec<Option<Vec<Step>>>) -> Option<usize> {
        let nodes = std::mem::take(&mut self.graph.nodes);
        for (mut node, plan) in nodes.into_iter().zip(plans) {
            let pays = |steps: &Vec<Step>| match &steps[..] {
                [step] => !self.reads_whole(&node) || self.pays(&node, step),
                _ => true,
            };
            if let Some(steps) = plan.filter(pays) {
                // Where a node becomes several, part of what it gave is not given any more.
                let mut less = steps.len() > 1;
                for step in steps {
                    less |= self.add(&node.name, step)?;
                }
                self.narrowed += usize::from(less);
                continue;
            }
            if !self.reads_whole(&node) {
                return None;
            }
            for v in node.inputs.iter_mut().flatten() {
                *v = self.resolve(*v);
            }
            self.graph.nodes.push(node);
        }
        Some(self.narrowed)
    }

    /// Whether everything that the node reads is there in whole.
    fn reads_whole(&self, node: &Node) -> bool {
        let mut whole = true;
        node.each_read(&mut |v| whole &= !self.parts.contains_key(&v));
        whole
    }

    /// Whether `step` is less work than `node`, of which all operands are there.
    fn pays(&self, node: &Node, step: &Step) -> bool {
        let shape = |v: ValueId| &self.shapes[v.0 as usize][..];
        price::pays(self.graph, node, step, shape)
    }

    fn resolve(&self, v: ValueId) -> ValueId {
        self.same.get(&v).copied().unwrap_or(v)
    }

    /// The part there is of a value.
    fn part(&self, v: ValueId) -> Part {
        let whole = || Part::whole(self.shapes[v.0 as usize].len());
        self.parts.get(&v).cloned().unwrap_or_else(whole)
    }

    /// Writes the node of a step, and the cuts of its operands before it. Whether less is
    /// computed; `None` where the shapes are not those of the step.
    fn add(&mut self, name: &str, step: Step) -> Option<bool> {
        let mut inputs = Vec::with_capacity(step.operands.len());
        for operand in step.operands {
            inputs.push(match operand {
                Some((v, part)) => Some(self.cut(v, part)?),
                None => None,
            });
        }
        let facts: Vec<_> = inputs.iter().map(|v| v.map(|v| self.graph.fact(v))).collect();
        let inferred = step.op.infer(&facts, &self.graph.variables).ok()?;
        let computes = !matches!(step.op, Op::Slice { .. } | Op::Reshape { .. });
        let mut outputs = Vec::with_capacity(step.results.len());
        let mut less = false;
        for (result, fact) in step.results.into_iter().zip(inferred) {
            outputs.push(result.as_ref().map(|(v, _)| *v));
            let Some((v, part)) = result else { continue };
            let value = self.graph.value_mut(v);
            if fact != (Fact { dtype: value.dtype, shape: part.shape(&self.shapes[v.0 as usize]) })
            {
                return None;
            }
            value.shape = fact.shape;
            if !part.is_whole() {
                less |= computes;
                self.parts.insert(v, part);
            }
        }
        let looks = match &step.op {
            Op::Slice { axes } => axes.is_empty(),
            Op::Reshape { shape } => inputs[0].is_some_and(|x| self.graph.value(x).shape == *shape),
            _ => false,
        };
        match (outputs.first().copied().flatten(), inputs.first().copied().flatten()) {
            (Some(y), Some(x)) if looks && !self.is_named(y) => {
                self.same.insert(y, x);
            }
            _ => {
                self.graph.nodes.push(Node { name: name.to_owned(), op: step.op, inputs, outputs })
            }
        }
        Some(less)
    }

    fn is_named(&self, v: ValueId) -> bool {
        self.named.get(v.0 as usize).is_some_and(|named| *named)
    }

    /// A value that is this part of `v`: a slice where there is more.
    fn cut(&mut self, v: ValueId, part: Part) -> Option<ValueId> {
        let axes = part.within(&self.part(v))?;
        let from = self.resolve(v);
        if axes.is_empty() {
            return Some(from);
        }
        let key = (v, part);
        if let Some(found) = self.cuts.get(&key) {
            return Some(*found);
        }
        let value = self.graph.value(from);
        let name = value.name.clone();
        let constant = value.constant.as_ref();
        let made = match constant.and_then(|tensor| constant::cut(tensor, &axes)) {
            Some(tensor) => self.graph.add_constant(name, tensor),
            None => {
                let made = self.graph.add_node(&name, Op::Slice { axes }, &[Some(from)], &[&name]);
                made.ok()?[0]
            }
        };
        self.cuts.insert(key, made);
        Some(made)
    }
}

#[cfg(test)]
mod tests;
