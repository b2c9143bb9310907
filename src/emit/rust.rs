//! A bundle as a Rust module: `no_std`, without a heap, with typed inputs and outputs.

use std::fmt::Write;

use super::EmitError;
use super::names::Scope;
use crate::bundle::{Bundle, BundleError, Model, Tag};
use crate::forecast::{Forecaster, ModelError};
use crate::runtime::{KERNELS, Port, Program};
use crate::tensor::DType;

/// Begins an item, of which a program may use any or none, and which no formatter changes: the text
/// is the same wherever it is emitted again. `@` stands in its place first.
const ALLOW: &str = "\n#[allow(dead_code, unreachable_pub)]\n#[rustfmt::skip]\n";
/// Lines are no longer where they can be broken.
const MAX_WIDTH: usize = 100;
/// An argument that is an array has no more on one line.
const ARGUMENT_WIDTH: usize = 60;

/// The text of a module that has this bundle built in from `file`, which is to lie beside it.
///
/// A bundle of one model gives its items themselves, one of several a module for each. The text
/// serves as a module's file and for `include!`; compiling it fails if `file` is another bundle.
///
/// **Errors**: [`EmitError::Model`] for a model that is refused, or whose forecaster is.
///
/// **Cost**: allocates the text.
///
/// # Examples
/// ```
/// # #[cfg(feature = "onnx")] {
/// use nowcast::build::{Model, bundle};
/// use nowcast::bundle::File;
/// use nowcast::emit;
///
/// let model = Model::new("models/jfk-lstm/model.onnx").dim("batch", 1);
/// let file = File::from_bytes(&bundle(&[model])?)?;
/// let text = emit::rust(&file.bundle(), "lstm.nowcast")?;
/// assert!(text.contains("pub fn mean(&self) -> &[f32; 24]"));
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn rust(bundle: &Bundle<'_>, file: &str) -> Result<String, EmitError> {
    let mut text = head(bundle, file);
    let models: Vec<Model<'_>> = bundle.models().collect();
    if let [alone] = &models[..] {
        text += &items(alone, "BUNDLE")?;
        return Ok(text.replace("\n@", ALLOW));
    }
    let mut modules = Scope::default();
    for model in &models {
        let module = modules.add(model.name(), "model", |name| vec![name.to_owned()]);
        text += &format!("\n/// The model {}.\n@pub mod {module} {{\n", quoted(model.name()));
        for row in items(model, "super::BUNDLE")?.replace("\n@", "\n").trim().lines() {
            text += if row.is_empty() { "" } else { "    " };
            text += row;
            text.push('\n');
        }
        text += "}\n";
    }
    Ok(text.replace("\n@", ALLOW))
}

/// A name for documentation.
fn quoted(name: &str) -> String {
    format!("`{}`", name.escape_debug().to_string().replace('`', "'"))
}

fn head(bundle: &Bundle<'_>, file: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let hash = u128::from_be_bytes(bundle.content_hash());
    format!(
        r#"// Emitted by nowcast {version}: compile the model again rather than edit this. It needs the crate
// `nowcast` of this version without its features: neither `std` nor a heap.

/// The bundle, where it lies in the program.
@pub static BUNDLE: &[u8] = {{
    #[repr(C, align(64))]
    struct Aligned<B: ?Sized>(B);
    const FILE: &Aligned<[u8]> = &Aligned(*include_bytes!({file:?}));
    let hash = {hash:#034x}u128.to_be_bytes();
    let mut i = 0;
    while i < hash.len() {{
        assert!(FILE.0[8 + i] == hash[i], "the bundle is another than this was emitted from");
        i += 1;
    }}
    &FILE.0
}};
"#
    )
}

/// What a model gives.
fn items(model: &Model<'_>, bundle: &str) -> Result<String, EmitError> {
    let refused = |source| EmitError::Model { model: model.name().to_owned(), source };
    match Forecaster::from_model(model, &KERNELS) {
        Ok(forecaster) => Ok(of_forecaster(model.name(), bundle, &forecaster)),
        Err(ModelError::Bundle(BundleError::NoSection { tag: Tag::FORECASTER })) => {
            let program = model.program(&KERNELS).map_err(|error| refused(error.into()))?;
            Ok(of_program(model.name(), bundle, &program))
        }
        Err(error) => Err(refused(error)),
    }
}

/// What programs and forecasters have in common: kernels and memory.
fn common(program: &Program<'_>, bytes_on_host: impl Fn(usize) -> usize) -> String {
    let mut kernels: Vec<_> = program.steps().map(|step| step.id).collect();
    kernels.sort_unstable_by_key(|id| *id as u32);
    kernels.dedup();
    let kernels: Vec<String> =
        kernels.iter().map(|id| format!("kernels::{}", id.constant())).collect();
    let list = match kernels.join(", ") {
        list if list.len() + "&[]".len() <= ARGUMENT_WIDTH => format!("&[{list}]"),
        _ => format!("&[\n        {},\n    ]", kernels.join(",\n        ")),
    };
    format!(
        r"
/// The kernels that it needs: a linker drops the others.
@pub const KERNELS: ::nowcast::runtime::Kernels = {{
    use ::nowcast::runtime::{{Kernels, kernels}};
    Kernels::new({list})
}};

/// Bytes that a session takes.
@pub const SESSION_BYTES: usize = match size_of::<usize>() {{
    8 => {},
    _ => {},
}};

/// Where the memory of a session begins: a multiple of this.
@pub const ALIGNMENT: usize = 64;

/// The memory of a session.
@#[repr(C, align(64))]
pub struct Memory([u8; SESSION_BYTES]);

@impl Memory {{
    /// Memory that is zero.
    pub const fn new() -> Self {{
        Self([0; SESSION_BYTES])
    }}
}}

impl Default for Memory {{
    fn default() -> Self {{
        Self::new()
    }}
}}
",
        bytes_on_host(8),
        bytes_on_host(4)
    )
}

/// The model where it lies, and a session of it.
fn opened(bundle: &str, name: &str, what: &Kind) -> String {
    let Kind { model, error, open, accessor, session } = what;
    format!(
        r"
/// The model, run where it lies.
@#[derive(Debug)]
pub struct Model({model}<'static>);

/// Opens the model.
///
/// **Errors**: none, unless memory is damaged: the bundle is checked as one that comes from
/// outside.
///
/// **Cost**: checks the structure; copies nothing, no allocation.
@pub fn open() -> Result<Model, {error}> {{
    let bundle = ::nowcast::bundle::Bundle::open({bundle})?;
    let model = bundle.model({name:?})?;
    {open}
}}

@impl Model {{
    /// A session in this memory, on the instruction set that `level` allows.
    ///
    /// **Errors**: none, for the memory is as large as it must be.
    ///
    /// **Cost**: clears the memory; no allocation.
    pub fn session<'m>(
        &'m self,
        level: ::nowcast::kernels::Level,
        memory: &'m mut Memory,
    ) -> Result<Session<'m>, ::nowcast::runtime::SessionError> {{
        {session}::in_memory(&self.0, level, &mut memory.0).map(Session)
    }}

    /// What it is beneath.
    pub fn {accessor}(&self) -> &{model}<'static> {{
        &self.0
    }}
}}

/// One thread's memory for the model, and the calls that serve: they neither allocate nor lock.
@#[derive(Debug)]
pub struct Session<'m>({session}<'m>);

@impl<'m> Session<'m> {{
    /// What it is beneath: the way to what has no call here.
    pub fn inner(&mut self) -> &mut {session}<'m> {{
        &mut self.0
    }}
"
    )
}

/// What a session is of.
struct Kind {
    model: &'static str,
    error: &'static str,
    open: &'static str,
    accessor: &'static str,
    session: &'static str,
}

fn of_forecaster(name: &str, bundle: &str, forecaster: &Forecaster<'_>) -> String {
    let mut text = format!(
        r"
/// Observations that a forecast is made from.
@pub const CONTEXT: usize = {};

/// Steps that a forecast reaches.
@pub const HORIZON: usize = {};

/// Seconds from one step to the next.
@pub const STEP_SECONDS: u32 = {};
",
        forecaster.context(),
        forecaster.horizon(),
        forecaster.step_seconds()
    );
    text += &common(forecaster.program(), |bytes| forecaster.session_bytes_on_host(bytes));
    text += &opened(
        bundle,
        name,
        &Kind {
            model: "::nowcast::forecast::Forecaster",
            error: "::nowcast::forecast::ModelError",
            open: "::nowcast::forecast::Forecaster::from_model(&model, &KERNELS).map(Model)",
            accessor: "forecaster",
            session: "::nowcast::forecast::ForecastSession",
        },
    );
    text += r#"
    /// Forecasts the steps that follow a context, the first of them at this time.
    ///
    /// **Errors**: an observation or a mean that is not finite; the last forecast is unchanged
    /// then.
    pub fn forecast(
        &mut self,
        context: &[f32; CONTEXT],
        first_step_unix_seconds: i64,
    ) -> Result<(), ::nowcast::forecast::ForecastError> {
        self.0.forecast(context, first_step_unix_seconds)
    }

    /// The mean of the last forecast; zeros before the first.
    pub fn mean(&self) -> &[f32; HORIZON] {
        self.0.mean().first_chunk().unwrap_or(&[0.0; HORIZON])
    }

    /// A quantile of each step of the last forecast.
    ///
    /// **Errors**: no forecast yet; a probability that is not above zero and below one.
    pub fn quantile(
        &self,
        p: f64,
        out: &mut [f32; HORIZON],
    ) -> Result<(), ::nowcast::forecast::ForecastError> {
        self.0.quantile(p, out)
    }

    /// Correlated paths of the last forecast; path `first_path` and those behind it.
    ///
    /// **Errors**: no forecast yet.
    pub fn paths(
        &self,
        seed: u64,
        stream: u64,
        first_path: u64,
        out: &mut [[f32; HORIZON]],
    ) -> Result<(), ::nowcast::forecast::ForecastError> {
        self.0.paths(seed, stream, first_path, out.as_flattened_mut())
    }
}
"#;
    text
}

fn of_program(name: &str, bundle: &str, program: &Program<'_>) -> String {
    let mut scope = Scope::default();
    let mut text = String::new();
    let mut calls = String::new();
    let mut dims: Vec<&str> = Vec::new();
    let (inputs, outputs): (Vec<_>, Vec<_>) =
        (program.inputs().collect(), program.outputs().collect());
    // A state grows by itself.
    for port in inputs.iter().filter(|port| !port.is_state()) {
        for (dim, min, max) in (0..port.rank()).filter_map(|axis| port.variable(axis)) {
            if dims.contains(&dim) {
                continue;
            }
            dims.push(dim);
            let derived = |name: &str| vec![format!("set_{name}"), name.to_uppercase()];
            let id = scope.add(dim, "dim", derived);
            variable(&mut text, &mut calls, &id, dim, min, max);
        }
    }
    for (is_input, ports) in [(true, &inputs), (false, &outputs)] {
        let (what, otherwise) = if is_input { ("Input", "input") } else { ("Output", "output") };
        for (i, port) in ports.iter().enumerate() {
            // A state that grows lies in the memory of its largest extent.
            if port.is_state() && is_input {
                continue;
            }
            let call = |id: &str| if is_input { format!("{id}_mut") } else { id.to_owned() };
            let id = scope.add(port.name, otherwise, |id| {
                vec![call(id), format!("copy_{id}"), format!("{id}_shape")]
                    .into_iter()
                    .chain([format!("{}_SHAPE", id.to_uppercase())])
                    .chain([format!("{}_MAX_LEN", id.to_uppercase())])
                    .collect()
            });
            let of = Emitted { what, port, i, id: &id, call: &call(&id), is_input };
            of.write(&mut text, &mut calls);
        }
    }
    text += &common(program, |bytes| program.session_bytes_on_host(bytes));
    text += &opened(
        bundle,
        name,
        &Kind {
            model: "::nowcast::runtime::Program",
            error: "::nowcast::bundle::BundleError",
            open: "model.program(&KERNELS).map(Model)",
            accessor: "program",
            session: "::nowcast::runtime::Session",
        },
    );
    text += &calls;
    text += r"
    /// Runs the model on the inputs as they are.
    ///
    /// **Errors**: a growing state is full; outputs and state are unchanged then.
    pub fn run(&mut self) -> Result<(), ::nowcast::runtime::RunError> {
        self.0.run()
    }
}
";
    text
}

/// The bounds of a dimension that is chosen per call, and the call that chooses it.
fn variable(text: &mut String, calls: &mut String, id: &str, dim: &str, min: usize, max: usize) {
    let (upper, quoted) = (id.to_uppercase(), quoted(dim));
    // Writing to a string does not fail.
    let _ = write!(
        text,
        r"
/// The least and largest {quoted}, which is chosen per call.
@pub const {upper}: ::core::ops::RangeInclusive<usize> = {min}..={max};
"
    );
    let _ = write!(
        calls,
        r"
    /// Sets {quoted}; before the first call it is the least.
    ///
    /// **Errors**: an extent out of bounds; nothing is changed then.
    pub fn set_{id}(&mut self, extent: usize) -> Result<(), ::nowcast::runtime::BindError> {{
        self.0.set_extent({dim:?}, extent)
    }}
"
    );
}

/// A port on its way into text.
struct Emitted<'e> {
    what: &'static str,
    port: &'e Port<'e>,
    i: usize,
    id: &'e str,
    call: &'e str,
    is_input: bool,
}

impl Emitted<'_> {
    fn write(&self, text: &mut String, calls: &mut String) {
        let Self { what, port, i, id, call, is_input } = self;
        let (upper, quoted) = (id.to_uppercase(), quoted(port.name));
        // A boolean is a byte, zero or one; a small type that Rust has no name for, its bits.
        let element = match port.dtype {
            DType::F16 => "::nowcast::tensor::F16",
            DType::BF16 => "::nowcast::tensor::Bf16",
            other => other.plain().name(),
        };
        let kind = if *is_input { "input" } else { "output" };
        let axes: Option<Vec<usize>> = (0..port.rank()).map(|a| port.fixed_extent(a)).collect();
        let shaped =
            format!("{:?}", port).split_once(' ').map_or(String::new(), |s| s.1.to_owned());
        // Writing to a string does not fail.
        let Some(axes) = axes else {
            let most = port.max_bytes() / port.dtype.bytes();
            let _ = write!(
                text,
                r"
/// Most elements of {kind} {quoted}.
@pub const {upper}_MAX_LEN: usize = {most};
"
            );
            let _ = write!(
                calls,
                r"
    /// Shape of {kind} {quoted} under the present extents.
    pub fn {id}_shape(&self) -> ::nowcast::runtime::Shape {{
        self.0.{kind}_shape({i}).unwrap_or_default()
    }}
"
            );
            self.elements(calls, element, &format!("[{element}]"), &shaped);
            return;
        };
        let (rank, len) = (axes.len(), axes.iter().product::<usize>());
        let _ = write!(
            text,
            r"
/// Shape of {kind} {quoted}.
@pub const {upper}_SHAPE: [usize; {rank}] = {axes:?};
"
        );
        if port.is_state() {
            self.elements(calls, element, "", &shaped);
            return;
        }
        let (this, array) = if *is_input {
            ("&mut self", format!("&mut [{element}; {len}]"))
        } else {
            ("&self", format!("&[{element}; {len}]"))
        };
        let (get, chunk) = match is_input {
            true => ("input_mut", "first_chunk_mut"),
            false => ("output", "first_chunk"),
        };
        let call = signature(call, &[this], &array);
        let _ = write!(
            calls,
            r#"
    /// {what} {quoted}, `{shaped}`.
{call}
        let elements = self.0.{get}({i}).unwrap_or_default();
        elements.{chunk}().expect("of this bundle")
    }}
"#
        );
    }

    /// Elements whose number is known when it runs, or that do not lie behind one another.
    fn elements(&self, calls: &mut String, element: &str, slice: &str, shaped: &str) {
        let Self { what, port, i, id, call, is_input } = self;
        let quoted = quoted(port.name);
        // Writing to a string does not fail.
        let _ = match (port.is_state(), is_input) {
            (true, _) => write!(
                calls,
                r"
    /// Copies output {quoted}, `{shaped}`, which is kept for the next run.
    ///
    /// **Errors**: `to` has another length; it is unchanged then.
{}
        self.0.copy_output({i}, to)
    }}
",
                signature(
                    &format!("copy_{id}"),
                    &["&self", &format!("to: &mut [{element}]")],
                    "Result<(), ::nowcast::runtime::BindError>"
                )
            ),
            (false, true) => write!(
                calls,
                r"
    /// {what} {quoted}, `{shaped}`, under the present extents.
{}
        self.0.input_mut({i}).unwrap_or_default()
    }}
",
                signature(call, &["&mut self"], &format!("&mut {slice}"))
            ),
            (false, false) => write!(
                calls,
                r"
    /// {what} {quoted}, `{shaped}`, under the present extents.
{}
        self.0.output({i}).unwrap_or_default()
    }}
",
                signature(call, &["&self"], &format!("&{slice}"))
            ),
        };
    }
}

/// The first lines of a method.
fn signature(name: &str, arguments: &[&str], result: &str) -> String {
    let one = format!("    pub fn {name}({}) -> {result} {{", arguments.join(", "));
    if one.len() <= MAX_WIDTH {
        return one;
    }
    let rows: String = arguments.iter().map(|a| format!("        {a},\n")).collect();
    format!("    pub fn {name}(\n{rows}    ) -> {result} {{")
}
