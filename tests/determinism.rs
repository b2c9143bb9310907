//! The same address gives the same bits: on every instruction set, in every block, for ever.
#![cfg(feature = "std")]

use nowcast::kernels::Level;
use nowcast::sampling::{
    Categorical, Copula, OwnedGaussian, PathAddress, PathWords, StudentT, Tails, exponentials,
    standard_normals, uniforms,
};

const ADDRESSES: [PathAddress; 4] = [
    PathAddress { seed: 0, stream: 0, path: 0 },
    PathAddress { seed: 42, stream: 7, path: 1_000_000 },
    // The low half of the path carries within the first vector.
    PathAddress { seed: 1 << 63 | 5, stream: u64::MAX, path: u32::MAX as u64 - 2 },
    // The path starts again from zero.
    PathAddress { seed: u64::MAX, stream: 1 << 32, path: u64::MAX - 4 },
];

/// FNV-1a of the bits.
fn fingerprint(values: &[f32]) -> u64 {
    let bytes = values.iter().flat_map(|value| value.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn normals(level: Level, first: PathAddress, dim: usize, paths: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; paths * dim];
    standard_normals(level, first, dim, &mut out).unwrap();
    out
}

/// Means and a covariance with irregular, exactly representable entries, positive definite by its
/// diagonal.
fn gaussian(dim: usize) -> OwnedGaussian {
    let mean: Vec<f64> = (0..dim).map(|index| index as f64 * 0.75 - 3.0).collect();
    let entry = |row: usize, col: usize| {
        let noise = ((row * 31 + col * 31 + row * col * 17) % 64) as f64 / 64.0 - 0.5;
        if row == col { dim as f64 + noise } else { noise }
    };
    let covariance: Vec<f64> = (0..dim * dim).map(|n| entry(n / dim, n % dim)).collect();
    OwnedGaussian::full(&mean, &covariance).unwrap()
}

fn diagonal(dim: usize) -> OwnedGaussian {
    let variances: Vec<f64> = (0..dim).map(|index| (index % 7) as f64 * 0.3).collect();
    OwnedGaussian::diagonal(&vec![0.1; dim], &variances).unwrap()
}

fn draw(owned: &OwnedGaussian, level: Level, first: PathAddress, paths: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; paths * owned.gaussian().dim()];
    owned.gaussian().draw(level, first, &mut out).unwrap();
    out
}

#[test]
fn golden_words() {
    let golden: [[u32; 4]; 4] = [
        [0xfa8a_3f55, 0xbd20_2032, 0xedb1_cfab, 0x9291_1949],
        [0x4a8d_5cca, 0xdb19_8d68, 0xdef5_5808, 0x530f_b7e8],
        [0x97bf_a2d1, 0x1aa7_acbb, 0x27e0_1d4a, 0x2dae_a0a0],
        [0x7703_a19d, 0x8508_661b, 0x4499_e67b, 0xe256_af66],
    ];
    for (address, golden) in ADDRESSES.into_iter().zip(golden) {
        let mut words = PathWords::new(address);
        let found = [0; 4].map(|_| words.next_word());
        assert_eq!(found, golden, "{address:?}: {found:#010x?}");
    }
}

#[test]
fn golden_normals() {
    let golden: [([u32; 4], u64); 4] = [
        ([0xbd5b_1512, 0xbf35_d39a, 0xbe38_8896, 0xbfba_867e], 0xb4cb_32c9_e5f0_72bc),
        ([0x3f4f_876a, 0xbebd_35bf, 0xbea8_a592, 0x3f6e_b7bb], 0x8263_a4e6_b280_3d32),
        ([0xbfa9_759b, 0x3e87_2ebe, 0x3ecd_4671, 0x3eed_3d2a], 0x5c59_fe65_5f7d_e417),
        ([0x3fe7_c1f9, 0xc003_e4b8, 0x3f3b_70bb, 0xbe96_dacc], 0xbbb8_1f4f_c987_e630),
    ];
    for level in Level::each() {
        for (address, (first, all)) in ADDRESSES.into_iter().zip(golden) {
            // Enough that every piece of the inverse and a hundred tails are among them.
            let found = normals(level, address, 37, 1000);
            let bits = [0, 1, 2, 3].map(|index: usize| found[index].to_bits());
            assert_eq!(bits, first, "{level:?} {address:?}: {bits:#010x?}");
            let hash = fingerprint(&found);
            assert_eq!(hash, all, "{level:?} {address:?}: {hash:#018x}");
        }
    }
}

/// The furthest normals under one seed and stream, in places that took 2^33 of them to find.
#[test]
fn golden_tails() {
    let golden: [(u64, usize, f32); 3] =
        [(8_553_591, 54, -6.065_974_7), (46_522_158, 34, 6.210_718_6), (52_394_744, 41, 6.356_984)];
    for level in Level::each() {
        for (path, index, expected) in golden {
            let first = PathAddress { seed: 2026, stream: 3, path };
            assert_eq!(normals(level, first, 64, 1)[index], expected, "{level:?} {path}");
        }
    }
}

#[test]
fn golden_draws() {
    // Below, at and above one block of dimensions, and several blocks.
    let golden: [(usize, u64, u64); 8] = [
        (1, 0xe266_9cf5_672d_90bf, 0xef96_5904_cb67_66cb),
        (2, 0x74c7_6e11_610f_9dac, 0x45b2_0dd9_6272_7bbb),
        (5, 0x3422_15c6_ed13_676b, 0x7355_35e2_372e_ce8e),
        (20, 0xba14_316d_3bf1_9ea5, 0xa2a0_0c81_46e0_a743),
        (32, 0x03c4_69e8_b593_d983, 0x55bb_9f77_2337_be5d),
        (33, 0x90ed_5add_db4d_541a, 0x1577_2561_5880_27ef),
        (70, 0xf0d2_ded5_a0f3_a9b8, 0x5d00_caf6_c53d_509c),
        (128, 0x6e9c_ad5a_618c_c07d, 0x61fc_4c15_6a61_72ae),
    ];
    for level in Level::each() {
        for (dim, full, independent) in golden {
            let hash = fingerprint(&draw(&gaussian(dim), level, ADDRESSES[1], 83));
            assert_eq!(hash, full, "{level:?} full {dim}: {hash:#018x}");
            let hash = fingerprint(&draw(&diagonal(dim), level, ADDRESSES[1], 83));
            assert_eq!(hash, independent, "{level:?} diagonal {dim}: {hash:#018x}");
        }
    }
}

/// The element as its documentation says it, one path and one element at a time.
#[test]
fn a_draw_is_one_chain_of_multiply_adds() {
    for dim in [1, 2, 3, 4, 5, 31, 32, 33, 64, 65, 130] {
        let (mean, variance): (Vec<f64>, f64) = ((0..dim).map(|i| i as f64).collect(), 2.0);
        // The factor of 2 where row = col, 1 elsewhere, in the order of the documentation.
        let covariance: Vec<f64> =
            (0..dim * dim).map(|n| if n / dim == n % dim { variance } else { 1.0 }).collect();
        let mut factor = vec![vec![0.0f64; dim]; dim];
        for i in 0..dim {
            for j in 0..=i {
                let start = covariance[i * dim + j];
                let sum = (0..j).fold(start, |sum, k| libm::fma(-factor[i][k], factor[j][k], sum));
                factor[i][j] = if i == j { sum.sqrt() } else { sum / factor[j][j] };
            }
        }
        let owned = OwnedGaussian::full(&mean, &covariance).unwrap();
        let paths = 21;
        let z = normals(Level::scalar(), ADDRESSES[2], dim, paths);
        let expected: Vec<f32> = (0..paths * dim)
            .map(|n| {
                let (z, row) = (&z[n / dim * dim..][..dim], n % dim);
                let terms = factor[row][..=row].iter().zip(z);
                terms.fold(mean[row] as f32, |sum, (l, z)| libm::fmaf(*l as f32, *z, sum))
            })
            .collect();
        for level in Level::each() {
            assert_eq!(draw(&owned, level, ADDRESSES[2], paths), expected, "{level:?} {dim}");
        }
    }
}

#[test]
fn blocks_do_not_matter() {
    let dims = [1, 4, 20, 45];
    for (owned, dim) in dims.map(|dim| (gaussian(dim), dim)) {
        for address in ADDRESSES {
            let whole = draw(&owned, Level::scalar(), address, 200);
            for level in Level::each() {
                // Every size from one to more than two groups of the widest vectors.
                let mut start = 0;
                for paths in (1..70).cycle().step_by(9) {
                    let paths = paths.min(200 - start);
                    let path = address.path.wrapping_add(start as u64);
                    let block = draw(&owned, level, PathAddress { path, ..address }, paths);
                    assert_eq!(block, whole[start * dim..][..paths * dim], "{level:?} {start}");
                    start += paths;
                    if start == 200 {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn a_longer_path_begins_like_a_shorter_one() {
    for level in Level::each() {
        let long = normals(level, ADDRESSES[1], 100, 40);
        for dim in [1, 3, 32, 33, 99] {
            let short = normals(level, ADDRESSES[1], dim, 40);
            for (long, short) in long.chunks_exact(100).zip(short.chunks_exact(dim)) {
                assert_eq!(long[..dim], *short);
            }
        }
    }
}

#[test]
fn a_diagonal_covariance_is_the_diagonal_form() {
    let dim = 41;
    let mean: Vec<f64> = (0..dim).map(|index| index as f64 / 3.0 + 1.0).collect();
    let variances: Vec<f64> = (0..dim).map(|index| index as f64 / 7.0 + 0.1).collect();
    let covariance: Vec<f64> =
        (0..dim * dim).map(|n| if n / dim == n % dim { variances[n % dim] } else { 0.0 }).collect();
    let full = OwnedGaussian::full(&mean, &covariance).unwrap();
    let independent = OwnedGaussian::diagonal(&mean, &variances).unwrap();
    let first = ADDRESSES[0];
    let full = draw(&full, Level::detect(), first, 100);
    assert_eq!(full, draw(&independent, Level::detect(), first, 100));
}

/// FNV-1a of the bits of doubles.
fn fingerprint64(values: &[f64]) -> u64 {
    let halves = values.iter().flat_map(|value| {
        let bits = value.to_bits();
        [bits as u32, (bits >> 32) as u32].map(f32::from_bits)
    });
    fingerprint(&halves.collect::<Vec<f32>>())
}

#[test]
fn golden_variates() {
    // Of `f32`, then of `f64`.
    let golden: [(&str, [u64; 2]); 5] = [
        ("uniform", [0xbca6_e591_a7fc_871b, 0x8e4f_1149_406c_fa75]),
        ("exponential", [0xef5c_d296_62d5_ef09, 0xeda7_3d0b_d18e_7d00]),
        ("student 0.3", [0x6770_c5a4_a332_eae7, 0x144b_5e49_4074_d030]),
        ("student 1", [0x968c_4686_e48c_ea68, 0x6f03_8892_5b0c_3aea]),
        ("student 7.5", [0x9e60_3122_3a59_c56c, 0x4301_b8d1_305b_7b9e]),
    ];
    let (dim, first) = (37, ADDRESSES[1]);
    for level in Level::each() {
        let (mut single, mut double) = (vec![0.0f32; dim * 1000], vec![0.0f64; dim * 1000]);
        for (name, golden) in golden {
            match name {
                "uniform" => {
                    uniforms(level, first, dim, &mut single).unwrap();
                    uniforms(level, first, dim, &mut double).unwrap();
                }
                "exponential" => {
                    exponentials(level, first, dim, &mut single).unwrap();
                    exponentials(level, first, dim, &mut double).unwrap();
                }
                _ => {
                    let freedom: f64 = name["student ".len()..].parse().unwrap();
                    let mut storage = vec![0.0; StudentT::len(freedom)];
                    let student = StudentT::new(freedom, &mut storage).unwrap();
                    student.draw(level, first, dim, &mut single).unwrap();
                    student.draw(level, first, dim, &mut double).unwrap();
                }
            }
            let found = [fingerprint(&single), fingerprint64(&double)];
            assert_eq!(found, golden, "{level:?} {name}: {found:#018x?}");
        }
    }
}

#[test]
fn golden_categories() {
    let golden: [(usize, u64); 3] =
        [(5, 0xbad3_8af1_526b_42a2), (24, 0xbec0_70df_2921_0ec9), (1000, 0xa2f6_c864_92bc_69e2)];
    for level in Level::each() {
        for (categories, golden) in golden {
            let weights: Vec<f64> = (0..categories).map(|n| (n * n % 17) as f64).collect();
            let mut storage = vec![0; Categorical::len(categories)];
            let categorical = Categorical::new(&weights, &mut storage).unwrap();
            let mut drawn = vec![0; 37 * 1000];
            categorical.draw(level, ADDRESSES[1], 37, &mut drawn).unwrap();
            let bits: Vec<f32> = drawn.iter().map(|drawn| f32::from_bits(*drawn)).collect();
            let hash = fingerprint(&bits);
            assert_eq!(hash, golden, "{level:?} {categories}: {hash:#018x}");
        }
    }
}

#[test]
fn golden_copulas() {
    let golden: [(usize, usize, Tails, u64); 4] = [
        (1, 2, Tails::Normal, 0xfb34_0d74_857d_769d),
        (5, 9, Tails::Flat, 0x45fc_6bd7_8eeb_7b02),
        (33, 9, Tails::Exponential, 0x65b1_8663_ae69_fe28),
        (20, 99, Tails::Normal, 0xfab0_97a5_936c_6bd3),
    ];
    for level in Level::each() {
        for (dim, count, tails, golden) in golden {
            let owned = gaussian(dim);
            let levels: Vec<f64> = (1..=count).map(|n| n as f64 / (count + 1) as f64).collect();
            let value = |n: usize| (n / count) as f64 - 3.0 + ((n % count) as f64).powi(2) * 0.375;
            let values: Vec<f64> = (0..dim * count).map(value).collect();
            let mut storage = vec![0.0; Copula::len(dim, count)];
            let copula =
                Copula::new(owned.gaussian(), &levels, &values, tails, &mut storage).unwrap();
            let mut out = vec![f32::NAN; 83 * dim];
            copula.draw(level, ADDRESSES[1], &mut out).unwrap();
            let hash = fingerprint(&out);
            assert_eq!(hash, golden, "{level:?} {dim} {count}: {hash:#018x}");
        }
    }
}

/// A block of variates is a part of the whole, in either layout.
#[test]
fn blocks_of_variates_do_not_matter() {
    let (dim, first) = (45, ADDRESSES[2]);
    let mut storage = vec![0.0; StudentT::len(2.5)];
    let student = StudentT::new(2.5, &mut storage).unwrap();
    let mut storage = vec![0; Categorical::len(40)];
    let categorical = Categorical::new(&[1.0; 40], &mut storage).unwrap();
    let (mut whole, mut chosen) = (vec![0.0f64; 200 * dim], vec![0; 200 * dim]);
    student.draw(Level::scalar(), first, dim, &mut whole).unwrap();
    categorical.draw(Level::scalar(), first, dim, &mut chosen).unwrap();
    for level in Level::each() {
        let mut start = 0;
        while start < 200 {
            let paths = (1 + start % 40).min(200 - start);
            let source = PathAddress { path: first.path.wrapping_add(start as u64), ..first };
            let (mut t, mut c) = (vec![0.0; paths * dim], vec![0; paths * dim]);
            student.draw(level, source, dim, &mut t).unwrap();
            assert_eq!(t, whole[start * dim..][..paths * dim], "{level:?} {start}");
            student.draw_transposed(level, source, dim, &mut t).unwrap();
            categorical.draw_transposed(level, source, dim, &mut c).unwrap();
            for (n, (t, c)) in t.iter().zip(c).enumerate() {
                let at = (start + n % paths) * dim + n / paths;
                assert_eq!((*t, c), (whole[at], chosen[at]), "{level:?} {start}");
            }
            start += paths;
        }
    }
}
