//! Constant tensors of the graph.

use std::fmt;
use std::sync::Arc;
#[expect(clippy::disallowed_types, reason = "constants of the set-up side")]
use std::sync::OnceLock;

use bytes::Bytes;

use crate::tensor::{DType, Element, Rounding, narrow, widen};

/// A constant: element type, shape and row-major data. Cloning shares the data.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Arc<Data>,
}

/// Eight-byte words are aligned for every element type; the bytes of a file lie as they happen to,
/// and are copied to words when elements of them are asked for.
enum Data {
    Words(Vec<u64>),
    #[expect(clippy::disallowed_types, reason = "the set-up side")]
    File {
        bytes: Bytes,
        words: OnceLock<Vec<u64>>,
    },
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.data, &other.data);
        self.dtype == other.dtype
            && self.shape == other.shape
            && (same || self.bytes() == other.bytes())
    }
}

impl Tensor {
    /// A tensor of these elements.
    ///
    /// **Panics** when `data` does not have as many elements as `shape` says.
    pub fn new<T: Element + bytemuck::Pod>(shape: &[usize], data: &[T]) -> Self {
        assert_eq!(data.len(), shape.iter().product::<usize>(), "elements and shape differ");
        Self::from_bytes(T::DTYPE, shape, bytemuck::cast_slice(data))
    }

    /// A tensor of the numbers of `dtype`, a small type, that are nearest to these.
    ///
    /// **Panics** when `data` does not have as many elements as `shape` says.
    pub fn narrowed(dtype: DType, shape: &[usize], data: &[f64]) -> Self {
        let element = |x: &f64| narrow(dtype, *x, Rounding::default()).to_le_bytes();
        let bytes: Vec<u8> =
            data.iter().flat_map(|x| element(x).into_iter().take(dtype.bytes())).collect();
        Self::from_bytes(dtype, shape, &bytes)
    }

    /// A tensor of raw little-endian bytes; each element of fewer than eight bits is one byte.
    ///
    /// **Panics** when `bytes` does not have the length that type and shape say.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), shape.iter().product::<usize>() * dtype.bytes());
        Self { dtype, shape: shape.to_vec(), data: Arc::new(Data::Words(words_of(bytes))) }
    }

    /// As [`Tensor::from_bytes`], of a part of a file, which it keeps rather than copies.
    ///
    /// **Panics** when `bytes` does not have the length that type and shape say.
    #[expect(clippy::disallowed_types, reason = "the set-up side")]
    pub fn of_file(dtype: DType, shape: &[usize], bytes: Bytes) -> Self {
        assert_eq!(bytes.len(), shape.iter().product::<usize>() * dtype.bytes());
        let data = Data::File { bytes, words: OnceLock::new() };
        Self { dtype, shape: shape.to_vec(), data: Arc::new(data) }
    }

    /// A scalar.
    pub fn scalar<T: Element + bytemuck::Pod>(value: T) -> Self {
        Self::new(&[], &[value])
    }

    /// A vector.
    pub fn vector<T: Element + bytemuck::Pod>(values: &[T]) -> Self {
        Self::new(&[values.len()], values)
    }

    /// Its element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its data as bytes.
    pub fn bytes(&self) -> &[u8] {
        match &*self.data {
            Data::Words(words) => &bytemuck::cast_slice(words)[..self.len() * self.dtype.bytes()],
            Data::File { bytes, .. } => bytes,
        }
    }

    /// Its elements, when `T` is its element type. They are copied once where they come from a file
    /// and do not lie as `T` must.
    pub fn as_slice<T: Element + bytemuck::Pod>(&self) -> Option<&[T]> {
        (T::DTYPE == self.dtype).then(|| self.elements())
    }

    /// Its bytes as numbers of their size.
    fn elements<T: bytemuck::Pod>(&self) -> &[T] {
        let bytes = self.bytes();
        bytemuck::try_cast_slice(bytes).unwrap_or_else(|_| match &*self.data {
            Data::Words(words) => &bytemuck::cast_slice(words)[..self.len()],
            Data::File { words, .. } => {
                &bytemuck::cast_slice(words.get_or_init(|| words_of(bytes)))[..self.len()]
            }
        })
    }

    /// The same data under another shape of as many elements.
    pub fn reshaped(&self, shape: &[usize]) -> Self {
        assert_eq!(self.len(), shape.iter().product::<usize>());
        Self { dtype: self.dtype, shape: shape.to_vec(), data: Arc::clone(&self.data) }
    }

    /// Its elements as integers, for integer and boolean types.
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        fn widen<T: Copy + Into<i64>>(s: &[T]) -> Vec<i64> {
            s.iter().map(|v| (*v).into()).collect()
        }
        Some(match self.dtype {
            DType::I64 => self.as_slice::<i64>()?.to_vec(),
            DType::I32 => widen(self.as_slice::<i32>()?),
            DType::I16 => widen(self.as_slice::<i16>()?),
            DType::I8 => widen(self.as_slice::<i8>()?),
            DType::U32 => widen(self.as_slice::<u32>()?),
            DType::U16 => widen(self.as_slice::<u16>()?),
            DType::U8 => widen(self.as_slice::<u8>()?),
            DType::Bool => widen(self.bytes()),
            _ => return None,
        })
    }

    /// Its elements in double precision, for every type.
    pub fn to_f64s(&self) -> Vec<f64> {
        match self.dtype {
            DType::F32 => self.elements::<f32>().iter().map(|v| f64::from(*v)).collect(),
            DType::F64 => self.elements::<f64>().to_vec(),
            small if small.is_small() => {
                let bits = |e: &[u8]| e.iter().rev().fold(0, |n, b| n << 8 | u16::from(*b));
                let elements = self.bytes().chunks_exact(small.bytes());
                elements.map(|e| f64::from(widen(small, bits(e)))).collect()
            }
            DType::U64 => self.elements::<u64>().iter().map(|v| *v as f64).collect(),
            _ => self.to_i64s().unwrap_or_default().into_iter().map(|v| v as f64).collect(),
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)?;
        let values = self.to_f64s();
        if values.len() <= 8 { write!(f, " = {values:?}") } else { Ok(()) }
    }
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes} bytes"),
    }
}
