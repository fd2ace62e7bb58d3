//! Tensors in JSON: nested or flat arrays of numbers, booleans and strings.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use carrel_inference::{Data, DataType, Tensor};
use half::{bf16, f16};
use serde_json::Value;

use crate::json::{float, is_word, write_float, write_string};

/// Dimensions of one tensor; more are nested arrays that only want to fill the stack.
const MOST_DIMENSIONS: usize = 32;

/// The tensor of a nested array, whose nesting is its shape. The error is the end of a sentence about it.
pub fn nested(value: &Value, dtype: DataType) -> Result<Tensor, String> {
    let mut shape = Vec::new();
    let mut first = value;
    while let Value::Array(all) = first {
        shape.push(all.len());
        if shape.len() > MOST_DIMENSIONS {
            return Err(format!("it has more than {MOST_DIMENSIONS} dimensions"));
        }
        match all.first() {
            Some(one) => first = one,
            None => break,
        }
    }
    let mut leaves = Vec::new();
    collect(value, &shape, &mut leaves)?;
    Tensor::new(shape, data(dtype, &leaves)?).map_err(|error| error.to_string())
}

/// The tensor of a shape that is known, from an array that is flat or nested.
pub fn flat(value: &Value, dtype: DataType, shape: Vec<usize>) -> Result<Tensor, String> {
    let mut leaves = Vec::new();
    flatten(value, 0, &mut leaves)?;
    Tensor::new(shape, data(dtype, &leaves)?).map_err(|error| error.to_string())
}

fn collect<'a>(
    value: &'a Value,
    shape: &[usize],
    leaves: &mut Vec<&'a Value>,
) -> Result<(), String> {
    match (value, shape) {
        (Value::Array(all), [size, rest @ ..]) => {
            if all.len() != *size {
                let given = all.len();
                return Err(format!(
                    "a part has {given} elements where another has {size}"
                ));
            }
            all.iter().try_for_each(|one| collect(one, rest, leaves))
        }
        (Value::Array(_), []) | (_, [_, ..]) => Err("its parts have different depths".into()),
        (leaf, []) => {
            leaves.push(leaf);
            Ok(())
        }
    }
}

fn flatten<'a>(value: &'a Value, depth: usize, leaves: &mut Vec<&'a Value>) -> Result<(), String> {
    match value {
        Value::Array(_) if depth > MOST_DIMENSIONS => {
            Err(format!("it has more than {MOST_DIMENSIONS} dimensions"))
        }
        Value::Array(all) => all
            .iter()
            .try_for_each(|one| flatten(one, depth + 1, leaves)),
        leaf => {
            leaves.push(leaf);
            Ok(())
        }
    }
}

fn data(dtype: DataType, leaves: &[&Value]) -> Result<Data, String> {
    macro_rules! each {
        ($variant:ident, $read:expr) => {
            Data::$variant(
                leaves
                    .iter()
                    .map(|leaf| $read(leaf).ok_or_else(|| wrong(leaf, dtype)))
                    .collect::<Result<_, _>>()?,
            )
        };
    }
    macro_rules! whole {
        ($variant:ident, $rust:ty) => {
            each!($variant, |leaf: &Value| integer(leaf)
                .and_then(|one| <$rust>::try_from(one).ok()))
        };
    }
    Ok(match dtype {
        DataType::Bool => each!(Bool, |leaf: &Value| leaf.as_bool()),
        DataType::U8 => whole!(U8, u8),
        DataType::U16 => whole!(U16, u16),
        DataType::U32 => whole!(U32, u32),
        DataType::U64 => whole!(U64, u64),
        DataType::I8 => whole!(I8, i8),
        DataType::I16 => whole!(I16, i16),
        DataType::I32 => whole!(I32, i32),
        DataType::I64 => whole!(I64, i64),
        DataType::F16 => each!(F16, |leaf: &Value| float(leaf).map(f16::from_f64)),
        DataType::Bf16 => each!(Bf16, |leaf: &Value| float(leaf).map(bf16::from_f64)),
        DataType::F32 => each!(F32, |leaf: &Value| float(leaf).map(|one| one as f32)),
        DataType::F64 => each!(F64, float),
        DataType::String => each!(String, string),
    })
}

fn integer(leaf: &Value) -> Option<i128> {
    let Value::Number(number) = leaf else {
        return None;
    };
    number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from))
}

/// A string, or bytes as `{"b64": ".."}`.
fn string(leaf: &Value) -> Option<Vec<u8>> {
    match leaf {
        Value::String(text) if !is_word(text) => Some(text.clone().into_bytes()),
        Value::Object(object) if is_bytes(leaf) => {
            let text = object.get("b64").and_then(Value::as_str)?;
            BASE64.decode(text).ok()
        }
        _ => None,
    }
}

/// Whether this is `{"b64": ..}`.
#[must_use]
pub fn is_bytes(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|object| object.len() == 1 && object.contains_key("b64"))
}

fn wrong(leaf: &Value, dtype: DataType) -> String {
    let mut text: String = leaf.to_string().chars().take(40).collect();
    if text.len() < leaf.to_string().len() {
        text.push_str("..");
    }
    format!("{text} is no {dtype}")
}

/// The tensor as nested arrays; `bytes` for strings that are written as `{"b64": ".."}` whatever they hold.
pub fn write_nested(out: &mut String, tensor: &Tensor, bytes: bool) {
    write_part(out, tensor, bytes, tensor.shape(), 0..tensor.data_len());
}

/// One row of the first dimension as nested arrays.
pub fn write_row(out: &mut String, tensor: &Tensor, bytes: bool, row: usize) {
    let Some((_, rest)) = tensor.shape().split_first() else {
        return;
    };
    let size: usize = rest.iter().product();
    write_part(out, tensor, bytes, rest, row * size..(row + 1) * size);
}

/// All elements in one array.
pub fn write_flat(out: &mut String, tensor: &Tensor) {
    let all = tensor.data_len();
    write_part(out, tensor, false, &[all], 0..all);
}

fn write_part(
    out: &mut String,
    tensor: &Tensor,
    bytes: bool,
    shape: &[usize],
    range: std::ops::Range<usize>,
) {
    let Some((size, rest)) = shape.split_first() else {
        return write_element(out, tensor.data(), range.start, bytes);
    };
    let step: usize = rest.iter().product();
    out.push('[');
    for index in 0..*size {
        if index > 0 {
            out.push(',');
        }
        let start = range.start + index * step;
        write_part(out, tensor, bytes, rest, start..start + step);
    }
    out.push(']');
}

fn write_element(out: &mut String, data: &Data, index: usize, bytes: bool) {
    // Writing to a string does not fail.
    let _ = match data {
        Data::Bool(all) => write!(out, "{}", all[index]),
        Data::U8(all) => write!(out, "{}", all[index]),
        Data::U16(all) => write!(out, "{}", all[index]),
        Data::U32(all) => write!(out, "{}", all[index]),
        Data::U64(all) => write!(out, "{}", all[index]),
        Data::I8(all) => write!(out, "{}", all[index]),
        Data::I16(all) => write!(out, "{}", all[index]),
        Data::I32(all) => write!(out, "{}", all[index]),
        Data::I64(all) => write!(out, "{}", all[index]),
        Data::F16(all) => return write_float(out, all[index].to_f32()),
        Data::Bf16(all) => return write_float(out, all[index].to_f32()),
        Data::F32(all) => return write_float(out, all[index]),
        Data::F64(all) => return write_float(out, all[index]),
        Data::String(all) => match str::from_utf8(&all[index]) {
            Ok(text) if !bytes => return write_string(out, text),
            _ => write!(out, r#"{{"b64":"{}"}}"#, BASE64.encode(&all[index])),
        },
    };
}
