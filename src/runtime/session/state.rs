//! What a session keeps between runs.

use crate::runtime::errors::{BindError, RunError};
use crate::runtime::record::Extent;

use super::Session;

impl Session<'_> {
    /// Takes over the extents of states that the last run has lengthened.
    pub(super) fn advance(&mut self) -> Result<(), RunError> {
        if !self.grown {
            return Ok(());
        }
        let image = self.program.image();
        for write in [false, true] {
            for i in 0..image.states_len() {
                let (input, output) = image.state(i);
                let (from, to) = (image.port(image.inputs_len() + output), image.port(input));
                for (now, before) in from.shape.iter().zip(to.shape) {
                    let slot = (before & !Extent::TABLE) as usize;
                    let Some((min, max, _)) =
                        image.variable(slot).filter(|_| before & Extent::TABLE != 0)
                    else {
                        continue;
                    };
                    let extent = Extent(*now).value(self.dims());
                    if !(min..=max).contains(&extent) {
                        return Err(RunError::StateFull { max: max as usize });
                    }
                    if write {
                        self.tables.split(&mut self.block).0[slot] = extent;
                    }
                }
            }
        }
        self.grown = false;
        self.evaluate();
        Ok(())
    }

    /// Clears the state and takes the least extents.
    pub fn reset(&mut self) {
        let at = self.tables.state_at;
        self.block.bytes_mut()[at..].fill(0);
        self.grown = false;
        self.set_least_extents();
    }

    /// Length of a snapshot in bytes.
    pub fn snapshot_bytes(&self) -> usize {
        self.tables.dims_len * size_of::<i64>() + self.program.image().state_bytes()
    }

    /// Copies the state and the extents into `into`.
    ///
    /// **Errors**: `into` is not [`Session::snapshot_bytes`] long; it is unchanged then.
    pub fn snapshot(&mut self, into: &mut [u8]) -> Result<(), BindError> {
        let (expected, got) = (self.snapshot_bytes(), into.len());
        if got != expected {
            return Err(BindError::Length { expected, got });
        }
        let full = self.advance().is_err();
        let (head, state) = into.split_at_mut(self.tables.dims_len * size_of::<i64>());
        for (to, dim) in head.chunks_exact_mut(8).zip(self.dims()) {
            to.copy_from_slice(&dim.to_le_bytes());
        }
        let at = self.tables.state_at;
        state.copy_from_slice(&self.block.bytes()[at..at + state.len()]);
        if full { Err(BindError::State) } else { Ok(()) }
    }

    /// Puts back what [`Session::snapshot`] took of a session of the same program.
    ///
    /// **Errors**: another length, or extents outside their bounds; nothing is changed then.
    pub fn restore(&mut self, from: &[u8]) -> Result<(), BindError> {
        let (expected, got) = (self.snapshot_bytes(), from.len());
        if got != expected {
            return Err(BindError::Length { expected, got });
        }
        let image = self.program.image();
        let (head, state) = from.split_at(self.tables.dims_len * size_of::<i64>());
        let extent = |i: usize| {
            let mut le = [0; 8];
            le.copy_from_slice(&head[i * 8..][..8]);
            i64::from_le_bytes(le)
        };
        let variables = || (0..image.dims_len()).filter_map(|i| Some((i, image.variable(i)?)));
        for (i, (min, max, _)) in variables() {
            if extent(i) < min || extent(i) > max {
                let (min, max, got) = (min as usize, max as usize, extent(i).max(0) as usize);
                return Err(BindError::Extent { axis: 0, min, max, got });
            }
        }
        let (dims, _) = self.tables.split(&mut self.block);
        for (i, _) in variables() {
            dims[i] = extent(i);
        }
        let at = self.tables.state_at;
        self.block.bytes_mut()[at..at + state.len()].copy_from_slice(state);
        self.grown = false;
        self.evaluate();
        Ok(())
    }

    /// Pays beforehand what the first run would: touches all memory and code by running once on
    /// zeros, then clears inputs, outputs and state. The session is as new afterwards.
    pub fn prefault(&mut self) {
        // Reading one byte a page of the constants maps them.
        let constants = self.program.image().constants();
        let sum = constants.iter().step_by(4096).fold(0u8, |a, b| a.wrapping_add(*b));
        core::hint::black_box(sum);
        let at = self.tables.arena_at;
        self.block.bytes_mut()[at..].fill(0);
        // Zeros may be out of range; the code has run then as far as it goes.
        let _ = self.execute();
        self.block.bytes_mut()[at..].fill(0);
        self.grown = false;
        self.set_least_extents();
    }
}
