//! Tensors as KServe's protocol sends them over HTTP: JSON, and their bytes behind it.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use serde::Deserialize;
use serde_json::json;

use super::ServeError;

/// How long the JSON is; the rest of a body is bytes of tensors.
pub(super) const LENGTH: &str = "inference-header-content-length";

/// The body of a request or an answer.
#[derive(Default)]
pub(super) struct Body {
    /// How much of it is JSON; all of it where it does not say.
    pub json: Option<usize>,
    pub bytes: Vec<u8>,
}

const NAMES: [(DType, &str); 7] = [
    (DType::U8, "UINT8"),
    (DType::U32, "UINT32"),
    (DType::I64, "INT64"),
    (DType::F16, "FP16"),
    (DType::BF16, "BF16"),
    (DType::F32, "FP32"),
    (DType::F64, "FP64"),
];

/// Asks for the one output, of this batch.
pub(super) fn request(x: &Tensor) -> Result<Body, ServeError> {
    let dtype = x.dtype();
    let name = NAMES.iter().find(|(known, _)| *known == dtype);
    let (_, name) = name.ok_or(ServeError::DType(dtype))?;
    let data = bytes_of(x)?;
    let json = json!({
        "inputs": [{
            "name": "input", "datatype": name, "shape": x.dims(), "parameters": { "binary_data_size": data.len() },
        }],
        "outputs": [{ "name": "output", "parameters": { "binary_data": true } }],
    });
    let mut bytes = json.to_string().into_bytes();
    let json = Some(bytes.len());
    bytes.extend(data);
    Ok(Body { json, bytes })
}

fn bytes_of(x: &Tensor) -> Result<Vec<u8>, ServeError> {
    let flat = x.to_device(&Device::Cpu)?.flatten_all()?;
    macro_rules! bytes {
        ($element:ty) => {
            bytemuck::cast_slice(&flat.to_vec1::<$element>()?).to_vec()
        };
    }
    Ok(match x.dtype() {
        DType::U8 => flat.to_vec1()?,
        DType::U32 => bytes!(u32),
        DType::I64 => bytes!(i64),
        DType::F16 => bytes!(f16),
        DType::BF16 => bytes!(bf16),
        DType::F32 => bytes!(f32),
        DType::F64 => bytes!(f64),
        other => return Err(ServeError::DType(other)),
    })
}

#[derive(Deserialize)]
struct Answer {
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    datatype: String,
    shape: Vec<usize>,
}

/// The one output of an answer.
pub(super) fn answer(body: &Body, device: &Device) -> Result<Tensor, ServeError> {
    let wrong = |reason: &str| ServeError::Answer(reason.to_owned());
    let parts = body.json.and_then(|json| body.bytes.split_at_checked(json));
    let (json, data) = parts.ok_or_else(|| wrong("it has no bytes of tensors"))?;
    let answer: Answer = serde_json::from_slice(json).map_err(|error| wrong(&error.to_string()))?;
    let [output] = &answer.outputs[..] else {
        return Err(wrong("it has not one output"));
    };
    let dtype = NAMES.iter().find(|(_, name)| *name == output.datatype);
    let (dtype, _) = dtype.ok_or_else(|| wrong(&format!("it is of {}", output.datatype)))?;
    let elements: usize = output.shape.iter().product();
    if elements * dtype.size_in_bytes() != data.len() {
        return Err(wrong("it has not as many bytes as its shape says"));
    }
    Ok(Tensor::from_raw_buffer(
        data,
        *dtype,
        &output.shape,
        device,
    )?)
}
