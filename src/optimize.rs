//! Passes over the graph: each takes a graph and gives one that computes the same.
//!
//! Owns folding of constants and the fusions. Its invariant: a pass keeps names, types and shapes
//! of inputs and outputs. Passes never look at names of nodes or models. Any of them can be left
//! out, and the program still answers the same, only later.

mod activations;
mod attention;
pub mod bf16;
mod conv;
mod dequantized;
#[cfg(test)]
mod fixture;
pub mod fold;
mod identities;
mod linear;
mod needed;
mod norms;
mod pattern;
mod prune;
mod quantized;
mod siblings;
mod weights;

use crate::graph::Graph;

/// A pass.
pub struct Pass {
    /// Its name, by which it is switched off.
    pub name: &'static str,
    /// What it does at each of the places that it counts.
    pub does: &'static str,
    /// Rewrites the graph and says in how many places.
    run: fn(&mut Graph) -> usize,
}

/// What a pass did to a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Name of the pass.
    pub name: &'static str,
    /// What it does at each place.
    pub does: &'static str,
    /// Places that it rewrote.
    pub places: usize,
}

/// A node that keeps computing in f32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The node.
    pub node: String,
    /// Its operator.
    pub op: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// What the passes did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Each pass, in their order.
    pub passes: Vec<Applied>,
    /// What computes in f32 though an operand is quantized.
    pub kept: Vec<Kept>,
}

/// All passes in their order.
pub const PASSES: &[Pass] = &[
    Pass { name: "prune", does: "nodes that no output needs left out", run: prune::prune },
    Pass {
        name: "identities",
        does: "an operator that changes nothing left out",
        run: identities::remove,
    },
    Pass { name: "norms", does: "normalisation of rows in one step", run: norms::fuse },
    Pass {
        name: "activations",
        does: "a function of each element, or softmax, in one step",
        run: activations::fuse,
    },
    Pass {
        name: "attention",
        does: "attention as one step, from its products, masks and softmax",
        run: attention::fuse,
    },
    Pass {
        name: "needed",
        does: "nodes computed only as far as somebody reads them",
        run: needed::narrow,
    },
    Pass {
        name: "integers",
        does: "a node less where integers are moved, not what they stand for",
        run: quantized::move_integers,
    },
    Pass {
        name: "conv",
        does: "scales, residuals, activations and padding computed in the convolution beside them",
        run: conv::fuse,
    },
    Pass {
        name: "linear",
        does: "products computed with what follows them: factors, bias, residual, activation",
        run: linear::fuse,
    },
    // Products have been made under other shapes since.
    Pass {
        name: "integers",
        does: "a node less where integers are moved, not what they stand for",
        run: quantized::move_integers,
    },
    Pass {
        name: "quantized",
        does: "products of quantized values computed with integers, with what follows them",
        run: quantized::fuse,
    },
    Pass {
        name: "siblings",
        does: "products of the same data computed as one",
        run: siblings::fuse,
    },
    Pass {
        name: "weights",
        does: "products and tables that read quantized weights as they are stored",
        run: weights::narrow,
    },
    Pass { name: "prune", does: "nodes that no output needs left out", run: prune::prune },
];

/// Runs the passes but those that `without` names, and says what they did, in their order. Then
/// quantized constants that nobody takes as integers become floats.
pub fn run(graph: &mut Graph, without: &[String]) -> Report {
    dequantized::fold_vectors(graph);
    let chosen = PASSES.iter().filter(|pass| !without.iter().any(|name| name == pass.name));
    let passes = chosen
        .map(|&Pass { name, does, run }| Applied { name, does, places: run(graph) })
        .collect();
    let kept = quantized::kept(graph);
    dequantized::fold_all(graph);
    Report { passes, kept }
}
