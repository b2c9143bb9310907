//! Tensors of any element type in NPY files, and in archives of them.

mod archive;

use std::io::Write;
use std::path::Path;

use nowcast::graph::Tensor;
use nowcast::tensor::DType;
use npyz::WriterBuilder;

use crate::arrays::read_input;
use crate::failure::Failure;
use crate::output;

/// NumPy's names of our types, little-endian. It has none for the others: they are written as
/// their bits, unsigned integers of as many bytes, and read as such where an input has their type.
const NAMES: [(&str, DType); 12] = [
    ("<f4", DType::F32),
    ("<f8", DType::F64),
    ("<i4", DType::I32),
    ("<i8", DType::I64),
    ("|u1", DType::U8),
    ("|i1", DType::I8),
    ("|b1", DType::Bool),
    ("<u2", DType::U16),
    ("<i2", DType::I16),
    ("<u4", DType::U32),
    ("<u8", DType::U64),
    ("<f2", DType::F16),
];

/// What NumPy calls a type when it converts to it; of the bits of a type that it has no name for.
pub(crate) fn numpy_name(dtype: DType) -> &'static str {
    match named(dtype) {
        DType::F32 => "float32",
        DType::F64 => "float64",
        DType::I32 => "int32",
        DType::I64 => "int64",
        DType::U8 => "uint8",
        DType::I8 => "int8",
        DType::Bool => "bool",
        DType::U16 => "uint16",
        DType::I16 => "int16",
        DType::U32 => "uint32",
        DType::F16 => "float16",
        _ => "uint64",
    }
}

/// The type of a file that holds elements of this one.
fn named(dtype: DType) -> DType {
    if NAMES.iter().any(|(_, name)| *name == dtype) { dtype } else { dtype.plain() }
}

/// What NumPy calls the conversion to [`numpy_name`]: of the numbers, or of their bits.
pub(crate) fn conversion(dtype: DType) -> &'static str {
    if named(dtype) == dtype { "astype" } else { "view" }
}

/// What a file gives an input of type `wanted`: itself, or elements whose bits it holds.
pub(crate) fn as_input(tensor: Tensor, wanted: DType) -> Tensor {
    if tensor.dtype() != wanted && tensor.dtype() == named(wanted) {
        return Tensor::from_bytes(wanted, tensor.shape(), tensor.bytes());
    }
    tensor
}

/// Reads a file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Tensor, Failure> {
    let (name, bytes) = read_input(path)?;
    parse(&bytes).map_err(|reason| Failure::User(format!("{name}: {reason}")))
}

/// Reads the arrays of an NPZ file with their names.
pub(crate) fn read_archive(path: &Path) -> Result<Vec<(String, Tensor)>, Failure> {
    let (name, bytes) = read_input(path)?;
    let refused = |reason: String| Failure::User(format!("{name}: {reason}"));
    let files = archive::files(&bytes).map_err(refused)?;
    let array = |(file, bytes): (String, Vec<u8>)| {
        let array = file.strip_suffix(".npy").unwrap_or(&file).to_owned();
        let tensor = parse(&bytes).map_err(|reason| refused(format!("{array:?}: {reason}")))?;
        Ok((array, tensor))
    };
    files.into_iter().map(array).collect()
}

fn parse(bytes: &[u8]) -> Result<Tensor, String> {
    let mut data = bytes;
    let header = npyz::NpyHeader::from_reader(&mut data)
        .map_err(|error| format!("no NPY array ({error}): save it with numpy.save"))?;
    let descr = header.dtype().descr();
    let descr = descr.trim_matches('\'');
    let known = NAMES.iter().find(|(name, _)| *name == descr);
    let (_, dtype) = known.ok_or_else(|| {
        format!("the elements are {descr}: save them as little-endian numbers or bool")
    })?;
    let shape: Option<Vec<usize>> =
        header.shape().iter().map(|extent| usize::try_from(*extent).ok()).collect();
    let len = |shape: &[usize]| {
        shape.iter().try_fold(dtype.bytes(), |bytes, extent| bytes.checked_mul(*extent))
    };
    let shape = shape.filter(|shape| len(shape).is_some_and(|needed| needed <= data.len()));
    let shape = shape.ok_or_else(|| {
        format!("the elements end early: the shape is {:?}, save it again", header.shape())
    })?;
    let data = &data[..len(&shape).unwrap_or(0)];
    if *dtype == DType::Bool && data.iter().any(|byte| *byte > 1) {
        return Err("an element is neither true nor false: save it again".to_owned());
    }
    Ok(match header.order() {
        npyz::Order::C => Tensor::from_bytes(*dtype, &shape, data),
        npyz::Order::Fortran => {
            Tensor::from_bytes(*dtype, &shape, &row_major(data, &shape, dtype.bytes()))
        }
    })
}

/// Column-major elements in row-major order.
fn row_major(data: &[u8], shape: &[usize], element_bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..data.len() / element_bytes {
        let (mut at, mut stride) = (0, 1);
        for (i, extent) in index.iter().zip(shape) {
            at += i * stride;
            stride *= extent;
        }
        out.extend_from_slice(&data[at * element_bytes..][..element_bytes]);
        for (i, extent) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *extent {
                break;
            }
            *i = 0;
        }
    }
    out
}

/// Writes a file that is whole or not there.
pub(crate) fn write(path: &Path, tensor: &Tensor) -> Result<(), Failure> {
    let mut file = header(output::create(path)?, tensor)
        .map_err(|error| Failure::writing(path.display(), &error))?;
    file.write_all(tensor.bytes()).map_err(|error| Failure::writing(path.display(), &error))?;
    output::finish(path, file)
}

fn header<W: Write>(writer: W, tensor: &Tensor) -> std::io::Result<W> {
    let named = named(tensor.dtype());
    let name = NAMES.iter().find(|(_, dtype)| *dtype == named).map_or("", |n| n.0);
    let dtype = name.parse().map(npyz::DType::Plain).map_err(std::io::Error::other)?;
    let shape: Vec<u64> = tensor.shape().iter().map(|extent| *extent as u64).collect();
    let options = npyz::WriteOptions::new_header_only().dtype(dtype).shape(&shape);
    options.writer(writer).write_header_only()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(tensor: &Tensor) -> Vec<u8> {
        let mut bytes = header(Vec::new(), tensor).expect("a header");
        bytes.extend_from_slice(tensor.bytes());
        bytes
    }

    #[test]
    fn every_type_comes_back() {
        for (_, dtype) in NAMES {
            for shape in [&[][..], &[3], &[2, 0], &[1, 3, 2]] {
                let bytes = dtype.bytes() * shape.iter().product::<usize>();
                let bytes: Vec<u8> = (0..bytes).map(|i| (i % 2) as u8).collect();
                let tensor = Tensor::from_bytes(dtype, shape, &bytes);
                assert_eq!(parse(&file(&tensor)), Ok(tensor), "{dtype}");
            }
        }
    }

    #[test]
    fn types_without_a_name_are_their_bits() {
        for dtype in DType::ALL {
            let tensor = Tensor::from_bytes(dtype, &[2], &vec![1; 2 * dtype.bytes()]);
            let read = parse(&file(&tensor)).expect("a file");
            assert_eq!(as_input(read, dtype), tensor, "{dtype}");
        }
    }

    #[test]
    fn columns_become_rows() {
        let columns: Vec<u8> = [1i16, 4, 2, 5, 3, 6].iter().flat_map(|n| n.to_le_bytes()).collect();
        let rows: Vec<u8> = (1i16..=6).flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(row_major(&columns, &[2, 3], 2), rows);
        assert!(row_major(&[], &[0, 3], 2).is_empty());
    }

    #[test]
    fn what_is_no_tensor_is_refused() {
        let good = file(&Tensor::vector(&[1.0f32, 2.0]));
        let swap = |from: &str, to: &str| {
            let text: Vec<u8> = good.clone();
            let at = text.windows(from.len()).position(|w| w == from.as_bytes()).expect(from);
            let mut text = text;
            text.splice(at..at + from.len(), to.bytes());
            text
        };
        let cases: [(Vec<u8>, &str); 5] = [
            (b"1,2\n".to_vec(), "no NPY array"),
            (good[..good.len() - 1].to_vec(), "the elements end early"),
            (swap("(2,", "(9,"), "the elements end early"),
            (swap("<f4", ">f4"), "the elements are >f4: save them as little-endian"),
            (swap("<f4", "<c8"), "the elements are <c8"),
        ];
        for (bytes, expected) in cases {
            let error = parse(&bytes).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
        let mut flags = file(&Tensor::from_bytes(DType::Bool, &[2], &[0, 1]));
        flags.pop();
        flags.push(2);
        assert!(parse(&flags).expect_err("2").contains("neither true nor false"));
    }
}
