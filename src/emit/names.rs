//! Names of models, inputs and outputs as identifiers.
//!
//! An identifier is of ASCII letters, digits and `_`, does not begin with a digit, is no keyword,
//! and is given once.

use std::collections::BTreeSet;

/// What Rust 2024 does not allow as the name of a function or module, or what emitted text uses.
const TAKEN: [&str; 61] = [
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "core",
    "nowcast",
    "new",
    "run",
    "inner",
    "open",
    "KERNELS",
    "SESSION_BYTES",
    "ALIGNMENT",
    "BUNDLE",
];

/// The words of a name in lower case, with `_` between.
pub(super) fn snake(name: &str, otherwise: &str) -> String {
    let mut out = String::new();
    let mut after_lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            after_lower = false;
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            continue;
        }
        if c.is_ascii_uppercase() && after_lower {
            out.push('_');
        }
        after_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        out.push(c.to_ascii_lowercase());
    }
    let out = out.trim_end_matches('_');
    match out.bytes().next() {
        None => otherwise.to_owned(),
        Some(first) if first.is_ascii_digit() => format!("{otherwise}_{out}"),
        Some(_) => out.to_owned(),
    }
}

/// Identifiers of one scope.
#[derive(Default)]
pub(super) struct Scope {
    used: BTreeSet<String>,
}

impl Scope {
    /// An identifier for a name, of which also everything that is derived from it is free. The
    /// words of a name in another script are `otherwise`.
    pub(super) fn add(
        &mut self,
        name: &str,
        otherwise: &str,
        derived: impl Fn(&str) -> Vec<String>,
    ) -> String {
        let base = snake(name, otherwise);
        let numbered = (2..).map(|n| format!("{base}_{n}"));
        let is_free = |candidate: &String| {
            let all = derived(candidate);
            !all.iter().any(|name| self.used.contains(name) || TAKEN.contains(&name.as_str()))
        };
        let keyword = TAKEN.contains(&base.as_str()).then(|| format!("{base}_"));
        let mut candidates = std::iter::once(base.clone()).chain(keyword).chain(numbered);
        // There are more numbers than names.
        let found = candidates.find(is_free).unwrap_or(base);
        self.used.extend(derived(&found));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_becomes_an_identifier() {
        for (name, expected) in [
            ("x", "x"),
            ("X", "x"),
            ("past.0.key", "past_0_key"),
            ("/model/encoder/Add_2:0", "model_encoder_add_2_0"),
            ("inputIds", "input_ids"),
            ("LSTM", "lstm"),
            ("2nd", "input_2nd"),
            ("_hidden_", "hidden"),
            ("a--b__c", "a_b_c"),
            ("", "input"),
            ("温度", "input"),
            ("zone=温度 1", "zone_1"),
        ] {
            assert_eq!(snake(name, "input"), expected, "{name:?}");
        }
    }

    #[test]
    fn identifiers_are_given_once() {
        let mut scope = Scope::default();
        let own = |name: &str| vec![name.to_owned()];
        let names = ["x", "X", "x.", "x_2", "type", "type", "run", "温度", "度"];
        let given = names.map(|name| scope.add(name, "port", own));
        let expected = ["x", "x_2", "x_3", "x_2_2", "type_", "type_2", "run_", "port", "port_2"];
        assert_eq!(given, expected);
        let both = |name: &str| vec![format!("{name}_mut"), format!("{name}_shape")];
        assert_eq!(scope.add("x", "port", both), "x");
        assert_eq!(scope.add("x", "port", both), "x_2");
        assert_eq!(scope.add("x_mut", "port", own), "x_mut_2");
    }
}
