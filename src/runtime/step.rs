//! What a kernel sees of a step, and the tables of kernels.

use core::cell::Cell;
use core::fmt;

use crate::kernels::{Isa, Level};
use crate::tensor::{DType, Element};

use super::check::{Operands as CheckedOperands, Reach, require};
use super::image::{Buffers, CONSTANTS};
use super::memory::Bases;
#[cfg(feature = "std")]
use super::record::Access;
use super::record::{
    Extent, Extents, Field, HeldIn, In, MAX_RANK, Out, Scratch, SharedIn, SharedOut, Words,
};
use arrayvec::ArrayVec;

pub use super::steps::KernelId;

/// A step about to run: its record, and the way to its operands.
pub(crate) struct Step<'s> {
    pub(super) words: &'s [u32],
    pub(super) operands: Operands<'s>,
}

impl<'s> Step<'s> {
    /// Reads the record. Consumes the step, so that each written operand is borrowed once.
    #[inline(always)]
    pub(crate) fn decode<R: Field>(self) -> (R, Operands<'s>) {
        (R::take(&mut Words(self.words)), self.operands)
    }

    /// [`decode`](Self::decode) to where a record with lists lies, which are not copied then.
    #[inline(always)]
    pub(crate) fn read<R: Field>(self, record: &mut R) -> Operands<'s> {
        record.read(&mut Words(self.words));
        self.operands
    }
}

/// The operands and dimensions of a step.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'s> {
    pub(super) buffers: Buffers<'s>,
    pub(super) dims: &'s [i64],
    pub(super) bases: Bases<'s>,
    pub(super) level: Level,
}

impl<'s> Operands<'s> {
    /// The instruction set the session runs on.
    #[inline(always)]
    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Element type of an operand that is only read.
    #[inline(always)]
    pub(crate) fn dtype_in(&self, operand: &In) -> DType {
        self.buffers.at(operand.0).dtype
    }

    /// Element type of an operand.
    #[inline(always)]
    pub(crate) fn dtype(&self, operand: &SharedIn) -> DType {
        self.buffers.at(operand.0).dtype
    }

    /// Element type of a result.
    #[inline(always)]
    pub(crate) fn dtype_out(&self, operand: &SharedOut) -> DType {
        self.buffers.at(operand.0).dtype
    }

    /// An extent, never negative.
    #[inline(always)]
    pub(crate) fn extent(&self, extent: Extent) -> usize {
        usize::try_from(extent.value(self.dims)).unwrap_or(0)
    }

    /// A stride or offset, with sign.
    #[inline(always)]
    pub(crate) fn signed(&self, extent: Extent) -> isize {
        extent.value(self.dims) as isize
    }

    /// Extents of all axes.
    #[inline(always)]
    pub(crate) fn extents(&self, extents: &Extents) -> ArrayVec<usize, MAX_RANK> {
        extents.iter().map(|e| self.extent(*e)).collect()
    }

    /// Strides of all axes, in elements.
    #[inline(always)]
    pub(crate) fn strides(&self, strides: &Extents) -> ArrayVec<isize, MAX_RANK> {
        strides.iter().map(|e| self.signed(*e)).collect()
    }

    /// An operand that is read: all the elements its buffer has room for.
    #[inline(always)]
    pub(crate) fn read<T: Element>(&self, operand: In) -> &'s [T] {
        self.bases.slice(self.buffers.at(operand.0))
    }

    /// An operand that is written.
    #[inline(always)]
    pub(crate) fn write<T: Element>(&self, operand: Out) -> &'s mut [T] {
        let buffer = self.buffers.at(operand.0);
        assert!(buffer.base != CONSTANTS, "constants are not written");
        self.bases.slice_mut(buffer)
    }

    /// Working memory.
    #[inline(always)]
    pub(crate) fn scratch<T: Element>(&self, operand: Scratch) -> &'s mut [T] {
        self.write(Out(operand.0))
    }

    /// An operand that is read and may be the one that is written.
    #[inline(always)]
    pub(crate) fn cells<T: Element>(&self, operand: SharedIn) -> &'s [Cell<T>] {
        self.bases.cells(self.buffers.at(operand.0))
    }

    /// An operand that is read before anything is written.
    #[inline(always)]
    pub(crate) fn held<T: Element>(&self, operand: HeldIn) -> &'s [Cell<T>] {
        self.cells(SharedIn(operand.0))
    }

    /// An operand that is written and may be one that is read.
    #[inline(always)]
    pub(crate) fn cells_out<T: Element>(&self, operand: SharedOut) -> &'s [Cell<T>] {
        let buffer = self.buffers.at(operand.0);
        assert!(buffer.base != CONSTANTS, "constants are not written");
        self.bases.cells(buffer)
    }
}

/// The code of a step.
pub(crate) type StepFn = fn(Step<'_>);

/// Whether a record's operands are what the code of a step relies on.
pub(crate) type CheckFn = fn(&[u32], &Reach<'_>) -> Option<()>;

/// Decodes a record, and checks its operands and then how far it reaches into them.
pub(crate) fn checked<R: Field>(
    words: &[u32],
    reach: &Reach<'_>,
    fits: fn(&R, &Reach<'_>) -> Option<()>,
) -> Option<()> {
    let mut words = Words(words);
    let record = R::take(&mut words);
    require(words.0.is_empty())?;
    let (mut operands, mut few) = (CheckedOperands::default(), Some(()));
    record.operands(&mut |buffer, access| {
        if operands.push(buffer, access).is_none() {
            few = None;
        }
    });
    few?;
    operands.check(reach.image())?;
    fits(&record, reach)
}

/// How an operand of a step is used, one by one.
#[cfg(feature = "std")]
pub(crate) type OperandsFn = fn(&[u32], &mut dyn FnMut(u32, Access));

/// Shows the operands of a record whose check is `fits`, which says what record it is.
#[cfg(feature = "std")]
pub(crate) fn shown<R: Field>(
    words: &[u32],
    _fits: fn(&R, &Reach<'_>) -> Option<()>,
    visit: &mut dyn FnMut(u32, Access),
) {
    R::take(&mut Words(words)).operands(visit);
}

/// One kernel: what a step with its id runs.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    pub(crate) id: KernelId,
    pub(crate) check: CheckFn,
    #[cfg(feature = "std")]
    pub(crate) operands: OperandsFn,
    pub(crate) by_isa: [StepFn; Isa::ALL.len()],
}

impl Kernel {
    /// The code for an instruction set.
    pub(crate) const fn code(&self, isa: Isa) -> StepFn {
        self.by_isa[isa as usize]
    }
}

/// Makes a [`Kernel`] from the check of its record and a step function:
/// `kernel!(id, check, function)`, or `kernel!(id, check, simd function)` for one that is generic
/// over the instruction set.
macro_rules! kernel {
    ($id:ident, $check:expr, simd $run:ident) => {
        $crate::runtime::step::kernel!(@ $id, $check, {
            use $crate::kernels::Scalar;
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::kernels::x86_64::{Avx2, Avx512};
                [$run::<Scalar>, $run::<Avx2>, $run::<Avx512>, $run::<Scalar>]
            }
            #[cfg(target_arch = "aarch64")]
            {
                use $crate::kernels::aarch64::Neon;
                [$run::<Scalar>, $run::<Scalar>, $run::<Scalar>, $run::<Neon>]
            }
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            {
                [$run::<Scalar>; 4]
            }
        })
    };
    ($id:ident, $check:expr, $run:ident) => {
        $crate::runtime::step::kernel!(@ $id, $check, [$run; 4])
    };
    (@ $id:ident, $check:expr, $by_isa:expr) => {
        $crate::runtime::step::Kernel {
            id: $crate::runtime::KernelId::$id,
            check: |words, reach| $crate::runtime::step::checked(words, reach, $check),
            #[cfg(feature = "std")]
            operands: |words, visit| $crate::runtime::step::shown(words, $check, visit),
            by_isa: $by_isa,
        }
    };
}
pub(crate) use kernel;

/// The kernels that a session may use.
///
/// [`KERNELS`](super::KERNELS) has all of them. A build for one model passes the few that it
/// needs, and the linker drops the rest.
#[derive(Clone, Copy)]
pub struct Kernels {
    pub(crate) list: &'static [&'static Kernel],
}

impl Kernels {
    /// A table of these kernels.
    pub const fn new(list: &'static [&'static Kernel]) -> Self {
        Self { list }
    }

    /// Them one by one.
    pub const fn list(&self) -> &'static [&'static Kernel] {
        self.list
    }

    pub(crate) fn find(&self, id: u32) -> Option<&'static Kernel> {
        self.list.iter().copied().find(|k| k.id as u32 == id)
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(|k| k.id.name())).finish()
    }
}
