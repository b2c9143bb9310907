//! Why an image, a session, a binding or a run is refused: numbers, never text.

use core::fmt;

use crate::tensor::DType;

use super::memory::MemoryNeeds;

/// Why an image is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// It does not begin as an image does.
    NotAnImage,
    /// It has another version than this build reads.
    Version {
        /// The image's version.
        found: u32,
        /// The version this build reads.
        expected: u32,
    },
    /// It is shorter than it says.
    Truncated {
        /// Bytes there are.
        found: usize,
        /// Bytes it says.
        expected: usize,
    },
    /// Its constants are not on a 64-byte boundary.
    Misaligned,
    /// An entry of a table names a place outside what it belongs to.
    Damaged {
        /// Which table.
        table: &'static str,
        /// Which entry.
        entry: u32,
    },
    /// A step reads or writes outside its operands, writes what it must not, or writes what it
    /// reads.
    Step {
        /// Which step.
        step: u32,
        /// The kernel's name.
        kernel: &'static str,
    },
    /// It needs a kernel that the table of kernels does not have.
    MissingKernel {
        /// The kernel's name.
        kernel: &'static str,
    },
    /// It needs a kernel that this version does not know.
    UnknownKernel {
        /// The kernel's number.
        number: u32,
    },
    /// Its constants, arena and state are more than this host can address.
    TooLarge,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnImage => write!(f, "this is not a compiled program"),
            Self::Version { found, expected } => write!(
                f,
                "the program has format version {found}, this build reads {expected}: compile the \
                 model again"
            ),
            Self::Truncated { found, expected } => {
                write!(f, "the program has {found} bytes of {expected}: the file is cut short")
            }
            Self::Misaligned => write!(f, "the program does not lie on a 64-byte boundary"),
            Self::Damaged { table, entry } => {
                write!(f, "the program is damaged: entry {entry} of its {table}")
            }
            Self::Step { step, kernel } => {
                write!(f, "the program is damaged: step {step} ({kernel}) leaves its operands")
            }
            Self::MissingKernel { kernel } => write!(
                f,
                "the program needs the kernel {kernel}, which the table of kernels does not have"
            ),
            Self::UnknownKernel { number } => write!(
                f,
                "the program needs kernel number {number}, which this version does not have"
            ),
            Self::TooLarge => write!(f, "the program needs more memory than can be addressed"),
        }
    }
}

impl core::error::Error for ImageError {}

/// Why a session cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// The memory is smaller than [`Program::memory`](super::Program::memory) says.
    TooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The memory is not aligned to [`MemoryNeeds::ALIGNMENT`].
    Misaligned,
    /// The allocator has no memory left.
    OutOfMemory {
        /// Bytes needed.
        needed: usize,
    },
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { needed, given } => {
                write!(f, "the session needs {needed} bytes, {given} were given")
            }
            Self::Misaligned => {
                write!(f, "the memory is not aligned to {} bytes", MemoryNeeds::ALIGNMENT)
            }
            Self::OutOfMemory { needed } => write!(f, "no {needed} bytes of memory are left"),
        }
    }
}

impl core::error::Error for SessionError {}

/// Why an input, output or extent was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindError {
    /// No input or output has this position, or no dimension this name.
    NotFound,
    /// The port has another element type.
    DType {
        /// The port's type.
        expected: DType,
        /// The type asked for.
        got: DType,
    },
    /// The port has another number of bytes.
    Length {
        /// Bytes the port has under the present extents.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// The port has another rank.
    Rank {
        /// The port's rank.
        expected: usize,
        /// The rank given.
        got: usize,
    },
    /// An extent outside its bounds, or other than the one it must be.
    Extent {
        /// The axis, or zero for a dimension by name.
        axis: usize,
        /// Smallest extent allowed.
        min: usize,
        /// Largest extent allowed.
        max: usize,
        /// The extent given.
        got: usize,
    },
    /// The port is kept between runs and cannot be bound to other memory.
    State,
    /// The memory is not aligned to its element type.
    Misaligned,
    /// The port is a cache that grows in place, so its elements do not lie behind one another:
    /// copy them with [`Session::copy_output`](super::Session::copy_output) or
    /// [`Session::copy_input`](super::Session::copy_input).
    InPlace,
    /// The port's size is known only behind the run, so it cannot be bound to other memory: read
    /// it with [`Session::output`](super::Session::output).
    Measured,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => write!(f, "the program has no such input, output or dimension"),
            Self::DType { expected, got } => write!(f, "the elements are {expected}, not {got}"),
            Self::Length { expected, got } => write!(f, "{expected} bytes expected, got {got}"),
            Self::Rank { expected, got } => write!(f, "{expected} axes expected, got {got}"),
            Self::Extent { axis, min, max, got } => {
                write!(f, "extent {got} of axis {axis} is not within {min} to {max}")
            }
            Self::State => {
                write!(f, "the port is kept between runs and cannot be bound to other memory")
            }
            Self::Misaligned => write!(f, "the memory is not aligned to its element type"),
            Self::Measured => write!(
                f,
                "the port's size is known only behind the run: it cannot be bound to other memory"
            ),
            Self::InPlace => write!(
                f,
                "the port grows in place and its elements do not lie behind one another: copy it"
            ),
        }
    }
}

impl core::error::Error for BindError {}

/// Why a run was refused. Outputs and state are unchanged, but for [`RunError::OutOfRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// A cache that grows with each run has reached its largest extent: `reset` or `restore`.
    StateFull {
        /// The largest extent.
        max: usize,
    },
    /// A view that was passed does not suit its port.
    Bind {
        /// Position among the inputs, or behind them among the outputs.
        port: usize,
        /// Why.
        error: BindError,
    },
    /// A number in the data decides a shape, or how often a loop runs, and is outside the bounds
    /// that were given when the model was loaded. The run stopped there: outputs are undefined, and
    /// state that was written stays so.
    OutOfRange {
        /// Its place in the program's table of dimensions; see
        /// [`Program::dim_name`](super::Program::dim_name).
        dim: u32,
        /// Smallest number allowed.
        min: i64,
        /// Largest number allowed.
        max: i64,
        /// The number.
        got: i64,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateFull { max } => {
                write!(f, "the state has reached its largest extent, {max}: reset or restore it")
            }
            Self::Bind { port, error } => write!(f, "port {port}: {error}"),
            Self::OutOfRange { min, max, got, .. } => write!(
                f,
                "a number that is found while the program runs is {got}, not within {min} to {max}"
            ),
        }
    }
}

impl core::error::Error for RunError {}
