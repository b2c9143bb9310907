//! Files of paths: NPY, CSV or Parquet, whole or not there.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use nowcast::bundle::NewFile;
use nowcast::sampling::Real;
use npyz::WriterBuilder;
use parquet::basic::{Compression, Repetition};
use parquet::data_type::{DataType, DoubleType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::failure::Failure;
use crate::output;

/// Numbers of a row group: 32 MiB of f64.
const GROUP: usize = 1 << 22;

/// A type that paths are drawn and written in.
pub(super) trait Number: Real + Display {
    /// Its name.
    const NAME: &'static str;
    /// Half of the gap above one: what rounding may change, relatively.
    const ROUNDING: f64;
    /// In NPY.
    const NPY: &'static str;
    /// In Parquet.
    type Parquet: DataType<T = Self>;
}

impl Number for f32 {
    const NAME: &'static str = "f32";
    const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;
    const NPY: &'static str = "<f4";
    type Parquet = FloatType;
}

impl Number for f64 {
    const NAME: &'static str = "f64";
    const ROUNDING: f64 = Self::EPSILON / 2.0;
    const NPY: &'static str = "<f8";
    type Parquet = DoubleType;
}

/// A file of rows in the making; the ending of its name says which.
pub(super) struct RowsFile<T> {
    format: Format<T>,
    cols: usize,
}

enum Format<T> {
    Npy(NewFile),
    Csv(NewFile),
    Parquet { file: Box<SerializedFileWriter<NewFile>>, pending: Vec<T> },
}

impl<T: Number> RowsFile<T> {
    /// Begins a file of so many rows, with a column of each name.
    pub(super) fn create(path: &Path, rows: u64, names: &[String]) -> Result<Self, Failure> {
        let writing = |error: io::Error| Failure::writing(path.display(), &error);
        let cols = names.len();
        let format = match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => {
                let mut file = output::create(path)?;
                writeln!(file, "{}", names.join(",")).map_err(writing)?;
                Format::Csv(file)
            }
            Some("npy") => {
                let dtype = T::NPY.parse().map(npyz::DType::Plain);
                let dtype = dtype.map_err(|error| writing(io::Error::other(error)))?;
                let header = npyz::WriteOptions::new_header_only().dtype(dtype);
                let header = header.shape(&[rows, cols as u64]).writer(output::create(path)?);
                Format::Npy(header.write_header_only().map_err(writing)?)
            }
            Some("parquet") => {
                let properties = WriterProperties::builder()
                    // Random digits neither repeat nor compress.
                    .set_compression(Compression::UNCOMPRESSED)
                    .set_dictionary_enabled(false)
                    .build();
                let begun = schema::<T>(names).and_then(|schema| {
                    let file = NewFile::create(path).map_err(|e| ParquetError::External(e.into()));
                    SerializedFileWriter::new(file?, schema, properties.into())
                });
                let file = begun.map_err(|error| writing(as_io(error)))?;
                Format::Parquet { file: Box::new(file), pending: Vec::new() }
            }
            _ => {
                return Err(Failure::User(format!(
                    "{}: the name of the output must end in .npy, .csv or .parquet",
                    path.display()
                )));
            }
        };
        Ok(Self { format, cols })
    }

    /// Adds whole rows.
    pub(super) fn write(&mut self, rows: &[T]) -> io::Result<()> {
        let cols = self.cols;
        match &mut self.format {
            Format::Npy(file) => {
                let mut bytes = Vec::with_capacity(size_of_val(rows));
                rows.iter().for_each(|x| T::put(*x, &mut bytes));
                file.write_all(&bytes)
            }
            Format::Csv(file) => rows.chunks_exact(cols).try_for_each(|row| {
                for (col, element) in row.iter().enumerate() {
                    write!(file, "{}{element}", if col > 0 { "," } else { "" })?;
                }
                writeln!(file)
            }),
            Format::Parquet { file, pending } => {
                pending.extend_from_slice(rows);
                let group = (GROUP / cols).max(1) * cols;
                while pending.len() >= group {
                    write_group(file, &pending[..group], cols).map_err(as_io)?;
                    pending.drain(..group);
                }
                Ok(())
            }
        }
    }

    /// Gives the file its name.
    pub(super) fn finish(self, path: &Path) -> Result<(), Failure> {
        let file = match self.format {
            Format::Npy(file) | Format::Csv(file) => file,
            Format::Parquet { mut file, pending } => {
                let written = match pending.is_empty() {
                    true => Ok(()),
                    false => write_group(&mut file, &pending, self.cols),
                };
                let whole = written.and_then(|()| file.into_inner());
                whole.map_err(|error| Failure::writing(path.display(), &as_io(error)))?
            }
        };
        output::finish(path, file)
    }
}

fn schema<T: Number>(names: &[String]) -> Result<Arc<Type>, ParquetError> {
    let column = |name: &String| {
        let kind = <T::Parquet as DataType>::get_physical_type();
        let column = Type::primitive_type_builder(name, kind);
        column.with_repetition(Repetition::REQUIRED).build().map(Arc::new)
    };
    let columns = names.iter().map(column).collect::<Result<_, _>>()?;
    Type::group_type_builder("paths").with_fields(columns).build().map(Arc::new)
}

fn write_group<T: Number>(
    file: &mut SerializedFileWriter<NewFile>,
    rows: &[T],
    cols: usize,
) -> Result<(), ParquetError> {
    let mut group = file.next_row_group()?;
    let mut elements = Vec::with_capacity(rows.len() / cols);
    for col in 0..cols {
        elements.clear();
        elements.extend(rows.iter().skip(col).step_by(cols).copied());
        let Some(mut column) = group.next_column()? else { break };
        column.typed::<T::Parquet>().write_batch(&elements, None, None)?;
        column.close()?;
    }
    group.close().map(drop)
}

/// The error of the file system where it is one.
fn as_io(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}
