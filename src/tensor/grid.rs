//! How integers of eight bits stand for numbers.

use super::DType;

/// How integers of eight bits stand for numbers: `(q - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid8 {
    /// The distance between neighbours.
    pub scale: f32,
    /// The value that stands for zero, in the range of the type.
    pub zero: i32,
    /// Whether integers are `i8` rather than `u8`.
    pub signed: bool,
}

impl Grid8 {
    /// The type of the integers.
    pub const fn dtype(self) -> DType {
        if self.signed { DType::I8 } else { DType::U8 }
    }

    /// Smallest and largest value of the type.
    #[inline(always)]
    pub const fn range(self) -> [i32; 2] {
        if self.signed { [-128, 127] } else { [0, 255] }
    }

    /// The value of a byte.
    #[inline(always)]
    pub const fn value(self, byte: u8) -> i32 {
        if self.signed { byte.cast_signed() as i32 } else { byte as i32 }
    }
}
