//! `docs/operators.md`: what runs, by operator, as the suite has shown it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::index::Case;
use crate::report::{count, without_names};
use crate::runner::Outcome;

/// Operator sets of the standard domain whose forms are all of today; earlier ones stand apart.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;

/// Versions by domain and operator: tests/conformance/schemas.json.
type Schemas = BTreeMap<String, BTreeMap<String, Vec<i64>>>;

/// Of one operator.
#[derive(Default)]
struct Row {
    /// Cases passed and all cases: plain, expanded.
    plain: (usize, usize),
    expanded: (usize, usize),
    /// Element types of inputs of plain cases that pass.
    dtypes: BTreeSet<String>,
    /// Why cases do not pass: text to number and one of them.
    reasons: BTreeMap<String, (usize, String)>,
    bound: usize,
}

/// The page.
pub(crate) fn page(cases: &[Case], outcomes: &[Outcome], excluded: &[String]) -> String {
    let schemas: Schemas =
        serde_json::from_str(include_str!("schemas.json")).expect("the exporter wrote it");
    let rows = rows(cases, outcomes);
    let mut page = String::from(HEAD);
    // Writing to a string does not fail.
    let _ = totals(&mut page, cases, outcomes, excluded);
    for (domain, operators) in &schemas {
        let _ = table(&mut page, domain, operators, &rows);
    }
    let _ = failing(&mut page, &rows);
    let _ = bound(&mut page, cases, outcomes);
    page
}

const HEAD: &str = "# Operators

What runs, as the node suite of the pinned `onnx` package shows it. `cargo xtask conformance`
writes this page; `cargo xtask test` fails where it is out of date.

A case counts for every operator in it; an expanded case (the operator's function body written out)
for the operators of the case that it is made from. *Versions*: all that the operator has had up to
operator set 28; those in parentheses held before set 7 alone, and are read where a later form says
the same. *Element types*: of the inputs of
cases that pass. A case that does not pass is refused with an error when it is loaded; none gives a
wrong answer.

";

/// The operator's name with its domain.
fn name(domain: &str, op: &str) -> String {
    if domain.is_empty() { op.to_owned() } else { format!("{domain}.{op}") }
}

fn rows(cases: &[Case], outcomes: &[Outcome]) -> BTreeMap<String, Row> {
    let by_name: BTreeMap<&str, &Case> = cases.iter().map(|c| (c.name.as_str(), c)).collect();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        let base = case.name.split("_expanded").next().unwrap_or_default();
        // The rest of the name stays: `_expanded_ver18` is of the case `_ver18`, or of the base.
        let subject = by_name.get(base).copied().unwrap_or(case);
        for op in &subject.ops {
            let row = rows.entry(op.clone()).or_default();
            let counts = if case.expanded { &mut row.expanded } else { &mut row.plain };
            counts.1 += 1;
            match outcome {
                Outcome::Pass { bound } => {
                    counts.0 += 1;
                    if !case.expanded {
                        row.dtypes.extend(case.inputs.iter().filter_map(|v| v.dtype.clone()));
                        row.bound += usize::from(*bound);
                    }
                }
                Outcome::Error(text) | Outcome::Wrong(text) => {
                    let reason = row.reasons.entry(short(text)).or_default();
                    *reason = (reason.0 + 1, case.name.clone());
                }
            }
        }
    }
    rows
}

/// The reason without names, and without the node that it begins with.
fn short(text: &str) -> String {
    let text = without_names(text);
    let text = match text.split_once("): ") {
        Some((node, rest)) if node.starts_with("node ") => rest.to_owned(),
        _ => text,
    };
    let text = match text.split_once(" [likewise ").map(|(a, b)| (a, b.split_once(']'))) {
        Some((before, Some((_, after)))) => format!("{before}{after}"),
        _ => text,
    };
    let mut short: String = text.chars().take(110).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.replace('|', "\\|")
}

fn totals(
    page: &mut String,
    cases: &[Case],
    outcomes: &[Outcome],
    excluded: &[String],
) -> std::fmt::Result {
    let [plain, expanded] = count(cases, outcomes);
    writeln!(page, "| | cases | pass | of these with bound inputs | refused | wrong |")?;
    writeln!(page, "|---|---|---|---|---|---|")?;
    for (kind, t) in [("plain", plain), ("expanded", expanded)] {
        writeln!(
            page,
            "| {kind} | {} | {} | {} | {} | {} |",
            t.cases, t.pass, t.bound, t.errors, t.wrong
        )?;
    }
    writeln!(
        page,
        "\nNot run, and not counted: {} cases of random generators, which expect",
        excluded.len()
    )?;
    writeln!(page, "NumPy's draws (`tests/conformance/excluded.txt`).\n")
}

fn table(
    page: &mut String,
    domain: &str,
    operators: &BTreeMap<String, Vec<i64>>,
    rows: &BTreeMap<String, Row>,
) -> std::fmt::Result {
    writeln!(page, "## {}\n", if domain.is_empty() { "ai.onnx" } else { domain })?;
    writeln!(page, "| operator | versions | plain | expanded | element types |")?;
    writeln!(page, "|---|---|---|---|---|")?;
    let none = Row::default();
    for (op, versions) in operators {
        let row = rows.get(&name(domain, op)).unwrap_or(&none);
        let of = |(pass, all): (usize, usize)| match all {
            0 => "no cases".to_owned(),
            _ => format!("{pass} of {all}"),
        };
        let dtypes: Vec<&str> = row.dtypes.iter().map(String::as_str).collect();
        writeln!(
            page,
            "| {op} | {} | {} | {} | {} |",
            in_force(domain, versions),
            of(row.plain),
            of(row.expanded),
            dtypes.join(", ")
        )?;
    }
    writeln!(page)
}

/// Versions as text, those that no supported operator set has in parentheses.
fn in_force(domain: &str, versions: &[i64]) -> String {
    let ends = versions.iter().skip(1).map(|next| next - 1).chain([i64::MAX]);
    let shown = versions.iter().zip(ends).map(|(version, end)| {
        let accepted = !domain.is_empty() || (end >= *OPSETS.start() && version <= OPSETS.end());
        if accepted { version.to_string() } else { format!("({version})") }
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn failing(page: &mut String, rows: &BTreeMap<String, Row>) -> std::fmt::Result {
    writeln!(page, "## Why cases do not pass\n")?;
    writeln!(page, "| operator | cases | reason | one of them |")?;
    writeln!(page, "|---|---|---|---|")?;
    for (op, row) in rows {
        for (reason, (count, example)) in &row.reasons {
            writeln!(page, "| {op} | {count} | {reason} | {example} |")?;
        }
    }
    writeln!(page)
}

fn bound(page: &mut String, cases: &[Case], outcomes: &[Outcome]) -> std::fmt::Result {
    writeln!(page, "## Cases that pass with inputs bound as constants\n")?;
    writeln!(page, "An input of theirs decides a shape: a program needs it when it is loaded")?;
    writeln!(page, "(`Options::bind_value`, `--value`).\n")?;
    let is_bound = |outcome: &Outcome| matches!(outcome, Outcome::Pass { bound: true });
    let names = cases.iter().zip(outcomes).filter(|(_, outcome)| is_bound(outcome));
    let names: Vec<&str> = names.map(|(case, _)| case.name.as_str()).collect();
    writeln!(page, "{}", names.join(", "))
}
