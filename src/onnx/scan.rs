//! What a file would take once decoded, counted before anything is decoded.
//!
//! Two bytes of a file can be an empty attribute, which takes hundreds in memory. This walks the
//! wire format once, without allocating, and adds up what the decoder will take: an upper bound,
//! vectors that grow included.

use super::proto::{
    AttributeProto, DimensionProto, FunctionProto, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, SparseTensorProto, StringStringEntryProto, TensorProto, TensorType,
    TypeProto, ValueInfoProto,
};

/// Messages nest at most this deep; the decoder refuses more.
const MOST_DEPTH: usize = 128;
/// A vector has room for four elements when it has one, and while it grows there are two of it:
/// one of the old size and one of twice that.
const GROWTH: u64 = 4;
/// What the allocator and a string add to their contents.
const STRING_BYTES: u64 = 32;

/// The kinds of messages that are told apart.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Nested,
    Function,
    /// Messages of numbers and strings alone.
    Flat(usize),
}

impl Kind {
    /// Bytes of the message itself.
    fn bytes(self) -> usize {
        match self {
            Self::Model => size_of::<ModelProto>(),
            Self::Graph => size_of::<GraphProto>(),
            Self::Node => size_of::<NodeProto>(),
            Self::Attribute => size_of::<AttributeProto>(),
            Self::Tensor => size_of::<TensorProto>(),
            Self::Sparse => size_of::<SparseTensorProto>(),
            Self::ValueInfo => size_of::<ValueInfoProto>(),
            Self::Type | Self::Nested => size_of::<TypeProto>(),
            Self::TensorType | Self::Shape => size_of::<TensorType>(),
            Self::Function => size_of::<FunctionProto>(),
            Self::Flat(bytes) => bytes,
        }
    }

    /// The message in the field `tag`, if it is one.
    fn child(self, tag: u64) -> Option<Self> {
        let opset = Self::Flat(size_of::<OperatorSetIdProto>());
        let entry = Self::Flat(size_of::<StringStringEntryProto>());
        Some(match (self, tag) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 8) | (Self::Function, 9) => opset,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Graph, 11 | 12) => Self::ValueInfo,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Attribute, 14 | 15) | (Self::ValueInfo, 2) => Self::Type,
            (Self::Tensor, 3 | 13) => entry,
            (Self::Type, 1 | 8) => Self::TensorType,
            (Self::Type, 4 | 5 | 9) => Self::Nested,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Shape, 1) => Self::Flat(size_of::<DimensionProto>()),
            (Self::Nested, 1 | 2) => Self::Type,
            _ => return None,
        })
    }

    /// Bytes in memory of the field `tag`, which is no message.
    fn expanded(self, tag: u64, field: &[u8]) -> u64 {
        let len = field.len() as u64;
        // Numbers of one to ten bytes; the last byte of each has no high bit.
        let numbers = || field.iter().filter(|byte| **byte < 128).count() as u64;
        match (self, tag) {
            (Self::Tensor, 5) => 4 * GROWTH * numbers(),
            (Self::Attribute, 8) | (Self::Tensor, 1 | 7 | 11) | (Self::Sparse, 3) => {
                8 * GROWTH * numbers()
            }
            (Self::Attribute, 7) | (Self::Tensor, 4 | 10) => GROWTH * len,
            _ => STRING_BYTES * GROWTH + len,
        }
    }
}

/// An upper bound of the memory that decoding the model takes.
pub(super) fn decoded_bytes(model: &[u8]) -> u64 {
    message(model, Kind::Model, 0)
}

fn message(mut bytes: &[u8], kind: Kind, depth: usize) -> u64 {
    let mut total = kind.bytes() as u64 * GROWTH;
    if depth > MOST_DEPTH {
        return total;
    }
    // Where the bytes are no message the decoder stops as well.
    while let Some(key) = varint(&mut bytes) {
        let tag = key >> 3;
        let len = match key & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut bytes),
            // Groups are skipped by the decoder; what is in them counts as if it stood here.
            3 | 4 => Some(0),
            5 => Some(4),
            _ => None,
        };
        let Some(field) = len.and_then(|len| take(&mut bytes, len)) else { break };
        total = total.saturating_add(match (key & 7, kind.child(tag)) {
            (2, Some(child)) => message(field, child, depth + 1),
            (2, None) => kind.expanded(tag, field),
            _ => 8 * GROWTH,
        });
    }
    total
}

fn take<'b>(bytes: &mut &'b [u8], len: u64) -> Option<&'b [u8]> {
    let (field, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    *bytes = rest;
    Some(field)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 127).checked_shl(shift).unwrap_or(0);
        if byte & 128 == 0 {
            return Some(value);
        }
    }
    None
}
