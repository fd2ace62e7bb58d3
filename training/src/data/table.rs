//! Tables from CSV and Parquet files, whose columns become tensors.

use std::fmt::{self, Write};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::column::Column;

/// Rows that are shown.
const SHOWN: usize = 10;

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Csv { path: PathBuf, source: csv::Error },
    #[error("{}: {source}", path.display())]
    Parquet { path: PathBuf, source: ParquetError },
    #[error("{}: the column `{column}` holds {kind}, which is no number and no text", path.display())]
    Kind {
        path: PathBuf,
        column: String,
        kind: String,
    },
    #[error("there is no column `{wanted}`; there are {}", .there.join(", "))]
    NoColumn { wanted: String, there: Vec<String> },
    #[error("`{column}` holds words, such as {word:?} in row {row}; `classes` numbers them")]
    Words {
        column: String,
        row: usize,
        word: String,
    },
    #[error(
        "`{column}` has no value in row {row}; leave such rows out by `drop_missing`, or `fill` them"
    )]
    Missing { column: String, row: usize },
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// A table in memory. Rows count from 0.
///
/// ```
/// # use carrel_training::prelude::*;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("iris.csv");
/// # std::fs::write(&path, "length,width,species\n5.1,3.5,setosa\n6.2,2.9,virginica\n")?;
/// let iris = Table::csv(&path)?;
/// let (species, names) = iris.classes("species")?;
/// let data = TensorDataset::new(iris.inputs(&["length", "width"])?, species)?;
/// assert_eq!((data.len(), names), (2, vec!["setosa".into(), "virginica".into()]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<(String, Column)>,
    rows: usize,
}

impl Table {
    /// A file with names in the first line. A column is one of numbers if every field that is not empty is one. Fields
    /// are separated by tabs in a file `.tsv`, else by commas.
    ///
    /// # Errors
    /// When it cannot be read, or a line has more or fewer fields than the first.
    pub fn csv(path: impl AsRef<Path>) -> Result<Self, TableError> {
        let path = path.as_ref();
        let file = open(path)?;
        let failed = |source| TableError::Csv {
            path: path.to_owned(),
            source,
        };
        let tabs = path.extension().is_some_and(|extension| extension == "tsv");
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(if tabs { b'\t' } else { b',' })
            .trim(csv::Trim::All)
            .from_reader(file);
        let names: Vec<String> = reader
            .headers()
            .map_err(failed)?
            .iter()
            .map(str::to_owned)
            .collect();
        let mut columns: Vec<Vec<String>> = vec![Vec::new(); names.len()];
        for record in reader.records() {
            for (column, field) in columns.iter_mut().zip(&record.map_err(failed)?) {
                column.push(field.to_owned());
            }
        }
        let rows = columns.first().map_or(0, Vec::len);
        let columns = columns.into_iter().map(Column::of_words);
        Ok(Self {
            columns: names.into_iter().zip(columns).collect(),
            rows,
        })
    }

    /// A Parquet file with columns of numbers, truth values and text.
    ///
    /// # Errors
    /// When it cannot be read, or a column holds something else.
    pub fn parquet(path: impl AsRef<Path>) -> Result<Self, TableError> {
        let path = path.as_ref();
        let failed = |source| TableError::Parquet {
            path: path.to_owned(),
            source,
        };
        let reader = SerializedFileReader::new(open(path)?).map_err(failed)?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let names = schema.root_schema().get_fields().iter();
        let mut columns: Vec<(String, Column)> = names
            .map(|field| (field.name().to_owned(), Column::empty()))
            .collect();
        let mut rows = 0;
        for row in reader.get_row_iter(None).map_err(failed)? {
            let row = row.map_err(failed)?;
            for ((name, column), (_, field)) in columns.iter_mut().zip(row.get_column_iter()) {
                column.push(field, rows).map_err(|kind| TableError::Kind {
                    path: path.to_owned(),
                    column: name.clone(),
                    kind,
                })?;
            }
            rows += 1;
        }
        Ok(Self { columns, rows })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| &**name)
    }

    /// Columns of numbers side by side: f32 `[rows, columns]`.
    ///
    /// # Errors
    /// When a column is not there, holds words, or misses a value.
    pub fn inputs(&self, columns: &[&str]) -> Result<Tensor, TableError> {
        let numbers: Vec<&[f64]> = columns
            .iter()
            .map(|name| self.numbers(name))
            .collect::<Result<_, _>>()?;
        let rows =
            (0..self.rows).flat_map(|row| numbers.iter().map(move |column| column[row] as f32));
        let shape = (self.rows, columns.len());
        Ok(Tensor::from_vec(
            rows.collect::<Vec<f32>>(),
            shape,
            &Device::Cpu,
        )?)
    }

    /// A column of numbers: f32 `[rows, 1]`, as a network with one output has it.
    ///
    /// # Errors
    /// As those of [`Table::inputs`].
    pub fn values(&self, column: &str) -> Result<Tensor, TableError> {
        self.inputs(&[column])
    }

    /// What stands in a column, in order, and for each row the number of its value there: u32 `[rows]`. Digits that
    /// stand for a name stay as they are written: leading zeros, a plus, and whole numbers from 2^53 on.
    ///
    /// # Errors
    /// When the column is not there or misses a value.
    pub fn classes(&self, column: &str) -> Result<(Tensor, Vec<String>), TableError> {
        let (classes, names) = self.complete(column)?.classes();
        Ok((Tensor::from_vec(classes, self.rows, &Device::Cpu)?, names))
    }

    /// The table without rows that miss a value.
    #[must_use]
    pub fn drop_missing(mut self) -> Self {
        let whole: Vec<bool> = (0..self.rows)
            .map(|row| self.columns.iter().all(|(_, column)| !column.misses(row)))
            .collect();
        for (_, column) in &mut self.columns {
            column.keep(&whole);
        }
        self.rows = whole.iter().filter(|whole| **whole).count();
        self
    }

    /// The table with `value` where a column of numbers misses one.
    ///
    /// # Errors
    /// When the column is not there or holds words.
    pub fn fill(mut self, column: &str, value: f64) -> Result<Self, TableError> {
        if let Column::Words(words) = self.column(column)? {
            return Err(wrong(column, words));
        }
        let named = self.columns.iter_mut().filter(|(name, _)| name == column);
        named.for_each(|(_, column)| column.fill(value));
        Ok(self)
    }

    /// The first rows as a table of HTML.
    pub fn html(&self) -> String {
        let escape = crate::show::escape;
        let mut html = String::from("<table><thead><tr>");
        for (name, _) in &self.columns {
            // Writing to a string cannot fail, here and below.
            let _ = write!(html, "<th>{}</th>", escape(name));
        }
        html.push_str("</tr></thead><tbody>");
        for row in 0..self.rows.min(SHOWN) {
            html.push_str("<tr>");
            for (_, column) in &self.columns {
                let _ = write!(html, "<td>{}</td>", escape(&column.text(row)));
            }
            html.push_str("</tr>");
        }
        let _ = write!(html, "</tbody></table><p>{}</p>", self.size());
        html
    }

    fn size(&self) -> String {
        format!("{} rows, {} columns", self.rows, self.columns.len())
    }

    fn column(&self, wanted: &str) -> Result<&Column, TableError> {
        let column = self.columns.iter().find(|(name, _)| name == wanted);
        column
            .map(|(_, column)| column)
            .ok_or_else(|| TableError::NoColumn {
                wanted: wanted.to_owned(),
                there: self.columns().map(str::to_owned).collect(),
            })
    }

    fn numbers(&self, name: &str) -> Result<&[f64], TableError> {
        match self.column(name)? {
            Column::Numbers { values, .. } => {
                self.complete(name)?;
                Ok(values)
            }
            Column::Words(words) => Err(wrong(name, words)),
        }
    }

    /// A column that misses no value.
    fn complete(&self, name: &str) -> Result<&Column, TableError> {
        let column = self.column(name)?;
        match (0..self.rows).find(|row| column.misses(*row)) {
            Some(row) => Err(TableError::Missing {
                column: name.to_owned(),
                row,
            }),
            None => Ok(column),
        }
    }
}

/// The first rows.
impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.rows.min(SHOWN);
        let cells: Vec<Vec<String>> = self
            .columns
            .iter()
            .map(|(name, column)| {
                let values = (0..shown).map(|row| column.text(row));
                std::iter::once(name.clone()).chain(values).collect()
            })
            .collect();
        for row in 0..=shown {
            for column in &cells {
                let width = column
                    .iter()
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or_default();
                write!(formatter, "{:>width$}  ", column[row])?;
            }
            writeln!(formatter)?;
        }
        write!(formatter, "{}", self.size())
    }
}

fn wrong(column: &str, words: &[String]) -> TableError {
    let first = words.iter().position(|word| word.parse::<f64>().is_err());
    let row = first.unwrap_or_default();
    TableError::Words {
        column: column.to_owned(),
        row,
        word: words.get(row).cloned().unwrap_or_default(),
    }
}

fn open(path: &Path) -> Result<File, TableError> {
    File::open(path).map_err(|source| TableError::Read {
        path: path.to_owned(),
        source,
    })
}
