//! Copies, constants and dimensions.

use crate::runtime::record::{Extent, Extents, In, Out};
use crate::runtime::step::{Kernel, Step, kernel};
use crate::tensor::{DType, Element};

use super::walk::{last, rows};

crate::record! {
    /// `dst[..] = src[..]` under strides of each; elements of any type.
    pub(crate) struct CopyRecord {
        pub(crate) src: In,
        pub(crate) dst: Out,
        /// Bytes of an element: 1, 2, 4 or 8.
        pub(crate) width: u32,
        pub(crate) src_offset: Extent,
        pub(crate) dst_offset: Extent,
        pub(crate) shape: Extents,
        pub(crate) src_strides: Extents,
        pub(crate) dst_strides: Extents,
    }
}

pub(crate) static COPY: Kernel = kernel!(Copy, copy);

fn copy(step: Step<'_>) {
    let (record, operands) = step.decode::<CopyRecord>();
    let shape = operands.extents(&record.shape);
    let (from, to) = (operands.strides(&record.src_strides), operands.strides(&record.dst_strides));
    let offsets = [operands.signed(record.src_offset), operands.signed(record.dst_offset)];
    let geometry = (&shape[..], [&from[..], &to[..]], offsets);
    match record.width {
        1 => copy_elements::<u8>(operands.read(record.src), operands.write(record.dst), geometry),
        2 => copy_elements::<u16>(operands.read(record.src), operands.write(record.dst), geometry),
        4 => copy_elements::<u32>(operands.read(record.src), operands.write(record.dst), geometry),
        _ => copy_elements::<u64>(operands.read(record.src), operands.write(record.dst), geometry),
    }
}

type Geometry<'a> = (&'a [usize], [&'a [isize]; 2], [isize; 2]);

fn copy_elements<T: Element>(src: &[T], dst: &mut [T], (shape, strides, offsets): Geometry<'_>) {
    let (n, [a, b]) = last(shape, strides);
    rows(shape, strides, offsets, |[i, j]| {
        let (i, j) = (i as usize, j as usize);
        match (a, b) {
            (1, 1) => dst[j..j + n].copy_from_slice(&src[i..i + n]),
            (0, 1) => dst[j..j + n].fill(src[i]),
            _ => {
                for k in 0..n as isize {
                    dst[(j as isize + k * b) as usize] = src[(i as isize + k * a) as usize];
                }
            }
        }
    });
}

crate::record! {
    /// `dst[..len] = value[0]`.
    pub(crate) struct FillRecord {
        pub(crate) value: In,
        pub(crate) dst: Out,
        pub(crate) width: u32,
        pub(crate) len: Extent,
    }
}

pub(crate) static FILL: Kernel = kernel!(Fill, fill);

fn fill(step: Step<'_>) {
    let (record, operands) = step.decode::<FillRecord>();
    let len = operands.extent(record.len);
    match record.width {
        1 => operands.write::<u8>(record.dst)[..len].fill(operands.read::<u8>(record.value)[0]),
        2 => operands.write::<u16>(record.dst)[..len].fill(operands.read::<u16>(record.value)[0]),
        4 => operands.write::<u32>(record.dst)[..len].fill(operands.read::<u32>(record.value)[0]),
        _ => operands.write::<u64>(record.dst)[..len].fill(operands.read::<u64>(record.value)[0]),
    }
}

crate::record! {
    /// `dst[i] = dims[i]`, as i64.
    pub(crate) struct ExtentsRecord {
        pub(crate) dst: Out,
        pub(crate) dims: arrayvec::ArrayVec<Extent, 16>,
    }
}

pub(crate) static EXTENTS: Kernel = kernel!(Extents, extents);

fn extents(step: Step<'_>) {
    let (record, operands) = step.decode::<ExtentsRecord>();
    debug_assert_eq!(DType::I64, <i64 as Element>::DTYPE);
    for (to, dim) in operands.write::<i64>(record.dst).iter_mut().zip(&record.dims) {
        *to = operands.signed(*dim) as i64;
    }
}
