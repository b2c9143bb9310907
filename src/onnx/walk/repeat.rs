//! `Loop`: iterations written out where they are few, else a block that runs again.
//!
//! A short loop of known length is written out: shapes may then change from one iteration to the
//! next, values may be sequences, and what depends on the number of the iteration folds. Beyond
//! a few hundred nodes the program would grow for nothing: its steps cost more cache than the
//! jump that they save.

use crate::graph::ops::{Collected, Compare, Logic, Loop};
use crate::graph::{Block, Dim, Fact, Op, Tensor, ValueId, VarId, Variable};
use crate::onnx::error::ImportError;
use crate::onnx::ports::Scope;
use crate::onnx::proto::GraphProto;
use crate::tensor::DType;

use super::grow::Growth;
use super::{Control, Frame, Imported, Walker};

/// Iterations that are written out at most, and the nodes that they become.
const UNROLLED_TRIPS: i64 = 64;
const UNROLLED_NODES: usize = 1024;
/// Nodes that are visited to write a loop out, those of functions and loops in it included.
const TRIED_NODES: usize = 8192;
/// Iterations of a loop at most.
const MAX_TRIPS: i64 = 1 << 24;

/// What an iteration of a loop gives.
enum Ended {
    /// All of them: the last values, and what each iteration adds to what is collected.
    Known(Vec<ValueId>, Vec<Vec<ValueId>>),
    /// Whether there is another one is decided at run time.
    AtRunTime,
}

/// When a loop ends.
pub(super) struct Length {
    /// Iterations at most.
    pub(super) trips: Dim,
    /// The number of iterations, where it is decided at run time.
    pub(super) limit: Option<ValueId>,
    /// The first condition, where it is decided at run time.
    pub(super) first: Option<ValueId>,
    /// The model does not bound the number, the caller does.
    pub(super) strict: bool,
}

/// A block under construction that runs again.
pub(super) struct Body {
    pub(super) counter: VarId,
    pub(super) done: VarId,
    pub(super) carried: Vec<ValueId>,
}

impl<'m> Walker<'m, '_, '_> {
    pub(super) fn repeat(&mut self, of: &Control<'_, 'm>, frame: &Frame<'m, '_>) -> Imported {
        of.only(&["body"])?;
        let graph = of.graph("body")?;
        let initial = of.inputs_from(2)?;
        let carried = initial.len();
        if graph.input.len() != carried + 2 || graph.output.len() < carried + 1 {
            let (inputs, outputs) = (graph.input.len(), graph.output.len());
            return of.fail(format!(
                "the body has {inputs} inputs and {outputs} outputs, which does not suit the \
                 {carried} values that are carried"
            ));
        }
        if let Some(limit) = of.input(0) {
            let fact = self.builder.fact(limit);
            let one = crate::graph::dim::product(&fact.shape) == Dim::Fixed(1);
            if fact.dtype != DType::I64 || !one || !self.builder.is_tensor(limit) {
                return of.fail("the number of iterations is not one i64");
            }
        }
        let first = of.input(1).map(|id| self.condition(of, id)).transpose()?;
        if let Some(id) = of.input(0)
            && self.known_one(id).is_none()
            && self.builder.is_bounded(id)
        {
            self.builder.measured(id);
        }
        let limit = of.input(0).and_then(|id| self.known_one(id));
        let starts = first.map_or(Some(true), |id| Some(self.known_one(id)?.fixed()? != 0));
        let trips = match (of.input(0), &limit) {
            (None, _) => Some(i64::MAX),
            (_, Some(limit)) => limit.fixed(),
            _ => None,
        };
        if let (Some(trips), Some(true)) = (trips, starts)
            && trips > 0
        {
            let nodes = count_nodes(graph);
            let most = trips.min(UNROLLED_TRIPS);
            if most as usize * nodes <= UNROLLED_NODES {
                let (mark, scopes) = (self.builder.mark(), self.scopes.len());
                // Loops in loops and functions multiply: only so many nodes are tried.
                let kept = self.nodes_left.saturating_sub(TRIED_NODES);
                self.nodes_left -= kept;
                let ended = self.written_out(of, graph, &initial, trips, frame);
                let exhausted = self.nodes_left == 0 && kept > 0;
                self.nodes_left += kept;
                match ended {
                    Ok(Ended::Known(values, pieces)) => return self.joined(of, values, pieces),
                    Err(error) if !exhausted => return Err(error),
                    Ok(Ended::AtRunTime) | Err(_) => {
                        self.builder.go_back(mark);
                        self.scopes.truncate(scopes);
                    }
                }
            }
        }
        let length = self.length(of, limit, (first, starts))?;
        self.rolled(of, graph, &initial, length, frame)
    }

    fn known_one(&self, id: ValueId) -> Option<Dim> {
        match &self.builder.known(id)?[..] {
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// The iterations one behind the other.
    fn written_out(
        &mut self,
        of: &Control<'_, 'm>,
        graph: &'m GraphProto,
        initial: &[ValueId],
        trips: i64,
        frame: &Frame<'m, '_>,
    ) -> Imported<Ended> {
        let mut values = initial.to_vec();
        let mut pieces = vec![Vec::new(); graph.output.len() - 1 - values.len()];
        for i in 0..trips.min(UNROLLED_TRIPS) {
            let number = self.builder.add_constant("iteration", Tensor::scalar(i));
            let holds = Tensor::from_bytes(DType::Bool, &[], &[1]);
            let holds = self.builder.add_constant("condition", holds);
            let given = [number, holds].into_iter().chain(values.iter().copied());
            let names = graph.input.iter().map(|info| info.name.clone());
            let results = self.body(of, graph, names.zip(given).collect(), frame)?;
            let Some((next, rest)) = results.split_first() else {
                return of.fail("the body gives no condition");
            };
            let (carried, collected) = rest.split_at(values.len());
            values = carried.to_vec();
            pieces.iter_mut().zip(collected).for_each(|(list, piece)| list.push(*piece));
            match self.known_one(*next).and_then(|k| k.fixed()) {
                Some(0) if of.input(1).is_some() => return Ok(Ended::Known(values, pieces)),
                Some(0) => return of.fail(LEFT_OUT),
                Some(_) => {}
                None => return Ok(Ended::AtRunTime),
            }
        }
        Ok(if trips > UNROLLED_TRIPS { Ended::AtRunTime } else { Ended::Known(values, pieces) })
    }

    /// The last values, and the pieces of all iterations one behind the other.
    fn joined(
        &mut self,
        of: &Control<'_, 'm>,
        mut values: Vec<ValueId>,
        pieces: Vec<Vec<ValueId>>,
    ) -> Imported {
        for list in pieces {
            let mut rows = Vec::with_capacity(list.len());
            for piece in &list {
                rows.push(Some(self.with_axis(of, *piece, 0)?));
            }
            let op = Op::Concat { axis: 0 };
            let label = of.name.label();
            let joined =
                self.builder.emit(&label, op, &rows).map_err(|problem| of.problem(problem))?;
            for id in joined {
                self.pass_text(of, &list, id)?;
                values.push(id);
            }
        }
        Ok(values)
    }

    /// A value with an axis of extent one put in.
    pub(super) fn with_axis(
        &mut self,
        of: &Control<'_, 'm>,
        id: ValueId,
        axis: usize,
    ) -> Imported<ValueId> {
        let mut shape = self.builder.fact(id).shape;
        shape.insert(axis.min(shape.len()), Dim::Fixed(1));
        let result = self.emit(of, Op::Reshape { shape }, &[id])?;
        self.pass_text(of, &[id], result)?;
        Ok(result)
    }

    /// Adds an operator with one result.
    pub(super) fn emit(
        &mut self,
        of: &Control<'_, 'm>,
        op: Op,
        inputs: &[ValueId],
    ) -> Imported<ValueId> {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        let results = self.builder.emit(&of.name.label(), op, &inputs);
        let results = results.map_err(|problem| of.problem(problem))?;
        results.first().copied().ok_or_else(|| of.problem("an operator has no result"))
    }

    /// When a loop ends that is not written out.
    fn length(
        &mut self,
        of: &Control<'_, 'm>,
        limit: Option<Dim>,
        (first, starts): (Option<ValueId>, Option<bool>),
    ) -> Imported<Length> {
        let zero = Dim::Fixed(0);
        let variables = &self.builder.graph.variables;
        let mut length = Length {
            trips: Dim::Fixed(i64::MAX),
            limit: None,
            first: first.filter(|_| starts.is_none()),
            strict: false,
        };
        match (limit, of.input(0)) {
            (Some(known), _) => length.trips = Dim::max(&known, &zero, variables),
            (None, limit) => length.limit = limit,
        }
        if starts == Some(false) {
            length.trips = zero;
        }
        if length.trips.upper(variables) > MAX_TRIPS {
            let label = of.name.label();
            let Some(bound) = self.trips.get(&label) else {
                return Err(self.unbounded(of, length.limit));
            };
            if *bound == 0 || *bound as u64 > MAX_TRIPS as u64 {
                return of.fail(format!("1 to {MAX_TRIPS} iterations are supported"));
            }
            self.bounded.insert(label);
            length.trips = Dim::Fixed(*bound as i64);
            length.strict = true;
        }
        Ok(length)
    }

    /// The error for a loop that nothing bounds.
    fn unbounded(&self, of: &Control<'_, 'm>, limit: Option<ValueId>) -> ImportError {
        let bound = format!("Options::max_trips, or --max-trips {}=N", of.name.label());
        match limit.and_then(|id| self.builder.source(id)) {
            Some(name) => ImportError::NotConstant {
                node: Box::new(of.name.clone()),
                input: of.node.input.first().cloned().unwrap_or_default(),
                hint: format!(
                    "it comes from the graph input {name:?}: bound the number of iterations \
                     ({bound}), or give that input a fixed value (Options::bind_value, or \
                     --value {name}=FILE.npy)"
                ),
            },
            None => of.problem(format!(
                "the number of iterations is decided at run time; bound it ({bound})"
            )),
        }
    }

    /// The dimensions that count, and values that are carried, like `initial`; begins the block.
    pub(super) fn open_body(
        &mut self,
        of: &Control<'_, 'm>,
        trips: &Dim,
        initial: &[ValueId],
        names: &[String],
    ) -> Imported<Body> {
        self.given(of, initial)?;
        let (label, most) = (of.name.label(), trips.upper(&self.builder.graph.variables));
        let counter = self.builder.add_variable(Variable::measured(
            format!("{label}.i"),
            0,
            (most - 1).max(0),
        ));
        let done = self.builder.add_variable(Variable::measured(format!("{label}.n"), 0, most));
        self.builder.open_block();
        let mut carried = Vec::with_capacity(initial.len());
        for (id, name) in initial.iter().zip(names) {
            let fact = self.builder.fact(*id);
            let value = self.builder.graph.add_value(&**name, &fact);
            self.pass_text(of, &[*id], value)?;
            carried.push(value);
        }
        Ok(Body { counter, done, carried })
    }

    fn rolled(
        &mut self,
        of: &Control<'_, 'm>,
        graph: &'m GraphProto,
        initial: &[ValueId],
        length: Length,
        frame: &Frame<'m, '_>,
    ) -> Imported {
        let names: Vec<String> = graph.input.iter().map(|info| info.name.clone()).collect();
        let grows: Vec<Option<Growth>> =
            (0..initial.len()).map(|i| self.growth(graph, initial, i)).collect();
        let kept = |of: &[ValueId]| -> Vec<ValueId> {
            of.iter().zip(&grows).filter(|(_, g)| g.is_none()).map(|(id, _)| *id).collect()
        };
        let named = names[2..].iter().zip(&grows).filter(|(_, grows)| grows.is_none());
        let kept_names: Vec<String> = named.map(|(name, _)| name.clone()).collect();
        let mut body = self.open_body(of, &length.trips, &kept(initial), &kept_names)?;
        let scalar = |dtype| Fact { dtype, shape: Vec::new() };
        let number = Dim::var(body.counter);
        let next = number.clone() + Dim::Fixed(1);
        let number = self.builder.add_known(&names[0], &scalar(DType::I64), vec![number]);
        let holds = Tensor::from_bytes(DType::Bool, &[], &[1]);
        let holds = self.builder.add_constant(&names[1], holds);
        let mut given = vec![number, holds];
        let mut carried = body.carried.iter().copied();
        for (grows, id) in grows.iter().zip(initial) {
            match grows {
                Some(growth) => given.push(self.nothing(of, *growth, *id)?),
                None => given.extend(carried.next()),
            }
        }
        let scope: Scope = names.iter().cloned().zip(given).collect();
        let results = self.body(of, graph, scope, frame)?;
        let Some((goes_on, rest)) = results.split_first() else {
            return of.fail("the body gives no condition");
        };
        let goes_on = self.condition(of, *goes_on)?;
        let always = self.known_one(goes_on).and_then(|k| k.fixed()).map(|k| k != 0);
        if of.input(1).is_none() && always != Some(true) {
            return of.fail(LEFT_OUT);
        }
        let (carried, collected) = rest.split_at(initial.len());
        let mut next_values = kept(carried);
        let mut first_values = kept(initial);
        let mut pieces = collected.to_vec();
        for (id, growth) in carried.iter().zip(&grows) {
            if let Some(growth) = growth {
                pieces.push(self.piece(of, *growth, *id)?);
            }
        }
        let kept_len = next_values.len();
        let conditional = always != Some(true) || length.limit.is_some() || length.first.is_some();
        if conditional {
            // The condition is carried too: it is what the loop looks at.
            let mut goes_on = self.scalar_of(of, goes_on)?;
            if let Some(limit) = length.limit {
                let limit = self.scalar_of(of, limit)?;
                let next = self.builder.add_known("next", &scalar(DType::I64), vec![next]);
                let within = self.emit(of, Op::Compare(Compare::Less), &[next, limit])?;
                goes_on = self.emit(of, Op::Logic(Logic::And), &[goes_on, within])?;
            }
            next_values.insert(0, goes_on);
            let name = format!("{}:goes on", of.name.label());
            let carried = self.builder.graph.add_value(name, &scalar(DType::Bool));
            body.carried.insert(0, carried);
        }
        let kinds = vec![Collected { axis: 0, reverse: false }; pieces.len()];
        let extent = if conditional { Dim::var(body.done) } else { length.trips.clone() };
        let block = self.close_body(of, &body, next_values, (&pieces, &kinds))?;
        if conditional {
            let mut first = match length.first {
                Some(first) => self.scalar_of(of, first)?,
                None => holds,
            };
            if let Some(limit) = length.limit {
                let limit = self.scalar_of(of, limit)?;
                let zero = self.builder.add_constant("zero", Tensor::scalar(0i64));
                let any = self.emit(of, Op::Compare(Compare::Less), &[zero, limit])?;
                first = self.emit(of, Op::Logic(Logic::And), &[first, any])?;
            }
            self.given(of, &[first])?;
            first_values.insert(0, first);
        }
        let parts = Parts { body, block, kinds, trips: length.trips, extent };
        let outputs = self.push_loop(of, parts, &first_values, (conditional, length.strict))?;
        let mut outputs = outputs.into_iter().skip(usize::from(conditional));
        let mut last: std::vec::IntoIter<ValueId> =
            outputs.by_ref().take(kept_len).collect::<Vec<_>>().into_iter();
        let collected: Vec<ValueId> = outputs.by_ref().take(collected.len()).collect();
        let mut values = Vec::with_capacity(grows.len() + collected.len());
        for (i, (growth, id)) in grows.iter().zip(initial).enumerate() {
            match growth {
                Some(growth) => {
                    let Some(grown) = outputs.next() else {
                        return of.fail("an output is missing");
                    };
                    values.push(self.grown(of, *growth, (*id, grown), i)?);
                }
                None => values.extend(last.next()),
            }
        }
        values.extend(collected);
        Ok(values)
    }

    fn scalar_of(&mut self, of: &Control<'_, 'm>, id: ValueId) -> Imported<ValueId> {
        if self.builder.fact(id).shape.is_empty() {
            return Ok(id);
        }
        self.emit(of, Op::Reshape { shape: Vec::new() }, &[id])
    }

    /// Ends the block: its results are the next values, which must be like those before, and the
    /// pieces that are collected.
    pub(super) fn close_body(
        &mut self,
        of: &Control<'_, 'm>,
        body: &Body,
        next: Vec<ValueId>,
        (pieces, kinds): (&[ValueId], &[Collected]),
    ) -> Imported<Block> {
        let mut results = next;
        for (before, after) in body.carried.iter().zip(&results) {
            let (old, new) = (self.builder.fact(*before), self.builder.fact(*after));
            if old != new {
                let name = &self.builder.graph.value(*before).name;
                let show = |fact: &Fact| {
                    let variables = &self.builder.graph.variables;
                    let dims = fact.shape.iter().map(|d| d.display(variables).to_string());
                    format!("{}[{}]", fact.dtype, dims.collect::<Vec<_>>().join(", "))
                };
                return of.fail(format!(
                    "the value {name:?} is {} before an iteration and {} after it; only a short \
                     loop of known length may change the shape of what it carries",
                    show(&old),
                    show(&new)
                ));
            }
            self.pass_text(of, &[*before, *after], *after)?;
        }
        for (piece, kind) in pieces.iter().zip(kinds) {
            self.given(of, &[*piece])?;
            let mut varies = false;
            for dim in &self.builder.fact(*piece).shape {
                dim.variables(&mut |id| varies |= id.0 >= body.counter.0);
            }
            if varies {
                return of.fail(
                    "what it collects has another shape in each iteration; only a short loop of \
                     known length may do that",
                );
            }
            results.push(self.with_axis(of, *piece, kind.axis)?);
        }
        self.given(of, &results)?;
        let nodes = self.builder.close_block();
        let results = results.into_iter().map(Some).collect();
        Ok(Block { nodes, results, extents: Vec::new() })
    }

    /// Adds the loop: its outputs, the last values and what is collected.
    pub(super) fn push_loop(
        &mut self,
        of: &Control<'_, 'm>,
        parts: Parts,
        initial: &[ValueId],
        (conditional, strict): (bool, bool),
    ) -> Imported {
        let Parts { body, block, kinds, trips, extent } = parts;
        let mut facts: Vec<Fact> = body.carried.iter().map(|id| self.builder.fact(*id)).collect();
        let pieces = block.results.get(facts.len()..).unwrap_or_default();
        let given: Vec<ValueId> =
            body.carried.iter().chain(pieces.iter().flatten()).copied().collect();
        for (piece, kind) in pieces.iter().flatten().zip(&kinds) {
            let mut fact = self.builder.fact(*piece);
            if let Some(one) = fact.shape.get_mut(kind.axis) {
                one.clone_from(&extent);
            }
            facts.push(fact);
        }
        let shift = usize::from(conditional);
        let names = (0..facts.len()).map(|i| match i.checked_sub(shift) {
            Some(i) => of.output_name(i),
            None => format!("{}:went on", of.name.label()),
        });
        let results = names.zip(facts.iter().cloned()).collect();
        let op = Op::Loop(Loop {
            trips,
            counter: body.counter,
            done: body.done,
            conditional,
            strict,
            carried: body.carried,
            collected: kinds,
            body: block,
            facts,
        });
        let added = self.builder.push_control(&of.name.label(), op, initial, results);
        let added = added.map_err(|problem| of.problem(problem))?;
        for (given, result) in given.iter().zip(&added) {
            self.pass_text(of, &[*given], *result)?;
        }
        Ok(added)
    }
}

/// What a loop is made of.
pub(super) struct Parts {
    pub(super) body: Body,
    pub(super) block: Block,
    pub(super) kinds: Vec<Collected>,
    pub(super) trips: Dim,
    /// The extent of what is collected.
    pub(super) extent: Dim,
}

const LEFT_OUT: &str = "its condition is left out, but the body computes one that can end the \
                        loop: connect the condition, or make the body's always true";

/// Nodes of a graph, those of graphs in it included.
fn count_nodes(graph: &GraphProto) -> usize {
    let mut open = vec![graph];
    let mut nodes = 0;
    while let Some(graph) = open.pop() {
        nodes += graph.node.len();
        let attributes = graph.node.iter().flat_map(|node| &node.attribute);
        open.extend(attributes.flat_map(|a| a.g.iter().chain(&a.graphs)));
    }
    nodes
}
