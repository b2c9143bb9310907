//! Random numbers, standard normals and Gaussian sample paths.
//!
//! Owns the generators, the map from their words to normals, and [`Gaussian`]. Its one invariant: a
//! path is a function of its [`PathAddress`] alone, bit for bit, on every instruction set and in
//! whatever block, order or number the paths are made. It must not allocate, keep state between
//! calls or know what a path is a forecast of.
//!
//! # What there is
//! - **Sources of words**: independent paths ([`PathAddress`]), mirrored pairs ([`Antithetic`]),
//!   scrambled Sobol points ([`SobolPaths`]). Every draw takes any of them.
//! - **Distributions**: [`Gaussian`] of `f32` or `f64`, full, diagonal, of low rank, or a mixture;
//!   singular covariances by choice ([`OnSingular`]).
//! - **Other variates**, by inversion from the same words: [`uniforms`], [`exponentials`],
//!   [`StudentT`], [`Categorical`]; [`Copula`] gives the dependence of a Gaussian to marginals that
//!   are tables of quantiles.
//! - **What is said without drawing**: density and Mahalanobis distance, marginals and conditions
//!   ([`Gaussian::given`]), quantiles of weighted sums ([`Gaussian::linear_quantile`]).
//! - **What is drawn**: paths by path or by dimension, as many as a deadline allows
//!   ([`Gaussian::draw_until`]), moments and probabilities of paths that nobody keeps.
//! - **What follows a stream**: [`ExponentialCovariance`], whose factor is updated in place.
//!
//! # From an address to words
//! [`philox4x32_10`] with the counter `[path low, path high, stream low, stream high]` and the key
//! `[seed low, seed high]` (32-bit halves) gives four words: the state of one xoshiro128++
//! generator. Philox is a bijection of its counter, so under one seed no two paths of no two
//! streams share a starting state. The state of four zeros, where xoshiro would stand still, is
//! replaced by `[0, 0, 0, 1]`. [`PathWords`] yields the words.
//!
//! # From words to normals
//! A path's normals take one word each, in order. A word `w` is read as a two's complement
//! integer; `m` is `!w` where it is negative and `w` elsewhere, and `tail = 2^31 - 1 - m`. The
//! normal has the sign of that integer, and the probability beyond it is
//!
//! - `(tail + 1/2) / 2^32` where `tail >= 2^23`;
//! - `(tail + (k + 1/2) / 2^31) / 2^32` elsewhere, which is one word in 256. `k` is the upper 31
//!   bits of a second word, made from the state `s` as the first word left it: the finalizer of
//!   MurmurHash3 applied to `s[1] ^ rotate_left(s[2], 16)`. It takes nothing from the sequence, so
//!   the number of words a path uses is the number of its normals.
//!
//! Magnitudes reach from `2.9e-10` to 9.08, and no normal is zero. See [`standard_normals`] for the
//! accuracy of the inverse.
//!
//! A normal of `f64` takes all 32 bits `k` of the second word always, so it is the normal of `f32`
//! at the same place, refined: the probability beyond it is `(tail + (k + 1/2) / 2^32) / 2^32`.

mod cholesky;
mod copula;
mod draw;
mod error;
mod exponential;
mod gaussian;
mod moments;
mod normal;
mod normal64;
#[cfg(feature = "std")]
mod owned;
mod paths;
mod philox;
mod quantile;
mod real;
mod room;
mod semidefinite;
mod sobol;
mod source;
mod tile;
mod transform;
mod triangular;
mod update;
mod variates;

pub use copula::{Copula, CopulaError, Tails};
pub use draw::standard_normals;
pub use error::{DrawError, GaussianError, PointError};
pub use exponential::{Decay, ExponentialCovariance, ExponentialError};
pub use gaussian::{Frequency, Gaussian, Linear, OnSingular};
pub use moments::Moments;
#[cfg(feature = "std")]
pub use owned::OwnedGaussian;
pub use paths::{PathAddress, PathWords};
pub use philox::philox4x32_10;
pub use quantile::normal_quantile;
pub use real::Real;
#[cfg(feature = "std")]
pub use sobol::OwnedSobol;
pub use sobol::{Sobol, SobolError, SobolPaths};
pub use source::{Antithetic, Source};
pub use update::{UpdateError, rank_one_downdate, rank_one_update};
pub use variates::{Categorical, StudentT, VariateError, exponentials, uniforms};
