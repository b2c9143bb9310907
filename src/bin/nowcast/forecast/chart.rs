//! The forecast as a fan chart of characters.
//!
//! Lines are drawn in braille, two by four dots a cell. Bands are shades; in colour they are
//! coloured, half a cell at a time.

use std::fmt::Write;

use super::fan::Fan;
use super::ticks;

const ROWS: usize = 16;
const DOTS: usize = 4;
/// Room for the legend.
const MIN_WIDTH: usize = 60;
const MAX_WIDTH: usize = 120;

/// How the chart is drawn.
pub(super) struct Style {
    width: usize,
    colour: bool,
}

impl Style {
    /// As wide as the terminal, and in colour unless `NO_COLOR` is set; plain and 80 columns wide
    /// where there is no terminal.
    pub(super) fn of_standard_output() -> Self {
        let size = console::Term::stdout().size_checked();
        let width = size.map_or(80, |(_, cols)| usize::from(cols));
        Self { width: width.clamp(MIN_WIDTH, MAX_WIDTH), colour: super::wants_colour() }
    }
}

/// 90 %, 50 %, mean and observed on 256 colours; the bands are light, the lines on them dark.
const BANDS: [u8; 2] = [153, 75];
const MEAN: u8 = 18;
const OBSERVED: u8 = 160;

#[derive(Clone, Copy, Default, PartialEq)]
enum Ink {
    #[default]
    History,
    Mean,
    Observed,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    /// Upper and lower half: in no band, in the 90 % band, in the 50 % band.
    bands: [u8; 2],
    dots: u8,
    ink: Ink,
}

/// Steps and values on the plane of dots.
struct Plane {
    cols: usize,
    steps: (f64, f64),
    values: (f64, f64),
}

impl Plane {
    fn step(&self, dot: usize) -> f64 {
        let (first, last) = self.steps;
        first + (last - first) * dot as f64 / (2 * self.cols - 1) as f64
    }

    fn col(&self, step: f64) -> usize {
        let (first, last) = self.steps;
        let dot = (step - first) / (last - first) * (2 * self.cols - 1) as f64;
        (dot.round() as usize / 2).min(self.cols - 1)
    }

    /// Rows of dots from the top, with a fraction.
    fn dot(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        (high - value) / (high - low) * (ROWS * DOTS - 1) as f64
    }
}

/// Draws the chart, its axes and its legend.
pub(super) fn draw(fan: &Fan, style: &Style) -> String {
    let values = fan.range(&[]);
    let (numbers, decimals) = ticks::numbers(values.0, values.1, 6);
    let labels: Vec<_> = numbers.iter().map(|x| format!("{x:.decimals$}")).collect();
    let gutter = labels.iter().map(String::len).max().unwrap_or(0);
    let steps = (-(fan.history.len() as f64), (fan.horizon() - 1) as f64);
    // The axis and the gaps beside it take three columns.
    let plane = Plane { cols: style.width.saturating_sub(gutter + 3).max(16), steps, values };

    let mut rows = vec![vec![Cell::default(); plane.cols]; ROWS];
    shade(fan, &plane, &mut rows);
    trace(fan, &plane, &mut rows);

    let mut text = format!("{:>gutter$}\n", fan.unit);
    let opening = plane.col(-1.0);
    for (r, row) in rows.iter().enumerate() {
        let is_here = |x: &f64| plane.dot(*x).round() as usize / DOTS == r;
        let tick = numbers.iter().position(is_here);
        let label = tick.map_or("", |i| &labels[i]);
        let _ = write!(text, "{label:>gutter$} {}", if tick.is_some() { '┤' } else { '│' });
        text += &cells(row, opening, style.colour);
        text += "\n";
    }
    text += &time_axis(fan, &plane, gutter);
    text + &legend(fan, gutter, style.colour) + "\n"
}

fn shade(fan: &Fan, plane: &Plane, rows: &mut [Vec<Cell>]) {
    for (r, row) in rows.iter_mut().enumerate() {
        for (col, cell) in row.iter_mut().enumerate() {
            let step = (plane.step(2 * col) + plane.step(2 * col + 1)) / 2.0;
            if step >= -1.0 {
                // The middle of the upper half lies between its two rows of dots.
                let upper = (r * DOTS) as f64 + 0.5;
                cell.bands = [upper, upper + 2.0].map(|dot| band(fan, plane, step, dot));
            }
        }
    }
}

/// The band that a row of dots is in: 2 is the inner one, 0 none.
fn band(fan: &Fan, plane: &Plane, step: f64, dot: f64) -> u8 {
    let inside = |low: usize, high: usize| {
        let [low, high] = [low, high].map(|q| plane.dot(fan.quantile_at(q, step)));
        (high..=low).contains(&dot)
    };
    if inside(1, 3) { 2 } else { u8::from(inside(0, 4)) }
}

fn trace(fan: &Fan, plane: &Plane, rows: &mut [Vec<Cell>]) {
    let mut last = None;
    for dot in 0..2 * plane.cols {
        let step = plane.step(dot);
        let y = plane.dot(fan.line_at(step)).round() as usize;
        let from: usize = last.unwrap_or(y);
        for y in y.min(from + usize::from(from < y))..=y.max(from.saturating_sub(1)) {
            let cell = &mut rows[(y / DOTS).min(ROWS - 1)][dot / 2];
            cell.dots |= braille(dot % 2, y % DOTS);
            cell.ink = if step > -1.0 { Ink::Mean } else { Ink::History };
        }
        last = Some(y);
    }
    for (step, value) in fan.observed.iter().enumerate() {
        let row = plane.dot(f64::from(*value)).round() as usize / DOTS;
        rows[row.min(ROWS - 1)][plane.col(step as f64)].ink = Ink::Observed;
    }
}

/// The bit of a dot in its cell.
fn braille(x: usize, y: usize) -> u8 {
    const BITS: [[u8; DOTS]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    BITS[x % 2][y % DOTS]
}

/// A row, without spaces at its end. `opening` is where the forecast begins.
fn cells(row: &[Cell], opening: usize, colour: bool) -> String {
    let mut text = String::new();
    let mut set = String::new();
    for (col, cell) in row.iter().enumerate() {
        let band = cell.bands[0].max(cell.bands[1]);
        let mark = match cell {
            Cell { ink: Ink::Observed, .. } => Some('•'),
            Cell { dots: 0, .. } if band == 0 && col == opening => Some('┊'),
            Cell { dots: 0, .. } => None,
            Cell { dots, .. } => char::from_u32(0x2800 + u32::from(*dots)),
        };
        if !colour {
            text.push(mark.unwrap_or([' ', '░', '▒'][usize::from(band)]));
            continue;
        }
        let (sgr, character) = match (mark, cell.bands) {
            (Some(mark), _) => {
                let ink = match cell.ink {
                    Ink::History => String::new(),
                    Ink::Mean => format!("1;38;5;{MEAN};"),
                    Ink::Observed => format!("1;38;5;{OBSERVED};"),
                };
                (ink + &background(band), mark)
            }
            (None, [0, 0]) => (String::new(), ' '),
            (None, [0, lower]) => (foreground(lower), '▄'),
            (None, [upper, 0]) => (foreground(upper), '▀'),
            (None, [upper, lower]) if upper == lower => (background(upper), ' '),
            (None, [upper, lower]) => (foreground(upper) + &background(lower), '▀'),
        };
        if sgr != set {
            let _ = write!(text, "\x1b[0;{}m", sgr.trim_end_matches(';'));
            set = sgr;
        }
        text.push(character);
    }
    if !set.is_empty() {
        text += "\x1b[0m";
    }
    text.truncate(text.trim_end().len());
    text
}

fn background(band: u8) -> String {
    band.checked_sub(1).map_or(String::new(), |band| format!("48;5;{};", BANDS[usize::from(band)]))
}

fn foreground(band: u8) -> String {
    background(band).replacen("48", "38", 1)
}

/// The axis, and times below it where there is room.
fn time_axis(fan: &Fan, plane: &Plane, gutter: usize) -> String {
    let (start, end) = (fan.seconds(plane.steps.0 as i64), fan.seconds(plane.steps.1 as i64));
    let mut axis = vec!['─'; plane.cols];
    let mut labels = vec![' '; plane.cols];
    let mut free = 0;
    for (time, label) in ticks::times(start, end, plane.cols / 9) {
        let col = plane.col((time - fan.first_step) as f64 / fan.step_seconds as f64);
        axis[col] = '┬';
        let at = col.saturating_sub(label.len() / 2).min(plane.cols - label.len());
        if at >= free {
            labels[at..at + label.len()].copy_from_slice(&label.chars().collect::<Vec<_>>());
            free = at + label.len() + 1;
        }
    }
    let [axis, labels] = [axis, labels].map(|line| line.into_iter().collect::<String>());
    format!("{:gutter$} └{axis}\n{:gutter$}  {}\n", "", "", labels.trim_end())
}

fn legend(fan: &Fan, gutter: usize, colour: bool) -> String {
    let sample = |sgr: String, plain: &str| match colour {
        true => format!("\x1b[0;{}m{plain}\x1b[0m", sgr.trim_end_matches(';')),
        false => plain.to_owned(),
    };
    let shade = |band: u8| match colour {
        true => sample(background(band), "  "),
        false => ["░░", "▒▒"][usize::from(band - 1)].to_owned(),
    };
    let observed = if fan.observed.is_empty() {
        String::new()
    } else {
        format!("   {} observed", sample(format!("1;38;5;{OBSERVED};"), "•"))
    };
    format!(
        "{:gutter$}  ⠤⠤ history   {} mean   {} 50 %   {} 90 %{observed}\n",
        "",
        sample(format!("1;38;5;{MEAN};{}", background(2)), "⠤⠤"),
        shade(2),
        shade(1)
    )
}

#[cfg(test)]
mod tests {
    use super::super::fan::tests::fan;
    use super::*;

    #[test]
    fn the_plain_chart_fits_and_shows_its_parts() {
        for width in [MIN_WIDTH, 80, MAX_WIDTH] {
            let mut fan = fan();
            fan.observed = vec![40.5, 41.0];
            let text = draw(&fan, &Style { width, colour: false });
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            assert!(text.lines().count() > ROWS);
            for part in ["m\n", "┤", "░", "▒", "┬", "┊", "•", "31 Dec", "50 ┤", "90 %"]
            {
                assert!(text.contains(part), "no {part} in\n{text}");
            }
            assert!(!text.contains('\x1b'));
        }
    }

    #[test]
    fn colours_end_with_their_line() {
        let text = draw(&fan(), &Style { width: 80, colour: true });
        assert!(text.contains("\x1b[0;48;5;75m"));
        for line in text.lines() {
            let last = line.rfind("\x1b[").map(|at| &line[at..]);
            assert!(
                last.is_none_or(|last| last.starts_with("\x1b[0m") || last.starts_with("\x1b[0;m")),
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_line_leaves_no_gaps() {
        let fan = fan();
        let plane = Plane { cols: 30, steps: (-16.0, 7.0), values: fan.range(&[]) };
        let mut rows = vec![vec![Cell::default(); 30]; ROWS];
        trace(&fan, &plane, &mut rows);
        for col in 0..plane.cols {
            let drawn: Vec<_> =
                (0..ROWS).filter(|r| rows.get(*r).is_some_and(|row| row[col].dots != 0)).collect();
            let (first, last) = (drawn[0], drawn[drawn.len() - 1]);
            assert_eq!(drawn, (first..=last).collect::<Vec<_>>(), "column {col}");
        }
    }
}
