//! Attributes of a node: read by name and kind, and every one of them accounted for.

use std::cell::Cell;

use super::proto::{AttributeProto, AttributeType, GraphProto, SparseTensorProto, TensorProto};

/// An attribute under the name that the node uses.
pub(super) type Named<'m> = (&'m str, &'m AttributeProto);

/// What is wrong with an attribute: its name and a sentence part.
#[derive(Debug, PartialEq)]
pub(super) struct AttributeProblem {
    pub(super) attribute: String,
    pub(super) problem: String,
}

/// The attributes of one node.
#[derive(Debug)]
pub(super) struct Attributes<'m> {
    list: Vec<(Named<'m>, Cell<bool>)>,
}

type Read<T> = Result<Option<T>, AttributeProblem>;

impl<'m> Attributes<'m> {
    /// The attributes of a node; references to those of the surrounding function are replaced by
    /// what `outer` gives, and are absent where it gives none.
    pub(super) fn new(own: &'m [AttributeProto], outer: &[Named<'m>]) -> Self {
        let resolve = |attribute: &'m AttributeProto| {
            if attribute.ref_attr_name.is_empty() {
                return Some(attribute);
            }
            let given = outer.iter().find(|(name, _)| *name == attribute.ref_attr_name);
            given.map(|(_, attribute)| *attribute)
        };
        let list = own
            .iter()
            .filter_map(|a| Some(((a.name.as_str(), resolve(a)?), Cell::new(false))))
            .collect();
        Self { list }
    }

    fn find(&self, name: &str, kind: AttributeType) -> Read<&'m AttributeProto> {
        let Some(((_, attribute), read)) = self.list.iter().find(|((n, _), _)| *n == name) else {
            return Ok(None);
        };
        read.set(true);
        let stored = AttributeType::try_from(attribute.r#type);
        if stored == Ok(kind) || stored == Ok(AttributeType::Undefined) {
            return Ok(Some(attribute));
        }
        let is = stored.map_or("of an unknown kind".into(), |s| format!("of kind {s:?}"));
        Err(AttributeProblem {
            attribute: name.to_owned(),
            problem: format!("is {is}, expected {kind:?}"),
        })
    }

    /// An integer.
    pub(super) fn int(&self, name: &str) -> Read<i64> {
        Ok(self.find(name, AttributeType::Int)?.map(|a| a.i))
    }

    /// A float.
    pub(super) fn float(&self, name: &str) -> Read<f32> {
        Ok(self.find(name, AttributeType::Float)?.map(|a| a.f))
    }

    /// A text.
    pub(super) fn string(&self, name: &str) -> Read<&'m str> {
        let Some(attribute) = self.find(name, AttributeType::String)? else { return Ok(None) };
        text(name, &attribute.s).map(Some)
    }

    /// Integers.
    pub(super) fn ints(&self, name: &str) -> Read<&'m [i64]> {
        Ok(self.find(name, AttributeType::Ints)?.map(|a| a.ints.as_slice()))
    }

    /// Floats.
    pub(super) fn floats(&self, name: &str) -> Read<&'m [f32]> {
        Ok(self.find(name, AttributeType::Floats)?.map(|a| a.floats.as_slice()))
    }

    /// Texts.
    pub(super) fn strings(&self, name: &str) -> Read<Vec<&'m str>> {
        let Some(attribute) = self.find(name, AttributeType::Strings)? else { return Ok(None) };
        attribute.strings.iter().map(|s| text(name, s)).collect::<Result<_, _>>().map(Some)
    }

    /// A tensor.
    pub(super) fn tensor(&self, name: &str) -> Read<&'m TensorProto> {
        Ok(self.find(name, AttributeType::Tensor)?.and_then(|a| a.t.as_ref()))
    }

    /// A graph.
    pub(super) fn graph(&self, name: &str) -> Read<&'m GraphProto> {
        Ok(self.find(name, AttributeType::Graph)?.and_then(|a| a.g.as_ref()))
    }

    /// A sparse tensor.
    pub(super) fn sparse_tensor(&self, name: &str) -> Read<&'m SparseTensorProto> {
        Ok(self.find(name, AttributeType::SparseTensor)?.and_then(|a| a.sparse_tensor.as_ref()))
    }

    /// Whether the node has it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.list.iter().any(|((n, _), _)| *n == name)
    }

    /// Accepts an attribute that changes nothing here.
    pub(super) fn ignore(&self, name: &str) {
        for ((n, _), read) in &self.list {
            if *n == name {
                read.set(true);
            }
        }
    }

    /// The first attribute that nothing has read.
    pub(super) fn unread(&self) -> Option<&'m str> {
        self.list.iter().find(|(_, read)| !read.get()).map(|((name, _), _)| *name)
    }

    /// Every attribute, for the nodes of a function.
    pub(super) fn all(&self) -> Vec<Named<'m>> {
        self.list.iter().map(|(named, _)| *named).collect()
    }
}

fn text<'m>(name: &str, bytes: &'m [u8]) -> Result<&'m str, AttributeProblem> {
    std::str::from_utf8(bytes).map_err(|_| AttributeProblem {
        attribute: name.to_owned(),
        problem: "is not UTF-8".into(),
    })
}
