//! What an ONNX file says of its nodes, inputs and outputs, read without its weights: those may be larger than memory. Of 64-bit
//! integers, which are few, it is read how large they are.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use bytes::{Buf, BufMut};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

use crate::error::Error;

/// The part of `onnx.proto` that is looked at; names and numbers are those of the file.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<Opset>,
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<Function>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Opset {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Weights>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Function {
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<Node>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub t: Option<Weights>,
    #[prost(message, optional, tag = "6")]
    pub g: Option<Graph>,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<Graph>,
}

/// `TensorProto` without its numbers, but the least and the largest of 64-bit integers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    pub dims: Vec<i64>,
    pub data_type: i32,
    pub name: String,
    range: Option<(i64, i64)>,
}

impl Weights {
    /// `TensorProto.DataType.INT64`
    const INT64: i32 = 7;

    /// A scalar or a list.
    pub fn of(numbers: &[i64], is_list: bool) -> Self {
        let mut weights = Self {
            dims: is_list
                .then_some(numbers.len() as i64)
                .into_iter()
                .collect(),
            data_type: Self::INT64,
            ..Self::default()
        };
        weights.take(numbers.iter().copied());
        weights
    }

    /// Whether an integer of it is beyond 32 bits.
    pub fn is_wide(&self) -> bool {
        let fits = |one: i64| i32::try_from(one).is_ok();
        self.range
            .is_some_and(|(least, most)| !fits(least) || !fits(most))
    }

    fn take(&mut self, numbers: impl Iterator<Item = i64>) {
        for one in numbers {
            let (least, most) = self.range.unwrap_or((one, one));
            self.range = Some((least.min(one), most.max(one)));
        }
    }
}

/// By hand, since the type of the numbers says whether they are read. It comes before them, as the numbers of the fields do.
impl Message for Weights {
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => encoding::int64::merge_repeated(wire_type, &mut self.dims, buffer, context),
            2 => encoding::int32::merge(wire_type, &mut self.data_type, buffer, context),
            // `int64_data`
            7 => {
                let mut numbers = Vec::new();
                encoding::int64::merge_repeated(wire_type, &mut numbers, buffer, context)?;
                self.take(numbers.into_iter());
                Ok(())
            }
            8 => encoding::string::merge(wire_type, &mut self.name, buffer, context),
            // `raw_data`
            9 if self.data_type == Self::INT64 => {
                let mut bytes = Vec::new();
                encoding::bytes::merge(wire_type, &mut bytes, buffer, context)?;
                let (numbers, _) = bytes.as_chunks();
                self.take(numbers.iter().map(|one| i64::from_le_bytes(*one)));
                Ok(())
            }
            _ => encoding::skip_field(wire_type, tag, buffer, context),
        }
    }

    /// It is only read.
    fn encode_raw(&self, _: &mut impl BufMut) {}

    fn encoded_len(&self) -> usize {
        0
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct ValueInfo {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Type {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    #[prost(oneof = "Size", tags = "1, 2")]
    pub value: Option<Size>,
}

/// `TensorShapeProto.Dimension.value`
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Size {
    #[prost(int64, tag = "1")]
    DimValue(i64),
    #[prost(string, tag = "2")]
    DimParam(String),
}

impl Model {
    /// # Errors
    /// Where the file cannot be read, or is none of ONNX.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::load(path, error);
        let mut bytes = Bytes::open(path).map_err(|error| failed(&error))?;
        let read = Self::decode(&mut bytes);
        match bytes.error {
            Some(error) => Err(failed(&error)),
            None => read.map_err(|error| failed(&error)),
        }
    }

    /// All nodes: those of functions, branches and bodies too.
    pub fn nodes(&self) -> Vec<&Node> {
        let functions = self.functions.iter().flat_map(|one| &one.node);
        let own = self.graph.iter().flat_map(|graph| &graph.node);
        let mut nodes: Vec<&Node> = own.chain(functions).collect();
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            let inner: Vec<&Node> = node.graphs().flat_map(|graph| &graph.node).collect();
            nodes.extend(inner);
            at += 1;
        }
        nodes
    }

    /// All graphs: branches and bodies too.
    pub fn graphs(&self) -> Vec<&Graph> {
        let inner = self.nodes().into_iter().flat_map(Node::graphs);
        self.graph.iter().chain(inner).collect()
    }
}

impl Node {
    /// Its branches or its body.
    pub fn graphs(&self) -> impl Iterator<Item = &Graph> {
        let attributes = self.attribute.iter();
        attributes.flat_map(|one| one.g.iter().chain(&one.graphs))
    }
}

/// The bytes of a file, of which those that are skipped are not read.
struct Bytes {
    file: File,
    /// What follows the chunk.
    left: u64,
    chunk: Vec<u8>,
    at: usize,
    /// After one there are only zeros, which are no message.
    error: Option<io::Error>,
}

impl Bytes {
    const CHUNK: u64 = 1 << 16;

    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let left = file.metadata()?.len();
        let mut bytes = Self {
            file,
            left,
            chunk: Vec::new(),
            at: 0,
            error: None,
        };
        bytes.next(0);
        Ok(bytes)
    }

    /// Skips so many bytes after the chunk, and reads the next.
    fn next(&mut self, skip: u64) {
        self.left = self.left.saturating_sub(skip);
        let size = self.left.min(Self::CHUNK);
        self.chunk.clear();
        self.chunk.resize(size as usize, 0);
        self.left -= size;
        self.at = 0;
        if self.error.is_none() {
            let skipped = i64::try_from(skip).map_err(io::Error::other);
            let skipped = skipped.and_then(|skip| self.file.seek(SeekFrom::Current(skip)));
            let read = skipped.and_then(|_| self.file.read_exact(&mut self.chunk));
            self.error = read.err();
        }
    }
}

impl Buf for Bytes {
    fn remaining(&self) -> usize {
        usize::try_from(self.left).map_or(usize::MAX, |left| left + self.chunk.len() - self.at)
    }

    fn chunk(&self) -> &[u8] {
        &self.chunk[self.at..]
    }

    fn advance(&mut self, count: usize) {
        let here = self.chunk.len() - self.at;
        match count < here {
            true => self.at += count,
            false => self.next((count - here) as u64),
        }
    }
}
