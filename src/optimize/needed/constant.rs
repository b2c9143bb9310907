//! Constants are cut when the model is loaded.

use crate::graph::Tensor;
use crate::graph::ops::SliceAxis;

/// A constant with some axes cut. `None` where a cut has no fixed bounds, runs backwards, or is
/// not within the constant.
pub(super) fn cut(tensor: &Tensor, axes: &[SliceAxis]) -> Option<Tensor> {
    let Some(last) = axes.iter().map(|cut| cut.axis).max() else { return Some(tensor.clone()) };
    // Axes behind the last one that is cut are moved as one run.
    let (outer, run) = tensor.shape().split_at_checked(last + 1)?;
    let width = run.iter().product::<usize>() * tensor.dtype().bytes();
    let mut shape = Vec::new();
    // The place of each run that is kept, axis by axis from the first.
    let mut places = vec![0usize];
    for (axis, n) in outer.iter().enumerate() {
        let size = |n: Option<i64>| usize::try_from(n?).ok();
        let (start, step, extent) = match axes.iter().find(|cut| cut.axis == axis) {
            None => (0, 1, *n),
            Some(cut) => {
                (size(cut.start.fixed())?, size(Some(cut.step))?, size(cut.extent.fixed())?)
            }
        };
        if extent > 0 && (extent - 1).checked_mul(step)?.checked_add(start)? >= *n {
            return None;
        }
        shape.push(extent);
        let along = |outer: &usize| {
            let first = outer * n + start;
            (0..extent).map(move |i| first + i * step)
        };
        places = places.iter().flat_map(along).collect();
    }
    shape.extend_from_slice(run);
    let bytes: Vec<&[u8]> =
        places.iter().map(|at| &tensor.bytes()[at * width..(at + 1) * width]).collect();
    let bytes = bytes.concat();
    Some(Tensor::from_bytes(tensor.dtype(), &shape, &bytes))
}
