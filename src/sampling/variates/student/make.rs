//! The quantile of Student's t distribution, and its table.
//!
//! Owns the set-up: by `libm` and one fixed order, so that a table has the same bits on every host.

use libm::{exp, expm1, log, log1p, sqrt};

use super::{COEFFICIENTS, OCTAVE_BITS, Row};
use crate::sampling::quantile::normal_quantile;

/// The distribution, as the relation of `e` and `r`.
pub(super) struct Exact {
    freedom: f64,
    /// `B(freedom / 2, 1 / 2)`.
    beta: f64,
}

impl Exact {
    pub(super) fn new(freedom: f64) -> Self {
        let root_pi = sqrt(core::f64::consts::PI);
        Self { freedom, beta: root_pi * gamma_ratio(freedom / 2.0) }
    }

    /// `e` of `r`, and its derivative.
    fn at(&self, r: f64) -> (f64, f64) {
        let Self { freedom, beta } = *self;
        let y = r * r / freedom;
        // `1 / (1 + t^2 / freedom)`, and one minus it.
        let (u, rest) = (exp(-y), -expm1(-y));
        let half = r * r / 2.0;
        let e = if r < 1.5 && rest < 0.9 {
            let between = 2.0 * sqrt(rest) * exp(-half) / beta * self.series(rest, u);
            -log1p(-between)
        } else {
            // About one where `e` is small.
            half - log(sqrt(rest) / beta * self.fraction(u, rest, half))
        };
        (e, exp(e - half) * 2.0 * r / (freedom * beta * sqrt(rest)))
    }

    /// The sum of `(a + 1/2)_n / (3/2)_n x^n` for `a = freedom / 2`, given `rest = 1 - x`. From its
    /// end, where roundings do not add up.
    fn series(&self, x: f64, rest: f64) -> f64 {
        let terms = (40.0 / rest) as u32;
        (0..terms)
            .rev()
            .map(f64::from)
            .fold(1.0, |sum, n| 1.0 + (0.5 * (self.freedom + 1.0) + n) / (1.5 + n) * x * sum)
    }

    /// The continued fraction of the incomplete beta function of `freedom / 2` and 1/2 at `x`, given
    /// `rest = 1 - x`: nothing cancels, however many the degrees of freedom. From its end, where
    /// roundings do not add up.
    ///
    /// Its error after `n` terms is about `exp(-4 sqrt(n half))` where `x` is near one, and less
    /// elsewhere.
    fn fraction(&self, x: f64, rest: f64, half: f64) -> f64 {
        let (a, b) = (0.5 * self.freedom, 0.5);
        let start = a * rest - b * x + 1.0;
        let terms = (10.0 + 110.0 / half).min(110.0) as u32;
        let mut value = f64::INFINITY;
        for n in (0..=terms).rev() {
            let n = f64::from(n);
            let odd = a + 2.0 * n;
            // Of the next one.
            let above = (a + n) / (odd + 1.0)
                * ((a + b + n) / (odd + 1.0))
                * ((n + 1.0) * (b - n - 1.0) * x * x);
            let middle = if n == 0.0 { 0.0 } else { n + n * (b - n) * x / (odd - 1.0) };
            let below = middle + (a + n) / (odd + 1.0) * (start + n * (1.0 + rest));
            value = below + above / value;
        }
        1.0 / value
    }

    /// `r` of `e`, by Newton's method from about `r`.
    pub(super) fn root(&self, e: f64, mut r: f64) -> f64 {
        for _ in 0..100 {
            let (at, slope) = self.at(r);
            let next = r - (at - e) / slope;
            let next = if next > 0.0 { next } else { r / 2.0 };
            let step = (next - r).abs();
            r = next;
            if step < 1e-9 * r {
                break;
            }
        }
        r
    }

    /// `r / e` where both are small.
    pub(super) fn first_ratio(&self) -> f64 {
        0.5 * sqrt(self.freedom) * self.beta
    }

    pub(super) fn quantile(&self, p: f64) -> f64 {
        let z = normal_quantile(p);
        if !z.is_finite() || z == 0.0 {
            return z;
        }
        let between = (2.0 * p - 1.0).abs();
        let e = if between < 0.5 { -log1p(-between) } else { -log(2.0 * p.min(1.0 - p)) };
        self.magnitude(self.root(e, z.abs().min(e * self.first_ratio()))).copysign(z)
    }

    /// `t` of `r`.
    pub(super) fn magnitude(&self, r: f64) -> f64 {
        let y = r * r / self.freedom;
        let x = if y < 100.0 { sqrt(expm1(y)) } else { exp(0.5 * y) };
        sqrt(self.freedom) * x
    }
}

/// `gamma(x) / gamma(x + 1/2)`.
fn gamma_ratio(x: f64) -> f64 {
    let (mut x, mut factor) = (x, 1.0);
    while x < 30.0 {
        factor *= (x + 0.5) / x;
        x += 1.0;
    }
    // Tricomi and Erdelyi's expansion, "The asymptotic expansion of a ratio of gamma functions",
    // Pacific Journal of Mathematics 1(1), 1951, at its centre `x - 1/4`.
    let w = x - 0.25;
    let v = 1.0 / (w * w);
    let [c1, c2, c3, c4] =
        [-1.0 / 64.0, 21.0 / 8192.0, -671.0 / 524_288.0, 180_323.0 / 134_217_728.0];
    factor * (1.0 + v * (c1 + v * (c2 + v * (c3 + v * c4)))) / sqrt(w)
}

/// Fills the rows of the table.
pub(super) fn fill(exact: &Exact, floor: f64, rows: &mut [Row]) {
    let mut ratio = exact.first_ratio();
    for (number, row) in rows.iter_mut().enumerate() {
        // From 1 + e / floor at the start of the row on.
        let octave = f64::from_bits(((1023 + (number >> OCTAVE_BITS)) as u64) << 52);
        let parts = f64::from(1 << OCTAVE_BITS);
        let start = (number % (1 << OCTAVE_BITS)) as f64;
        for (x, to) in NODES.iter().zip(row.iter_mut()) {
            let place = octave * (1.0 + (start + (x + 0.5)) / parts);
            // Below one half, without the rounding of the place.
            let above = if octave == 1.0 { (start + (x + 0.5)) / parts } else { place - 1.0 };
            let e = above * floor;
            ratio = exact.root(e, e * ratio) / e;
            *to = ratio;
        }
        interpolate(row);
    }
}

/// Chebyshev's nodes between minus and plus one half.
const NODES: [f64; COEFFICIENTS] = [
    -0.490_392_640_201_615_2,
    -0.415_734_806_151_272_6,
    -0.277_785_116_509_801_1,
    -0.097_545_161_008_064_13,
    0.097_545_161_008_064_13,
    0.277_785_116_509_801_1,
    0.415_734_806_151_272_6,
    0.490_392_640_201_615_2,
];

/// From the values at the nodes to the coefficients of the polynomial through them, ascending.
fn interpolate(values: &mut Row) {
    // Newton's divided differences.
    for order in 1..COEFFICIENTS {
        for at in (order..COEFFICIENTS).rev() {
            values[at] = (values[at] - values[at - 1]) / (NODES[at] - NODES[at - order]);
        }
    }
    // And by Horner's rule to powers.
    for order in (0..COEFFICIENTS - 1).rev() {
        for at in order..COEFFICIENTS - 1 {
            values[at] -= NODES[order] * values[at + 1];
        }
    }
}
