//! `nowcast run`: arrays in, the model's outputs out.

use std::path::PathBuf;

use nowcast::graph::Tensor;
use nowcast::runtime::{Port, Session};
use serde::Serialize;

use crate::failure::Failure;
use crate::inputs::{InputArgs, LevelArgs, ModelArgs};
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
    #[command(flatten)]
    level: LevelArgs,
    /// Print the outputs' names, types and shapes as JSON
    #[arg(long)]
    json: bool,
}

/// Texts of an output on its line.
const SHOWN: usize = 8;

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
    /// Of i64 the text of each element, of floats the names of the columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
}

/// The texts of an output whose port has labels.
fn texts(port: &Port<'_>, tensor: &Tensor) -> Vec<String> {
    let labels: Vec<&str> = port.labels().collect();
    let text = |index: &i64| usize::try_from(*index).ok().and_then(|i| labels.get(i));
    match tensor.as_slice::<i64>() {
        Some(_) if labels.is_empty() => Vec::new(),
        Some(indices) => {
            indices.iter().map(|i| text(i).map_or(String::new(), |t| (*t).to_owned())).collect()
        }
        None => labels.into_iter().map(str::to_owned).collect(),
    }
}

pub(crate) fn run(args: RunArgs) -> Result<(), Failure> {
    let level = args.level.level()?;
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
    let ports = model.program.outputs();
    for (i, ((name, tensor), port)) in model.outputs(&session)?.into_iter().zip(ports).enumerate() {
        let path = dir.join(format!("{i}.npy"));
        npy::write(&path, &tensor)?;
        report.outputs.push(Output {
            name,
            dtype: tensor.dtype().name(),
            shape: tensor.shape().to_vec(),
            file: path.display().to_string(),
            labels: texts(&port, &tensor),
        });
    }
    if args.json {
        return output::print_json(&report);
    }
    let line = |o: &Output| {
        let (shown, more) = match o.labels.split_at_checked(SHOWN) {
            Some((shown, more)) if !more.is_empty() => (shown, ", .."),
            _ => (&o.labels[..], ""),
        };
        let labels = if shown.is_empty() { String::new() } else { format!("  {shown:?}{more}") };
        format!("{}  {} {}{:?}{labels}\n", o.file, o.name, o.dtype, o.shape)
    };
    output::print(&report.outputs.iter().map(line).collect::<String>())
}
