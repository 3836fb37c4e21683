//! `--format parquet`: a row a connection, for notebooks and warehouses.

use super::columns::{COLUMNS, Column, Kind, Value};
use super::model::Connection;
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};
use std::io::{self, Write};
use std::sync::Arc;

/// Rows held before they are written as one group.
const GROUP_ROWS: usize = 8_192;

/// Writes row groups of connections.
pub struct ParquetWriter<W: Write + Send> {
    /// `None` once it is finished.
    file: Option<SerializedFileWriter<W>>,
    columns: Vec<Buffer>,
    rows: usize,
}

/// The rows of one column that wait to be written: the values that are there, and which are.
struct Buffer {
    kind: Kind,
    present: Vec<i16>,
    texts: Vec<ByteArray>,
    integers: Vec<i64>,
    reals: Vec<f64>,
    flags: Vec<bool>,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Writes the head.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn begin(out: W) -> io::Result<Self> {
        let schema = schema().map_err(failed)?;
        let file = SerializedFileWriter::new(out, schema, Arc::default()).map_err(failed)?;
        let columns = COLUMNS.iter().map(|column| Buffer::new(column.kind)).collect();
        Ok(ParquetWriter { file: Some(file), columns, rows: 0 })
    }

    /// Adds a connection.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn connection(&mut self, connection: &Connection<'_>) -> io::Result<()> {
        for (column, buffer) in COLUMNS.iter().zip(&mut self.columns) {
            buffer.push((column.of)(connection));
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS { self.write_group().map_err(failed) } else { Ok(()) }
    }

    /// Writes what is left, and the file's end.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.write_group().map_err(failed)?;
        match self.file.take() {
            Some(file) => file.into_inner().map_err(failed)?.flush(),
            None => Ok(()),
        }
    }

    fn write_group(&mut self) -> ParquetResult<()> {
        let Some(file) = self.file.as_mut().filter(|_| self.rows > 0) else { return Ok(()) };
        let mut group = file.next_row_group()?;
        for buffer in &mut self.columns {
            if let Some(column) = group.next_column()? {
                buffer.write(column)?;
            }
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl Buffer {
    fn new(kind: Kind) -> Self {
        let (present, texts, integers) = (Vec::new(), Vec::new(), Vec::new());
        Buffer { kind, present, texts, integers, reals: Vec::new(), flags: Vec::new() }
    }

    fn push(&mut self, value: Option<Value<'_>>) {
        self.present.push(i16::from(value.is_some()));
        match value {
            Some(Value::Text(text)) => self.texts.push(text.into_owned().into_bytes().into()),
            Some(Value::Integer(number)) => self.integers.push(i64::try_from(number).unwrap_or(i64::MAX)),
            Some(Value::Time(time)) => self.integers.push(time.nanos()),
            Some(Value::Real(number)) => self.reals.push(number),
            Some(Value::Flag(flag)) => self.flags.push(flag),
            None => {}
        }
    }

    fn write(&mut self, mut column: SerializedColumnWriter<'_>) -> ParquetResult<()> {
        let present = Some(self.present.as_slice());
        match column.untyped() {
            ColumnWriter::ByteArrayColumnWriter(to) => to.write_batch(&self.texts, present, None)?,
            ColumnWriter::Int64ColumnWriter(to) => to.write_batch(&self.integers, present, None)?,
            ColumnWriter::DoubleColumnWriter(to) => to.write_batch(&self.reals, present, None)?,
            ColumnWriter::BoolColumnWriter(to) => to.write_batch(&self.flags, present, None)?,
            _ => return Err(ParquetError::General(format!("no column holds {:?}", self.kind))),
        };
        *self = Buffer::new(self.kind);
        column.close()
    }
}

fn schema() -> ParquetResult<TypePtr> {
    let fields = COLUMNS.iter().map(field).collect::<ParquetResult<_>>()?;
    Ok(Arc::new(Type::group_type_builder("connection").with_fields(fields).build()?))
}

fn field(column: &Column) -> ParquetResult<TypePtr> {
    let (physical, logical) = match column.kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Integer => (Physical::INT64, None),
        Kind::Real => (Physical::DOUBLE, None),
        Kind::Flag => (Physical::BOOLEAN, None),
        Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
    };
    let builder = Type::primitive_type_builder(column.name, physical).with_logical_type(logical);
    Ok(Arc::new(builder.with_repetition(Repetition::OPTIONAL).build()?))
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
