//! Totals, and the tables that say what to work on next.

use std::collections::BTreeMap;

use crate::index::Case;
use crate::runner::Outcome;

/// Counts of one half of the suite.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) cases: usize,
    pub(crate) pass: usize,
    pub(crate) bound: usize,
    pub(crate) errors: usize,
    pub(crate) wrong: usize,
}

/// Counts plain cases and expanded ones.
pub(crate) fn count(cases: &[Case], outcomes: &[Outcome]) -> [Totals; 2] {
    let mut halves = [Totals::default(), Totals::default()];
    for (case, outcome) in cases.iter().zip(outcomes) {
        let totals = &mut halves[usize::from(case.expanded)];
        totals.cases += 1;
        match outcome {
            Outcome::Pass { bound } => {
                totals.pass += 1;
                totals.bound += usize::from(*bound);
            }
            Outcome::Error(_) => totals.errors += 1,
            Outcome::Wrong(_) => totals.wrong += 1,
        }
    }
    halves
}

/// Prints the line of totals.
pub(crate) fn totals(cases: &[Case], outcomes: &[Outcome]) {
    let line = |kind: &str, t: &Totals| {
        format!(
            "{} of {} {kind} pass ({} with bound inputs), {} errors, {} wrong",
            t.pass, t.cases, t.bound, t.errors, t.wrong
        )
    };
    let [plain, expanded] = &count(cases, outcomes);
    println!("conformance: {}; {}", line("plain", plain), line("expanded", expanded));
}

/// Prints the errors of plain cases by text, and by operator.
pub(crate) fn tables(cases: &[Case], outcomes: &[Outcome]) {
    // Text or operator -> (cases not passing, all cases, one of them).
    let mut texts: BTreeMap<String, (usize, usize, &str)> = BTreeMap::new();
    let mut operators: BTreeMap<String, (usize, usize, &str)> = BTreeMap::new();
    for (case, outcome) in cases.iter().zip(outcomes).filter(|(case, _)| !case.expanded) {
        let text = match outcome {
            Outcome::Pass { .. } => None,
            Outcome::Error(text) => Some(text.clone()),
            Outcome::Wrong(text) => Some(format!("WRONG {text}")),
        };
        for op in &case.ops {
            let row = operators.entry(op.clone()).or_default();
            row.1 += 1;
            if text.is_some() {
                *row = (row.0 + 1, row.1, &case.name);
            }
        }
        if let Some(text) = text {
            let row = texts.entry(without_names(&text).chars().take(60).collect()).or_default();
            *row = (row.0 + 1, row.1 + 1, &case.name);
        }
    }
    print("errors of plain cases by their first 60 characters", &texts);
    print("plain cases not passing by operator", &operators);
}

/// The text with everything in double quotes left out: names differ from case to case.
pub(crate) fn without_names(text: &str) -> String {
    let parts = text.split('"').enumerate();
    parts.map(|(i, part)| if i % 2 == 0 { part } else { "\"…\"" }).collect()
}

fn print(title: &str, rows: &BTreeMap<String, (usize, usize, &str)>) {
    println!("\n{title}:");
    let mut rows: Vec<_> = rows.iter().filter(|(_, row)| row.0 > 0).collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.0));
    for (key, (failing, all, example)) in rows {
        let count =
            if failing == all { failing.to_string() } else { format!("{failing} of {all}") };
        println!("{count:>10}  {key:<60}  {example}");
    }
}
