//! What `nowcast inspect` shows of a model that cannot be loaded.

use std::fmt::Write;

use nowcast::load::LoadError;
use nowcast::onnx::{self, ImportError, Survey, UsedOperator};
use serde::Serialize;

use crate::failure::Failure;
use crate::output;

#[derive(Serialize)]
struct Refusal {
    error: String,
    /// Only the sizes of its open dimensions are wanted.
    needs_sizes: bool,
    /// Operators that are not supported.
    unsupported: Vec<OperatorReport>,
    producer: String,
    opsets: Vec<(String, i64)>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    operators: Vec<OperatorReport>,
}

#[derive(Clone, Serialize)]
struct OperatorReport {
    domain: String,
    operator: String,
    count: usize,
    supported: bool,
}

impl OperatorReport {
    fn new(used: &UsedOperator) -> Self {
        Self {
            domain: used.domain.clone(),
            operator: used.op.clone(),
            count: used.count,
            supported: used.is_supported,
        }
    }
}

/// The failure; what can be said of the model goes to standard output.
pub(crate) fn refused(error: &LoadError, model: &[u8], json: bool) -> Failure {
    let sentence = error.to_string();
    if let Ok(survey) = onnx::survey(model) {
        let refusal = Refusal::new(sentence.clone(), error, &survey);
        let printed =
            if json { output::print_json(&refusal) } else { output::print(&refusal.text()) };
        if let Err(failure) = printed {
            return failure;
        }
    }
    Failure::User(sentence)
}

impl Refusal {
    fn new(sentence: String, error: &LoadError, survey: &Survey) -> Self {
        let mut operators: Vec<_> = survey.operators.iter().map(OperatorReport::new).collect();
        // What the importer refuses by name is not supported, whatever the table says.
        if let LoadError::Import { source: ImportError::Unsupported { operators: named }, .. } =
            error
        {
            for report in &mut operators {
                let is_named =
                    named.iter().any(|n| n.domain == report.domain && n.op == report.operator);
                report.supported &= !is_named;
            }
        }
        let needs_sizes =
            matches!(error, LoadError::Import { source: ImportError::OpenDimension { .. }, .. });
        Self {
            error: sentence,
            needs_sizes,
            unsupported: operators.iter().filter(|o| !o.supported).cloned().collect(),
            producer: survey.producer.clone(),
            opsets: survey.opsets.clone(),
            inputs: survey.inputs.clone(),
            outputs: survey.outputs.clone(),
            operators,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let verdict = if self.needs_sizes { "needs sizes" } else { "cannot be loaded" };
        writeln!(out, "The model {verdict}; what is in it:")?;
        for (what, ports) in [("Inputs", &self.inputs), ("Outputs", &self.outputs)] {
            writeln!(out, "{what}")?;
            for port in ports {
                writeln!(out, "  {port}")?;
            }
        }
        writeln!(out, "Operator sets")?;
        for (domain, version) in &self.opsets {
            let domain = if domain.is_empty() { "ai.onnx" } else { domain };
            writeln!(out, "  {domain} {version}")?;
        }
        if !self.producer.is_empty() {
            writeln!(out, "Written by\n  {}", self.producer)?;
        }
        let count: usize = self.operators.iter().map(|o| o.count).sum();
        writeln!(out, "Nodes: {count}")?;
        for operator in &self.operators {
            let dot = if operator.domain.is_empty() { "" } else { "." };
            let mark = if operator.supported { "" } else { "  (not supported)" };
            let OperatorReport { domain, operator, count, .. } = operator;
            writeln!(out, "  {count:>4} x {domain}{dot}{operator}{mark}")?;
        }
        Ok(())
    }
}
