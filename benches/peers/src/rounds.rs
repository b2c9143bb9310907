//! One process a runtime, asked in turns, so that whatever disturbs the machine disturbs all.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::cases::Case;
use crate::engines::Engine;
use crate::older;

/// Turns that each runtime takes.
const ROUNDS: u32 = 20;

/// What one runtime did with one case.
pub(crate) struct Measured {
    pub(crate) engine: Engine,
    /// Sorted.
    pub(crate) times_ns: Vec<u64>,
    pub(crate) load_ns: u64,
    /// Where they are counted.
    pub(crate) heap_calls: Option<u64>,
    pub(crate) arena_bytes: Option<usize>,
    /// Which of the ways that an engine has, where it has several.
    pub(crate) way: Option<String>,
    /// Largest difference to the reference, over the reference's largest element; of draws, of a
    /// moment in standard errors.
    pub(crate) difference: f32,
}

/// Why a runtime is not in a row.
pub(crate) struct Refused {
    pub(crate) engine: Engine,
    pub(crate) reason: String,
}

impl Measured {
    /// The time that `permille` of the calls do not exceed.
    pub(crate) fn rank(&self, permille: usize) -> u64 {
        let rank = (self.times_ns.len() * permille).div_ceil(1000).max(1) - 1;
        self.times_ns.get(rank).copied().unwrap_or(0)
    }
}

/// What tract calls the instruction sets beyond AVX2.
const NEWER_ISAS: &str = "-avx512f,-avx512vnni,-avx512fp16,-avxvnni,-amx-int8,-amx-bf16";

/// Has a peer believe that there is nothing beyond AVX2.
fn older_cpu(engine: Engine, folder: &Path, command: &mut Command) -> Result<(), String> {
    match engine {
        Engine::Nowcast => {}
        Engine::Ort => {
            let library = env::var("ORT_DYLIB_PATH").unwrap_or_default();
            let copy = older::disguise(Path::new(&library), folder);
            let copy = copy.map_err(|error| format!("{library}: {error}"))?;
            command.env("ORT_DYLIB_PATH", copy);
        }
        Engine::Tract => _ = command.env("TRACT_CPU_ISA", NEWER_ISAS),
        Engine::Rten => return Err("it cannot be told which instructions to use".to_owned()),
        // On a CPU that is not Intel's it chooses among its loops as it does without this.
        Engine::Mkl => _ = command.env("MKL_ENABLE_INSTRUCTIONS", "AVX2"),
        Engine::Numpy => {
            command.env("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_ICL AVX512_SPR");
            command.env("OPENBLAS_CORETYPE", "Haswell");
        }
    }
    Ok(())
}

/// The script that serves the engines that draw, on one thread.
fn python() -> Result<Command, String> {
    let python = env::var("NOWCAST_DRAWS_PYTHON")
        .map_err(|_| "NOWCAST_DRAWS_PYTHON does not name a Python with MKL and NumPy".to_owned())?;
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/sampling.py"));
    command.envs([("MKL_NUM_THREADS", "1"), ("MKL_THREADING_LAYER", "SEQUENTIAL")]);
    command.envs([("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1")]);
    Ok(command)
}

/// A process that serves one runtime.
struct Process {
    child: Child,
    commands: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Process {
    fn start(
        engine: Engine,
        folder: &Path,
        case: &Case,
        isa: Option<&str>,
    ) -> Result<Self, String> {
        let mut command = match case.draw.filter(|_| engine != Engine::Nowcast) {
            Some(draw) => {
                let mut command = python()?;
                command.arg(engine.name()).args(draw.arguments());
                command
            }
            None => {
                let this = env::current_exe().map_err(|error| error.to_string())?;
                let mut command = Command::new(this);
                command.arg("serve").arg(engine.name()).arg(folder).arg(&case.case);
                command.args(isa.map(|isa| format!("--isa={isa}")));
                command.env("RTEN_NUM_THREADS", "1");
                command
            }
        };
        if isa.is_some() {
            older_cpu(engine, folder, &mut command)?;
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let (Some(commands), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a process without pipes".to_owned());
        };
        Ok(Self { child, commands, replies: BufReader::new(replies) })
    }

    /// Sends a command and waits for its line.
    fn ask(&mut self, command: &str) -> Result<String, String> {
        let mut line = String::new();
        let sent = writeln!(self.commands, "{command}").and_then(|()| self.commands.flush());
        let read = sent.and_then(|()| self.replies.read_line(&mut line));
        match read {
            Ok(bytes) if bytes > 0 => Ok(line.trim().to_owned()),
            _ => Err(self.last_words()),
        }
    }

    fn numbers<T: std::str::FromStr>(&mut self, command: &str) -> Result<Vec<T>, String> {
        let line = self.ask(command)?;
        Ok(line.split(' ').filter_map(|word| word.parse().ok()).collect())
    }

    /// Why the process ended.
    fn last_words(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            text = lines.last().unwrap_or_default();
        }
        if text.is_empty() { "it ended without a word".to_owned() } else { text }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures a case with each of `engines`, ours among them.
///
/// **Errors**: ours does not run the model, or its answer differs.
pub(crate) fn measure(
    engines: &[Engine],
    folder: &Path,
    case: &Case,
    isa: Option<&str>,
    time: Duration,
) -> Result<(Vec<Measured>, Vec<Refused>), String> {
    let (mut running, mut refused) = (Vec::new(), Vec::new());
    for engine in engines {
        match begin(*engine, folder, case, isa) {
            Ok(begun) => running.push(begun),
            Err(reason) if *engine == Engine::Nowcast => return Err(reason),
            Err(reason) => refused.push(Refused { engine: *engine, reason }),
        }
    }
    compare(folder, case, &mut running, &mut refused)?;

    let loads = case.group == "load";
    let mut turns = Vec::new();
    for (process, measured, _) in &mut running {
        let command = if loads { "reload" } else { "time" };
        let mut trial = process.numbers::<u64>(&format!("{command} 5"))?;
        trial.sort_unstable();
        let call_ns = trial.get(2).copied().unwrap_or(1).max(1);
        let turn_ns = (time / ROUNDS).as_nanos() as u64;
        let least = if loads { 1 } else { 20 };
        turns.push(format!("{command} {}", (turn_ns / call_ns).clamp(least, 20_000)));
        measured.times_ns.clear();
    }
    for _ in 0..ROUNDS {
        for ((process, measured, _), turn) in running.iter_mut().zip(&turns) {
            measured.times_ns.extend(process.numbers::<u64>(turn)?);
        }
    }
    let sorted = running.into_iter().map(|(_, mut measured, _)| {
        measured.times_ns.sort_unstable();
        measured
    });
    Ok((sorted.collect(), refused))
}

type Running = (Process, Measured, Vec<f32>);

/// Starts a process and asks it for everything but times.
fn begin(engine: Engine, folder: &Path, case: &Case, isa: Option<&str>) -> Result<Running, String> {
    let mut process = Process::start(engine, folder, case, isa)?;
    let loaded = process.ask("load")?;
    let arena_bytes: Option<usize> = loaded.parse().ok();
    let way = Some(loaded).filter(|loaded| !loaded.is_empty() && arena_bytes.is_none());
    let answer = process.numbers("answer")?;
    let heap_calls = process.numbers("heap")?.first().copied();
    let mut loads: Vec<u64> = process.numbers("reload 3")?;
    loads.sort_unstable();
    let load_ns = loads.get(1).copied().unwrap_or(0);
    let times_ns = Vec::new();
    let difference = 0.0;
    let measured = Measured { engine, times_ns, load_ns, heap_calls, arena_bytes, way, difference };
    Ok((process, measured, answer))
}

/// Compares the answers before the clock starts. A peer that answers otherwise is left out.
fn compare(
    folder: &Path,
    case: &Case,
    running: &mut Vec<Running>,
    refused: &mut Vec<Refused>,
) -> Result<(), String> {
    if let Some(draw) = case.draw {
        for (_, measured, answer) in running.iter_mut() {
            measured.difference = draw.standard_errors(answer);
        }
    } else {
        differences(folder, case, running)?;
    }
    let differs = |measured: &Measured| measured.difference > case.may_differ(measured.engine);
    for (_, measured, _) in running.iter().filter(|(_, measured, _)| differs(measured)) {
        let of = if case.draw.is_some() { "standard errors" } else { "of the largest" };
        let reason = format!("its answer differs by {:.1e} {of}", measured.difference);
        if measured.engine == Engine::Nowcast {
            return Err(reason);
        }
        refused.push(Refused { engine: measured.engine, reason });
    }
    running.retain(|(_, measured, _)| !differs(measured));
    Ok(())
}

/// Sets the difference of each answer to that of ONNX Runtime, as the machine has it, whatever
/// instruction set is measured: its int8 products saturate on AVX2.
fn differences(folder: &Path, case: &Case, running: &mut [Running]) -> Result<(), String> {
    let reference: Vec<f32> =
        Process::start(Engine::Ort, folder, case, None)?.numbers("reference")?;
    let largest = reference.iter().fold(f32::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
    for (_, measured, answer) in running.iter_mut() {
        let same_len = answer.len() == reference.len();
        let pairs = answer.iter().zip(&reference);
        let most = pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        // A NaN fails no comparison with `max`, so it is asked for.
        let whole = same_len && answer.iter().all(|x| x.is_finite());
        measured.difference = if whole { most / largest } else { f32::INFINITY };
    }
    Ok(())
}
