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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyzer::{Analyzer, Options};
    use crate::capture::file::FileSource;
    use crate::capture::{Block, Source as _};
    use crate::report::build::{self, Context};
    use crate::report::csv::CsvWriter;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;
    use std::path::Path;

    fn shown(field: &Field) -> String {
        match field {
            Field::Null => String::new(),
            Field::Str(text) => text.clone(),
            Field::Bool(flag) => flag.to_string(),
            Field::Long(number) => number.to_string(),
            Field::Double(number) => number.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn parquet_holds_the_cells_of_csv() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures/router-any");
        let options = Options::default();
        let mut source =
            FileSource::open(&folder.join("ws--websockets.any.pcap"), 0, &options.limits).unwrap();
        let (mut analyzer, mut block) = (Analyzer::new(options), Block::default());
        while source.read_block(&mut block).unwrap() == crate::capture::More::Yes {
            analyzer.handle_block(&block);
        }
        analyzer.handle_block(&block);
        analyzer.finish();
        let (file, mut table) = (tempfile::tempfile().unwrap(), Vec::new());
        let mut parquet = ParquetWriter::begin(&file).unwrap();
        let mut csv = CsvWriter::begin(&mut table).unwrap();
        for record in std::iter::from_fn(|| analyzer.poll_record()) {
            let connection = build::connection(1, &record, Context { files: &[], redact: false });
            parquet.connection(&connection).unwrap();
            csv.connection(&connection).unwrap();
        }
        parquet.finish().unwrap();
        csv.flush().unwrap();
        drop((parquet, csv));
        let reader = SerializedFileReader::new(file).unwrap();
        let mut rows = csv::Reader::from_reader(table.as_slice());
        let mut compared = 0;
        for (cells, row) in rows.records().zip(reader.get_row_iter(None).unwrap()) {
            let (cells, row) = (cells.unwrap(), row.unwrap());
            for ((cell, (_, field)), column) in cells.iter().zip(row.get_column_iter()).zip(COLUMNS) {
                if column.kind == Kind::Time {
                    let Field::Long(nanos) = field else { panic!("{field:?}") };
                    assert_eq!(cell, crate::time::Timestamp::from_nanos(*nanos).to_rfc3339());
                } else {
                    assert_eq!(cell, shown(field), "{}", column.name);
                }
                compared += 1;
            }
        }
        assert_eq!(compared, 4 * COLUMNS.len());
    }
}
