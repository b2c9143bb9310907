//! Decision trees as the tables that their kernel walks.

use crate::graph::Tensor;
use crate::graph::ops::trees::{Branch, Child, Ensemble, Split};
use crate::kernels::trees::{HIGH_LIMIT, HIGH_SHIFT, Mode, NAN_HOLDS, NodeWords, ONE_WEIGHT};

use super::super::super::builder::Lowered;

/// The tables, and the branches on the longest way from a root to a leaf.
pub(super) struct Tables {
    pub(super) nodes: Tensor,
    pub(super) roots: Tensor,
    pub(super) targets: Tensor,
    pub(super) values: Tensor,
    pub(super) depth: usize,
}

/// Lays trees out: the children of a branch side by side, and where its comparison holds first.
pub(super) fn tables<T: NodeWords + bytemuck::Pod>(trees: &Ensemble) -> Lowered<Tables> {
    let mut writer = Writer::<T> { nodes: Vec::new(), targets: Vec::new(), values: Vec::new() };
    let mut roots = Vec::with_capacity(trees.roots.len());
    let mut depth = 0;
    for root in &trees.roots {
        let start = writer.reserve(1)?;
        roots.push(start);
        // Nodes that have a place, but nothing in it, and the branches above them.
        let mut open = vec![(*root, start, 0usize)];
        while let Some((child, at, above)) = open.pop() {
            match child {
                Child::Leaf(leaf) => writer.leaf(at, &trees.leaves[leaf])?,
                Child::Branch(branch) => {
                    let (node, children) = (&trees.branches[branch], writer.reserve(2)?);
                    writer.branch(at, node, children)?;
                    depth = depth.max(above + 1);
                    open.push((node.children[1], children + 1, above + 1));
                    open.push((node.children[0], children, above + 1));
                }
            }
        }
    }
    Ok(Tables {
        nodes: Tensor::vector(&writer.nodes),
        roots: Tensor::vector(&roots),
        targets: Tensor::vector(&writer.targets),
        values: Tensor::vector(&writer.values),
        depth,
    })
}

/// The tables while they are written.
struct Writer<T> {
    nodes: Vec<u32>,
    targets: Vec<u32>,
    values: Vec<T>,
}

impl<T: NodeWords> Writer<T> {
    /// The place of as many new nodes, one behind the other.
    fn reserve(&mut self, nodes: usize) -> Lowered<u32> {
        let place = self.nodes.len() / T::WORDS;
        self.nodes.resize(self.nodes.len() + nodes * T::WORDS, 0);
        word(place)
    }

    fn put(&mut self, at: u32, head: u32, next: u32, rest: [u32; 2]) {
        let node = &mut self.nodes[at as usize * T::WORDS..][..T::WORDS];
        (node[0], node[1]) = (head, next);
        node[2..].copy_from_slice(&rest[..T::WORDS - 2]);
    }

    fn branch(&mut self, at: u32, node: &Branch, children: u32) -> Lowered<()> {
        let (mode, threshold) = match &node.split {
            Split::LessOrEqual(v) => (Mode::LessOrEqual, *v),
            Split::Less(v) => (Mode::Less, *v),
            Split::GreaterOrEqual(v) => (Mode::GreaterOrEqual, *v),
            Split::Greater(v) => (Mode::Greater, *v),
            Split::Equal(v) => (Mode::Equal, *v),
            Split::NotEqual(v) => (Mode::NotEqual, *v),
            Split::Member(_) => (Mode::Member, 0.0),
        };
        let rest = match &node.split {
            Split::Member(set) => {
                let start = word(self.values.len())?;
                self.values.extend(set.iter().map(|v| T::from_f64(*v)));
                self.values.push(T::from_f64(f64::NAN));
                self.targets.resize(self.values.len(), 0);
                [start, 0]
            }
            _ => T::from_f64(threshold).words(),
        };
        let flags = mode as u32 | if node.nan_holds { NAN_HOLDS } else { 0 };
        self.put(at, flags | high(node.feature)?, children, rest);
        Ok(())
    }

    fn leaf(&mut self, at: u32, weights: &[(usize, f64)]) -> Lowered<()> {
        let leaf = Mode::Leaf as u32;
        if let [(target, weight)] = weights {
            let head = leaf | ONE_WEIGHT | high(*target)?;
            self.put(at, head, at, T::from_f64(*weight).words());
            return Ok(());
        }
        let start = word(self.values.len())?;
        for (target, weight) in weights {
            self.targets.push(word(*target)?);
            self.values.push(T::from_f64(*weight));
        }
        self.put(at, leaf | high(weights.len())?, at, [start, 0]);
        Ok(())
    }
}

fn high(n: usize) -> Lowered<u32> {
    if n >= HIGH_LIMIT {
        return Err(format!("{n} is more features, targets or weights than are supported"));
    }
    Ok((n as u32) << HIGH_SHIFT)
}

fn word(n: usize) -> Lowered<u32> {
    u32::try_from(n).map_err(|_| format!("{n} nodes or weights are more than are supported"))
}
