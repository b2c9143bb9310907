//! Every form, from every source, in both precisions and layouts: the same bits on every
//! instruction set and in every block.
#![cfg(feature = "std")]

use nowcast::kernels::Level;
use nowcast::sampling::{
    Antithetic, Categorical, DrawError, Gaussian, OwnedGaussian, OwnedSobol, PathAddress, Real,
    Source, StudentT, exponentials, standard_normals, uniforms,
};

const HOME: PathAddress = PathAddress { seed: 2026, stream: 3, path: 11 };
/// The low half of the number carries within the first vector.
const CARRY: PathAddress = PathAddress { path: u32::MAX as u64 - 20, ..HOME };
/// Longer than a chunk of a mixture, and no multiple of any vector.
const PATHS: usize = 301;

/// FNV-1a of the bits.
fn fingerprint<T: Real>(values: &[T]) -> u64 {
    let bytes = values.iter().flat_map(|value| value.to_f64().to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn number(n: usize) -> f64 {
    (n * 7919 % 64) as f64 / 64.0 - 0.5
}

fn mean(dim: usize, from: usize) -> Vec<f64> {
    (0..dim).map(|index| 4.0 * number(index + from)).collect()
}

fn diagonal<T: Real>(dim: usize, from: usize) -> OwnedGaussian<T> {
    let variances: Vec<f64> = (0..dim).map(|index| 0.5 + number(index + from)).collect();
    OwnedGaussian::diagonal(&mean(dim, from), &variances).unwrap()
}

fn full<T: Real>(dim: usize, from: usize) -> OwnedGaussian<T> {
    let entry = |row: usize, col: usize| match row == col {
        true => dim as f64,
        false => number(row * col + row + col + from),
    };
    let covariance: Vec<f64> = (0..dim * dim).map(|n| entry(n / dim, n % dim)).collect();
    OwnedGaussian::full(&mean(dim, from), &covariance).unwrap()
}

fn low_rank<T: Real>(dim: usize, rank: usize, from: usize) -> OwnedGaussian<T> {
    let loadings: Vec<f64> = (0..dim * rank).map(|n| number(n + from)).collect();
    let variances: Vec<f64> = (0..dim).map(|index| 1.0 + number(index)).collect();
    OwnedGaussian::low_rank(&mean(dim, from), &loadings, &variances).unwrap()
}

fn mixture<T: Real>(component: impl Fn(usize) -> OwnedGaussian<T>) -> OwnedGaussian<T> {
    let components: Vec<OwnedGaussian<T>> = [1, 100, 200].into_iter().map(component).collect();
    let components: Vec<Gaussian<'_, T>> = components.iter().map(|c| c.gaussian()).collect();
    OwnedGaussian::mixture(&[2.0, 1.0, 5.0], &components).unwrap()
}

fn forms<T: Real>() -> Vec<(&'static str, OwnedGaussian<T>)> {
    vec![
        ("diagonal 1", diagonal(1, 3)),
        ("diagonal 45", diagonal(45, 3)),
        ("full 7", full(7, 3)),
        ("full 70", full(70, 3)),
        ("low rank 3 of 7", low_rank(7, 3, 5)),
        ("low rank 37 of 45", low_rank(45, 37, 5)),
        ("mixture of diagonal 5", mixture(|from| diagonal(5, from))),
        ("mixture of full 40", mixture(|from| full(40, from))),
        ("mixture of low rank 2 of 9", mixture(|from| low_rank(9, 2, from))),
    ]
}

fn draw<T: Real>(gaussian: Gaussian<'_, T>, level: Level, source: impl Source, n: usize) -> Vec<T> {
    let mut out = vec![T::from_f64(f64::NAN); n * gaussian.dim()];
    gaussian.draw(level, source, &mut out).unwrap();
    out
}

fn assert_same<T: Real>(what: &str, a: &[T], b: &[T]) {
    let differ = a.iter().zip(b).position(|(a, b)| a.to_f64().to_bits() != b.to_f64().to_bits());
    assert_eq!((differ, a.len()), (None, b.len()), "{what}");
}

/// Draws of every form, checked against each other; their fingerprints.
fn check<T: Real, G: Source>(source: impl Fn(PathAddress) -> G) -> Vec<(&'static str, u64)> {
    let mut fingerprints = Vec::new();
    for (name, owned) in forms::<T>() {
        let gaussian = owned.gaussian();
        let dim = gaussian.dim();
        for first in [HOME, CARRY] {
            let whole = draw(gaussian, Level::scalar(), source(first), PATHS);
            assert!(whole.iter().all(|x| x.to_f64().is_finite()), "{name}");
            if first == HOME {
                fingerprints.push((name, fingerprint(&whole)));
            }
            for level in Level::each() {
                let what = format!("{name} on {} from {}", level.isa(), first.path);
                assert_same(&what, &draw(gaussian, level, source(first), PATHS), &whole);

                let mut by_dim = vec![T::from_f64(f64::NAN); PATHS * dim];
                gaussian.draw_transposed(level, source(first), &mut by_dim).unwrap();
                let turned: Vec<T> =
                    (0..PATHS * dim).map(|n| by_dim[n % dim * PATHS + n / dim]).collect();
                assert_same(&format!("{what} transposed"), &turned, &whole);

                for (start, paths) in [(1, 1), (7, 40), (100, 33), (255, 46), (300, 1)] {
                    let path = first.path + start as u64;
                    let block = PathAddress { path, ..first };
                    let block = draw(gaussian, level, source(block), paths);
                    let part = &whole[start * dim..][..paths * dim];
                    assert_same(&format!("{what}, {paths} from {start}"), &block, part);
                }
            }
        }
    }
    fingerprints
}

fn assert_golden(found: &[(&str, u64)], golden: [u64; 9]) {
    let hashes: Vec<u64> = found.iter().map(|(_, hash)| *hash).collect();
    assert_eq!(hashes, golden, "{found:#018x?}");
}

#[test]
fn independent_paths_of_single_precision() {
    assert_golden(
        &check::<f32, _>(|first| first),
        [
            0xc968_318f_1dfa_a553,
            0xa061_b154_9ae5_d616,
            0x48e4_342b_2adf_4476,
            0xb409_8cac_7a33_4cf2,
            0xa8d6_b344_9f96_83d0,
            0x17aa_5295_2d2a_ec2b,
            0x7e8d_70c5_08de_62c8,
            0xe0af_fa0f_e8ab_1f99,
            0xac04_d331_1aa3_ee9a,
        ],
    );
}

#[test]
fn independent_paths_of_double_precision() {
    assert_golden(
        &check::<f64, _>(|first| first),
        [
            0xf177_5ac2_115f_4ab7,
            0x34f3_22a2_4b4c_0030,
            0x0f75_ce7f_c69a_c6c3,
            0xa0e7_6b69_7cdc_4cb2,
            0xa867_347f_6d97_311e,
            0x6667_5df6_d390_471b,
            0x10fa_e8b5_e8fd_e04f,
            0x13e4_3079_90f3_2ed0,
            0x280c_3d0e_cfa8_e220,
        ],
    );
}

#[test]
fn mirrored_paths() {
    assert_golden(
        &check::<f32, _>(Antithetic),
        [
            0xd24a_954f_216b_417a,
            0xb2a9_8fea_2cd8_fb02,
            0x535a_1d93_b256_b65b,
            0x8b56_da5f_d304_d6fd,
            0xb5f1_b267_5685_5831,
            0xf349_bffb_6cfe_e93d,
            0x5514_0476_3e07_5360,
            0xdb48_9f2d_918d_1c58,
            0x21ba_bef0_987c_9993,
        ],
    );
    let even = PathAddress { path: 10, ..HOME };
    for (name, owned) in forms::<f64>() {
        if owned.gaussian().weights().is_empty() {
            let dim = owned.gaussian().dim();
            let paths = draw(owned.gaussian(), Level::detect(), Antithetic(even), 20);
            let plain = draw(owned.gaussian(), Level::detect(), even, 1);
            assert_same(name, &paths[..dim], &plain);
            for pair in paths.chunks_exact(2 * dim) {
                for (index, mean) in owned.gaussian().mean().iter().enumerate() {
                    let centre = (pair[index] + pair[dim + index]) / 2.0;
                    assert!((centre - mean).abs() < 1e-13 * dim as f64, "{name}: {centre} {mean}");
                }
            }
        }
    }
}

#[test]
fn sobol_paths() {
    let sobol = OwnedSobol::new(100).unwrap();
    assert_golden(
        &check::<f32, _>(|first| sobol.sobol().paths(first)),
        [
            0x5496_dbb8_0bf6_d8b3,
            0x01fb_9ebb_9869_2e2d,
            0x3b7c_dfde_43cf_12a2,
            0xe984_7fe8_8235_dd58,
            0xebec_558b_1a55_28dd,
            0x3b89_b613_2242_9ff3,
            0x3179_e121_4133_9cae,
            0x94ab_4a18_c51f_4aa2,
            0xbc19_f1ec_327e_a883,
        ],
    );
    assert_golden(
        &check::<f64, _>(|first| sobol.sobol().paths(first)),
        [
            0xa5b1_ab26_bade_ebed,
            0x4929_082a_7ce5_c9b1,
            0xf7f1_3598_d4cb_de5e,
            0x2b4d_2b2b_7cfc_39d9,
            0x98ee_2e4d_7f4b_6848,
            0x910f_4924_10a3_1db3,
            0xc7ce_08ab_2816_308e,
            0xece6_cc66_702d_bb25,
            0x828a_bdab_333c_5207,
        ],
    );

    // The words are those that are found one by one.
    let mut normals = [0.0f64; 40 * 20];
    standard_normals(Level::detect(), sobol.sobol().paths(HOME), 20, &mut normals).unwrap();
    for (n, z) in normals.iter().enumerate() {
        let address = PathAddress { path: HOME.path + n as u64 / 20, ..HOME };
        let word = sobol.sobol().word(address, n % 20) as i32;
        assert_eq!(word < 0, *z < 0.0);
        let below = 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2);
        let from_word = (f64::from(word) + 0.5) / 4_294_967_296.0 + 0.5;
        assert!((below - from_word).abs() < 2.4e-10, "{n}: {below} {from_word}");
    }

    let small = OwnedSobol::new(4).unwrap();
    let (full, mut out) = (full::<f32>(7, 3), [1.0; 7]);
    let refused = full.gaussian().draw(Level::detect(), small.sobol().paths(HOME), &mut out);
    assert_eq!(refused, Err(DrawError::TooManyWords { needed: 7, most: 4 }));
    assert_eq!(out, [1.0; 7]);
}

/// A path of `f64` is the path of `f32`, refined.
#[test]
fn precisions_agree() {
    for ((name, single), (_, double)) in forms::<f32>().iter().zip(forms::<f64>()) {
        let single = draw(single.gaussian(), Level::detect(), HOME, PATHS);
        let double = draw(double.gaussian(), Level::detect(), HOME, PATHS);
        for (a, b) in single.iter().zip(double) {
            assert!((f64::from(*a) - b).abs() < 2e-5, "{name}: {a} {b}");
        }
    }
}

/// Means and covariances of mixtures and of low rank are those asked for: 5.2 standard errors, one
/// comparison in five million, of some 600.
#[test]
fn moments_are_those_asked_for() {
    for (name, owned) in forms::<f32>() {
        let gaussian = owned.gaussian();
        if gaussian.dim() > 9 {
            continue;
        }
        let (dim, paths) = (gaussian.dim(), 60_000);
        let out = draw(gaussian, Level::detect(), HOME, paths);
        for i in 0..dim {
            let column = || out.iter().skip(i).step_by(dim).map(|x| f64::from(*x));
            let n = paths as f64;
            let (mean, std) = (f64::from(gaussian.mean()[i]), f64::from(gaussian.marginal_std(i)));
            let score = (column().sum::<f64>() / n - mean) / (std / n.sqrt());
            assert!(score.abs() < 5.2, "{name}, mean {i}: {score}");
            // The variance of the square from the draws themselves, since mixtures are no normals.
            let square = |x: f64| (x - mean).powi(2);
            let second = column().map(square).sum::<f64>() / n;
            let fourth = column().map(|x| square(x).powi(2)).sum::<f64>() / n;
            let score = (second - std * std) / ((fourth - second * second) / n).sqrt();
            assert!(score.abs() < 5.2 || std == 0.0, "{name}, variance {i}: {score}");
            for j in 0..i {
                let mut weights = vec![0.0; dim];
                (weights[i], weights[j]) = (1.0, -1.0);
                let linear = gaussian.linear(Level::detect(), &weights).unwrap();
                let difference = |path: &[f32]| f64::from(path[i]) - f64::from(path[j]);
                let away = |path: &[f32]| (difference(path) - linear.mean).powi(2);
                let second = out.chunks_exact(dim).map(away).sum::<f64>() / n;
                let fourth = out.chunks_exact(dim).map(|p| away(p).powi(2)).sum::<f64>() / n;
                let expected = linear.std * linear.std;
                let score = (second - expected) / ((fourth - second * second) / n).sqrt();
                assert!(score.abs() < 5.2, "{name}, difference {i} {j}: {score}");
            }
        }
    }
}

/// The bytes where they lie on a boundary of eight.
fn aligned(bytes: &[u8], room: &mut Vec<u8>) -> std::ops::Range<usize> {
    room.clear();
    room.resize(bytes.len() + 8, 0);
    let start = room.as_ptr().align_offset(8);
    room[start..][..bytes.len()].copy_from_slice(bytes);
    start..start + bytes.len()
}

fn check_stored<T: Real>() {
    let mut room = Vec::new();
    for (name, owned) in forms::<T>() {
        let bytes = owned.gaussian().to_bytes();
        let place = aligned(&bytes, &mut room);
        let stored = Gaussian::<T>::from_bytes(&room[place]).unwrap();
        let expected = draw(owned.gaussian(), Level::detect(), HOME, 40);
        assert_same(name, &draw(stored, Level::detect(), HOME, 40), &expected);
        assert_eq!(stored.weights().len(), owned.gaussian().weights().len());

        // Of the other element type, or of another length, it is none.
        let place = aligned(&bytes, &mut room);
        let other_type = match size_of::<T>() {
            4 => Gaussian::<f64>::from_bytes(&room[place]).is_err(),
            _ => Gaussian::<f32>::from_bytes(&room[place]).is_err(),
        };
        assert!(other_type, "{name}");
        for at in [0, 4, 8, 12, 16, 20] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            let place = aligned(&damaged, &mut room);
            // What a form does not use may be anything.
            if let Ok(stored) = Gaussian::<T>::from_bytes(&room[place]) {
                assert_same(name, &draw(stored, Level::detect(), HOME, 40), &expected);
            }
        }
        // Numbers that are none at all are drawn from, to the end.
        let mut damaged = bytes.clone();
        damaged[64..].fill(0xff);
        let place = aligned(&damaged, &mut room);
        let stored = Gaussian::<T>::from_bytes(&room[place]).unwrap();
        draw(stored, Level::detect(), HOME, PATHS);
    }
}

#[test]
fn what_is_stored_draws_the_same() {
    check_stored::<f32>();
    check_stored::<f64>();
}

/// A block of variates is a part of the whole, wherever it begins, from any source.
fn check_variates<G: Source>(source: impl Fn(PathAddress) -> G) {
    const DIM: usize = 7;
    let mut table = vec![0.0; StudentT::len(3.5)];
    let student = StudentT::new(3.5, &mut table).unwrap();
    let mut limits = vec![0; Categorical::len(5)];
    let few = Categorical::new(&[1.0, 2.0, 0.0, 4.0, 1.5], &mut limits).unwrap();
    let mut limits = vec![0; Categorical::len(40)];
    let many = Categorical::new(&[1.0; 40], &mut limits).unwrap();
    let draw = |level: Level, first: PathAddress, paths: usize| {
        let mut out = vec![f64::NAN; paths * DIM * 6];
        let (uniform, rest) = out.split_at_mut(paths * DIM);
        let (exponential, rest) = rest.split_at_mut(paths * DIM);
        let (of_student, rest) = rest.split_at_mut(paths * DIM);
        uniforms(level, source(first), DIM, uniform).unwrap();
        exponentials(level, source(first), DIM, exponential).unwrap();
        student.draw(level, source(first), DIM, of_student).unwrap();
        let (mut single, mut category) = (vec![0.0f32; paths * DIM], vec![0u32; paths * DIM]);
        uniforms(level, source(first), DIM, &mut single).unwrap();
        rest[..paths * DIM].copy_from_slice(&single.iter().map(|x| x.to_f64()).collect::<Vec<_>>());
        for (categorical, to) in
            [&few, &many].into_iter().zip(rest[paths * DIM..].chunks_mut(paths * DIM))
        {
            categorical.draw(level, source(first), DIM, &mut category).unwrap();
            to.iter_mut().zip(&category).for_each(|(to, x)| *to = f64::from(*x));
        }
        out
    };
    for first in [HOME, CARRY] {
        let whole = draw(Level::scalar(), first, 90);
        for level in Level::each() {
            for (start, paths) in [(0, 90), (1, 1), (7, 40), (20, 2), (19, 33)] {
                let path = first.path + start as u64;
                let block = draw(level, PathAddress { path, ..first }, paths);
                for (kind, block) in block.chunks(paths * DIM).enumerate() {
                    let part = &whole[(kind * 90 + start) * DIM..][..paths * DIM];
                    let what = format!("variate {kind} on {}: {paths} from {path}", level.isa());
                    assert_same(&what, block, part);
                }
            }
        }
    }
}

#[test]
fn variates_from_every_source() {
    check_variates(|first| first);
    check_variates(Antithetic);
    let sobol = OwnedSobol::new(7).unwrap();
    check_variates(|first| sobol.sobol().paths(first));
}
