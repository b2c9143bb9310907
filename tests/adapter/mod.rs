//! The library as the cross-cutting tests see it: every call of theirs into nowcast is here.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

pub(crate) mod counting;
pub(crate) mod models;

mod api;
mod sampling;

use std::fmt;

use nowcast::tensor::DType;

pub(crate) use api::{answer, served, with_serving};

/// A named array: elements in C order and host byte order.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
    /// Of i64 what each number means, of floats the names of the columns; mostly none.
    pub(crate) labels: Vec<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The model is refused because an input's value decides a shape: bind it as a constant.
    InputMustBeKnown(String),
    /// The model is refused.
    Load(String),
    /// A session, an input or a run is refused.
    Run(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputMustBeKnown(text) | Self::Load(text) | Self::Run(text) => f.write_str(text),
        }
    }
}
