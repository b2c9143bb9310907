//! Recurrent layers: time up to the last step that is read; of one step that is the last, the
//! state instead of the sequence.

use crate::graph::ops::{Direction, Recurrent};
use crate::graph::{Dim, Fact, Op, ValueId};

use super::part::{Part, Window};
use super::rules::{Call, Portion, Step};

/// Operands of a recurrent layer, by their axes.
const X: usize = 0;
const LENGTHS: usize = 4;
const STATES: [usize; 2] = [5, 6];

/// Axes of the operands and results.
struct Axes {
    time: usize,
    batch: usize,
    /// In the sequence: time, direction, batch.
    y: [usize; 3],
    /// In a state: direction, batch.
    state: [usize; 2],
}

const TIME_MAJOR: Axes = Axes { time: 0, batch: 1, y: [0, 1, 2], state: [0, 1] };
const BATCH_MAJOR: Axes = Axes { time: 1, batch: 0, y: [1, 2, 0], state: [1, 0] };

/// A layer with one direction: what it needs, and of which shape what it gives is.
pub(super) fn recurrent(call: &mut Call<'_>, op: &Recurrent) -> Option<Vec<Step>> {
    let axes = if op.batch_major { BATCH_MAJOR } else { TIME_MAJOR };
    let wanted = |i: usize| call.wanted.get(i).and_then(Option::as_ref);
    let batches: Vec<Option<Window>> = [(0, axes.y[2]), (1, axes.state[1]), (2, axes.state[1])]
        .into_iter()
        .filter_map(|(i, axis)| Some(wanted(i)?.0[axis].clone()))
        .collect();
    let n = [call.shape(call.operand(X)?)[axes.batch].clone()];
    let hull = |a: Part, b: Part| a.join(&b, &n);
    let batch = batches.into_iter().map(|w| Part(vec![w])).reduce(hull)?.0.remove(0);
    let states_read = wanted(1).is_some() || wanted(2).is_some();
    let steps = wanted(0).and_then(|part| part.0[axes.y[0]].clone());
    let lengths = call.operand(LENGTHS).is_some();
    let layer = Layer { op, axes, batch };
    let short = match steps {
        Some(steps) if !lengths => layer.of_steps(call, &steps, states_read),
        _ => None,
    };
    short.or_else(|| Some(vec![layer.whole(call)?]))
}

struct Layer<'a> {
    op: &'a Recurrent,
    axes: Axes,
    /// Which sequences of the batch are needed.
    batch: Option<Window>,
}

impl Layer<'_> {
    fn needs(&self, call: &Call<'_>, i: usize, v: ValueId, time: Option<&Window>) -> Part {
        let mut part = Part::whole(call.rank(v));
        if i == X {
            part.0[self.axes.time] = time.cloned();
            part.0[self.axes.batch].clone_from(&self.batch);
        } else if i == LENGTHS {
            part.0[0].clone_from(&self.batch);
        } else if STATES.contains(&i) {
            part.0[self.axes.state[1]].clone_from(&self.batch);
        }
        part
    }

    fn y(&self, time: Option<Window>) -> Part {
        let mut part = Part::whole(4);
        part.0[self.axes.y[0]] = time;
        part.0[self.axes.y[2]].clone_from(&self.batch);
        part
    }

    fn state(&self) -> Part {
        let mut part = Part::whole(3);
        part.0[self.axes.state[1]].clone_from(&self.batch);
        part
    }

    /// All of time.
    fn whole(&self, call: &Call<'_>) -> Option<Step> {
        let gives = [self.y(None), self.state(), self.state()];
        let needs = |i, v| self.needs(call, i, v, None);
        let mut step = Step::of(call.node, Op::Recurrent(self.op.clone()), needs, &gives);
        // Results that nobody reads.
        for (result, wanted) in step.results.iter_mut().zip(call.wanted) {
            *result = result.take().filter(|_| wanted.is_some());
        }
        Some(step)
    }

    /// Where `steps` of the sequence are read: time up to the last of them, in the direction of
    /// time. Where the states are read as well, all of it.
    fn of_steps(
        &self,
        call: &mut Call<'_>,
        steps: &Window,
        states_read: bool,
    ) -> Option<Vec<Step>> {
        let n = call.shape(call.operand(X)?)[self.axes.time].clone();
        let one = steps.extent.is(1);
        let end = steps.start.clone()
            + (steps.extent.clone() - Dim::Fixed(1)) * Dim::Fixed(steps.step)
            + Dim::Fixed(1);
        if steps.extent.bounds(&call.graph.variables).0 < 1 {
            return None;
        }
        let prefix = Window::over(&n, Dim::Fixed(0), 1, end);
        let rest = n.clone() - steps.start.clone();
        let suffix = Window::over(&n, steps.start.clone(), 1, rest);
        let time = match self.op.direction {
            Direction::Forward => prefix,
            Direction::Reverse => suffix,
            Direction::Bidirectional if one && !states_read => {
                return self.split(call, steps, [prefix, suffix]);
            }
            Direction::Bidirectional => return None,
        };
        if states_read && time.is_some() {
            return None;
        }
        let mut step = self.whole(call)?;
        let x = step.operands.first_mut()?.as_mut()?;
        x.1.0[self.axes.time].clone_from(&time);
        if !one {
            step.results.first_mut()?.as_mut()?.1.0[self.axes.y[0]] = time;
            return Some(vec![step]);
        }
        let (y, _) = step.results.first_mut()?.take()?;
        let state = match step.results.get_mut(1)? {
            Some((state, _)) => *state,
            unread => {
                let state = call.node.outputs.get(1).copied().flatten();
                let state = state.or_else(|| self.new_state(call, 0))?;
                *unread = Some((state, self.state()));
                state
            }
        };
        Some(vec![step, self.as_sequence(call, (state, self.state()), (y, steps))?])
    }

    /// A value for a state that the node does not give.
    fn new_state(&self, call: &mut Call<'_>, directions: i64) -> Option<ValueId> {
        let y = call.node.outputs.first().copied().flatten()?;
        let value = call.graph.value(y);
        let mut shape = value.shape.clone();
        shape.remove(self.axes.y[0]);
        if directions > 0 {
            shape[self.axes.state[0]] = Dim::Fixed(directions);
        }
        let (name, dtype) = (value.name.clone(), value.dtype);
        Some(call.graph.add_value(name, &Fact { dtype, shape }))
    }

    /// A state as the one step of the sequence that it is.
    fn as_sequence(
        &self,
        call: &Call<'_>,
        state: (ValueId, Part),
        (y, steps): (ValueId, &Window),
    ) -> Option<Step> {
        let part = self.y(Some(steps.clone()));
        let shape = part.shape(call.shape(y));
        let results = vec![Some((y, part))];
        Some(Step { op: Op::Reshape { shape }, operands: vec![Some(state)], results })
    }

    /// One step of a layer with both directions: a layer for each, of which the states are read.
    fn split(
        &self,
        call: &mut Call<'_>,
        steps: &Window,
        times: [Option<Window>; 2],
    ) -> Option<Vec<Step>> {
        let y = call.node.outputs.first().copied().flatten()?;
        let activations = self.op.cell.activations();
        let mut nodes = Vec::new();
        let mut states: Vec<Portion> = Vec::new();
        for (d, (time, direction)) in
            times.iter().zip([Direction::Forward, Direction::Reverse]).enumerate()
        {
            let own = self.op.activations.get(d * activations..(d + 1) * activations)?.to_vec();
            let op = Recurrent { direction, activations: own, ..self.op.clone() };
            let here = Window { start: Dim::Fixed(d as i64), step: 1, extent: Dim::Fixed(1) };
            let needs = |i: usize, v: ValueId| {
                let mut part = self.needs(call, i, v, time.as_ref());
                // Weights, biases and peepholes, and states, of this direction.
                match i {
                    1..=3 | 7 => part.0[0] = Some(here.clone()),
                    5 | 6 => part.0[self.axes.state[0]] = Some(here.clone()),
                    _ => {}
                }
                part
            };
            let mut step = Step::of(call.node, Op::Recurrent(op), needs, &[]);
            let state = self.new_state(call, 1)?;
            step.results = vec![None, Some((state, self.state()))];
            states.push(Some((state, self.state())));
            nodes.push(step);
        }
        let both = self.new_state(call, 0)?;
        nodes.push(Step {
            op: Op::Concat { axis: self.axes.state[0] },
            operands: states,
            results: vec![Some((both, self.state()))],
        });
        nodes.push(self.as_sequence(call, (both, self.state()), (y, steps))?);
        Some(nodes)
    }
}
