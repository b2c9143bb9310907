//! Two dimensions: the paths as points, and the ellipses of each component.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{FRAME, LEGEND, Picture, SIZE};
use crate::picture::{self, Area, BLUE, Drawn, FAINT, GRID, INK, Plane, Sample, text};
use crate::sample::asked::Component;

/// Points that can still be told apart.
const POINTS: usize = 3000;
/// Corners of an ellipse.
const CORNERS: usize = 120;

pub(super) fn svg(picture: &Picture<'_>) -> Result<String, String> {
    let points = || picture.shown.each().take(POINTS);
    let components = || picture.asked.components().iter().filter(|c| c.weight > 0.0);
    let ellipses: Vec<_> = components().flat_map(|c| [ellipse(c, 0.5), ellipse(c, 0.9)]).collect();
    let range = |at: usize| {
        let corners = ellipses.iter().flatten().map(move |corner: &[f64; 2]| corner[at]);
        picture::range(
            points().map(move |point| point[at]).collect::<Vec<_>>().into_iter().chain(corners),
        )
    };
    let (x, y) = (range(0), range(1));
    let (top, right, bottom) = FRAME;
    let plane = Plane { frame: (picture::gutter(y), top, right, bottom), x, y };
    picture::svg(SIZE, |area| {
        plane.values(area)?;
        for (number, _) in picture::marks(x.0, x.1, 12) {
            let (x, _) = plane.point(number, y.0);
            area.draw(&PathElement::new([(x, top), (x, bottom)], GRID.stroke_width(2)))?;
        }
        for point in points() {
            let point = plane.point(point[0], point[1]);
            area.draw(&Circle::new(point, 4, BLUE.mix(0.35).filled()))?;
        }
        for corners in &ellipses {
            let closed = corners.iter().chain(corners.first());
            let closed: Vec<_> = closed.map(|[x, y]| plane.point(*x, *y)).collect();
            area.draw(&PathElement::new(closed, INK.stroke_width(4)))?;
        }
        for component in components() {
            let mean = plane.point(component.mean[0], component.mean[1]);
            area.draw(&Circle::new(mean, 9, WHITE.filled()))?;
            area.draw(&Circle::new(mean, 7, INK.filled()))?;
        }
        decorate(area, picture, &plane)
    })
}

fn decorate(area: &Area<'_>, picture: &Picture<'_>, plane: &Plane) -> Drawn {
    let (left, top, right, bottom) = plane.frame;
    plane.floor(area, picture::marks(plane.x.0, plane.x.1, 12))?;
    let [x, y] = [0, 1].map(|at| format!("x{}", picture.indices[at]));
    text(area, &x, (right, bottom + 56), 30, FAINT, (HPos::Right, VPos::Top))?;
    text(area, &y, (left - 18, top - 44), 30, FAINT, (HPos::Right, VPos::Top))?;
    picture.titles(area, left)?;
    let several = picture.asked.components().len() > 1;
    let entries = [
        ("paths", Sample::Dot(BLUE.mix(0.6), 10)),
        (
            if several { "means asked for" } else { "mean asked for" },
            Sample::Dot(INK.to_rgba(), 14),
        ),
        (
            if several { "50 and 90 % of each component" } else { "50 and 90 %" },
            Sample::Bar(INK.to_rgba(), 4),
        ),
    ];
    picture::legend(area, (right, LEGEND), &entries)
}

/// Around the mean, with probability `p` inside.
fn ellipse(component: &Component, p: f64) -> Vec<[f64; 2]> {
    let [a, b, c] = [(0, 0), (1, 0), (1, 1)].map(|(i, j)| component.covariance(i, j));
    // The factor of the covariance; of a constant it is zero.
    let first = a.sqrt();
    let shared = if first > 0.0 { b / first } else { 0.0 };
    let own = (c - shared * shared).max(0.0).sqrt();
    // The squared distance is chi-squared with two degrees of freedom.
    let radius = (-2.0 * (1.0 - p).ln()).sqrt();
    let corner = |i: usize| {
        let (sin, cos) = (i as f64 / CORNERS as f64 * std::f64::consts::TAU).sin_cos();
        let (u, v) = (radius * cos, radius * sin);
        [component.mean[0] + first * u, component.mean[1] + shared * u + own * v]
    };
    (0..CORNERS).map(corner).collect()
}
