//! Passes over the graph: each takes a graph and gives one that computes the same.
//!
//! Owns folding of constants and the fusions. Its invariant: a pass keeps names, types and shapes
//! of inputs and outputs. Passes never look at names of nodes or models.

pub mod fold;
mod linear;
#[allow(dead_code, reason = "passes to come ask it")]
mod pattern;
mod prune;

use crate::graph::Graph;

/// A pass and its name.
pub struct Pass {
    /// Its name, as `inspect` prints it.
    pub name: &'static str,
    run: fn(&mut Graph),
}

impl Pass {
    /// Runs it.
    pub fn run(&self, graph: &mut Graph) {
        (self.run)(graph);
    }
}

/// All passes in their order.
pub const PASSES: [Pass; 3] = [
    Pass { name: "prune", run: prune::prune },
    Pass { name: "linear", run: linear::fuse },
    Pass { name: "prune", run: prune::prune },
];

/// Runs all passes.
pub fn run(graph: &mut Graph) {
    for pass in &PASSES {
        pass.run(graph);
    }
}
