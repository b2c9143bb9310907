//! Tables from keys to values: labels, categories.

use std::collections::HashMap;

use crate::graph::ops::Compare;
use crate::graph::{Dim, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::super::call::{Call, Imported};
use super::super::super::text::{self, TEXT_CODE};

/// One side of a table.
enum Column {
    Numbers(Tensor),
    Texts(Vec<String>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(texts) => texts.len(),
        }
    }
}

/// A tensor attribute as a column.
fn tensor_column(call: &Call, name: &str) -> Imported<Option<Column>> {
    match call.attributes.tensor(name) {
        Ok(Some(proto)) if proto.data_type == TEXT_CODE => match text::decode(proto) {
            Ok((indices, table)) => {
                let indices = indices.to_i64s().unwrap_or_default();
                let texts = indices.iter().map(|i| table[*i as usize].clone()).collect();
                Ok(Some(Column::Texts(texts)))
            }
            Err(problem) => call.refuse(name, problem),
        },
        _ => Ok(call.tensor(name)?.map(Column::Numbers)),
    }
}

/// The keys or the values of LabelEncoder.
fn column(call: &Call, side: &str) -> Imported<Column> {
    let texts = call.strings(&format!("{side}_strings"))?;
    let texts = texts.map(|texts| texts.into_iter().map(str::to_owned).collect());
    let given = [
        call.ints(&format!("{side}_int64s"))?.map(|v| Column::Numbers(Tensor::vector(v))),
        call.floats(&format!("{side}_floats"))?.map(|v| Column::Numbers(Tensor::vector(v))),
        texts.map(Column::Texts),
        tensor_column(call, &format!("{side}_tensor"))?,
    ];
    let mut given = given.into_iter().flatten().filter(|column| column.len() > 0);
    match (given.next(), given.next()) {
        (Some(column), None) => Ok(column),
        (None, _) => call.fail(format!("its {side} are missing")),
        _ => call.fail(format!("its {side} are given twice")),
    }
}

/// Places of the elements of `x` in a new list, and which key stands at each of its places; `None`
/// for a place of what is no key. Of equal keys the first counts.
fn places(call: &mut Call, x: ValueId, keys: &Column) -> Imported<(ValueId, Vec<Option<usize>>)> {
    match (call.builder.texts.of(x).cloned(), keys) {
        (Some(table), Column::Texts(keys)) => {
            let mut places = HashMap::new();
            for (i, key) in keys.iter().enumerate() {
                places.entry(key).or_insert(i);
            }
            Ok((x, table.iter().map(|text| places.get(text).copied()).collect()))
        }
        (None, Column::Numbers(keys)) if keys.dtype() == call.dtype_of(x) => {
            let (list, mut order) = sorted(keys, call.version < 4);
            let list = call.constant(list);
            let at = call.one(Op::Lookup, &[x, list])?;
            order.push(None);
            Ok((at, order))
        }
        (Some(_), Column::Numbers(_)) => call.fail("the keys are numbers, the data is text"),
        (None, Column::Texts(_)) => call.fail(
            "the keys are text, but the data is not the labels of another node; feed numbers, or \
             encode the text before",
        ),
        (None, Column::Numbers(keys)) => {
            let (keys, data) = (keys.dtype(), call.dtype_of(x));
            call.fail(format!("the keys are {keys}, the data {data}"))
        }
    }
}

/// Keys in ascending order without repetition, NaN last or left out, and where each stood.
fn sorted(keys: &Tensor, without_nan: bool) -> (Tensor, Vec<Option<usize>>) {
    let (bytes, width) = (keys.bytes(), keys.dtype().bytes());
    let numbers = keys.to_f64s();
    let whole = keys.to_i64s();
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.retain(|i| !(without_nan && numbers[*i].is_nan()));
    let compare = |a: usize, b: usize| match &whole {
        Some(whole) => whole[a].cmp(&whole[b]),
        None => numbers[a]
            .partial_cmp(&numbers[b])
            .unwrap_or_else(|| numbers[a].is_nan().cmp(&numbers[b].is_nan())),
    };
    order.sort_by(|a, b| compare(*a, *b));
    order.dedup_by(|b, a| compare(*a, *b).is_eq());
    let of = |i: &usize| &bytes[i * width..][..width];
    let sorted: Vec<u8> = order.iter().flat_map(of).copied().collect();
    let list = Tensor::from_bytes(keys.dtype(), &[order.len()], &sorted);
    (list, order.into_iter().map(Some).collect())
}

/// The values of the keys that stand at `at`.
fn values(
    call: &mut Call,
    (at, keys): (ValueId, Vec<Option<usize>>),
    values: &Column,
    default: &Column,
) -> Imported<ValueId> {
    let table = match (values, default) {
        (Column::Texts(values), Column::Texts(default)) => {
            let of = |key: &Option<usize>| key.map_or(&default[0], |k| &values[k]).clone();
            let table = keys.iter().map(of).collect();
            // The places of labels that are read here count into another table.
            let same: Vec<i64> = (0..keys.len() as i64).collect();
            let same = call.constant(Tensor::vector(&same));
            let y = call.one(Op::Gather { axis: 0 }, &[same, at])?;
            call.builder.texts.set(y, table);
            return Ok(y);
        }
        (Column::Numbers(values), Column::Numbers(default)) => {
            if values.dtype() != default.dtype() || default.len() != 1 {
                return call.fail("its default is no number of the type of its values");
            }
            let width = values.dtype().bytes();
            let of = |key: &Option<usize>| match key {
                Some(key) => &values.bytes()[key * width..][..width],
                None => default.bytes(),
            };
            let bytes: Vec<u8> = keys.iter().flat_map(of).copied().collect();
            Tensor::from_bytes(values.dtype(), &[keys.len()], &bytes)
        }
        _ => return call.fail("its default is text where its values are numbers, or the reverse"),
    };
    let table = call.constant(table);
    call.one(Op::Gather { axis: 0 }, &[table, at])
}

fn texts(list: &[&str]) -> Column {
    Column::Texts(list.iter().map(|text| (*text).to_owned()).collect())
}

fn counted(n: usize) -> Column {
    Column::Numbers(Tensor::vector(&(0..n as i64).collect::<Vec<i64>>()))
}

/// Between texts and numbers, in the direction that the data asks for.
fn texts_or_numbers(call: &mut Call, names: Column, numbers: Column) -> Imported {
    let x = call.input(0)?;
    let number = Column::Numbers(Tensor::vector(&[call.int_or("default_int64", -1)?]));
    let text = texts(&[call.string_or("default_string", "_Unused")?]);
    let is_text = call.builder.texts.of(x).is_some();
    let (keys, given, default) =
        if is_text { (names, numbers, number) } else { (numbers, names, text) };
    let places = places(call, x, &keys)?;
    Ok(vec![values(call, places, &given, &default)?])
}

pub(in super::super) fn encoder(call: &mut Call) -> Imported {
    if call.version < 2 {
        let classes = call.strings("classes_strings")?;
        let classes = call.required("classes_strings", classes)?;
        let numbers = counted(classes.len());
        return texts_or_numbers(call, texts(&classes), numbers);
    }
    let (keys, given) = (column(call, "keys")?, column(call, "values")?);
    if keys.len() != given.len() {
        return call.fail(format!("it has {} keys and {} values", keys.len(), given.len()));
    }
    let default = match tensor_column(call, "default_tensor")? {
        Some(default) if default.len() == 1 => default,
        Some(_) => return call.refuse("default_tensor", "is not one value"),
        None => match &given {
            Column::Texts(_) => texts(&[call.string_or("default_string", "_Unused")?]),
            Column::Numbers(values) if values.dtype() == DType::F32 => {
                Column::Numbers(Tensor::scalar(call.float_or("default_float", -0.0)?))
            }
            Column::Numbers(values) => {
                let default = if values.dtype().is_float() { -0.0 } else { -1.0 };
                let default = match (values.dtype(), call.int("default_int64")?) {
                    (DType::I64, Some(given)) => Tensor::scalar(given),
                    (dtype, _) => super::super::super::call::scalar(dtype, default),
                };
                Column::Numbers(default)
            }
        },
    };
    for unused in ["default_string", "default_int64", "default_float"] {
        call.attributes.ignore(unused);
    }
    let x = call.input(0)?;
    let places = places(call, x, &keys)?;
    Ok(vec![values(call, places, &given, &default)?])
}

pub(in super::super) fn category_mapper(call: &mut Call) -> Imported {
    let (names, numbers) = (call.strings("cats_strings")?, call.ints("cats_int64s")?);
    let (names, numbers) = (names.unwrap_or_default(), numbers.unwrap_or_default());
    if names.len() != numbers.len() || names.is_empty() {
        let problem = format!("has {} categories, cats_int64s {}", names.len(), numbers.len());
        return call.refuse("cats_strings", problem);
    }
    texts_or_numbers(call, texts(&names), Column::Numbers(Tensor::vector(numbers)))
}

/// One column a category. What is no category gives zeros, or NaN where the model forbids it.
pub(in super::super) fn one_hot(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let zeros = call.flag("zeros", true)?;
    let (numbers, names) = (call.ints("cats_int64s")?, call.strings("cats_strings")?);
    let keys = match (numbers.unwrap_or_default(), names.unwrap_or_default()) {
        (numbers, names) if names.is_empty() => Column::Numbers(Tensor::vector(numbers)),
        ([], names) => texts(&names),
        _ => return call.refuse("cats_strings", "is given together with cats_int64s"),
    };
    let x = match keys {
        Column::Numbers(_) if call.builder.texts.of(x).is_none() => call.cast(x, DType::I64)?,
        _ => x,
    };
    let n = keys.len();
    let (at, mut order) = places(call, x, &keys)?;
    let kept = order.iter().flatten().count();
    if matches!(keys, Column::Numbers(_)) && kept != n || n == 0 {
        return call.fail(format!("its {n} categories are none, or some of them are the same"));
    }
    let columns: Vec<i64> = order.drain(..).map(|key| key.unwrap_or(n) as i64).collect();
    let columns = call.constant(Tensor::vector(&columns));
    let column = call.one(Op::Gather { axis: 0 }, &[columns, at])?;
    let off_on = call.constant(Tensor::vector(&[0f32, 1.0]));
    let axis = call.shape(column).len();
    let depth = Dim::Fixed(n as i64);
    let y = call.one(Op::OneHot { axis, depth }, &[column, off_on])?;
    if zeros {
        return Ok(vec![y]);
    }
    let last = call.constant(Tensor::scalar(n as i64));
    let unknown = call.compare(Compare::Equal, column, last)?;
    let unknown = call.unsqueeze(unknown, &[axis])?;
    let nan = call.scalar(DType::F32, f64::NAN);
    Ok(vec![call.one(Op::Where, &[unknown, nan, y])?])
}

/// Scores stay a table; the keys of the maps become the names of its columns.
pub(in super::super) fn zip_map(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let labels = super::scores::Labels::read(call, "classlabels_int64s", "classlabels_strings")?;
    let columns = call.shape(x).last().cloned().unwrap_or(Dim::Fixed(1));
    if call.dtype_of(x) != DType::F32 || !columns.is(labels.len() as i64) {
        let columns = columns.display(call.variables()).to_string();
        return call.fail(format!("it names {} columns of {columns} of f32", labels.len()));
    }
    call.builder.texts.set_columns(x, labels.names());
    Ok(vec![x])
}

/// Tables side by side.
pub(in super::super) fn vectorizer(call: &mut Call) -> Imported {
    let sizes = call.ints("inputdimensions")?;
    let sizes = call.required("inputdimensions", sizes)?;
    let mut tables = Vec::new();
    for (i, x) in call.all_inputs()?.into_iter().enumerate() {
        let x = call.cast(x, DType::F32)?;
        let shape = call.shape(x);
        let fits = matches!((&shape[..], sizes.get(i)), ([_, n], Some(size)) if n.is(*size));
        if !fits {
            let shape = call.show(&shape);
            let problem = format!("does not say {shape}, the shape of input {i}");
            return call.refuse("inputdimensions", problem);
        }
        tables.push(x);
    }
    Ok(vec![call.concat(&tables, 1)?])
}
