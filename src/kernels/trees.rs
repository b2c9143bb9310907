//! Decision trees: from the root to a leaf, and over all trees.
//!
//! # Layout
//! The nodes of all trees lie in one table of words, [`NodeWords::WORDS`] to a node:
//!
//! | word | of a branch | of a leaf |
//! |---|---|---|
//! | 0 | low byte: [`Mode`] and flags; above it: the feature | low byte: leaf and [`ONE_WEIGHT`]; above it: the target of its weight, or how many weights it has |
//! | 1 | the child where the comparison holds; the other child is the next node | the leaf itself |
//! | from 2 | the threshold, or the place of its set in `values` | its weight, or the place of its weights in `values` and of their targets in `targets` |
//!
//! Children lie side by side, so that a step down is an addition, and a leaf leads to itself. A
//! set in `values` ends with a NaN.
//!
//! # Panics
//! Whatever the tables hold, nothing here panics: a tree that leads outside gives nothing.

use super::number::{BinaryCode, Number, codes};

pub mod walk;

codes! {
    /// What a branch compares. The numbers are part of the program image: they are pinned.
    Mode {
        LessOrEqual = 0, Less = 1, GreaterOrEqual = 2, Greater = 3, Equal = 4, NotEqual = 5,
        Member = 6, Leaf = 7,
    }
}

codes! {
    /// How the trees' weights become one. The numbers are pinned.
    Aggregate { Sum = 0, Average = 1, Min = 2, Max = 3, }
}

/// The bits of the first word that hold the [`Mode`].
const MODE_BITS: u32 = 7;
/// NaN goes where the comparison holds.
pub const NAN_HOLDS: u32 = 1 << 3;
/// The leaf has one weight, which lies in the node itself.
pub const ONE_WEIGHT: u32 = 1 << 4;
/// Where the feature, the target or the count begins.
pub const HIGH_SHIFT: u32 = 8;
/// One more than the largest feature, target or count.
pub const HIGH_LIMIT: usize = 1 << (32 - HIGH_SHIFT);

/// A number in the words of a node.
pub trait NodeWords: Number {
    /// Words of a node.
    const WORDS: usize;
    /// The number in the words from the third on.
    fn take(words: &[u32]) -> Self;
    /// Its words.
    fn words(self) -> [u32; 2];
}

impl NodeWords for f32 {
    const WORDS: usize = 3;

    #[inline(always)]
    fn take(words: &[u32]) -> Self {
        Self::from_bits(words[0])
    }

    fn words(self) -> [u32; 2] {
        [self.to_bits(), 0]
    }
}

impl NodeWords for f64 {
    const WORDS: usize = 4;

    #[inline(always)]
    fn take(words: &[u32]) -> Self {
        Self::from_bits(u64::from(words[0]) | u64::from(words[1]) << 32)
    }

    fn words(self) -> [u32; 2] {
        [self.to_bits() as u32, (self.to_bits() >> 32) as u32]
    }
}

/// The tables of an ensemble.
#[derive(Clone, Copy, Debug)]
pub struct Forest<'t, T> {
    /// Nodes.
    pub nodes: &'t [u32],
    /// The root of each tree.
    pub roots: &'t [u32],
    /// Targets of the weights of leaves that have several.
    pub targets: &'t [u32],
    /// These weights, and sets.
    pub values: &'t [T],
    /// Branches on the longest way from a root to a leaf.
    pub depth: usize,
}

impl<'t, T: NodeWords> Forest<'t, T> {
    #[inline(always)]
    fn node(&self, at: u32) -> Option<&'t [u32]> {
        let start = (at as usize).checked_mul(T::WORDS)?;
        self.nodes.get(start..)?.get(..T::WORDS)
    }

    /// The leaf that a row of features leads to.
    #[inline(always)]
    fn leaf(&self, root: u32, row: &[T]) -> Option<&'t [u32]> {
        let mut node = self.node(root)?;
        for _ in 0..self.depth {
            let mode = Mode::from_word(node[0] & MODE_BITS);
            if mode == Mode::Leaf {
                break;
            }
            let x = *row.get((node[0] >> HIGH_SHIFT) as usize)?;
            let holds = self.holds(mode, x, &node[2..]) || (node[0] & NAN_HOLDS != 0 && x.is_nan());
            node = self.node(node[1].wrapping_add(u32::from(!holds)))?;
        }
        (Mode::from_word(node[0] & MODE_BITS) == Mode::Leaf).then_some(node)
    }

    #[inline(always)]
    fn holds(&self, mode: Mode, x: T, words: &[u32]) -> bool {
        let threshold = T::take(words);
        match mode {
            Mode::LessOrEqual => x <= threshold,
            Mode::Less => x < threshold,
            Mode::GreaterOrEqual => x >= threshold,
            Mode::Greater => x > threshold,
            Mode::Equal => x == threshold,
            Mode::NotEqual => x != threshold,
            Mode::Member => {
                let set = self.values.get(words[0] as usize..).unwrap_or_default();
                set.iter().take_while(|v| !v.is_nan()).any(|v| *v == x)
            }
            Mode::Leaf => false,
        }
    }

    /// Hands each weight of a leaf to `add`, with its target.
    #[inline(always)]
    fn weights(&self, leaf: &[u32], mut add: impl FnMut(usize, T)) {
        let high = (leaf[0] >> HIGH_SHIFT) as usize;
        if leaf[0] & ONE_WEIGHT != 0 {
            return add(high, T::take(&leaf[2..]));
        }
        let start = leaf[2] as usize;
        let places = start..start.saturating_add(high);
        let targets = self.targets.get(places.clone()).unwrap_or_default();
        let values = self.values.get(places).unwrap_or_default();
        targets.iter().zip(values).for_each(|(target, value)| add(*target as usize, *value));
    }
}

/// What all trees give for each row, one number a target; zero where no tree gives one.
///
/// **Shapes and units**: `x` is `[rows, features]`, `y` `[rows, targets]`; `targets` is not zero.
///
/// **Panics** when `x` or `y` is shorter.
///
/// **Cost**: rows by trees by depth; weights are added in the order of the trees.
pub fn tree_ensemble<T: NodeWords>(
    forest: Forest<'_, T>,
    aggregate: Aggregate,
    [rows, features, targets]: [usize; 3],
    x: &[T],
    y: &mut [T],
) {
    for r in 0..rows {
        let x = &x[r * features..][..features];
        let y = &mut y[r * targets..][..targets];
        begin(aggregate, y);
        for root in forest.roots {
            let Some(leaf) = forest.leaf(*root, x) else { continue };
            forest.weights(leaf, |target, weight| accumulate(aggregate, y, target, weight));
        }
        finish(aggregate, forest.roots.len(), y);
    }
}

/// What targets are before the first weight: a NaN stands for no weight yet.
#[inline(always)]
fn begin<T: Number>(aggregate: Aggregate, y: &mut [T]) {
    let extreme = matches!(aggregate, Aggregate::Min | Aggregate::Max);
    y.fill(if extreme { T::from_f64(f64::NAN) } else { T::default() });
}

#[inline(always)]
fn accumulate<T: Number>(aggregate: Aggregate, y: &mut [T], target: usize, weight: T) {
    let Some(y) = y.get_mut(target) else { return };
    // A comparison with the NaN that stands for no weight yet fails.
    let keeps = match aggregate {
        Aggregate::Min => *y <= weight,
        Aggregate::Max => *y >= weight,
        Aggregate::Sum | Aggregate::Average => {
            *y = y.binary(BinaryCode::Add, weight);
            true
        }
    };
    if !keeps {
        *y = weight;
    }
}

#[inline(always)]
fn finish<T: Number>(aggregate: Aggregate, trees: usize, y: &mut [T]) {
    let count = T::from_f64(trees as f64);
    for y in y {
        if aggregate == Aggregate::Average {
            *y = y.binary(BinaryCode::Div, count);
        } else if matches!(aggregate, Aggregate::Min | Aggregate::Max) && y.is_nan() {
            *y = T::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A branch on feature `x`, its children at `next`.
    fn branch(x: u32, next: u32) -> [u32; 3] {
        [Mode::LessOrEqual as u32 | x << HIGH_SHIFT, next, 0]
    }

    #[test]
    fn trees_that_lead_nowhere_give_nothing() {
        let far = Mode::Leaf as u32 | 9 << HIGH_SHIFT;
        for nodes in [
            [branch(0, 0), branch(0, 0)],
            [branch(9, 1), branch(0, u32::MAX)],
            [
                [Mode::Member as u32, 1, 77],
                [Mode::Leaf as u32 | ONE_WEIGHT | 5 << HIGH_SHIFT, 1, 0],
            ],
            [[far, 0, u32::MAX], [far, 0, 1]],
        ] {
            let roots = [0, 1, 77];
            let forest = Forest {
                nodes: nodes.as_flattened(),
                roots: &roots,
                targets: &[0, 0],
                values: &[1.0f32, 2.0],
                depth: 2,
            };
            for aggregate in Aggregate::ALL {
                let mut y = [7.0f32; 2];
                tree_ensemble(forest, *aggregate, [1, 1, 2], &[1.0], &mut y);
                assert_eq!(y, [0.0, 0.0]);
            }
        }
    }
}
