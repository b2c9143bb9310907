//! Control steps: which step runs next, and how often.
//!
//! The session itself runs them, since they change what the other steps only read: the place in
//! the list of steps, and measured dimensions. `check::flow` sees to it that they end.

use crate::runtime::check::Reach;
use crate::runtime::record::{Extent, Field, In, Words};
use crate::runtime::step::{Kernel, KernelId, Step, kernel};

crate::record! {
    /// The step `target` is next.
    pub(crate) struct JumpRecord {
        pub(crate) target: u32,
    }
}

crate::record! {
    /// The step `target` is next, unless the condition holds.
    pub(crate) struct JumpUnlessRecord {
        pub(crate) target: u32,
        pub(crate) condition: In,
    }
}

crate::record! {
    /// No iteration has been done, and the step `target`, which repeats, is next.
    pub(crate) struct EnterLoopRecord {
        pub(crate) target: u32,
        pub(crate) counter: u32,
        pub(crate) done: u32,
    }
}

crate::record! {
    /// Counts an iteration and goes to the step `target`, while fewer than `trips` are done and
    /// the condition holds.
    pub(crate) struct RepeatLoopRecord {
        pub(crate) target: u32,
        /// The dimension that is the number of the iteration.
        pub(crate) counter: u32,
        /// The dimension that is the number of iterations begun.
        pub(crate) done: u32,
        pub(crate) trips: Extent,
        /// The run fails where the condition holds after `trips` iterations.
        pub(crate) strict: bool,
        pub(crate) condition: Option<In>,
    }
}

crate::record! {
    /// A measured dimension takes the value of another.
    pub(crate) struct SetExtentRecord {
        pub(crate) variable: u32,
        pub(crate) value: Extent,
    }
}

impl JumpRecord {
    fn fits(&self, _: &Reach<'_>) -> Option<()> {
        Some(())
    }
}

impl JumpUnlessRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        reach.holds::<u8>(&self.condition, 1)
    }
}

impl EnterLoopRecord {
    fn fits(&self, _: &Reach<'_>) -> Option<()> {
        Some(())
    }
}

impl RepeatLoopRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        reach.extent(self.trips)?;
        self.condition.as_ref().map_or(Some(()), |condition| reach.holds::<u8>(condition, 1))
    }
}

impl SetExtentRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        reach.signed(self.value).map(|_| ())
    }
}

pub(crate) static JUMP: Kernel = kernel!(Jump, JumpRecord::fits, none);
pub(crate) static JUMP_UNLESS: Kernel = kernel!(JumpUnless, JumpUnlessRecord::fits, none);
pub(crate) static ENTER_LOOP: Kernel = kernel!(EnterLoop, EnterLoopRecord::fits, none);
pub(crate) static REPEAT_LOOP: Kernel = kernel!(RepeatLoop, RepeatLoopRecord::fits, none);
pub(crate) static SET_EXTENT: Kernel = kernel!(SetExtent, SetExtentRecord::fits, none);

fn none(_: Step<'_>) {}

/// A control step.
pub(crate) enum Control {
    Jump(JumpRecord),
    JumpUnless(JumpUnlessRecord),
    EnterLoop(EnterLoopRecord),
    RepeatLoop(RepeatLoopRecord),
    SetExtent(SetExtentRecord),
}

impl Control {
    /// The step that it may lead to.
    pub(crate) fn target(&self) -> Option<usize> {
        match self {
            Self::Jump(JumpRecord { target })
            | Self::JumpUnless(JumpUnlessRecord { target, .. })
            | Self::EnterLoop(EnterLoopRecord { target, .. })
            | Self::RepeatLoop(RepeatLoopRecord { target, .. }) => Some(*target as usize),
            Self::SetExtent(_) => None,
        }
    }

    /// The control step of this kernel and record; `None` for a step that computes.
    #[inline(always)]
    pub(crate) fn decode(kernel: u32, words: &[u32]) -> Option<Self> {
        const FIRST: u32 = KernelId::Jump as u32;
        const LAST: u32 = KernelId::SetExtent as u32;
        if !(FIRST..=LAST).contains(&kernel) {
            return None;
        }
        let words = &mut Words(words);
        Some(match KernelId::from_word(kernel)? {
            KernelId::Jump => Self::Jump(Field::take(words)),
            KernelId::JumpUnless => Self::JumpUnless(Field::take(words)),
            KernelId::EnterLoop => Self::EnterLoop(Field::take(words)),
            KernelId::RepeatLoop => Self::RepeatLoop(Field::take(words)),
            KernelId::SetExtent => Self::SetExtent(Field::take(words)),
            _ => return None,
        })
    }
}
