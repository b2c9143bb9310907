//! Passes over the graph: each takes a graph and gives one that computes the same.
//!
//! Owns folding of constants and the fusions. Its invariant: a pass keeps names, types and shapes
//! of inputs and outputs. Passes never look at names of nodes or models.

pub mod fold;
