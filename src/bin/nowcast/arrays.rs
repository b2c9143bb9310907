//! Arrays in files: NPY, or numbers in CSV.

use std::io::Read;
use std::path::Path;

use crate::failure::Failure;

/// Elements that are read at most: 1 GiB of f64.
const MAX_ELEMENTS: u64 = 1 << 27;

/// Numbers and their shape, row-major.
#[derive(Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) elements: Vec<f64>,
}

impl Array {
    /// Reads NPY or CSV; which of them shows in the first bytes. `-` is standard input.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let (name, bytes) = read_input(path)?;
        let array = if bytes.starts_with(b"\x93NUMPY") { npy(&bytes) } else { csv(&bytes) };
        array.map_err(|reason| Failure::User(format!("{name}{reason}")))
    }
}

impl Array {
    /// Reads a table of numbers in CSV, a row a line; a line of names above it is left out.
    pub(crate) fn read_table(path: &Path) -> Result<Self, Failure> {
        let (name, bytes) = read_input(path)?;
        csv_table(&bytes).map_err(|reason| Failure::User(format!("{name}{reason}")))
    }
}

/// Name and bytes of a file, or of standard input for `-`.
pub(crate) fn read_input(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    if path.as_os_str() == "-" {
        let (name, mut bytes) = ("standard input".to_owned(), Vec::new());
        return match std::io::stdin().lock().read_to_end(&mut bytes) {
            Ok(_) => Ok((name, bytes)),
            Err(error) => Err(Failure::User(format!("{name} cannot be read: {error}"))),
        };
    }
    let name = path.display().to_string();
    if path.is_dir() {
        return Err(Failure::User(format!("{name} is a folder: name a file in it")));
    }
    match std::fs::read(path) {
        Ok(bytes) => Ok((name, bytes)),
        Err(error) => Err(Failure::User(format!("{name} cannot be read: {error}"))),
    }
}

fn npy(bytes: &[u8]) -> Result<Array, String> {
    let file = npyz::NpyFile::new(bytes).map_err(|error| format!(": no NPY array: {error}"))?;
    let extents = file.shape().to_vec();
    let shape: Vec<usize> = extents.iter().map(|n| *n as usize).collect();
    let len = extents.iter().try_fold(1u64, |len, n| len.checked_mul(*n));
    if len.is_none_or(|len| len > MAX_ELEMENTS.min(bytes.len() as u64)) {
        return Err(format!(": the shape {shape:?} asks for more elements than there are"));
    }
    if file.order() == npyz::Order::Fortran && shape.iter().filter(|n| **n > 1).count() > 1 {
        return Err(": column-major: save it with numpy.ascontiguousarray".to_owned());
    }
    let short = |error: std::io::Error| format!(": the elements end early: {error}");
    let file = match file.try_data::<f64>() {
        Ok(data) => {
            let elements = data.collect::<Result<_, _>>().map_err(short)?;
            return Ok(Array { shape, elements });
        }
        Err(file) => file,
    };
    match file.try_data::<f32>() {
        Ok(data) => {
            let elements = data.map(|x| x.map(f64::from)).collect::<Result<_, _>>();
            Ok(Array { shape, elements: elements.map_err(short)? })
        }
        Err(file) => {
            let dtype = file.dtype().descr();
            Err(format!(": the elements are {dtype}: save them as float64 or float32"))
        }
    }
}

/// A single row or column is a vector.
fn csv(bytes: &[u8]) -> Result<Array, String> {
    let table = csv_table(bytes)?;
    Ok(match table.shape[..] {
        [1, _] | [_, 1] => Array { shape: vec![table.elements.len()], ..table },
        _ => table,
    })
}

/// Rows and columns; a line of names above them is left out.
fn csv_table(bytes: &[u8]) -> Result<Array, String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(bytes);
    let (mut rows, mut cols, mut elements) = (0, 0, Vec::new());
    for (i, record) in reader.records().enumerate() {
        let record = record.map_err(|error| match error.kind() {
            csv::ErrorKind::UnequalLengths { pos: Some(pos), expected_len, len } => {
                format!(
                    ", line {}: {len} numbers, the lines before have {expected_len}",
                    pos.line()
                )
            }
            _ => format!(": no CSV: {error}"),
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        if i == 0 && record.iter().all(|field| field.parse::<f64>().is_err()) {
            continue;
        }
        (rows, cols) = (rows + 1, record.len());
        for field in &record {
            let number = field.parse::<f64>().ok().filter(|x| x.is_finite());
            let refused = || format!(", line {line}: {field:?} is no finite number");
            elements.push(number.ok_or_else(refused)?);
        }
    }
    match (rows, cols) {
        (0, _) => Err(": expected an NPY array or numbers in CSV, found nothing".to_owned()),
        _ => Ok(Array { shape: vec![rows, cols], elements }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use npyz::WriterBuilder;

    #[test]
    fn numbers_in_csv() {
        let square = csv(b"1, 2\n3,4\n").expect("a square");
        assert_eq!(square, Array { shape: vec![2, 2], elements: vec![1.0, 2.0, 3.0, 4.0] });
        for vector in [&b"1,2,3"[..], b"1\n2\n3\n"] {
            let expected = Array { shape: vec![3], elements: vec![1.0, 2.0, 3.0] };
            assert_eq!(csv(vector).expect("a vector"), expected);
        }
        assert_eq!(csv(b"x0,x1\n1,2\n3,4\n").expect("names are left out"), square);
        let cases: [(&[u8], &str); 4] = [
            (b"", "found nothing"),
            (b"1,2\n3\n", ", line 2: 1 numbers, the lines before have 2"),
            (b"1,2\n3,x\n", ", line 2: \"x\" is no finite number"),
            (b"1,inf\n", ", line 1: \"inf\" is no finite number"),
        ];
        for (bytes, expected) in cases {
            let error = csv(bytes).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_array_that_says_more_than_it_has_is_refused() {
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::<f64>::new().default_dtype().shape(&[2]);
        let mut writer = options.writer(&mut bytes).begin_nd().expect("a header");
        writer.extend([1.0, 2.0]).expect("elements");
        writer.finish().expect("whole");
        assert_eq!(npy(&bytes).expect("good").elements, [1.0, 2.0]);
        let error = npy(&bytes[..bytes.len() - 3]).expect_err("short");
        assert!(error.contains("end early"), "{error}");
        let mut huge = bytes.clone();
        let at = bytes.windows(2).position(|two| two == b"(2").expect("the shape");
        huge[at + 1] = b'9';
        let error = npy(&huge).expect_err("nine elements");
        assert!(error.contains("end early"), "{error}");
    }
}
