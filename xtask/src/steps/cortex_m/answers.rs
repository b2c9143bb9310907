//! What the Cortex-M example prints, and how the answers of two machines are compared.
//!
//! A line is `same NAME WORD...` or `near NAME WORD...`, with words of `f32` in hexadecimal, or
//! `size NAME NUMBER` or `ticks NAME NUMBER`. Other lines are for people.

use std::collections::BTreeMap;

use crate::context::{Failure, Outcome};

/// The largest difference of an answer that is only near, of the largest in its line.
const TOLERANCE: f64 = 1e-5;

/// What one machine printed.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// By name: whether the bits are the same everywhere, and the values.
    values: BTreeMap<String, (bool, Vec<f32>)>,
    sizes: BTreeMap<String, u64>,
    ticks: BTreeMap<String, u64>,
}

impl Answers {
    pub(crate) fn read(text: &str) -> Outcome<Self> {
        let mut answers = Self::default();
        for line in text.lines() {
            let damaged = || Failure::new(format!("the example printed a damaged line: {line}"));
            let mut parts = line.split_whitespace();
            let (Some(kind), Some(name)) = (parts.next(), parts.next()) else { continue };
            match kind {
                "same" | "near" => {
                    let words = parts.map(|word| u32::from_str_radix(word, 16).map(f32::from_bits));
                    let words: Result<Vec<f32>, _> = words.collect();
                    let words = words.map_err(|_| damaged())?;
                    answers.values.insert(name.to_owned(), (kind == "same", words));
                }
                "size" | "ticks" => {
                    let number = parts.next().and_then(|number| number.parse().ok());
                    let numbers =
                        if kind == "size" { &mut answers.sizes } else { &mut answers.ticks };
                    numbers.insert(name.to_owned(), number.ok_or_else(damaged)?);
                }
                _ => {}
            }
        }
        Ok(answers)
    }

    pub(crate) fn size(&self, name: &str) -> Outcome<u64> {
        number(&self.sizes, "size", name)
    }

    pub(crate) fn ticks(&self, name: &str) -> Outcome<u64> {
        number(&self.ticks, "ticks", name)
    }

    /// Compares with what `host` printed, and says what was compared in one sentence.
    pub(crate) fn compare(&self, host: &Self) -> Outcome<String> {
        let names = |answers: &Self| answers.values.keys().cloned().collect::<Vec<_>>();
        if names(self) != names(host) {
            let (board, host) = (names(self).join(" "), names(host).join(" "));
            let sentence = format!("the board answered [{board}], the host [{host}]");
            return Err(Failure::new(sentence));
        }
        let (mut identical, mut near, mut worst) = (0, 0, 0.0_f64);
        for (name, (same, expected)) in &host.values {
            let found = &self.values[name].1;
            if found.len() != expected.len() || expected.is_empty() {
                let (found, expected) = (found.len(), expected.len());
                return Err(Failure::new(format!(
                    "{name}: {found} values on the board, {expected} on the host"
                )));
            }
            if *same {
                let differs = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits();
                if let Some(at) = found.iter().zip(expected).position(differs) {
                    return Err(Failure::new(format!(
                        "{name}: value {at} is {:e} on the board, {:e} on the host, which must \
                         have the same bits",
                        found[at], expected[at]
                    )));
                }
                identical += found.len();
                continue;
            }
            let largest = expected.iter().fold(0.0_f64, |most, x| most.max(f64::from(x.abs())));
            for (at, (a, b)) in found.iter().zip(expected).enumerate() {
                let difference = (f64::from(*a) - f64::from(*b)).abs() / largest;
                // NaN is not near anything.
                if difference.is_nan() || difference > TOLERANCE {
                    return Err(Failure::new(format!(
                        "{name}: value {at} is {a} on the board, {b} on the host: {difference:.1e} \
                         of the largest, more than {TOLERANCE:e}"
                    )));
                }
                worst = worst.max(difference);
            }
            near += found.len();
        }
        if identical == 0 || near == 0 {
            return Err(Failure::new("the example drew or forecast nothing"));
        }
        Ok(format!(
            "{identical} drawn values have the host's bits; {near} forecast values are within \
             {worst:.1e} of the largest"
        ))
    }
}

fn number(numbers: &BTreeMap<String, u64>, kind: &str, name: &str) -> Outcome<u64> {
    let number = numbers.get(name).copied();
    number.ok_or_else(|| Failure::new(format!("the example printed no {kind} {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "people read this\nnear m 3f800000 40000000\nsame e 3f800000\nsize stack 9";

    fn compare(board: &str) -> Result<String, String> {
        let read = |text| Answers::read(text).map_err(|Failure(sentence)| sentence);
        read(board)?.compare(&read(HOST)?).map_err(|Failure(sentence)| sentence)
    }

    #[test]
    fn rounding_of_an_answer_is_near_and_a_draw_is_the_same() {
        // 2 and the 2^-18 above it: 1.9e-6 of the largest.
        let sentence = compare("near m 3f800000 40000010\nsame e 3f800000").expect("near");
        assert!(
            sentence.starts_with("1 drawn values have the host's bits; 2 forecast"),
            "{sentence}"
        );
        let cases = [
            ("near m 3f800000 40000100\nsame e 3f800000", "m: value 1 is 2.000061 on the board"),
            ("near m 7fc00000 40000000\nsame e 3f800000", "m: value 0 is NaN on the board"),
            ("near m 3f800000 40000000\nsame e 3f800001", "which must have the same bits"),
            ("near m 3f800000\nsame e 3f800000", "m: 1 values on the board, 2 on the host"),
            ("near m 3f800000 40000000", "the board answered [m], the host [e m]"),
            ("near m what 40000000", "the example printed a damaged line"),
        ];
        for (board, expected) in cases {
            let sentence = compare(board).expect_err(expected);
            assert!(sentence.contains(expected), "{sentence}");
        }
    }
}
