//! An embedded inference runtime for probabilistic forecasting: ONNX in; forecasts and correlated
//! paths out, without allocation.
//!
//! Set-up reads a model ([`load`]) into a [`Program`](runtime::Program); a
//! [`Session`](runtime::Session) serves it; a [`Forecaster`](forecast::Forecaster) turns a series
//! into its inputs and its errors into correlated paths ([`sampling`]). Nothing that serves
//! allocates, locks or calls the system. Without features the serving side is `no_std` without
//! `alloc`.
//!
//! # Examples
#![cfg_attr(feature = "onnx", doc = "```")]
#![cfg_attr(not(feature = "onnx"), doc = "```ignore")]
//! use nowcast::load::{self, Options};
//! use nowcast::runtime::Session;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options::new().dim("batch", 1);
//! let program = load::from_path("models/jfk-lstm/model.onnx", &options)?;
//! let mut session = Session::new(&program)?;
//! session.input_mut::<f32>(0)?.fill(0.5);
//! session.run()?;
//! let mean: &[f32] = session.output(0)?;
//! assert_eq!(mean.len(), 24);
//! # Ok(()) }
//! ```
#![cfg_attr(not(feature = "std"), no_std)]

#[macro_use]
pub mod runtime;
pub mod bundle;
pub mod forecast;
pub mod kernels;
pub mod sampling;
pub mod tensor;

#[cfg(feature = "onnx")]
pub mod build;
#[cfg(feature = "std")]
pub mod compile;
#[cfg(feature = "std")]
pub mod emit;
#[cfg(feature = "ort")]
pub mod engine;
#[cfg(feature = "std")]
pub mod graph;
#[cfg(feature = "onnx")]
pub mod load;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "std")]
pub mod optimize;
#[cfg(feature = "onnx")]
pub mod quantize;

/// The README's examples.
#[cfg(all(doctest, feature = "onnx"))]
#[doc = include_str!("../README.md")]
struct Readme;
