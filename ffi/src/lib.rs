//! The C and C++ interface: `include/nowcast.h` is its contract and its documentation.
//!
//! Owns the border: handles, text, structs and statuses. Its invariant: every export is one guard
//! around one public call of `nowcast`; no panic crosses, nothing is remembered between calls
//! but what lies in a handle. It must not compute anything itself.
//!
//! Two packages build it: `nowcast-ffi` the whole interface, `nowcast-minimal` what serves
//! bundles, without features. `panic = "unwind"` is what lets the guard turn a panic into a status.
//! Where a panic ends the process, as in the profile `minimal`, and nothing needs `std`, nothing
//! brings it: the library calls `memcpy` and its like, and `abort` for a panic.
#![cfg_attr(all(not(feature = "std"), panic = "abort"), no_std)]
#![allow(unsafe_code, reason = "pointers of C are what this crate is for")]

#[cfg(all(not(feature = "std"), panic = "abort"))]
mod alone;
mod bundle;
mod copy;
mod forecast;
mod forecaster;
mod gaussian;
mod guard;
mod handle;
mod kernels;
#[cfg(feature = "onnx")]
mod load;
#[cfg(feature = "std")]
mod map;
mod names;
#[cfg(feature = "onnx")]
mod options;
mod ports;
mod program;
mod run;
mod session;
mod state;
mod status;

#[cfg(all(test, feature = "onnx"))]
mod tests;
