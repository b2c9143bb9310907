//! Constant data of a file as tensors.
//!
//! Every size is checked before memory is taken, and external files are read only inside the
//! model's folder.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use bytes::Bytes;

use crate::graph::Tensor;
use crate::tensor::DType;

use super::error::ImportError;
use super::proto::{SparseTensorProto, TensorProto};

/// The element type with this number in the file, or the name of one that is not supported.
pub(crate) fn element_type(code: i32) -> Result<DType, String> {
    Ok(match code {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        10 => DType::F16,
        16 => DType::BF16,
        17 => DType::F8E4M3FN,
        18 => DType::F8E4M3FNUZ,
        19 => DType::F8E5M2,
        20 => DType::F8E5M2FNUZ,
        21 => DType::U4,
        22 => DType::I4,
        23 => DType::F4E2M1,
        24 => DType::F8E8M0,
        25 => DType::U2,
        26 => DType::I2,
        27 => DType::F6E2M3,
        28 => DType::F6E3M2,
        _ => {
            let name = match code {
                0 => "of no element type",
                8 => "string",
                14 => "complex64",
                15 => "complex128",
                other => return Err(format!("of the unknown element type {other}")),
            };
            return Err(name.to_owned());
        }
    })
}

/// The tensor, its data taken from `folder` where it lies in another file.
pub(crate) fn decode(proto: &TensorProto, folder: Option<&Path>) -> Result<Tensor, ImportError> {
    let dtype = element_type(proto.data_type).map_err(|dtype| ImportError::ElementType {
        what: format!("tensor {:?}", proto.name),
        dtype,
    })?;
    decode_as(proto, dtype, folder)
        .map_err(|problem| ImportError::Tensor { tensor: proto.name.clone(), problem })
}

/// Bytes of the tensor by its declared shape; none where that is refused anyway.
pub(super) fn declared_bytes(proto: &TensorProto) -> u64 {
    let dtype = element_type(proto.data_type).ok();
    dtype.and_then(|dtype| extents(&proto.dims, dtype).ok()).map_or(0, |(_, bytes)| bytes as u64)
}

fn extents(dims: &[i64], dtype: DType) -> Result<(Vec<usize>, usize), String> {
    let shape: Option<Vec<usize>> = dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let shape = shape.ok_or_else(|| format!("the shape {dims:?} has a negative extent"))?;
    let bytes = shape
        .iter()
        .try_fold(dtype.bytes(), |n, d| n.checked_mul(*d))
        .filter(|n| *n <= isize::MAX as usize)
        .ok_or_else(|| format!("the shape {dims:?} is larger than memory can be"))?;
    Ok((shape, bytes))
}

/// Elements of fewer than eight bits, packed with the lowest bits first, as one byte each.
fn unpacked(dtype: DType, len: usize, packed: impl Fn(usize) -> u8) -> Vec<u8> {
    let bits = dtype.bits();
    let mask = u8::MAX >> (8 - bits);
    let element = |i: usize| {
        let (byte, shift) = (i * bits / 8, i * bits % 8);
        let next = if shift + bits > 8 { packed(byte + 1) } else { 0 };
        ((u16::from(packed(byte)) | u16::from(next) << 8) >> shift) as u8 & mask
    };
    (0..len).map(element).collect()
}

fn decode_as(proto: &TensorProto, dtype: DType, folder: Option<&Path>) -> Result<Tensor, String> {
    let (shape, bytes) = extents(&proto.dims, dtype)?;
    // What the file holds: of small elements several share a byte.
    let stored = match dtype.bits() {
        bits @ 1..8 => bytes / 8 * bits + (bytes % 8 * bits).div_ceil(8),
        _ => bytes,
    };
    let whole = |raw: Bytes| match dtype.bits() {
        1..8 => {
            tensor(dtype, &shape, &unpacked(dtype, bytes, |i| raw.get(i).copied().unwrap_or(0)))
        }
        _ if dtype == DType::Bool => tensor(dtype, &shape, &raw),
        _ => Tensor::of_file(dtype, &shape, raw),
    };
    if proto.segment.is_some() {
        return Err("it is stored in segments; save it in one piece".into());
    }
    if proto.data_location == 1 {
        return Ok(whole(read_external(proto, folder, stored)?.into()));
    }
    if proto.data_location != 0 {
        return Err(format!("the data location {} is unknown", proto.data_location));
    }
    let given = |len: usize, unit: &str| {
        let needed = match (unit, dtype.bits()) {
            ("bytes", _) => stored,
            // Those that are packed in bytes are packed in the elements of the file, too.
            (_, 2 | 4) => stored,
            _ => bytes / dtype.bytes(),
        };
        if len == needed {
            return Ok(());
        }
        Err(format!(
            "the shape {:?} of {dtype} needs {needed} {unit}, the file has {len}",
            proto.dims
        ))
    };
    if let Some(raw) = &proto.raw_data {
        given(raw.len(), "bytes")?;
        return Ok(whole(raw.clone()));
    }
    let small = |narrow: fn(i32) -> Option<[u8; 8]>| {
        given(proto.int32_data.len(), "elements")?;
        let mut out = Vec::with_capacity(bytes);
        for v in &proto.int32_data {
            let word = narrow(*v).ok_or_else(|| format!("the element {v} is no {dtype}"))?;
            out.extend_from_slice(&word[..dtype.bytes()]);
        }
        Ok(tensor(dtype, &shape, &out))
    };
    let packed = || {
        given(proto.int32_data.len(), "elements")?;
        if let Some(v) = proto.int32_data.iter().find(|v| u8::try_from(**v).is_err()) {
            return Err(format!("{v} is no byte of elements {dtype}"));
        }
        let raw: Vec<u8> = proto.int32_data.iter().map(|v| *v as u8).collect();
        Ok(whole(raw.into()))
    };
    fn word<const N: usize>(bytes: [u8; N]) -> [u8; 8] {
        let mut out = [0; 8];
        out[..N].copy_from_slice(&bytes);
        out
    }
    match dtype {
        DType::F32 => given(proto.float_data.len(), "elements")
            .map(|()| Tensor::new(&shape, &proto.float_data)),
        DType::F64 => given(proto.double_data.len(), "elements")
            .map(|()| Tensor::new(&shape, &proto.double_data)),
        DType::I64 => given(proto.int64_data.len(), "elements")
            .map(|()| Tensor::new(&shape, &proto.int64_data)),
        DType::U64 => given(proto.uint64_data.len(), "elements")
            .map(|()| Tensor::new(&shape, &proto.uint64_data)),
        DType::U32 => {
            given(proto.uint64_data.len(), "elements")?;
            let narrow: Result<Vec<u32>, _> =
                proto.uint64_data.iter().map(|v| u32::try_from(*v)).collect();
            let narrow = narrow.map_err(|_| "an element is larger than u32".to_owned())?;
            Ok(Tensor::new(&shape, &narrow))
        }
        DType::I32 => small(|v| Some(word(v.to_le_bytes()))),
        DType::U8 => small(|v| u8::try_from(v).ok().map(|v| word(v.to_le_bytes()))),
        DType::I8 => small(|v| i8::try_from(v).ok().map(|v| word(v.to_le_bytes()))),
        DType::U16 => small(|v| u16::try_from(v).ok().map(|v| word(v.to_le_bytes()))),
        DType::I16 => small(|v| i16::try_from(v).ok().map(|v| word(v.to_le_bytes()))),
        DType::Bool => small(|v| Some(word([u8::from(v != 0)]))),
        DType::F16 | DType::BF16 => small(|v| u16::try_from(v).ok().map(|v| word(v.to_le_bytes()))),
        DType::F6E2M3 | DType::F6E3M2 => {
            small(|v| u8::try_from(v).ok().filter(|v| *v < 64).map(|v| word([v])))
        }
        _ => match dtype.bits() {
            8 => small(|v| u8::try_from(v).ok().map(|v| word([v]))),
            _ => packed(),
        },
    }
}

/// `bytes` has the length that type and shape say; any byte but zero is true.
fn tensor(dtype: DType, shape: &[usize], bytes: &[u8]) -> Tensor {
    if dtype == DType::Bool && bytes.iter().any(|b| *b > 1) {
        let clean: Vec<u8> = bytes.iter().map(|b| u8::from(*b != 0)).collect();
        return Tensor::from_bytes(dtype, shape, &clean);
    }
    Tensor::from_bytes(dtype, shape, bytes)
}

fn read_external(
    proto: &TensorProto,
    folder: Option<&Path>,
    bytes: usize,
) -> Result<Vec<u8>, String> {
    let entry = |key: &str| proto.external_data.iter().find(|e| e.key == key).map(|e| &e.value);
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
            format!("the {key} {text:?} of its external data is no number; export the model again")
        }),
    };
    let location = entry("location").ok_or("its external data names no file")?;
    let folder = folder.ok_or_else(|| {
        format!(
            "its data lies in the file {location:?}; load the model from a path, not from bytes"
        )
    })?;
    let plain = Path::new(location).components().all(|c| matches!(c, Component::Normal(_)));
    let outside = || format!("its external file {location:?} lies outside the model's folder");
    if !plain || location.is_empty() || location.contains('\\') {
        return Err(outside());
    }
    let unreadable = |e: std::io::Error| format!("its external file {location:?}: {e}");
    // The folder of a file that is named alone.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let root = folder.canonicalize().map_err(unreadable)?;
    let path = root.join(location).canonicalize().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            format!("its external file {location:?} is missing; put it beside the model")
        }
        _ => unreadable(e),
    })?;
    if !path.starts_with(&root) {
        return Err(outside());
    }
    if !path.is_file() {
        return Err(format!("its external file {location:?} is not a file"));
    }
    if let Some(length) = number("length")?
        && length != bytes as u64
    {
        return Err(format!(
            "the shape {:?} needs {bytes} bytes, its external data has {length}",
            proto.dims
        ));
    }
    let offset = number("offset")?.unwrap_or(0);
    let mut file = File::open(&path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if offset.checked_add(bytes as u64).is_none_or(|end| end > size) {
        return Err(format!(
            "its {bytes} bytes at {offset} end behind the {size} bytes of {location:?}"
        ));
    }
    let mut data = vec![0; bytes];
    file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
    file.read_exact(&mut data).map_err(unreadable)?;
    Ok(data)
}

/// The dense form of a sparse tensor, at most `limit` bytes of it.
pub(super) fn decode_sparse(
    proto: &SparseTensorProto,
    folder: Option<&Path>,
    limit: usize,
) -> Result<Tensor, ImportError> {
    let name = proto.values.as_ref().map(|v| v.name.clone()).unwrap_or_default();
    let fail = |problem: String| ImportError::Tensor { tensor: name.clone(), problem };
    let (Some(values), Some(indices)) = (&proto.values, &proto.indices) else {
        return Err(fail("a sparse tensor needs values and indices".into()));
    };
    let (values, indices) = (decode(values, folder)?, decode(indices, folder)?);
    let (shape, bytes) = extents(&proto.dims, values.dtype()).map_err(fail)?;
    if bytes > limit {
        return Err(fail(format!("its dense form of {bytes} bytes is too large")));
    }
    let places = indices
        .as_slice::<i64>()
        .ok_or_else(|| fail(format!("the indices are {}, not i64", indices.dtype())))?;
    let count = values.len();
    let linear = match indices.shape() {
        [n] if *n == count => true,
        [n, rank] if *n == count && *rank == shape.len() => false,
        other => {
            return Err(fail(format!("indices {other:?} do not fit {count} values")));
        }
    };
    let size = values.dtype().bytes();
    let mut dense = vec![0u8; bytes];
    for (i, value) in values.bytes().chunks_exact(size).enumerate() {
        let outside = || fail(format!("an index lies outside the shape {:?}", proto.dims));
        let at = if linear {
            places.get(i).and_then(|p| usize::try_from(*p).ok())
        } else {
            let tuple = places.get(i * shape.len()..(i + 1) * shape.len()).unwrap_or_default();
            tuple.iter().zip(&shape).try_fold(0usize, |at, (p, n)| {
                let p = usize::try_from(*p).ok().filter(|p| p < n)?;
                at.checked_mul(*n)?.checked_add(p)
            })
        };
        let start = at.and_then(|at| at.checked_mul(size)).ok_or_else(outside)?;
        let end = start.checked_add(size).ok_or_else(outside)?;
        dense.get_mut(start..end).ok_or_else(outside)?.copy_from_slice(value);
    }
    Ok(Tensor::from_bytes(values.dtype(), &shape, &dense))
}

#[cfg(test)]
mod tests;
