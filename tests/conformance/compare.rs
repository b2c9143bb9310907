//! Whether two arrays are the same answer.

use nowcast::tensor::{DType, widen};

use crate::adapter::Array;

/// The suite's references are numpy expressions, some computed in double precision and some with
/// a cheaper formula than the operator's: they are no better than this, whatever a case says.
/// How close an answer must be to ONNX Runtime's is the business of tests/parity.rs.
const LEAST_RTOL: f64 = 1e-3;

/// The same for a type: its references are computed in the type itself, one rounding an operation,
/// ours in f32 and rounded once. Two units in the last place of a float of 16 bits.
fn least_rtol(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2.0 / 1024.0,
        DType::BF16 => 2.0 / 128.0,
        _ => LEAST_RTOL,
    }
}

/// What differs, or `Ok`. Shape and element type must be the same. Integers and booleans are
/// exact, and so are types of eight bits and fewer. Other floats may differ by
/// `atol + rtol * |expected|`; NaN equals NaN.
pub(crate) fn compare(got: &Array, expected: &Array, rtol: f64, atol: f64) -> Result<(), String> {
    let name = &expected.name;
    if got.name != expected.name {
        return Err(format!("output `{name}` is called `{}`", got.name));
    }
    if got.dtype != expected.dtype {
        return Err(format!("output `{name}` is {}, expected {}", got.dtype, expected.dtype));
    }
    if got.shape != expected.shape {
        let (got, expected) = (&got.shape, &expected.shape);
        return Err(format!("output `{name}` has shape {got:?}, expected {expected:?}"));
    }
    if got.bytes.len() != expected.bytes.len() {
        return Err(format!("output `{name}` has {} bytes", got.bytes.len()));
    }
    let dtype = expected.dtype;
    // What cancels to zero in one order of summation leaves a rounding of the largest in another.
    let atol = atol.max(f64::from(f32::EPSILON) * largest(expected));
    let same = |(got, expected): (&[u8], &[u8])| match (float(dtype, got), float(dtype, expected)) {
        (Some(got), Some(expected)) => {
            let limit = atol + rtol.max(least_rtol(dtype)) * expected.abs();
            got == expected
                || (got.is_nan() && expected.is_nan())
                || (expected.is_finite() && (got - expected).abs() <= limit)
        }
        _ => got == expected,
    };
    let size = dtype.bytes();
    let pairs = || got.bytes.chunks_exact(size).zip(expected.bytes.chunks_exact(size));
    let differing = pairs().filter(|pair| !same(*pair)).count();
    let Some((at, (a, b))) = pairs().enumerate().find(|(_, pair)| !same(*pair)) else {
        return Ok(());
    };
    let (len, a, b) = (pairs().len(), element(dtype, a), element(dtype, b));
    Err(format!("output `{name}`: {differing} of {len} differ, first at {at}: {a}, expected {b}"))
}

/// The size of the largest finite float; zero for other types.
fn largest(array: &Array) -> f64 {
    let elements = array.bytes.chunks_exact(array.dtype.bytes());
    let finite = elements.filter_map(|e| float(array.dtype, e)).filter(|x| x.is_finite());
    finite.fold(0.0, |largest, x| largest.max(x.abs()))
}

/// The value of a float element of more than eight bits; `None` for other types.
fn float(dtype: DType, bytes: &[u8]) -> Option<f64> {
    match dtype {
        DType::F32 => Some(f32::from_ne_bytes(bytes.try_into().ok()?).into()),
        DType::F64 => Some(f64::from_ne_bytes(bytes.try_into().ok()?)),
        DType::F16 | DType::BF16 => {
            Some(widen(dtype, u16::from_ne_bytes(bytes.try_into().ok()?)).into())
        }
        _ => None,
    }
}

/// An element as text.
fn element(dtype: DType, bytes: &[u8]) -> String {
    if let Some(value) = float(dtype, bytes) {
        return value.to_string();
    }
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let unused = 64 - 8 * bytes.len() as u32;
    match dtype {
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
            ((i64::from_le_bytes(wide) << unused) >> unused).to_string()
        }
        _ => u64::from_le_bytes(wide).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: &[f32]) -> Array {
        let bytes = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        Array {
            name: "y".into(),
            dtype: DType::F32,
            shape: vec![values.len()],
            bytes,
            labels: Vec::new(),
        }
    }

    #[test]
    fn floats_within_tolerance_and_special_values() {
        let expected = floats(&[1.0, f32::NAN, f32::INFINITY, 0.0]);
        let got = floats(&[1.0009, f32::NAN, f32::INFINITY, 5e-8]);
        assert_eq!(compare(&got, &expected, 0.0, 1e-7), Ok(()));
        for (at, wrong) in [(0, 1.002), (1, 0.0), (2, f32::MAX), (3, 1e-6)] {
            let mut values = [1.0, f32::NAN, f32::INFINITY, 0.0];
            values[at] = wrong;
            let error = compare(&floats(&values), &expected, 1e-3, 1e-7).unwrap_err();
            assert!(error.contains(&format!("1 of 4 differ, first at {at}:")), "{error}");
        }
    }

    #[test]
    fn integers_are_exact_and_types_matter() {
        let array = |dtype, bytes: &[u8]| {
            let shape = vec![bytes.len() / DType::bytes(dtype)];
            Array { name: "y".into(), dtype, shape, bytes: bytes.to_vec(), labels: Vec::new() }
        };
        let error =
            compare(&array(DType::I8, &[255]), &array(DType::I8, &[254]), 1.0, 1.0).unwrap_err();
        assert!(error.ends_with("-1, expected -2"), "{error}");
        assert!(compare(&array(DType::U8, &[1]), &array(DType::Bool, &[1]), 0.0, 0.0).is_err());
        assert!(compare(&floats(&[]), &floats(&[1.0]), 0.0, 0.0).is_err());
    }
}
