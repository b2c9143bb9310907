//! Products of f32 with weights of eight and four bits.

use crate::kernels::Simd;
use crate::kernels::gemm::narrow::digits::digits_len;
use crate::kernels::gemm::narrow::{GemmNarrow, gemm_narrow, unpacked_len};
use crate::kernels::narrow::{Bits, NarrowWeights, block_len};
use crate::runtime::check::{Reach, require};
use crate::runtime::record::{In, Scratch};
use crate::runtime::step::{Kernel, Step, kernel};
use crate::tensor::DType;

use super::product::{LinearRecord, product_of};

crate::record! {
    /// A [`LinearRecord`] whose `w` has eight or four bits.
    pub(crate) struct LinearNarrowRecord {
        pub(crate) linear: LinearRecord,
        /// Rows of `w` that share a scale in a column.
        pub(crate) block: u32,
        pub(crate) scales: In,
        /// Zero points, where not all are zero.
        pub(crate) zeros: Option<In>,
        /// Room for panels, where there may be so many rows that they are written out.
        pub(crate) unpacked: Option<Scratch>,
        /// Room for the digits of rows, and for what belongs to them.
        pub(crate) digits: Scratch,
        pub(crate) digit_sums: Scratch,
    }
}

impl LinearNarrowRecord {
    fn fits(&self, reach: &Reach<'_>, bits: Bits) -> Option<()> {
        let (k, n) = (self.linear.k as usize, self.linear.n as usize);
        let (block, rows) = (self.block as usize, reach.extent(self.linear.rows)?);
        reach.holds::<u32>(&self.linear.w, bits.packed_len(k, n)?)?;
        require(block > 0 && block.is_multiple_of(bits.rows()))?;
        reach.holds::<f32>(&self.scales, block_len(k, n, block)?)?;
        reach.may_hold(&self.zeros, DType::F32, block_len(k, n, block)?)?;
        let len = unpacked_len(rows, k)?;
        match &self.unpacked {
            Some(unpacked) => reach.holds::<f32>(unpacked, len)?,
            None => require(len == 0)?,
        }
        let (bytes, sums) = digits_len(rows, k, block)?;
        reach.holds::<u8>(&self.digits, bytes)?;
        reach.holds::<f32>(&self.digit_sums, sums)?;
        self.linear.fits_but_weights(reach)
    }

    fn fits_w8(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, Bits::Eight)
    }

    fn fits_w4(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, Bits::Four)
    }
}

pub(crate) static LINEAR_W8: Kernel =
    kernel!(LinearW8, LinearNarrowRecord::fits_w8, simd linear_w8);

fn linear_w8<S: Simd>(step: Step<'_>) {
    linear::<S>(step, Bits::Eight);
}

pub(crate) static LINEAR_W4: Kernel =
    kernel!(LinearW4, LinearNarrowRecord::fits_w4, simd linear_w4);

fn linear_w4<S: Simd>(step: Step<'_>) {
    linear::<S>(step, Bits::Four);
}

#[inline(always)]
fn linear<S: Simd>(step: Step<'_>, bits: Bits) {
    let (record, operands) = step.decode::<LinearNarrowRecord>();
    let LinearNarrowRecord { linear, block, scales, zeros, unpacked, digits, digit_sums } = record;
    let level = operands.level();
    let Some(s) = S::from_level(level) else { return };
    let weights = NarrowWeights {
        bits,
        words: operands.read(In(linear.w.0)),
        block: block as usize,
        scales: operands.read(scales),
        zeros: zeros.map_or(&[], |zeros| operands.read(zeros)),
    };
    if let Some(product) = product_of(linear, &operands) {
        let unpacked = unpacked.map_or(&mut [][..], |unpacked| operands.scratch(unpacked));
        let digits = (operands.scratch(digits), operands.scratch(digit_sums));
        gemm_narrow(s, level, GemmNarrow { product, weights, unpacked, digits });
    }
}
