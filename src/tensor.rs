//! Element types.
//!
//! Owns [`DType`] and the [`Element`] trait that ties Rust types to it. It knows nothing of
//! operators, memory or files.

use core::fmt;

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
}

impl DType {
    /// Every element type, in the order of its number.
    pub const ALL: [Self; 11] = [
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
    ];

    /// Size of one element in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
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
        }
    }

    /// Whether it is a float.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
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
#[allow(unsafe_code)]
pub fn view<T: Element>(bytes: &[u8]) -> Option<&[T]> {
    const { assert!(cfg!(target_endian = "little"), "bundles are little-endian") };
    // SAFETY: every bit pattern is a value of an `Element`.
    match unsafe { bytes.align_to::<T>() } {
        ([], elements, []) => Some(elements),
        _ => None,
    }
}
