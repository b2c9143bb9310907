//! Building the libraries, with the `cargo` that runs the test, and C and C++ programs, with `$CC`
//! and `$CXX`, or `cc` and `c++`.
#![allow(dead_code, reason = "each test uses some")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// A folder for what one test builds.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

pub(crate) fn finish(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

pub(crate) fn cargo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    finish(command.current_dir(root()).args(arguments))
}

/// Where this package's libraries lie: beside the folder of integration tests.
pub(crate) fn libraries() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("debug")
}

/// The static library, and the system libraries that it needs.
pub(crate) fn static_library() -> (PathBuf, Vec<String>) {
    let printed = cargo(&[
        "rustc",
        "--package",
        "nowcast-ffi",
        "--crate-type",
        "staticlib",
        "--",
        "--print",
        "native-static-libs",
    ]);
    let notes = String::from_utf8_lossy(&printed.stderr).into_owned();
    let flags = notes
        .lines()
        .find_map(|line| line.split_once("native-static-libs:"))
        .map(|(_, flags)| flags.split_whitespace().map(str::to_owned).collect())
        .expect("rustc says which libraries to link");
    (libraries().join("libnowcast_c.a"), flags)
}

/// A compiler with all warnings as errors.
pub(crate) fn compiler(is_cpp: bool, standard: &str) -> Command {
    let (variable, default) = if is_cpp { ("CXX", "c++") } else { ("CC", "cc") };
    let mut command = Command::new(env::var_os(variable).unwrap_or_else(|| default.into()));
    command.arg(standard).args(WARNINGS).arg("-I").arg(root().join("ffi/include"));
    command
}

/// The library for bundles alone, in a build of its own: a release without `std`.
pub(crate) fn minimal_library() -> PathBuf {
    cargo(&["build", "--profile", "minimal", "--package", "nowcast-minimal"]);
    libraries().with_file_name("minimal").join("libnowcast_minimal.a")
}

/// Builds a program against the static library.
pub(crate) fn build(source: &str, to: &Path, extra: &[&str]) -> PathBuf {
    let (archive, flags) = static_library();
    let extra = extra.iter().chain(["-O1", "-g"].iter()).copied();
    link(source, to, extra.map(str::to_owned).collect(), &archive, &flags)
}

/// Builds a program against a library. What is extra may be flags and more sources.
pub(crate) fn link(
    source: &str,
    to: &Path,
    extra: Vec<String>,
    archive: &Path,
    flags: &[String],
) -> PathBuf {
    let source = root().join(source);
    let is_cpp = source.extension().is_some_and(|e| e == "cpp");
    let program = to.join(source.file_stem().expect("a name"));
    let mut command = compiler(is_cpp, if is_cpp { "-std=c++17" } else { "-std=c99" });
    command.arg("-o").arg(&program).arg("-I").arg(to).arg(&source).args(extra);
    finish(command.arg(archive).args(flags));
    program
}
