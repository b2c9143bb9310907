//! Round numbers and times for axes.

use super::fan::date_time;

const DAY: i64 = 86_400;
/// Distances between times that read well.
const STEPS: [i64; 19] = [
    1,
    5,
    15,
    30,
    60,
    300,
    900,
    1800,
    3600,
    2 * 3600,
    3 * 3600,
    6 * 3600,
    12 * 3600,
    DAY,
    2 * DAY,
    7 * DAY,
    28 * DAY,
    91 * DAY,
    364 * DAY,
];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// At most `max` round times from `start` to `end`, with their labels: dates at midnight, else
/// times of day.
pub(super) fn times(start: i64, end: i64, max: usize) -> Vec<(i64, String)> {
    let fits = |step: &i64| (end - start) / step < max.max(1) as i64;
    let step = STEPS.into_iter().find(fits).unwrap_or(end - start + 1);
    let first = start + (-start).rem_euclid(step);
    let count = if first > end { 0 } else { (end - first) / step + 1 };
    (0..count).map(|i| first + i * step).map(|time| (time, label(time))).collect()
}

fn label(unix_seconds: i64) -> String {
    let time = date_time(unix_seconds);
    if unix_seconds % DAY == 0 {
        let month = MONTHS[usize::from(time.month - 1).min(11)];
        return format!("{} {month}", time.day);
    }
    let clock = format!("{:02}:{:02}", time.hour, time.minute);
    if time.second == 0 { clock } else { format!("{clock}:{:02}", time.second) }
}

/// About `count` round numbers from `low` to `high`, and the decimals that tell them apart.
pub(crate) fn numbers(low: f64, high: f64, count: usize) -> (Vec<f64>, usize) {
    let rough = (high - low).max(f64::MIN_POSITIVE) / count.max(1) as f64;
    let exponent = rough.log10().floor();
    let power = 10f64.powf(exponent);
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    ((first..=last).map(|i| i as f64 * step).collect(), decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_times() {
        let start = 1_388_469_600; // 31 December 2013, 06:00
        let labels = |end: i64, max: usize| -> Vec<String> {
            times(start, end, max).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(start + 72 * 3600, 4), ["1 Jan", "2 Jan", "3 Jan"]);
        assert_eq!(labels(start + 24 * 3600, 6), ["06:00", "12:00", "18:00", "1 Jan", "06:00"]);
        assert_eq!(labels(start + 9, 3), ["06:00", "06:00:05"]);
        assert_eq!(labels(start, 3), ["06:00"]);
    }

    #[test]
    fn round_numbers() {
        assert_eq!(numbers(18.2, 47.9, 5), (vec![20.0, 30.0, 40.0], 0));
        assert_eq!(numbers(-0.05, 0.16, 4).1, 1);
        assert_eq!(numbers(0.0, 1.0, 5), (vec![0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0], 1));
    }
}
