//! Random numbers.

use super::super::dim::Dim;

/// Independent f32 draws, other ones at each run of a session.
///
/// A draw is a function of the seed, of how many runs the session has made since its state was
/// clear, and of its place: the same on every instruction set, in every session.
#[derive(Clone, Debug, PartialEq)]
pub struct Random {
    /// The shape.
    pub shape: Vec<Dim>,
    /// Standard normals, else uniform in `[0, 1)`.
    pub normal: bool,
    /// Operators of one seed draw the same numbers.
    pub seed: u64,
}
