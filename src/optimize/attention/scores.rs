//! From scores up to the product of queries and keys.

use crate::graph::ops::{Binary, Unary};
use crate::graph::{Dim, Graph, Op, ValueId};

use super::{Operand, Parts};

/// More operators than this do not stand between a product and its softmax.
const DEPTH: usize = 16;

/// Scores taken apart.
#[derive(Clone)]
pub(super) struct Scores {
    pub(super) q: Operand,
    pub(super) k: Operand,
    /// The product itself.
    pub(super) product: ValueId,
    pub(super) scale: f64,
    pub(super) softcap: Option<f64>,
    /// What changes the scores then, in its order.
    pub(super) changes: Vec<Change>,
    /// Their shape where they are changed.
    pub(super) target: Option<Vec<Dim>>,
    /// Nodes in front of the product, and what they read when the scale no longer stands before
    /// them.
    pub(super) lifted: Vec<(usize, ValueId)>,
}

/// Something that changes scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    /// It is added.
    Add(ValueId),
    /// Scores are kept where a condition is `keep`, elsewhere there is `fill`.
    Choose { condition: ValueId, keep: bool, fill: f32 },
}

/// What was met on the way from softmax up, the last first.
#[derive(Clone, Default)]
struct Way {
    factor: Option<f64>,
    softcap: Option<f64>,
    changes: Vec<Change>,
    target: Option<Vec<Dim>>,
    turned: bool,
    len: usize,
}

impl Way {
    fn scaled(mut self, factor: f64) -> Self {
        self.factor = Some(self.factor.unwrap_or(1.0) * factor);
        self
    }

    /// One more change, of scores that have this shape.
    fn changed(mut self, change: Change, shape: &[Dim]) -> Option<Self> {
        // A mask that is scaled or bent itself, or has other axes than one below, stays one.
        let plain = self.factor.is_none() && self.softcap.is_none() && !self.turned;
        if !plain || self.target.as_ref().is_some_and(|target| target != shape) {
            return None;
        }
        self.changes.push(change);
        self.target = Some(shape.to_vec());
        Some(self)
    }
}

/// The number that all elements of a constant are.
pub(super) fn uniform(graph: &Graph, v: ValueId) -> Option<f64> {
    let values = graph.value(v).constant.as_ref()?.to_f64s();
    let first = *values.first()?;
    values.iter().all(|x| *x == first).then_some(first)
}

impl Parts<'_> {
    /// The product under some scores, and what became of it.
    pub(super) fn scores(&self, graph: &Graph, scores: ValueId) -> Option<Scores> {
        self.climb(graph, scores, Way::default())
    }

    fn climb(&self, graph: &Graph, x: ValueId, mut way: Way) -> Option<Scores> {
        way.len += 1;
        let node = self.maker(x).filter(|_| self.has_readers(x, 1) && way.len < DEPTH)?;
        let shape = &graph.value(x).shape[..];
        // Nothing on the way makes scores larger by broadcasting them.
        let whole = |v: &ValueId| graph.value(*v).shape == shape;
        match (&node.op, &node.inputs[..]) {
            (Op::MatMul, [Some(a), Some(b)]) => self.product(graph, x, [*a, *b], way),
            (Op::Binary(Binary::Mul | Binary::Div), _) => {
                let (inner, factor) = self.factor(graph, x)?;
                self.climb(graph, inner, way.scaled(factor))
            }
            (Op::Unary(Unary::Tanh), [Some(inner)]) => {
                let cap = way.factor.filter(|cap| *cap > 0.0 && way.softcap.is_none())?;
                self.climb(graph, *inner, Way { softcap: Some(cap), ..way })
            }
            (Op::Binary(Binary::Add), [Some(a), Some(b)]) => {
                let sides = [(a, b), (b, a)].into_iter().filter(|(inner, _)| whole(inner));
                sides.filter(|(inner, mask)| inner != mask).find_map(|(inner, mask)| {
                    let way = way.clone().changed(Change::Add(*mask), shape)?;
                    self.climb(graph, *inner, way)
                })
            }
            (Op::Where, [Some(condition), Some(a), Some(b)]) => {
                let (inner, keep, fill) = match (uniform(graph, *a), uniform(graph, *b)) {
                    (None, Some(fill)) => (a, true, fill as f32),
                    (Some(fill), None) => (b, false, fill as f32),
                    _ => return None,
                };
                // Zero means here that a score is kept.
                if !whole(inner) || fill == 0.0 || fill.is_nan() {
                    return None;
                }
                let change = Change::Choose { condition: *condition, keep, fill };
                self.climb(graph, *inner, way.changed(change, shape)?)
            }
            _ => match self.transposed(graph, x) {
                Some(inner) if !way.turned => self.climb(graph, inner, Way { turned: true, ..way }),
                _ => self.climb(graph, self.same(graph, x)?, way),
            },
        }
    }

    fn product(&self, graph: &Graph, x: ValueId, ab: [ValueId; 2], way: Way) -> Option<Scores> {
        if ab.iter().any(|v| graph.value(*v).shape.len() < 2) {
            return None;
        }
        let (mut scale, mut lifted) = (way.factor.unwrap_or(1.0), Vec::new());
        let [a, b] = ab.map(|mut v| {
            while let Some((inner, factor)) = self.factor(graph, v) {
                (v, scale) = (inner, scale * factor);
            }
            if let Some((node, inner, factor)) = self.factor_behind(graph, v) {
                scale *= factor;
                lifted.push((node, inner));
            }
            v
        });
        let (q, k) = match way.turned {
            false => (Operand { value: a, turned: false }, Operand { value: b, turned: true }),
            true => (Operand { value: b, turned: true }, Operand { value: a, turned: false }),
        };
        let (softcap, target) = (way.softcap, way.target);
        let changes = way.changes.into_iter().rev().collect();
        let finite = (scale as f32).is_finite() && scale as f32 != 0.0;
        finite.then_some(Scores { q, k, product: x, scale, softcap, changes, target, lifted })
    }

    /// A factor in front of nodes that move elements and that nobody else reads: the first of
    /// these, what it reads without the factor, and the factor.
    fn factor_behind(&self, graph: &Graph, mut v: ValueId) -> Option<(usize, ValueId, f64)> {
        loop {
            let i = *self.writers.get(&v).filter(|_| self.has_readers(v, 1))?;
            let moves = matches!(self.nodes[i].op, Op::Reshape { .. } | Op::Transpose { .. });
            v = self.nodes[i].inputs[0].filter(|_| moves)?;
            if let Some((inner, factor)) = self.factor(graph, v) {
                return self.has_readers(v, 1).then_some((i, inner, factor));
            }
        }
    }

    /// What a value is a multiple of, and the factor.
    fn factor(&self, graph: &Graph, x: ValueId) -> Option<(ValueId, f64)> {
        let node = self.maker(x)?;
        let [Some(a), Some(b)] = node.inputs[..] else { return None };
        let (inner, factor) = match (&node.op, uniform(graph, a), uniform(graph, b)) {
            (Op::Binary(Binary::Mul), _, Some(factor)) => (a, factor),
            (Op::Binary(Binary::Mul), Some(factor), _) => (b, factor),
            (Op::Binary(Binary::Div), _, Some(divisor)) => (a, 1.0 / divisor),
            _ => return None,
        };
        (graph.value(inner).shape == graph.value(x).shape).then_some((inner, factor))
    }
}
