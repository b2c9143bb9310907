//! The chart for the README: how long each peer's call takes where ours takes one.

use std::fmt::Write;

use crate::engines::Engine;
use crate::record::Row;

const WIDTH: f64 = 900.0;
/// Where the bars begin, and room for their figures behind them.
const LEFT: f64 = 270.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 74.0;
const BAR: f64 = 9.0;
const GAP: f64 = 15.0;

const INK: &str = "#0F172A";
const FAINT: &str = "#64748B";

fn colour(engine: Engine) -> &'static str {
    match engine {
        Engine::Nowcast => "#0F766E",
        Engine::Ort => "#64748B",
        Engine::Tract => "#94A3B8",
        Engine::Rten => "#CBD5E1",
    }
}

/// Draws the rows that are no loads, on a logarithmic scale.
pub(crate) fn draw(rows: &[Row]) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, rows);
    out
}

fn write(out: &mut String, rows: &[Row]) -> std::fmt::Result {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.case.group != "load").collect();
    let slower = |row: &Row, engine| row.of(engine).map(|peer| 1.0 / row.ratio(peer));
    let all = rows.iter().flat_map(|row| Engine::PEERS.map(|engine| slower(row, engine)));
    let most = all.flatten().fold(2.0, f64::max) * 1.1;
    let least = 0.5f64;
    let scale = (WIDTH - LEFT - RIGHT) / (most / least).ln();
    let x = |times: f64| LEFT + (times.max(least) / least).ln() * scale;

    let bars = 1 + Engine::PEERS.len();
    let band = bars as f64 * BAR + GAP;
    let bottom = TOP + rows.len() as f64 * band;
    let height = bottom + 16.0;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"Inter, Helvetica, Arial, sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#FFFFFF\"/>"
    )?;
    text(out, 16.0, 24.0, "start", INK, "Time of one call, median, nowcast = 1 (logarithmic)")?;
    let mut at = 16.0;
    for engine in [Engine::Nowcast].into_iter().chain(Engine::PEERS) {
        rect(out, at, 36.0, 12.0, 12.0, colour(engine))?;
        text(out, at + 18.0, 46.0, "start", INK, engine.title())?;
        at += 40.0 + 7.0 * engine.title().len() as f64;
    }

    for tick in [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0] {
        if tick > most {
            break;
        }
        let (at, stroke) = (x(tick), if tick == 1.0 { FAINT } else { "#E2E8F0" });
        writeln!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\" \
             stroke=\"{stroke}\"/>",
            TOP - 4.0
        )?;
        text(out, at, TOP - 9.0, "middle", FAINT, &format!("{tick}"))?;
    }
    for (i, row) in rows.iter().enumerate() {
        let top = TOP + i as f64 * band + GAP / 2.0;
        let middle = top + (band - GAP) / 2.0;
        text(out, LEFT - 12.0, middle + 4.0, "end", INK, &row.case.title)?;
        for (j, engine) in [Engine::Nowcast].into_iter().chain(Engine::PEERS).enumerate() {
            let Some(measured) = row.of(engine) else { continue };
            let times = 1.0 / row.ratio(measured);
            let y = top + j as f64 * BAR;
            rect(out, LEFT, y, x(times) - LEFT, BAR - 1.0, colour(engine))?;
            let figure = match engine {
                Engine::Nowcast => format!("{:.1} µs", measured.rank(500) as f64 / 1e3),
                _ => format!("{times:.1}"),
            };
            writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\" fill=\"{FAINT}\">{figure}</text>",
                x(times) + 4.0,
                y + BAR - 2.0
            )?;
        }
    }
    writeln!(out, "</svg>")
}

fn rect(out: &mut String, x: f64, y: f64, width: f64, height: f64, fill: &str) -> std::fmt::Result {
    writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         fill=\"{fill}\"/>"
    )
}

fn text(
    out: &mut String,
    x: f64,
    y: f64,
    anchor: &str,
    fill: &str,
    text: &str,
) -> std::fmt::Result {
    writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{text}</text>"
    )
}
