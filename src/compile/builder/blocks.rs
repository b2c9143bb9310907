//! Steps that may not run, or run again: jumps, and what blocks do to places and lifetimes.
//!
//! A step in a block may not have run when one behind the block does: where a value from before
//! the block lies is put back at its end. A step in a loop runs again: what lies there from before
//! the loop stays until its end.

use std::collections::BTreeSet;

use crate::graph::ValueId;
use crate::graph::dim::{Dim, product};
use crate::graph::ops::Block;
use crate::runtime::record::{Field, Out};
use crate::runtime::{KernelId, MAX_ITERATIONS, MAX_NESTING};

use super::{Builder, Home, Lowered, Place, contiguous, is_contiguous};
use crate::compile::lower::movement;

impl Builder<'_> {
    /// The position of the step that is written next.
    pub(in crate::compile) fn next_step(&self) -> usize {
        self.steps.len()
    }

    /// Writes a step that leads elsewhere: its position.
    pub(in crate::compile) fn control(&mut self, kernel: KernelId, record: &impl Field) -> usize {
        self.step(kernel, record);
        self.steps.len() - 1
    }

    /// Makes a control step, whose record begins with its target, lead to `target`.
    pub(in crate::compile) fn aim(&mut self, step: usize, target: usize) {
        self.steps[step].words[0] = target as u32;
    }

    /// Begins a block: what [`Builder::end_block`] needs.
    pub(in crate::compile) fn begin_block(&mut self) -> usize {
        self.depth += 1;
        self.journal.len()
    }

    /// Ends a block: values lie where they lay before it. Constants stay in the image.
    pub(in crate::compile) fn end_block(&mut self, mark: usize) {
        self.depth -= 1;
        for (v, old) in self.journal.split_off(mark).into_iter().rev() {
            let now = self.places[v.0 as usize].as_ref();
            let home = now.map(|p| self.storages[p.storage].home);
            if old.is_some() || !matches!(home, Some(Home::Constant(_))) {
                self.replace_place(v, old);
            }
        }
    }

    /// One reading of `v` fewer is to come.
    pub(in crate::compile) fn has_read(&mut self, v: ValueId) {
        let left = &mut self.remaining[v.0 as usize];
        if *left > 0 {
            *left -= 1;
            if let Some(place) = &self.places[v.0 as usize] {
                self.readings[place.storage] -= 1;
            }
        }
    }

    /// One reading of `v` more is to come.
    fn will_read(&mut self, v: ValueId) {
        self.remaining[v.0 as usize] += 1;
        if let Some(place) = &self.places[v.0 as usize] {
            self.readings[place.storage] += 1;
        }
    }

    /// Brings the result `v` of a block that began at step `since` to the memory at `to`: it is
    /// written there to begin with, where nothing else uses that memory from then on.
    pub(in crate::compile) fn bring(
        &mut self,
        v: ValueId,
        to: &Place,
        (since, mark): (usize, usize),
    ) -> Lowered<()> {
        let from = self.place(v)?;
        let (source, target) = (&self.storages[from.storage], &self.storages[to.storage]);
        let alone = source.home == Home::Arena
            && source.first >= since
            && target.last < source.first
            && source.bytes == target.bytes
            && from.offset.is(0)
            && is_contiguous(self.shape(v), &from.strides);
        if alone {
            self.join(from.storage, to.storage, mark, &product(self.shape(v)));
            return Ok(());
        }
        let dst = Out(self.region(to.storage, self.dtype(v)));
        let strides = contiguous(self.shape(v));
        self.copy_to(v, (dst, &Dim::Fixed(0), &strides))
    }

    /// Copies a value, wherever it lies, to memory under strides.
    pub(in crate::compile) fn copy_to(
        &mut self,
        v: ValueId,
        to: movement::Strided<'_, Out>,
    ) -> Lowered<()> {
        let (dtype, shape) = (self.dtype(v), self.shape(v));
        let (src, place) = self.view(v)?;
        movement::copy(self, dtype, shape, (src, &place.offset, &place.strides), to)
    }

    /// Gives what lies in one storage the memory of another, where a value of `len` elements is
    /// left at the end. `mark` is the begin of the block that all of it belongs to.
    fn join(&mut self, from: usize, to: usize, mark: usize, len: &Dim) {
        let lay_there = |(v, old): &(ValueId, Option<Place>)| {
            let now = self.places[v.0 as usize].as_ref();
            let there = now.into_iter().chain(old).any(|place| place.storage == from);
            there && product(self.shape(*v)) != *len
        };
        let roomy = self.journal[mark..].iter().any(lay_there);
        for region in self.regions.iter_mut().filter(|region| region.storage == from) {
            region.storage = to;
        }
        let moved: BTreeSet<ValueId> = self.journal[mark..].iter().map(|(v, _)| *v).collect();
        for v in moved {
            if let Some(place) = self.places[v.0 as usize].clone().filter(|p| p.storage == from) {
                self.replace_place(v, Some(Place { storage: to, ..place }));
            }
        }
        let gone = &mut self.storages[from];
        gone.bytes = 0;
        let (last, last_read, roomy) = (gone.last, gone.last_read, gone.roomy || roomy);
        let kept = &mut self.storages[to];
        kept.roomy |= roomy;
        kept.last = kept.last.max(last);
        kept.last_read = kept.last_read.max(last_read);
        kept.held = false;
    }

    /// Notes that the steps that follow run up to `trips` times.
    pub(in crate::compile) fn nest(&mut self, trips: i64) -> Lowered<()> {
        let around = self.nested.last().copied().unwrap_or(1);
        let iterations = around.saturating_mul(u64::try_from(trips).unwrap_or(0));
        if iterations > MAX_ITERATIONS {
            return Err(format!(
                "it runs {iterations} times with the loops around it, at most {MAX_ITERATIONS} \
                 are supported"
            ));
        }
        if self.nested.len() == MAX_NESTING {
            return Err(format!("loops nest deeper than {MAX_NESTING}"));
        }
        self.nested.push(iterations);
        Ok(())
    }

    /// Ends what [`Builder::nest`] began.
    pub(in crate::compile) fn unnest(&mut self) {
        self.nested.pop();
    }

    /// Values from before a loop that its body reads. None of them is overwritten until
    /// [`Builder::end_loop`].
    pub(in crate::compile) fn begin_loop(&mut self, body: &Block) -> Vec<ValueId> {
        let mut read = BTreeSet::new();
        body.each_read(&mut |v| {
            read.insert(v);
        });
        let outer: Vec<ValueId> =
            read.into_iter().filter(|v| self.places[v.0 as usize].is_some()).collect();
        outer.iter().for_each(|v| self.will_read(*v));
        outer
    }

    /// Makes what lies there before the step `enter` stay until the step `repeat`, if the loop
    /// between them touches it.
    pub(in crate::compile) fn end_loop(&mut self, outer: &[ValueId], enter: usize, repeat: usize) {
        for storage in self.storages.iter_mut().filter(|s| s.first <= enter && s.last > enter) {
            storage.last = repeat;
            if storage.last_read.is_some_and(|read| read > enter) {
                storage.last_read = Some(repeat);
            }
            storage.held = false;
        }
        outer.iter().for_each(|v| self.has_read(*v));
    }

    /// Moves a value out of memory of the caller, which may be shorter than what a step that runs
    /// for no iteration would read.
    pub(in crate::compile) fn move_home(&mut self, v: ValueId) -> Lowered<()> {
        let place = self.place(v)?;
        let variables = &self.graph.variables;
        let may_be_empty = self.shape(v).iter().any(|d| d.bounds(variables).0 <= 0);
        if may_be_empty && matches!(self.storages[place.storage].home, Home::Port(_)) {
            self.copy_whole(v)?;
        }
        Ok(())
    }

    /// Whether two values share memory.
    pub(in crate::compile) fn lies_in(&mut self, v: ValueId, places: &[Place]) -> Lowered<bool> {
        let place = self.place(v)?;
        Ok(places.iter().any(|p| p.storage == place.storage))
    }

    /// Gives a value row-major memory of its own.
    pub(in crate::compile) fn set_apart(&mut self, v: ValueId) -> Lowered<()> {
        self.copy_whole(v)
    }

    /// Sees to it that a value that is written piece by piece is not written into memory of the
    /// caller, which may be shorter than one piece.
    pub(in crate::compile) fn keep_whole(&mut self, v: ValueId) -> Lowered<()> {
        let place = self.place(v)?;
        self.storages[place.storage].roomy = true;
        Ok(())
    }
}
