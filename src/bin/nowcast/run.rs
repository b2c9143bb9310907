//! `nowcast run`: arrays in, the model's outputs out.

use std::path::PathBuf;

use nowcast::kernels::Isa;
use nowcast::runtime::Session;
use serde::Serialize;

use crate::failure::Failure;
use crate::inputs::{InputArgs, ModelArgs, isa, level};
use crate::{npy, output};

/// Arguments of `nowcast run`.
#[derive(clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    inputs: InputArgs,
    /// Folder for the outputs; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    output_dir: PathBuf,
    /// Instruction set: scalar, avx2, avx512 or neon [default: the best of this CPU]
    #[arg(long, value_parser = isa)]
    isa: Option<Isa>,
    /// Print the outputs' names, types and shapes as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    isa: &'static str,
    constants: Vec<String>,
    outputs: Vec<Output>,
}

#[derive(Serialize)]
struct Output {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    file: String,
}

pub(crate) fn run(args: RunArgs) -> Result<(), Failure> {
    let level = level(args.isa)?;
    let model = args.model.load(&args.inputs)?;
    let mut session = Session::new_at(&model.program, level)
        .map_err(|error| Failure::User(format!("{}: {error}", model.name)))?;
    model.fill(&mut session, None)?;
    session.run().map_err(|error| Failure::Internal(error.to_string()))?;

    let dir = &args.output_dir;
    std::fs::create_dir_all(dir).map_err(|error| Failure::writing(dir.display(), &error))?;
    let mut report = Report {
        isa: session.isa().name(),
        constants: model.bound.iter().map(|given| given.name.clone()).collect(),
        outputs: Vec::new(),
    };
    for (i, (name, tensor)) in model.outputs(&session)?.into_iter().enumerate() {
        let path = dir.join(format!("{i}.npy"));
        npy::write(&path, &tensor)?;
        report.outputs.push(Output {
            name,
            dtype: tensor.dtype().name(),
            shape: tensor.shape().to_vec(),
            file: path.display().to_string(),
        });
    }
    if args.json {
        return output::print_json(&report);
    }
    let line = |o: &Output| format!("{}  {} {}{:?}\n", o.file, o.name, o.dtype, o.shape);
    output::print(&report.outputs.iter().map(line).collect::<String>())
}
