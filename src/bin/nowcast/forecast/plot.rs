//! The forecast as an SVG plot.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::fan::{Fan, duration};
use super::ticks;

/// Twice the size in which it is looked at, since coordinates are whole numbers.
const SIZE: (u32, u32) = (1800, 960);
/// Place of the plotting area: left, top, right, bottom.
const FRAME: (i32, i32, i32, i32) = (120, 150, 1750, 870);
const FONT: &str = "Inter, Helvetica, Arial, sans-serif";

const INK: RGBColor = RGBColor(30, 41, 59);
const FAINT: RGBColor = RGBColor(100, 116, 139);
const GRID: RGBColor = RGBColor(226, 232, 240);
const BLUE: RGBColor = RGBColor(37, 99, 235);
const RED: RGBColor = RGBColor(220, 38, 38);

type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws history, mean, intervals and paths.
pub(super) fn svg(fan: &Fan) -> Result<String, String> {
    let mut text = String::new();
    let plot = Plot { fan, values: fan.range(&fan.paths), first: -(fan.history.len() as f64) };
    let drawn = plot.draw(&SVGBackend::with_string(&mut text, SIZE).into_drawing_area());
    drawn.map_err(|error| format!("the plot cannot be drawn: {error}"))?;
    // It scales to the page it is shown on.
    let (width, height) = SIZE;
    let size = format!("width=\"{width}\" height=\"{height}\" ");
    Ok(text.replacen(&size, &format!("width=\"{}\" height=\"{}\" ", width / 2, height / 2), 1))
}

struct Plot<'f> {
    fan: &'f Fan,
    values: (f64, f64),
    /// The oldest step that is shown.
    first: f64,
}

impl Plot<'_> {
    fn point(&self, step: f64, value: f64) -> (i32, i32) {
        let (left, top, right, bottom) = FRAME;
        let last = (self.fan.horizon() - 1) as f64;
        let x = (step - self.first) / (last - self.first).max(1.0);
        let y = (self.values.1 - value) / (self.values.1 - self.values.0);
        let at =
            |from: i32, to: i32, part: f64| from + (part * f64::from(to - from)).round() as i32;
        (at(left, right, x), at(top, bottom, y))
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
        area.fill(&WHITE)?;
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
        self.legend(area)?;
        area.present()?;
        Ok(())
    }

    fn grid(&self, area: &Area<'_>) -> Drawn {
        let (left, top, right, bottom) = FRAME;
        let (numbers, decimals) = ticks::numbers(self.values.0, self.values.1, 7);
        for number in numbers {
            let (_, y) = self.point(0.0, number);
            area.draw(&PathElement::new([(left, y), (right, y)], GRID.stroke_width(2)))?;
            let label = format!("{number:.decimals$}");
            text(area, &label, (left - 18, y - 2), 30, FAINT, (HPos::Right, VPos::Center))?;
        }
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
        let start = (HPos::Left, VPos::Top);
        text(area, &fan.name, (left, 34), 50, INK, start)?;
        let observed = super::fan::date_time(fan.seconds(-1)).to_string();
        let observed = observed.replace('T', " ").replace(":00Z", "");
        let step = duration(fan.step_seconds);
        let line = format!("{} steps of {step} after {observed} UTC", fan.horizon());
        text(area, &line, (left, 88), 32, FAINT, start)?;
        text(area, &fan.unit, (left - 18, top - 44), 30, FAINT, (HPos::Right, VPos::Top))
    }

    /// Samples of what is drawn, from the right.
    fn legend(&self, area: &Area<'_>) -> Drawn {
        const SAMPLE: i32 = 36;
        const LETTER: i32 = 15;
        let mut entries = vec![("history", INK.to_rgba(), 4), ("mean", BLUE.to_rgba(), 6)];
        if !self.fan.paths.is_empty() {
            entries.push(("paths", BLUE.mix(0.30), 2));
        }
        // The inner band lies on the outer one.
        entries.extend([("50 %", BLUE.mix(0.38), 28), ("90 %", BLUE.mix(0.16), 28)]);
        if !self.fan.observed.is_empty() {
            entries.push(("observed", RED.to_rgba(), 10));
        }
        let (mut right, y) = (FRAME.2, 102);
        for (label, colour, height) in entries.into_iter().rev() {
            let left = right - label.len() as i32 * LETTER;
            text(area, label, (left, y - 2), 30, FAINT, (HPos::Left, VPos::Center))?;
            let (x, top) = (left - SAMPLE - 14, y - height / 2);
            let width = if label == "observed" { height } else { SAMPLE };
            let (x, end) = (x + SAMPLE - width, x + SAMPLE);
            area.draw(&Rectangle::new([(x, top), (end, top + height)], colour.filled()))?;
            right = x - 36;
        }
        Ok(())
    }
}

fn text(
    area: &Area<'_>,
    what: &str,
    at: (i32, i32),
    size: i32,
    colour: RGBColor,
    (h, v): (HPos, VPos),
) -> Drawn {
    let style = TextStyle::from((FONT, size).into_font()).color(&colour).pos(Pos::new(h, v));
    area.draw(&Text::new(what.to_owned(), at, style))?;
    Ok(())
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
