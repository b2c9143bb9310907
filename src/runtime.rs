//! Runs a compiled program: its flat image, the check of it, its memory, its steps.
//!
//! Owns [`Program`] (a borrowed image that is plain data), [`Session`] (one thread's memory and
//! extents) and the table of kernels. Its invariant: after [`Session`] exists, running takes no
//! allocation, no lock and no system call, and only buffer lengths, extents and input values can
//! be wrong. It knows nothing of graphs or of ONNX.

mod check;
#[cfg(all(test, feature = "std"))]
pub(crate) mod damage;
mod errors;
mod image;
mod memory;
mod program;
pub(crate) mod record;
mod session;
pub(crate) mod step;
pub(crate) mod steps;

pub use errors::{BindError, ImageError, RunError, SessionError};
pub use memory::MemoryNeeds;
#[cfg(feature = "std")]
pub(crate) use memory::Storage;
pub(crate) use memory::split_elements;
pub use program::{Port, Program, StepInfo};
#[cfg(feature = "std")]
pub use session::Work;
pub use session::{MAX_PORT_RANK, Session, Shape, View, ViewMut, prepare_thread};
pub use step::{Kernel, KernelId, Kernels};
pub use steps::{KERNELS, kernels};

#[cfg(feature = "std")]
pub(crate) use check::{MAX_ITERATIONS, MAX_NESTING};
#[cfg(feature = "std")]
pub(crate) use image::{
    ARENA, Buffer, CONSTANTS, Constants, DimOp, ImageBuilder, PORTS, PortSpec, STATE, StepSpec,
};
