//! Parts of values: for each axis a strided window, or all of it.

use crate::graph::Dim;
use crate::graph::dim::Variable;
use crate::graph::ops::SliceAxis;

/// Elements that kernels compute at once, or nearly so.
const VECTOR: i64 = 16;

/// Elements `start`, `start + step`, .. of an axis, `extent` of them; the step is positive, and
/// one where there is one element.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Window {
    pub(super) start: Dim,
    pub(super) step: i64,
    pub(super) extent: Dim,
}

impl Window {
    /// A window over an axis of extent `n`; `None` where it is all of it.
    pub(super) fn over(n: &Dim, start: Dim, step: i64, extent: Dim) -> Option<Self> {
        let step = if extent.is(1) { 1 } else { step };
        let all = start.is(0) && step == 1 && extent == *n;
        (!all).then_some(Self { start, step, extent })
    }

    /// Whether it leaves so little of an axis of extent `n` out that kernels, which take elements
    /// by vectors, have as much to do.
    pub(super) fn hardly_cuts(&self, n: &Dim) -> bool {
        let (Some(extent), Some(n)) = (self.extent.fixed(), n.fixed()) else { return false };
        n - extent < n / 8 && (extent + VECTOR - 1) / VECTOR == (n + VECTOR - 1) / VECTOR
    }

    /// The last element's position, where the window certainly has one.
    fn last(&self) -> Dim {
        self.start.clone() + (self.extent.clone() - Dim::Fixed(1)) * Dim::Fixed(self.step)
    }

    /// The smallest window that holds both; `None` where that is the whole axis of extent `n`, or
    /// where nobody can say.
    fn hull(&self, other: &Self, n: &Dim) -> Option<Self> {
        if self == other {
            return Some(self.clone());
        }
        let (a, b) = (self.extent.fixed()?, other.extent.fixed()?);
        let apart = (other.start.clone() - self.start.clone()).fixed()?;
        if a < 1 || b < 1 {
            return None;
        }
        let of = |extent: i64, step: i64| if extent > 1 { step } else { 0 };
        let step = gcd(gcd(of(a, self.step), of(b, other.step)), apart).max(1);
        let first = if apart < 0 { other } else { self };
        let behind = (other.last() - self.last()).fixed()?;
        let last = if behind > 0 { other } else { self }.last();
        let extent = (last - first.start.clone()).fixed()? / step + 1;
        Self::over(n, first.start.clone(), step, Dim::Fixed(extent))
    }

    /// This window seen from the elements that `have` holds, as a cut of them.
    fn within(&self, have: &Self, axis: usize) -> Option<SliceAxis> {
        let apart = self.start.clone() - have.start.clone();
        let start = apart.exact_div(&Dim::Fixed(have.step))?;
        let step = if self.extent.is(1) { 1 } else { self.step / have.step };
        let lies = self.extent.is(1) || (self.step % have.step == 0 && step > 0);
        lies.then(|| SliceAxis { axis, start, step, extent: self.extent.clone() })
    }
}

/// What is needed of a value, or what there is of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Part(pub(super) Vec<Option<Window>>);

impl Part {
    pub(super) fn whole(rank: usize) -> Self {
        Self(vec![None; rank])
    }

    pub(super) fn is_whole(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The shape that is left of `shape`.
    pub(super) fn shape(&self, shape: &[Dim]) -> Vec<Dim> {
        let left = |(window, n): (&Option<Window>, &Dim)| match window {
            Some(window) => window.extent.clone(),
            None => n.clone(),
        };
        self.0.iter().zip(shape).map(left).collect()
    }

    /// The least part that holds both, of a value of this shape.
    pub(super) fn join(&self, other: &Self, shape: &[Dim]) -> Self {
        let axes = self.0.iter().zip(&other.0).zip(shape);
        let hull = |((a, b), n): ((&Option<Window>, &Option<Window>), &Dim)| {
            a.as_ref().zip(b.as_ref()).and_then(|(a, b)| a.hull(b, n))
        };
        Self(axes.map(hull).collect())
    }

    /// The cuts that make this part of what `have` holds. `None` where it does not hold it.
    pub(super) fn within(&self, have: &Self) -> Option<Vec<SliceAxis>> {
        let mut cuts = Vec::new();
        for (axis, (want, have)) in self.0.iter().zip(&have.0).enumerate() {
            match (want, have) {
                (want, have) if want == have => {}
                (Some(want), Some(have)) => cuts.push(want.within(have, axis)?),
                (Some(Window { start, step, extent }), None) => cuts.push(SliceAxis {
                    axis,
                    start: start.clone(),
                    step: *step,
                    extent: extent.clone(),
                }),
                (None, _) => return None,
            }
        }
        Some(cuts)
    }

    /// Elements at the largest extents, of a value of this shape.
    pub(super) fn len(&self, shape: &[Dim], variables: &[Variable]) -> f64 {
        self.shape(shape).iter().map(|n| n.upper(variables) as f64).product()
    }
}

pub(super) fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.saturating_abs() } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::VarId;

    fn window(start: i64, step: i64, extent: i64) -> Window {
        Window { start: start.into(), step, extent: extent.into() }
    }

    #[test]
    fn hulls_keep_what_both_have_and_no_more_than_steps_allow() {
        let n = Dim::Fixed(20);
        assert_eq!(window(0, 1, 1).hull(&window(19, 1, 1), &n), Some(window(0, 19, 2)));
        assert_eq!(window(1, 4, 3).hull(&window(3, 2, 2), &n), Some(window(1, 2, 5)));
        assert_eq!(window(6, 1, 2).hull(&window(3, 3, 2), &n), Some(window(3, 1, 5)));
        assert_eq!(window(0, 1, 10).hull(&window(10, 1, 10), &n), None);
    }

    #[test]
    fn hulls_of_the_last_elements_of_a_ranged_axis() {
        let n = Dim::var(VarId(0));
        let last = |back: i64| Window {
            start: n.clone() - Dim::Fixed(back),
            step: 1,
            extent: Dim::Fixed(1),
        };
        let both = Window { start: n.clone() - Dim::Fixed(3), step: 2, extent: Dim::Fixed(2) };
        assert_eq!(last(1).hull(&last(3), &n), Some(both.clone()));
        assert_eq!(last(1).hull(&window(0, 1, 1), &n), None);
        let cut = Part(vec![Some(last(1))]).within(&Part(vec![Some(both)])).expect("lies in it");
        assert_eq!((&cut[0].start, cut[0].step), (&Dim::Fixed(1), 1));
    }
}
