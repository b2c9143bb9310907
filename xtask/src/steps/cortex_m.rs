//! The Cortex-M example: built, run under emulation, its answers compared with the host's, its
//! flash and RAM measured.

mod answers;
mod image;

use std::fs;

use crate::context::{Context, Failure, Outcome, output, run};
use crate::steps::{cargo_tests, cross};

use answers::Answers;
use image::Image;

const TARGET: &str = "thumbv7em-none-eabihf";
const PROGRAM: &str = "nowcast-cortex-m";
/// What the example is built from besides its sources: the forecasters in flash.
const BUNDLE: &str = "forecasters.nowcast";
const FORECASTERS: [&str; 2] = ["jfk-sklearn-mlp", "jfk-lstm"];

/// Largest code of our own, constants included, weights not.
const CODE_LIMIT: u64 = 144 * 1024;
/// SysTick of the emulated board counts at 25 MHz while `-icount shift=0` lets an instruction take
/// a nanosecond.
const INSTRUCTIONS_A_TICK: u64 = 40;

/// Installs what is missing, then builds, runs, compares and measures the example.
pub(crate) fn example(context: &Context) -> Outcome {
    cross::install(context, &[cross::COMPILER, &["lld"]].concat())?;
    let folder = context.root.join("examples/cortex-m");
    let bundle = folder.join(BUNDLE);
    let mut compile = context.command(cargo_tests::program(context)?);
    compile.arg("compile").args(FORECASTERS.map(|name| context.root.join("models").join(name)));
    output(compile.arg("--output").arg(&bundle), "the forecasters were not compiled")?;

    run(
        cross::cargo(context, &folder, "build", TARGET)
            .args(["--release", "-Zbuild-std=core"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER", "ld.lld"),
        "the Cortex-M example does not build",
    )?;
    let program = context.target().join("cross").join(TARGET).join("release").join(PROGRAM);

    let mut emulator = cross::qemu_system_arm(context)?;
    emulator
        .args(["-machine", "mps2-an386", "-nographic", "-icount", "shift=0"])
        .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
        .arg(&program);
    let board = output(&mut emulator, "the Cortex-M example failed under emulation")?;
    let host = output(
        context
            .cargo(["run", "--quiet", "--manifest-path"])
            .arg(folder.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(context.target().join("cortex-m-host")),
        "the Cortex-M example failed on the host",
    )?;
    let (board, host) = (Answers::read(&board)?, Answers::read(&host)?);
    let compared = board.compare(&host)?;

    let image = Image::read(context, &program)?;
    image.check_no_allocator()?;
    let bundle = fs::metadata(&bundle).map_err(|error| Failure::io(&bundle, &error))?.len();
    let code = image.flash.saturating_sub(bundle);
    if code > CODE_LIMIT {
        return Err(Failure::new(format!(
            "the Cortex-M example has {code} bytes of code, more than {CODE_LIMIT}"
        )));
    }
    println!("    {compared}");
    println!("    no allocator among {} symbols\n", image.symbols_len());
    print!("{}", table(&board, code)?);
    Ok(())
}

/// Flash, RAM and instructions, as the README shows them. Code and stack serve both forecasters.
fn table(board: &Answers, code: u64) -> Outcome<String> {
    let each = |what: &str, number: &dyn Fn(&str) -> Outcome<u64>| -> Outcome<String> {
        let cells: Outcome<Vec<String>> =
            FORECASTERS.iter().map(|name| number(name).map(thousands)).collect();
        Ok(format!("| {what} | {} |\n", cells?.join(" | ")))
    };
    let both = |what: &str, number: u64| each(what, &|_| Ok(number));
    let size = |what: &'static str| move |name: &str| board.size(&format!("{name}.{what}"));
    let instructions = |what: &'static str| {
        move |name: &str| Ok(board.ticks(&format!("{name}.{what}"))? * INSTRUCTIONS_A_TICK)
    };
    let rows = [
        format!("| | `{}` |\n|---|---:|---:|\n", FORECASTERS.join("` | `")),
        both("flash: code and constants (both in one program)", code)?,
        each("flash: weights and factor", &size("weights"))?,
        each("RAM: session", &size("session"))?,
        both("RAM: stack, at its deepest", board.size("stack")?)?,
        each("instructions: check and open", &instructions("open"))?,
        each("instructions: a forecast", &instructions("forecast"))?,
        each("instructions: four paths of 24 hours", &instructions("paths"))?,
    ];
    Ok(rows.concat())
}

/// A number with commas.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
