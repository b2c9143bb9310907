//! `nowcast inspect`: what a model became.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use nowcast::bundle::File;
use nowcast::kernels::Level;
use nowcast::load::{self, LoadError, Optimized};
use nowcast::optimize::Applied;
use nowcast::optimize::Kept;
use nowcast::optimize::bf16::Narrowed;
use nowcast::runtime::{KERNELS, KernelId, Port, Program, StepInfo};
use nowcast::tensor::DType;
use serde::Serialize;

use crate::contents::Contents;
use crate::failure::Failure;
use crate::inputs::ModelArgs;
use crate::output;
use crate::refusal::refused;
use crate::source::{Kind, Source};

/// Arguments of `nowcast inspect`.
#[derive(clap::Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Show each step: its kernel and the node that it came from
    #[arg(long)]
    explain: bool,
    /// Show the graph after optimization
    #[arg(long)]
    graph: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    inputs: Vec<PortReport>,
    outputs: Vec<PortReport>,
    session_bytes: usize,
    arena_bytes: usize,
    state_bytes: usize,
    constant_bytes: usize,
    stack_bytes: usize,
    isa: &'static str,
    /// Instructions beyond that: products of pairs of bf16.
    avx512_bf16: bool,
    avx_vnni: bool,
    avx512_vnni: bool,
    /// Tiles of AMX; they are asked for where a step would use them.
    amx: &'static str,
    /// Steps by kernel.
    kernels: BTreeMap<&'static str, usize>,
    /// What each pass over the graph did, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passes: Vec<PassReport>,
    /// Products whose weights did not become bf16, where that was chosen.
    /// What computes in f32 though an operand is quantized.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_quantized: Vec<KeptReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bf16: Option<Bf16Report>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<StepReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    graph: Option<Vec<String>>,
}

#[derive(Serialize)]
struct PortReport {
    name: String,
    dtype: &'static str,
    /// A number; the name of a dimension that is chosen per call; or null where the extent follows
    /// from such dimensions.
    shape: Vec<serde_json::Value>,
    dims: BTreeMap<String, [usize; 2]>,
    max_bytes: usize,
    is_state: bool,
    /// Its shape is known only behind a run.
    is_measured: bool,
    /// Of i64 what each number means, of floats the names of the columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct StepReport {
    kernel: &'static str,
    /// How a session computes it here, where the kernel has several ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<&'static str>,
    node: String,
    /// The step that may be next in place of the one behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<usize>,
}

#[derive(Serialize)]
struct Bf16Report {
    products: usize,
    kept_in_f32: Vec<KeptReport>,
}

#[derive(Serialize)]
struct KeptReport {
    node: String,
    op: &'static str,
    reason: &'static str,
}

#[derive(Serialize)]
struct PassReport {
    name: &'static str,
    does: &'static str,
    places: usize,
}

pub(crate) fn run(args: InspectArgs) -> Result<(), Failure> {
    let source = Source::open(&args.model.model)?;
    match &source.kind {
        Kind::Bundle(file) => bundle(&args, &source, file),
        Kind::Onnx(bytes) => onnx(&args, bytes.as_deref()),
    }
}

fn onnx(args: &InspectArgs, bytes: Option<&[u8]>) -> Result<(), Failure> {
    args.model.refuse_name()?;
    let options = args.model.choices.options()?;
    let refused = |error: LoadError| match bytes {
        Some(bytes) => refused(&error, bytes, args.json),
        None => refused(&error, &fs::read(&args.model.model).unwrap_or_default(), args.json),
    };
    let program = match bytes {
        Some(bytes) => load::from_bytes(bytes, &options),
        None => load::from_path(&args.model.model, &options),
    }
    .map_err(refused)?;
    let mut report = Report::new(&program, args.explain);
    if args.graph || args.explain {
        let optimized = match bytes {
            Some(bytes) => load::graph_from_bytes(bytes, &options),
            None => load::graph_from_path(&args.model.model, &options),
        }
        .map_err(refused)?;
        report.explain(args, optimized);
    }
    if args.json { output::print_json(&report) } else { output::print(&report.text()) }
}

/// What is in a bundle, and what its model became: the one that is named, or the only one.
#[derive(Serialize)]
struct BundleReport {
    bundle: Contents,
    /// Whether every byte is as it was written; a bundle that is not is refused.
    whole: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<serde_json::Value>,
    #[serde(flatten)]
    program: Option<Report>,
}

fn bundle(args: &InspectArgs, source: &Source, file: &File) -> Result<(), Failure> {
    args.model.choices.refuse_for_bundle(&source.name, false)?;
    let user = |error: &dyn std::fmt::Display| Failure::User(format!("{}: {error}", source.name));
    if args.graph {
        return Err(user(&"a bundle has no graph: give --graph with the ONNX file"));
    }
    source.verify()?;
    let whole = file.bundle();
    let mut report =
        BundleReport { bundle: Contents::new(&whole), whole: true, metadata: None, program: None };
    if whole.models().count() == 1 || args.model.name.is_some() {
        let model = source.model(args.model.name.as_deref())?;
        let program = model.program(&KERNELS).map_err(|error| user(&error))?;
        let metadata = model.metadata().map_err(|error| user(&error))?;
        report.program = Some(Report::new(&program, args.explain));
        // Another writer may have left it out, or have written what is no JSON.
        let text = || metadata.into();
        report.metadata = (!metadata.is_empty())
            .then(|| serde_json::from_str(metadata).unwrap_or_else(|_| text()));
    }
    if args.json { output::print_json(&report) } else { output::print(&report.text()) }
}

impl BundleReport {
    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.bundle.write(&mut text);
        text += "  whole: every checksum is right\n";
        if let Some(metadata) = &self.metadata {
            text += &format!("Metadata\n  {metadata}\n");
        }
        match &self.program {
            Some(report) => text += &report.text(),
            None => text += "Several models: --name shows one\n",
        }
        text
    }
}

impl Report {
    fn new(program: &Program<'_>, explain: bool) -> Self {
        let needs = program.memory();
        let mut kernels = BTreeMap::new();
        for step in program.steps() {
            *kernels.entry(step.kernel).or_default() += 1;
        }
        let mut level = Level::detect();
        if kernels.contains_key(KernelId::LinearBf16.name()) {
            level = level.ask_for_amx();
        }
        let step = |(i, s): (usize, StepInfo<'_>)| StepReport {
            kernel: s.kernel,
            way: program.way(i, level),
            node: s.node.to_owned(),
            target: s.target,
        };
        Self {
            inputs: program.inputs().map(PortReport::new).collect(),
            outputs: program.outputs().map(PortReport::new).collect(),
            session_bytes: needs.session_bytes,
            arena_bytes: needs.arena_bytes,
            state_bytes: needs.state_bytes,
            constant_bytes: needs.constant_bytes,
            stack_bytes: needs.stack_bytes,
            isa: level.isa().name(),
            avx512_bf16: level.has_avx512_bf16(),
            avx_vnni: level.has_avx_vnni(),
            avx512_vnni: level.has_avx512_vnni(),
            amx: level.tiles().name(),
            kernels,
            steps: if explain {
                program.steps().enumerate().map(step).collect()
            } else {
                Vec::new()
            },
            passes: Vec::new(),
            not_quantized: Vec::new(),
            bf16: None,
            graph: None,
        }
    }

    /// What only an ONNX file tells.
    fn explain(&mut self, args: &InspectArgs, optimized: Optimized) {
        let Optimized { graph, passes, kept, bf16, .. } = optimized;
        if args.graph {
            self.graph = Some(graph.to_string().lines().map(str::to_owned).collect());
        }
        if args.explain {
            let report =
                |&Applied { name, does, places }: &Applied| PassReport { name, does, places };
            self.passes = passes.iter().map(report).collect();
            let report = |Kept { node, op, reason }| KeptReport { node, op, reason };
            self.not_quantized = kept.into_iter().map(report).collect();
            self.bf16 = bf16.map(|Narrowed { places, kept: nodes }| Bf16Report {
                products: places,
                kept_in_f32: nodes.into_iter().map(report).collect(),
            });
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        for (what, ports) in [("Inputs", &self.inputs), ("Outputs", &self.outputs)] {
            writeln!(out, "{what}")?;
            for port in ports {
                let state = if port.is_state { "  (kept between runs)" } else { "" };
                writeln!(out, "  {}{state}", port.text)?;
                port.write_labels(out)?;
            }
        }
        writeln!(out, "Memory in bytes")?;
        writeln!(
            out,
            "  session {} (arena {}, state {}), constants {}, stack at most {}",
            self.session_bytes,
            self.arena_bytes,
            self.state_bytes,
            self.constant_bytes,
            self.stack_bytes
        )?;
        let beyond = match (self.avx512_bf16, self.avx512_vnni) {
            (true, true) => " with avx512bf16 and avx512vnni",
            (true, false) => " with avx512bf16",
            (false, true) => " with avx512vnni",
            (false, false) if self.avx_vnni => " with avxvnni",
            (false, false) => "",
        };
        let amx = match self.amx {
            "none" => String::new(),
            amx => format!("; tiles of amx {amx}"),
        };
        writeln!(out, "Instruction set\n  {}{beyond}{amx}", self.isa)?;
        if !self.passes.is_empty() {
            writeln!(out, "Passes")?;
        }
        for PassReport { name, does, places } in &self.passes {
            writeln!(out, "  {name:<12} {places:>4} x {does}")?;
        }
        if !self.not_quantized.is_empty() {
            writeln!(out, "In f32 though an operand is quantized")?;
        }
        for KeptReport { node, op, reason } in &self.not_quantized {
            writeln!(out, "  {op} {node}: {reason}")?;
        }
        if let Some(Bf16Report { products, kept_in_f32 }) = &self.bf16 {
            writeln!(out, "Products with weights in bf16: {products}")?;
            for KeptReport { node, op, reason } in kept_in_f32 {
                writeln!(out, "  f32: {op} {node}: {reason}")?;
            }
        }
        writeln!(out, "Steps: {}", self.kernels.values().sum::<usize>())?;
        if self.steps.is_empty() {
            for (kernel, count) in &self.kernels {
                writeln!(out, "  {count:>4} x {kernel}")?;
            }
        }
        for (i, step) in self.steps.iter().enumerate() {
            let kernel = match (step.target, step.way) {
                (Some(target), _) => format!("{} -> {target}", step.kernel),
                (None, Some(way)) => format!("{} {way}", step.kernel),
                (None, None) => step.kernel.to_owned(),
            };
            writeln!(out, "  {i:>4} {kernel:<24} {}", step.node)?;
        }
        if let Some(graph) = &self.graph {
            writeln!(out, "Graph")?;
            for line in graph {
                writeln!(out, "  {line}")?;
            }
        }
        Ok(())
    }
}

impl PortReport {
    /// What its numbers mean, as far as a line has room for it.
    fn write_labels(&self, out: &mut String) -> std::fmt::Result {
        const SHOWN: usize = 20;
        if self.labels.is_empty() {
            return Ok(());
        }
        let what = if self.dtype == DType::I64.name() { "numbers" } else { "columns" };
        let shown = self.labels.iter().take(SHOWN).enumerate();
        let shown: Vec<String> = shown.map(|(i, label)| format!("{i} {label:?}")).collect();
        let more = match self.labels.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        writeln!(out, "    {what}: {}{more}", shown.join(", "))
    }

    fn new(port: Port<'_>) -> Self {
        let axes = || 0..port.rank();
        let extent = |axis| match (port.fixed_extent(axis), port.variable(axis)) {
            (Some(extent), _) => extent.into(),
            (_, Some((name, _, _))) => name.into(),
            _ => serde_json::Value::Null,
        };
        let bounds =
            |axis| port.variable(axis).map(|(name, min, max)| (name.to_owned(), [min, max]));
        Self {
            name: port.name.to_owned(),
            dtype: port.dtype.name(),
            shape: axes().map(extent).collect(),
            dims: axes().filter_map(bounds).collect(),
            max_bytes: port.max_bytes(),
            is_state: port.is_state(),
            is_measured: port.is_measured(),
            labels: port.labels().map(str::to_owned).collect(),
            text: format!("{port:?}"),
        }
    }
}
