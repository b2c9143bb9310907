//! What the caller fixes before a model is read: dimensions, shapes, values and states.

use std::collections::BTreeMap;

use super::Tensor;

/// Choice of an open dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// This number.
    Fixed(i64),
    /// Chosen per call within these bounds, both included; memory is planned for the largest.
    Range(i64, i64),
}

/// What the caller fixes of a model's inputs.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    /// Open dimensions by name; an unnamed one is called `INPUT.AXIS`.
    pub dims: BTreeMap<String, Extent>,
    /// Whole shapes by input name.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Inputs that become constants, by name.
    pub values: BTreeMap<String, Tensor>,
    /// Bounds, both included, of the elements of integer values that decide shapes, or how often a
    /// loop runs, while the program runs, by name: of an input or of any other value of the model.
    pub ranges: BTreeMap<String, (i64, i64)>,
    /// Pairs (output, input): the output is kept as the input of the next run.
    pub states: Vec<(String, String)>,
    /// Iterations at most of loops whose number is decided at run time, by the node's name.
    pub trips: BTreeMap<String, usize>,
    /// Bytes that loading may take at most; `None` for the default.
    pub max_memory: Option<u64>,
}
