//! Numbers of few bits: what their bits mean, and the bits that mean a number.
//!
//! Everything here works on the low bits of a `u16`; higher ones are ignored. Every number of
//! these types is an f32, so that [`widen`] is exact; [`narrow`] rounds once.

use super::DType;

/// What a float type has beside numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    /// Infinities and NaN, as IEEE 754 has them.
    Ieee,
    /// Only NaN, where all bits but the sign are one.
    Ones,
    /// Only NaN, where minus zero would be.
    MinusZero,
    /// Nothing.
    None,
}

/// A float type: a sign, then the exponent, then the mantissa.
#[derive(Clone, Copy)]
struct Format {
    exponent: u32,
    mantissa: u32,
    bias: u32,
    special: Special,
}

const fn format(exponent: u32, mantissa: u32, bias: u32, special: Special) -> Format {
    Format { exponent, mantissa, bias, special }
}

const F16_FORMAT: Format = format(5, 10, 15, Special::Ieee);
const BF16_FORMAT: Format = format(8, 7, 127, Special::Ieee);

/// The layout of a signed float type of at most eight bits.
fn format_of(dtype: DType) -> Option<Format> {
    Some(match dtype {
        DType::F8E4M3FN => format(4, 3, 7, Special::Ones),
        DType::F8E4M3FNUZ => format(4, 3, 8, Special::MinusZero),
        DType::F8E5M2 => format(5, 2, 15, Special::Ieee),
        DType::F8E5M2FNUZ => format(5, 2, 16, Special::MinusZero),
        DType::F6E2M3 => format(2, 3, 1, Special::None),
        DType::F6E3M2 => format(3, 2, 3, Special::None),
        DType::F4E2M1 => format(2, 1, 1, Special::None),
        _ => return None,
    })
}

/// Two to the power `n`, which must be the exponent of a normal f32.
const fn power_of_two(n: u32) -> f32 {
    f32::from_bits((127 + n) << 23)
}

impl Format {
    const fn sign(self) -> u32 {
        1 << (self.exponent + self.mantissa)
    }

    /// The bits of infinity.
    const fn infinity(self) -> u32 {
        self.sign() - (1 << self.mantissa)
    }

    /// The bits of the largest number.
    const fn largest(self) -> u32 {
        match self.special {
            Special::Ieee => self.infinity() - 1,
            Special::Ones => self.sign() - 2,
            Special::MinusZero | Special::None => self.sign() - 1,
        }
    }

    #[inline(always)]
    fn widen(self, bits: u16) -> f32 {
        let bits = u32::from(bits);
        let (negative, magnitude) = (bits & self.sign() != 0, bits & (self.sign() - 1));
        let nan = match self.special {
            Special::Ieee => magnitude > self.infinity(),
            Special::Ones => magnitude == self.sign() - 1,
            Special::MinusZero => negative && magnitude == 0,
            Special::None => false,
        };
        // The exponent lands where an f32 has its own, too small by the difference of the biases;
        // the product is exact, also of what is no normal number before it.
        let shifted = f32::from_bits(magnitude << (23 - self.mantissa));
        let number = shifted * power_of_two(127 - self.bias);
        let whole = if nan {
            f32::NAN
        } else if self.special == Special::Ieee && magnitude == self.infinity() {
            f32::INFINITY
        } else {
            number
        };
        f32::from_bits(whole.to_bits() | u32::from(negative) << 31)
    }

    #[inline(always)]
    fn narrow(self, x: f64, saturate: bool) -> u16 {
        let sign = if x.is_sign_negative() { self.sign() } else { 0 };
        let magnitude = if x.is_nan() {
            return match self.special {
                // A quiet one.
                Special::Ieee => sign | self.infinity() | 1 << (self.mantissa - 1),
                Special::Ones => sign | (self.sign() - 1),
                // Minus zero, where there is no NaN, as ml_dtypes and the node suite have it.
                Special::MinusZero | Special::None => self.sign(),
            } as u16;
        } else {
            self.round(x)
        };
        let largest = u64::from(self.largest());
        let magnitude = match self.special {
            _ if magnitude <= largest => magnitude as u32,
            Special::None => self.largest(),
            _ if saturate => self.largest(),
            Special::Ieee => self.infinity(),
            Special::Ones => self.sign() - 1,
            Special::MinusZero => return self.sign() as u16,
        };
        // Where minus zero is NaN, zero has no sign.
        let unsigned = self.special == Special::MinusZero && magnitude == 0;
        if unsigned { 0 } else { (sign | magnitude) as u16 }
    }

    /// Exponent and mantissa of the number nearest to `x`, halves to even; without an upper end.
    #[inline(always)]
    fn round(self, x: f64) -> u64 {
        let bits = x.to_bits();
        let (exponent, fraction) = ((bits >> 52) as i32 & 0x7ff, bits & ((1 << 52) - 1));
        // An f64 that is no normal number is far below half of the least one here.
        if exponent == 0 {
            return 0;
        }
        let exponent = exponent - 1023 + self.bias as i32;
        // The leading one counts as one in the exponent.
        let (base, below) = if exponent > 0 {
            ((exponent as u64 - 1) << self.mantissa, 0)
        } else {
            (0, 1 - exponent)
        };
        let shift = (52 - self.mantissa as i32 + below).min(60) as u32;
        let whole = fraction | 1 << 52;
        let (kept, half) = (whole >> shift, 1u64 << (shift - 1));
        let rest = whole & ((1 << shift) - 1);
        let up = rest > half || (rest == half && kept & 1 == 1);
        base + kept + u64::from(up)
    }
}

/// What happens to a number that a type of few bits does not have. [`Default`] is what ONNX does
/// where a model does not say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounding {
    /// Numbers beyond the largest of an 8-bit float become it; if not, infinity or NaN.
    pub saturate: bool,
    /// Where numbers between two powers of two go. It matters only for [`DType::F8E8M0`]; other
    /// floats take the nearest, halves to even.
    pub towards: Towards,
}

/// A direction of rounding. The numbers are part of the program image: they are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Towards {
    /// To the larger one.
    Up = 0,
    /// To the smaller one.
    Down = 1,
    /// To the nearest; halves to the larger one.
    Nearest = 2,
}

impl Towards {
    /// The direction with this number; an unknown one is up.
    pub const fn from_word(word: u32) -> Self {
        match word {
            1 => Self::Down,
            2 => Self::Nearest,
            _ => Self::Up,
        }
    }
}

impl Default for Rounding {
    fn default() -> Self {
        Self { saturate: true, towards: Towards::Up }
    }
}

const E8M0_NAN: u16 = 0xff;

/// A power of two, from 2^-127 on.
fn widen_e8m0(bits: u16) -> f32 {
    match u32::from(bits & 0xff) {
        0xff => f32::NAN,
        0 => f32::from_bits(1 << 22),
        exponent => f32::from_bits(exponent << 23),
    }
}

/// The sign is ignored: there are no negative numbers, and ONNX leaves open what they become.
fn narrow_e8m0(x: f64, rounding: Rounding) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return E8M0_NAN;
    }
    let (exponent, fraction) = ((bits >> 52) as i32 & 0x7ff, bits & ((1 << 52) - 1));
    let up = match rounding.towards {
        Towards::Up => fraction != 0,
        Towards::Down => false,
        Towards::Nearest => fraction >= 1 << 51,
    };
    let exponent = exponent - 1023 + 127 + i32::from(up);
    match exponent {
        0..=0xfe => exponent as u16,
        _ if !rounding.saturate => E8M0_NAN,
        _ if exponent < 0 => 0,
        _ => 0xfe,
    }
}

/// The number that the bits of an element of a small type mean; zero for other types.
#[inline]
pub fn widen(dtype: DType, bits: u16) -> f32 {
    let integer = |width: u32, signed: bool| {
        let high = i32::from(bits) << (32 - width);
        if signed { (high >> (32 - width)) as f32 } else { (high as u32 >> (32 - width)) as f32 }
    };
    match dtype {
        DType::F16 => F16_FORMAT.widen(bits),
        DType::BF16 => BF16_FORMAT.widen(bits),
        DType::F8E8M0 => widen_e8m0(bits),
        DType::I4 => integer(4, true),
        DType::U4 => integer(4, false),
        DType::I2 => integer(2, true),
        DType::U2 => integer(2, false),
        _ => format_of(dtype).map_or(0.0, |format| format.widen(bits)),
    }
}

/// The bits of the number of a small type that is nearest to `x`, halves to even; zero for other
/// types. Integers are cut off at the point, and keep their low bits.
#[inline]
pub fn narrow(dtype: DType, x: f64, rounding: Rounding) -> u16 {
    match dtype {
        DType::F16 => F16_FORMAT.narrow(x, false),
        DType::BF16 => BF16_FORMAT.narrow(x, false),
        DType::F8E8M0 => narrow_e8m0(x, rounding),
        DType::I4 | DType::U4 => x as i64 as u16 & 0xf,
        DType::I2 | DType::U2 => x as i64 as u16 & 0x3,
        _ => format_of(dtype).map_or(0, |format| format.narrow(x, rounding.saturate)),
    }
}

macro_rules! half {
    ($($(#[$doc:meta])* $name:ident, $dtype:ident, $format:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        #[repr(transparent)]
        pub struct $name(pub u16);

        impl $name {
            /// The nearest number, halves to even; infinity where there is none so large.
            #[inline]
            pub fn from_f32(x: f32) -> Self {
                Self($format.narrow(f64::from(x), false))
            }

            /// The same number.
            #[inline]
            pub fn to_f32(self) -> f32 {
                $format.widen(self.0)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.to_f32() == other.to_f32()
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
                self.to_f32().partial_cmp(&other.to_f32())
            }
        }

        impl super::sealed::Sealed for $name {}

        impl super::Element for $name {
            const DTYPE: DType = DType::$dtype;
        }
    )*};
}
half! {
    /// A float of 16 bits, IEEE 754's binary16, as its bits.
    F16, F16, F16_FORMAT;
    /// A bfloat16, the upper half of an f32, as its bits.
    Bf16, BF16, BF16_FORMAT;
}

#[cfg(test)]
mod tests;
