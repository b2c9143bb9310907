//! The map in ARCHITECTURE.md is the truth: a module uses what its row lists, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Names in backticks.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Rows of the map: module, what it may use.
fn map() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let rows = text.lines().skip_while(|l| !l.starts_with("| module")).skip(2);
    let mut map = BTreeMap::new();
    for row in rows.take_while(|l| l.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').collect();
        let [_, module, _, uses, ..] = cells[..] else { panic!("a row of other columns: {row}") };
        for module in names(module) {
            map.insert(module.to_owned(), names(uses).map(str::to_owned).collect());
        }
    }
    map
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file without comments and without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Modules named behind `crate::`, alone or in braces.
fn edges(code: &str, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split_once(';').map_or(list, |(list, _)| list);
                found.extend(list.split([',', '{']).map(|item| word(item.trim())));
            }
            None => {
                found.insert(word(rest));
            }
        }
    }
    found.retain(|name| modules.contains(name));
    found
}

#[test]
fn modules_use_what_the_map_lists() {
    let map = map();
    let modules: BTreeSet<String> = map.keys().filter(|m| !m.contains('/')).cloned().collect();
    assert!(modules.len() >= 10, "the map has lost its rows: {modules:?}");
    let src = root().join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for path in files {
        let relative = path.strip_prefix(&src).expect("below src");
        let first = relative.iter().next().and_then(|p| p.to_str()).unwrap_or_default();
        let module = first.trim_end_matches(".rs").to_owned();
        let is_test = relative.file_stem().is_some_and(|s| s == "tests" || s == "suite");
        if module == "lib" || module == "bin" || is_test {
            continue;
        }
        assert!(modules.contains(&module), "module {module} is not in the map");
        seen.insert(module.clone());
        for edge in edges(&code(&path), &modules) {
            if edge != module && !map[&module].contains(&edge) {
                broken.push(format!("{}: {module} uses {edge}", relative.display()));
            }
        }
    }
    assert_eq!(seen, modules, "modules in the sources and in the map");
    assert!(broken.is_empty(), "edges that ARCHITECTURE.md does not list:\n{}", broken.join("\n"));
}

#[test]
fn the_reader_of_edges_sees_every_form() {
    let modules = ["graph", "runtime", "kernels"].map(str::to_owned).into();
    let found = edges("use crate::{graph::Op, runtime};\nfn f() { crate::kernels::g() }", &modules);
    assert_eq!(found, modules);
}
