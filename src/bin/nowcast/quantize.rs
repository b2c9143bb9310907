//! `nowcast quantize`: a float model and calibration data in, a quantized model out.

mod data;
mod folder;
mod latency;
mod parquet;
mod report;

use std::io::Write;
use std::path::PathBuf;

use nowcast::forecast::calendar::DateTime;
use nowcast::quantize::{
    Activations, Calibration, Method, Mode, Model, Options, QuantizeError, Stage, quantize,
};

use crate::choices::ChoiceArgs;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use report::Report;

/// Arguments of `nowcast quantize`.
#[derive(clap::Args)]
pub(crate) struct QuantizeArgs {
    /// Float ONNX file, or the folder of a forecaster; `-` reads ONNX from standard input
    model: PathBuf,
    /// ONNX file to write; of a forecaster's folder also a folder. It is whole, or unchanged
    #[arg(short, long, value_name = "OUT.onnx|DIR")]
    output: PathBuf,
    /// What is quantized, and when ranges are taken
    #[arg(long, value_enum, default_value_t = ModeArg::Static)]
    mode: ModeArg,
    /// Bits of the weights; 4 in mode weights alone
    #[arg(long, value_name = "8|4", default_value_t = 8, value_parser = clap::value_parser!(u8).range(4..=8))]
    bits: u8,
    /// Weights of 4 bits that share a scale
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=65536))]
    block_size: u32,
    /// Type of quantized activations in static mode
    #[arg(long, value_enum, default_value_t = ActivationsArg::U8)]
    activations: ActivationsArg,
    /// One scale for each weight tensor, in place of one for each of its channels
    #[arg(long)]
    per_tensor: bool,
    #[command(flatten)]
    data: DataArgs,
    /// How ranges are taken from calibration data
    #[arg(long, value_enum, default_value_t = Calibrate::MinMax)]
    calibration: Calibrate,
    /// Elements that --calibration percentile keeps
    #[arg(long, value_name = "PCT", default_value_t = 99.99)]
    percentile: f64,
    /// Keep layers in float, those that lose most first, until the loss on the calibration data is
    /// at most this: the change of a forecaster's weighted quantile loss, or the root mean square
    /// of the differences over the standard deviation of the outputs
    #[arg(long, value_name = "PCT")]
    max_loss: Option<f64>,
    /// Do not quantize each layer alone to see what it loses
    #[arg(long)]
    no_table: bool,
    #[command(flatten)]
    choices: ChoiceArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where calibration data comes from.
#[derive(clap::Args)]
pub(crate) struct DataArgs {
    /// Calibration data of an input, axis 0 counts the samples: NPY, NPZ (an array for each
    /// input), CSV or Parquet (a row for each sample). NAME may be left out where the file names
    /// the inputs, as NPZ does, and where the model has one input. May be given more than once
    #[arg(long, value_name = "[NAME=]FILE")]
    input: Vec<String>,
    /// Calibrate on so many random samples: the ranges are then those of no real data
    #[arg(long, value_name = "N", conflicts_with = "input", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    random: Option<u32>,
    /// Seed of the random samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Observations to calibrate a forecaster on, CSV with the columns time and value [default: the
    /// forecaster's own]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["input", "random"])]
    series: Option<PathBuf>,
    /// Calibrate on observations before this time alone
    #[arg(long, value_name = "TIME", conflicts_with_all = ["input", "random"])]
    before: Option<DateTime>,
    /// Samples, or forecasts, that are taken at most, evenly over all
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ModeArg {
    /// Weights and activations, with ranges from calibration data
    Static,
    /// Weights and activations, with ranges from the data of each run
    Dynamic,
    /// Weights alone
    Weights,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ActivationsArg {
    /// 0 to 255
    U8,
    /// -128 to 127
    I8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Calibrate {
    /// From the least to the largest
    MinMax,
    /// Without the outermost elements
    Percentile,
    /// The least relative entropy to what was observed
    Entropy,
    /// The least squared error
    Mse,
}

pub(crate) fn run(args: QuantizeArgs) -> Result<(), Failure> {
    let options = options(&args)?;
    let is_folder = args.model.is_dir();
    if !is_folder && args.output.extension().is_none_or(|ending| ending != "onnx") {
        return Err(Failure::User(format!(
            "{}: the name of the output must end in .onnx",
            args.output.display()
        )));
    }
    let source = data::Source::open(&args.model)?;
    let refused = |error: QuantizeError| refused(&source.name, &error);
    if is_folder && (!args.data.input.is_empty() || args.data.random.is_some()) {
        return Err(Failure::User(format!(
            "{}: a forecaster is calibrated on a series: give one with --series",
            source.name
        )));
    }
    let calibration = data::calibration(&args.data, &source, &options.load)?;
    let mut bar: Option<(Stage, Progress)> = None;
    let quantized = quantize(&source.model, calibration.as_ref(), &options.quantize, &mut |at| {
        if args.json {
            return;
        }
        if bar.as_ref().is_none_or(|(stage, _)| *stage != at.stage) {
            let what = match at.stage {
                Stage::Calibrating => "calibrating",
                Stage::Measuring => "quantizing each layer alone",
                Stage::Searching => "searching for layers to keep in float",
            };
            bar = Some((at.stage, Progress::new(what, at.parts as u64)));
        }
        if let Some((_, progress)) = &mut bar {
            progress.set(at.done as u64);
        }
    })
    .map_err(refused)?;
    drop(bar);
    let samples = match &calibration {
        Some(Calibration::Samples(samples)) => Some(samples.clone()),
        Some(Calibration::Forecasts(forecasts)) => Some(forecasts.samples()),
        _ => None,
    };
    let latency = match samples {
        Some(samples) => Some(latency::measure(&source, &quantized.onnx, &samples, &options.load)?),
        None => None,
    };
    match is_folder && args.output.extension().is_none_or(|ending| ending != "onnx") {
        true => folder::write(&args.model, &args.output, &quantized.onnx)?,
        false => output::write_file(&args.output, &quantized.onnx)?,
    }
    let report = Report::new(&args, &source.model, &quantized, latency);
    if args.json { output::print_json(&report) } else { output::print(&report.text()) }
}

/// What was chosen, for quantizing and for loading.
struct Chosen {
    quantize: Options,
    load: nowcast::load::Options,
}

fn options(args: &QuantizeArgs) -> Result<Chosen, Failure> {
    let wrong = |sentence: &str| Err(Failure::User(sentence.to_owned()));
    if args.bits != 8 && args.bits != 4 {
        return wrong("--bits is 8 or 4");
    }
    if args.bits == 4 && args.mode != ModeArg::Weights {
        return wrong("--bits 4 is for weights alone: choose --mode weights");
    }
    if !(args.percentile > 50.0 && args.percentile <= 100.0) {
        return wrong("--percentile is above 50 and at most 100");
    }
    if args.max_loss.is_some_and(|loss| !loss.is_finite()) {
        return wrong("--max-loss is a number in per cent");
    }
    let mode = match args.mode {
        ModeArg::Static => Mode::Static,
        ModeArg::Dynamic => Mode::Dynamic,
        ModeArg::Weights => Mode::Weights,
    };
    let load = args.choices.options()?;
    let mut options = Options::new(mode)
        .method(match args.calibration {
            Calibrate::MinMax => Method::MinMax,
            Calibrate::Percentile => Method::Percentile(args.percentile),
            Calibrate::Entropy => Method::Entropy,
            Calibrate::Mse => Method::Mse,
        })
        .activations(match args.activations {
            ActivationsArg::U8 => Activations::U8,
            ActivationsArg::I8 => Activations::I8,
        })
        .table(!args.no_table)
        .load(load.clone());
    if args.per_tensor {
        options = options.per_tensor();
    }
    if args.bits == 4 {
        options = options.int4(args.block_size as usize);
    }
    if let Some(per_cent) = args.max_loss {
        options = options.max_loss(per_cent);
    }
    Ok(Chosen { quantize: options, load })
}

/// An error of the library, with what it speaks of and the option that helps.
fn refused(name: &str, error: &QuantizeError) -> Failure {
    Failure::User(match error {
        QuantizeError::NoCalibration => format!(
            "{name}: static quantization needs calibration data: give it with --input \
             NAME=FILE.npy, or choose --mode dynamic or --mode weights"
        ),
        QuantizeError::Io { .. } | QuantizeError::Forecaster(_) => error.to_string(),
        error => format!("{name}: {error}"),
    })
}

/// Tells the user on standard error of something that does not stop us.
fn warn(sentence: &str) {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(std::io::stderr(), "nowcast: {sentence}");
}

/// The model of a file, or of a forecaster's folder.
fn read_model(path: &std::path::Path, bytes: Option<&[u8]>) -> Result<Model, QuantizeError> {
    bytes.map_or_else(|| Model::from_path(path), Model::from_bytes)
}
