//! `Scan`: a loop over slices of its inputs.

use crate::graph::ops::flow::reversed;
use crate::graph::ops::{Collected, SliceAxis};
use crate::graph::{Dim, Op, ValueId};
use crate::onnx::attributes::Attributes;
use crate::onnx::ports::Scope;

use super::repeat::Parts;
use super::{Control, Frame, Imported, Walker};

/// An operand that is taken apart.
struct Taken {
    id: ValueId,
    axis: usize,
    reverse: bool,
}

impl<'m> Walker<'m, '_, '_> {
    pub(super) fn scan(&mut self, of: &Control<'_, 'm>, frame: &Frame<'m, '_>) -> Imported {
        if frame.opsets.version("")? < 9 {
            return of.fail("the form of operator set 8 is not supported: export with set 9");
        }
        let graph = of.graph("body")?;
        let attributes = Attributes::new(&of.node.attribute, &frame.attributes);
        let wrong = |e: crate::onnx::attributes::AttributeProblem| {
            crate::onnx::error::ImportError::Attribute {
                node: Box::new(of.name.clone()),
                attribute: e.attribute,
                problem: e.problem,
            }
        };
        let ints = |name: &str, len: usize| {
            let list = attributes.ints(name).map_err(wrong)?;
            let list = list.map_or_else(|| vec![0; len], <[i64]>::to_vec);
            match list.len() == len {
                true => Ok(list),
                false => of.fail(format!("{name} has {} entries, expected {len}", list.len())),
            }
        };
        of.only(&[
            "body",
            "num_scan_inputs",
            "scan_input_axes",
            "scan_input_directions",
            "scan_output_axes",
            "scan_output_directions",
        ])?;
        let operands = of.inputs_from(0)?;
        let scanned = attributes.int("num_scan_inputs").map_err(wrong)?;
        let scanned = scanned.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let states = scanned.and_then(|n| operands.len().checked_sub(n));
        let Some(states) = states else {
            return of.fail("num_scan_inputs does not suit its inputs");
        };
        if graph.input.len() != operands.len() || graph.output.len() < states {
            return of.fail("the body does not suit its inputs and outputs");
        }
        let (initial, scanned) = operands.split_at(states);
        let axes = ints("scan_input_axes", scanned.len())?;
        let directions = ints("scan_input_directions", scanned.len())?;
        let mut taken = Vec::with_capacity(scanned.len());
        for ((id, axis), direction) in scanned.iter().zip(axes).zip(directions) {
            let axis = self.axis(of, axis, self.builder.fact(*id).shape.len())?;
            taken.push(Taken { id: *id, axis, reverse: direction != 0 });
        }
        self.given(of, scanned)?;
        let outputs = graph.output.len() - states;
        let axes = ints("scan_output_axes", outputs)?;
        let directions = ints("scan_output_directions", outputs)?;
        let directions: Vec<bool> = directions.into_iter().map(|d| d != 0).collect();
        self.over(of, (initial, &taken), (&axes, &directions), frame)
    }

    fn axis(&self, of: &Control<'_, 'm>, axis: i64, rank: usize) -> Imported<usize> {
        let from_front = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        let found = usize::try_from(from_front).ok().filter(|axis| *axis < rank);
        found.ok_or_else(|| of.problem(format!("there is no axis {axis} in rank {rank}")))
    }

    fn over(
        &mut self,
        of: &Control<'_, 'm>,
        (initial, taken): (&[ValueId], &[Taken]),
        (axes, directions): (&[i64], &[bool]),
        frame: &Frame<'m, '_>,
    ) -> Imported {
        let graph = of.graph("body")?;
        let extent = |of: &Taken| self.builder.fact(of.id).shape.get(of.axis).cloned();
        let Some(trips) = taken.first().and_then(extent) else {
            return of.fail("it scans nothing");
        };
        if taken.iter().any(|other| extent(other).as_ref() != Some(&trips)) {
            return of.fail("the inputs that it scans differ in length");
        }
        let names: Vec<String> = graph.input.iter().map(|info| info.name.clone()).collect();
        let body = self.open_body(of, &trips, initial, &names)?;
        let mut given = body.carried.clone();
        for part in taken {
            let counter = Dim::var(body.counter);
            let start = match part.reverse {
                true => reversed(&trips, &counter, &self.builder.graph.variables),
                false => counter,
            };
            let cut = SliceAxis { axis: part.axis, start, step: 1, extent: Dim::Fixed(1) };
            let slice = self.emit(of, Op::Slice { axes: vec![cut] }, &[part.id])?;
            let mut shape = self.builder.fact(slice).shape;
            shape.remove(part.axis);
            let slice = self.emit(of, Op::Reshape { shape }, &[slice])?;
            self.pass_text(of, &[part.id], slice)?;
            given.push(slice);
        }
        let scope: Scope = names.iter().cloned().zip(given).collect();
        let results = self.body(of, graph, scope, frame)?;
        let (next, pieces) = results.split_at(initial.len());
        let mut kinds = Vec::with_capacity(pieces.len());
        for ((piece, axis), reverse) in pieces.iter().zip(axes).zip(directions) {
            let axis = self.axis(of, *axis, self.builder.fact(*piece).shape.len() + 1)?;
            kinds.push(Collected { axis, reverse: *reverse });
        }
        let block = self.close_body(of, &body, next.to_vec(), (pieces, &kinds))?;
        let parts = Parts { body, block, kinds, extent: trips.clone(), trips };
        self.push_loop(of, parts, initial, (false, false))
    }

    /// `SequenceMap`: its body once for each element.
    pub(super) fn map(&mut self, of: &Control<'_, 'm>, frame: &Frame<'m, '_>) -> Imported {
        of.only(&["body"])?;
        let graph = of.graph("body")?;
        let operands = of.inputs_from(0)?;
        let sequence = |id: &ValueId| self.builder.sequence(*id).map(<[ValueId]>::to_vec);
        let lists: Vec<Option<Vec<ValueId>>> = operands.iter().map(sequence).collect();
        let Some(len) = lists.first().and_then(Option::as_ref).map(Vec::len) else {
            return of.fail("its first input is no sequence of known length");
        };
        if lists.iter().flatten().any(|list| list.len() != len) {
            return of.fail("its sequences differ in length");
        }
        let mut results = vec![Vec::with_capacity(len); graph.output.len()];
        for i in 0..len {
            let given = operands.iter().zip(&lists).map(|(id, list)| match list {
                Some(list) => list.get(i).copied().unwrap_or(*id),
                None => *id,
            });
            let names = graph.input.iter().map(|info| info.name.clone());
            let values = self.body(of, graph, names.zip(given).collect(), frame)?;
            results.iter_mut().zip(values).for_each(|(list, value)| list.push(value));
        }
        let name = |i: usize| of.output_name(i);
        let add = |(i, list)| self.builder.add_sequence(&name(i), list);
        Ok(results.into_iter().enumerate().map(add).collect())
    }
}
