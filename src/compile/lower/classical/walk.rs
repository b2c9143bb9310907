//! Decision trees as the tables that [`walk_trees`](crate::kernels::trees::walk::walk_trees) walks.

use std::collections::BTreeMap;

use crate::graph::Tensor;
use crate::graph::ops::trees::{Branch, Child, Ensemble, Split};
use crate::kernels::trees::walk::{
    BRANCHES, CHILDREN, FEW_SLOTS, LEAF, NAN_HOLDS, SLOT_LIMIT, block_words,
};

/// The tables of an ensemble.
pub(super) struct WalkTables {
    pub(super) blocks: Tensor,
    pub(super) wide: bool,
    pub(super) roots: Tensor,
    pub(super) slots: Tensor,
    pub(super) targets: Tensor,
    pub(super) values: Tensor,
    pub(super) single: bool,
    pub(super) depth: usize,
}

/// Lays out trees whose every comparison is one of order. `None` for others, and for those that
/// are too large.
pub(super) fn walk_tables(trees: &Ensemble) -> Option<WalkTables> {
    let branches = trees.branches.iter().map(Ordered::of).collect::<Option<Vec<_>>>()?;
    let mut slots = BTreeMap::new();
    for branch in &branches {
        let next = slots.len();
        slots.entry(branch.slot).or_insert(next);
    }
    if slots.len() > SLOT_LIMIT {
        return None;
    }
    let single = single_targets(trees);
    let mut writer = Writer {
        trees,
        branches: &branches,
        slots: &slots,
        wide: slots.len() > FEW_SLOTS,
        single: single.is_some(),
        blocks: Vec::new(),
        targets: single.unwrap_or_default(),
        values: Vec::new(),
        depth: 0,
    };
    let roots = trees.roots.iter().map(|root| writer.tree(*root)).collect::<Option<Vec<_>>>()?;
    let mut features = vec![0; slots.len()];
    for (slot, place) in &slots {
        features[*place] = *slot;
    }
    Some(WalkTables {
        blocks: Tensor::vector(&writer.blocks),
        wide: writer.wide,
        roots: Tensor::vector(&roots),
        slots: Tensor::vector(&features),
        targets: Tensor::vector(&writer.targets),
        values: Tensor::vector(&writer.values),
        single: writer.single,
        depth: writer.depth,
    })
}

/// A branch as a comparison `slot <= threshold`.
struct Ordered {
    /// The feature, and whether its NaN leads to the first child.
    slot: u32,
    threshold: f32,
    children: [Child; 2],
}

impl Ordered {
    fn of(branch: &Branch) -> Option<Self> {
        let (threshold, below, swapped) = match &branch.split {
            Split::LessOrEqual(v) => (*v, false, false),
            Split::Less(v) => (*v, true, false),
            Split::Greater(v) => (*v, false, true),
            Split::GreaterOrEqual(v) => (*v, true, true),
            Split::Equal(_) | Split::NotEqual(_) | Split::Member(_) => return None,
        };
        let threshold = threshold as f32;
        // Nothing is less than minus infinity, and no number stands for that.
        if threshold.is_nan() || below && threshold == f32::NEG_INFINITY {
            return None;
        }
        // What is less than a number is at most the one before it; both zeros are one.
        let threshold = if below { threshold.next_down() } else { threshold };
        let [mut first, mut second] = branch.children;
        if swapped {
            std::mem::swap(&mut first, &mut second);
        }
        let feature = u32::try_from(branch.feature).ok().filter(|n| n & NAN_HOLDS == 0)?;
        let holds = if branch.nan_holds != swapped { NAN_HOLDS } else { 0 };
        Some(Self { slot: feature | holds, threshold, children: [first, second] })
    }
}

/// The target of each tree, if every leaf has one weight, and those of a tree the same target.
fn single_targets(trees: &Ensemble) -> Option<Vec<u32>> {
    let target_of = |root: &Child| {
        let (mut open, mut target) = (vec![*root], None);
        while let Some(child) = open.pop() {
            match child {
                Child::Branch(branch) => open.extend(trees.branches[branch].children),
                Child::Leaf(leaf) => match trees.leaves[leaf][..] {
                    [(t, _)] if target.is_none_or(|target| target == t) => target = Some(t),
                    _ => return None,
                },
            }
        }
        u32::try_from(target?).ok()
    };
    trees.roots.iter().map(target_of).collect()
}

/// A node of a block that is being filled.
#[derive(Clone, Copy)]
enum Node {
    Branch(usize),
    /// A leaf that has a place.
    Leaf(u32),
}

/// The tables while they are written.
struct Writer<'t> {
    trees: &'t Ensemble,
    branches: &'t [Ordered],
    slots: &'t BTreeMap<u32, usize>,
    wide: bool,
    single: bool,
    blocks: Vec<u32>,
    targets: Vec<u32>,
    values: Vec<f32>,
    depth: usize,
}

impl Writer<'_> {
    /// Writes a tree and says where it begins.
    fn tree(&mut self, root: Child) -> Option<u32> {
        let root = match self.node(root)? {
            Node::Leaf(leaf) => return Some(leaf),
            Node::Branch(branch) => branch,
        };
        let start = self.reserve()?;
        // Blocks that have a place, but nothing in it, and those above them.
        let mut open = vec![(root, start, 0usize)];
        while let Some((branch, at, above)) = open.pop() {
            self.depth = self.depth.max(above + 1);
            let mut children = [LEAF; CHILDREN];
            for (to, node) in children.iter_mut().zip(self.block(branch, at)?) {
                *to = match node {
                    Node::Leaf(leaf) => leaf,
                    Node::Branch(branch) => {
                        let next = self.reserve()?;
                        open.push((branch, next, above + 1));
                        next
                    }
                };
            }
            let end = (at as usize + 1) * block_words(self.wide);
            self.blocks[end - CHILDREN..end].copy_from_slice(&children);
        }
        Some(start)
    }

    fn reserve(&mut self) -> Option<u32> {
        let words = block_words(self.wide);
        let place = self.blocks.len() / words;
        self.blocks.resize(self.blocks.len() + words, 0);
        u32::try_from(place).ok().filter(|place| place & LEAF == 0)
    }

    /// Writes three levels from a branch on, and returns what is below them.
    fn block(&mut self, branch: usize, at: u32) -> Option<[Node; CHILDREN]> {
        let start = at as usize * block_words(self.wide);
        let mut nodes = [Node::Branch(branch); BRANCHES + CHILDREN];
        for i in 0..BRANCHES {
            let children = match nodes[i] {
                Node::Leaf(_) => [nodes[i]; 2],
                Node::Branch(branch) => {
                    let node = &self.branches[branch];
                    let slot = u32::try_from(*self.slots.get(&node.slot)?).ok()?;
                    let block = &mut self.blocks[start..];
                    block[i] = node.threshold.to_bits();
                    if self.wide {
                        block[CHILDREN + i] = slot;
                    } else {
                        block[BRANCHES] |= slot << (4 * i);
                    }
                    [self.node(node.children[0])?, self.node(node.children[1])?]
                }
            };
            nodes[2 * i + 1..][..2].copy_from_slice(&children);
        }
        nodes.last_chunk().copied()
    }

    /// A node, and a place for it if it is a leaf.
    fn node(&mut self, child: Child) -> Option<Node> {
        let leaf = match child {
            Child::Branch(branch) => return Some(Node::Branch(branch)),
            Child::Leaf(leaf) => leaf,
        };
        let weights = &self.trees.leaves[leaf];
        let place = self.values.len();
        if !self.single {
            self.targets.push(u32::try_from(weights.len()).ok()?);
            self.values.push(0.0);
            for (target, _) in weights {
                self.targets.push(u32::try_from(*target).ok()?);
            }
        }
        self.values.extend(weights.iter().map(|(_, weight)| *weight as f32));
        let place = u32::try_from(place).ok().filter(|place| place & LEAF == 0)?;
        Some(Node::Leaf(LEAF | place))
    }
}
