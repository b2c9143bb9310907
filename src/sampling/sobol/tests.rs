//! Points against SciPy, nets, words over seeds, integrals, and every level against the scalar one.

extern crate std;

use std::vec;
use std::vec::Vec;

use super::*;
use crate::kernels::suite::{Rng, levels};
use crate::kernels::{Level, Vectorized, dispatch};
use crate::sampling::PathWords;

/// The address `paths` further on.
fn after(first: PathAddress, paths: usize) -> PathAddress {
    PathAddress { path: first.path.wrapping_add(paths as u64), ..first }
}

const HOME: PathAddress = PathAddress { seed: 2026, stream: 3, path: 0 };

fn storage(dim: usize) -> Vec<u32> {
    vec![0; Sobol::storage_len(dim)]
}

/// `scipy.stats.qmc.Sobol(1111, scramble=False, bits=32)` of SciPy 1.17, times `2^32`, at the
/// places in its Gray code that have these numbers; printed by `joe_kuo.py`.
#[test]
fn unscrambled_points_are_scipys() {
    let dims = [0, 1, 2, 6, 100, 1110];
    let golden: [(u32, [u32; 6]); 12] = [
        (0, [0; 6]),
        (1, [0x8000_0000; 6]),
        (2, [0x4000_0000, 0xc000_0000, 0xc000_0000, 0xc000_0000, 0xc000_0000, 0x4000_0000]),
        (3, [0xc000_0000, 0x4000_0000, 0x4000_0000, 0x4000_0000, 0x4000_0000, 0xc000_0000]),
        (4, [0x2000_0000, 0xa000_0000, 0x6000_0000, 0xa000_0000, 0x6000_0000, 0xa000_0000]),
        (5, [0xa000_0000, 0x2000_0000, 0xe000_0000, 0x2000_0000, 0xe000_0000, 0x2000_0000]),
        (6, [0x6000_0000, 0x6000_0000, 0xa000_0000, 0x6000_0000, 0xa000_0000, 0xe000_0000]),
        (7, [0xe000_0000, 0xe000_0000, 0x2000_0000, 0xe000_0000, 0x2000_0000, 0x6000_0000]),
        (1000, [0x17c0_0000, 0x2940_0000, 0x7340_0000, 0x0440_0000, 0xa840_0000, 0xf140_0000]),
        (65535, [0xffff_0000, 0x0001_0000, 0xb0ff_0000, 0x8cad_0000, 0x65a1_0000, 0x3005_0000]),
        (1 << 20, [0x0000_0800, 0x8800_8800, 0x6868_e800, 0x9e78_d800, 0x2a00_3800, 0x9386_e800]),
        (
            (1 << 24) - 3,
            [0xbfff_ff00, 0xc101_0100, 0xc000_4f00, 0x5dad_1100, 0xe540_1f00, 0x1ff1_9300],
        ),
    ];
    let mut storage = storage(MAX_DIM);
    let sobol = Sobol::new(MAX_DIM, &mut storage).unwrap();
    for (number, expected) in golden {
        let points = Points::new(Scalar, number, number);
        let found =
            dims.map(|index| points.coordinates(Scalar, &sobol.numbers[index]).reverse_bits());
        assert_eq!(found, expected, "{number}: {found:#010x?}");
    }
}

/// Words and second words, worked by a program of its own from the description of [`Sobol`] and
/// SciPy's direction numbers.
#[test]
fn golden_words() {
    let address = |seed, stream, path| PathAddress { seed, stream, path };
    let golden = [
        (address(0, 0, 0), [0x75c5_cfa0, 0x029f_5fce, 0x98a7_cd51], 0xcd3f_aab5),
        (address(0, 0, 9), [0x8cdd_158a, 0x5644_a941, 0xe0b7_84cc], 0x330e_5880),
        (address(42, 7, 1_000_000), [0xc975_b9bd, 0x38e7_dd58, 0x8443_7fbb], 0xe347_ac77),
        (address(42, 7, 1_000_009), [0x0c59_b5c5, 0x59c6_9870, 0xd0a1_4ffb], 0xaa61_f039),
        (
            address(1 << 63 | 5, u64::MAX, u64::from(u32::MAX) - 2),
            [0xf984_237c, 0x3e98_fd3b, 0x1435_53e5],
            0x598b_7236,
        ),
        (
            address(1 << 63 | 5, u64::MAX, u64::from(u32::MAX) + 7),
            [0x4745_9f12, 0x780b_5b73, 0xcaa8_07e4],
            0x4bfe_e6a6,
        ),
        (
            address(u64::MAX, 1 << 32, u64::MAX - 4),
            [0x9d4b_f885, 0x47ed_8daa, 0x84d3_7f79],
            0x39c1_5a6c,
        ),
        (address(u64::MAX, 1 << 32, 4), [0x91e5_8964, 0x8c61_96c8, 0x02d1_fc33], 0x4d3a_6364),
    ];
    let mut storage = storage(MAX_DIM);
    let sobol = Sobol::new(MAX_DIM, &mut storage).unwrap();
    for (address, words, second) in golden {
        let found = [0, 1, 1110].map(|index| sobol.word(address, index));
        assert_eq!(found, words, "{address:?}: {found:#010x?}");
        assert_eq!(Key::new(address, 1).second(Scalar, address.path as u32), second, "{address:?}");
    }
}

#[test]
fn refusals() {
    let mut storage = [7; 64];
    let mut refused = |dim, len| Sobol::new(dim, &mut storage[..len]).err();
    assert_eq!(refused(0, 64), Some(SobolError::Empty));
    assert_eq!(refused(2, 63), Some(SobolError::StorageTooSmall { needed: 64, got: 63 }));
    let too_large = |got| Some(SobolError::DimTooLarge { max: 1111, got });
    assert_eq!(refused(1112, 64), too_large(1112));
    assert_eq!(refused(usize::MAX, 64), too_large(usize::MAX));
    assert_eq!(storage, [7; 64]);
    assert_eq!(Sobol::new(2, &mut storage).unwrap().dim(), 2);
}

/// Words and seconds of dimensions `[dims, paths]` by vectors, the last of which may be in part
/// beyond the paths.
struct Block<'a> {
    sobol: &'a Sobol<'a>,
    first: PathAddress,
    paths: usize,
}

impl Vectorized for Block<'_> {
    type Output = (Vec<u32>, Vec<u32>);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let Self { sobol, first, paths } = self;
        let mut keys = vec![Key::default(); sobol.dim()];
        Key::fill(s, first, 0, &mut keys);
        let (mut words, mut seconds) = (Vec::new(), Vec::new());
        for (index, key) in keys.into_iter().enumerate() {
            for start in (0..paths).step_by(S::LANES) {
                let number = after(first, start).path as u32;
                let numbers = s.u32_add(s.u32_splat(number), s.u32_lane_index());
                let points = Points::new(s, number, numbers);
                let taken = S::LANES.min(paths - start);
                let mut lanes = [0; 16];
                s.u32_store(sobol.words(s, index, key, &points), &mut lanes);
                words.extend(&lanes[..taken]);
                s.u32_store(key.second(s, numbers), &mut lanes);
                seconds.extend(&lanes[..taken]);
            }
        }
        (words, seconds)
    }
}

#[test]
fn every_level_gives_the_scalar_words() {
    let mut storage = storage(37);
    let sobol = Sobol::new(37, &mut storage).unwrap();
    // Aligned and not, up to the last number of a block, where lanes beyond the paths wrap.
    let starts = [0, 16, 5, 4091, (1 << 31) - 7, 0xffff_ffb3, 7 << 32 | 0xffff_ffb3];
    for level in levels() {
        for path in starts {
            let first = PathAddress { path, ..HOME };
            let paths = 77;
            let (words, seconds) = dispatch(level, Block { sobol: &sobol, first, paths });
            for (n, (word, second)) in words.into_iter().zip(seconds).enumerate() {
                let (index, address) = (n / paths, after(first, n % paths));
                assert_eq!(word, sobol.word(address, index), "{level:?} {path} {index}");
                let key = Key::new(address, index);
                assert_eq!(second, key.second(Scalar, address.path as u32), "{level:?} {path}");
            }
        }
    }
}

/// Lanes need not be in order: pairs of paths may share a point.
#[test]
fn lanes_in_any_order() {
    struct Pairs<'a>(&'a Sobol<'a>, u32);
    impl Vectorized for Pairs<'_> {
        type Output = Vec<u32>;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<u32> {
            let numbers = s.u32_add(s.u32_splat(self.1), s.u32_shr::<1>(s.u32_lane_index()));
            let points = Points::new(s, self.1, numbers);
            let mut lanes = [0; 16];
            s.u32_store(self.0.words(s, 1, Key::new(HOME, 1), &points), &mut lanes);
            lanes[..S::LANES].to_vec()
        }
    }
    let mut storage = storage(2);
    let sobol = Sobol::new(2, &mut storage).unwrap();
    for level in levels() {
        for first in [0, 13, 1 << 20 | 15] {
            for (lane, word) in dispatch(level, Pairs(&sobol, first)).into_iter().enumerate() {
                let path = u64::from(first) + lane as u64 / 2;
                assert_eq!(word, sobol.word(PathAddress { path, ..HOME }, 1), "{level:?}");
            }
        }
    }
}

#[test]
fn one_point_of_a_block_in_each_interval() {
    let paths = 1 << 10;
    let mut storage = storage(MAX_DIM);
    let sobol = Sobol::new(MAX_DIM, &mut storage).unwrap();
    for path in [0, 5 << 10, (1 << 32) - (1 << 10), (1 << 32) + (3 << 10)] {
        let first = PathAddress { path, ..HOME };
        let (words, _) = dispatch(Level::detect(), Block { sobol: &sobol, first, paths });
        for (index, words) in words.chunks_exact(paths).enumerate() {
            let mut seen = vec![false; paths];
            for word in words {
                seen[(word >> 22) as usize] = true;
            }
            assert!(seen.iter().all(|seen| *seen), "{path} {index}");
        }
    }
}

/// A `(t, m, s)`-net: `2^t` points in each elementary interval of volume `2^(t - m)`. The bound on
/// `t` is the sum of the degrees of the polynomials less one: 0, 0, 1, 2 for the first dimensions.
#[test]
fn the_first_dimensions_are_nets() {
    /// Calls `check` with every way to share `bits` among the dimensions.
    fn shares(bits: u32, share: &mut Vec<u32>, dims: usize, check: &mut dyn FnMut(&[u32])) {
        if share.len() + 1 == dims {
            share.push(bits);
            check(share);
            share.pop();
            return;
        }
        for taken in 0..=bits {
            share.push(taken);
            shares(bits - taken, share, dims, check);
            share.pop();
        }
    }

    let (m, paths) = (8, 1 << 8);
    let mut storage = storage(4);
    let sobol = Sobol::new(4, &mut storage).unwrap();
    for (seed, path) in [(0, 0), (1, 0), (1, 3 << 8), (2, 1 << 40 | 77 << 8)] {
        let first = PathAddress { seed, path, ..HOME };
        let (words, _) = dispatch(Level::scalar(), Block { sobol: &sobol, first, paths });
        for (dims, t) in [(2, 0), (3, 1), (4, 3)] {
            shares(m - t, &mut Vec::new(), dims, &mut |share| {
                let mut counts = vec![0; paths >> t];
                for n in 0..paths {
                    let cell = share.iter().enumerate().fold(0, |cell, (index, bits)| {
                        let word = u64::from(words[index * paths + n]);
                        cell << bits | (word << bits >> 32) as usize
                    });
                    counts[cell] += 1;
                }
                assert!(counts.iter().all(|count| *count == 1 << t), "{seed} {path} {share:?}");
            });
        }
    }
}

/// The standard normal score of Pearson's statistic over equal cells, by Wilson and Hilferty.
fn score(counts: &[u32]) -> f64 {
    let total: u32 = counts.iter().sum();
    let expected = f64::from(total) / counts.len() as f64;
    let terms = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected);
    let freedom = (counts.len() - 1) as f64;
    let spread = 2.0 / (9.0 * freedom);
    ((terms.sum::<f64>() / freedom).cbrt() - (1.0 - spread)) / spread.sqrt()
}

/// Over seeds, a word is uniform in its highest, middle and lowest bits; so is its second word,
/// given the word; and so is a word given that of another path or dimension, but for the bits in
/// which the two points part. 60 scores below 5.2, which a right generator exceeds with
/// probability 2e-7: had the seeds been drawn at random, one run in 80,000 would fail.
#[test]
fn words_are_uniform_over_seeds() {
    let seeds = 1 << 16;
    let mut storage = storage(12);
    let sobol = Sobol::new(12, &mut storage).unwrap();
    let places = [(0, 0), (1, 0), (0, 1), (1_000, 7), (1 << 40 | 0xffff, 11)];
    for (path, index) in places {
        let mut cells = vec![[0u32; 4096]; 12];
        for seed in 0..seeds {
            let address = PathAddress { seed, path, ..HOME };
            let word = sobol.word(address, index);
            let second = Key::new(address, index).second(Scalar, path as u32);
            let dimension = sobol.word(address, (index + 1) % 12);
            // A point that parts from this one in the highest bit of each coordinate.
            let other = sobol.word(PathAddress { path: path ^ 1, ..address }, index);
            for (n, shift) in [20, 10, 0].into_iter().enumerate() {
                cells[n][(word >> shift & 4095) as usize] += 1;
                let six = |word: u32| (word >> shift >> 5 & 63) as usize;
                cells[3 + n][six(word) << 6 | six(second)] += 1;
                cells[6 + n][six(word) << 6 | six(dimension)] += 1;
                cells[9 + n][six(word) << 6 | six(other)] += 1;
            }
        }
        for (n, cells) in cells.iter().enumerate() {
            assert!(score(cells).abs() < 5.2, "{path} {index} {n}: {}", score(cells));
        }
    }
}

/// A smooth function of ten dimensions whose integral is one.
fn smooth(word: impl Fn(usize) -> u32) -> f64 {
    let factor = |index: usize| {
        let x = (f64::from(word(index)) + 0.5) / 4_294_967_296.0;
        1.0 + (x - 0.5) / (index + 1) as f64
    };
    (0..10).map(factor).product()
}

/// The error of an integral over 4,096 points, root mean square, is a 690th of that over as many
/// random ones (measured over 512 streams). Over 32 streams it must be at most a 350th.
#[test]
fn integrals_converge_faster() {
    let (paths, streams) = (4096, 32);
    let mut storage = storage(10);
    let sobol = Sobol::new(10, &mut storage).unwrap();
    let mut squares = [0.0, 0.0];
    for stream in 0..streams {
        let first = PathAddress { stream, ..HOME };
        let (words, _) = dispatch(Level::detect(), Block { sobol: &sobol, first, paths });
        let mut sums = [0.0, 0.0];
        for path in 0..paths {
            sums[0] += smooth(|index| words[index * paths + path]);
            let mut random = PathWords::new(after(first, path));
            let random = [0; 10].map(|_| random.next_word());
            sums[1] += smooth(|index| random[index]);
        }
        for (square, sum) in squares.iter_mut().zip(sums) {
            *square += (sum / paths as f64 - 1.0f64).powi(2) / streams as f64;
        }
    }
    let [scrambled, random] = squares.map(f64::sqrt);
    assert!(350.0 * scrambled < random, "{scrambled:e} {random:e}");
    // The standard deviation of the function is 0.37.
    assert!((0.6..1.5).contains(&(random / (0.37 / 64.0))), "{random:e}");
}

#[test]
fn any_path_has_its_point() {
    let mut rng = Rng::new(7);
    let mut storage = storage(3);
    let sobol = Sobol::new(3, &mut storage).unwrap();
    for _ in 0..1000 {
        let address = PathAddress { path: rng.next(), ..HOME };
        let number = address.path as u32;
        let plain = (0..32).filter(|bit| number >> bit & 1 == 1);
        let plain = plain.fold(0, |x, bit| x ^ sobol.numbers[2][bit]);
        assert_eq!(sobol.word(address, 2), Key::new(address, 2).scramble(Scalar, plain));
    }
}
