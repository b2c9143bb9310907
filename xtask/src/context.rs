//! Where things are, and how a command is run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Why a step stopped: one sentence that says what to do.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// An input or output error at `path`.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// The folders of the checkout that the steps share.
pub(crate) struct Context {
    /// The workspace root.
    pub(crate) root: PathBuf,
    /// What the steps install: ignored by git, kept between runs.
    pub(crate) oracle: PathBuf,
}

impl Context {
    pub(crate) fn new() -> Outcome<Self> {
        // The manifest's folder is known when xtask is built; cargo builds it in this checkout.
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or_else(|| Failure::new("xtask must lie in a folder of the workspace"))?
            .to_path_buf();
        let oracle = root.join(".oracle");
        Ok(Self { root, oracle })
    }

    /// The folder that cargo builds into.
    pub(crate) fn target(&self) -> PathBuf {
        match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => self.root.join(folder),
            None => self.root.join("target"),
        }
    }

    /// The `cargo` that runs us, with these arguments.
    pub(crate) fn cargo<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        // What incremental builds keep is three times what they build, and each step builds once.
        command.args(arguments).env("CARGO_INCREMENTAL", "0");
        command
    }

    /// A command that starts in the workspace root.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// The value of `variable`, or `default`: the way to name another compiler.
    pub(crate) fn tool(variable: &str, default: &str) -> String {
        env::var(variable).unwrap_or_else(|_| default.to_owned())
    }
}

/// Runs a command with our standard output; `otherwise` is the sentence if it fails.
pub(crate) fn run(command: &mut Command, otherwise: &str) -> Outcome {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure(format!("{otherwise} ({program}: {status})"))),
        Err(error) => Err(Failure(format!("{program} did not start: {error}; {otherwise}"))),
    }
}

/// Runs a command and returns what it prints.
pub(crate) fn output(command: &mut Command, otherwise: &str) -> Outcome<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            let printed = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            Err(Failure(format!("{otherwise} ({program}: {})\n{printed}{errors}", output.status)))
        }
        Err(error) => Err(Failure(format!("{program} did not start: {error}; {otherwise}"))),
    }
}

/// The triple that `rustc` builds for unless it is told otherwise.
pub(crate) fn host(context: &Context) -> Outcome<String> {
    let version =
        output(context.command("rustc").arg("--version").arg("--verbose"), "there is no rustc")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::new("rustc does not say which host it is for"))
}

/// A file that says what a folder was made from. Work whose stamp is current is not done again.
pub(crate) struct Stamp {
    path: PathBuf,
    expected: String,
}

impl Stamp {
    /// A stamp at `path` over the contents of `sources`.
    pub(crate) fn new(path: PathBuf, sources: &[PathBuf]) -> Outcome<Self> {
        let mut expected = String::new();
        for source in sources {
            let text = fs::read_to_string(source).map_err(|error| Failure::io(source, &error))?;
            expected.push_str(&format!("{:016x} {}\n", fnv1a(text.as_bytes()), text.len()));
        }
        Ok(Self { path, expected })
    }

    pub(crate) fn is_current(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text == self.expected)
    }

    /// Withdraws the stamp: called before the work starts.
    pub(crate) fn clear(&self) {
        // Nothing to withdraw is as good.
        let _ = fs::remove_file(&self.path);
    }

    /// Sets the stamp: called when the work is whole.
    pub(crate) fn set(&self) -> Outcome {
        fs::write(&self.path, &self.expected).map_err(|error| Failure::io(&self.path, &error))
    }
}

/// FNV-1a, 64 bits: the same on every host and toolchain, which is all a stamp needs.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
