//! A bundle as a C file and its header: a constant, the kernels that it needs, sizes as macros.

use std::fmt::Write;

use super::EmitError;
use super::names::{Scope, snake};
use crate::bundle::{Bundle, BundleError, Model, Tag};
use crate::forecast::{Forecaster, ModelError};
use crate::runtime::{KERNELS, MemoryNeeds, Port, Program};

/// Lines are no longer where they can be broken.
const MAX_WIDTH: usize = 100;

/// The two files of [`c`].
#[derive(Clone, Debug)]
pub struct CSource {
    /// Contents of the header.
    pub header: String,
    /// Contents of the C file, which includes the header.
    pub source: String,
}

/// C files that have this bundle built in: `stem.h` and `stem.c`, to be compiled as C or C++ and
/// linked with `nowcast_minimal` or `nowcast_c`.
///
/// Their names begin with the words of `stem`; with several models, with those of the model behind
/// it.
///
/// **Errors**: [`EmitError::Model`] for a model that is refused, or whose forecaster is;
/// [`EmitError::Stem`].
///
/// **Cost**: allocates the text, about four times the bundle.
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
/// let text = emit::c(&file.bundle(), "lstm")?;
/// assert!(text.header.contains("#define LSTM_OUTPUT_MEAN_SHAPE { 1, 24 }"));
/// assert!(text.source.contains("#include \"lstm.h\""));
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn c(bundle: &Bundle<'_>, stem: &str) -> Result<CSource, EmitError> {
    let symbol = match snake(stem, "model") {
        _ if stem == "nowcast" => return Err(EmitError::Stem),
        // These belong to the library.
        symbol if format!("{symbol}_").starts_with("nowcast_") => format!("model_{symbol}"),
        symbol => symbol,
    };
    let upper = symbol.to_uppercase();
    let mut files = Files { scope: Scope::default(), header: String::new(), source: String::new() };
    files.scope.add(&symbol, "model", |_| {
        vec![format!("{symbol}_bundle"), format!("{upper}_BUNDLE_BYTES"), format!("{upper}_H")]
    });
    let bytes = bundle.as_bytes();
    let version = env!("CARGO_PKG_VERSION");
    let hash = u128::from_be_bytes(bundle.content_hash());
    files.header = format!(
        r#"/* Emitted by nowcast {version} from the bundle {hash:032x}.
 * Compile the model again rather than edit this. Link with nowcast_minimal or nowcast_c. */
#ifndef {upper}_H
#define {upper}_H

#include "nowcast.h"

#if NOWCAST_ABI_VERSION != 1u
#error "nowcast.h is of another version than the model: compile the model again"
#endif

#ifdef __cplusplus
extern "C" {{
#endif

/* The bundle, on a multiple of NOWCAST_ALIGNMENT. */
#define {upper}_BUNDLE_BYTES {}
extern const unsigned char {symbol}_bundle[{upper}_BUNDLE_BYTES];
"#,
        bytes.len()
    );
    files.source = format!("#include {}\n", quoted(&format!("{stem}.h")));
    let models: Vec<Model<'_>> = bundle.models().collect();
    for model in &models {
        let name = match &models[..] {
            [_] => symbol.clone(),
            _ => {
                let taken = |id: &str| names_of_model(&format!("{symbol}_{id}"));
                format!("{symbol}_{}", files.scope.add(model.name(), "model", taken))
            }
        };
        files
            .model(model, &symbol, &name)
            .map_err(|source| EmitError::Model { model: model.name().to_owned(), source })?;
    }
    files.header += "\n#ifdef __cplusplus\n} /* extern \"C\" */\n#endif\n\n#endif\n";
    files.source += "\nNOWCAST_ALIGNED const unsigned char ";
    files.source += &format!("{symbol}_bundle[{upper}_BUNDLE_BYTES] = {{\n");
    wrapped(&mut files.source, bytes.iter().map(u8::to_string), ",", "");
    files.source += "};\n";
    Ok(CSource { header: files.header, source: files.source })
}

/// What is derived from the name of a model, besides its inputs and outputs.
fn names_of_model(name: &str) -> Vec<String> {
    let upper = name.to_uppercase();
    let macros = [
        "MODEL_BYTES",
        "SESSION_BYTES",
        "ARENA_BYTES",
        "STATE_BYTES",
        "STACK_BYTES",
        "ALIGNMENT",
        "CONTEXT",
        "HORIZON",
        "STEP_SECONDS",
    ];
    let macros = macros.into_iter().map(|name| format!("{upper}_{name}"));
    macros.chain(["kernels", "kernel_list", "open"].map(|item| format!("{name}_{item}"))).collect()
}

/// Items between commas on lines that are not too long.
fn wrapped(text: &mut String, items: impl Iterator<Item = String>, comma: &str, indent: &str) {
    let mut width = 0;
    for item in items {
        if width > 0 && width + item.len() + comma.len() >= MAX_WIDTH {
            text.truncate(text.trim_end().len());
            text.push('\n');
            width = 0;
        }
        if width == 0 {
            text.push_str(indent);
            width = indent.len();
        }
        text.push_str(&item);
        text.push_str(comma);
        width += item.len() + comma.len();
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

/// A string literal, of what C sees of a text.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes().take_while(|byte| *byte != 0) {
        match byte {
            // A question mark might begin a trigraph.
            b'"' | b'\\' | b'?' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out += &format!("\\{byte:03o}"),
        }
    }
    out.push('"');
    out
}

/// A name for a comment.
fn told(name: &str) -> String {
    quoted(name).replace("*/", "* /").replace("/*", "/ *")
}

struct Files {
    /// What is defined.
    scope: Scope,
    header: String,
    source: String,
}

impl Files {
    fn model(&mut self, model: &Model<'_>, symbol: &str, name: &str) -> Result<(), ModelError> {
        match Forecaster::from_model(model, &KERNELS) {
            Ok(forecaster) => {
                let what = format!(
                    "forecaster {}: {} steps of {} seconds from {} observations",
                    told(model.name()),
                    forecaster.horizon(),
                    forecaster.step_seconds(),
                    forecaster.context()
                );
                let sizes = [8, 4].map(|bytes| forecaster.session_bytes_on_host(bytes));
                self.common(forecaster.program(), name, "forecaster", &what, sizes);
                let upper = name.to_uppercase();
                self.define(&format!("{upper}_CONTEXT"), forecaster.context());
                self.define(&format!("{upper}_HORIZON"), forecaster.horizon());
                self.define(&format!("{upper}_STEP_SECONDS"), forecaster.step_seconds());
                self.open(model.name(), symbol, name, "forecaster");
            }
            Err(ModelError::Bundle(BundleError::NoSection { tag: Tag::FORECASTER })) => {
                let program = model.program(&KERNELS)?;
                let sizes = [8, 4].map(|bytes| program.session_bytes_on_host(bytes));
                let what = format!("program {}", told(model.name()));
                self.common(&program, name, "program", &what, sizes);
                self.ports(&program, name);
                self.open(model.name(), symbol, name, "program");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn define(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.header, "#define {name} {value}");
    }

    /// What programs and forecasters have in common: memory and kernels.
    fn common(
        &mut self,
        program: &Program<'_>,
        name: &str,
        object: &str,
        what: &str,
        [wide, narrow]: [usize; 2],
    ) {
        let (upper, kind) = (name.to_uppercase(), object.to_uppercase());
        let session = if object == "program" { "session" } else { "forecast" };
        let needs = program.memory();
        let _ = write!(
            self.header,
            r"
/* ---- {what}
 *
 * Bytes: MODEL for {name}_open; SESSION for nowcast_{session}_open, which includes ARENA and
 * STATE; STACK is the most that a call uses. */
#define {upper}_MODEL_BYTES NOWCAST_{kind}_BYTES
#if UINTPTR_MAX > 0xffffffffu
#define {upper}_SESSION_BYTES (NOWCAST_HANDLE_BYTES + {wide})
#else
#define {upper}_SESSION_BYTES (NOWCAST_HANDLE_BYTES + {narrow})
#endif
"
        );
        self.define(&format!("{upper}_ARENA_BYTES"), needs.arena_bytes);
        self.define(&format!("{upper}_STATE_BYTES"), needs.state_bytes);
        self.define(&format!("{upper}_STACK_BYTES"), needs.stack_bytes);
        self.define(&format!("{upper}_ALIGNMENT"), MemoryNeeds::ALIGNMENT);

        let mut kernels: Vec<_> = program.steps().map(|step| step.id).collect();
        kernels.sort_unstable_by_key(|id| *id as u32);
        kernels.dedup();
        let _ =
            writeln!(self.source, "\nstatic const nowcast_kernel *const {name}_kernel_list[] = {{");
        // A list in C has an element.
        let list = if kernels.is_empty() {
            vec!["copy"]
        } else {
            kernels.iter().map(|id| id.name()).collect()
        };
        let items = list.into_iter().map(|kernel| format!("&nowcast_kernel_{kernel}"));
        wrapped(&mut self.source, items, ", ", "    ");
        let _ = writeln!(
            self.source,
            "}};\n\nconst nowcast_kernels {name}_kernels = NOWCAST_KERNELS({name}_kernel_list);"
        );
    }

    fn ports(&mut self, program: &Program<'_>, name: &str) {
        let prefix = name.to_uppercase();
        let mut dims: Vec<&str> = Vec::new();
        let (inputs, outputs): (Vec<_>, Vec<_>) =
            (program.inputs().collect(), program.outputs().collect());
        for port in &inputs {
            for (dim, min, max) in (0..port.rank()).filter_map(|axis| port.variable(axis)) {
                if dims.contains(&dim) {
                    continue;
                }
                dims.push(dim);
                let macros = |id: &str| {
                    let base = format!("{prefix}_DIM_{}", id.to_uppercase());
                    ["NAME", "MIN", "MAX"].map(|end| format!("{base}_{end}"))
                };
                let id = self.scope.add(dim, "dim", |id| macros(id).to_vec());
                let [name, least, most] = macros(&id);
                self.header += "\n/* Chosen per call: nowcast_session_set_extent. */\n";
                self.define(&name, quoted(dim));
                self.define(&least, min);
                self.define(&most, max);
            }
        }
        for (kind, otherwise, ports) in
            [("INPUT", "input", &inputs), ("OUTPUT", "output", &outputs)]
        {
            for (index, port) in ports.iter().enumerate() {
                self.port(&format!("{prefix}_{kind}"), otherwise, index, port);
            }
        }
    }

    fn port(&mut self, prefix: &str, otherwise: &str, index: usize, port: &Port<'_>) {
        let macros = |id: &str| {
            let base = format!("{prefix}_{}", id.to_uppercase());
            ["", "_NAME", "_DTYPE", "_RANK", "_SHAPE", "_ELEMENTS"].map(|end| base.clone() + end)
        };
        let id = self.scope.add(port.name, otherwise, |id| macros(id).to_vec());
        let axes: Vec<_> = (0..port.rank()).map(|axis| port.fixed_extent(axis)).collect();
        let [index_name, name, dtype, rank, shape, elements] = macros(&id);
        self.header += match (port.is_state(), axes.contains(&None)) {
            (false, false) => "\n",
            (true, false) => "\n/* Kept between runs. */\n",
            (false, true) => "\n/* -1: not fixed; elements at most. */\n",
            (true, true) => "\n/* Kept between runs. -1: not fixed; elements at most. */\n",
        };
        let axes: Vec<String> = axes
            .iter()
            .map(|axis| axis.map_or_else(|| "-1".to_owned(), |extent| extent.to_string()))
            .collect();
        self.define(&index_name, index);
        self.define(&name, quoted(port.name));
        self.define(&dtype, format!("NOWCAST_{}", port.dtype.name().to_uppercase()));
        self.define(&rank, axes.len());
        if !axes.is_empty() {
            self.define(&shape, format!("{{ {} }}", axes.join(", ")));
        }
        self.define(&elements, port.max_bytes() / port.dtype.bytes());
    }

    /// The declarations of a model, and the function that opens it.
    fn open(&mut self, model: &str, symbol: &str, name: &str, object: &str) {
        let (upper, quoted) = (symbol.to_uppercase(), quoted(model));
        let head = format!("nowcast_status {name}_open(");
        let rest = [
            "void *memory, uint64_t memory_bytes, ".to_owned(),
            format!("nowcast_{object} **{object}, nowcast_error *error)"),
        ];
        let indent = " ".repeat(head.len());
        let head = format!("{head}{}\n{indent}{}", rest[0].trim_end(), rest[1]);
        let _ = write!(
            self.header,
            r"
/* The kernels that it needs. */
extern const nowcast_kernels {name}_kernels;

/* nowcast_{object}_open of this model. */
{head};
"
        );
        let _ = write!(
            self.source,
            r"
{head}
{{
    static const char model[] = {quoted};
    return nowcast_{object}_open(
        {symbol}_bundle, {upper}_BUNDLE_BYTES, model, &{name}_kernels,
        memory, memory_bytes, {object}, error);
}}
"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_literals_and_comments() {
        for (text, expected) in [
            ("x", r#""x""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("what??/", r#""what\?\?/""#),
            ("é1", r#""\303\2511""#),
            ("a\nb", r#""a\012b""#),
            ("seen\0unseen", r#""seen""#),
        ] {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(told("a*/b/*c"), r#""a* /b/ *c""#);
    }

    #[test]
    fn lines_are_broken_between_items() {
        let mut text = String::new();
        wrapped(&mut text, (0..100).map(|n| n.to_string()), ", ", "    ");
        assert!(text.lines().count() > 3 && text.ends_with("99,\n"));
        assert!(text.lines().all(|line| line.len() < MAX_WIDTH && line.starts_with("    ")));
        assert!(text.lines().all(|line| line.ends_with(',')));
    }
}
