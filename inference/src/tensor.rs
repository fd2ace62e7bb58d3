//! Tensors: a shape, and numbers or strings of one type, row by row. Knows no engine and no protocol.

use std::borrow::Cow;
use std::fmt;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

#[cfg(target_endian = "big")]
compile_error!("the bytes of tensors are taken as they lie in memory, with the lowest first");

/// What went wrong with a tensor of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    #[error("the shape {shape:?} is larger than any tensor here")]
    TooMany { shape: Vec<usize> },
    #[error("the shape {shape:?} has {wanted} elements, and there are {given}")]
    Count {
        shape: Vec<usize>,
        wanted: usize,
        given: usize,
    },
    #[error("the shape {shape:?} of {dtype} has {wanted} bytes, and there are {given}")]
    Bytes {
        dtype: DataType,
        shape: Vec<usize>,
        wanted: usize,
        given: usize,
    },
    #[error("strings have no fixed size")]
    Strings,
    #[error("tensors of {0} and {1} cannot be one batch")]
    Batch(String, String),
}

macro_rules! types {
    ($($variant:ident $rust:ty, $name:literal;)*) => {
        /// What a tensor consists of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum DataType {
            $(#[serde(rename = $name)] $variant,)*
            /// Bytes, by most writers UTF-8.
            #[serde(rename = "string")] String,
        }

        impl DataType {
            pub const ALL: [Self; 14] = [$(Self::$variant,)* Self::String];

            /// The name in manifests and messages: Rust's.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* Self::String => "string" }
            }

            /// Bytes of one element; none for strings.
            #[must_use]
            pub const fn size(self) -> Option<usize> {
                match self { $(Self::$variant => Some(size_of::<$rust>()),)* Self::String => None }
            }
        }

        /// The elements of a tensor.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Data {
            $($variant(Vec<$rust>),)*
            String(Vec<Vec<u8>>),
        }

        impl Data {
            #[must_use]
            pub const fn dtype(&self) -> DataType {
                match self { $(Self::$variant(_) => DataType::$variant,)* Self::String(_) => DataType::String }
            }

            fn len(&self) -> usize {
                match self { $(Self::$variant(all) => all.len(),)* Self::String(all) => all.len() }
            }

            /// The elements `range`.
            fn part(&self, range: std::ops::Range<usize>) -> Self {
                match self {
                    $(Self::$variant(all) => Self::$variant(all[range].to_vec()),)*
                    Self::String(all) => Self::String(all[range].to_vec()),
                }
            }

            /// Adds the elements of another of this type; says whether it is one.
            fn append(&mut self, other: &Self) -> bool {
                match (self, other) {
                    $((Self::$variant(all), Self::$variant(more)) => all.extend_from_slice(more),)*
                    (Self::String(all), Self::String(more)) => all.extend_from_slice(more),
                    _ => return false,
                }
                true
            }
        }

        $(impl Element for $rust {
            const TYPE: DataType = DataType::$variant;

            fn of(data: &Data) -> Option<&[Self]> {
                match data { Data::$variant(all) => Some(all), _ => None }
            }
        })*

        $(impl From<Vec<$rust>> for Data {
            fn from(all: Vec<$rust>) -> Self { Self::$variant(all) }
        })*
    };
}

/// A number that tensors consist of.
pub trait Element: Copy {
    const TYPE: DataType;

    /// The elements, if they are of this type.
    fn of(data: &Data) -> Option<&[Self]>;
}

types! {
    Bool bool, "bool";
    U8 u8, "u8";
    U16 u16, "u16";
    U32 u32, "u32";
    U64 u64, "u64";
    I8 i8, "i8";
    I16 i16, "i16";
    I32 i32, "i32";
    I64 i64, "i64";
    F16 f16, "f16";
    Bf16 bf16, "bf16";
    F32 f32, "f32";
    F64 f64, "f64";
}

impl From<Vec<String>> for Data {
    fn from(all: Vec<String>) -> Self {
        Self::String(all.into_iter().map(String::into_bytes).collect())
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A tensor whose shape and number of elements agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// # Errors
    /// Where the shape has another number of elements.
    pub fn new(shape: impl Into<Vec<usize>>, data: impl Into<Data>) -> Result<Self, TensorError> {
        let (shape, data) = (shape.into(), data.into());
        let (wanted, given) = (elements(&shape)?, data.len());
        match wanted == given {
            true => Ok(Self { shape, data }),
            false => Err(TensorError::Count {
                shape,
                wanted,
                given,
            }),
        }
    }

    /// A tensor of numbers from their bytes, each with the lowest first; of `bool`, whatever is not 0 is true.
    ///
    /// # Errors
    /// Where the shape has another number of bytes, and for strings.
    pub fn from_bytes(
        dtype: DataType,
        shape: impl Into<Vec<usize>>,
        bytes: &[u8],
    ) -> Result<Self, TensorError> {
        let shape = shape.into();
        let size = dtype.size().ok_or(TensorError::Strings)?;
        let wanted = elements(&shape)?.checked_mul(size);
        let Some(wanted) = wanted else {
            return Err(TensorError::TooMany { shape });
        };
        if wanted != bytes.len() {
            let given = bytes.len();
            return Err(TensorError::Bytes {
                dtype,
                shape,
                wanted,
                given,
            });
        }
        let data = from_bytes(dtype, bytes).ok_or(TensorError::Strings)?;
        Ok(Self { shape, data })
    }

    /// The bytes of numbers as they lie in memory, each with the lowest first; none for strings.
    #[must_use]
    pub fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        Some(match &self.data {
            Data::Bool(all) => Cow::Owned(all.iter().map(|one| u8::from(*one)).collect()),
            Data::U8(all) => Cow::Borrowed(all),
            Data::U16(all) => Cow::Borrowed(bytemuck::cast_slice(all)),
            Data::U32(all) => Cow::Borrowed(bytemuck::cast_slice(all)),
            Data::U64(all) => Cow::Borrowed(bytemuck::cast_slice(all)),
            Data::I8(all) => Cow::Borrowed(bytemuck::cast_slice(all)),
            Data::I16(all) => Cow::Borrowed(bytemuck::cast_slice(all)),
            Data::I32(all) => Cow::Borrowed(bytemuck::cast_slice(all)),
            Data::I64(all) => Cow::Borrowed(bytemuck::cast_slice(all)),
            Data::F16(all) => Cow::Borrowed(bytemuck::cast_slice(all)),
            Data::Bf16(all) => Cow::Borrowed(bytemuck::cast_slice(all)),
            Data::F32(all) => Cow::Borrowed(bytemuck::cast_slice(all)),
            Data::F64(all) => Cow::Borrowed(bytemuck::cast_slice(all)),
            Data::String(_) => return None,
        })
    }

    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    #[must_use]
    pub const fn dtype(&self) -> DataType {
        self.data.dtype()
    }

    #[must_use]
    pub const fn data(&self) -> &Data {
        &self.data
    }

    /// How many elements there are.
    #[must_use]
    pub fn data_len(&self) -> usize {
        self.data.len()
    }

    /// The numbers, if they are of this type.
    #[must_use]
    pub fn values<T: Element>(&self) -> Option<&[T]> {
        T::of(&self.data)
    }

    /// The strings, if it has those.
    #[must_use]
    pub fn strings(&self) -> Option<&[Vec<u8>]> {
        match &self.data {
            Data::String(all) => Some(all),
            _ => None,
        }
    }

    /// What this has in bytes, of strings their lengths.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.data {
            Data::String(all) => all.iter().map(Vec::len).sum(),
            data => data.len() * data.dtype().size().unwrap_or_default(),
        }
    }

    /// Several tensors as one, along the first dimension.
    ///
    /// # Errors
    /// Where they differ in type or another dimension, or have none.
    pub fn concatenate<'a>(
        tensors: impl IntoIterator<Item = &'a Self>,
    ) -> Result<Option<Self>, TensorError> {
        let mut tensors = tensors.into_iter();
        let Some(first) = tensors.next() else {
            return Ok(None);
        };
        let mut all = first.clone();
        for one in tensors {
            let differs = || TensorError::Batch(first.kind(), one.kind());
            let rows = match (&*all.shape, &*one.shape) {
                ([rows, rest @ ..], [more, others @ ..]) if rest == others => rows + more,
                _ => return Err(differs()),
            };
            if !all.data.append(&one.data) {
                return Err(differs());
            }
            all.shape[0] = rows;
        }
        Ok(Some(all))
    }

    /// Parts with so many rows each; none where they are not all rows.
    #[must_use]
    pub fn split(&self, rows: &[usize]) -> Option<Vec<Self>> {
        let (first, rest) = self.shape.split_first()?;
        if rows.iter().sum::<usize>() != *first {
            return None;
        }
        let row: usize = rest.iter().product();
        let mut start = 0;
        let parts = rows.iter().map(|count| {
            let end = start + count * row;
            let data = self.data.part(start..end);
            start = end;
            let shape = std::iter::once(*count).chain(rest.iter().copied());
            Self {
                shape: shape.collect(),
                data,
            }
        });
        Some(parts.collect())
    }

    fn kind(&self) -> String {
        format!("{} {:?}", self.dtype(), self.shape)
    }
}

/// Parts of a tensor without an element: nested arrays of JSON write each of them.
const MOST_EMPTY: usize = 1 << 20;

/// How many elements a shape has.
fn elements(shape: &[usize]) -> Result<usize, TensorError> {
    let parts = shape
        .iter()
        .try_fold(1usize, |all, dim| all.checked_mul((*dim).max(1)));
    match parts {
        Some(parts) if !shape.contains(&0) => Ok(parts),
        Some(parts) if parts <= MOST_EMPTY => Ok(0),
        _ => Err(TensorError::TooMany {
            shape: shape.to_vec(),
        }),
    }
}

fn from_bytes(dtype: DataType, bytes: &[u8]) -> Option<Data> {
    use bytemuck::pod_collect_to_vec as cast;
    Some(match dtype {
        DataType::Bool => Data::Bool(bytes.iter().map(|byte| *byte != 0).collect()),
        DataType::U8 => Data::U8(bytes.to_vec()),
        DataType::U16 => Data::U16(cast(bytes)),
        DataType::U32 => Data::U32(cast(bytes)),
        DataType::U64 => Data::U64(cast(bytes)),
        DataType::I8 => Data::I8(cast(bytes)),
        DataType::I16 => Data::I16(cast(bytes)),
        DataType::I32 => Data::I32(cast(bytes)),
        DataType::I64 => Data::I64(cast(bytes)),
        DataType::F16 => Data::F16(cast(bytes)),
        DataType::Bf16 => Data::Bf16(cast(bytes)),
        DataType::F32 => Data::F32(cast(bytes)),
        DataType::F64 => Data::F64(cast(bytes)),
        DataType::String => return None,
    })
}
