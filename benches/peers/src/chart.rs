//! The chart for the README: how long each peer's call takes where ours takes one.
//!
//! Dots, not bars: on a logarithmic scale a length means nothing.

use std::fmt::{self, Write};

use crate::engines::Engine;
use crate::record::Row;

const WIDTH: f64 = 900.0;
/// Where the scale begins, and room for our times behind it.
const LEFT: f64 = 270.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 92.0;
const LINE: f64 = 24.0;
const LEAST: f64 = 0.8;

const INK: &str = "#0F172A";
const FAINT: &str = "#64748B";
const GRID: &str = "#E2E8F0";

fn colour(engine: Engine) -> &'static str {
    match engine {
        Engine::Nowcast => "#0F766E",
        Engine::Ort => "#2563EB",
        Engine::Tract => "#D97706",
        Engine::Rten => "#BE185D",
        Engine::Mkl | Engine::Numpy => FAINT,
    }
}

fn engines() -> impl Iterator<Item = Engine> {
    [Engine::Nowcast].into_iter().chain(Engine::PEERS)
}

/// Draws the rows that are calls of models.
pub(crate) fn draw(rows: &[Row]) -> String {
    let mut out = String::new();
    let rows: Vec<&Row> =
        rows.iter().filter(|row| row.case.group != "load" && row.case.draw.is_none()).collect();
    // Writing to a string does not fail.
    let _ = write(&mut out, &rows);
    out
}

/// A peer's time where ours is one.
fn times(row: &Row, engine: Engine) -> Option<f64> {
    row.of(engine).map(|measured| 1.0 / row.ratio(measured))
}

fn write(out: &mut String, rows: &[&Row]) -> fmt::Result {
    let all = rows.iter().flat_map(|row| engines().filter_map(|engine| times(row, engine)));
    let most = all.fold(2.0, f64::max) * 1.1;
    let scale = (WIDTH - LEFT - RIGHT) / (most / LEAST).ln();
    let x = |times: f64| LEFT + (times.max(LEAST) / LEAST).ln() * scale;
    let bottom = TOP + rows.len() as f64 * LINE;
    let height = bottom + 12.0;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"Inter, Helvetica, Arial, sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#FFFFFF\"/>"
    )?;
    let title = "Time of a call, median, where nowcast takes 1 (logarithmic): less is better";
    text(out, [16.0, 24.0], "start", INK, title)?;
    let mut at = 22.0;
    for engine in engines() {
        dot(out, [at, 46.0], engine)?;
        text(out, [at + 12.0, 50.0], "start", INK, engine.title())?;
        at += 40.0 + 7.0 * engine.title().len() as f64;
    }
    for tick in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0] {
        if tick <= most {
            line(
                out,
                [x(tick), TOP - 8.0],
                [x(tick), bottom],
                if tick == 1.0 { FAINT } else { GRID },
            )?;
            text(out, [x(tick), TOP - 14.0], "middle", FAINT, &tick.to_string())?;
        }
    }
    text(out, [WIDTH - 16.0, TOP - 14.0], "end", FAINT, "nowcast")?;
    for (i, row) in rows.iter().enumerate() {
        let y = TOP + (i as f64 + 0.5) * LINE;
        let slowest = engines().filter_map(|engine| times(row, engine)).fold(1.0, f64::max);
        text(out, [LEFT - 12.0, y + 4.0], "end", INK, &row.case.title)?;
        line(out, [x(1.0), y], [x(slowest), y], GRID)?;
        for engine in engines() {
            if let Some(times) = times(row, engine) {
                dot(out, [x(times), y], engine)?;
            }
        }
        let ours = row.ours().map_or(0.0, |ours| ours.rank(500) as f64 / 1e3);
        let digits = if ours < 10.0 { 2 } else { 0 };
        text(out, [WIDTH - 16.0, y + 4.0], "end", INK, &format!("{ours:.digits$} µs"))?;
    }
    writeln!(out, "</svg>")
}

fn dot(out: &mut String, [x, y]: [f64; 2], engine: Engine) -> fmt::Result {
    let fill = colour(engine);
    writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{fill}\" opacity=\"0.85\"/>")
}

fn line(out: &mut String, from: [f64; 2], to: [f64; 2], stroke: &str) -> fmt::Result {
    let ([x1, y1], [x2, y2]) = (from, to);
    writeln!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"/>"
    )
}

fn text(out: &mut String, [x, y]: [f64; 2], anchor: &str, fill: &str, text: &str) -> fmt::Result {
    writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{text}</text>"
    )
}
