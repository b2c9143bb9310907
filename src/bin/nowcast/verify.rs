//! `nowcast verify`: our answer beside another runtime's.

use nowcast::bundle::Tag;
use nowcast::forecast::Forecaster;
use nowcast::graph::Tensor;
use nowcast::kernels::Level;
use nowcast::load::Precision;
use nowcast::runtime::{KERNELS, KernelId, Program, Session};
use nowcast::tensor::DType;
use serde::Serialize;

use crate::against::{Against, AgainstArgs, answer};
use crate::contents::hex;
use crate::failure::Failure;
use crate::inputs::{InputArgs, LevelArgs, Model, ModelArgs};
use crate::output;
use crate::source::{Kind, Source};

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
    /// [default: 1e-5; of f16 and bf16 two units in the last place; with weights in bf16 2^-6, with products of
    /// integers 2^-5: a rounding that falls to the other side is carried on by all behind it]
    #[arg(long)]
    tolerance: Option<f64>,
    #[command(flatten)]
    level: LevelArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The largest difference that is allowed where nobody says otherwise.
///
/// Rounding to bf16 moves a number by up to 2^-9 of it. Of a product that is the error of each
/// summand, so that the sum is off by less of the largest one; a few layers add theirs, and an
/// activation or a norm may double them. Four times 2^-8 leaves room for that, and is still far
/// below what a wrong weight does.
fn usual_tolerance(dtype: DType, precision: &str) -> f64 {
    match (dtype, precision) {
        (DType::F32 | DType::F64, BF16) => 1.0 / 64.0,
        (DType::F32 | DType::F64, INT8) => 1.0 / 32.0,
        (DType::F16, _) => 2.0 / f64::from(1 << 10),
        (DType::BF16, _) => 2.0 / f64::from(1 << 7),
        _ => 1e-5,
    }
}

const BF16: &str = Precision::Bf16.name();
const INT8: &str = "int8";

/// In which type a program has the weights of products.
fn precision(program: &Program<'_>) -> &'static str {
    let has = |ids: &[KernelId]| program.steps().any(|step| ids.contains(&step.id));
    if has(&[KernelId::LinearI8, KernelId::ConvI8, KernelId::MatMulI8]) {
        INT8
    } else if has(&[KernelId::LinearBf16]) {
        BF16
    } else {
        Precision::F32.name()
    }
}

#[derive(Serialize)]
struct Report {
    agrees: bool,
    /// Whose answer ours is compared with.
    against: &'static str,
    /// Type of the weights of products.
    precision: &'static str,
    outputs: Vec<Output>,
}

#[derive(Serialize)]
struct Output {
    name: String,
    shape: Vec<usize>,
    /// Largest difference over the largest output; null if only one side is finite.
    difference: Option<f64>,
    /// Root mean square of the differences over the largest output, likewise.
    rms: Option<f64>,
    largest: f64,
    tolerance: f64,
}

pub(crate) fn run(args: VerifyArgs) -> Result<(), Failure> {
    let level = args.level.level()?;
    let source = Source::open(&args.model.model)?;
    if source.bundle().is_some() && args.against.onnx.is_none() && args.against.against.is_none() {
        return whole(&args, &source);
    }
    // What weights in bf16 cost is told without another runtime.
    let itself =
        args.model.choices.precision() == Precision::Bf16 && args.against.against.is_none();
    let file = args.against.file(&source, &args.model.model)?;
    let model = args.model.load_from(source, &args.inputs, true)?;
    let mut session = Session::new_at(&model.program, level)
        .map_err(|error| Failure::User(format!("{}: {error}", model.name)))?;
    model.fill(&mut session, Some(args.seed))?;
    let inputs = model.inputs(&mut session)?;
    let theirs = args.against.against.unwrap_or(Against::Ort);
    let expected = match itself {
        true => in_f32(&args, &model, level)?,
        false => answer(theirs, &model, file, &inputs)?,
    };
    let against = if itself { "the same in f32" } else { theirs.name() };
    session.run().map_err(|error| Failure::Internal(error.to_string()))?;
    let precision = precision(&model.program);

    let mut outputs = Vec::new();
    for ((name, ours), theirs) in model.outputs(&session)?.into_iter().zip(&expected) {
        if (ours.dtype(), ours.shape()) != (theirs.dtype(), theirs.shape()) {
            return Err(Failure::Different(format!(
                "{}: output {name:?} is {}{:?}, that of {against} is {}{:?}",
                model.name,
                ours.dtype(),
                ours.shape(),
                theirs.dtype(),
                theirs.shape()
            )));
        }
        let [difference, rms, largest] = compare(&ours, theirs);
        let [difference, rms] = [difference, rms].map(|d| d.is_finite().then_some(d));
        let tolerance = args.tolerance.unwrap_or_else(|| usual_tolerance(ours.dtype(), precision));
        let shape = ours.shape().to_vec();
        outputs.push(Output { name, shape, difference, rms, largest, tolerance });
    }
    let within = |output: &Output| output.difference.is_some_and(|d| d <= output.tolerance);
    let agrees = outputs.iter().all(within);
    let report = Report { agrees, against, precision, outputs };
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
        "{}: {} differs from the answer of {against} by more than its tolerance",
        model.name,
        over.join(", ")
    )))
}

/// Our own answer with weights as in the model.
fn in_f32(args: &VerifyArgs, model: &Model, level: Level) -> Result<Vec<Tensor>, Failure> {
    let kind = Kind::Onnx(model.bytes.clone());
    let source = Source { name: model.name.clone(), kind, open_ns: 0 };
    let plain = ModelArgs { choices: args.model.choices.in_f32(), ..args.model.clone() };
    let model = plain.load_from(source, &args.inputs, true)?;
    let mut session = Session::new_at(&model.program, level)
        .map_err(|error| Failure::User(format!("{}: {error}", model.name)))?;
    model.fill(&mut session, Some(args.seed))?;
    session.run().map_err(|error| Failure::Internal(error.to_string()))?;
    Ok(model.outputs(&session)?.into_iter().map(|(_, tensor)| tensor).collect())
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

/// The largest difference and the root mean square of all, relative to the largest finite element
/// of `theirs`, and that element. Infinities and NaN must be the same on both sides.
fn compare(ours: &Tensor, theirs: &Tensor) -> [f64; 3] {
    let (ours, theirs) = (ours.to_f64s(), theirs.to_f64s());
    let finite = theirs.iter().filter(|x| x.is_finite());
    let largest = finite.fold(0.0f64, |largest, x| largest.max(x.abs()));
    let difference = |(a, b): (&f64, &f64)| match a == b || (a.is_nan() && b.is_nan()) {
        true => 0.0,
        false if a.is_finite() && b.is_finite() => (a - b).abs(),
        false => f64::INFINITY,
    };
    let differences = || ours.iter().zip(&theirs).map(difference);
    let most = differences().fold(0.0, f64::max);
    let rms = (differences().map(|d| d * d).sum::<f64>() / ours.len().max(1) as f64).sqrt();
    let relative = |d: f64| if d == 0.0 { 0.0 } else { d / largest };
    [relative(most), relative(rms), largest]
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        for output in &self.outputs {
            let show = |d: Option<f64>| d.map_or("not finite".to_owned(), |d| format!("{d:.2e}"));
            let (difference, rms) = (show(output.difference), show(output.rms));
            text += &format!(
                "{}{:?}  difference {difference} of the largest element, {}; root mean square \
                 {rms}; tolerance {:.0e}\n",
                output.name, output.shape, output.largest, output.tolerance
            );
        }
        let verdict = if self.agrees { "agrees with" } else { "differs from" };
        text + &format!("weights in {}: {verdict} {}\n", self.precision, self.against)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_to_the_largest() {
        let theirs = Tensor::vector(&[0.0f32, -4.0, f32::NAN, f32::INFINITY]);
        assert_eq!(compare(&theirs, &theirs), [0.0, 0.0, 4.0]);
        let near = Tensor::vector(&[1.0f32, -4.0, f32::NAN, f32::INFINITY]);
        assert_eq!(compare(&near, &theirs), [0.25, 0.125, 4.0]);
        for wrong in [
            [0.0f32, -4.0, 1.0, f32::INFINITY],
            [0.0, f32::NAN, f32::NAN, f32::INFINITY],
            [0.0, -4.0, f32::NAN, f32::NEG_INFINITY],
        ] {
            assert_eq!(compare(&Tensor::vector(&wrong), &theirs)[0], f64::INFINITY);
        }
        let zeros = Tensor::vector(&[0i64, 0]);
        assert_eq!(compare(&zeros, &zeros), [0.0; 3]);
        assert_eq!(compare(&Tensor::vector(&[0i64, 1]), &zeros)[0], f64::INFINITY);
    }
}
