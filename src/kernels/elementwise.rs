//! Functions of one or two elements at a time.
//!
//! Input and output are cells: an output may be an input, or not overlap it at all; a partial
//! overlap gives unspecified numbers. Everything but [`UnaryOp`]s that say so gives the same
//! bits on every instruction set. NaN gives NaN unless an operator says otherwise.

mod binary;
mod unary;

pub use binary::{BinaryOp, Operands, binary_f32};
pub use unary::{UnaryOp, unary_f32};
