//! Decision trees between their attributes and the tables that the kernel walks.
//!
//! Owns the checks that make trees of nodes: every child exists, no node is reached twice (so
//! there is no way around in circles), every table is indexed within its bounds.

use crate::graph::Tensor;
use crate::kernels::trees::{HIGH_LIMIT, HIGH_SHIFT, Mode, NAN_HOLDS, NodeWords, ONE_WEIGHT};
use crate::tensor::DType;

/// Where a branch leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    Branch(usize),
    Leaf(usize),
}

/// A node that compares a feature with a threshold.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) mode: Mode,
    pub(super) feature: usize,
    pub(super) threshold: f64,
    /// The members of the set, for a mode that asks for one.
    pub(super) set: Vec<f64>,
    pub(super) nan_holds: bool,
    /// Where the comparison holds, and where not.
    pub(super) children: [Child; 2],
}

/// Trees over shared lists of branches and leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Ensemble {
    pub(super) branches: Vec<Branch>,
    /// Targets and weights of each leaf.
    pub(super) leaves: Vec<Vec<(usize, f64)>>,
    pub(super) roots: Vec<Child>,
}

/// The tables of the kernel.
pub(super) struct Tables {
    /// Nodes, roots, targets, values.
    pub(super) operands: [Tensor; 4],
    pub(super) depth: usize,
}

impl Ensemble {
    /// Lays the trees out for data of this type with this many features. An error is a sentence
    /// part that begins with what is wrong.
    pub(super) fn tables(&self, dtype: DType, features: usize) -> Result<Tables, String> {
        match dtype {
            DType::F64 => self.lay_out::<f64>(features),
            _ => self.lay_out::<f32>(features),
        }
    }

    fn lay_out<T: NodeWords + bytemuck::Pod>(&self, features: usize) -> Result<Tables, String> {
        let mut tables = Writer::<T>::default();
        let mut seen = vec![false; self.branches.len()];
        let mut roots = Vec::with_capacity(self.roots.len());
        let mut depth = 0;
        for root in &self.roots {
            let start = tables.reserve(1)?;
            roots.push(start);
            // Nodes that have a place, but nothing in it, and the branches above them.
            let mut open = vec![(*root, start, 0usize)];
            while let Some((child, at, above)) = open.pop() {
                let branch = match child {
                    Child::Leaf(leaf) => {
                        let leaf = self.leaves.get(leaf).ok_or("a leaf is missing")?;
                        tables.leaf(at, leaf)?;
                        continue;
                    }
                    Child::Branch(branch) => branch,
                };
                match seen.get_mut(branch) {
                    Some(seen) if !*seen => *seen = true,
                    Some(_) => return Err(format!("node {branch} is reached in two ways")),
                    None => return Err(format!("node {branch} does not exist")),
                }
                let node = &self.branches[branch];
                if node.feature >= features {
                    let feature = node.feature;
                    return Err(format!("feature {feature} is used, the data has {features}"));
                }
                let children = tables.reserve(2)?;
                tables.branch(at, node, children)?;
                depth = depth.max(above + 1);
                // The way on where the comparison holds is laid out first.
                open.push((node.children[1], children + 1, above + 1));
                open.push((node.children[0], children, above + 1));
            }
        }
        let Writer { nodes, targets, values } = tables;
        let operands = [
            Tensor::vector(&nodes),
            Tensor::vector(&roots),
            Tensor::vector(&targets),
            Tensor::vector(&values),
        ];
        Ok(Tables { operands, depth })
    }
}

/// The tables while they are written.
#[derive(Default)]
struct Writer<T> {
    nodes: Vec<u32>,
    targets: Vec<u32>,
    values: Vec<T>,
}

impl<T: NodeWords> Writer<T> {
    /// The place of as many new nodes, one behind the other.
    fn reserve(&mut self, nodes: usize) -> Result<u32, String> {
        let place = self.nodes.len() / T::WORDS;
        self.nodes.resize(self.nodes.len() + nodes * T::WORDS, 0);
        u32::try_from(place).map_err(|_| "the trees have too many nodes".into())
    }

    fn put(&mut self, at: u32, head: u32, next: u32, rest: [u32; 2]) {
        let node = &mut self.nodes[at as usize * T::WORDS..][..T::WORDS];
        (node[0], node[1]) = (head, next);
        node[2..].copy_from_slice(&rest[..T::WORDS - 2]);
    }

    fn branch(&mut self, at: u32, node: &Branch, children: u32) -> Result<(), String> {
        let flags = node.mode as u32 | if node.nan_holds { NAN_HOLDS } else { 0 };
        let rest = match node.mode {
            Mode::Member => {
                let start = place(self.values.len())?;
                self.values.extend(node.set.iter().map(|v| T::from_f64(*v)));
                self.values.push(T::from_f64(f64::NAN));
                self.targets.resize(self.values.len(), 0);
                [start, 0]
            }
            _ => T::from_f64(node.threshold).words(),
        };
        self.put(at, flags | high(node.feature)?, children, rest);
        Ok(())
    }

    fn leaf(&mut self, at: u32, weights: &[(usize, f64)]) -> Result<(), String> {
        let leaf = Mode::Leaf as u32;
        if let [(target, weight)] = weights {
            let head = leaf | ONE_WEIGHT | high(*target)?;
            self.put(at, head, at, T::from_f64(*weight).words());
            return Ok(());
        }
        let start = place(self.values.len())?;
        for (target, weight) in weights {
            self.targets.push(place(*target)?);
            self.values.push(T::from_f64(*weight));
        }
        self.put(at, leaf | high(weights.len())?, at, [start, 0]);
        Ok(())
    }
}

fn high(n: usize) -> Result<u32, String> {
    if n >= HIGH_LIMIT {
        return Err(format!("{n} is more features, targets or weights than are supported"));
    }
    Ok((n as u32) << HIGH_SHIFT)
}

fn place(n: usize) -> Result<u32, String> {
    u32::try_from(n).map_err(|_| "the trees have too many weights".into())
}
