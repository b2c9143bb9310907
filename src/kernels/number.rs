//! Scalar functions of every element type: the general path, and the oracle of the vector one.

use crate::tensor::Element;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $n:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        #[allow(missing_docs, reason = "the names are the functions")]
        pub enum $name { $($variant = $n,)* }
        impl $name {
            /// Every function, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The function with this number; an unknown one is the first.
            #[inline(always)]
            pub const fn from_word(word: u32) -> Self {
                match word { $($n => Self::$variant,)* _ => [$(Self::$variant),*][0] }
            }
        }
    };
}
pub(crate) use codes;

codes! {
    /// A function of one element. The numbers are part of the program image: they are pinned.
    UnaryCode {
        Identity = 0, Neg = 1, Abs = 2, Sqrt = 3, Reciprocal = 4, Exp = 5, Log = 6, Tanh = 7,
        Sigmoid = 8, Relu = 9, LeakyRelu = 10, Clip = 11, Erf = 12, Gelu = 13, GeluTanh = 14,
        Silu = 15, Softplus = 16, Softsign = 17, Elu = 18, Selu = 19, Celu = 20, HardSigmoid = 21,
        HardSwish = 22, Mish = 23, ThresholdedRelu = 24, Floor = 25, Ceil = 26, Round = 27,
        Sign = 28, Sin = 29, Cos = 30, Tan = 31, Asin = 32, Acos = 33, Atan = 34, Sinh = 35,
        Cosh = 36, Asinh = 37, Acosh = 38, Atanh = 39, Not = 40, BitwiseNot = 41, IsNan = 42,
        IsInf = 43, Swish = 44,
    }
}

codes! {
    /// A function of two elements. The numbers are pinned.
    BinaryCode {
        Add = 0, Sub = 1, Mul = 2, Div = 3, Min = 4, Max = 5, Pow = 6, Mod = 7, Fmod = 8,
        PRelu = 9, BitwiseAnd = 10, BitwiseOr = 11, BitwiseXor = 12, ShiftLeft = 13,
        ShiftRight = 14,
    }
}

codes! {
    /// A relation of two elements, or boolean arithmetic on them. The numbers are pinned.
    CompareCode {
        Equal = 0, Less = 1, LessOrEqual = 2, Greater = 3, GreaterOrEqual = 4, And = 5, Or = 6,
        Xor = 7,
    }
}

/// Whether the relation holds.
#[inline(always)]
pub fn compare<T: Number>(code: CompareCode, x: T, y: T) -> bool {
    let (a, b) = (x != T::default(), y != T::default());
    match code {
        CompareCode::Equal => x == y,
        CompareCode::Less => x < y,
        CompareCode::LessOrEqual => x <= y,
        CompareCode::Greater => x > y,
        CompareCode::GreaterOrEqual => x >= y,
        CompareCode::And => a & b,
        CompareCode::Or => a | b,
        CompareCode::Xor => a ^ b,
    }
}

/// Arithmetic on an element type. Integers wrap; a division by zero gives zero; conversions of
/// floats saturate, as Rust's do.
pub trait Number: Element {
    /// The function of this element. Parameters as [`graph::ops::Unary`] has them, in order.
    ///
    /// [`graph::ops::Unary`]: https://docs.rs/nowcast/latest/nowcast/graph/ops/enum.Unary.html
    fn unary(self, code: UnaryCode, p: [f64; 2]) -> Self;
    /// The function of this element and another.
    fn binary(self, code: BinaryCode, other: Self) -> Self;
    /// Nearest f32.
    fn to_f32(self) -> f32;
    /// Nearest f64.
    fn to_f64(self) -> f64;
    /// Towards zero.
    fn to_i64(self) -> i64;
    /// From the nearest representable number.
    fn from_f64(x: f64) -> Self;
    /// Whether it is not a number.
    fn is_nan(self) -> bool;
    /// Whether it is an infinity of one of these signs.
    fn is_infinite(self, negative: bool, positive: bool) -> bool;
    /// Smallest value: minus infinity for floats.
    const LOWEST: Self;
    /// Largest value: infinity for floats.
    const HIGHEST: Self;
}

/// A function of one f64, the reference for every float type.
pub fn unary_f64(x: f64, code: UnaryCode, p: [f64; 2]) -> f64 {
    use UnaryCode as U;
    let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    let softplus =
        |x: f64| if x > 0.0 { x + libm::log1p(libm::exp(-x)) } else { libm::log1p(libm::exp(x)) };
    match code {
        U::Identity | U::BitwiseNot => x,
        U::Neg => -x,
        U::Abs => libm::fabs(x),
        U::Sqrt => libm::sqrt(x),
        U::Reciprocal => 1.0 / x,
        U::Exp => libm::exp(x),
        U::Log => libm::log(x),
        U::Tanh => libm::tanh(x),
        U::Sigmoid => sigmoid(x),
        U::Relu => {
            if x > 0.0 || x.is_nan() {
                x
            } else {
                0.0
            }
        }
        U::LeakyRelu => {
            if x >= 0.0 {
                x
            } else {
                p[0] * x
            }
        }
        U::Clip => {
            // The limits come first: NaN stays NaN.
            let low = if x < p[0] { p[0] } else { x };
            if low > p[1] { p[1] } else { low }
        }
        U::Erf => libm::erf(x),
        U::Gelu => 0.5 * x * (1.0 + libm::erf(x * core::f64::consts::FRAC_1_SQRT_2)),
        U::GeluTanh => {
            let inner = libm::sqrt(2.0 / core::f64::consts::PI) * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + libm::tanh(inner))
        }
        U::Silu => x * sigmoid(x),
        U::Swish => x * sigmoid(p[0] * x),
        U::Softplus => softplus(x),
        U::Softsign => x / (1.0 + libm::fabs(x)),
        U::Elu => {
            if x >= 0.0 {
                x
            } else {
                p[0] * libm::expm1(x)
            }
        }
        U::Selu => {
            if x > 0.0 {
                p[1] * x
            } else {
                p[1] * p[0] * libm::expm1(x)
            }
        }
        U::Celu => {
            if x >= 0.0 {
                x
            } else {
                p[0] * libm::expm1(x / p[0])
            }
        }
        U::HardSigmoid => (p[0] * x + p[1]).clamp(0.0, 1.0),
        U::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        U::Mish => x * libm::tanh(softplus(x)),
        U::ThresholdedRelu => {
            if x > p[0] {
                x
            } else {
                0.0
            }
        }
        U::Floor => libm::floor(x),
        U::Ceil => libm::ceil(x),
        U::Round => libm::rint(x),
        U::Sign => {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x * 0.0
            }
        }
        U::Sin => libm::sin(x),
        U::Cos => libm::cos(x),
        U::Tan => libm::tan(x),
        U::Asin => libm::asin(x),
        U::Acos => libm::acos(x),
        U::Atan => libm::atan(x),
        U::Sinh => libm::sinh(x),
        U::Cosh => libm::cosh(x),
        U::Asinh => libm::asinh(x),
        U::Acosh => libm::acosh(x),
        U::Atanh => libm::atanh(x),
        U::Not => f64::from(u8::from(x == 0.0)),
        U::IsNan => f64::from(u8::from(x.is_nan())),
        U::IsInf => f64::from(u8::from(x.is_infinite())),
    }
}

macro_rules! float {
    ($ty:ident, $pow:path, $fmod:path, $floor:path) => {
        impl Number for $ty {
            #[inline]
            fn unary(self, code: UnaryCode, p: [f64; 2]) -> Self {
                unary_f64(f64::from(self), code, p) as $ty
            }
            #[inline(always)]
            fn binary(self, code: BinaryCode, y: Self) -> Self {
                let x = self;
                match code {
                    BinaryCode::Add => x + y,
                    BinaryCode::Sub => x - y,
                    BinaryCode::Mul => x * y,
                    BinaryCode::Div => x / y,
                    BinaryCode::Min => {
                        if x.is_nan() || x < y {
                            x
                        } else {
                            y
                        }
                    }
                    BinaryCode::Max => {
                        if x.is_nan() || x > y {
                            x
                        } else {
                            y
                        }
                    }
                    BinaryCode::Pow => $pow(x, y),
                    BinaryCode::Mod => {
                        let r = $fmod(x, y);
                        if r != 0.0 && (r < 0.0) != (y < 0.0) { r + y } else { r }
                    }
                    BinaryCode::Fmod => $fmod(x, y),
                    BinaryCode::PRelu => {
                        if x < 0.0 {
                            x * y
                        } else {
                            x
                        }
                    }
                    _ => x,
                }
            }
            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn to_i64(self) -> i64 {
                self as i64
            }
            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $ty
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $ty::is_nan(self)
            }
            #[inline(always)]
            fn is_infinite(self, negative: bool, positive: bool) -> bool {
                (negative && self == -$ty::INFINITY) || (positive && self == $ty::INFINITY)
            }
            const LOWEST: Self = -$ty::INFINITY;
            const HIGHEST: Self = $ty::INFINITY;
        }
    };
}
float!(f32, libm::powf, libm::fmodf, libm::floorf);
float!(f64, libm::pow, libm::fmod, libm::floor);

macro_rules! integer {
    ($($ty:ident),*) => {$(
        impl Number for $ty {
            #[inline]
            fn unary(self, code: UnaryCode, p: [f64; 2]) -> Self {
                let zero = 0 as $ty;
                match code {
                    UnaryCode::Neg => zero.wrapping_sub(self),
                    #[allow(unused_comparisons, reason = "written once for all integer types")]
                    UnaryCode::Abs => if self < zero { zero.wrapping_sub(self) } else { self },
                    UnaryCode::Relu => self.max(zero),
                    UnaryCode::Clip => {
                        // Saturating conversions make an infinite limit none.
                        let (low, high) = (p[0] as $ty, p[1] as $ty);
                        self.max(low).min(high)
                    }
                    #[allow(unused_comparisons, reason = "written once for all integer types")]
                    UnaryCode::Sign => if self > zero { 1 } else if self < zero { zero.wrapping_sub(1) } else { zero },
                    UnaryCode::Not => (self == zero) as $ty,
                    UnaryCode::BitwiseNot => !self,
                    _ => self,
                }
            }
            #[inline(always)]
            fn binary(self, code: BinaryCode, y: Self) -> Self {
                let x = self;
                match code {
                    BinaryCode::Add => x.wrapping_add(y),
                    BinaryCode::Sub => x.wrapping_sub(y),
                    BinaryCode::Mul => x.wrapping_mul(y),
                    BinaryCode::Div => if y == 0 { 0 } else { x.wrapping_div(y) },
                    BinaryCode::Min => x.min(y),
                    BinaryCode::Max => x.max(y),
                    BinaryCode::Pow => power(i128::from(x), i128::from(y)) as $ty,
                    BinaryCode::Mod if y == 0 => 0,
                    #[allow(unused_comparisons, reason = "written once for all integer types")]
                    BinaryCode::Mod => {
                        let r = x.wrapping_rem(y);
                        if r != 0 && (r < 0) != (y < 0) { r.wrapping_add(y) } else { r }
                    }
                    BinaryCode::Fmod => if y == 0 { 0 } else { x.wrapping_rem(y) },
                    #[allow(unused_comparisons, reason = "written once for all integer types")]
                    BinaryCode::PRelu => if x < 0 { x.wrapping_mul(y) } else { x },
                    BinaryCode::BitwiseAnd => x & y,
                    BinaryCode::BitwiseOr => x | y,
                    BinaryCode::BitwiseXor => x ^ y,
                    BinaryCode::ShiftLeft => x.checked_shl(y as u32).unwrap_or(0),
                    #[allow(unused_comparisons, reason = "written once for all integer types")]
                    BinaryCode::ShiftRight => x
                        .checked_shr(y as u32)
                        .unwrap_or(if x < 0 { (0 as $ty).wrapping_sub(1) } else { 0 }),
                }
            }
            #[inline(always)]
            fn to_f32(self) -> f32 { self as f32 }
            #[inline(always)]
            fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)]
            fn to_i64(self) -> i64 { self as i64 }
            #[inline(always)]
            fn from_f64(x: f64) -> Self { x as $ty }
            #[inline(always)]
            fn is_nan(self) -> bool { false }
            #[inline(always)]
            fn is_infinite(self, _: bool, _: bool) -> bool { false }
            const LOWEST: Self = $ty::MIN;
            const HIGHEST: Self = $ty::MAX;
        }
    )*};
}
integer!(i8, u8, i16, u16, i32, u32, i64, u64);

/// Integer power; a negative exponent gives what truncation leaves.
fn power(base: i128, exponent: i128) -> i128 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 => {
                if exponent % 2 == 0 {
                    1
                } else {
                    -1
                }
            }
            _ => 0,
        };
    }
    let (mut result, mut square, mut left) = (1i128, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        left >>= 1;
    }
    result
}
