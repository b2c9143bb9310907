//! A series from a CSV file.

use std::path::Path;

use nowcast::forecast::calendar::DateTime;

use super::fan::{date_time, duration};
use crate::arrays::read_input;
use crate::failure::Failure;

/// Evenly spaced observations.
#[derive(Debug, PartialEq)]
pub(crate) struct Observations {
    /// What errors call them.
    pub(crate) name: String,
    pub(crate) values: Vec<f32>,
    first: i64,
    step: i64,
}

impl Observations {
    /// Reads a file, or standard input for `-`.
    pub(crate) fn read(path: &Path, step_seconds: u32) -> Result<Self, Failure> {
        let (name, bytes) = read_input(path)?;
        Self::parse(name, &bytes, step_seconds)
    }

    /// Reads lines of time and value, under a header or not.
    pub(crate) fn parse(name: String, csv: &[u8], step_seconds: u32) -> Result<Self, Failure> {
        let step = i64::from(step_seconds);
        let mut series = Self { name, values: Vec::new(), first: 0, step };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(csv);
        for (i, record) in reader.records().enumerate() {
            let record = record.map_err(|error| {
                Failure::User(format!("{}: expected text in CSV: {error}", series.name))
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            let (time, value) = (record.get(0).unwrap_or(""), record.get(1));
            let is_header = time.parse::<DateTime>().is_err()
                && value.is_none_or(|value| value.parse::<f32>().is_err());
            if i > 0 || !is_header {
                series.add(time, value, record.len()).map_err(|what| {
                    Failure::User(format!("{}, line {line}: {what}", series.name))
                })?;
            }
        }
        Ok(series)
    }

    fn add(&mut self, time: &str, value: Option<&str>, fields: usize) -> Result<(), String> {
        let value = value
            .filter(|_| fields == 2)
            .ok_or_else(|| format!("expected two columns, time and value, found {fields}"))?;
        let time = time.parse::<DateTime>().map_err(|what| format!("{what}, found {time:?}"))?;
        let seconds = time.unix_seconds();
        if self.values.is_empty() {
            self.first = seconds;
        }
        let step = duration(self.step);
        match seconds - self.time(self.values.len()) + self.step {
            passed if passed == self.step => {}
            passed if passed <= 0 => {
                return Err(format!(
                    "{time} is not after the line before: sort the lines by time, one for each"
                ));
            }
            passed if passed % self.step == 0 => {
                return Err(format!(
                    "a gap: {time} is {} after the line before, expected {step}: fill in the \
                     observations between",
                    duration(passed)
                ));
            }
            passed => {
                return Err(format!(
                    "{time} is {} after the line before, the forecaster's step is {step}: \
                     resample the series",
                    duration(passed)
                ));
            }
        }
        if value.is_empty() {
            return Err("the value is missing: fill it in".to_owned());
        }
        let number = value.parse::<f32>().ok().filter(|number| number.is_finite());
        self.values.push(number.ok_or_else(|| {
            format!(
                "expected a finite number as the value, found {value:?}: correct it or fill it in"
            )
        })?);
        Ok(())
    }

    /// Unix seconds of the observation at a position, which may be behind the last.
    pub(crate) fn time(&self, position: usize) -> i64 {
        self.first + position as i64 * self.step
    }

    /// The position to forecast from: that of `at`, or behind the last observation. There is a
    /// context before it.
    pub(crate) fn position(&self, at: Option<DateTime>, context: usize) -> Result<usize, Failure> {
        let (name, len) = (&self.name, self.values.len());
        if len < context {
            return Err(Failure::User(format!(
                "{name}: {len} observations are too short a series: give at least the {context} \
                 that the forecaster looks back on"
            )));
        }
        let Some(at) = at else { return Ok(len) };
        let seconds = at.unix_seconds() - self.first;
        let position = usize::try_from(seconds / self.step).unwrap_or(0);
        if seconds % self.step != 0 || !(context..=len).contains(&position) {
            return Err(Failure::User(format!(
                "{name}: --at {at} is not one of the times that can be forecast from: {} to {} in \
                 steps of {}",
                date_time(self.time(context)),
                date_time(self.time(len)),
                duration(self.step)
            )));
        }
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: &str = "2013-01-01T06:00:00Z,39.02\n2013-01-01T07:00:00Z,38.5\n\
                         2013-01-01T08:00:00Z,-1e1\n";

    fn parse(csv: &str) -> Result<Observations, Failure> {
        Observations::parse("t.csv".to_owned(), csv.as_bytes(), 3600)
    }

    #[test]
    fn a_header_may_be_there_or_not() {
        let plain = parse(HOURS).expect("good");
        assert_eq!(plain.values, [39.02, 38.5, -10.0]);
        assert_eq!(date_time(plain.time(3)).to_string(), "2013-01-01T09:00:00Z");
        let headed = parse(&format!("\u{feff}time,value\n{HOURS}")).expect("good");
        assert_eq!(headed, plain);
        let spaced = parse(&HOURS.replace(',', " , ").replace('\n', "\r\n")).expect("good");
        assert_eq!(spaced, plain);
    }

    #[test]
    fn each_mistake_names_its_line() {
        let line = "2013-01-01T08:00:00Z,-1e1";
        let cases = [
            ("2013-01-01T09:00:00Z,1", "a gap: 2013-01-01T09:00:00Z is 2 h after the line before"),
            (
                "2013-01-01T07:30:00Z,1",
                "is 30 min after the line before, the forecaster's step is 1 h",
            ),
            ("2013-01-01T07:00:00Z,1", "is not after the line before"),
            ("2013-01-01T08:00:00Z,cold", "expected a finite number as the value, found \"cold\""),
            ("2013-01-01T08:00:00Z,NaN", "expected a finite number as the value, found \"NaN\""),
            ("2013-01-01T08:00:00Z,1e99", "expected a finite number as the value, found \"1e99\""),
            ("2013-01-01T08:00:00Z,", "the value is missing"),
            ("2013-01-01T08:00:00Z", "expected two columns, time and value, found 1"),
            ("2013-01-01T08:00:00Z,1,2", "expected two columns, time and value, found 3"),
            (
                "yesterday,1",
                "expected a time in UTC such as 2013-12-31T06:00:00Z, found \"yesterday\"",
            ),
            ("2013-01-01T08:00:00+05:00,1", "expected a time in UTC"),
        ];
        for (bad, expected) in cases {
            let error = parse(&HOURS.replace(line, bad)).expect_err(bad).to_string();
            assert!(error.starts_with("t.csv, line 3: "), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn forecasts_start_where_a_context_ends() {
        let series = parse(HOURS).expect("good");
        let at = |text: &str| Some(text.parse::<DateTime>().expect("a time"));
        let position = |at, context| series.position(at, context).map_err(|e| e.to_string());
        assert_eq!(position(None, 3), Ok(3));
        assert_eq!(position(at("2013-01-01T08:00"), 2), Ok(2));
        assert_eq!(position(at("2013-01-01T09:00"), 2), Ok(3));
        let short = position(None, 4).expect_err("short");
        assert!(short.contains("3 observations are too short a series: give at least the 4"));
        for outside in ["2013-01-01T07:00", "2013-01-01T10:00", "2013-01-01T08:30", "1999-01-01"] {
            let error = position(at(outside), 2).expect_err(outside);
            assert!(error.contains("2013-01-01T08:00:00Z to 2013-01-01T09:00:00Z"), "{error}");
        }
        assert!(parse("").expect("empty").position(None, 1).is_err());
    }
}
