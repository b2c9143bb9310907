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
    let samples = 10_000_000 / SHRINK;
    for (name, mut z) in [
        ("one path", normals(HOME, samples, 1)),
        ("many paths", normals(HOME, 1, samples)),
        ("between", normals(HOME, 64, samples / 64)),
    ] {
        let samples = z.len() as f64;
        let mut cells = [0u32; 1024];
        for z in &z {
            cells[(below(f64::from(*z)) * 1024.0) as usize] += 1;
        }
        assert_cells(&format!("{name}, cells"), &cells, |_| samples / 1024.0);

        // Kolmogorov and Smirnov; the limit of 2.8 is exceeded with probability 3e-7.
        z.sort_unstable_by(f32::total_cmp);
        let distance = z.iter().enumerate().fold(0.0f64, |most, (n, z)| {
            let p = below(f64::from(*z)) * samples;
            most.max(p - n as f64).max((n + 1) as f64 - p)
        });
        let scaled = distance / samples.sqrt();
        assert!(scaled < 2.8, "{name}: Kolmogorov-Smirnov {scaled}");

        // Anderson and Darling, which weighs the tails. Far out the statistic is as half a
        // chi-squared of one degree times sqrt(3) in probability: sqrt(3) erfc(sqrt(14)) = 2e-7.
        let terms = z.iter().zip(z.iter().rev()).enumerate().map(|(n, (low, high))| {
            let logs = below(f64::from(*low)).ln() + below(-f64::from(*high)).ln();
            (2 * n + 1) as f64 * logs
        });
        let statistic = -samples - terms.sum::<f64>() / samples;
        assert!(statistic < 14.0, "{name}: Anderson-Darling {statistic}");
    }
}

/// Path of [`HOME`]'s seed and stream, its first word, the second word that goes with it, and the
/// normal that the documentation defines for them, out to 6.5 and on both sides of the seams: by
/// mpmath with 50 digits, as the root of `erfc(z / sqrt(2)) / 2 - probability`, rounded to `f64`.
#[rustfmt::skip]
const TABULATED: [(u64, u32, u32, f64); 39] = [
    (2_506_087_683, 0xffff_ffff, 0x0f5b_f97f, -2.918_099_372_916_623e-10),
    (498_177_019, 0x0000_0000, 0x14d8_e1b4, 2.918_099_372_916_623e-10),
    (262_891_564, 0xc000_0000, 0x386b_5d6e, -0.674_489_749_829_738_4),
    (6_770_829_021, 0x3fff_ffff, 0x6393_3035, 0.674_489_749_829_738_4),
    (9_575_637_373, 0x5762_5e89, 0xf3b1_3439, 1.000_000_000_456_272),
    (2_566_693_310, 0x85d2_f3e0, 0x3948_2b96, -2.000_000_000_850_036_5),
    (11_119_529_549, 0x8200_0000, 0x41c3_d73c, -2.417_559_010_813_537_4),
    (597_280_962, 0x7dff_ffff, 0x2b02_91ad, 2.417_559_010_813_537_4),
    (1_101_248_036, 0x8080_0000, 0xe035_fa9e, -2.885_634_893_665_540_3),
    (938_101_960, 0x7f7f_ffff, 0xad03_f034, 2.885_634_893_665_540_3),
    (5_561_664_027, 0x7f80_0000, 0xffa9_b7d7, 2.885_634_912_476_157_8),
    (6_944_240_977, 0x807f_ffff, 0xc597_7577, -2.885_634_920_987_788_7),
    (9_377_808_706, 0x7f80_0000, 0x5d16_d557, 2.885_634_936_304_922_5),
    (15_307_777_819, 0x807f_ffff, 0x3f4e_ecdc, -2.885_634_940_669_968),
    (7_717_235_197, 0x7fa7_8878, 0xdf74_6094, 3.000_000_001_361_543_8),
    (930_958_763, 0x7fff_c6ff, 0xe90b_d4e1, 4.499_999_775_911_97),
    (2_066_593_301, 0x7fff_fb30, 0xdb53_a774, 4.999_890_777_884_613),
    (2_463_352_487, 0x8000_04cf, 0x3d0c_297e, -4.999_987_575_147_845),
    (12_237_136_691, 0x8000_0051, 0xf7e0_5efc, -5.499_118_536_431_579),
    (15_391_877_173, 0x8000_0004, 0xe20f_94ff, -5.976_927_918_571_214),
    (15_966_827_842, 0x7fff_fffb, 0x8df3_c44e, 5.988_269_470_587_384),
    (513_795_128, 0x7fff_fffb, 0x6384_e1b0, 5.994_297_514_029_514),
    (6_877_037_337, 0x8000_0004, 0x144d_931e, -6.006_169_493_125_944),
    (5_459_819_077, 0x8000_0002, 0xf893_d4a2, -6.057_389_592_887_001),
    (1_551_743_945, 0x7fff_fffd, 0xd4ba_a97d, 6.065_153_770_788_087),
    (11_584_027_241, 0x7fff_fffd, 0x3620_064f, 6.104_725_426_521_032),
    (6_110_029_550, 0x8000_0002, 0x0942_45ad, -6.117_900_161_064_215),
    (15_413_165_283, 0x7fff_fffe, 0xeb5c_ec6f, 6.127_307_905_524_91),
    (16_748_078_981, 0x8000_0001, 0xc81b_1d28, -6.139_148_119_334_651),
    (6_845_907_563, 0x7fff_fffe, 0x9a54_8404, 6.155_929_087_218_977),
    (2_847_850_766, 0x8000_0001, 0x5818_c80f, -6.183_764_191_776_49),
    (34_595_680_488, 0x8000_0000, 0xfce3_062d, -6.232_176_615_738_818),
    (13_061_890_810, 0x7fff_ffff, 0xe4bd_a4b9, 6.247_874_007_232_633),
    (19_245_927_652, 0x8000_0000, 0x7d79_7913, -6.341_028_174_426_985),
    (28_465_651_357, 0x7fff_ffff, 0x3df5_b8f7, 6.448_846_933_853_782),
    (27_031_847_581, 0x7fff_ffff, 0x2226_912c, 6.538_546_251_859_589),
    (17_900_203_513, 0x8000_0000, 0x2146_1721, -6.542_436_167_834_821),
    (40_626_330_525, 0x7fff_ffff, 0x200f_0215, 6.547_995_951_076_645),
    (22_973_074_007, 0x8000_0000, 0x1dba_83e6, -6.559_258_578_334_187_5),
];

#[test]
fn tabulated_words_give_their_normals() {
    for (path, word, second, expected) in TABULATED {
        let address = PathAddress { path, ..HOME };
        assert_eq!(PathWords::new(address).next_word(), word, "path {path}");
        // The table is of the definition.
        let tail = f64::from(i32::MAX - if word >> 31 == 1 { !word } else { word } as i32);
        let within = if tail < 2f64.powi(23) {
            (f64::from(second >> 1) + 0.5) * 2f64.powi(-31)
        } else {
            0.5
        };
        let beyond = (tail + within) * 2f64.powi(-32);
        assert!((below(-expected.abs()) / beyond - 1.0).abs() < 1e-13, "word {word:#x}");
        for level in [Level::scalar(), Level::detect()] {
            let mut z = [0.0f32];
            standard_normals(level, address, 1, &mut z).unwrap();
            let error = (f64::from(z[0]) / expected - 1.0).abs();
            assert!(error < 3e-7, "word {word:#x}: {} of {expected}, {error:e}", z[0]);
        }
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

/// Whatever two addresses share, their paths share nothing.
#[test]
fn addresses_that_differ_in_one_bit_give_independent_paths() {
    let (dim, paths) = (64, (1 << 12) / SHRINK);
    let here = normals(HOME, dim, paths);
    for bit in 0..192 {
        // A bit below the number of paths would swap them among themselves: every path twice.
        if bit < paths.ilog2() as usize {
            continue;
        }
        let mut first = HOME;
        let parts = [&mut first.path, &mut first.stream, &mut first.seed];
        *parts[bit / 64] ^= 1 << (bit % 64);
        let there = normals(first, dim, paths);
        let pairs = here.iter().zip(&there).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        assert_uncorrelated(&format!("bit {bit} of path, stream and seed"), pairs);
    }
}

/// A part that thousands of paths have in common, too small to be seen between two of them, adds up
/// in their sum.
#[test]
fn sums_over_paths_streams_and_seeds_are_normal() {
    let (dim, count) = (256, (1 << 14) / SHRINK as u64);
    type Addresses = fn(u64) -> PathAddress;
    let addresses: [(&str, Addresses); 3] = [
        ("paths", |n| PathAddress { path: n, ..HOME }),
        ("streams", |n| PathAddress { stream: n, ..HOME }),
        ("seeds", |n| PathAddress { seed: n, ..HOME }),
    ];
    for (name, address) in addresses {
        let (mut sums, mut squares) = (vec![0.0f64; dim], vec![0.0f64; dim]);
        for n in 0..count {
            for (index, z) in normals(address(n), dim, 1).into_iter().map(f64::from).enumerate() {
                sums[index] += z;
                squares[index] += (z * z - 1.0) / 2f64.sqrt();
            }
        }
        for (power, sums) in [("", sums), (", squared", squares)] {
            let statistic: f64 = sums.iter().map(|sum| sum * sum / count as f64).sum();
            assert_chi_squared(&format!("sums over {name}{power}"), statistic, dim as f64);
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
    let mut out = vec![0.0f32; paths * dim];
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
