//! Models built into C programs: what is emitted compiles, answers as Rust does, and with
//! `nowcast_minimal` is small.
#![cfg(unix)]

#[path = "../../tests/cli_run/onnx_file.rs"]
mod onnx_file;

mod build;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use build::{compiler, finish, folder, link, minimal_library, root, static_library};
use nowcast::build::{Model, bundle};
use nowcast::bundle::File;
use nowcast::emit;
use nowcast::forecast::{ForecastSession, Forecaster};

/// Stripped, with its model and the C library: the promise of the README.
#[cfg(target_os = "linux")]
const LIMIT: u64 = 640_000;

/// Writes `stem.nowcast`, `stem.h` and `stem.c`, and gives the last.
fn emit(to: &Path, stem: &str, models: &[Model]) -> String {
    let file = File::from_bytes(&bundle(models).expect("a bundle")).expect("opens");
    let text = emit::c(&file.bundle(), stem).expect("text");
    let path = |ending: &str| to.join(format!("{stem}.{ending}"));
    fs::write(path("nowcast"), file.bundle().as_bytes()).expect("written");
    fs::write(path("h"), text.header).expect("written");
    fs::write(path("c"), text.source).expect("written");
    path("c").to_str().expect("UTF-8").to_owned()
}

fn model(folder: &str) -> Model {
    Model::new(root().join("models").join(folder))
}

fn temperature(to: &Path) -> String {
    emit(to, "temperature", &[model("jfk-lstm").name("temperature")])
}

/// What the example prints, as the library in Rust has it.
fn expected() -> String {
    const FIRST_HOUR: i64 = 385_525;
    let folder = root().join("models/jfk-lstm");
    let forecaster = Forecaster::from_folder(folder).expect("a forecaster");
    let mut session = ForecastSession::new(&forecaster).expect("memory");
    let len = forecaster.context() as i64;
    let measure =
        |hour: i64| 50.0 - (hour % 24 - 12).abs() as f32 - ((hour - FIRST_HOUR) / 24) as f32;
    let mut low = vec![0.0; forecaster.horizon()];
    let mut text = String::new();
    for last in FIRST_HOUR + len..FIRST_HOUR + len + 24 {
        let context: Vec<f32> = (last + 1 - len..=last).map(measure).collect();
        session.forecast(&context, (last + 1) * 3600).expect("a forecast");
        session.quantile(0.05, &mut low).expect("a quantile");
        let coldest = low.iter().copied().fold(f32::INFINITY, f32::min);
        let act = if coldest < 32.0 { "heat" } else { "rest" };
        writeln!(text, "{:.3} {coldest:.3} {act}", session.mean()[0]).expect("text");
    }
    text
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_with_its_model_is_small() {
    let to = folder("embedded");
    let mut extra = ["-Os", "-Wl,--gc-sections", "-s"].map(str::to_owned).to_vec();
    extra.push(temperature(&to));
    let program = link("examples/c/embedded.c", &to, extra, &minimal_library(), &[]);
    let printed = finish(&mut Command::new(&program)).stdout;
    assert_eq!(String::from_utf8(printed).expect("text"), expected());
    let bytes = |path: &Path| fs::metadata(path).expect("a file").len();
    let (all, model) = (bytes(&program), bytes(&to.join("temperature.nowcast")));
    println!("embedded: {all} bytes stripped, of these the model {model}; the limit is {LIMIT}");
    assert!(all < LIMIT, "{all} bytes");

    // Without any shared library either. Another C library alone has more than the limit.
    // The step `c` installs musl's compiler.
    let program = to.join("embedded-static");
    let mut command = Command::new("musl-gcc");
    command.args(["-std=c99", "-Os", "-static", "-Wl,--gc-sections", "-s", "-o"]).arg(&program);
    command.arg("-I").arg(root().join("ffi/include")).arg("-I").arg(&to);
    command.arg(root().join("examples/c/embedded.c")).arg(to.join("temperature.c"));
    finish(command.arg(minimal_library()));
    let printed = finish(&mut Command::new(&program)).stdout;
    assert_eq!(String::from_utf8(printed).expect("text"), expected());
    let all = bytes(&program);
    println!("embedded, static with musl: {all} bytes stripped");
    assert!(all < LIMIT, "{all} bytes");
}

/// Two models for `bundles.c`.
fn pair(to: &Path) -> String {
    let affine = Model::from_bytes("affine", &onnx_file::affine()).dim_range("rows", 1, 8);
    emit(to, "pair", &[affine, model("jfk-sklearn-mlp").name("mlp")])
}

/// `--wrap` is of GNU's linker and those that follow it.
#[cfg(target_os = "linux")]
fn wraps() -> Vec<String> {
    let functions = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "free"];
    functions.map(|function| format!("-Wl,--wrap={function}")).to_vec()
}

#[cfg(target_os = "linux")]
#[test]
fn refusals_have_a_status_and_a_sentence() {
    let to = folder("bundles");
    let (archive, flags) = static_library();
    let extra = [wraps(), vec!["-O1".into(), "-g".into(), pair(&to)]].concat();
    let program = link("ffi/tests/c/bundles.c", &to, extra, &archive, &flags);
    finish(Command::new(program).arg(to.join("pair.nowcast")));
}

#[cfg(target_os = "linux")]
#[test]
fn the_minimal_library_refuses_alike_and_has_no_heap() {
    let to = folder("bundles-minimal");
    let only = ["-O1", "-g", "-DNOWCAST_MINIMAL"].map(str::to_owned).to_vec();
    let extra = [wraps(), only, vec![pair(&to)]].concat();
    let program = link("ffi/tests/c/bundles.c", &to, extra, &minimal_library(), &[]);
    finish(&mut Command::new(program));

    // What the header says that it needs of the system.
    let library = minimal_library().with_extension("so");
    let needs = finish(Command::new("nm").args(["-D", "--undefined-only"]).arg(library)).stdout;
    let needs = String::from_utf8(needs).expect("text");
    let needs: Vec<&str> =
        needs.lines().filter_map(|line| line.trim().strip_prefix("U ")).collect();
    let allowed = ["abort", "bcmp", "memcmp", "memcpy", "memmove", "memset", "strlen"];
    for function in needs.iter().map(|name| name.split('@').next().unwrap_or(name)) {
        assert!(allowed.contains(&function), "it needs {function}");
    }
}

#[test]
fn what_is_emitted_compiles_as_c_and_cpp() {
    let to = folder("emitted");
    let lstm = model("jfk-lstm/model.onnx").name("lstm").dim("batch", 1);
    let affine = Model::from_bytes("2nd \"?*/ model", &onnx_file::affine());
    let sources = [
        emit(&to, "one", &[lstm]),
        emit(&to, "nowcast-rows", &[affine.clone().dim_range("rows", 1, 8)]),
        emit(
            &to,
            "3-state",
            &[Model::from_bytes("sum", &onnx_file::running_sum()), affine.dim("rows", 2)],
        ),
    ];
    for source in sources {
        for (is_cpp, standard, language) in [(false, "-std=c99", "c"), (true, "-std=c++11", "c++")]
        {
            let mut command = compiler(is_cpp, standard);
            finish(command.args(["-fsyntax-only", "-x", language]).arg(&source));
        }
    }
}
