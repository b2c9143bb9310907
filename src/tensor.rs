//! Element types.
//!
//! Owns [`DType`], the [`Element`] trait that ties Rust types to it, and what the bits of small
//! types mean. It knows nothing of operators, memory or files.
//!
//! Types of fewer than eight bits take a byte for each element, everywhere: in memory, in the
//! slices of ports, in constants. Their bits are the low ones; the others are written as zero and
//! ignored when read.

use core::fmt;

mod grid;
mod small;

pub use grid::Grid8;
pub use small::{Bf16, F16, Rounding, Towards, narrow, widen};

/// The element type of a tensor.
///
/// The numbers are part of the program image and of the C header: they are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit IEEE float.
    F32 = 1,
    /// 64-bit IEEE float.
    F64 = 2,
    /// Signed 32-bit integer.
    I32 = 3,
    /// Signed 64-bit integer.
    I64 = 4,
    /// Unsigned 8-bit integer.
    U8 = 5,
    /// Signed 8-bit integer.
    I8 = 6,
    /// One byte, zero or one.
    Bool = 7,
    /// Unsigned 16-bit integer.
    U16 = 8,
    /// Signed 16-bit integer.
    I16 = 9,
    /// Unsigned 32-bit integer.
    U32 = 10,
    /// Unsigned 64-bit integer.
    U64 = 11,
    /// 16-bit IEEE float.
    F16 = 12,
    /// The upper half of a 32-bit float.
    BF16 = 13,
    /// 8-bit float: 4 bits of exponent, no infinity.
    F8E4M3FN = 14,
    /// 8-bit float: 4 bits of exponent, no infinity, no minus zero.
    F8E4M3FNUZ = 15,
    /// 8-bit float: 5 bits of exponent.
    F8E5M2 = 16,
    /// 8-bit float: 5 bits of exponent, no infinity, no minus zero.
    F8E5M2FNUZ = 17,
    /// A power of two, from 2^-127 on.
    F8E8M0 = 18,
    /// 6-bit float: 2 bits of exponent, nothing but numbers.
    F6E2M3 = 19,
    /// 6-bit float: 3 bits of exponent, nothing but numbers.
    F6E3M2 = 20,
    /// 4-bit float: 2 bits of exponent, nothing but numbers.
    F4E2M1 = 21,
    /// Signed 4-bit integer.
    I4 = 22,
    /// Unsigned 4-bit integer.
    U4 = 23,
    /// Signed 2-bit integer.
    I2 = 24,
    /// Unsigned 2-bit integer.
    U2 = 25,
}

impl DType {
    /// Every element type, in the order of its number.
    pub const ALL: [Self; 25] = [
        Self::F32,
        Self::F64,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::I8,
        Self::Bool,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::U64,
        Self::F16,
        Self::BF16,
        Self::F8E4M3FN,
        Self::F8E4M3FNUZ,
        Self::F8E5M2,
        Self::F8E5M2FNUZ,
        Self::F8E8M0,
        Self::F6E2M3,
        Self::F6E3M2,
        Self::F4E2M1,
        Self::I4,
        Self::U4,
        Self::I2,
        Self::U2,
    ];

    /// Size of one element in bytes, at least one.
    pub const fn bytes(self) -> usize {
        self.bits().div_ceil(8)
    }

    /// Size of one element in bits: what a file takes for it where elements are packed.
    pub const fn bits(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 64,
            Self::F32 | Self::I32 | Self::U32 => 32,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 16,
            Self::U8 | Self::I8 | Self::Bool => 8,
            Self::F8E4M3FN | Self::F8E4M3FNUZ | Self::F8E5M2 | Self::F8E5M2FNUZ => 8,
            Self::F8E8M0 => 8,
            Self::F6E2M3 | Self::F6E3M2 => 6,
            Self::F4E2M1 | Self::I4 | Self::U4 => 4,
            Self::I2 | Self::U2 => 2,
        }
    }

    /// The type with this pinned number.
    pub const fn from_code(code: u8) -> Option<Self> {
        if code >= 1 && code as usize <= Self::ALL.len() {
            Some(Self::ALL[code as usize - 1])
        } else {
            None
        }
    }

    /// Its short name: `f32`, `i64`, `bool`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::Bool => "bool",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F8E4M3FN => "f8e4m3fn",
            Self::F8E4M3FNUZ => "f8e4m3fnuz",
            Self::F8E5M2 => "f8e5m2",
            Self::F8E5M2FNUZ => "f8e5m2fnuz",
            Self::F8E8M0 => "f8e8m0",
            Self::F6E2M3 => "f6e2m3",
            Self::F6E3M2 => "f6e3m2",
            Self::F4E2M1 => "f4e2m1",
            Self::I4 => "i4",
            Self::U4 => "u4",
            Self::I2 => "i2",
            Self::U2 => "u2",
        }
    }

    /// Whether it is a float.
    pub const fn is_float(self) -> bool {
        match self {
            Self::F32 | Self::F64 => true,
            _ => self.is_small() && !matches!(self, Self::I4 | Self::U4 | Self::I2 | Self::U2),
        }
    }

    /// Whether it is a type that nothing is computed in: elements are moved, and converted to
    /// and from others ([`widen`], [`narrow`]).
    pub const fn is_small(self) -> bool {
        self as u8 >= Self::F16 as u8
    }

    /// Whether it is a float of 16 bits.
    pub const fn is_half(self) -> bool {
        matches!(self, Self::F16 | Self::BF16)
    }

    /// The type that elements of this one are where only their bits count: the unsigned integer
    /// of as many bytes for a small type or bool, the type itself for others.
    pub const fn plain(self) -> Self {
        match self {
            Self::F16 | Self::BF16 => Self::U16,
            Self::Bool => Self::U8,
            _ if self.is_small() => Self::U8,
            other => other,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that is the element of a tensor. Every bit pattern is a value of it.
pub trait Element: sealed::Sealed + Copy + Default + PartialEq + PartialOrd + 'static {
    /// Its element type.
    const DTYPE: DType;
}

macro_rules! element {
    ($($ty:ty => $dtype:ident),*) => {$(
        impl sealed::Sealed for $ty {}
        impl Element for $ty { const DTYPE: DType = DType::$dtype; }
    )*};
}
element!(f32 => F32, f64 => F64, i32 => I32, i64 => I64, u8 => U8, i8 => I8,
    u16 => U16, i16 => I16, u32 => U32, u64 => U64);

/// Bytes as the elements that they hold, where they lie. `None` if they are misaligned or no whole
/// number of elements.
///
/// Little-endian data are elements as they stand: hosts of the other order are not supported.
#[allow(unsafe_code, reason = "bytes as elements, checked")]
pub fn view<T: Element>(bytes: &[u8]) -> Option<&[T]> {
    const { assert!(cfg!(target_endian = "little"), "bundles are little-endian") };
    // SAFETY: every bit pattern is a value of an `Element`.
    match unsafe { bytes.align_to::<T>() } {
        ([], elements, []) => Some(elements),
        _ => None,
    }
}
