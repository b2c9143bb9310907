//! What all pictures share: colours, type, legends and axes of an SVG file.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::forecast::ticks;

const FONT: &str = "Inter, Helvetica, Arial, sans-serif";

pub(crate) const INK: RGBColor = RGBColor(30, 41, 59);
pub(crate) const FAINT: RGBColor = RGBColor(100, 116, 139);
pub(crate) const GRID: RGBColor = RGBColor(226, 232, 240);
pub(crate) const BLUE: RGBColor = RGBColor(37, 99, 235);
pub(crate) const RED: RGBColor = RGBColor(220, 38, 38);

pub(crate) type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;
pub(crate) type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A picture of this size, looked at in half of it, since coordinates are whole numbers.
pub(crate) fn svg(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let drawn = area.fill(&WHITE).map_err(Into::into).and_then(|()| draw(&area));
    let drawn = drawn.and_then(|()| Ok(area.present()?));
    drop(area);
    drawn.map_err(|error| format!("the plot cannot be drawn: {error}"))?;
    // It scales to the page it is shown on.
    let (width, height) = size;
    let whole = format!("width=\"{width}\" height=\"{height}\" ");
    Ok(svg.replacen(&whole, &format!("width=\"{}\" height=\"{}\" ", width / 2, height / 2), 1))
}

pub(crate) fn text(
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

/// Title and the line below it.
pub(crate) fn titles(area: &Area<'_>, left: i32, title: &str, line: &str) -> Drawn {
    text(area, title, (left, 34), 50, INK, (HPos::Left, VPos::Top))?;
    text(area, line, (left, 88), 32, FAINT, (HPos::Left, VPos::Top))
}

/// What a legend shows beside a label.
pub(crate) enum Sample {
    /// A line or a band of this height.
    Bar(RGBAColor, i32),
    /// A dot of this size.
    Dot(RGBAColor, i32),
}

/// Samples of what is drawn, up to `right`, and the height of their middle.
pub(crate) fn legend(
    area: &Area<'_>,
    (mut right, y): (i32, i32),
    entries: &[(&str, Sample)],
) -> Drawn {
    const WIDTH: i32 = 36;
    const LETTER: i32 = 15;
    for (label, sample) in entries.iter().rev() {
        let left = right - label.chars().count() as i32 * LETTER;
        text(area, label, (left, y - 2), 30, FAINT, (HPos::Left, VPos::Center))?;
        let end = left - 14;
        match *sample {
            Sample::Bar(colour, height) => {
                let corners = [(end - WIDTH, y - height / 2), (end, y - height / 2 + height)];
                area.draw(&Rectangle::new(corners, colour.filled()))?;
            }
            Sample::Dot(colour, size) => {
                area.draw(&Circle::new((end - size / 2, y), size / 2, colour.filled()))?;
            }
        }
        right = left - 14 - WIDTH - 36;
    }
    Ok(())
}

/// A plane of numbers in a frame: left, top, right, bottom.
pub(crate) struct Plane {
    pub(crate) frame: (i32, i32, i32, i32),
    pub(crate) x: (f64, f64),
    pub(crate) y: (f64, f64),
}

impl Plane {
    pub(crate) fn point(&self, x: f64, y: f64) -> (i32, i32) {
        let (left, top, right, bottom) = self.frame;
        let part = |(low, high): (f64, f64), at: f64| match high > low {
            true => (at - low) / (high - low),
            false => 0.5,
        };
        let at =
            |from: i32, to: i32, part: f64| from + (part * f64::from(to - from)).round() as i32;
        (at(left, right, part(self.x, x)), at(bottom, top, part(self.y, y)))
    }

    /// Lines and labels at round values of `y`.
    pub(crate) fn values(&self, area: &Area<'_>) -> Drawn {
        let (left, _, right, _) = self.frame;
        let (numbers, decimals) = ticks::numbers(self.y.0, self.y.1, 7);
        for number in numbers {
            let (_, y) = self.point(self.x.0, number);
            area.draw(&PathElement::new([(left, y), (right, y)], GRID.stroke_width(2)))?;
            let label = label(number, decimals);
            text(area, &label, (left - 18, y - 2), 30, FAINT, (HPos::Right, VPos::Center))?;
        }
        Ok(())
    }

    /// The line below, with marks and labels.
    pub(crate) fn floor(
        &self,
        area: &Area<'_>,
        marks: impl IntoIterator<Item = (f64, String)>,
    ) -> Drawn {
        let (left, _, right, bottom) = self.frame;
        for (number, label) in marks {
            let (x, _) = self.point(number, self.y.0);
            area.draw(&PathElement::new([(x, bottom), (x, bottom + 10)], FAINT.stroke_width(2)))?;
            text(area, &label, (x, bottom + 18), 30, FAINT, (HPos::Center, VPos::Top))?;
        }
        area.draw(&PathElement::new([(left, bottom), (right, bottom)], FAINT.stroke_width(2)))?;
        Ok(())
    }
}

/// Round numbers and their labels.
pub(crate) fn marks(low: f64, high: f64, count: usize) -> impl Iterator<Item = (f64, String)> {
    let (numbers, decimals) = ticks::numbers(low, high, count);
    numbers.into_iter().map(move |number| (number, label(number, decimals)))
}

/// With so many decimals; in powers of ten where that is long.
fn label(number: f64, decimals: usize) -> String {
    let fixed = format!("{number:.decimals$}");
    if fixed.trim_matches(['-', '0', '.']).is_empty() && number.abs() < 1e-12 {
        return fixed.trim_start_matches('-').to_owned();
    }
    if fixed.len() > 8 || decimals > 5 { format!("{number:.1e}") } else { fixed }
}

/// Room that the labels of values take on the left.
pub(crate) fn gutter((low, high): (f64, f64)) -> i32 {
    let longest = marks(low, high, 7).map(|(_, label)| label.len()).max().unwrap_or(0);
    (longest as i32 * 19 + 30).max(120)
}

/// Lowest and highest of what is drawn, with a margin.
pub(crate) fn range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let values = values.filter(|x| x.is_finite());
    let low = values.clone().fold(f64::MAX, f64::min);
    let high = values.fold(f64::MIN, f64::max);
    if low > high {
        return (0.0, 1.0);
    }
    let margin = (0.04 * (high - low)).max(1e-3 * low.abs().max(high.abs())).max(1e-30);
    (low - margin, high + margin)
}
