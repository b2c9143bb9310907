//! Functions of one or two elements at a time.
//!
//! Input and output are cells: an output may be an input, or not overlap it at all; a partial
//! overlap gives unspecified numbers. Results are the same bits on every instruction set. Which
//! functions there are: [`UnaryCode`](super::number::UnaryCode) and
//! [`BinaryCode`](super::number::BinaryCode).

mod binary;
mod unary;

pub use binary::{Operands, binary_f32};
pub use unary::unary_f32;
