//! Many dimensions: bands between quantiles of the paths, over the dimensions.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{FRAME, LEGEND, Picture, SIZE, quantile};
use crate::picture::{self, Area, BLUE, Drawn, FAINT, INK, Plane, RED, Sample, text};

/// Paths that are shown one by one.
const PATHS: usize = 16;
const PROBABILITIES: [f64; 4] = [0.05, 0.25, 0.75, 0.95];

/// A line over the dimensions: where, and how high.
type Line = Vec<(f64, f64)>;

struct Fan {
    bands: [Line; PROBABILITIES.len()],
    paths: Vec<Line>,
    mean: Line,
    asked: [Line; PROBABILITIES.len()],
}

impl Fan {
    fn new(picture: &Picture<'_>) -> Self {
        let Picture { asked, shown, .. } = picture;
        let sorted: Vec<Vec<f64>> = (0..asked.dim()).map(|index| shown.sorted(index)).collect();
        let given = picture.given.iter().map(|(index, value)| (*index as f64, *value));
        // Every path has the values that are known.
        let line = |of: &dyn Fn(usize) -> f64| -> Line {
            let points = picture.indices.iter().enumerate();
            let points = points.map(|(at, index)| (*index as f64, of(at)));
            let mut line: Line = points.chain(given.clone()).collect();
            line.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            line
        };
        Self {
            bands: PROBABILITIES.map(|p| line(&|at| quantile(&sorted[at], p))),
            paths: shown.each().take(PATHS).map(|path| line(&|at| path[at])).collect(),
            mean: line(&|at| asked.mean[at]),
            asked: PROBABILITIES.map(|p| line(&|at| asked.quantile(at, p))),
        }
    }

    fn lines(&self) -> impl Iterator<Item = &Line> + Clone {
        self.bands.iter().chain(&self.paths).chain(&self.asked)
    }
}

pub(super) fn svg(picture: &Picture<'_>) -> Result<String, String> {
    let fan = Fan::new(picture);
    let y = picture::range(fan.lines().flatten().map(|(_, y)| *y));
    let x = fan.mean.iter().map(|(x, _)| *x);
    let x = (x.clone().fold(f64::MAX, f64::min), x.fold(f64::MIN, f64::max));
    let (top, right, bottom) = FRAME;
    let plane = Plane { frame: (picture::gutter(y), top, right, bottom), x, y };
    picture::svg(SIZE, |area| draw(area, picture, &fan, &plane))
}

fn draw(area: &Area<'_>, picture: &Picture<'_>, fan: &Fan, plane: &Plane) -> Drawn {
    let points =
        |line: &Line| -> Vec<_> { line.iter().map(|(x, y)| plane.point(*x, *y)).collect() };
    plane.values(area)?;
    let [p05, p25, p75, p95] = &fan.bands;
    for (low, high, strength) in [(p05, p95, 0.16), (p25, p75, 0.26)] {
        let mut outline = points(low);
        outline.extend(points(high).into_iter().rev());
        area.draw(&Polygon::new(outline, BLUE.mix(strength)))?;
    }
    for path in &fan.paths {
        area.draw(&PathElement::new(points(path), BLUE.mix(0.30).stroke_width(2)))?;
    }
    for line in &fan.asked {
        area.draw(&PathElement::new(points(line), INK.mix(0.8).stroke_width(2)))?;
    }
    area.draw(&PathElement::new(points(&fan.mean), BLUE.stroke_width(6)))?;
    for (index, value) in picture.given {
        let point = plane.point(*index as f64, *value);
        area.draw(&Circle::new(point, 9, WHITE.filled()))?;
        area.draw(&Circle::new(point, 7, RED.filled()))?;
    }

    let (left, _, right, bottom) = plane.frame;
    let whole = |(x, _): &(f64, String)| x.fract() == 0.0;
    plane.floor(area, picture::marks(plane.x.0, plane.x.1, 12).filter(whole))?;
    text(area, "dimension", (right, bottom + 56), 30, FAINT, (HPos::Right, VPos::Top))?;
    picture.titles(area, left)?;
    let bar = |label, colour: RGBAColor, height| (label, Sample::Bar(colour, height));
    let mut entries = vec![
        bar("mean asked for", BLUE.to_rgba(), 6),
        bar("5, 25, 75, 95 %", INK.mix(0.8), 2),
        bar("paths", BLUE.mix(0.30), 2),
        // The inner band lies on the outer one.
        bar("50 %", BLUE.mix(0.38), 28),
        bar("90 %", BLUE.mix(0.16), 28),
    ];
    if !picture.given.is_empty() {
        entries.push(("given", Sample::Dot(RED.to_rgba(), 14)));
    }
    picture::legend(area, (right, LEGEND), &entries)
}
