//! `If`: the branch that a constant condition takes, or both.

use crate::graph::ops::Branches;
use crate::graph::{Block, Dim, Fact, Op, ValueId, Variable};
use crate::onnx::error::ImportError;
use crate::onnx::ports::Scope;
use crate::tensor::DType;

use super::{Control, Frame, Imported, Walker};

impl<'m> Walker<'m, '_, '_> {
    pub(super) fn branch(&mut self, of: &Control<'_, 'm>, frame: &Frame<'m, '_>) -> Imported {
        let ([Some(condition)], [_, ..]) = (of.inputs, &of.node.output[..]) else {
            return of.fail("it needs one input, the condition, and an output");
        };
        of.only(&["then_branch", "else_branch"])?;
        let graphs = [of.graph("then_branch")?, of.graph("else_branch")?];
        if graphs.iter().any(|graph| !graph.input.is_empty()) {
            return of.fail("a branch with inputs is not supported");
        }
        let condition = self.condition(of, *condition)?;
        if let Some(taken) = self.builder.known(condition).and_then(|k| k.first()?.fixed()) {
            return self.body(of, graphs[usize::from(taken == 0)], Scope::new(), frame);
        }
        let mut blocks = Vec::with_capacity(2);
        for graph in graphs {
            self.builder.open_block();
            let results = self.body(of, graph, Scope::new(), frame);
            let results = results.map_err(|error| self.undecided(of, condition, error))?;
            self.given(of, &results)?;
            let nodes = self.builder.close_block();
            let results = results.into_iter().map(Some).collect();
            blocks.push(Block { nodes, results, extents: Vec::new() });
        }
        let [then, otherwise] = &mut blocks[..] else { return of.fail("a branch is missing") };
        if then.results.len() != otherwise.results.len() {
            return of.fail("its branches have different numbers of outputs");
        }
        let mut facts = Vec::with_capacity(then.results.len());
        for i in 0..then.results.len() {
            let fact = self.either(of, i, [&mut *then, &mut *otherwise]);
            facts.push(fact.map_err(|error| self.undecided(of, condition, error))?);
        }
        let names = (0..facts.len()).map(|i| of.output_name(i));
        let results = names.zip(facts.iter().cloned()).collect();
        let given: Vec<Vec<ValueId>> = (0..facts.len())
            .map(|i| [&then.results[i], &otherwise.results[i]].into_iter().flatten().copied())
            .map(Iterator::collect)
            .collect();
        let (then, otherwise) = (std::mem::take(then), std::mem::take(otherwise));
        let op = Op::If(Branches { then, otherwise, facts });
        let added = self.builder.push_control(&of.name.label(), op, &[condition], results);
        let added = added.map_err(|problem| of.problem(problem))?;
        for (given, result) in given.iter().zip(&added) {
            self.pass_text(of, given, *result)?;
        }
        Ok(added)
    }

    /// What hinders a branch, with the input that would settle which one is taken: a model that
    /// serves two rates or lengths often has a branch that cannot take the other's shapes.
    fn undecided(
        &self,
        of: &Control<'_, 'm>,
        condition: ValueId,
        because: ImportError,
    ) -> ImportError {
        if !matches!(because, ImportError::Node { .. } | ImportError::Attribute { .. }) {
            return because;
        }
        let Some(input) = self.builder.source(condition).map(str::to_owned) else { return because };
        let node = Box::new(of.name.clone());
        ImportError::Branch { node, input, because: Box::new(because) }
    }

    /// A condition as a value that is computed.
    pub(super) fn condition(&mut self, of: &Control<'_, 'm>, id: ValueId) -> Imported<ValueId> {
        let fact = self.builder.fact(id);
        if fact.dtype != DType::Bool || !self.builder.is_tensor(id) {
            return of.fail("the condition is not bool");
        }
        if crate::graph::dim::product(&fact.shape) != Dim::Fixed(1) {
            return of.fail("the condition is not one element");
        }
        self.builder.materialise(id);
        Ok(id)
    }

    /// Sees to it that nodes compute what a block gives.
    pub(super) fn given(&mut self, of: &Control<'_, 'm>, results: &[ValueId]) -> Imported<()> {
        for id in results {
            if !self.builder.is_tensor(*id) {
                return of.fail(
                    "a sequence or optional value enters or leaves a branch or an iteration that is \
                     chosen at run time, and is not only a list that each iteration adds one \
                     element to; export the model with tensors in its place",
                );
            }
            self.builder.materialise(*id);
        }
        Ok(())
    }

    /// What is known of result `i`, whichever block ran. An extent that differs is measured.
    fn either(
        &mut self,
        of: &Control<'_, 'm>,
        i: usize,
        mut blocks: [&mut Block; 2],
    ) -> Imported<Fact> {
        let ids = blocks.each_ref().map(|block| block.results.get(i).copied().flatten());
        let [Some(a), Some(b)] = ids else { return of.fail("a branch gives too little") };
        let (a, b) = (self.builder.fact(a), self.builder.fact(b));
        let name = of.output_name(i);
        if a.dtype != b.dtype {
            return of.fail(format!("{name:?} is {} or {}, by the branch", a.dtype, b.dtype));
        }
        if a.shape.len() != b.shape.len() {
            let (a, b) = (a.shape.len(), b.shape.len());
            return of.fail(format!("{name:?} has {a} or {b} axes, by the branch"));
        }
        let mut shape = Vec::with_capacity(a.shape.len());
        for (axis, (a, b)) in a.shape.into_iter().zip(b.shape).enumerate() {
            if a == b {
                shape.push(a);
                continue;
            }
            let variables = &self.builder.graph.variables;
            let ((a0, a1), (b0, b1)) = (a.bounds(variables), b.bounds(variables));
            let name = format!("{name}.{axis}");
            let variable =
                self.builder.add_variable(Variable::measured(name, a0.min(b0).max(0), a1.max(b1)));
            shape.push(Dim::var(variable));
            let [then, otherwise] = &mut blocks;
            then.extents.push((variable, a));
            otherwise.extents.push((variable, b));
        }
        Ok(Fact { dtype: a.dtype, shape })
    }
}
