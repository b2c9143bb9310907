//! Functions that nodes may call: those of the model, and those by which ONNX defines its own
//! operators.
//!
//! Owns the bodies of ONNX (`functions.onnx`, which tests/oracle/export_functions.py writes and
//! describes) and which of them holds for a version of the operator set. It must not know which
//! operators the importer has itself: the walk asks for a body only where it has none.

use std::cell::OnceCell;
use std::collections::HashMap;

use prost::Message;

use super::proto::{FunctionProto, ModelProto, NodeProto};
use super::walk::domain;

/// Domain, name and overload.
pub(super) type Key<'m> = (&'m str, &'m str, &'m str);

pub(super) fn function_key(f: &FunctionProto) -> Key<'_> {
    (domain(&f.domain), &f.name, &f.overload)
}

pub(super) fn node_key(node: &NodeProto) -> Key<'_> {
    (domain(&node.domain), &node.op_type, &node.overload)
}

/// Functions by what calls them.
pub(super) struct Functions<'m> {
    local: HashMap<Key<'m>, &'m FunctionProto>,
    /// Read from the file when the first node asks.
    standard: OnceCell<Vec<FunctionProto>>,
}

impl<'m> Functions<'m> {
    /// The functions of a model before those of ONNX.
    pub(super) fn new(functions: &'m [FunctionProto]) -> Self {
        let local = functions.iter().map(|f| (function_key(f), f)).collect();
        Self { local, standard: OnceCell::new() }
    }

    /// What a node calls whose operator set has this version.
    pub(super) fn find(&self, key: Key<'_>, version: Option<i64>) -> Option<&FunctionProto> {
        if let Some(function) = self.local.get(&key) {
            return Some(function);
        }
        let (domain, name, "") = key else { return None };
        let version = version?;
        let holds = |f: &&FunctionProto| {
            f.domain == domain
                && f.name == name
                && f.overload.parse().is_ok_and(|v: i64| v <= version)
        };
        // Versions ascend; one without nodes is an operator that ONNX does not define by others.
        self.standard().iter().rfind(holds).filter(|f| !f.node.is_empty())
    }

    /// Nodes of all functions of the model.
    pub(super) fn node_count(&self) -> usize {
        self.local.values().map(|f| f.node.len()).sum()
    }

    fn standard(&self) -> &[FunctionProto] {
        self.standard.get_or_init(|| {
            let bytes: &[u8] = include_bytes!("functions.onnx");
            ModelProto::decode(bytes).unwrap_or_default().functions
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_until_the_next_version() {
        let functions = Functions::new(&[]);
        let nodes = |name, version| functions.find(("", name, ""), version).map(|f| f.node.len());
        assert_eq!(nodes("MeanVarianceNormalization", Some(8)), None);
        assert_eq!(nodes("MeanVarianceNormalization", Some(12)), Some(11));
        assert_eq!(nodes("MeanVarianceNormalization", Some(25)), Some(12));
        // Version 27 of Range is not defined by a body that depends on attributes alone.
        assert_eq!(nodes("Range", Some(26)), Some(9));
        assert_eq!(nodes("Range", Some(27)), None);
        assert_eq!(nodes("Relu", None), None);
        assert_eq!(nodes("NoSuchOperator", Some(20)), None);
    }

    #[test]
    fn the_model_comes_first() {
        let own = FunctionProto { name: "Relu".into(), ..FunctionProto::default() };
        let functions = [own];
        let functions = Functions::new(&functions);
        assert_eq!(functions.find(("", "Relu", ""), Some(18)).map(|f| f.node.len()), Some(0));
    }
}
