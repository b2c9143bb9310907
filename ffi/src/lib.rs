//! The C and C++ interface: `include/nowcast.h` is its contract and its documentation.
//!
//! Owns the border: handles, text, structs and statuses. Its invariant: every export is one guard
//! around one public call of `nowcast`; no panic crosses, nothing is remembered between calls
//! but what lies in a handle. It must not compute anything itself.
//!
//! `panic = "unwind"` is what lets the guard turn a panic into a status; a profile that aborts
//! takes that promise away.
#![allow(unsafe_code)]

mod copy;
mod forecast;
mod forecaster;
mod gaussian;
mod guard;
mod handle;
mod names;
mod options;
mod ports;
mod program;
mod run;
mod session;
mod state;
mod status;

#[cfg(test)]
mod tests;
