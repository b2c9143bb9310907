//! What the fuzz targets share: how a program is served, numbers from bytes, changes to inputs.
//!
//! The promise that is tested: whatever the bytes, there is an answer or an error. Never a crash,
//! never a hang, never memory out of proportion to the file.

pub mod aligned;
pub mod change;
pub mod choices;
pub mod fixture;
pub mod graphs;
pub mod serve;
pub mod variants;
