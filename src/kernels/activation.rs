//! The activations that a product applies to its result.

use super::math;
use super::simd::Simd;

/// A function of each element of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// The element itself.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x`, times the parameter below zero.
    LeakyRelu(f32),
    /// `x` between two bounds.
    Clip(f32, f32),
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x / 2 (1 + erf(x / sqrt(2)))`.
    Gelu,
    /// The approximation of `Gelu` by a hyperbolic tangent.
    GeluTanh,
    /// `x / (1 + e^-x)`.
    Silu,
    /// `x / (1 + e^-ax)` with the parameter `a`.
    Swish(f32),
}

/// Applies `$body` to every vector of a slice, the tail included.
macro_rules! each_vector {
    ($s:ident, $data:expr, |$x:ident| $body:expr) => {{
        let mut chunks = $data.chunks_exact_mut(S::LANES);
        for chunk in &mut chunks {
            let $x = $s.load(chunk);
            $s.store($body, chunk);
        }
        let tail = chunks.into_remainder();
        if !tail.is_empty() {
            let $x = $s.load_tail(tail);
            $s.store_tail($body, tail);
        }
    }};
}

impl Activation {
    /// Its bounds, if it does no more than keep `x` between bounds.
    #[inline]
    pub const fn clamp(self) -> Option<(f32, f32)> {
        match self {
            Self::None => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Self::Relu => Some((0.0, f32::INFINITY)),
            Self::Clip(low, high) => Some((low, high)),
            _ => None,
        }
    }

    /// Applies it to every element in place. NaN stays NaN.
    ///
    /// **Cost**: one pass; the choice is made once.
    #[inline(always)]
    pub fn apply<S: Simd>(self, s: S, data: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Relu => {
                let zero = s.splat(0.0);
                each_vector!(s, data, |x| s.max(zero, x));
            }
            Self::LeakyRelu(slope) => {
                let (zero, slope) = (s.splat(0.0), s.splat(slope));
                each_vector!(s, data, |x| s.select(s.lt(x, zero), s.mul(x, slope), x));
            }
            Self::Clip(low, high) => {
                let (low, high) = (s.splat(low), s.splat(high));
                each_vector!(s, data, |x| s.min(high, s.max(low, x)));
            }
            Self::Sigmoid => each_vector!(s, data, |x| math::sigmoid(s, x)),
            Self::Tanh => each_vector!(s, data, |x| math::tanh(s, x)),
            Self::Gelu => each_vector!(s, data, |x| math::gelu(s, x)),
            Self::GeluTanh => each_vector!(s, data, |x| math::gelu_tanh(s, x)),
            Self::Silu => each_vector!(s, data, |x| math::silu(s, x)),
            Self::Swish(slope) => {
                let slope = s.splat(slope);
                each_vector!(s, data, |x| s.mul(x, math::sigmoid(s, s.mul(slope, x))));
            }
        }
    }
}
