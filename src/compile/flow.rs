//! Lowering of control flow: branches and loops as steps that jump.
//!
//! Both branches write the same memory for a result. A value that a loop carries has memory of
//! its own, which the loop reads and at the end of an iteration writes; a step that could write
//! it earlier without harm does.

use crate::graph::dim::Dim;
use crate::graph::ops::{Block, Branches, Loop};
use crate::graph::{Node, ValueId, VarId};
use crate::runtime::KernelId;
use crate::runtime::record::Out;
use crate::runtime::steps::flow::{
    EnterLoopRecord, JumpRecord, JumpUnlessRecord, RepeatLoopRecord, SetExtentRecord,
};

use super::builder::{Builder, Lowered};
use super::place::{Place, contiguous};
use super::{CompileError, lower_nodes, unsupported};

/// One of two blocks.
pub(super) fn branch(b: &mut Builder<'_>, node: &Node, op: &Branches) -> Result<(), CompileError> {
    let skip = choice(b, node).map_err(|e| unsupported(node, e))?;
    block(b, node, &op.then)?;
    let leave = b.control(KernelId::Jump, &JumpRecord { target: 0 });
    b.aim(skip, b.next_step());
    block(b, node, &op.otherwise)?;
    b.aim(leave, b.next_step());
    Ok(())
}

/// Memory for the results, and the jump over the first block.
fn choice(b: &mut Builder<'_>, node: &Node) -> Lowered<usize> {
    let condition = b.read(node.inputs.first().copied().flatten().ok_or("it has no condition")?)?;
    for y in node.outputs.iter().flatten() {
        b.write(*y);
    }
    Ok(b.control(KernelId::JumpUnless, &JumpUnlessRecord { target: 0, condition }))
}

fn block(b: &mut Builder<'_>, node: &Node, block: &Block) -> Result<(), CompileError> {
    let scope = (b.next_step(), b.begin_block());
    lower_nodes(b, &block.nodes)?;
    b.resume(node);
    let mut give = || -> Lowered<()> {
        for (v, y) in block.results.iter().zip(&node.outputs) {
            let (Some(v), Some(y)) = (v, y) else { continue };
            b.has_read(*v);
            let to = b.place(*y)?;
            b.bring(*v, &to, scope)?;
        }
        for (variable, value) in &block.extents {
            let value = b.extent(value);
            b.control(KernelId::SetExtent, &SetExtentRecord { variable: variable.0, value });
        }
        Ok(())
    };
    give().map_err(|e| unsupported(node, e))?;
    b.end_block(scope.1);
    Ok(())
}

/// A block, again and again.
pub(super) fn repeat(b: &mut Builder<'_>, node: &Node, op: &Loop) -> Result<(), CompileError> {
    let here = |e| unsupported(node, e);
    b.nest(op.trips.upper(&b.graph.variables)).map_err(here)?;
    let outer = b.begin_loop(&op.body);
    let carried = open(b, node, op, &outer).map_err(here)?;
    if op.trips.is(0) {
        // There is nothing to write to, and nothing that would.
        b.unnest();
        settle(b, node, carried);
        return Ok(());
    }
    let (VarId(counter), VarId(done)) = (op.counter, op.done);
    let record = EnterLoopRecord { target: 0, counter, done };
    let enter = b.control(KernelId::EnterLoop, &record);
    let scope = (b.next_step(), b.begin_block());
    lower_nodes(b, &op.body.nodes)?;
    b.resume(node);
    let (next, pieces) = op.body.results.split_at(op.carried.len());
    collect(b, node, op, pieces).map_err(here)?;
    carry(b, next, &carried, scope).map_err(here)?;
    let condition = match &carried[..] {
        [first, ..] if op.conditional => Some(b.read_place(first, op.carried[0])),
        _ => None,
    };
    let trips = b.extent(&op.trips);
    let record = RepeatLoopRecord {
        target: scope.0 as u32,
        counter,
        done,
        trips,
        strict: op.strict,
        condition,
    };
    let repeat = b.control(KernelId::RepeatLoop, &record);
    b.aim(enter, repeat);
    b.end_block(scope.1);
    b.end_loop(&outer, enter, repeat);
    b.unnest();
    settle(b, node, carried);
    Ok(())
}

/// What is carried lies, behind the loop, where it lay in it.
fn settle(b: &mut Builder<'_>, node: &Node, carried: Vec<Place>) {
    for (y, place) in node.outputs.iter().zip(carried) {
        if let Some(y) = y {
            b.alias(*y, place);
        }
    }
}

/// Memory for what is carried, with its first values, and for what is collected.
fn open(b: &mut Builder<'_>, node: &Node, op: &Loop, outer: &[ValueId]) -> Lowered<Vec<Place>> {
    let may_not_run = op.trips.bounds(&b.graph.variables).0 <= 0;
    if may_not_run {
        outer.iter().try_for_each(|v| b.move_home(*v))?;
    }
    let mut places = Vec::with_capacity(op.carried.len());
    for (i, v) in op.carried.iter().enumerate() {
        let first = node.inputs.get(i).copied().flatten();
        let first = first.ok_or_else(|| format!("the first value of {i} is missing"))?;
        let dst = b.write(*v);
        let place = b.place(*v)?;
        b.copy_to(first, (dst, &Dim::Fixed(0), &place.strides))?;
        places.push(place);
    }
    for y in node.outputs.iter().skip(op.carried.len()).flatten() {
        b.write(*y);
        if may_not_run {
            b.keep_whole(*y)?;
        }
    }
    Ok(places)
}

/// Copies an iteration's pieces to their places in what is collected.
fn collect(b: &mut Builder<'_>, node: &Node, op: &Loop, pieces: &[Option<ValueId>]) -> Lowered<()> {
    let whole = node.outputs.iter().skip(op.carried.len());
    for ((piece, y), kind) in pieces.iter().zip(whole).zip(&op.collected) {
        let (Some(piece), Some(y)) = (*piece, *y) else { continue };
        if op.conditional && kind.axis > 0 {
            return Err("what a loop without a fixed number of iterations collects must lie \
                        along the first axis"
                .into());
        }
        b.has_read(piece);
        let strides = contiguous(b.shape(y));
        let counter = Dim::var(op.counter);
        let at = match kind.reverse {
            true => op.reversed(&b.graph.variables),
            false => counter,
        };
        let offset = at * strides[kind.axis].clone();
        let (dst, _) = b.view(y)?;
        b.copy_to(piece, (Out(dst.0), &offset, &strides))?;
    }
    Ok(())
}

/// Brings the next values of what is carried to where the next iteration reads them.
fn carry(
    b: &mut Builder<'_>,
    next: &[Option<ValueId>],
    places: &[Place],
    scope: (usize, usize),
) -> Lowered<()> {
    let mut moves = Vec::new();
    for (v, place) in next.iter().zip(places) {
        let v = v.ok_or("a carried value has no next one")?;
        b.has_read(v);
        if b.place(v)? != *place {
            moves.push((v, place));
        }
    }
    // One that lies where another is to go steps aside first.
    for (v, _) in &moves {
        if b.lies_in(*v, places)? {
            b.set_apart(*v)?;
        }
    }
    moves.into_iter().try_for_each(|(v, place)| b.bring(v, place, scope))
}

#[cfg(test)]
mod tests;
