//! The forecast as an SVG plot.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::fan::{Fan, duration};
use super::ticks;
use crate::picture::{self, Area, BLUE, Drawn, FAINT, GRID, INK, Plane, RED, Sample, text};

/// Twice the size in which it is looked at, since coordinates are whole numbers.
const SIZE: (u32, u32) = (1800, 960);
/// Place of the plotting area: left, top, right, bottom.
const FRAME: (i32, i32, i32, i32) = (120, 150, 1750, 870);

/// Draws history, mean, intervals and paths.
pub(super) fn svg(fan: &Fan) -> Result<String, String> {
    let first = -(fan.history.len() as f64);
    let last = ((fan.horizon() - 1) as f64).max(first + 1.0);
    let plane = Plane { frame: FRAME, x: (first, last), y: fan.range(&fan.paths) };
    picture::svg(SIZE, |area| Plot { fan, plane, first }.draw(area))
}

struct Plot<'f> {
    fan: &'f Fan,
    plane: Plane,
    /// The oldest step that is shown.
    first: f64,
}

impl Plot<'_> {
    fn point(&self, step: f64, value: f64) -> (i32, i32) {
        self.plane.point(step, value)
    }

    fn points(&self, from: i64, values: &[f32]) -> Vec<(i32, i32)> {
        let steps = values.iter().zip(from..);
        steps.map(|(value, step)| self.point(step as f64, f64::from(*value))).collect()
    }

    /// From the last observation on.
    fn fan_points(&self, values: &[f32]) -> Vec<(i32, i32)> {
        let opening = self.point(-1.0, f64::from(self.fan.last()));
        std::iter::once(opening).chain(self.points(0, values)).collect()
    }

    fn draw(&self, area: &Area<'_>) -> Drawn {
        self.grid(area)?;
        let [p05, p25, _, p75, p95] = &self.fan.quantiles;
        for (low, high, strength) in [(p05, p95, 0.16), (p25, p75, 0.26)] {
            let mut outline = self.fan_points(low);
            outline.extend(self.fan_points(high).into_iter().rev());
            area.draw(&Polygon::new(outline, BLUE.mix(strength)))?;
        }
        for path in self.fan.each_path() {
            area.draw(&PathElement::new(self.fan_points(path), BLUE.mix(0.30).stroke_width(2)))?;
        }
        let history = self.points(self.first as i64, &self.fan.history);
        area.draw(&PathElement::new(history, INK.stroke_width(4)))?;
        let mean = self.fan_points(&self.fan.mean);
        area.draw(&PathElement::new(mean, BLUE.stroke_width(6)))?;
        for point in self.points(0, &self.fan.observed) {
            area.draw(&Circle::new(point, 6, WHITE.filled()))?;
            area.draw(&Circle::new(point, 5, RED.filled()))?;
        }
        self.opening(area)?;
        self.titles(area)?;
        self.legend(area)
    }

    fn grid(&self, area: &Area<'_>) -> Drawn {
        let (left, top, right, bottom) = FRAME;
        self.plane.values(area)?;
        let fan = self.fan;
        let (start, end) = (fan.seconds(self.first as i64), fan.seconds(fan.horizon() as i64 - 1));
        for (time, label) in ticks::times(start, end, 13) {
            let step = (time - fan.first_step) as f64 / fan.step_seconds as f64;
            let (x, _) = self.point(step, 0.0);
            // Dates stand out among the times of day.
            let is_date = time % 86_400 == 0;
            if is_date {
                area.draw(&PathElement::new([(x, top), (x, bottom)], GRID.stroke_width(2)))?;
            }
            area.draw(&PathElement::new([(x, bottom), (x, bottom + 10)], FAINT.stroke_width(2)))?;
            let colour = if is_date { INK } else { FAINT };
            text(area, &label, (x, bottom + 18), 30, colour, (HPos::Center, VPos::Top))?;
        }
        area.draw(&PathElement::new([(left, bottom), (right, bottom)], FAINT.stroke_width(2)))?;
        Ok(())
    }

    /// A dashed line where the forecast begins.
    fn opening(&self, area: &Area<'_>) -> Drawn {
        let (_, top, _, bottom) = FRAME;
        let (x, _) = self.point(-1.0, 0.0);
        for y in (top..bottom).step_by(16) {
            area.draw(&PathElement::new([(x, y), (x, y + 8)], FAINT.stroke_width(2)))?;
        }
        Ok(())
    }

    fn titles(&self, area: &Area<'_>) -> Drawn {
        let (left, top, ..) = FRAME;
        let fan = self.fan;
        let observed = super::fan::date_time(fan.seconds(-1)).to_string();
        let observed = observed.replace('T', " ").replace(":00Z", "");
        let step = duration(fan.step_seconds);
        let line = format!("{} steps of {step} after {observed} UTC", fan.horizon());
        picture::titles(area, left, &fan.name, &line)?;
        text(area, &fan.unit, (left - 18, top - 44), 30, FAINT, (HPos::Right, VPos::Top))
    }

    fn legend(&self, area: &Area<'_>) -> Drawn {
        let bar = |label, colour: RGBAColor, height| (label, Sample::Bar(colour, height));
        let mut entries = vec![bar("history", INK.to_rgba(), 4), bar("mean", BLUE.to_rgba(), 6)];
        if !self.fan.paths.is_empty() {
            entries.push(bar("paths", BLUE.mix(0.30), 2));
        }
        // The inner band lies on the outer one.
        entries.extend([bar("50 %", BLUE.mix(0.38), 28), bar("90 %", BLUE.mix(0.16), 28)]);
        if !self.fan.observed.is_empty() {
            entries.push(("observed", Sample::Dot(RED.to_rgba(), 10)));
        }
        picture::legend(area, (FRAME.2, 102), &entries)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fan::tests::fan;
    use super::*;

    #[test]
    fn the_plot_has_bands_lines_and_labels() {
        let text = svg(&fan()).expect("drawn");
        assert!(text.starts_with("<svg width=\"900\" height=\"480\" viewBox=\"0 0 1800 960\""));
        assert_eq!(text.matches("<polygon").count(), 2);
        for label in [
            "waves",
            "8 steps of 1 h after 2013-12-31 05:00 UTC",
            "mean",
            "90 %",
            ">\nm\n<",
            "06:00",
        ] {
            assert!(text.contains(label), "no {label:?}");
        }
        assert!(!text.contains("NaN"));
    }
}
