//! A run whose steps may jump.

use crate::runtime::errors::RunError;
use crate::runtime::record::{Extent, In};
use crate::runtime::step::{KernelId, Step};
use crate::runtime::steps::dynamic;
use crate::runtime::steps::flow::{Control, RepeatLoopRecord};

use super::Session;

impl Session<'_> {
    /// Runs the steps of a program that has control steps. `watch` sees the position of each
    /// before it runs.
    #[inline(always)]
    pub(super) fn execute_flow(&mut self, mut watch: impl FnMut(usize)) -> Result<(), RunError> {
        let image = self.program.image();
        let mut at = 0;
        while let Some((kernel, words)) = image.step_record(at) {
            watch(at);
            at = match Control::decode(kernel, words) {
                Some(control) => self.control(at, &control)?,
                None if kernel == KernelId::Measure as u32 => {
                    let step = Step { words, operands: self.operands() };
                    let measured = dynamic::measure(step);
                    self.set_measured(&measured)?;
                    at + 1
                }
                None => {
                    (self.code[kernel as usize])(Step { words, operands: self.operands() });
                    at + 1
                }
            };
        }
        Ok(())
    }

    /// Runs a control step: the position of the next one.
    fn control(&mut self, at: usize, control: &Control) -> Result<usize, RunError> {
        Ok(match control {
            Control::Jump(jump) => jump.target as usize,
            Control::JumpUnless(jump) if self.holds(&jump.condition) => at + 1,
            Control::JumpUnless(jump) => jump.target as usize,
            Control::SetExtent(set) => {
                let value = set.value.value(self.dims());
                self.measure(set.variable, value);
                self.evaluate();
                at + 1
            }
            Control::EnterLoop(enter) => {
                self.measure(enter.done, 0);
                self.evaluate();
                enter.target as usize
            }
            Control::RepeatLoop(repeat) => self.repeat(at, repeat)?,
        })
    }

    fn repeat(&mut self, at: usize, repeat: &RepeatLoopRecord) -> Result<usize, RunError> {
        let image = self.program.image();
        let most = |variable: u32| image.measured(variable as usize).map_or(0, |(_, max, _)| max);
        let trips = repeat.trips.value(self.dims());
        let trips = trips.min(most(repeat.done)).min(most(repeat.counter) + 1);
        let done = Extent(repeat.done | Extent::TABLE).value(self.dims());
        let goes_on = repeat.condition.as_ref().is_none_or(|condition| self.holds(condition));
        if goes_on && done < trips {
            self.measure(repeat.counter, done);
            self.measure(repeat.done, done + 1);
            self.evaluate();
            return Ok(repeat.target as usize);
        }
        if goes_on && repeat.strict {
            let (dim, max) = (repeat.done, trips.max(0));
            return Err(RunError::OutOfRange { dim, min: 0, max, got: max + 1 });
        }
        Ok(at + 1)
    }

    /// Whether a condition holds.
    fn holds(&self, condition: &In) -> bool {
        self.operands().read::<u8>(In(condition.0))[0] != 0
    }

    /// Gives a measured dimension its value, within its bounds.
    fn measure(&mut self, variable: u32, value: i64) {
        let variable = variable as usize;
        if let Some((min, max, _)) = self.program.image().measured(variable) {
            self.tables.split(&mut self.block).0[variable] = value.clamp(min, max);
        }
    }
}
