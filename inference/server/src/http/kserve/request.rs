//! An inference request of KServe's protocol v2: JSON, after it the bytes of those inputs that are not in it.

use std::collections::HashMap;

use carrel_inference::{DataType, Tensor};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::patience;
use crate::failure::Failure;
use crate::json_tensor::flat;
use crate::served::{Call, Served};
use crate::{json, kserve_bytes, names};

/// What a request asks for.
pub struct Request {
    pub id: String,
    pub call: Call,
    pub outputs: Outputs,
}

/// Which outputs are wanted as bytes.
#[derive(Debug, Default)]
pub struct Outputs {
    pub all_binary: bool,
    pub binary: HashMap<String, bool>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    id: String,
    #[serde(default)]
    parameters: Map<String, Value>,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    parameters: Map<String, Value>,
    data: Option<Value>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// Reads a request; `length` is that of its JSON, all of it where there is none.
pub fn read(served: &Served, body: &[u8], length: Option<usize>) -> Result<Request, Failure> {
    let all = body.len();
    let short =
        |length| Failure::invalid(format!("the JSON has {length} bytes, and the body {all}"));
    let length = length.unwrap_or(all);
    let (text, mut bytes) = body.split_at_checked(length).ok_or_else(|| short(length))?;
    let body: Body = serde_json::from_value(json::parse(text)?)
        .map_err(|error| Failure::invalid(format!("the body is no inference request: {error}")))?;
    let signature = body
        .parameters
        .get("signature_name")
        .and_then(Value::as_str);
    served.signature(signature)?;
    let mut inputs = Vec::with_capacity(body.inputs.len());
    for input in body.inputs {
        let tensor = tensor(&input, &mut bytes);
        let tensor =
            tensor.map_err(|why| Failure::invalid(format!("the input {:?}: {why}", input.name)))?;
        inputs.push((input.name, tensor));
    }
    if !bytes.is_empty() {
        let left = bytes.len();
        return Err(Failure::invalid(format!(
            "{left} bytes after the JSON belong to no input"
        )));
    }
    let flag =
        |parameters: &Map<String, Value>, name: &str| parameters.get(name).and_then(Value::as_bool);
    let binary = body.outputs.iter().filter_map(|output| {
        Some((
            output.name.clone(),
            flag(&output.parameters, "binary_data")?,
        ))
    });
    let outputs = Outputs {
        all_binary: flag(&body.parameters, "binary_data_output").unwrap_or(false),
        binary: binary.collect(),
    };
    let call = Call {
        signature: signature.map(str::to_owned),
        inputs,
        outputs: body.outputs.into_iter().map(|output| output.name).collect(),
        patience: patience(body.parameters.get("timeout").and_then(Value::as_u64)),
    };
    Ok(Request {
        id: body.id,
        call,
        outputs,
    })
}

/// The tensor of an input, whose bytes are taken from the front of `bytes` where it says so.
fn tensor(input: &Input, bytes: &mut &[u8]) -> Result<Tensor, String> {
    let dtype = dtype(&input.datatype)?;
    let shape: Result<Vec<usize>, _> = input
        .shape
        .iter()
        .map(|dim| usize::try_from(*dim))
        .collect();
    let shape = shape.map_err(|error| error.to_string())?;
    let size = input.parameters.get("binary_data_size");
    match (size.map(Value::as_u64), &input.data) {
        (Some(_), Some(_)) => Err("it has both data and binary_data_size".into()),
        (None, None) => Err("it has neither data nor binary_data_size".into()),
        (Some(None), None) => Err("binary_data_size is no number".into()),
        (None, Some(data)) => flat(data, dtype, shape),
        (Some(Some(size)), None) => {
            let left = bytes.len();
            let size = usize::try_from(size).map_err(|error| error.to_string())?;
            let split = bytes.split_at_checked(size);
            let (own, rest) =
                split.ok_or_else(|| format!("it has {size} bytes, and {left} are left"))?;
            *bytes = rest;
            kserve_bytes::read(dtype, shape, own)
        }
    }
}

fn dtype(name: &str) -> Result<DataType, String> {
    names::of_kserve(name).ok_or_else(|| format!("there is no datatype {name:?}"))
}
