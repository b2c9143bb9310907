//! Every instruction of every token against the scalar one, bit for bit.

extern crate std;

use core::cell::Cell;
use std::vec::Vec;

use super::suite::{Rng, levels};
use super::{Level, PairTable, Simd, Vectorized, dispatch};

/// Operands of 16 lanes: `x`, `y` and `z`, as floats, integers and doubles.
#[derive(Clone)]
struct Operands {
    f: [[f32; 16]; 3],
    u: [[u32; 16]; 2],
    d: [[f64; 16]; 3],
    l: [[u64; 16]; 2],
}

/// Writes the result of every elementwise instruction, one after another.
struct Everything<'a>(&'a Operands);

impl Vectorized for Everything<'_> {
    type Output = Vec<(&'static str, Vec<u64>)>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let mut results = Vec::new();
        let [fx, fy, fz] = self.0.f;
        let [ux, uy] = self.0.u;
        let [dx, dy, dz] = self.0.d;
        let [lx, ly] = self.0.l;

        macro_rules! each {
            ($name:literal, $lanes:expr, |$i:ident| $body:expr) => {{
                let mut out = Vec::new();
                for $i in (0..16).step_by($lanes) {
                    $body(&mut out);
                }
                results.push(($name, out));
            }};
        }
        macro_rules! f32s {
            ($($name:literal: |$x:ident, $y:ident, $z:ident| $e:expr;)*) => {$(
                each!($name, S::LANES, |i| |out: &mut Vec<u64>| {
                    let ($x, $y, $z) = (s.load(&fx[i..]), s.load(&fy[i..]), s.load(&fz[i..]));
                    let mut lanes = [0.0; 16];
                    s.store($e, &mut lanes);
                    out.extend(lanes[..S::LANES].iter().map(|x| bits(*x)));
                });
            )*};
        }
        macro_rules! u32s {
            ($($name:literal: |$x:ident, $y:ident| $e:expr;)*) => {$(
                each!($name, S::LANES, |i| |out: &mut Vec<u64>| {
                    let ($x, $y) = (s.u32_load(&ux[i..]), s.u32_load(&uy[i..]));
                    let mut lanes = [0; 16];
                    s.u32_store($e, &mut lanes);
                    out.extend(lanes[..S::LANES].iter().map(|x| u64::from(*x)));
                });
            )*};
        }
        macro_rules! f64s {
            ($($name:literal: |$x:ident, $y:ident, $z:ident| $e:expr;)*) => {$(
                each!($name, S::F64_LANES, |i| |out: &mut Vec<u64>| {
                    let ($x, $y, $z) =
                        (s.f64_load(&dx[i..]), s.f64_load(&dy[i..]), s.f64_load(&dz[i..]));
                    let mut lanes = [0.0; 16];
                    s.f64_store($e, &mut lanes);
                    out.extend(lanes[..S::F64_LANES].iter().map(|x| bits64(*x)));
                });
            )*};
        }
        macro_rules! u64s {
            ($($name:literal: |$x:ident, $y:ident| $e:expr;)*) => {$(
                each!($name, S::F64_LANES, |i| |out: &mut Vec<u64>| {
                    let ($x, $y) = (s.u64_load(&lx[i..]), s.u64_load(&ly[i..]));
                    let mut lanes = [0; 16];
                    s.u64_store($e, &mut lanes);
                    out.extend(&lanes[..S::F64_LANES]);
                });
            )*};
        }
        let truth = |s: S, mask| s.select(mask, s.splat(1.0), s.splat(0.0));
        let truth64 = |s: S, mask| s.f64_select(mask, s.f64_splat(1.0), s.f64_splat(0.0));
        f32s! {
            "add": |x, y, _z| s.add(x, y);
            "sub": |x, y, _z| s.sub(x, y);
            "mul": |x, y, _z| s.mul(x, y);
            "div": |x, y, _z| s.div(x, y);
            "mul_add": |x, y, z| s.mul_add(x, y, z);
            "neg_mul_add": |x, y, z| s.neg_mul_add(x, y, z);
            "min": |x, y, _z| s.min(x, y);
            "max": |x, y, _z| s.max(x, y);
            "sqrt": |x, _y, _z| s.sqrt(x);
            "floor": |x, _y, _z| s.floor(x);
            "ceil": |x, _y, _z| s.ceil(x);
            "round": |x, _y, _z| s.round(x);
            "abs": |x, _y, _z| s.abs(x);
            "neg": |x, _y, _z| s.neg(x);
            "copysign": |x, y, _z| s.copysign(x, y);
            "lt": |x, y, _z| truth(s, s.lt(x, y));
            "le": |x, y, _z| truth(s, s.le(x, y));
            "eq": |x, y, _z| truth(s, s.eq(x, y));
            "gt": |x, y, _z| truth(s, s.gt(x, y));
            "ge": |x, y, _z| truth(s, s.ge(x, y));
            "is_nan": |x, _y, _z| truth(s, s.is_nan(x));
            "mask": |x, y, z| {
                let (a, b, c) = (s.lt(x, y), s.lt(y, z), s.lt(x, z));
                truth(s, s.mask_or(s.mask_and(a, b), s.mask_not(c)))
            };
            "select": |x, y, z| s.select(s.lt(x, y), y, z);
            "round_to_i32": |x, _y, _z| {
                let fits = s.lt(s.abs(x), s.splat(2e9));
                s.i32_to_f32(s.round_to_i32(s.select(fits, x, s.splat(3.5))))
            };
        }
        u32s! {
            "u32_add": |x, y| s.u32_add(x, y);
            "u32_sub": |x, y| s.u32_sub(x, y);
            "u32_mul": |x, y| s.u32_mul(x, y);
            "u32_mul_wide high": |x, y| s.u32_mul_wide(x, y).0;
            "u32_mul_wide low": |x, y| s.u32_mul_wide(x, y).1;
            "u32_and": |x, y| s.u32_and(x, y);
            "u32_or": |x, y| s.u32_or(x, y);
            "u32_xor": |x, y| s.u32_xor(x, y);
            "u32_shl": |x, _y| s.u32_shl::<7>(x);
            "u32_shr": |x, _y| s.u32_shr::<9>(x);
            "u32_rotate_left": |x, _y| s.u32_rotate_left::<13>(x);
            "u32_eq": |x, y| s.u32_select(s.u32_eq(x, y), s.u32_splat(1), s.u32_splat(0));
            "u32_to_f32": |x, _y| s.to_bits(s.u32_to_f32(s.u32_shr::<8>(x)));
            "lookup16": |x, _y| s.to_bits(s.lookup16(&fz, x));
            "i32_add": |x, y| s.i32_to_u32(s.i32_add(s.u32_to_i32(x), s.u32_to_i32(y)));
            "i32_sub": |x, y| s.i32_to_u32(s.i32_sub(s.u32_to_i32(x), s.u32_to_i32(y)));
            "i32_shr": |x, _y| s.i32_to_u32(s.i32_shr::<5>(s.u32_to_i32(x)));
            "i32_gt": |x, y| s.u32_select(s.i32_gt(s.u32_to_i32(x), s.u32_to_i32(y)), x, y);
            "i32_to_f32": |x, _y| s.to_bits(s.i32_to_f32(s.u32_to_i32(x)));
        }
        f64s! {
            "f64_add": |x, y, _z| s.f64_add(x, y);
            "f64_sub": |x, y, _z| s.f64_sub(x, y);
            "f64_mul": |x, y, _z| s.f64_mul(x, y);
            "f64_div": |x, y, _z| s.f64_div(x, y);
            "f64_mul_add": |x, y, z| s.f64_mul_add(x, y, z);
            "f64_neg_mul_add": |x, y, z| s.f64_neg_mul_add(x, y, z);
            "f64_sqrt": |x, _y, _z| s.f64_sqrt(x);
            "f64_round": |x, _y, _z| s.f64_round(x);
            "f64_abs": |x, _y, _z| s.f64_abs(x);
            "f64_neg": |x, _y, _z| s.f64_neg(x);
            "f64_copysign": |x, y, _z| s.f64_copysign(x, y);
            "f64_min": |x, y, _z| s.f64_min(x, y);
            "f64_max": |x, y, _z| s.f64_max(x, y);
            "f64_lt": |x, y, _z| truth64(s, s.f64_lt(x, y));
            "f64_le": |x, y, _z| truth64(s, s.f64_le(x, y));
            "f64_eq": |x, y, _z| truth64(s, s.f64_eq(x, y));
            "mask64": |x, y, z| {
                let (a, b, c) = (s.f64_lt(x, y), s.f64_lt(y, z), s.f64_lt(x, z));
                truth64(s, s.mask64_or(s.mask64_and(a, b), s.mask64_not(c)))
            };
            "f64_to_u64": |x, _y, _z| {
                let x = s.f64_round(s.f64_abs(x));
                let fits = s.f64_lt(x, s.f64_splat(4.5e15));
                let x = s.f64_select(fits, x, s.f64_splat(7.0));
                s.f64_from_bits(s.f64_to_u64(x))
            };
        }
        u64s! {
            "u64_add": |x, y| s.u64_add(x, y);
            "u64_sub": |x, y| s.u64_sub(x, y);
            "u64_mul_low32": |x, y| s.u64_mul_low32(x, y);
            "u64_and": |x, y| s.u64_and(x, y);
            "u64_or": |x, y| s.u64_or(x, y);
            "u64_xor": |x, y| s.u64_xor(x, y);
            "u64_shl": |x, _y| s.u64_shl::<17>(x);
            "u64_shr": |x, _y| s.u64_shr::<12>(x);
            "u64_to_f64": |x, _y| s.f64_to_bits(s.u64_to_f64(s.u64_shr::<12>(x)));
            "u64_to_nearest_f64": |x, _y| s.f64_to_bits(s.u64_to_nearest_f64(x));
            "u64_to_nearest_f64 small": |x, _y| {
                s.f64_to_bits(s.u64_to_nearest_f64(s.u64_shr::<20>(x)))
            };
            "u64_to_nearest_f64 ties": |x, _y| {
                let tie = s.u64_or(s.u64_and(x, s.u64_splat(!0x7ff)), s.u64_splat(1 << 63 | 1 << 10));
                s.f64_to_bits(s.u64_to_nearest_f64(tie))
            };
            "u64_eq": |x, y| {
                let one = s.f64_splat(1.0);
                s.f64_to_bits(s.f64_select(s.u64_eq(x, y), one, s.f64_neg(one)))
            };
        }
        each!("u64_load_u32", S::F64_LANES, |i| |out: &mut Vec<u64>| {
            let mut lanes = [0; 16];
            s.u64_store(s.u64_load_u32(&ux[i..]), &mut lanes);
            out.extend(&lanes[..S::F64_LANES]);
        });
        each!("f64_load_f32", S::F64_LANES, |i| |out: &mut Vec<u64>| {
            let mut lanes = [0.0; 16];
            s.f64_store(s.f64_load_f32(&fx[i..]), &mut lanes);
            out.extend(lanes[..S::F64_LANES].iter().map(|x| bits64(*x)));
        });
        each!("f64_store_f32", S::F64_LANES, |i| |out: &mut Vec<u64>| {
            let mut lanes = [0.0; 16];
            s.f64_store_f32(s.f64_load(&dx[i..]), &mut lanes);
            out.extend(lanes[..S::F64_LANES].iter().map(|x| bits(*x)));
        });
        results
    }
}

/// The bits, one pattern for all NaNs.
fn bits(x: f32) -> u64 {
    if x.is_nan() { u64::MAX } else { u64::from(x.to_bits()) }
}

fn bits64(x: f64) -> u64 {
    if x.is_nan() { u64::MAX } else { x.to_bits() }
}

fn operands(rng: &mut Rng) -> Operands {
    let mut float = || {
        let f = rng.any_vector(16);
        core::array::from_fn(|i| f[i])
    };
    let f: [[f32; 16]; 3] = [float(), float(), float()];
    let mut double = |j: usize| {
        core::array::from_fn(|i| match rng.below(3) {
            0 => f64::from(f[j][i]),
            1 => f64::from_bits(rng.next()),
            _ => f64::from(rng.uniform(-9.0, 9.0)) * 1.1,
        })
    };
    let d = [double(0), double(1), double(2)];
    let l: [[u64; 16]; 2] = core::array::from_fn(|_| core::array::from_fn(|_| rng.next()));
    let mut u = l.map(|l| l.map(|x| x as u32));
    u[1][3] = u[0][3];
    Operands { f, u, d, l }
}

#[test]
fn every_instruction_gives_the_scalar_bits() {
    let mut rng = Rng::new(1);
    for _ in 0..if cfg!(debug_assertions) { 200 } else { 2000 } {
        let operands = operands(&mut rng);
        let wanted = dispatch(Level::scalar(), Everything(&operands));
        for level in levels() {
            for (got, wanted) in dispatch(level, Everything(&operands)).iter().zip(&wanted) {
                assert_eq!(got, wanted, "{}", level.isa());
            }
        }
    }
}

struct Tails<'a>(&'a [f32]);

impl Vectorized for Tails<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for len in 0..=S::LANES {
            let from = &self.0[1..1 + len];
            let mut wanted = [9.0; 18];
            wanted[..16].fill(0.0);
            wanted[..len].copy_from_slice(from);

            let mut whole = [0.0; 16];
            s.store(s.load_tail(from), &mut whole);
            assert_eq!(whole[..S::LANES], wanted[..S::LANES]);
            let cells: Vec<Cell<f32>> = from.iter().map(|&x| Cell::new(x)).collect();
            s.store(s.load_cells_tail(&cells), &mut whole);
            assert_eq!(whole[..S::LANES], wanted[..S::LANES]);

            wanted[len..].fill(9.0);
            let mut part = [9.0; 18];
            s.store_tail(s.load_tail(from), &mut part[..len]);
            assert_eq!(part, wanted);
            let part = [const { Cell::new(9.0) }; 18];
            s.store_cells_tail(s.load_tail(from), &part[..len]);
            assert_eq!(part.map(Cell::into_inner), wanted);
        }
        let mut lanes = [0; 16];
        s.u32_store(s.u32_lane_index(), &mut lanes);
        assert!(lanes[..S::LANES].iter().enumerate().all(|(i, &lane)| lane == i as u32));
        let mut lanes = [0; 16];
        s.u64_store(s.u64_lane_index(), &mut lanes);
        assert!(lanes[..S::F64_LANES].iter().enumerate().all(|(i, &lane)| lane == i as u64));
        s.prefetch(self.0, usize::MAX / 8);
    }
}

struct Reductions<'a>(&'a [f32]);

impl Vectorized for Reductions<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut lanes = [0.0; 16];
        lanes[..S::LANES].copy_from_slice(&self.0[..S::LANES]);
        let x = s.load(&lanes);
        let (mut sum, mut max, mut min) = (lanes, lanes, lanes);
        let mut half = S::LANES / 2;
        while half > 0 {
            for i in 0..half {
                sum[i] += sum[i + half];
                max[i] = max[i].max(max[i + half]);
                min[i] = min[i].min(min[i + half]);
            }
            half /= 2;
        }
        assert_eq!(s.reduce_add(x).to_bits(), sum[0].to_bits());
        assert_eq!(s.reduce_max(x), max[0]);
        assert_eq!(s.reduce_min(x), min[0]);
        assert!(s.mask_all(s.le(x, s.splat(1.0))));
        let below = s.lt(x, s.splat(0.5));
        let bits = (0..S::LANES).fold(0, |bits, i| bits | u32::from(lanes[i] < 0.5) << i);
        assert_eq!(s.mask_bits(below), bits);
        assert_eq!(s.mask_any(s.lt(x, s.splat(0.0))), lanes[..S::LANES].iter().any(|&x| x < 0.0));
    }
}

#[test]
fn tails_touch_only_what_they_are_given() {
    for level in levels() {
        dispatch(level, Tails(&Rng::new(2).vector(40)));
    }
}

#[test]
fn reductions_halve() {
    let mut rng = Rng::new(3);
    for _ in 0..200 {
        let x = rng.vector(16);
        for level in levels() {
            dispatch(level, Reductions(&x));
        }
    }
}

struct Dealt<'a>(&'a [f32; 32]);

impl Vectorized for Dealt<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (even, odd) = s.deal(s.load(self.0), s.load(&self.0[S::LANES..]));
        for (vector, first) in [(even, 0), (odd, 1)] {
            let mut lanes = [0.0; 16];
            s.store(vector, &mut lanes);
            for (i, lane) in lanes[..S::LANES].iter().enumerate() {
                assert_eq!(*lane, self.0[2 * i + first], "{}", S::ISA);
            }
        }
    }
}

#[test]
fn vectors_are_dealt_in_two() {
    let numbers = core::array::from_fn(|i| i as f32);
    for level in levels() {
        dispatch(level, Dealt(&numbers));
    }
}

struct Paired<'a> {
    words: [&'a [u32; 16]; 2],
    table: [[f64; 16]; 2],
    indices: &'a [u64; 16],
}

impl Vectorized for Paired<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [low, high] = self.words;
        let pairs = s.u64_from_u32(s.u32_load(low), s.u32_load(high));
        for (half, pairs) in pairs.into_iter().take(S::LANES / S::F64_LANES).enumerate() {
            let mut lanes = [0; 8];
            s.u64_store(pairs, &mut lanes);
            let words = low.iter().zip(high).skip(half * S::F64_LANES);
            for (lane, (low, high)) in lanes[..S::F64_LANES].iter().zip(words) {
                assert_eq!(*lane, u64::from(*low) | u64::from(*high) << 32, "{}", S::ISA);
            }
        }
        let table = PairTable::new(self.table);
        let found = s.f64_lookup16(&table, s.u64_load(self.indices));
        for (vector, column) in found.into_iter().zip(self.table) {
            let mut lanes = [0.0; 8];
            s.f64_store(vector, &mut lanes);
            for (lane, index) in lanes[..S::F64_LANES].iter().zip(self.indices) {
                assert_eq!(*lane, column[(index % 16) as usize], "{}", S::ISA);
            }
        }
    }
}

#[test]
fn halves_are_paired_and_pairs_looked_up() {
    let mut rng = Rng::new(4);
    let table = core::array::from_fn(|j| core::array::from_fn(|i| (i + 100 * j) as f64));
    for _ in 0..50 {
        let words: [[u32; 16]; 2] =
            core::array::from_fn(|_| core::array::from_fn(|_| rng.next() as u32));
        let indices = core::array::from_fn(|_| rng.next());
        for level in levels() {
            dispatch(level, Paired { words: [&words[0], &words[1]], table, indices: &indices });
        }
    }
}
