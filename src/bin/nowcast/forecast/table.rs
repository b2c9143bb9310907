//! The forecast as lines of text.

use std::fmt::Write;

use super::fan::{Fan, date_time, duration};

/// What is forecast.
pub(super) fn heading(fan: &Fan) -> String {
    format!(
        "{}: {} steps of {} after {}, in {}\n\n",
        fan.name,
        fan.horizon(),
        duration(fan.step_seconds),
        clock(fan.seconds(-1)),
        fan.unit
    )
}

/// One line a step: mean and intervals, and what was observed where that is known.
pub(super) fn steps(fan: &Fan) -> String {
    let decimals = fan.decimals();
    let number = |x: f32| format!("{x:.decimals$}");
    let numbers = || fan.quantiles.iter().flatten().chain(&fan.observed);
    let width = numbers().map(|x| number(*x).len()).max().unwrap_or(0).max(4);
    let interval = 2 * width + 3;
    let [p05, p25, _, p75, p95] = &fan.quantiles;
    let mut text = format!(
        "{:<16}  {:>width$}  {:^interval$}  {:^interval$}",
        "time (UTC)", "mean", "50 %", "90 %"
    );
    if !fan.observed.is_empty() {
        text += "  observed";
    }
    text.truncate(text.trim_end().len());
    text += "\n";
    for step in 0..fan.horizon() {
        let between = |low: &[f32], high: &[f32]| {
            format!("{:>width$} … {:>width$}", number(low[step]), number(high[step]))
        };
        let (time, mean) = (clock(fan.seconds(step as i64)), number(fan.mean[step]));
        let (inner, outer) = (between(p25, p75), between(p05, p95));
        let _ = write!(text, "{time}  {mean:>width$}  {inner}  {outer}");
        if let Some(observed) = fan.observed.get(step) {
            let _ = write!(text, "  {:>8}", number(*observed));
        }
        text += "\n";
    }
    text + "\n"
}

/// One line a path.
pub(super) fn paths(fan: &Fan) -> String {
    let decimals = fan.decimals();
    let mut text = String::new();
    for (n, path) in fan.each_path().enumerate() {
        let _ = write!(text, "path {n}:");
        for x in path {
            let _ = write!(text, " {x:.decimals$}");
        }
        text += "\n";
    }
    if !text.is_empty() {
        text += "\n";
    }
    text
}

/// A time without what goes without saying.
fn clock(unix_seconds: i64) -> String {
    let time = date_time(unix_seconds);
    let text = time.to_string().replace('T', " ");
    let len = if time.second == 0 { "2013-12-31 06:00".len() } else { text.len() - 1 };
    text[..len].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::fan::tests::fan;
    use super::*;

    #[test]
    fn a_line_for_each_step() {
        let mut fan = fan();
        fan.observed = vec![52.0];
        assert_eq!(heading(&fan), "waves: 8 steps of 1 h after 2013-12-31 05:00, in m\n\n");
        let text = steps(&fan);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "time (UTC)        mean     50 %         90 %      observed");
        assert_eq!(lines[1], "2013-12-31 06:00  51.2  50.5 … 51.8  49.5 … 52.8      52.0");
        assert_eq!(lines.len(), 1 + 8 + 1);
        assert!(paths(&fan).starts_with("path 0: 51.7 "));
    }
}
