//! `nowcast compile`: models in, one file out that is run where it lies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nowcast::build::{self, BuildError, Model};
use nowcast::bundle::{File, MAGIC, Writer};
use nowcast::onnx::{Names, names};
use nowcast::runtime::KERNELS;
use serde::Serialize;

use crate::arrays::read_input;
use crate::choices::ChoiceArgs;
use crate::contents::Contents;
use crate::failure::Failure;
use crate::output;

/// Arguments of `nowcast compile`.
#[derive(clap::Args)]
pub(crate) struct CompileArgs {
    /// ONNX files and folders of forecasters, each with a name in the bundle [default: that of the
    /// file or folder]; `-` reads standard input
    #[arg(required = true, value_name = "[NAME=]PATH")]
    models: Vec<String>,
    /// File to write; it is whole, or unchanged
    #[arg(short, long, value_name = "FILE.nowcast")]
    output: PathBuf,
    #[command(flatten)]
    choices: ChoiceArgs,
    /// What to write; each file has the ending of --output replaced by its own
    #[arg(long, value_enum, default_value_t = Emit::Bundle)]
    emit: Emit,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Emit {
    /// The bundle alone, under the name that --output gives
    Bundle,
    /// The bundle (FILE.nowcast), and beside it a Rust module that has it built in (FILE.rs)
    Rust,
    /// The bundle, and beside it C that has it built in (FILE.c, FILE.h)
    C,
}

#[derive(Serialize)]
struct Report {
    files: Vec<String>,
    #[serde(flatten)]
    contents: Contents,
    programs: Vec<ProgramReport>,
}

#[derive(Serialize)]
struct ProgramReport {
    name: String,
    session_bytes: usize,
    arena_bytes: usize,
    state_bytes: usize,
    constant_bytes: usize,
    stack_bytes: usize,
    /// Steps by kernel.
    kernels: BTreeMap<&'static str, usize>,
}

pub(crate) fn run(args: CompileArgs) -> Result<(), Failure> {
    let bytes = compile(&args)?;
    let files = match args.emit {
        Emit::Bundle => {
            output::write_file(&args.output, &bytes)?;
            vec![args.output]
        }
        Emit::Rust => build::emit_rust(&args.output, &bytes).map_err(user)?.into(),
        Emit::C => build::emit_c(&args.output, &bytes).map_err(user)?.into(),
    };
    let report = Report::new(&files, &bytes)?;
    if args.json { output::print_json(&report) } else { output::print(&report.text()) }
}

fn user(error: BuildError) -> Failure {
    Failure::User(error.to_string())
}

fn compile(args: &CompileArgs) -> Result<Vec<u8>, Failure> {
    let read: Vec<Read> =
        args.models.iter().map(|text| Read::new(text)).collect::<Result<_, _>>()?;
    // One model is told all options, for its errors say more.
    let several = read.len() > 1;
    if several {
        let names: Vec<Names> =
            read.iter().map(Read::names).filter_map(Result::transpose).collect::<Result<_, _>>()?;
        args.choices.refuse_strays(&names)?;
    }
    let mut bundle = Writer::new();
    for read in &read {
        let options = match (several, read.names()?) {
            (true, None) => args.choices.options_of_all(),
            (true, Some(names)) => args.choices.options_of(&names)?,
            (false, _) => args.choices.options()?,
        };
        read.model.clone().options(options).write(&mut bundle).map_err(user)?;
    }
    bundle.finish().map_err(Failure::User)
}

/// A model as it was named.
struct Read {
    /// What errors call it.
    path: String,
    model: Model,
    /// Of an ONNX file.
    bytes: Option<Vec<u8>>,
}

impl Read {
    fn new(text: &str) -> Result<Self, Failure> {
        // A name is no path, so that a path may have a `=` behind its first folder.
        let named = text.split_once('=').filter(|(name, _)| !name.contains(['/', '\\']));
        let (name, file) = named.map_or((None, text), |(name, file)| (Some(name), file));
        let path = Path::new(file);
        let mut model = Model::new(path);
        let mut bytes = None;
        if !model.is_forecaster() {
            let (source, read) = read_input(path)?;
            if read.starts_with(MAGIC) {
                return Err(Failure::User(format!(
                    "{source}: this model is compiled already: compile from its ONNX file"
                )));
            }
            if file == "-" {
                model = Model::from_bytes("model", &read);
            }
            bytes = Some(read);
        }
        if let Some(name) = name {
            model = model.name(name);
        }
        Ok(Self { path: file.to_owned(), model, bytes })
    }

    /// What options may name in it; nothing in a forecaster.
    fn names(&self) -> Result<Option<Names>, Failure> {
        let Some(bytes) = &self.bytes else { return Ok(None) };
        names(bytes).map(Some).map_err(|error| Failure::User(format!("{}: {error}", self.path)))
    }
}

impl Report {
    fn new(files: &[PathBuf], bytes: &[u8]) -> Result<Self, Failure> {
        let internal = |error: &dyn std::fmt::Display| Failure::Internal(error.to_string());
        let file = File::from_bytes(bytes).map_err(|error| internal(&error))?;
        let bundle = file.bundle();
        let program = |model: nowcast::bundle::Model<'_>| {
            let program = model.program(&KERNELS).map_err(|error| internal(&error))?;
            let needs = program.memory();
            let mut kernels = BTreeMap::new();
            for step in program.steps() {
                *kernels.entry(step.kernel).or_default() += 1;
            }
            Ok(ProgramReport {
                name: model.name().to_owned(),
                session_bytes: needs.session_bytes,
                arena_bytes: needs.arena_bytes,
                state_bytes: needs.state_bytes,
                constant_bytes: needs.constant_bytes,
                stack_bytes: needs.stack_bytes,
                kernels,
            })
        };
        Ok(Self {
            files: files.iter().map(|path| path.display().to_string()).collect(),
            contents: Contents::new(&bundle),
            programs: bundle.models().map(program).collect::<Result<_, Failure>>()?,
        })
    }

    fn text(&self) -> String {
        let mut text = self.files.join("\n") + "\n";
        // Writing to a string does not fail.
        let _ = self.contents.write(&mut text);
        for program in &self.programs {
            let kernels: Vec<_> = program.kernels.keys().copied().collect();
            text += &format!(
                "{}: a session takes {} bytes; kernels {}\n",
                program.name,
                program.session_bytes,
                kernels.join(", ")
            );
        }
        text
    }
}
