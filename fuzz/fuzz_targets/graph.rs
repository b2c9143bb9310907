//! Random models (see `graphs`), served by the best instruction set and by the scalar path: the
//! answers must agree; and values that are computed exactly must not depend on which others are
//! outputs.
//!
//! Every value is an output, so each operator is judged by itself: where its operands have the
//! same bits on both sides, integers must have the same bits and floats differ by at most 1e-4 of
//! the largest number in result and operands (sums in another order, other polynomials). Behind
//! a value that differs in its last bits nothing is compared: a step function may part them.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::{Corpus, fuzz_target};
use nowcast::kernels::Level;
use nowcast::load::{Options, from_bytes};
use nowcast::runtime::{Program, Session};
use nowcast::tensor::DType;
use nowcast_fuzz::choices::{Choices, Random};
use nowcast_fuzz::graphs::{Model, RANGE};

/// Of the largest number around.
const TOLERANCE: f64 = 1e-4;
/// Where numbers of this size meet in sums, nothing is left to compare.
const LARGE: f64 = 1e6;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let mut choices = Choices::new(bytes);
    let (seed, extent) = (u32::from(choices.byte()), choices.byte());
    let model = Model::random(&mut choices);
    if model.is_empty() {
        return Corpus::Reject;
    }
    let options = Options::new().dim_range("n", RANGE.0 as usize, RANGE.1 as usize);
    let options = match model.has_open_dim() {
        true => options,
        false => Options::new(),
    };
    // The importer took it; the compiler may still have no kernel for a form.
    let Ok(all) = from_bytes(&model.encoded(true), &options) else { return Corpus::Keep };
    let few = from_bytes(&model.encoded(false), &options).expect("fewer outputs of the same");
    for n in [usize::from(extent) % (RANGE.1 as usize + 1), RANGE.1 as usize] {
        let want = answers(&all, Level::scalar(), seed, n);
        compare(&model, &answers(&all, Level::detect(), seed, n), &want);
        let apart = answers(&few, Level::scalar(), seed, n);
        for value in model.values.iter().filter(|value| value.exact) {
            if let (Some(got), Some(want)) = (apart.get(&value.name), want.get(&value.name)) {
                assert!(same_bits(got, want), "{} depends on what else is asked", value.name);
            }
        }
    }
    Corpus::Keep
});

/// Element type and bytes.
type Array = (DType, Vec<u8>);

/// Every output and input, twice computed.
fn answers(program: &Program<'_>, level: Level, seed: u32, n: usize) -> HashMap<String, Array> {
    let mut session = Session::new_at(program, level).expect("memory for a small model");
    let mut found = HashMap::new();
    for _ in 0..2 {
        for (i, port) in program.inputs().enumerate() {
            if (0..port.rank()).any(|axis| port.variable(axis).is_some()) {
                session.set_extent("n", n).expect("within its bounds");
            }
            let mut random = Random::new(seed + i as u32);
            let bytes = session.input_bytes_mut(i).expect("an input");
            for element in bytes.chunks_exact_mut(port.dtype.bytes()) {
                fill(port.dtype, element, &mut random);
            }
            found.insert(port.name.to_owned(), (port.dtype, bytes.to_vec()));
        }
        session.run().expect("whole inputs");
    }
    for (i, port) in program.outputs().enumerate() {
        let bytes = session.output_bytes(i).expect("an output").to_vec();
        found.insert(port.name.to_owned(), (port.dtype, bytes));
    }
    found
}

/// A small number, mostly an eighth.
fn fill(dtype: DType, element: &mut [u8], random: &mut Random) {
    let small = random.below(33) as f64 - 16.0;
    match dtype {
        DType::F32 => element.copy_from_slice(&(small as f32 / 8.0).to_ne_bytes()),
        DType::F64 => element.copy_from_slice(&(small / 8.0).to_ne_bytes()),
        DType::Bool => element[0] = u8::from(small > 0.0),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => element[0] = small.abs() as u8,
        _ => {
            let bytes = (small as i64).to_ne_bytes();
            element.copy_from_slice(&bytes[..element.len()]);
        }
    }
}

fn compare(model: &Model, got: &HashMap<String, Array>, want: &HashMap<String, Array>) {
    for value in &model.values {
        let (Some(got_value), Some(want_value)) = (got.get(&value.name), want.get(&value.name))
        else {
            continue;
        };
        let arrays = || model.operands(&value.name).iter().filter_map(|name| want.get(name));
        let same = |name: &String| match (got.get(name), want.get(name)) {
            (Some(a), Some(b)) => same_bits(a, b),
            _ => true,
        };
        if !model.operands(&value.name).iter().all(same) {
            continue;
        }
        let largest = arrays().chain([want_value]).flat_map(floats).fold(0.0, f64::max);
        let step = if model.operator(&value.name).contains("Quantize") { 1 } else { 0 };
        if largest < LARGE {
            agree(model.operator(&value.name), got_value, want_value, largest, step);
        }
    }
}

fn agree(operator: &str, got: &Array, want: &Array, largest: f64, step: i32) {
    assert_eq!((got.0, got.1.len()), (want.0, want.1.len()), "{operator}: type or length");
    if !want.0.is_float() {
        let near = |(a, b): (&u8, &u8)| (i32::from(*a) - i32::from(*b)).abs() <= step;
        assert!(got.1.iter().zip(&want.1).all(near), "{operator}: {got:?} is not {want:?}");
        return;
    }
    let limit = TOLERANCE * largest.max(1.0);
    for (a, b) in numbers(got).zip(numbers(want)) {
        let close = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= limit;
        assert!(close, "{operator}: {a} is not {b} within {limit}");
    }
}

fn numbers((dtype, bytes): &Array) -> impl Iterator<Item = f64> + '_ {
    bytes.chunks_exact(dtype.bytes()).map(|element| match dtype {
        DType::F32 => f32::from_ne_bytes(element.try_into().expect("four bytes")).into(),
        DType::F64 => f64::from_ne_bytes(element.try_into().expect("eight bytes")),
        _ => 0.0,
    })
}

/// Sizes of the elements of a float array; infinite ones and NaN as infinity.
fn floats(array: &Array) -> impl Iterator<Item = f64> + '_ {
    numbers(array).map(|x| if x.is_nan() { f64::INFINITY } else { x.abs() })
}

/// Whether they have the same bits; one NaN is as good as another.
fn same_bits(a: &Array, b: &Array) -> bool {
    let nan = |(x, y): (f64, f64)| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
    if a.0.is_float() {
        a.1.len() == b.1.len() && numbers(a).zip(numbers(b)).all(nan)
    } else {
        a.1 == b.1
    }
}
