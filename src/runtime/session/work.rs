//! What the steps of a program have to do.

use crate::runtime::image::{Buffer, CONSTANTS};
use crate::runtime::record::Access;
use crate::runtime::step::KernelId;
use crate::runtime::steps::work::{Known, known};

use super::Session;

/// What one step has to do at the present extents: with its time, how near it comes to what the
/// machine can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Work {
    /// Bytes of constants that it reads, each counted once; `None` where the data decides which.
    pub constant_bytes: Option<u64>,
    /// How often it reads them.
    pub passes: u64,
    /// Bytes of values that it reads and writes, each counted once. Of a value that lies within a
    /// larger one, the bytes of that: an upper bound.
    pub value_bytes: u64,
    /// Multiplications with an addition, where the kernel is made of them.
    pub multiply_adds: Option<u64>,
}

impl Session<'_> {
    /// What the step at this position of [`Program::steps`](super::Program::steps) has to do;
    /// `None` if there is no such step.
    ///
    /// **Cost**: reads its record; no allocation.
    pub fn work(&self, step: usize) -> Option<Work> {
        let (kernel, words) = self.program.image().step_record(step)?;
        let operands = self.operands();
        let kernel_id = KernelId::from_word(kernel)?;
        let Known { multiply_adds, passes, picks, value_bytes } =
            known(kernel_id, words, &operands);
        let [mut constants, mut read, mut written] = [0; 3];
        let mut last = None;
        (self.program.kernels().find(kernel)?.operands)(words, &mut |buffer, access| {
            // An operand that is named twice is touched once.
            if last.replace(buffer) == Some(buffer) {
                return;
            }
            let Buffer { base, bytes, .. } = operands.buffers.at(buffer);
            match access {
                _ if base == CONSTANTS => constants += bytes as u64,
                Access::Write | Access::WriteShared => written += bytes as u64,
                _ => read += bytes as u64,
            }
        });
        if picks {
            (read, constants) = (read.min(written), constants.min(written));
        }
        Some(Work {
            constant_bytes: passes.map(|_| constants),
            passes: passes.unwrap_or(0),
            value_bytes: value_bytes.unwrap_or(read + written),
            multiply_adds,
        })
    }
}
