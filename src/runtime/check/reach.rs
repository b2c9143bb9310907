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

/// The product of extents. `None` if a product of some of them overflows, even where another is
/// zero: a kernel may multiply them in any order.
pub(crate) fn count(extents: &[usize]) -> Option<usize> {
    let whole = extents.iter().try_fold(1usize, |n, e| n.checked_mul((*e).max(1)))?;
    Some(if extents.contains(&0) { 0 } else { whole })
}

/// Booleans are bytes.
fn plain(dtype: DType) -> DType {
    if dtype == DType::Bool { DType::U8 } else { dtype }
}

/// Whether elements of a type serve where `wanted` ones are asked for. Small ones never do: what
/// asks for a type computes in it.
fn serves(dtype: DType, wanted: DType) -> bool {
    plain(dtype) == plain(wanted) && !dtype.is_small()
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

    /// A stride that must not be negative.
    pub(crate) fn stride(&self, stride: Extent) -> Option<i64> {
        i64::try_from(self.extent(stride)?).ok()
    }

    /// Whether a step may set this place in the table of dimensions.
    pub(crate) fn is_measured(&self, dim: u32) -> Option<()> {
        self.image.measured(dim as usize).map(|_| ())
    }

    /// Extents of all axes.
    pub(crate) fn extents(&self, extents: &Extents) -> Option<ArrayVec<usize, MAX_RANK>> {
        extents.iter().map(|e| self.extent(*e)).collect()
    }

    /// The [`count`] of extents.
    pub(crate) fn product(&self, extents: &Extents) -> Option<usize> {
        count(&self.extents(extents)?)
    }

    /// The element type of an operand; bytes for booleans.
    pub(crate) fn dtype(&self, operand: &impl Operand) -> DType {
        plain(self.image.buffers().at(operand.buffer()).dtype)
    }

    fn len_of(&self, buffer: u32, dtype: DType) -> Option<usize> {
        require(serves(self.image.buffers().at(buffer).dtype, dtype))?;
        Some(self.image.bytes_at(buffer, self.most)? / dtype.bytes())
    }

    fn len_wide(&self, buffer: u32, width: u32) -> Option<usize> {
        require(self.image.buffers().at(buffer).dtype.bytes() == width as usize)?;
        Some(self.image.bytes_at(buffer, self.most)? / width as usize)
    }

    /// Elements of an operand, if they are `T`. Bytes serve as booleans.
    pub(crate) fn len<T: Element>(&self, operand: &impl Operand) -> Option<usize> {
        self.len_of(operand.buffer(), T::DTYPE)
    }

    /// Elements of an operand, if they are `dtype`. Bytes serve as booleans.
    pub(crate) fn len_as(&self, operand: &impl Operand, dtype: DType) -> Option<usize> {
        self.len_of(operand.buffer(), dtype)
    }

    /// Elements of an operand, if they have `width` bytes, which must be 1, 2, 4 or 8.
    pub(crate) fn len_of_width(&self, operand: &impl Operand, width: u32) -> Option<usize> {
        self.len_wide(operand.buffer(), width)
    }

    /// Whether an operand has `len` elements `T` or more.
    pub(crate) fn holds<T: Element>(&self, operand: &impl Operand, len: usize) -> Option<()> {
        require(self.len_of(operand.buffer(), T::DTYPE)? >= len)
    }

    /// Whether an operand has `len` elements `dtype` or more.
    pub(crate) fn holds_as(&self, operand: &impl Operand, dtype: DType, len: usize) -> Option<()> {
        require(self.len_of(operand.buffer(), dtype)? >= len)
    }

    /// Whether an operand has `len` elements of `width` bytes or more.
    pub(crate) fn holds_wide(&self, operand: &impl Operand, width: u32, len: usize) -> Option<()> {
        require(self.len_wide(operand.buffer(), width)? >= len)
    }

    /// As [`Reach::holds_as`], of an operand that may be left out.
    pub(crate) fn may_hold(
        &self,
        operand: &Option<impl Operand>,
        dtype: DType,
        len: usize,
    ) -> Option<()> {
        operand.as_ref().map_or(Some(()), |operand| self.holds_as(operand, dtype, len))
    }

    /// Whether elements under strides from `offset` on all lie within `len`; `more` are further
    /// axes, each an extent and a stride.
    pub(crate) fn within(
        &self,
        len: usize,
        offset: Extent,
        (shape, strides): (&[Extent], &[Extent]),
        more: &[(usize, i64)],
    ) -> Option<()> {
        require(shape.len() == strides.len())?;
        let mut ends = [self.signed(offset)?; 2];
        for i in 0..shape.len() + more.len() {
            let (extent, stride) = match shape.get(i) {
                Some(extent) => (self.extent(*extent)?, self.signed(strides[i])?),
                None => more[i - shape.len()],
            };
            if extent == 0 {
                return Some(());
            }
            let far = stride.checked_mul(i64::try_from(extent - 1).ok()?)?;
            let end = &mut ends[usize::from(far > 0)];
            *end = end.checked_add(far)?;
        }
        require(ends[0] >= 0 && usize::try_from(ends[1]).ok()? < len)
    }
}
