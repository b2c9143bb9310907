//! Constant masks that are a triangle, or nothing.

use crate::graph::Tensor;

/// Scores that are masked with no more than this count nothing beside one that is not.
const FAR: f32 = -1e9;

/// What a constant mask comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// No score is changed.
    Nothing,
    /// Query `i` sees the keys up to `i` plus this, itself at least.
    Causal {
        offset: i64,
        /// What it does not see is minus infinity, whatever is added to it. Otherwise that is
        /// only far below the rest, and nothing else must be.
        infinite: bool,
    },
}

/// What a mask of these numbers of queries and keys comes to, where it is that simple.
pub(super) fn limit(mask: Option<&Tensor>, extents: Option<[usize; 2]>) -> Option<Limit> {
    let (mask, [queries, keys]) = (mask?, extents?);
    let data = mask.as_slice::<f32>()?;
    if data.iter().all(|x| *x == 0.0) {
        return Some(Limit::Nothing);
    }
    let whole = mask.shape().len() >= 2 && mask.shape().ends_with(&[queries, keys]);
    if !whole || data.len() != queries * keys {
        return None;
    }
    let first = data.iter().take_while(|x| **x == 0.0).count();
    let triangle = (1..keys).contains(&first)
        && data.chunks_exact(keys).enumerate().all(|(i, row)| {
            let (seen, masked) = row.split_at(keys.min(first + i));
            seen.iter().all(|x| *x == 0.0) && masked.iter().all(|x| *x <= FAR)
        });
    let infinite = data.iter().all(|x| *x == 0.0 || *x == f32::NEG_INFINITY);
    triangle.then(|| Limit::Causal { offset: first as i64 - 1, infinite })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triangles_are_known() {
        let low = f32::NEG_INFINITY;
        let of = |shape: &[usize], data: &[f32], extents: [usize; 2]| {
            limit(Some(&Tensor::new(shape, data)), Some(extents))
        };
        let square = [0., low, low, 0., 0., -1e10, 0., 0., 0.];
        assert_eq!(
            of(&[1, 1, 3, 3], &square, [3, 3]),
            Some(Limit::Causal { offset: 0, infinite: false })
        );
        let wide = of(&[2, 4], &[0., 0., 0., low, 0., 0., 0., 0.], [2, 4]);
        assert_eq!(wide, Some(Limit::Causal { offset: 2, infinite: true }));
        assert_eq!(of(&[2, 2], &[0.; 4], [2, 2]), Some(Limit::Nothing));
        assert_eq!(of(&[], &[-0.], [2, 2]), Some(Limit::Nothing));
        // Not far enough, the wrong triangle, a row that sees nothing, another shape.
        assert_eq!(of(&[2, 2], &[0., -1e4, 0., 0.], [2, 2]), None);
        assert_eq!(of(&[2, 2], &[0., 0., low, 0.], [2, 2]), None);
        assert_eq!(of(&[2, 2], &[low, low, 0., low], [2, 2]), None);
        assert_eq!(of(&[2, 3], &[0., low, low, 0., low, low], [2, 3]), None);
        assert_eq!(of(&[1, 3], &[0., low, low], [3, 3]), None);
        assert_eq!(of(&[2, 2, 2], &[0., low, 0., 0., 0., low, 0., 0.], [2, 2]), None);
        assert_eq!(limit(None, Some([2, 2])), None);
    }
}
