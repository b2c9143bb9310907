//! Trees of ordered comparisons, three levels a step and several ways down side by side.
//!
//! A way down a tree is a chain of loads, each of which waits for the one before, and a branch on
//! it is mispredicted every other time. So the seven branches of three levels lie in one block and
//! are compared at once; what holds says which of eight children is next; and eight ways, down as
//! many trees or for as many rows, hide each other's waiting.
//!
//! # Layout
//! A row becomes a list of *slots*, so that every comparison is `slot <= threshold`: a feature's
//! slot holds it, or minus infinity for a NaN that goes where the comparison holds. No threshold
//! is NaN. A block is words:
//!
//! | words | |
//! |---|---|
//! | 7 | thresholds, level by level |
//! | 1 | their slots, in 4 bits each from the lowest on; none if `wide` |
//! | 8 if `wide` | their slots |
//! | 8 | children, from where all comparisons hold to where none does: a block, or [`LEAF`] and a leaf |
//!
//! Where a way ends above the third level, its leaf is every child below.
//!
//! # Panics
//! Whatever the tables hold, nothing here panics: a tree that leads outside gives nothing.

use super::{Aggregate, accumulate, begin, finish};
use crate::kernels::isa::{Isa, Level};
use crate::kernels::simd::{Simd, Vectorized, dispatch};

/// Of a child or a root: it is a leaf.
pub const LEAF: u32 = 1 << 31;
/// Of an entry of [`Walk::slots`]: NaN becomes minus infinity.
pub const NAN_HOLDS: u32 = 1 << 31;
/// Branches in a block.
pub const BRANCHES: usize = 7;
/// Children of a block.
pub const CHILDREN: usize = 8;
/// Slots that a block which is not wide tells apart: a table of [`Simd::lookup16`].
pub const FEW_SLOTS: usize = 16;
/// Slots that a wide block tells apart.
pub const SLOT_LIMIT: usize = 1 << 24;

/// Words of a block.
pub const fn block_words(wide: bool) -> usize {
    if wide { 24 } else { 16 }
}

/// Ways down that are walked at once.
const WAYS: usize = 8;

/// The tables of an ensemble, f32.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'t> {
    /// Blocks.
    pub blocks: &'t [u32],
    /// There are more slots than [`FEW_SLOTS`].
    pub wide: bool,
    /// Where each tree begins: a block, or [`LEAF`] and a leaf.
    pub roots: &'t [u32],
    /// The feature of each slot, and [`NAN_HOLDS`].
    pub slots: &'t [u32],
    /// With `single`, the target of each tree. Otherwise at a leaf's place the number of its
    /// weights, and their targets behind it.
    pub targets: &'t [u32],
    /// With `single`, the weight of each leaf. Otherwise weights, beside their targets.
    pub values: &'t [f32],
    /// Every leaf has one weight, and those of a tree one target.
    pub single: bool,
    /// Blocks on the longest way from a root to a leaf.
    pub depth: usize,
}

/// Elements of working memory that a walk over rows of this many slots needs.
pub const fn scratch_len(slots: usize) -> usize {
    WAYS * row_len(slots)
}

const fn row_len(slots: usize) -> usize {
    if slots < FEW_SLOTS { FEW_SLOTS } else { slots }
}

/// What all trees give for each row, one number a target; zero where no tree gives one.
///
/// **Shapes and units**: `x` is `[rows, features]`, `y` `[rows, targets]`; `targets` is not zero;
/// `scratch` has [`scratch_len`] elements.
///
/// **Panics** when `x`, `y` or `scratch` is shorter.
///
/// **Cost**: rows by trees by a third of the depth; weights are added in the order of the trees.
pub fn walk_trees(
    level: Level,
    walk: Walk<'_>,
    aggregate: Aggregate,
    shape: [usize; 3],
    x: &[f32],
    y: &mut [f32],
    scratch: &mut [f32],
) {
    let rows = Rows { walk, aggregate, shape, x, y, scratch };
    if walk.wide {
        return dispatch(Level::scalar(), ByBlock::<_, { block_words(true) }>(rows));
    }
    // A block is eight lanes wide: longer vectors have nothing to add.
    let level = level.at_most(if level.has(Isa::Avx2) { Isa::Avx2 } else { level.isa() });
    dispatch(level, ByBlock::<_, { block_words(false) }>(rows));
}

struct Rows<'a> {
    walk: Walk<'a>,
    aggregate: Aggregate,
    shape: [usize; 3],
    x: &'a [f32],
    y: &'a mut [f32],
    scratch: &'a mut [f32],
}

/// Rows in blocks of `WORDS` words.
struct ByBlock<R, const WORDS: usize>(R);

impl<const WORDS: usize> Vectorized for ByBlock<Rows<'_>, WORDS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Rows { walk, aggregate, shape: [rows, features, targets], x, y, scratch } = self.0;
        let len = row_len(walk.slots.len());
        let mut row = 0;
        while row < rows {
            let together = if rows - row >= WAYS { WAYS } else { 1 };
            let y = &mut y[row * targets..][..together * targets];
            for i in 0..together {
                walk.fill(&x[(row + i) * features..][..features], &mut scratch[i * len..][..len]);
            }
            begin(aggregate, y);
            if together == WAYS {
                let of: [&[f32]; WAYS] = core::array::from_fn(|i| &scratch[i * len..][..len]);
                for (tree, root) in walk.roots.iter().enumerate() {
                    let Some(leaves) = walk.leaves::<S, WORDS>(s, [*root; WAYS], of) else {
                        continue;
                    };
                    for (y, leaf) in y.chunks_exact_mut(targets).zip(leaves) {
                        walk.add(tree, leaf, aggregate, y);
                    }
                }
            } else {
                let of = &scratch[..len];
                for (group, roots) in walk.roots.chunks(WAYS).enumerate() {
                    let mut at = [LEAF; WAYS];
                    at[..roots.len()].copy_from_slice(roots);
                    let Some(leaves) = walk.leaves::<S, WORDS>(s, at, [of; WAYS]) else {
                        continue;
                    };
                    for (i, leaf) in leaves.into_iter().take(roots.len()).enumerate() {
                        walk.add(group * WAYS + i, leaf, aggregate, y);
                    }
                }
            }
            finish(aggregate, walk.roots.len(), y);
            row += together;
        }
    }
}

impl Walk<'_> {
    /// The leaves to which the ways from `at` lead, with a row of slots for each.
    #[inline(always)]
    fn leaves<S: Simd, const WORDS: usize>(
        &self,
        s: S,
        mut at: [u32; WAYS],
        rows: [&[f32]; WAYS],
    ) -> Option<[u32; WAYS]> {
        let (blocks, _) = self.blocks.as_chunks::<WORDS>();
        for _ in 0..self.depth {
            let mut all = LEAF;
            for (at, row) in at.iter_mut().zip(rows) {
                // A way that has ended looks at any block, and stays.
                let ended = *at & LEAF != 0;
                let block = blocks.get(if ended { 0 } else { *at as usize })?;
                let next = child(s, block, row)?;
                *at = if ended { *at } else { next };
                all &= *at;
            }
            if all != 0 {
                break;
            }
        }
        Some(at)
    }

    fn fill(&self, row: &[f32], slots: &mut [f32]) {
        for (to, slot) in slots.iter_mut().zip(self.slots) {
            let x = row.get((slot & !NAN_HOLDS) as usize).copied().unwrap_or(f32::NAN);
            let holds = x.is_nan() && slot & NAN_HOLDS != 0;
            *to = if holds { f32::NEG_INFINITY } else { x };
        }
    }

    /// Adds the weights of a leaf of a tree.
    #[inline(always)]
    fn add(&self, tree: usize, leaf: u32, aggregate: Aggregate, y: &mut [f32]) {
        if leaf & LEAF == 0 {
            return;
        }
        let place = (leaf & !LEAF) as usize;
        if self.single {
            let (Some(target), Some(weight)) = (self.targets.get(tree), self.values.get(place))
            else {
                return;
            };
            return accumulate(aggregate, y, *target as usize, *weight);
        }
        let Some((count, targets)) = self.targets.get(place..).and_then(<[u32]>::split_first)
        else {
            return;
        };
        let values = self.values.get(place.saturating_add(1)..).unwrap_or_default();
        for (target, value) in targets.iter().zip(values).take(*count as usize) {
            accumulate(aggregate, y, *target as usize, *value);
        }
    }
}

/// The child of a block to which a row of slots leads.
#[inline(always)]
fn child<S: Simd, const WORDS: usize>(s: S, block: &[u32; WORDS], row: &[f32]) -> Option<u32> {
    let children = block.last_chunk::<CHILDREN>()?;
    let wide = WORDS == block_words(true);
    if S::LANES > 1 && !wide {
        // The eighth lane compares the word of slots, and is left out.
        let mut holds = 0;
        for lane in (0..CHILDREN).step_by(S::LANES) {
            let slots = s.u32_mul(s.u32_splat(block[BRANCHES]), s.u32_load(&SHIFTS[lane..]));
            let x = s.lookup16(row.first_chunk()?, s.u32_shr::<28>(slots));
            let thresholds = s.from_bits(s.u32_load(&block[lane..]));
            holds |= s.mask_bits(s.le(x, thresholds)) << lane;
        }
        return Some(children[usize::from(CHILD_OF[holds as usize % CHILD_OF.len()])]);
    }
    let mut branch = 0;
    for _ in 0..3 {
        let slot = if wide {
            block[(CHILDREN + branch) % WORDS]
        } else {
            block[BRANCHES] >> (4 * branch) & 15
        };
        let holds = *row.get(slot as usize)? <= f32::from_bits(block[branch % WORDS]);
        branch = 2 * branch + 1 + usize::from(!holds);
    }
    Some(children[(branch - BRANCHES) % CHILDREN])
}

/// Factors that bring each of eight slots to the top of a word.
const SHIFTS: [u32; 8] = [1 << 28, 1 << 24, 1 << 20, 1 << 16, 1 << 12, 1 << 8, 1 << 4, 1];

/// Which child is next, by the bits of the comparisons that hold.
const CHILD_OF: [u8; 1 << BRANCHES] = {
    let mut table = [0; 1 << BRANCHES];
    let mut holds = 0;
    while holds < table.len() {
        let mut branch = 0;
        while branch < BRANCHES {
            branch = 2 * branch + 2 - (holds >> branch & 1);
        }
        table[holds] = (branch - BRANCHES) as u8;
        holds += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::suite::levels;

    #[test]
    fn trees_that_lead_nowhere_give_nothing() {
        for (words, child) in [([0, 0], 7), ([f32::NAN.to_bits(), 0], 0), ([0, u32::MAX], LEAF | 9)]
        {
            for (single, wide) in [(false, false), (false, true), (true, false), (true, true)] {
                let mut blocks = [words[0]; 48];
                blocks[BRANCHES] = words[1];
                let len = block_words(wide);
                blocks[len - CHILDREN..len].fill(child);
                let walk = Walk {
                    blocks: &blocks[..len],
                    wide,
                    roots: &[0, 0, 77, LEAF | 9],
                    slots: &[3],
                    targets: &[7, 9],
                    values: &[],
                    single,
                    depth: 2,
                };
                for level in levels() {
                    for aggregate in Aggregate::ALL {
                        let (mut y, mut scratch) = ([7.0f32; 18], [0.0; 128]);
                        let (x, shape) = ([1.0; 9], [9, 1, 2]);
                        walk_trees(level, walk, *aggregate, shape, &x, &mut y, &mut scratch);
                        assert_eq!(y, [0.0; 18]);
                    }
                }
            }
        }
    }
}
