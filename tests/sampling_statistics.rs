//! Words are uniform and independent, normals are normal, draws have the moments asked for.
//!
//! Seeds are fixed, so a test passes always or never. Each statistic is turned into a standard
//! normal score, and [`LIMIT`] is what a score may be: 5.2, which a right generator exceeds by
//! chance with probability 2e-7. The whole file makes about 450 scores: had the seeds been drawn
//! at random, one run in 11,000 would fail.
#![cfg(feature = "std")]

use nowcast::kernels::Level;
use nowcast::sampling::{OwnedGaussian, PathAddress, PathWords, standard_normals};

const LIMIT: f64 = 5.2;
const HOME: PathAddress = PathAddress { seed: 2026, stream: 3, path: 0 };
/// Sample sizes of unoptimized builds are divided by this.
const SHRINK: usize = if cfg!(debug_assertions) { 16 } else { 1 };

fn assert_score(name: &str, score: f64) {
    assert!(score.abs() < LIMIT, "{name}: {score:.2} standard deviations");
}

fn assert_count(name: &str, count: f64, expected: f64) {
    // Anscombe's transform: a Poisson count becomes almost normal, also where few are expected.
    let root = |x: f64| 2.0 * (x + 0.375).sqrt();
    assert_score(name, root(count) - root(expected));
}

/// Pearson's statistic over cells of known expectation.
fn assert_cells(name: &str, counts: &[u32], expected: impl Fn(usize) -> f64) {
    let term = |(cell, count): (usize, &u32)| {
        let expected = expected(cell);
        (f64::from(*count) - expected).powi(2) / expected
    };
    let statistic: f64 = counts.iter().enumerate().map(term).sum();
    assert_chi_squared(name, statistic, (counts.len() - 1) as f64);
}

/// By Wilson and Hilferty's transform.
fn assert_chi_squared(name: &str, statistic: f64, freedom: f64) {
    let spread = 2.0 / (9.0 * freedom);
    assert_score(name, ((statistic / freedom).cbrt() - (1.0 - spread)) / spread.sqrt());
}

/// Correlation of pairs of unit variance, mean zero.
fn assert_uncorrelated(name: &str, pairs: impl Iterator<Item = (f64, f64)>) {
    let (count, sum) = pairs.fold((0.0, 0.0), |(count, sum), (x, y)| (count + 1.0, sum + x * y));
    assert_score(name, sum / f64::sqrt(count));
}

fn normals(first: PathAddress, dim: usize, paths: usize) -> Vec<f32> {
    let mut out = vec![0.0; paths * dim];
    standard_normals(Level::detect(), first, dim, &mut out).unwrap();
    out
}

/// The probability below `z`.
fn below(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// A way to walk through the generator: the word at a step. Steps come in order.
type Walk = Box<dyn FnMut(usize) -> u32>;

fn walks() -> [(&'static str, Walk); 4] {
    let first = |address| PathWords::new(address).next_word();
    let mut words = PathWords::new(HOME);
    [
        ("words of a path", Box::new(move |_| words.next_word())),
        ("paths", Box::new(move |n| first(PathAddress { path: n as u64, ..HOME }))),
        ("streams", Box::new(move |n| first(PathAddress { stream: n as u64, ..HOME }))),
        ("seeds", Box::new(move |n| first(PathAddress { seed: n as u64, ..HOME }))),
    ]
}

#[test]
fn words_fill_their_range_singly_and_in_pairs() {
    let samples = (1 << 22) / SHRINK;
    for (name, mut walk) in walks() {
        for shift in [26, 13, 0] {
            let mut pairs = vec![0u32; 1 << 12];
            let mut last = walk(0) >> shift & 63;
            for n in 1..=samples {
                let word = walk(n) >> shift & 63;
                pairs[(last << 6 | word) as usize] += 1;
                last = word;
            }
            let singles: Vec<u32> = pairs.chunks(64).map(|row| row.iter().sum()).collect();
            assert_cells(&format!("{name}, singles from {shift}"), &singles, |_| {
                samples as f64 / 64.0
            });
            // The pairs overlap: what is chi-squared, with 64 * 63 degrees of freedom, is their
            // statistic less that of the single values (Good, 1953).
            let pearson = |counts: &[u32]| -> f64 {
                let expected = samples as f64 / counts.len() as f64;
                counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
            };
            let statistic = pearson(&pairs) - pearson(&singles);
            assert_chi_squared(&format!("{name}, pairs from {shift}"), statistic, 64.0 * 63.0);
        }
    }
}

#[test]
fn gaps_between_small_words_are_geometric() {
    let samples = (1 << 22) / SHRINK;
    for (name, mut walk) in walks() {
        let mut gaps = [0u32; 64];
        let (mut gap, mut found) = (0, 0);
        for n in 0..samples {
            if walk(n) < 1 << 28 {
                gaps[gap.min(63)] += 1;
                found += 1;
                gap = 0;
            } else {
                gap += 1;
            }
        }
        let stay = 15.0f64 / 16.0;
        assert_cells(&format!("{name}, gaps"), &gaps, |gap| {
            let share = if gap == 63 { stay.powi(63) } else { stay.powi(gap as i32) / 16.0 };
            share * f64::from(found)
        });
    }
}

/// Marsaglia's birthday spacings: 4,096 birthdays in a year of 2^32 days leave four equal spacings
/// on average.
#[test]
fn birthdays_are_spaced_at_random() {
    let years = 320 / SHRINK;
    for (name, mut walk) in walks() {
        let mut equal = 0;
        for year in 0..years {
            let mut days: Vec<u32> = (0..4096).map(|n| walk(year * 4096 + n)).collect();
            days.sort_unstable();
            let mut spacings: Vec<u32> = days.windows(2).map(|pair| pair[1] - pair[0]).collect();
            spacings.sort_unstable();
            equal += spacings.windows(2).filter(|pair| pair[0] == pair[1]).count();
        }
        assert_count(&format!("{name}, spacings"), equal as f64, 4.0 * years as f64);
    }
}

#[test]
fn one_bit_of_the_address_changes_half_of_the_words() {
    let trials = 4000 / SHRINK as u64;
    let words = |address| {
        let mut words = PathWords::new(address);
        [0; 4].map(|_| words.next_word())
    };
    let mut noise = PathWords::new(HOME);
    let mut random = || u64::from(noise.next_word()) << 32 | u64::from(noise.next_word());
    let mut by_input = [0u64; 192];
    let mut by_output = [0u64; 128];
    for _ in 0..trials {
        let address = PathAddress { seed: random(), stream: random(), path: random() };
        let before = words(address);
        for (bit, flips) in by_input.iter_mut().enumerate() {
            let mut other = address;
            let parts = [&mut other.seed, &mut other.stream, &mut other.path];
            *parts[bit / 64] ^= 1 << (bit % 64);
            for (word, (a, b)) in before.into_iter().zip(words(other)).enumerate() {
                let changed = a ^ b;
                *flips += u64::from(changed.count_ones());
                for output in 0..32 {
                    by_output[32 * word + output] += u64::from(changed >> output & 1);
                }
            }
        }
    }
    let score = |flips: u64, of: f64| (flips as f64 - of / 2.0) / (of.sqrt() / 2.0);
    for (bit, flips) in by_input.into_iter().enumerate() {
        assert_score(&format!("address bit {bit}"), score(flips, 128.0 * trials as f64));
    }
    for (bit, flips) in by_output.into_iter().enumerate() {
        assert_score(&format!("output bit {bit}"), score(flips, 192.0 * trials as f64));
    }
}

#[test]
fn normals_are_normal() {
    let samples = (1 << 22) / SHRINK;
    for (name, mut z) in [
        ("one path", normals(HOME, samples, 1)),
        ("many paths", normals(HOME, 1, samples)),
        ("between", normals(HOME, 64, samples / 64)),
    ] {
        let mut cells = [0u32; 1024];
        for z in &z {
            cells[(below(f64::from(*z)) * 1024.0) as usize] += 1;
        }
        assert_cells(&format!("{name}, cells"), &cells, |_| samples as f64 / 1024.0);

        // Kolmogorov and Smirnov; the limit of 2.8 is exceeded with probability 3e-7.
        z.sort_unstable_by(f32::total_cmp);
        let distance = z.iter().enumerate().fold(0.0f64, |most, (n, z)| {
            let p = below(f64::from(*z)) * samples as f64;
            most.max(p - n as f64).max((n + 1) as f64 - p)
        });
        let scaled = distance / (samples as f64).sqrt();
        assert!(scaled < 2.8, "{name}: Kolmogorov-Smirnov {scaled}");
    }
}

/// The second word: what lies beyond the first 2^-8 has its own fine structure and takes part in
/// nothing else.
#[test]
fn tails_are_normal_and_independent_of_what_follows() {
    let samples = (1 << 25) / SHRINK;
    let threshold = 2f64.powi(-9);
    let mut cells = [0u32; 256];
    let mut fine = [0u32; 256];
    let (mut found, mut next) = (0, Vec::new());
    for block in normals(HOME, 64, samples / 64).chunks_exact(64) {
        for pair in block.windows(2) {
            let beyond = below(-f64::from(pair[0].abs())) / threshold;
            if beyond < 1.0 {
                found += 1;
                cells[(beyond * 256.0) as usize] += 1;
                // Bits 11 to 18 of the tail: as fine as a float can tell where most tails are.
                fine[(beyond * 2f64.powi(18)) as usize % 256] += 1;
                let score = (beyond - 0.5) * 12f64.sqrt();
                next.push((score * f64::from(pair[0].signum()), f64::from(pair[1])));
            }
        }
    }
    assert_count("tails", f64::from(found), (samples - samples / 64) as f64 * 2.0 * threshold);
    assert_cells("tails, cells", &cells, |_| f64::from(found) / 256.0);
    assert_cells("tails, fine", &fine, |_| f64::from(found) / 256.0);
    assert_uncorrelated("tails, next", next.iter().copied());
    let square = next.iter().map(|(tail, z)| (*tail, (z * z - 1.0) / 2f64.sqrt()));
    assert_uncorrelated("tails, next squared", square);
}

#[test]
fn far_tails_have_their_share() {
    let samples: usize = (1 << 29) / (SHRINK * SHRINK);
    let limits = [4.0f32, 4.5, 5.0, 5.5, 6.0];
    let mut counts = [[0u32; 2]; 5];
    let (dim, paths) = (64, 1 << 12);
    for block in 0..samples / (dim * paths) {
        let first = PathAddress { path: (block * paths) as u64, ..HOME };
        for z in normals(first, dim, paths).into_iter().filter(|z| z.abs() > limits[0]) {
            for (limit, counts) in limits.iter().zip(&mut counts) {
                counts[usize::from(z > 0.0)] += u32::from(z.abs() > *limit);
            }
        }
    }
    for (limit, counts) in limits.into_iter().zip(counts) {
        let expected = below(-f64::from(limit)) * samples as f64;
        for (side, count) in ["below", "above"].into_iter().zip(counts) {
            assert_count(&format!("{side} {limit}"), f64::from(count), expected);
        }
    }
}

#[test]
fn neighbours_are_independent() {
    let (dim, paths) = (64, (1 << 16) / SHRINK);
    let here = normals(HOME, dim, paths);
    let others = [
        ("next path", normals(PathAddress { path: 1, ..HOME }, dim, paths)),
        ("next stream", normals(PathAddress { stream: HOME.stream + 1, ..HOME }, dim, paths)),
        ("next seed", normals(PathAddress { seed: HOME.seed + 1, ..HOME }, dim, paths)),
        ("next normal", here[1..].to_vec()),
        ("next but one", here[2..].to_vec()),
    ];
    // Unit variance, whatever the power.
    let powers: [fn(f64) -> f64; 3] =
        [|z| z, |z| (z * z - 1.0) / 2f64.sqrt(), |z| (z.powi(3) - 3.0 * z) / 6f64.sqrt()];
    for (name, there) in others {
        for (n, x) in powers.into_iter().enumerate() {
            for (m, y) in powers.into_iter().enumerate() {
                let pairs = here.iter().zip(&there).map(|(a, b)| (f64::from(*a), f64::from(*b)));
                let name = format!("{name}, power {} against {}", n + 1, m + 1);
                assert_uncorrelated(&name, pairs.map(|(a, b)| (x(a), y(b))));
            }
        }
    }
}

#[test]
fn a_million_draws_have_the_moments_asked_for() {
    let dim = 6;
    let paths = 1_000_000 / SHRINK;
    let mean = [0.5, -2.0, 10.0, 0.0, 3.0, -0.25];
    let scale = [1.0, 0.2, 4.0, 1.5, 0.01, 30.0];
    let entry = |row: usize, col: usize| {
        let correlation = if row == col { 1.0 } else { 0.9 - 0.25 * row.abs_diff(col) as f64 };
        correlation * scale[row] * scale[col]
    };
    let covariance: Vec<f64> = (0..dim * dim).map(|n| entry(n / dim, n % dim)).collect();
    let owned = OwnedGaussian::full(&mean, &covariance).unwrap();
    let mut out = vec![0.0; paths * dim];
    owned.gaussian().draw(Level::detect(), HOME, &mut out).unwrap();

    let mut sums = [0.0f64; 6];
    let mut products = [[0.0f64; 6]; 6];
    for path in out.chunks_exact(dim) {
        let x: [f64; 6] = core::array::from_fn(|index| f64::from(path[index]) - mean[index]);
        for row in 0..dim {
            sums[row] += x[row];
            for (product, other) in products[row].iter_mut().zip(&x[..=row]) {
                *product += x[row] * other;
            }
        }
    }
    let paths = paths as f64;
    for row in 0..dim {
        assert_score(&format!("mean {row}"), sums[row] / paths.sqrt() / scale[row]);
        for (col, product) in products[row].iter().enumerate().take(row + 1) {
            let variance = entry(row, row) * entry(col, col) + entry(row, col).powi(2);
            let error = product / paths - entry(row, col);
            assert_score(&format!("covariance {row} {col}"), error / (variance / paths).sqrt());
        }
    }
}
