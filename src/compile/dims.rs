//! The dimension table while it is written.

use std::collections::HashMap;

use crate::graph::dim::{Atom, Dim, Variable};
use crate::runtime::DimOp;
use crate::runtime::record::Extent;

/// Dimensions as they are interned into the program's table.
#[derive(Default)]
pub(super) struct DimTable {
    pub(super) entries: Vec<(DimOp, u32, u32, String)>,
    known: HashMap<Dim, Extent>,
}

impl DimTable {
    /// A table that begins with the variables, in their order.
    pub(super) fn new(variables: &[Variable]) -> Self {
        let mut table = Self::default();
        for (i, v) in variables.iter().enumerate() {
            let (op, min, max) = if v.measured {
                let word = |n: i64| n.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as u32;
                (DimOp::Measured, word(v.min), word(v.max))
            } else {
                let word = |n: i64| n.clamp(0, i64::from(u32::MAX)) as u32;
                (DimOp::Variable, word(v.min), word(v.max))
            };
            let extent = table.push(op, min, max, v.name.clone());
            table.known.insert(Dim::var(crate::graph::VarId(i as u32)), extent);
        }
        table
    }

    fn push(&mut self, op: DimOp, a: u32, b: u32, name: String) -> Extent {
        self.entries.push((op, a, b, name));
        Extent((self.entries.len() - 1) as u32 | Extent::TABLE)
    }

    fn combine(&mut self, op: DimOp, a: Extent, b: Extent) -> Extent {
        self.push(op, a.0, b.0, String::new())
    }

    /// The word that stands for `dim` in a record.
    pub(super) fn extent(&mut self, dim: &Dim) -> Extent {
        if let Some(n) = dim.fixed() {
            return Extent::immediate(n).unwrap_or_else(|| {
                self.push(DimOp::Constant, n as u32, (n >> 32) as u32, String::new())
            });
        }
        if let Some(extent) = self.known.get(dim) {
            return *extent;
        }
        let mut sum: Option<Extent> = None;
        for (product, coefficient) in dim.products() {
            let mut term: Option<Extent> = None;
            for atom in &product {
                let factor = self.atom(atom);
                term = Some(term.map_or(factor, |t| self.combine(DimOp::Mul, t, factor)));
            }
            let factor = self.extent(&Dim::Fixed(coefficient));
            let term = match term {
                None => factor,
                Some(term) if coefficient == 1 => term,
                Some(term) => self.combine(DimOp::Mul, term, factor),
            };
            sum = Some(sum.map_or(term, |s| self.combine(DimOp::Add, s, term)));
        }
        let extent = sum.unwrap_or(Extent(0));
        self.known.insert(dim.clone(), extent);
        extent
    }

    fn atom(&mut self, atom: &Atom) -> Extent {
        let (op, a, b) = match atom {
            // The table begins with all variables of the graph; there is no other.
            Atom::Var(id) => {
                return self.known.get(&Dim::var(*id)).copied().unwrap_or(Extent(0));
            }
            Atom::FloorDiv(a, b) => (DimOp::FloorDiv, a, b),
            Atom::Min(a, b) => (DimOp::Min, a, b),
            Atom::Max(a, b) => (DimOp::Max, a, b),
        };
        let (a, b) = (self.extent(a), self.extent(b));
        self.combine(op, a, b)
    }
}
