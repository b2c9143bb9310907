//! Whether a program with jumps and loops ends.
//!
//! Jumps go forward. The only way back is the step that ends a loop; it counts, nobody else sets
//! what it counts with, and the loops in it are bounded with it.

use arrayvec::ArrayVec;

use super::require;
use crate::runtime::errors::ImageError;
use crate::runtime::image::Image;
use crate::runtime::record::{Field, Words};
use crate::runtime::step::KernelId;
use crate::runtime::steps::dynamic::MeasureRecord;
use crate::runtime::steps::flow::Control;

/// Loops nest at most this deep.
pub(crate) const MAX_NESTING: usize = 8;
/// Iterations of a loop at most, those of the loops around it multiplied.
pub(crate) const MAX_ITERATIONS: u64 = 1 << 24;

/// A loop whose end has not been met.
struct Open {
    begin: u32,
    end: u32,
    counter: u32,
    done: u32,
    /// Iterations of it in a run, at most.
    iterations: u64,
}

type Loops = ArrayVec<Open, MAX_NESTING>;

/// Checks the control steps.
pub(super) fn flow(image: &Image<'_>) -> Result<(), ImageError> {
    iterations(image).map(|_| ())
}

/// The most iterations that a loop of the program makes in a run.
pub(in crate::runtime) fn iterations(image: &Image<'_>) -> Result<u64, ImageError> {
    let mut open = Loops::new();
    let mut most = 1;
    for (i, (kernel, words)) in image.walk().enumerate() {
        let name = KernelId::from_word(kernel).map_or("", KernelId::name);
        let step = i as u32;
        let fits = match Control::decode(kernel, words) {
            Some(control) => control_step(image, &mut open, step, &control),
            None if kernel == KernelId::Measure as u32 => {
                let measure: MeasureRecord = Field::take(&mut Words(words));
                require(is_free(&open, measure.dim))
            }
            None => continue,
        };
        fits.ok_or(ImageError::Step { step, kernel: name })?;
        most = open.last().map_or(most, |of| most.max(of.iterations));
    }
    Ok(most)
}

/// Whether no loop that is open counts with a variable.
fn is_free(open: &Loops, variable: u32) -> bool {
    open.iter().all(|of| of.counter != variable && of.done != variable)
}

fn control_step(image: &Image<'_>, open: &mut Loops, step: u32, control: &Control) -> Option<()> {
    // A step in a loop leads at most to the loop's end; any other to the end of the program.
    let last = open.last().map_or(image.steps_len() as u32, |of| of.end);
    let free = |variable| is_free(open, variable);
    match control {
        Control::Jump(jump) => require(jump.target > step && jump.target <= last),
        Control::JumpUnless(jump) => require(jump.target > step && jump.target <= last),
        Control::SetExtent(set) => {
            image.measured(set.variable as usize)?;
            require(free(set.variable))
        }
        Control::EnterLoop(enter) => {
            require(enter.target > step && enter.target < last)?;
            require(enter.counter != enter.done && free(enter.counter) && free(enter.done))?;
            let (kernel, words) = image.step_record(enter.target as usize)?;
            let Control::RepeatLoop(repeat) = Control::decode(kernel, words)? else { return None };
            require((repeat.counter, repeat.done) == (enter.counter, enter.done))?;
            let (least, last, _) = image.measured(enter.counter as usize)?;
            let (none, most, _) = image.measured(enter.done as usize)?;
            require(least == 0 && none == 0)?;
            let trips = u64::try_from(most.min(last + 1)).ok()?;
            let iterations = open.last().map_or(1, |of| of.iterations).checked_mul(trips)?;
            require(iterations <= MAX_ITERATIONS)?;
            open.try_push(Open {
                begin: step,
                end: enter.target,
                counter: enter.counter,
                done: enter.done,
                iterations,
            })
            .ok()
        }
        Control::RepeatLoop(repeat) => {
            let ended = open.pop()?;
            require(ended.end == step && repeat.target == ended.begin + 1)
        }
    }
}
