//! Where values lie: storages, and the views that values are of them.

use crate::graph::dim::{Dim, product};

/// What a storage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Packed into the image, at this offset.
    Constant(usize),
    /// Planned.
    Arena,
    /// Kept between runs, at this offset.
    State(usize),
    /// An input, or behind the inputs an output; planned, and may be bound to other memory.
    Port(usize),
}

/// A block of memory that holds one value or several in turn.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub(super) home: Home,
    pub(super) bytes: usize,
    /// Steps that touch it.
    pub(super) first: usize,
    pub(super) last: usize,
    /// The last step that reads it, where one does.
    pub(super) last_read: Option<usize>,
    /// That step has read all of it before it writes.
    pub(super) held: bool,
    /// The first step that writes it, where it does so through cells.
    pub(super) shared_write: Option<usize>,
    /// Steps need room beyond the value that is left in it: for a piece of it though there may be
    /// none, or for a longer value that lay here before.
    pub(super) roomy: bool,
}

impl Storage {
    /// A storage that comes into being at a step.
    pub(super) fn new(home: Home, bytes: usize, step: usize) -> Self {
        Self {
            home,
            bytes,
            first: step,
            last: step,
            last_read: None,
            held: false,
            shared_write: None,
            roomy: false,
        }
    }
}

/// A value as a view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub(super) storage: usize,
    /// In elements.
    pub(crate) offset: Dim,
    /// In elements, one an axis.
    pub(crate) strides: Vec<Dim>,
}

/// Strides of a row-major tensor.
pub(crate) fn contiguous(shape: &[Dim]) -> Vec<Dim> {
    (0..shape.len()).map(|i| product(&shape[i + 1..])).collect()
}

/// Whether these strides are those of a row-major tensor; the stride of an axis of one element
/// does not matter.
pub(crate) fn is_contiguous(shape: &[Dim], strides: &[Dim]) -> bool {
    let want = contiguous(shape);
    shape.iter().zip(strides.iter().zip(&want)).all(|(n, (a, b))| n.is(1) || a == b)
}

/// Joins axes that lie behind one another in every operand. `strides` has one list an operand.
pub(crate) fn collapse(shape: &[Dim], strides: &[Vec<Dim>]) -> (Vec<Dim>, Vec<Vec<Dim>>) {
    let mut out_shape: Vec<Dim> = Vec::new();
    let mut out: Vec<Vec<Dim>> = vec![Vec::new(); strides.len()];
    for (axis, extent) in shape.iter().enumerate() {
        if extent.is(1) {
            continue;
        }
        let joins = !out_shape.is_empty()
            && strides
                .iter()
                .zip(&out)
                .all(|(from, to)| to.last() == Some(&(from[axis].clone() * extent.clone())));
        if joins {
            if let Some(last) = out_shape.last_mut() {
                *last = last.clone() * extent.clone();
            }
            for (to, from) in out.iter_mut().zip(strides) {
                if let Some(last) = to.last_mut() {
                    *last = from[axis].clone();
                }
            }
        } else {
            out_shape.push(extent.clone());
            for (to, from) in out.iter_mut().zip(strides) {
                to.push(from[axis].clone());
            }
        }
    }
    (out_shape, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(list: &[i64]) -> Vec<Dim> {
        list.iter().map(|n| Dim::Fixed(*n)).collect()
    }

    #[test]
    fn axes_join_where_every_operand_lets_them() {
        let shape = dims(&[2, 3, 1, 4]);
        let (s, st) = collapse(&shape, &[dims(&[12, 4, 4, 1]), dims(&[12, 4, 9, 1])]);
        assert_eq!((s, st), (dims(&[24]), vec![dims(&[1]), dims(&[1])]));
        // A broadcast row keeps its axes apart.
        let (s, st) = collapse(&shape, &[dims(&[12, 4, 4, 1]), dims(&[0, 0, 0, 1])]);
        assert_eq!((s, st), (dims(&[6, 4]), vec![dims(&[4, 1]), dims(&[0, 1])]));
        let (s, _) = collapse(&dims(&[1, 1]), &[dims(&[1, 1])]);
        assert!(s.is_empty());
    }
}
