//! An embedded inference runtime for probabilistic forecasting: ONNX in; forecasts and correlated
//! paths out, without allocation.
#![cfg_attr(feature = "onnx", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "std"), no_std)]

#[macro_use]
pub mod runtime;
pub mod forecast;
pub mod kernels;
pub mod sampling;
pub mod tensor;

#[cfg(feature = "std")]
pub mod compile;
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
