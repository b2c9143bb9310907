//! What TestU01 prints, and what we make of it.

use std::fmt::Write;

use super::{Battery, Job, ORDERS, PACKAGE, SEEDS};

/// TestU01 calls a p-value suspect that is nearer to 0 or 1.
const SUSPECT: f64 = 1e-3;
/// What is no chance, whatever the number of statistics.
const FAILED: f64 = 1e-10;

/// A p-value as TestU01 writes it, and how near it is to 0 or 1.
#[derive(Clone, Debug)]
struct PValue {
    text: String,
    value: f64,
    margin: f64,
}

impl PValue {
    /// Of ` 0.46`, `3.9e-3`, `0.9945`, `1 -  2.3e-5`, `eps` (below 1e-300) or `1 - eps1`.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim_end_matches([' ', '*']).trim();
        let (value, margin) = match text.strip_prefix("1 -").map(str::trim) {
            Some("eps1") => (1.0, 1e-15),
            Some(rest) => {
                let margin: f64 = rest.parse().ok()?;
                (1.0 - margin, margin)
            }
            None if text == "eps" => (0.0, 1e-300),
            None => {
                let value: f64 = text.parse().ok()?;
                (value, value.min(1.0 - value))
            }
        };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Self { text, value, margin })
    }
}

/// A test of a battery, in its order.
struct Test {
    name: String,
    values: Vec<PValue>,
}

impl Test {
    /// One p-value, or the least and the greatest.
    fn summary(&self) -> String {
        let by_value = |a: &&PValue, b: &&PValue| a.value.total_cmp(&b.value);
        let (least, most) =
            (self.values.iter().min_by(by_value), self.values.iter().max_by(by_value));
        match (least, most) {
            (Some(least), Some(most)) if self.values.len() > 1 => {
                format!("{} … {}", least.text, most.text)
            }
            (Some(only), _) => only.text.clone(),
            _ => "-".to_owned(),
        }
    }
}

/// What a battery said of one order of words.
pub(super) struct Result {
    pub(super) job: Job,
    words: u64,
    tests: Vec<Test>,
    /// Those that TestU01 counts.
    statistics: usize,
    /// What TestU01's summary lists: number and name of the test, p-value.
    suspects: Vec<(String, PValue)>,
}

impl Result {
    /// Reads what TestU01 printed, with the number of words after it.
    pub(super) fn read(job: Job, text: &str) -> Option<Self> {
        let (details, summary) = text.split_once("========= Summary results of")?;
        let mut tests: Vec<Test> = Vec::new();
        for line in details.lines() {
            if let Some(name) = line.strip_suffix(" test:").filter(|name| !name.contains(' ')) {
                tests.push(Test { name: name.to_owned(), values: Vec::new() });
            } else if let Some(value) = line.strip_prefix("p-value of test") {
                let value = PValue::read(value.trim_start().strip_prefix(':')?)?;
                tests.last_mut()?.values.push(value);
            }
        }
        let after = |key: &str| summary.split_once(key).map(|(_, rest)| rest.trim_start());
        let statistics = after("Number of statistics:")?.split_whitespace().next()?.parse().ok()?;
        let mut suspects = Vec::new();
        // The list stands between two lines of dashes; there is none if nothing is suspect.
        let dashes = |line: &&str| line.trim_start().starts_with("-----");
        let list = summary.lines().skip_while(|line| !dashes(line)).skip(1);
        for line in list.take_while(|line| !dashes(line)) {
            // Number and name take 34 columns.
            let (name, value) = line.split_at_checked(34)?;
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            suspects.push((name, PValue::read(value)?));
        }
        let words = text.trim_end().lines().last()?.strip_suffix(" words")?.parse().ok()?;
        Some(Self { job, words, tests, statistics, suspects })
    }

    /// What a person reads while it runs.
    pub(super) fn line(&self) -> String {
        let suspects = self.suspects.iter().map(|(name, p)| format!("{name}: {}", p.text));
        let suspects = suspects.collect::<Vec<_>>().join(", ");
        let (count, verdict) =
            (self.statistics, if suspects.is_empty() { "none suspect" } else { &suspects });
        format!("{:<28} {:>11} words, {count} statistics, {verdict}", self.job.name(), self.words)
    }

    pub(super) fn calls_for_another(&self) -> bool {
        let within = self.job.battery.repeats_within();
        self.suspects.iter().any(|(_, p)| p.margin < within)
    }
}

/// What is no chance: a p-value that never happens, or the same suspect with both seeds.
pub(super) fn failures(results: &[Result]) -> Vec<String> {
    let mut failures = Vec::new();
    for result in results {
        let other = results.iter().find(|other| {
            other.job == Job { seed: SEEDS[0], ..result.job.clone() } && other.job != result.job
        });
        for (name, p) in &result.suspects {
            let twice =
                other.is_some_and(|other| other.suspects.iter().any(|(other, _)| other == name));
            if p.margin < FAILED || twice {
                failures.push(format!("{}, {name}: {}", result.job.name(), p.text));
            }
        }
    }
    failures
}

/// docs/randomness.md.
pub(super) fn write(results: &[Result], version: &str) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_all(&mut text, results, version);
    text
}

fn write_all(out: &mut String, results: &[Result], version: &str) -> std::fmt::Result {
    let (package, package_version) = PACKAGE;
    writeln!(
        out,
        "# Randomness\n\n\
         Written by `cargo xtask battery`: TestU01 1.2.3 (L'Ecuyer and Simard, ACM TOMS 33(4), \
         2007) on the words of `nowcast::sampling::PathWords`, nowcast {version}. TestU01 is that \
         in the package {package} {package_version} of crates.io; its licence there is for \
         non-commercial use (its authors have since given it under Apache 2.0). It is installed in \
         `.oracle/` and part of nothing else.\n\n\
         `examples/words.rs` writes the words to a pipe: little-endian, 32 bits each, all of them \
         used. The tests look at the upper bits most, so each order is also read with the bits of \
         every word reversed.\n\n\
         | order | words |\n|---|---|"
    )?;
    for (name, what) in ORDERS {
        writeln!(out, "| `{name}` | {what} |")?;
    }
    let first = || results.iter().filter(|result| result.job.seed == SEEDS[0]);
    let statistics: usize = first().map(|result| result.statistics).sum();
    let suspects: usize = first().map(|result| result.suspects.len()).sum();
    writeln!(
        out,
        "\nSeed {}. A p-value outside [0.001, 0.999] is suspect; of {statistics} statistics {:.1} \
         are by chance, and {suspects} are. Where one is, the battery is run again with seed {} \
         (Crush: where one is outside [0.0001, 0.9999]). A failure is a p-value nearer to 0 or 1 \
         than 1e-10, or the same suspect with both seeds.\n",
        SEEDS[0],
        2.0 * SUSPECT * statistics as f64,
        SEEDS[1],
    )?;
    match &failures(results)[..] {
        [] => writeln!(out, "**No failure.**\n")?,
        failures => {
            writeln!(out, "**Failures:**\n")?;
            for failure in failures {
                writeln!(out, "- {failure}")?;
            }
            writeln!(out)?;
        }
    }
    writeln!(
        out,
        "| battery | order | bits | seed | words | statistics | suspect |\n\
         |---|---|---|---:|---:|---:|---|"
    )?;
    for Result { job, words, statistics, suspects, .. } in results {
        let suspects: Vec<_> =
            suspects.iter().map(|(name, p)| format!("{name}: {}", p.text)).collect();
        let bits = if job.reversed { "reversed" } else { "as they are" };
        let none = if suspects.is_empty() { "none" } else { "" };
        writeln!(
            out,
            "| {} | `{}` | {bits} | {} | {} | {statistics} | {}{none} |",
            job.battery.name(),
            job.order,
            job.seed,
            thousands(*words),
            suspects.join("; "),
        )?;
    }
    for (title, battery, reversed) in [
        ("SmallCrush", Battery::Small, false),
        ("SmallCrush, bits reversed", Battery::Small, true),
        ("Crush", Battery::Crush, false),
    ] {
        let chosen =
            |result: &&Result| (result.job.battery, result.job.reversed) == (battery, reversed);
        write_tests(out, title, &first().filter(chosen).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The p-values of a battery's tests, a column for each order.
fn write_tests(out: &mut String, title: &str, results: &[&Result]) -> std::fmt::Result {
    let Some(longest) = results.iter().map(|result| result.tests.len()).max() else {
        return Ok(());
    };
    writeln!(
        out,
        "\n## {title}\n\nThe p-value of each test, or the least and the greatest where it has \
         several.\n"
    )?;
    write!(out, "| test |")?;
    results.iter().try_for_each(|result| write!(out, " `{}` |", result.job.order))?;
    writeln!(out, "\n|---|{}", "---:|".repeat(results.len()))?;
    for test in 0..longest {
        let name = results.iter().find_map(|result| result.tests.get(test));
        let name = name.map_or("", |test| test.name.as_str());
        write!(out, "| {} {name} |", test + 1)?;
        for result in results {
            let summary = result.tests.get(test).map_or("-".to_owned(), Test::summary);
            write!(out, " {summary} |")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(text: &str, seed: u64) -> Option<Result> {
        let job = Job { battery: Battery::Small, order: "rows", reversed: false, seed };
        Result::read(job, text)
    }

    /// What TestU01 prints, shortened.
    fn printed(suspect: &str) -> String {
        format!(
            "sknuth_Gap test:\n-----\np-value of test                       :    0.42\n\n\
             swalk_RandomWalk1 test:\n-----\n\
             p-value of test                       :  3.9e-3\n\n\
             p-value of test                       : {suspect}    *****\n\n\
             ========= Summary results of SmallCrush =========\n\n\
             Version:          TestU01 1.2.3\n Number of statistics:  3\n\n\
             Test                          p-value\n ----------------------------------------------\n\
             {:<34}{suspect}\n ----------------------------------------------\n\
             All other tests were passed\n\n\n\n227000320 words\n",
            " 10  RandomWalk1 M"
        )
    }

    #[test]
    fn p_values_are_read_as_they_are_written() {
        let margin = |text| PValue::read(text).map(|p| (p.value, p.margin));
        assert_eq!(margin("    0.42"), Some((0.42, 0.42)));
        assert_eq!(margin("  3.9e-3"), Some((3.9e-3, 3.9e-3)));
        assert_eq!(margin(" 1 -  2.5e-5    *****"), Some((1.0 - 2.5e-5, 2.5e-5)));
        assert_eq!(margin("   eps      *****"), Some((0.0, 1e-300)));
        assert_eq!(margin(" 1 - eps1    *****"), Some((1.0, 1e-15)));
        assert!(margin("nan").is_none_or(|(value, _)| value.is_nan()));
    }

    #[test]
    fn a_suspect_fails_when_it_comes_back_or_is_beyond_chance() {
        let once = result(&printed("4.0e-4"), 1).expect("a result");
        assert_eq!((once.words, once.statistics, once.tests.len()), (227_000_320, 3, 2));
        assert_eq!(once.tests[1].summary(), "4.0e-4 … 3.9e-3");
        assert_eq!(once.suspects[0].0, "10 RandomWalk1 M");
        assert!(once.calls_for_another());
        assert!(failures(&[once]).is_empty());

        let both = [1, 2].map(|seed| result(&printed("4.0e-4"), seed).expect("a result"));
        assert_eq!(failures(&both).len(), 1);
        let beyond = result(&printed("   eps"), 1).expect("a result");
        assert_eq!(failures(&[beyond]).len(), 1);
    }

    #[test]
    fn a_battery_that_did_not_end_is_no_result() {
        assert!(result("sknuth_Gap test:\n", 1).is_none());
    }
}
