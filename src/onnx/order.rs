//! The order of nodes: every value is given before it is read.

use std::collections::{HashMap, HashSet};

use super::error::{ImportError, NodeRef};
use super::proto::NodeProto;

/// Checks that nodes read only what stands before them or `is_known`.
pub(super) fn check(
    nodes: &[NodeProto],
    is_known: impl Fn(&str) -> bool,
    name: impl Fn(usize, &NodeProto) -> Box<NodeRef>,
) -> Result<(), ImportError> {
    let mut producers: HashMap<&str, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if is_known(output) || producers.insert(output, i).is_some() {
                return Err(ImportError::Duplicate { node: name(i, node), value: output.clone() });
            }
        }
    }
    let mut given: HashSet<&str> = HashSet::new();
    for (i, node) in nodes.iter().enumerate() {
        for input in node.input.iter().filter(|n| !n.is_empty()) {
            if given.contains(input.as_str()) || is_known(input) {
                continue;
            }
            let (node, value) = (name(i, node), input.clone());
            return Err(match producers.get(input.as_str()) {
                None => ImportError::UnknownValue { node, value },
                Some(from) if depends(nodes, &producers, *from, i) => {
                    ImportError::Cycle { node, value }
                }
                Some(_) => ImportError::Unsorted { node, value },
            });
        }
        given.extend(node.output.iter().map(String::as_str));
    }
    Ok(())
}

/// Whether node `from` reads, directly or not, a result of node `on`.
fn depends(nodes: &[NodeProto], producers: &HashMap<&str, usize>, from: usize, on: usize) -> bool {
    let mut seen = HashSet::from([from]);
    let mut open = vec![from];
    while let Some(i) = open.pop() {
        if i == on {
            return true;
        }
        let inputs = nodes.get(i).map_or(&[][..], |n| &n.input);
        for next in inputs.iter().filter_map(|input| producers.get(input.as_str())) {
            if seen.insert(*next) {
                open.push(*next);
            }
        }
    }
    false
}
