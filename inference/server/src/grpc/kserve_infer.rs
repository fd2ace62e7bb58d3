//! The tensors of KServe's protocol v2 over gRPC: in fields of their type, or as bytes beside them.

use bytes::Bytes;
use carrel_inference::{Data, DataType, Named, Tensor};

use crate::failure::Failure;
use crate::proto::inference::infer_parameter::ParameterChoice;
use crate::proto::inference::model_infer_request::InferInputTensor;
use crate::proto::inference::model_infer_response::InferOutputTensor;
use crate::proto::inference::{InferTensorContents, ModelInferRequest, ModelInferResponse};
use crate::served::Served;
use crate::{kserve_bytes, names};

/// The inputs of a request, which are all in fields or all bytes.
pub fn inputs(request: &ModelInferRequest) -> Result<Named, Failure> {
    let raw = &request.raw_input_contents;
    let (inputs, parts) = (request.inputs.len(), raw.len());
    if parts > 0 && parts != inputs {
        let message = format!("there are {inputs} inputs and {parts} raw_input_contents");
        return Err(Failure::invalid(message));
    }
    let tensors = request.inputs.iter().enumerate().map(|(index, input)| {
        let tensor = tensor(input, raw.get(index));
        let tensor =
            tensor.map_err(|why| Failure::invalid(format!("the input {:?}: {why}", input.name)));
        Ok((input.name.clone(), tensor?))
    });
    tensors.collect()
}

fn tensor(input: &InferInputTensor, raw: Option<&Bytes>) -> Result<Tensor, String> {
    let dtype = &input.datatype;
    let dtype = names::of_kserve(dtype).ok_or_else(|| format!("there is no datatype {dtype:?}"))?;
    let size = |dim: &i64| usize::try_from(*dim).map_err(|_| format!("a dimension is {dim}"));
    let shape: Vec<usize> = input.shape.iter().map(size).collect::<Result<_, _>>()?;
    match (raw, &input.contents) {
        (Some(_), Some(_)) => Err("it has contents, and there are raw_input_contents".into()),
        (Some(bytes), None) => kserve_bytes::read(dtype, shape, bytes),
        (None, contents) => {
            let data = data(dtype, contents.clone().unwrap_or_default())?;
            Tensor::new(shape, data).map_err(|error| error.to_string())
        }
    }
}

fn data(dtype: DataType, contents: InferTensorContents) -> Result<Data, String> {
    macro_rules! narrow {
        ($variant:ident, $rust:ty, $values:expr) => {{
            let wrong = |value: &_| format!("{value} is no {dtype}");
            let values = $values
                .iter()
                .map(|one| <$rust>::try_from(*one).map_err(|_| wrong(one)));
            Data::$variant(values.collect::<Result<_, _>>()?)
        }};
    }
    Ok(match dtype {
        DataType::Bool => Data::Bool(contents.bool_contents),
        DataType::I8 => narrow!(I8, i8, contents.int_contents),
        DataType::I16 => narrow!(I16, i16, contents.int_contents),
        DataType::I32 => Data::I32(contents.int_contents),
        DataType::I64 => Data::I64(contents.int64_contents),
        DataType::U8 => narrow!(U8, u8, contents.uint_contents),
        DataType::U16 => narrow!(U16, u16, contents.uint_contents),
        DataType::U32 => Data::U32(contents.uint_contents),
        DataType::U64 => Data::U64(contents.uint64_contents),
        DataType::F32 => Data::F32(contents.fp32_contents),
        DataType::F64 => Data::F64(contents.fp64_contents),
        DataType::String => {
            Data::String(contents.bytes_contents.into_iter().map(Vec::from).collect())
        }
        DataType::F16 | DataType::Bf16 => {
            let name = names::kserve(dtype);
            return Err(format!(
                "{name} has no field; it goes by raw_input_contents"
            ));
        }
    })
}

/// The text of a parameter.
pub fn text<'a>(request: &'a ModelInferRequest, name: &str) -> Option<&'a str> {
    match request.parameters.get(name)?.parameter_choice.as_ref()? {
        ParameterChoice::StringParam(text) => Some(text),
        _ => None,
    }
}

/// The number of a parameter.
pub fn number(request: &ModelInferRequest, name: &str) -> Option<u64> {
    match request.parameters.get(name)?.parameter_choice.as_ref()? {
        ParameterChoice::Int64Param(number) => u64::try_from(*number).ok(),
        ParameterChoice::Uint64Param(number) => Some(*number),
        _ => None,
    }
}

/// The answer: in fields where the request was, as bytes else and where a type has no field.
pub fn response(
    served: &Served,
    id: String,
    outputs: &Named,
    in_fields: bool,
) -> ModelInferResponse {
    let has_field =
        |(_, one): &(String, Tensor)| !matches!(one.dtype(), DataType::F16 | DataType::Bf16);
    let in_fields = in_fields && outputs.iter().all(has_field);
    let described = outputs.iter().map(|(name, tensor)| InferOutputTensor {
        name: name.clone(),
        datatype: names::kserve(tensor.dtype()).to_owned(),
        shape: tensor.shape().iter().map(|dim| *dim as i64).collect(),
        contents: in_fields.then(|| contents(tensor.data())),
        ..InferOutputTensor::default()
    });
    let bytes =
        |(_, tensor): &(String, Tensor)| Bytes::from(kserve_bytes::write(tensor).into_owned());
    ModelInferResponse {
        model_name: served.name.clone(),
        model_version: served.version.to_string(),
        id,
        outputs: described.collect(),
        raw_output_contents: match in_fields {
            true => Vec::new(),
            false => outputs.iter().map(bytes).collect(),
        },
        ..ModelInferResponse::default()
    }
}

fn contents(data: &Data) -> InferTensorContents {
    let mut out = InferTensorContents::default();
    match data {
        Data::Bool(all) => out.bool_contents.clone_from(all),
        Data::I8(all) => out.int_contents = all.iter().map(|one| i32::from(*one)).collect(),
        Data::I16(all) => out.int_contents = all.iter().map(|one| i32::from(*one)).collect(),
        Data::I32(all) => out.int_contents.clone_from(all),
        Data::I64(all) => out.int64_contents.clone_from(all),
        Data::U8(all) => out.uint_contents = all.iter().map(|one| u32::from(*one)).collect(),
        Data::U16(all) => out.uint_contents = all.iter().map(|one| u32::from(*one)).collect(),
        Data::U32(all) => out.uint_contents.clone_from(all),
        Data::U64(all) => out.uint64_contents.clone_from(all),
        Data::F32(all) => out.fp32_contents.clone_from(all),
        Data::F64(all) => out.fp64_contents.clone_from(all),
        Data::String(all) => {
            out.bytes_contents = all.iter().map(|one| Bytes::from(one.clone())).collect();
        }
        Data::F16(_) | Data::Bf16(_) => {}
    }
    out
}
