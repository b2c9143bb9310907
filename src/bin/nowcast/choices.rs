//! What a model leaves open and the command line chooses.

use std::path::Path;

use nowcast::load::{self, Options, Precision};
use nowcast::onnx::Names;

use crate::failure::Failure;
use crate::npy;

/// Choices that are made when a model is compiled.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ChoiceArgs {
    /// Size of an open dimension, or its bounds; may be given more than once
    #[arg(long, value_name = "NAME=N|NAME=MIN..MAX", value_parser = dim)]
    dim: Vec<(String, usize, usize)>,
    /// Shape of an input, which gives its open dimensions their sizes; may be given more than once
    #[arg(long, value_name = "NAME=N,N,...", value_parser = shape)]
    input_shape: Vec<(String, Vec<usize>)>,
    /// Input that becomes a constant; may be given more than once
    #[arg(long, value_name = "NAME=FILE.npy", value_parser = pair)]
    pub(crate) value: Vec<(String, String)>,
    /// Bounds of an integer value that decides a shape or the length of a loop at run time; may be
    /// given more than once
    #[arg(long, value_name = "NAME=MIN..MAX", value_parser = range, allow_hyphen_values = true)]
    value_range: Vec<(String, i64, i64)>,
    /// Most iterations of a loop that decides while it runs when it ends; may be given more than
    /// once
    #[arg(long, value_name = "NODE=N", value_parser = trips)]
    max_trips: Vec<(String, usize)>,
    /// Output that is kept as an input of the next run; may be given more than once
    #[arg(long, value_name = "OUTPUT=INPUT", value_parser = pair)]
    state: Vec<(String, String)>,
    /// Most memory that loading the model, and then a run, may take; 2G if it is not given
    #[arg(long, value_name = "BYTES|512M|2G", value_parser = bytes)]
    max_memory: Option<u64>,
    /// Pass over the graph to leave out; may be given more than once; `inspect --explain` shows
    /// what each did
    #[arg(long, value_name = "PASS", value_parser = load::pass_names())]
    without: Vec<String>,
    /// Type in which the weights of products are stored
    #[arg(long, value_enum, default_value_t = Weights::F32)]
    precision: Weights,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Weights {
    /// As in the model
    F32,
    /// Rounded to bf16: half of the bytes; products of many rows round both operands
    Bf16,
}

impl ChoiceArgs {
    /// All of them.
    pub(crate) fn options(&self) -> Result<Options, Failure> {
        self.chosen(None)
    }

    /// Those that a model of these names has.
    pub(crate) fn options_of(&self, names: &Names) -> Result<Options, Failure> {
        self.chosen(Some(names))
    }

    /// Those that name nothing in a model.
    pub(crate) fn options_of_all(&self) -> Options {
        Options::new().precision(self.precision())
    }

    /// The same with weights as in the model.
    pub(crate) fn in_f32(&self) -> Self {
        Self { precision: Weights::F32, ..self.clone() }
    }

    /// The type of weights.
    pub(crate) fn precision(&self) -> Precision {
        match self.precision {
            Weights::F32 => Precision::F32,
            Weights::Bf16 => Precision::Bf16,
        }
    }

    fn chosen(&self, names: Option<&Names>) -> Result<Options, Failure> {
        let mut options = self.options_of_all();
        if let Some(bytes) = self.max_memory {
            options = options.max_memory(bytes);
        }
        for name in &self.without {
            options = options.without_pass(name);
        }
        for (name, min, max) in &self.dim {
            if names.is_some_and(|names| !names.dims.contains(name)) {
                continue;
            }
            options = if min == max {
                options.dim(name, *max)
            } else {
                options.dim_range(name, *min, *max)
            };
        }
        let has_input = |name: &String| names.is_none_or(|names| names.inputs.contains(name));
        let has_output = |name: &String| names.is_none_or(|names| names.outputs.contains(name));
        let has_value = |name: &String| names.is_none_or(|names| names.values.contains(name));
        for (name, min, max) in self.value_range.iter().filter(|(name, ..)| has_value(name)) {
            options = options.value_range(name, *min, *max);
        }
        let has_loop = |name: &String| names.is_none_or(|names| names.loops.contains(name));
        for (node, most) in self.max_trips.iter().filter(|(node, _)| has_loop(node)) {
            options = options.max_trips(node, *most);
        }
        for (name, shape) in self.input_shape.iter().filter(|(name, _)| has_input(name)) {
            options = options.input_shape(name, shape);
        }
        for (output, input) in &self.state {
            if has_output(output) && has_input(input) {
                options = options.bind_state(output, input);
            }
        }
        for (name, file) in self.value.iter().filter(|(name, _)| has_input(name)) {
            options = options.bind_value(name, npy::read(Path::new(file))?);
        }
        Ok(options)
    }

    /// Whether a dimension is chosen per call.
    pub(crate) fn has_range(&self) -> bool {
        self.dim.iter().any(|(_, min, max)| min != max)
    }

    /// Fails if a choice suits none of several models.
    pub(crate) fn refuse_strays(&self, models: &[Names]) -> Result<(), Failure> {
        let none = |has: &dyn Fn(&Names) -> bool| !models.iter().any(has);
        let dims = self.dim.iter().map(|(name, ..)| name);
        let stray = dims
            .filter(|name| none(&|m| m.dims.contains(*name)))
            .map(|name| format!("--dim {name}: no model has an open dimension of this name"));
        let shapes = self.input_shape.iter().map(|(name, _)| ("--input-shape", name));
        let inputs = shapes.chain(self.value.iter().map(|(name, _)| ("--value", name)));
        let stray =
            stray.chain(inputs.filter(|(_, name)| none(&|m| m.inputs.contains(*name))).map(
                |(option, name)| format!("{option} {name}: no model has an input of this name"),
            ));
        let ranges =
            self.value_range.iter().filter(|(name, ..)| none(&|m| m.values.contains(name)));
        let stray =
            stray.chain(ranges.map(|(name, ..)| {
                format!("--value-range {name}: no model has a value of this name")
            }));
        let loops = self.max_trips.iter().filter(|(node, _)| none(&|m| m.loops.contains(node)));
        let stray = stray.chain(
            loops.map(|(node, _)| format!("--max-trips {node}: no model has a loop of this name")),
        );
        let pairs = self.state.iter().filter(|(output, input)| {
            none(&|m| m.outputs.contains(output) && m.inputs.contains(input))
        });
        let mut stray = stray.chain(pairs.map(|(output, input)| {
            format!("--state {output}={input}: no model has both an output and an input so called")
        }));
        stray.next().map_or(Ok(()), |sentence| Err(Failure::User(sentence)))
    }

    /// An option that was given, other than --value.
    fn given(&self) -> Option<&'static str> {
        let given = [
            (!self.dim.is_empty(), "--dim"),
            (!self.input_shape.is_empty(), "--input-shape"),
            (!self.value_range.is_empty(), "--value-range"),
            (!self.max_trips.is_empty(), "--max-trips"),
            (!self.state.is_empty(), "--state"),
            (self.max_memory.is_some(), "--max-memory"),
            (!self.without.is_empty(), "--without"),
            (self.precision != Weights::F32, "--precision"),
        ];
        given.into_iter().find(|(is_given, _)| *is_given).map(|(_, option)| option)
    }

    /// Fails if something is chosen of a model that is compiled; of constants if they are not
    /// allowed.
    pub(crate) fn refuse_for_bundle(&self, file: &str, constants: bool) -> Result<(), Failure> {
        let value = (!constants && !self.value.is_empty()).then_some("--value");
        match self.given().or(value) {
            None => Ok(()),
            Some(option) => Err(Failure::User(format!(
                "{file}: this model is compiled already: give {option} to `nowcast compile`"
            ))),
        }
    }
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err(format!("{text:?} is no pair with = between")),
    }
}

/// A number of bytes; K, M, G and T are powers of 1024.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: write bytes, or a number with K, M, G or T");
    let upper = text.to_ascii_uppercase();
    let upper = upper.strip_suffix("IB").or(upper.strip_suffix('B')).unwrap_or(&upper);
    let shift = match upper.chars().last() {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some('T') => 40,
        _ => 0,
    };
    let digits = if shift > 0 { &upper[..upper.len() - 1] } else { upper };
    let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn dim(text: &str) -> Result<(String, usize, usize), String> {
    let (name, value) = pair(text)?;
    let number = |digits: &str| {
        digits.parse::<usize>().map_err(|_| format!("{digits:?} is no size: write N or MIN..MAX"))
    };
    let (min, max) = match value.split_once("..") {
        Some((min, max)) => (number(min)?, number(max.trim_start_matches('='))?),
        None => (number(&value)?, number(&value)?),
    };
    if min > max { Err(format!("{value}: the bounds are reversed")) } else { Ok((name, min, max)) }
}

fn trips(text: &str) -> Result<(String, usize), String> {
    let (node, value) = pair(text)?;
    let most = value.parse().map_err(|_| format!("{value:?} is no number of iterations"))?;
    Ok((node, most))
}

fn range(text: &str) -> Result<(String, i64, i64), String> {
    let (name, value) = pair(text)?;
    let number = |digits: &str| {
        digits.parse::<i64>().map_err(|_| format!("{digits:?} is no number: write MIN..MAX"))
    };
    let (min, max) = value.split_once("..").ok_or(format!("{value:?}: write MIN..MAX"))?;
    let (min, max) = (number(min)?, number(max.trim_start_matches('='))?);
    if min > max { Err(format!("{value}: the bounds are reversed")) } else { Ok((name, min, max)) }
}

fn shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let (name, value) = pair(text)?;
    let number = |digits: &str| {
        digits.trim().parse().map_err(|_| format!("{digits:?} is no size: write N,N,..."))
    };
    Ok((name, value.split(',').map(number).collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_dims() {
        assert_eq!(pair("a=b"), Ok(("a".to_owned(), "b".to_owned())));
        assert_eq!(pair("a=0=b.npy"), Ok(("a=0".to_owned(), "b.npy".to_owned())));
        for bad in ["a", "=b", "a=", ""] {
            assert!(pair(bad).is_err(), "{bad}");
        }
        assert_eq!(dim("rows=3"), Ok(("rows".to_owned(), 3, 3)));
        assert_eq!(dim("past=0..512"), Ok(("past".to_owned(), 0, 512)));
        for bad in ["rows=x", "rows=-1", "rows=3..2", "rows=1..", "rows"] {
            assert!(dim(bad).is_err(), "{bad}");
        }
        assert_eq!(trips("loop=9"), Ok(("loop".to_owned(), 9)));
        assert!(trips("loop=-1").is_err());
        assert_eq!(range("k=-1..5"), Ok(("k".to_owned(), -1, 5)));
        for bad in ["k=3", "k=..", "k=2..1", "k=a..b"] {
            assert!(range(bad).is_err(), "{bad}");
        }
        assert_eq!(bytes("512M"), Ok(512 << 20));
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        assert_eq!(bytes("77"), Ok(77));
        for bad in ["", "M", "-1", "1.5G", "99999999999T"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(shape("x=1,37"), Ok(("x".to_owned(), vec![1, 37])));
        assert_eq!(shape("x=4"), Ok(("x".to_owned(), vec![4])));
        for bad in ["x=", "x=1,", "x=1x2", "x=-1"] {
            assert!(shape(bad).is_err(), "{bad}");
        }
    }
}
