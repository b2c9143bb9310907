//! Tables of numbers in Parquet files.

use std::path::Path;

use bytes::Bytes;
use nowcast::graph::Tensor;
use parquet::errors::ParquetError;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::{Field, Row};

use crate::arrays::read_input;
use crate::failure::Failure;

/// Numbers that are read at most: 1 GiB of f64.
const MAX_NUMBERS: usize = 1 << 27;

/// What pandas calls the column of its row names.
const ROW_NAMES: &str = "__index_level_";

/// A column: its name and for each row a number, or a list of as many in every row.
struct Column {
    name: String,
    width: usize,
    numbers: Vec<f64>,
}

/// The arrays of a file whose columns are all called as inputs are, one each; otherwise one array
/// of all columns without a name.
pub(super) fn read(
    path: &Path,
    inputs: &[String],
) -> Result<Vec<(Option<String>, Tensor)>, Failure> {
    let (file, bytes) = read_input(path)?;
    let columns = columns(bytes).map_err(|what| Failure::User(format!("{file}: {what}")))?;
    let rows = columns.first().map_or(0, |column| column.numbers.len() / column.width.max(1));
    if rows == 0 {
        return Err(Failure::User(format!("{file}: there are no rows of numbers in it")));
    }
    if columns.iter().all(|column| inputs.contains(&column.name)) {
        let array = |column: Column| {
            let tensor = Tensor::new(&[rows, column.width], &column.numbers);
            (Some(column.name), tensor)
        };
        return Ok(columns.into_iter().map(array).collect());
    }
    let width: usize = columns.iter().map(|column| column.width).sum();
    let of_row = |row: usize| {
        let part =
            move |column: &Column| column.numbers[row * column.width..][..column.width].to_vec();
        columns.iter().flat_map(part).collect::<Vec<f64>>()
    };
    let numbers: Vec<f64> = (0..rows).flat_map(of_row).collect();
    Ok(vec![(None, Tensor::new(&[rows, width], &numbers))])
}

fn columns(bytes: Vec<u8>) -> Result<Vec<Column>, String> {
    let refused = |error: ParquetError| {
        format!(
            "no Parquet file that can be read ({error}): write it with snappy, or without \
                 compression"
        )
    };
    let reader = SerializedFileReader::new(Bytes::from(bytes)).map_err(refused)?;
    let mut columns: Vec<Column> = Vec::new();
    let mut count = 0;
    for (i, row) in reader.get_row_iter(None).map_err(refused)?.enumerate() {
        let row: Row = row.map_err(refused)?;
        let fields = row.get_column_iter().filter(|(name, _)| !name.starts_with(ROW_NAMES));
        for (at, (name, field)) in fields.enumerate() {
            let mut numbers = Vec::new();
            collect(field, &mut numbers).map_err(|what| {
                format!("row {i}, column {name:?}: {what}: write numbers, and no other columns")
            })?;
            count += numbers.len();
            if count > MAX_NUMBERS {
                return Err(format!("more than {MAX_NUMBERS} numbers: give fewer rows"));
            }
            if columns.len() == at {
                let column = Column { name: name.clone(), width: numbers.len(), numbers };
                columns.push(column);
            } else if let Some(column) = columns.get_mut(at).filter(|c| c.width == numbers.len()) {
                column.numbers.extend(numbers);
            } else {
                return Err(format!(
                    "row {i}, column {name:?}: a list of {} numbers, the rows before have others",
                    numbers.len()
                ));
            }
        }
    }
    Ok(columns)
}

/// A number, or the numbers of a list.
fn collect(field: &Field, numbers: &mut Vec<f64>) -> Result<(), &'static str> {
    let number = match field {
        Field::Bool(x) => f64::from(u8::from(*x)),
        Field::Byte(x) => f64::from(*x),
        Field::Short(x) => f64::from(*x),
        Field::Int(x) => f64::from(*x),
        Field::Long(x) => *x as f64,
        Field::UByte(x) => f64::from(*x),
        Field::UShort(x) => f64::from(*x),
        Field::UInt(x) => f64::from(*x),
        Field::ULong(x) => *x as f64,
        Field::Float16(x) => f64::from(f32::from(*x)),
        Field::Float(x) => f64::from(*x),
        Field::Double(x) => *x,
        Field::ListInternal(list) => {
            return list.elements().iter().try_for_each(|element| collect(element, numbers));
        }
        Field::Null => return Err("a value is missing"),
        _ => return Err("it is no number"),
    };
    numbers.push(number);
    Ok(())
}
