//! Pictures sampled where data say: grids, regions and shifted windows; and determinants.
//!
//! Positions are data, so every number has a meaning: each operator says what lies outside a
//! picture, a position that is no number counts as outside, and no number makes the work longer
//! than the picture and the result are large. All arithmetic is in `f64`.

mod deform;
mod determinant;
mod grid;
mod region;

pub use deform::{Deform, deform_columns};
pub use determinant::determinant;
pub use grid::{GridMode, GridPadding, Sampling, grid_sample};
pub use region::{Regions, roi_align, roi_max};
