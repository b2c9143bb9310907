//! The activations of recurrent layers.

use crate::kernels::math;
use crate::kernels::scalar::Scalar;
use crate::kernels::simd::Simd;

/// An activation of a recurrent layer, with the parameters of ONNX.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RecurrentActivation {
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// `a x + b`.
    Affine(f32, f32),
    /// `x`, times `a` below zero.
    LeakyRelu(f32),
    /// `x` from `a` on, else zero.
    ThresholdedRelu(f32),
    /// `a tanh(b x)`.
    ScaledTanh(f32, f32),
    /// `a x + b`, at least zero and at most one.
    HardSigmoid(f32, f32),
    /// `x`, `a (e^x - 1)` below zero.
    Elu(f32),
    /// `x / (1 + |x|)`.
    Softsign,
    /// `ln(1 + e^x)`.
    Softplus,
}

impl RecurrentActivation {
    /// Its value at `x`.
    pub fn of(self, x: f32) -> f32 {
        match self {
            Self::Sigmoid => math::sigmoid(Scalar, x),
            Self::Tanh => math::tanh(Scalar, x),
            Self::Relu => Scalar.max(0.0, x),
            Self::Affine(a, b) => a * x + b,
            Self::LeakyRelu(a) => {
                if x < 0.0 {
                    a * x
                } else {
                    x
                }
            }
            Self::ThresholdedRelu(a) => {
                if x >= a {
                    x
                } else {
                    0.0
                }
            }
            Self::ScaledTanh(a, b) => a * math::tanh(Scalar, b * x),
            Self::HardSigmoid(a, b) => Scalar.min(1.0, Scalar.max(0.0, a * x + b)),
            Self::Elu(a) => {
                if x < 0.0 {
                    a * math::expm1(Scalar, x)
                } else {
                    x
                }
            }
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Softplus => math::softplus(Scalar, x),
        }
    }

    /// Its values at the lanes of `x`.
    #[inline(always)]
    pub(super) fn lanes<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        match self {
            Self::Sigmoid => math::sigmoid(s, x),
            Self::Tanh => math::tanh(s, x),
            _ => {
                let mut lanes = [0.0; 16];
                s.store(x, &mut lanes);
                self.each(&mut lanes[..S::LANES]);
                s.load(&lanes)
            }
        }
    }

    #[inline(never)]
    fn each(self, x: &mut [f32]) {
        for x in x {
            *x = self.of(*x);
        }
    }
}
