//! `nowcast verify`: our answer beside another runtime's.

use nowcast::bundle::Tag;
use nowcast::forecast::Forecaster;
use nowcast::graph::Tensor;
use nowcast::kernels::Isa;
use nowcast::runtime::{KERNELS, Session};
use nowcast::tensor::DType;
use serde::Serialize;

use crate::against::{Against, AgainstArgs, answer};
use crate::contents::hex;
use crate::failure::Failure;
use crate::inputs::{InputArgs, ModelArgs, isa, level};
use crate::output;
use crate::source::Source;

/// Arguments of `nowcast verify`.
#[derive(clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    inputs: InputArgs,
    /// Seed of random inputs
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    against: AgainstArgs,
    /// Largest difference that is allowed, relative to the largest output
    /// [default: 1e-5; of f16 and bf16 two units in the last place]
    #[arg(long)]
    tolerance: Option<f64>,
    /// Instruction set: scalar, avx2, avx512 or neon [default: the best of this CPU]
    #[arg(long, value_parser = isa)]
    isa: Option<Isa>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The largest difference that is allowed where nobody says otherwise.
fn usual_tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2.0 / f64::from(1 << 10),
        DType::BF16 => 2.0 / f64::from(1 << 7),
        _ => 1e-5,
    }
}

#[derive(Serialize)]
struct Report {
    agrees: bool,
    outputs: Vec<Output>,
}

#[derive(Serialize)]
struct Output {
    name: String,
    shape: Vec<usize>,
    /// Largest difference over the largest output; null if only one side is finite.
    difference: Option<f64>,
    largest: f64,
    tolerance: f64,
}

pub(crate) fn run(args: VerifyArgs) -> Result<(), Failure> {
    let level = level(args.isa)?;
    let source = Source::open(&args.model.model)?;
    if source.bundle().is_some() && args.against.onnx.is_none() && args.against.against.is_none() {
        return whole(&args, &source);
    }
    let file = args.against.file(&source, &args.model.model)?;
    let model = args.model.load_from(source, &args.inputs, true)?;
    let mut session = Session::new_at(&model.program, level)
        .map_err(|error| Failure::User(format!("{}: {error}", model.name)))?;
    model.fill(&mut session, Some(args.seed))?;
    let inputs = model.inputs(&mut session)?;
    let against = args.against.against.unwrap_or(Against::Ort);
    let expected = answer(against, &model, file, &inputs)?;
    session.run().map_err(|error| Failure::Internal(error.to_string()))?;

    let mut outputs = Vec::new();
    for ((name, ours), theirs) in model.outputs(&session)?.into_iter().zip(&expected) {
        if (ours.dtype(), ours.shape()) != (theirs.dtype(), theirs.shape()) {
            return Err(Failure::Different(format!(
                "{}: output {name:?} is {}{:?}, {}'s is {}{:?}",
                model.name,
                ours.dtype(),
                ours.shape(),
                against.name(),
                theirs.dtype(),
                theirs.shape()
            )));
        }
        let (difference, largest) = compare(&ours, theirs);
        let difference = difference.is_finite().then_some(difference);
        let tolerance = args.tolerance.unwrap_or_else(|| usual_tolerance(ours.dtype()));
        let shape = ours.shape().to_vec();
        outputs.push(Output { name, shape, difference, largest, tolerance });
    }
    let within = |output: &Output| output.difference.is_some_and(|d| d <= output.tolerance);
    let agrees = outputs.iter().all(within);
    let report = Report { agrees, outputs };
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.text())?;
    }
    if agrees {
        return Ok(());
    }
    let over: Vec<&str> =
        report.outputs.iter().filter(|o| !within(o)).map(|o| o.name.as_str()).collect();
    Err(Failure::Different(format!(
        "{}: {} differs from {}'s answer by more than its tolerance",
        model.name,
        over.join(", "),
        against.name()
    )))
}

#[derive(Serialize)]
struct Whole {
    whole: bool,
    bytes: usize,
    content_hash: String,
    models: Vec<String>,
}

/// Checks every byte, program and forecaster of a bundle.
fn whole(args: &VerifyArgs, source: &Source) -> Result<(), Failure> {
    args.model.choices.refuse_for_bundle(&source.name, false)?;
    if !args.inputs.input.is_empty() {
        return Err(Failure::User(format!(
            "{}: --input is for a comparison: name the ONNX file with --onnx",
            source.name
        )));
    }
    if args.model.name.is_some() {
        source.model(args.model.name.as_deref())?;
    }
    source.verify()?;
    let Some(bundle) = source.bundle().map(|file| file.bundle()) else { return Ok(()) };
    for model in bundle.models() {
        let refused = |error: &dyn std::fmt::Display| {
            Failure::User(format!("{}: model {:?}: {error}", source.name, model.name()))
        };
        model.program(&KERNELS).map_err(|error| refused(&error))?;
        model.metadata().map_err(|error| refused(&error))?;
        if model.section(Tag::FORECASTER).is_ok() {
            Forecaster::from_model(&model, &KERNELS).map_err(|error| refused(&error))?;
        }
    }
    let report = Whole {
        whole: true,
        bytes: bundle.as_bytes().len(),
        content_hash: hex(&bundle.content_hash()),
        models: bundle.models().map(|model| model.name().to_owned()).collect(),
    };
    if args.json {
        return output::print_json(&report);
    }
    let (bytes, hash, models) = (report.bytes, &report.content_hash, report.models.join(", "));
    output::print(&format!("whole: {bytes} bytes, hash {hash}, models [{models}]\n"))
}

/// The largest difference relative to the largest finite element of `theirs`, and that element.
/// Infinities and NaN must be the same on both sides.
fn compare(ours: &Tensor, theirs: &Tensor) -> (f64, f64) {
    let (ours, theirs) = (ours.to_f64s(), theirs.to_f64s());
    let finite = theirs.iter().filter(|x| x.is_finite());
    let largest = finite.fold(0.0f64, |largest, x| largest.max(x.abs()));
    let difference = |(a, b): (&f64, &f64)| match a == b || (a.is_nan() && b.is_nan()) {
        true => 0.0,
        false if a.is_finite() && b.is_finite() => (a - b).abs(),
        false => f64::INFINITY,
    };
    let most = ours.iter().zip(&theirs).map(difference).fold(0.0, f64::max);
    (if most == 0.0 { 0.0 } else { most / largest }, largest)
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        for output in &self.outputs {
            let difference =
                output.difference.map_or("not finite".to_owned(), |d| format!("{d:.2e}"));
            text += &format!(
                "{}{:?}  difference {difference} of the largest element, {}; tolerance {:.0e}\n",
                output.name, output.shape, output.largest, output.tolerance
            );
        }
        let verdict = if self.agrees { "agrees" } else { "differs" };
        text + verdict + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_to_the_largest() {
        let theirs = Tensor::vector(&[0.0f32, -4.0, f32::NAN, f32::INFINITY]);
        assert_eq!(compare(&theirs, &theirs), (0.0, 4.0));
        let near = Tensor::vector(&[1.0f32, -4.0, f32::NAN, f32::INFINITY]);
        assert_eq!(compare(&near, &theirs), (0.25, 4.0));
        for wrong in [
            [0.0f32, -4.0, 1.0, f32::INFINITY],
            [0.0, f32::NAN, f32::NAN, f32::INFINITY],
            [0.0, -4.0, f32::NAN, f32::NEG_INFINITY],
        ] {
            assert_eq!(compare(&Tensor::vector(&wrong), &theirs).0, f64::INFINITY);
        }
        let zeros = Tensor::vector(&[0i64, 0]);
        assert_eq!(compare(&zeros, &zeros), (0.0, 0.0));
        assert_eq!(compare(&Tensor::vector(&[0i64, 1]), &zeros).0, f64::INFINITY);
    }
}
