//! nowcast: an embedded inference runtime for probabilistic forecasting.
#![cfg_attr(not(feature = "std"), no_std)]

#[macro_use]
pub mod runtime;
pub mod forecast;
pub mod kernels;
pub mod sampling;
pub mod tensor;

#[cfg(feature = "std")]
pub mod compile;
#[cfg(any(feature = "ort", feature = "tract"))]
pub mod engine;
#[cfg(feature = "std")]
pub mod graph;
#[cfg(feature = "onnx")]
pub mod load;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "std")]
pub mod optimize;
