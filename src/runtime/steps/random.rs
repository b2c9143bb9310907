//! Random numbers from an addressed generator.

use crate::runtime::check::Reach;
use crate::runtime::record::{Extent, Out, SharedOut};
use crate::runtime::step::{Kernel, Step, kernel};
use crate::sampling::{PathAddress, PathWords, standard_normals};
use crate::tensor::DType;

/// Draws of one address.
const PATH: usize = 64;

crate::record! {
    /// `len` draws: run `runs` of the seed. The number of runs is kept from run to run.
    pub(crate) struct RandomRecord {
        pub(crate) runs: SharedOut,
        pub(crate) y: Out,
        pub(crate) len: Extent,
        pub(crate) normal: bool,
        pub(crate) seed_low: u32,
        pub(crate) seed_high: u32,
    }
}

impl RandomRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        reach.holds::<u64>(&self.runs, 1)?;
        reach.holds_as(&self.y, DType::F32, reach.extent(self.len)?)
    }
}

pub(crate) static RANDOM: Kernel = kernel!(Random, RandomRecord::fits, random);

fn random(step: Step<'_>) {
    let (record, operands) = step.decode::<RandomRecord>();
    let level = operands.level();
    let len = operands.extent(record.len);
    let y = &mut operands.write::<f32>(record.y)[..len];
    let runs = &operands.cells_out::<u64>(record.runs)[0];
    let seed = u64::from(record.seed_high) << 32 | u64::from(record.seed_low);
    let address = |path: usize| PathAddress { seed, stream: runs.get(), path: path as u64 };
    let mut last = [0.0f32; PATH];
    for (path, chunk) in y.chunks_mut(PATH).enumerate() {
        if record.normal {
            // A path is drawn whole: what it holds does not depend on how much of it is wanted.
            let drawn = standard_normals(level, address(path), PATH, &mut last);
            debug_assert!(drawn.is_ok(), "one whole path");
        } else {
            let mut words = PathWords::new(address(path));
            last.fill_with(|| (words.next_word() >> 8) as f32 * (1.0 / (1 << 24) as f32));
        }
        chunk.copy_from_slice(&last[..chunk.len()]);
    }
    runs.set(runs.get().wrapping_add(1));
}
