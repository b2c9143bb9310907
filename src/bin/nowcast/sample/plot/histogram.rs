//! One dimension: how often it was drawn, and its density.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{FRAME, LEGEND, Picture, SIZE, quantile};
use crate::picture::{self, BLUE, FAINT, INK, Plane, Sample, text};

const CURVE: usize = 400;

pub(super) fn svg(picture: &Picture<'_>) -> Result<String, String> {
    let Picture { asked, shown, .. } = picture;
    let sorted = shown.sorted(0);
    let ends = [quantile(&sorted, 0.0), quantile(&sorted, 1.0)];
    let asked_ends = [1e-3, 1.0 - 1e-3].map(|p| asked.quantile(0, p));
    let x = picture::range(ends.into_iter().chain(asked_ends));
    // About Rice's number of bars.
    let bars = ((2.0 * (sorted.len() as f64).cbrt()) as usize).clamp(8, 120);
    let width = (x.1 - x.0) / bars as f64;
    let mut heights = vec![0.0; bars];
    for value in &sorted {
        let bar = ((value - x.0) / width) as usize;
        heights[bar.min(bars - 1)] += 1.0 / (sorted.len() as f64 * width);
    }
    let curve = (0..=CURVE).map(|i| x.0 + (x.1 - x.0) * i as f64 / CURVE as f64);
    let curve: Vec<_> = curve.map(|x| (x, asked.density(0, x))).collect();
    let is_constant = asked.std[0] == 0.0;
    let densities = curve.iter().map(|(_, y)| *y).filter(|_| !is_constant);
    let (_, most) = picture::range(heights.iter().copied().chain(densities.collect::<Vec<_>>()));

    let (top, right, bottom) = FRAME;
    let y = (0.0, most);
    let left = picture::gutter(y);
    let plane = Plane { frame: (left, top, right, bottom), x, y };
    picture::svg(SIZE, |area| {
        plane.values(area)?;
        for (bar, height) in heights.iter().enumerate() {
            let (from, top) = plane.point(x.0 + bar as f64 * width, *height);
            let (to, bottom) = plane.point(x.0 + (bar + 1) as f64 * width, 0.0);
            let bar = [(from + 1, top), (to - 1, bottom)];
            area.draw(&Rectangle::new(bar, BLUE.mix(0.38).filled()))?;
        }
        if !is_constant {
            let points: Vec<_> = curve.iter().map(|(x, y)| plane.point(*x, *y)).collect();
            area.draw(&PathElement::new(points, INK.stroke_width(4)))?;
        }
        plane.floor(area, picture::marks(x.0, x.1, 12))?;
        let name = format!("x{}", picture.indices[0]);
        text(area, &name, (right, bottom + 56), 30, FAINT, (HPos::Right, VPos::Top))?;
        text(area, "density", (left - 18, top - 44), 30, FAINT, (HPos::Right, VPos::Top))?;
        picture.titles(area, left)?;
        let entries = [
            ("drawn", Sample::Bar(BLUE.mix(0.38), 28)),
            ("asked for", Sample::Bar(INK.to_rgba(), 4)),
        ];
        picture::legend(area, (right, LEGEND), &entries)
    })
}
