//! Control flow: operators that run blocks of nodes.
//!
//! The values of a block stand in the graph's one table; its nodes read those before it as well,
//! without naming them as operands.

use super::Fact;
use crate::graph::dim::{Dim, VarId, Variable};
use crate::graph::{Node, ValueId};

/// Nodes that a control operator runs, and what they give.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Nodes in topological order.
    pub nodes: Vec<Node>,
    /// What the operator takes from it; `None` where nobody reads that. A value from before the
    /// block may be among them.
    pub results: Vec<Option<ValueId>>,
    /// Measured variables that the block sets at its end.
    pub extents: Vec<(VarId, Dim)>,
}

impl Block {
    /// Visits every value that is read in it, results and inner blocks included.
    pub fn each_read(&self, visit: &mut dyn FnMut(ValueId)) {
        self.nodes.iter().for_each(|node| node.each_read(visit));
        self.results.iter().flatten().for_each(|id| visit(*id));
    }
}

/// One of two blocks. Operand: the condition. Results: those of the block that ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Branches {
    /// Runs where the condition holds.
    pub then: Block,
    /// Runs where it does not.
    pub otherwise: Block,
    /// What is known of the results, whichever block ran.
    pub facts: Vec<Fact>,
}

/// A value that is collected over the iterations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The axis of the result along which iterations lie behind one another.
    pub axis: usize,
    /// The last iteration comes first.
    pub reverse: bool,
}

/// A block that runs again and again. Operands: the first value of each of `carried`. Results:
/// the last value of each of them, then what is collected.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// Iterations at most.
    pub trips: Dim,
    /// The measured variable that is the number of the iteration, from zero.
    pub counter: VarId,
    /// The measured variable that is the number of iterations: during one, this one included.
    pub done: VarId,
    /// The first carried value is a condition, and the loop ends where it does not hold.
    pub conditional: bool,
    /// A run fails that would go on after `trips` iterations.
    pub strict: bool,
    /// The values that an iteration reads of the one before it.
    pub carried: Vec<ValueId>,
    /// What is collected; extent one along the axis in each iteration.
    pub collected: Vec<Collected>,
    /// Its results are the next values of `carried`, then what is collected.
    pub body: Block,
    /// What is known of the results.
    pub facts: Vec<Fact>,
}

impl Loop {
    /// The number of the iteration, counted from the last one.
    pub fn reversed(&self, variables: &[Variable]) -> Dim {
        reversed(&self.trips, &Dim::var(self.counter), variables)
    }
}

/// The number of an iteration, counted from the last one; zero where there is none, so that it is
/// a position under any extents.
pub fn reversed(trips: &Dim, counter: &Dim, variables: &[Variable]) -> Dim {
    let from_last = trips.clone() - Dim::Fixed(1) - counter.clone();
    Dim::max(&from_last, &Dim::Fixed(0), variables)
}
