//! Pictures sampled where data say, and determinants.

use crate::tensor::DType;

use super::super::dim::Dim;
use super::{Conv, Fact, Operands, ShapeError};

/// How a sample is made of the elements around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the functions")]
pub enum GridMode {
    Nearest,
    Linear,
    Cubic,
}

/// What lies outside a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the functions")]
pub enum GridPadding {
    Zeros,
    Border,
    Reflection,
}

/// Pictures sampled at normalised positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridSample {
    /// How a sample is made.
    pub mode: GridMode,
    /// What lies outside.
    pub padding: GridPadding,
    /// The ends of the range are centers of elements, not edges.
    pub align_corners: bool,
}

fn refuse<T>(problem: impl Into<String>) -> Result<T, ShapeError> {
    Err(ShapeError(problem.into()))
}

fn check_float(operands: &Operands<'_>, inputs: &[usize]) -> Result<DType, ShapeError> {
    let dtype = operands.at(0)?.dtype;
    if !matches!(dtype, DType::F32 | DType::F64) {
        return refuse(format!("data of {dtype} are not supported: f32 and f64 are"));
    }
    for i in inputs {
        if operands.optional(*i).is_some_and(|fact| fact.dtype != dtype) {
            return refuse(format!("operand {i} is not of the data's type {dtype}"));
        }
    }
    Ok(dtype)
}

pub(super) fn infer_grid_sample(operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
    let dtype = check_float(operands, &[1])?;
    let (x, grid) = (&operands.at(0)?.shape, &operands.at(1)?.shape);
    let axes = x.len().saturating_sub(2);
    let fits = (2..=3).contains(&axes)
        && grid.len() == x.len()
        && grid.first() == x.first()
        && grid.last().is_some_and(|d| d.is(axes as i64));
    if !fits {
        return refuse(format!(
            "the grid {} does not suit the data {} of two or three axes of space",
            operands.show(grid),
            operands.show(x)
        ));
    }
    let shape = [&x[..2], &grid[1..grid.len() - 1]].concat();
    Ok(vec![Fact { dtype, shape }])
}

/// The shape of regions of `columns` numbers brought to one size.
fn infer_regions(
    operands: &Operands<'_>,
    columns: i64,
    size: [usize; 2],
) -> Result<Vec<Fact>, ShapeError> {
    let dtype = check_float(operands, &[1])?;
    let (x, rois) = (&operands.at(0)?.shape, &operands.at(1)?.shape);
    match (&x[..], &rois[..]) {
        ([_, channels, _, _], [count, numbers]) if numbers.is(columns) => {
            let [height, width] = size.map(|n| Dim::Fixed(n as i64));
            Ok(vec![Fact { dtype, shape: vec![count.clone(), channels.clone(), height, width] }])
        }
        _ => refuse(format!(
            "regions {} of pictures {}: expected {columns} numbers for each, and rank 4",
            operands.show(rois),
            operands.show(x)
        )),
    }
}

/// Regions sampled evenly.
#[derive(Clone, Debug, PartialEq)]
pub struct RoiAlign {
    /// The largest weighed element, else the mean.
    pub largest: bool,
    /// The first element's center is at a half.
    pub half_pixel: bool,
    /// Samples along each axis of a bin; zero for one an element.
    pub sampling: u32,
    /// From the unit of the regions to elements.
    pub scale: f32,
    /// Height and width of the result.
    pub size: [usize; 2],
}

impl RoiAlign {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let facts = infer_regions(operands, 4, self.size)?;
        let (rois, images) = (operands.at(1)?, operands.at(2)?);
        if images.shape[..] != rois.shape[..1] || !matches!(images.dtype, DType::I32 | DType::I64) {
            return refuse("there is not one number of a picture for each region");
        }
        Ok(facts)
    }
}

/// Largest elements of regions.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxRoiPool {
    /// From the unit of the regions to elements.
    pub scale: f32,
    /// Height and width of the result.
    pub size: [usize; 2],
}

impl MaxRoiPool {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        infer_regions(operands, 5, self.size)
    }
}

/// Windows over two axes whose elements are each shifted.
#[derive(Clone, Debug, PartialEq)]
pub struct DeformColumns {
    /// The windows; their `group` is that of channels that share shifts.
    pub window: Conv,
}

impl DeformColumns {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let dtype = check_float(operands, &[1, 2])?;
        let (x, offset) = (&operands.at(0)?.shape, &operands.at(1)?.shape);
        let w = &self.window;
        let ([batch, channels, ..], 4, 2) = (&x[..], x.len(), w.kernel.len()) else {
            return refuse(format!(
                "the data {} is not of two axes of space, which alone are supported",
                operands.show(x)
            ));
        };
        let space: Vec<Dim> = (0..2).map(|i| w.extent(i, &x[i + 2])).collect();
        let taps = i64::try_from(w.kernel[0].saturating_mul(w.kernel[1])).unwrap_or(i64::MAX);
        let wanted = |numbers: i64| {
            let rows = Dim::Fixed(taps.saturating_mul(numbers).saturating_mul(w.group as i64));
            [&[batch.clone(), rows][..], &space[..]].concat()
        };
        let mask = operands.optional(2).map(|fact| &fact.shape);
        let groups = Dim::Fixed(w.group as i64);
        if offset[..] != wanted(2)[..]
            || mask.is_some_and(|mask| mask[..] != wanted(1)[..])
            || channels.exact_div(&groups).is_none()
            || space.iter().any(|d| d.bounds(operands.variables).0 < 0)
        {
            return refuse(format!(
                "offsets {} (and masks) do not suit the data {}: offsets {} are expected",
                operands.show(offset),
                operands.show(x),
                operands.show(&wanted(2))
            ));
        }
        let positions = space[0].clone() * space[1].clone();
        let shape = vec![batch.clone(), channels.clone(), Dim::Fixed(taps), positions];
        Ok(vec![Fact { dtype, shape }])
    }
}

pub(super) fn infer_determinant(operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
    let dtype = check_float(operands, &[])?;
    let shape = &operands.at(0)?.shape;
    match &shape[..] {
        [outer @ .., rows, cols] if rows == cols => Ok(vec![Fact { dtype, shape: outer.to_vec() }]),
        _ => refuse(format!("{} is no square matrix", operands.show(shape))),
    }
}
