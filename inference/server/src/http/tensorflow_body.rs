//! Bodies of TensorFlow Serving's REST API in row form (`instances`, `predictions`) and column form (`inputs`, `outputs`).

use carrel_inference::{Named, Signature, Tensor, TensorSpec};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::json;
use crate::json_tensor::{is_bytes, nested, write_nested, write_row};
use crate::served::Served;

/// What a request asks for.
pub struct Predict {
    pub signature: String,
    pub inputs: Named,
    pub form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Row,
    Column,
}

/// Reads a request for this version of a model; `without` is the signature where it names none, the model's own if that
/// is none too.
pub fn read(served: &Served, body: &[u8], without: Option<&str>) -> Result<Predict, Failure> {
    let Value::Object(mut body) = json::parse(body)? else {
        return Err(Failure::invalid("the body is no JSON object"));
    };
    let name = match body.remove("signature_name") {
        None => None,
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err(Failure::invalid("signature_name is no string")),
    };
    let name = name.as_deref().filter(|name| !name.is_empty()).or(without);
    let (name, signature) = served.signature(name)?;
    let (inputs, form) = match (body.remove("instances"), body.remove("inputs")) {
        (Some(instances), None) => (rows(instances, signature)?, Form::Row),
        (None, Some(inputs)) => (columns(&inputs, signature)?, Form::Column),
        (Some(_), Some(_)) => {
            return Err(Failure::invalid("the body has both instances and inputs"));
        }
        (None, None) => {
            return Err(Failure::invalid(
                "the body has neither instances nor inputs",
            ));
        }
    };
    Ok(Predict {
        signature: name.to_owned(),
        inputs,
        form,
    })
}

/// A list of examples: each an object with all inputs, or the value of the only one.
fn rows(instances: Value, signature: &Signature) -> Result<Named, Failure> {
    let Value::Array(instances) = instances else {
        return Err(Failure::invalid("instances is no array"));
    };
    let named = |one: &Value| one.is_object() && !is_bytes(one);
    if !instances.first().is_some_and(named) {
        return only(&Value::Array(instances), signature);
    }
    let count = instances.len();
    let mut columns: Map<String, Value> = Map::new();
    for (index, instance) in instances.into_iter().enumerate() {
        let Value::Object(instance) = instance else {
            let message = format!("the instance {index} is no object, and others are");
            return Err(Failure::invalid(message));
        };
        for (name, value) in instance {
            let known = columns.get(&name).and_then(Value::as_array);
            if known.map_or(0, Vec::len) < index {
                let message = format!("the input {name:?} is missing in an instance");
                return Err(Failure::invalid(message));
            }
            let column = columns
                .entry(name)
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(column) = column {
                column.push(value);
            }
        }
    }
    let short = |column: &Value| column.as_array().is_none_or(|all| all.len() < count);
    if let Some((name, _)) = columns.iter().find(|(_, column)| short(column)) {
        let message = format!("the input {name:?} is missing in an instance");
        return Err(Failure::invalid(message));
    }
    all(&columns, signature)
}

/// An object with all inputs, or the value of the only one.
fn columns(inputs: &Value, signature: &Signature) -> Result<Named, Failure> {
    match inputs {
        Value::Object(inputs) if !inputs.contains_key("b64") => all(inputs, signature),
        value => only(value, signature),
    }
}

fn all(inputs: &Map<String, Value>, signature: &Signature) -> Result<Named, Failure> {
    let tensors = inputs.iter().map(|(name, value)| {
        let spec = signature.input(name).or_else(|| older(name, signature));
        let spec = spec.ok_or_else(|| {
            let known: Vec<_> = signature.inputs.iter().map(|one| &*one.name).collect();
            Failure::invalid(format!("there is no input {name:?}; there are {known:?}"))
        })?;
        Ok((spec.name.clone(), tensor(value, spec)?))
    });
    tensors.collect()
}

/// `image` is what requests called the pictures in 2018.
fn older<'a>(name: &str, signature: &'a Signature) -> Option<&'a TensorSpec> {
    match name {
        "image" => signature.input("images"),
        _ => None,
    }
}

fn only(value: &Value, signature: &Signature) -> Result<Named, Failure> {
    let [spec] = &*signature.inputs else {
        let known: Vec<_> = signature.inputs.iter().map(|one| &*one.name).collect();
        return Err(Failure::invalid(format!(
            "values need names: the inputs are {known:?}"
        )));
    };
    Ok(vec![(spec.name.clone(), tensor(value, spec)?)])
}

fn tensor(value: &Value, spec: &TensorSpec) -> Result<Tensor, Failure> {
    let tensor = nested(value, spec.dtype);
    tensor.map_err(|why| Failure::invalid(format!("the input {:?}: {why}", spec.name)))
}

/// The response in the form of the request.
pub fn write(outputs: &Named, form: Form) -> Result<String, Failure> {
    match form {
        Form::Row => write_rows(outputs),
        Form::Column => Ok(write_columns(outputs)),
    }
}

fn write_columns(outputs: &Named) -> String {
    let mut out = String::from("{\n    \"outputs\": ");
    match &**outputs {
        [(name, tensor)] => write_nested(&mut out, tensor, holds_bytes(name)),
        _ => write_object(&mut out, outputs, |out, name, tensor| {
            write_nested(out, tensor, holds_bytes(name));
        }),
    }
    out.push_str("\n}\n");
    out
}

fn write_rows(outputs: &Named) -> Result<String, Failure> {
    let mut counts = outputs
        .iter()
        .map(|(name, tensor)| (name, tensor.shape().first().copied()));
    let count = counts.next().and_then(|(_, count)| count);
    let Some(count) = count else {
        return Err(Failure::invalid(
            "an output has no rows; ask in column form",
        ));
    };
    if let Some((name, _)) = counts.find(|(_, other)| *other != Some(count)) {
        let message =
            format!("the output {name:?} has other rows than {count}; ask in column form");
        return Err(Failure::invalid(message));
    }
    let mut out = String::from("{\n    \"predictions\": [");
    for row in 0..count {
        if row > 0 {
            out.push(',');
        }
        match &**outputs {
            [(name, tensor)] => write_row(&mut out, tensor, holds_bytes(name), row),
            _ => write_object(&mut out, outputs, |out, name, tensor| {
                write_row(out, tensor, holds_bytes(name), row);
            }),
        }
    }
    out.push_str("\n    ]\n}\n");
    Ok(out)
}

fn write_object(out: &mut String, outputs: &Named, write: impl Fn(&mut String, &str, &Tensor)) {
    out.push('{');
    for (index, (name, tensor)) in outputs.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        json::write_string(out, name);
        out.push(':');
        write(out, name, tensor);
    }
    out.push('}');
}

/// TensorFlow Serving writes strings of such outputs as bytes.
fn holds_bytes(name: &str) -> bool {
    name.ends_with("_bytes")
}
