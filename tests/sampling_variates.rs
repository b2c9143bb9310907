//! Variates and copulas have the distributions asked for.
//!
//! Seeds are fixed, so a test passes always or never. Each statistic is turned into a standard
//! normal score, and [`LIMIT`] is what a score may be: 5.2, which a right generator exceeds by
//! chance with probability 2e-7; the limit of Kolmogorov's statistic, 2.8, is exceeded with
//! probability 3e-7. The whole file makes about 170 of them: had the seeds been drawn at random, one
//! run in 25,000 would fail.
#![cfg(feature = "std")]

use nowcast::kernels::Level;
use nowcast::sampling::{
    Antithetic, Categorical, Copula, Gaussian, PathAddress, StudentT, Tails, exponentials,
    standard_normals, uniforms,
};

const LIMIT: f64 = 5.2;
const HOME: PathAddress = PathAddress { seed: 2026, stream: 9, path: 0 };
/// Sample sizes of unoptimized builds are divided by this.
const SHRINK: usize = if cfg!(debug_assertions) { 16 } else { 1 };
const SAMPLES: usize = (1 << 21) / SHRINK;

fn assert_score(name: &str, score: f64) {
    assert!(score.abs() < LIMIT, "{name}: {score:.2} standard deviations");
}

/// Pearson's statistic over cells of known expectation, by Wilson and Hilferty's transform.
fn assert_cells(name: &str, counts: &[u32], expected: impl Fn(usize) -> f64) {
    let term = |(cell, count): (usize, &u32)| {
        let expected = expected(cell);
        (f64::from(*count) - expected).powi(2) / expected
    };
    let statistic: f64 = counts.iter().enumerate().map(term).sum();
    let freedom = (counts.len() - 1) as f64;
    let spread = 2.0 / (9.0 * freedom);
    assert_score(name, ((statistic / freedom).cbrt() - (1.0 - spread)) / spread.sqrt());
}

/// The probabilities below variates are uniform (Kolmogorov and Smirnov, and 256 cells), their
/// upper and lower ends have their share, and neighbours are uncorrelated.
fn assert_uniform(name: &str, mut below: Vec<f64>) {
    let count = below.len() as f64;
    let mut cells = [0u32; 256];
    for p in &below {
        assert!((0.0..=1.0).contains(p), "{name}: {p}");
        cells[((p * 256.0) as usize).min(255)] += 1;
    }
    assert_cells(&format!("{name}, cells"), &cells, |_| count / 256.0);
    for (side, ends) in [("low", false), ("high", true)] {
        let share = 2f64.powi(-11);
        let end = |p: &&f64| if ends { 1.0 - **p < share } else { **p < share };
        let found = below.iter().filter(end).count() as f64;
        // Anscombe's transform.
        let root = |x: f64| 2.0 * (x + 0.375).sqrt();
        assert_score(&format!("{name}, {side} end"), root(found) - root(share * count));
    }
    let products = below.windows(2).map(|pair| 12.0 * (pair[0] - 0.5) * (pair[1] - 0.5));
    assert_score(&format!("{name}, neighbours"), products.sum::<f64>() / count.sqrt());
    below.sort_unstable_by(f64::total_cmp);
    let distance = below.iter().enumerate().fold(0.0f64, |most, (n, p)| {
        most.max(p - n as f64 / count).max((n + 1) as f64 / count - p)
    });
    let scaled = distance * count.sqrt();
    assert!(scaled < 2.8, "{name}: Kolmogorov-Smirnov {scaled}");
}

#[test]
fn uniforms_are_uniform() {
    for dim in [1, 64, SAMPLES] {
        let mut single = vec![0.0f32; SAMPLES];
        uniforms(Level::detect(), HOME, dim, &mut single).unwrap();
        let below = single.iter().map(|u| f64::from(*u)).collect();
        assert_uniform(&format!("f32 {dim}"), below);
        let mut double = vec![0.0f64; SAMPLES];
        uniforms(Level::detect(), HOME, dim, &mut double).unwrap();
        // Also of the bits that only `f64` has.
        let fine = double.iter().map(|u| (u * 2f64.powi(32)).fract()).collect();
        assert_uniform(&format!("f64 {dim}, fine"), fine);
        assert_uniform(&format!("f64 {dim}"), double);
    }
}

#[test]
fn exponentials_are_exponential() {
    for dim in [1, 64, SAMPLES] {
        let mut single = vec![0.0f32; SAMPLES];
        exponentials(Level::detect(), HOME, dim, &mut single).unwrap();
        let below = single.iter().map(|e| -(-f64::from(*e)).exp_m1()).collect();
        assert_uniform(&format!("f32 {dim}"), below);
        let mut double = vec![0.0f64; SAMPLES];
        exponentials(Level::detect(), HOME, dim, &mut double).unwrap();
        let below = double.iter().map(|e| -(-e).exp_m1()).collect();
        assert_uniform(&format!("f64 {dim}"), below);
    }
}

/// Distribution functions in closed form.
#[test]
fn student_variates_have_their_distribution() {
    let cauchy = |t: f64| 0.5 + t.atan() / std::f64::consts::PI;
    let two = |t: f64| 0.5 + t / (2.0 * (2.0 + t * t).sqrt());
    let three = |t: f64| {
        let x = t / 3f64.sqrt();
        0.5 + (x / (1.0 + x * x) + x.atan()) / std::f64::consts::PI
    };
    let four = |t: f64| {
        let u = t / (4.0 + t * t).sqrt();
        0.5 + 0.25 * u * (3.0 - u * u)
    };
    let normal = |t: f64| 0.5 * libm::erfc(-t * std::f64::consts::FRAC_1_SQRT_2);
    let cases: [(f64, &dyn Fn(f64) -> f64); 5] =
        [(1.0, &cauchy), (2.0, &two), (3.0, &three), (4.0, &four), (1e12, &normal)];
    for (freedom, below) in cases {
        let mut storage = vec![0.0; StudentT::len(freedom)];
        let student = StudentT::new(freedom, &mut storage).unwrap();
        let mut t = vec![0.0f32; SAMPLES];
        student.draw(Level::detect(), HOME, 64, &mut t).unwrap();
        assert_uniform(&format!("{freedom}"), t.iter().map(|t| below(f64::from(*t))).collect());
    }
}

/// The quantile at the probability below the normal of the same word.
#[test]
fn a_student_variate_is_a_function_of_its_normal() {
    let mut storage = vec![0.0; StudentT::len(1e12)];
    let student = StudentT::new(1e12, &mut storage).unwrap();
    let (mut t, mut z) = (vec![0.0f64; 64 * 999], vec![0.0f64; 64 * 999]);
    student.draw(Level::detect(), Antithetic(HOME), 64, &mut t).unwrap();
    standard_normals(Level::detect(), Antithetic(HOME), 64, &mut z).unwrap();
    for (t, z) in t.iter().zip(z) {
        assert!((t - z).abs() < 1e-10 * z.abs(), "{t} {z}");
    }
}

#[test]
fn categories_have_their_shares() {
    for categories in [2, 7, 24, 25, 300] {
        let weight = |n: usize| if n % 5 == 3 { 0.0 } else { 1.0 + (n % 13) as f64 };
        let weights: Vec<f64> = (0..categories).map(weight).collect();
        let total: f64 = weights.iter().sum();
        let mut storage = vec![0; Categorical::len(categories)];
        let categorical = Categorical::new(&weights, &mut storage).unwrap();
        for dim in [1, 64, SAMPLES] {
            let mut drawn = vec![0; SAMPLES];
            categorical.draw(Level::detect(), HOME, dim, &mut drawn).unwrap();
            let mut counts = vec![0u32; categories];
            for category in drawn {
                counts[category as usize] += 1;
            }
            assert!(counts.iter().zip(&weights).all(|(count, w)| *w > 0.0 || *count == 0));
            let shares = || weights.iter().zip(&counts).filter(|(w, _)| **w > 0.0);
            let counts: Vec<u32> = shares().map(|(_, count)| *count).collect();
            let shares: Vec<f64> = shares().map(|(w, _)| w / total).collect();
            let expected = |cell: usize| shares[cell] * SAMPLES as f64;
            assert_cells(&format!("{categories} by {dim}"), &counts, expected);
        }
    }
}

/// Marginals are those of the tables, and the scores have the correlation of the Gaussian.
#[test]
fn copulas_have_their_marginals_and_correlations() {
    let (levels, values) = (
        [0.05, 0.25, 0.5, 0.75, 0.95],
        [0.0, 1.0, 1.5, 4.0, 9.0, -3.0, -1.0, 0.0, 0.5, 0.6, 10.0, 20.0, 40.0, 80.0, 160.0],
    );
    let (loadings, own) = ([2.0, -3.0, 0.5], [1.0, 4.0, 1.0]);
    let mut storage = [0.0f32; Gaussian::low_rank_len(3, 1)];
    let mut scratch = [0.0; Gaussian::low_rank_scratch_len(1)];
    let mean = [7.0, 8.0, 9.0];
    let gaussian =
        Gaussian::low_rank(Level::detect(), &mean, &loadings, &own, &mut storage, &mut scratch)
            .unwrap();
    for tails in [Tails::Normal, Tails::Exponential] {
        let mut storage = [0.0; Copula::len(3, 5)];
        let copula = Copula::new(gaussian, &levels, &values, tails, &mut storage).unwrap();
        let paths = SAMPLES / 4;
        let mut drawn = vec![0.0; 3 * paths];
        copula.draw(Level::detect(), HOME, &mut drawn).unwrap();
        let scores: Vec<f64> =
            drawn.iter().enumerate().map(|(n, x)| copula.score(n % 3, f64::from(*x))).collect();
        for index in 0..3 {
            let below = scores.iter().skip(index).step_by(3);
            let below = below.map(|z| 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2));
            assert_uniform(&format!("{tails:?} {index}"), below.collect());
            // Quantiles, counted.
            for p in [0.01, 0.4, 0.9, 0.99] {
                let limit = copula.quantile(index, p);
                let row = drawn.iter().skip(index).step_by(3);
                let found = row.filter(|x| f64::from(**x) < limit).count() as f64;
                let (count, name) = (paths as f64, format!("{tails:?} {index} below {p}"));
                assert_score(&name, (found - p * count) / (p * (1.0 - p) * count).sqrt());
            }
            let other = (index + 1) % 3;
            let variance = |index: usize| loadings[index] * loadings[index] + own[index];
            let wanted =
                loadings[index] * loadings[other] / (variance(index) * variance(other)).sqrt();
            let products = scores.chunks_exact(3).map(|path| path[index] * path[other]);
            let error = products.sum::<f64>() / paths as f64 - wanted;
            let deviation = ((1.0 + wanted * wanted) / paths as f64).sqrt();
            assert_score(&format!("{tails:?} {index} with {other}"), error / deviation);
        }
    }
}
