//! How far a step reaches.
//!
//! Owns [`Reach`], what a kernel's check asks. All of its questions are answered with `None` when
//! something does not fit, so that a check reads as the list of what a kernel relies on.

use arrayvec::ArrayVec;

use crate::runtime::image::Image;
use crate::runtime::record::{Extent, Extents, MAX_RANK, Operand};
use crate::tensor::{DType, Element};

/// `None` unless `holds`.
pub(crate) fn require(holds: bool) -> Option<()> {
    holds.then_some(())
}

/// The operands and extents of a step in an image that is being checked, at one corner: all
/// variables at their least, or all at their largest.
#[derive(Clone, Copy)]
pub(crate) struct Reach<'c> {
    image: &'c Image<'c>,
    most: bool,
}

impl<'c> Reach<'c> {
    pub(super) fn new(image: &'c Image<'c>, most: bool) -> Self {
        Self { image, most }
    }

    pub(in crate::runtime) fn image(&self) -> &Image<'c> {
        self.image
    }

    /// A stride or offset, with sign.
    pub(crate) fn signed(&self, extent: Extent) -> Option<i64> {
        self.image.corner(extent, self.most)
    }

    /// An extent or offset that must not be negative.
    pub(crate) fn extent(&self, extent: Extent) -> Option<usize> {
        usize::try_from(self.signed(extent)?).ok()
    }

    /// Extents of all axes.
    pub(crate) fn extents(&self, extents: &Extents) -> Option<ArrayVec<usize, MAX_RANK>> {
        extents.iter().map(|e| self.extent(*e)).collect()
    }

    /// The product of extents.
    pub(crate) fn product(&self, extents: &[Extent]) -> Option<usize> {
        extents.iter().try_fold(1usize, |n, e| n.checked_mul(self.extent(*e)?))
    }

    /// The element type of an operand.
    pub(crate) fn dtype(&self, operand: &impl Operand) -> DType {
        self.image.buffers().at(operand.buffer()).dtype
    }

    /// Elements of an operand, if they are `T`. Bytes serve as booleans.
    pub(crate) fn len<T: Element>(&self, operand: &impl Operand) -> Option<usize> {
        self.len_as(operand, T::DTYPE)
    }

    /// Elements of an operand, if they are `dtype`. Bytes serve as booleans.
    pub(crate) fn len_as(&self, operand: &impl Operand, dtype: DType) -> Option<usize> {
        let buffer = self.image.buffers().at(operand.buffer());
        let plain = |dtype: DType| if dtype == DType::Bool { DType::U8 } else { dtype };
        require(plain(buffer.dtype) == plain(dtype))?;
        Some(buffer.bytes / dtype.bytes())
    }

    /// Elements of an operand, if they have `width` bytes, which must be 1, 2, 4 or 8.
    pub(crate) fn len_of_width(&self, operand: &impl Operand, width: u32) -> Option<usize> {
        let buffer = self.image.buffers().at(operand.buffer());
        require(buffer.dtype.bytes() == width as usize)?;
        Some(buffer.bytes / width as usize)
    }

    /// Whether elements under strides from `offset` on all lie within `len`.
    pub(crate) fn within(
        &self,
        len: usize,
        offset: Extent,
        shape: &[Extent],
        strides: &[Extent],
    ) -> Option<()> {
        require(shape.len() == strides.len())?;
        let mut ends = [self.signed(offset)?; 2];
        for (extent, stride) in shape.iter().zip(strides) {
            let extent = self.extent(*extent)?;
            if extent == 0 {
                return Some(());
            }
            let stride = self.signed(*stride)?;
            let far = stride.checked_mul(i64::try_from(extent - 1).ok()?)?;
            let end = &mut ends[usize::from(far > 0)];
            *end = end.checked_add(far)?;
        }
        require(ends[0] >= 0 && usize::try_from(ends[1]).ok()? < len)
    }

    /// Whether two operands share no byte.
    pub(crate) fn are_apart(&self, a: &impl Operand, b: &impl Operand) -> Option<()> {
        require(self.image.are_apart(a.buffer(), b.buffer()))
    }
}
