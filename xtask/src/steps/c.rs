//! Builds and runs C and C++ programs against the static library.
//!
//! Each source in `tests/c` and `ffi/examples` that defines `main` is one program; the other
//! sources of `tests/c` are linked to the programs there, and those get the paths of all models as
//! arguments. A program passes if it exits with zero.

use std::path::{Path, PathBuf};
use std::{fs, process::Command};

use crate::context::{Context, Failure, Outcome, output, run};

/// Folders with programs.
const FOLDERS: &[&str] = &["tests/c", "ffi/examples"];

/// Warnings are errors: the header and the examples are the interface's first users.
const WARNINGS: &[&str] = &["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-g"];

pub(crate) fn programs(context: &Context) -> Outcome {
    let header = context.root.join("ffi/include/nowcast.h");
    if !header.exists() {
        return Err(Failure::new("ffi/include/nowcast.h is missing: C has nothing to include"));
    }
    let library = static_library(context)?;
    let build = context.target().join("c");
    fs::create_dir_all(&build).map_err(|error| Failure::io(&build, &error))?;
    let (programs, shared) = sources(context)?;
    let mut models = Vec::new();
    collect_models(&context.root.join("models"), &mut models);
    models.sort();
    let objects = shared
        .iter()
        .map(|source| compile(context, source, &build))
        .collect::<Outcome<Vec<PathBuf>>>()?;
    for source in &programs {
        let object = compile(context, source, &build)?;
        let program = object.with_extension("");
        run(
            compiler(context, source)
                .arg(&object)
                .args(if in_tests(context, source) { &objects[..] } else { &[] })
                .arg(&library.archive)
                .args(&library.flags)
                .arg("-o")
                .arg(&program),
            &format!("{} does not link", source.display()),
        )?;
        let mut start = context.command(&program);
        if in_tests(context, source) {
            start.args(&models);
        }
        run(&mut start, &format!("{} failed", source.display()))?;
        println!("    {} ok", relative(context, source));
    }
    println!("    {} programs", programs.len());
    Ok(())
}

fn collect_models(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect_models(&path, found);
        } else if extension(&path) == "onnx" {
            found.push(path);
        }
    }
}

struct Library {
    archive: PathBuf,
    /// System libraries that Rust's standard library needs.
    flags: Vec<String>,
}

fn static_library(context: &Context) -> Outcome<Library> {
    let mut rustc = context.cargo(["rustc", "--package", "nowcast-ffi", "--crate-type"]);
    rustc.args(["staticlib", "--", "--print", "native-static-libs"]);
    let printed = rustc.output().map_err(|error| Failure::io(Path::new("cargo"), &error))?;
    let notes = String::from_utf8_lossy(&printed.stderr);
    if !printed.status.success() {
        return Err(Failure::new(format!("the C library does not build\n{notes}")));
    }
    let flags = notes
        .lines()
        .find_map(|line| line.split_once("native-static-libs:"))
        .map(|(_, flags)| flags.split_whitespace().map(str::to_owned).collect())
        .ok_or_else(|| Failure::new("rustc does not say which libraries to link"))?;
    Ok(Library { archive: context.target().join("debug/libnowcast_c.a"), flags })
}

/// The sources with a `main`, and the others of `tests/c`.
fn sources(context: &Context) -> Outcome<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut programs, mut shared) = (Vec::new(), Vec::new());
    for folder in FOLDERS {
        let folder = context.root.join(folder);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if !matches!(extension(&path), "c" | "cpp") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(|error| Failure::io(&path, &error))?;
            let list = if text.contains("int main(") { &mut programs } else { &mut shared };
            list.push(path);
        }
    }
    programs.sort();
    shared.sort();
    Ok((programs, shared))
}

fn compile(context: &Context, source: &Path, build: &Path) -> Outcome<PathBuf> {
    let name = relative(context, source).replace(['/', '.'], "_");
    let object = build.join(name).with_extension("o");
    output(
        compiler(context, source)
            .args(WARNINGS)
            .arg("-Iffi/include")
            .arg("-Itests/c")
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(&object),
        &format!("{} does not compile", source.display()),
    )?;
    Ok(object)
}

/// The C or C++ compiler with its language standard: the oldest that the header promises.
fn compiler(context: &Context, source: &Path) -> Command {
    let (tool, standard) = match extension(source) {
        "cpp" => (Context::tool("CXX", "c++"), "-std=c++17"),
        _ => (Context::tool("CC", "cc"), "-std=c11"),
    };
    let mut command = context.command(tool);
    command.arg(standard);
    command
}

/// Whether the program is a test; an example is linked as its reader would link it.
fn in_tests(context: &Context, path: &Path) -> bool {
    path.starts_with(context.root.join("tests/c"))
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

fn relative(context: &Context, path: &Path) -> String {
    path.strip_prefix(&context.root).unwrap_or(path).display().to_string()
}
