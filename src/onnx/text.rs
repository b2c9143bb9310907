//! Text: a value of texts is a value of i64 that counts into a table of them.
//!
//! Models name classes. What names a class is a constant of the model, so that all texts that a
//! value can hold are known when it is loaded, and no text is computed when it runs. The one
//! invariant: an index of such a value is within its table.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::graph::{Tensor, ValueId};

use super::proto::TensorProto;

/// A table of texts.
pub(super) type Texts = Arc<[String]>;

/// The code of text among the element types.
pub(super) const TEXT_CODE: i32 = 8;

/// What values mean as text.
#[derive(Debug, Default)]
pub(super) struct TextFacts {
    /// Tables that elements count into.
    elements: BTreeMap<ValueId, Texts>,
    /// Names of the columns of values of numbers.
    columns: BTreeMap<ValueId, Texts>,
}

impl TextFacts {
    /// Whether no value is text.
    pub(super) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The table that the elements of a value count into.
    pub(super) fn of(&self, id: ValueId) -> Option<&Texts> {
        self.elements.get(&id)
    }

    /// Makes the elements of a value count into a table.
    pub(super) fn set(&mut self, id: ValueId, texts: Texts) {
        self.elements.insert(id, texts);
    }

    /// The table that all of these count into; an error where they do not agree.
    pub(super) fn shared(
        &self,
        ids: impl IntoIterator<Item = ValueId>,
    ) -> Result<Option<Texts>, &'static str> {
        let mut tables = ids.into_iter().map(|id| self.of(id));
        let first = tables.next().flatten();
        match tables.all(|table| table == first) {
            true => Ok(first.cloned()),
            false => Err("it joins labels of different tables"),
        }
    }

    /// Forgets values from `first` on: there are none.
    pub(super) fn forget(&mut self, first: u32) {
        self.elements.retain(|id, _| id.0 < first);
        self.columns.retain(|id, _| id.0 < first);
    }

    /// The names of the columns of a value.
    pub(super) fn columns(&self, id: ValueId) -> Option<&Texts> {
        self.columns.get(&id)
    }

    /// Names the columns of a value.
    pub(super) fn set_columns(&mut self, id: ValueId, texts: Texts) {
        self.columns.insert(id, texts);
    }
}

/// What an operator does with operands that are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextUse {
    /// Its importer looks at them itself.
    Reads,
    /// It picks or arranges elements of its first operand.
    Moves,
    /// It picks or arranges elements of operands from this one on.
    Joins(usize),
    /// It needs what they say.
    Computes,
}

/// What an operator does with text.
pub(super) fn text_use(domain: &str, op: &str) -> TextUse {
    match (domain, op) {
        ("ai.onnx.ml", "LabelEncoder" | "CategoryMapper" | "OneHotEncoder") => TextUse::Reads,
        ("ai.onnx.ml", "ArrayFeatureExtractor") => TextUse::Moves,
        (
            "",
            "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Expand"
            | "Slice" | "Split" | "Tile" | "Gather" | "GatherElements" | "GatherND",
        ) => TextUse::Moves,
        ("", "Concat") => TextUse::Joins(0),
        ("", "Where") => TextUse::Joins(1),
        _ => TextUse::Computes,
    }
}

/// A constant of texts as indices and their table, in which no text stands twice.
pub(super) fn decode(proto: &TensorProto) -> Result<(Tensor, Texts), String> {
    let shape: Option<Vec<usize>> = proto.dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let len = shape.as_ref().and_then(|s| s.iter().try_fold(1usize, |n, d| n.checked_mul(*d)));
    let (Some(shape), Some(len)) = (shape, len) else {
        return Err(format!("the shape {:?} is no shape", proto.dims));
    };
    if proto.data_location != 0 || proto.segment.is_some() || len != proto.string_data.len() {
        let have = proto.string_data.len();
        return Err(format!("the shape {:?} needs {len} texts, the file has {have}", proto.dims));
    }
    let (mut places, mut table) = (BTreeMap::new(), Vec::new());
    let mut indices = Vec::with_capacity(len);
    for bytes in &proto.string_data {
        let text = std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8".to_owned())?;
        let index = *places.entry(text).or_insert_with(|| {
            table.push(text.to_owned());
            table.len() as i64 - 1
        });
        indices.push(index);
    }
    Ok((Tensor::new(&shape, &indices), table.into()))
}
