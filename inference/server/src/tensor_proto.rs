//! Tensors as TensorFlow's `TensorProto`.

use bytes::Bytes;
use carrel_inference::{Data, DataType, Tensor, TensorSpec};
use half::{bf16, f16};

use crate::names;
use crate::proto::tensorflow::tensor_shape_proto::Dim;
use crate::proto::tensorflow::{TensorInfo, TensorProto, TensorShapeProto, tensor_info};

/// The type and shape that a message says. The error is the end of a sentence about the tensor.
pub fn described(proto: &TensorProto) -> Result<(DataType, Vec<usize>), String> {
    let number = proto.dtype;
    let dtype = names::of_tensorflow(number).ok_or_else(|| format!("its dtype is {number}"))?;
    Ok((dtype, shape(proto.tensor_shape.as_ref())?))
}

/// The tensor of a message with at most `most` bytes. The error is the end of a sentence about it.
///
/// As in TensorFlow, the last of its values stands for all that follow, so a short message may mean a large tensor.
pub fn read(proto: TensorProto, most: usize) -> Result<Tensor, String> {
    let (dtype, shape) = described(&proto)?;
    if !proto.tensor_content.is_empty() && dtype != DataType::String {
        return Tensor::from_bytes(dtype, shape, &proto.tensor_content)
            .map_err(|error| error.to_string());
    }
    let count = shape
        .iter()
        .try_fold(1usize, |all, dim| all.checked_mul(*dim));
    let fits = |count: &usize| {
        count
            .checked_mul(dtype.size().unwrap_or(1))
            .is_some_and(|all| all <= most)
    };
    let count = count
        .filter(fits)
        .ok_or_else(|| format!("the shape {shape:?} is too large"))?;
    let data = values(proto, dtype, count)?;
    Tensor::new(shape, data).map_err(|error| error.to_string())
}

fn shape(proto: Option<&TensorShapeProto>) -> Result<Vec<usize>, String> {
    let dims = proto.map(|shape| &*shape.dim).unwrap_or_default();
    if proto.is_some_and(|shape| shape.unknown_rank) {
        return Err("its shape is unknown".into());
    }
    let size =
        |dim: &Dim| usize::try_from(dim.size).map_err(|_| format!("a dimension is {}", dim.size));
    dims.iter().map(size).collect()
}

fn values(proto: TensorProto, dtype: DataType, count: usize) -> Result<Data, String> {
    let narrow = |value: &i32| format!("{value} is no {dtype}");
    macro_rules! narrow {
        ($variant:ident, $rust:ty, $values:expr) => {{
            let values = $values
                .iter()
                .map(|one| <$rust>::try_from(*one).map_err(|_| narrow(one)));
            Data::$variant(filled(values.collect::<Result<_, _>>()?, count)?)
        }};
    }
    macro_rules! half {
        ($rust:ty) => {{
            let bits = proto
                .half_val
                .iter()
                .map(|one| u16::try_from(*one).map_err(|_| narrow(one)));
            let bits: Result<Vec<u16>, _> = bits.collect();
            filled(bits?.into_iter().map(<$rust>::from_bits).collect(), count)?
        }};
    }
    Ok(match dtype {
        DataType::F32 => Data::F32(filled(proto.float_val, count)?),
        DataType::F64 => Data::F64(filled(proto.double_val, count)?),
        DataType::I32 => Data::I32(filled(proto.int_val, count)?),
        DataType::I64 => Data::I64(filled(proto.int64_val, count)?),
        DataType::U32 => Data::U32(filled(proto.uint32_val, count)?),
        DataType::U64 => Data::U64(filled(proto.uint64_val, count)?),
        DataType::Bool => Data::Bool(filled(proto.bool_val, count)?),
        DataType::U8 => narrow!(U8, u8, proto.int_val),
        DataType::I8 => narrow!(I8, i8, proto.int_val),
        DataType::U16 => narrow!(U16, u16, proto.int_val),
        DataType::I16 => narrow!(I16, i16, proto.int_val),
        DataType::F16 => Data::F16(half!(f16)),
        DataType::Bf16 => Data::Bf16(half!(bf16)),
        // Not repeated: strings have no small size.
        DataType::String => Data::String(proto.string_val.into_iter().map(Vec::from).collect()),
    })
}

/// The values, the last of them as often as it takes; without any, zeros.
fn filled<T: Clone + Default>(mut values: Vec<T>, count: usize) -> Result<Vec<T>, String> {
    let given = values.len();
    if given > count {
        return Err(format!(
            "its shape has {count} elements, and there are {given}"
        ));
    }
    values.resize(count, values.last().cloned().unwrap_or_default());
    Ok(values)
}

/// The message of a tensor, with its values in the field of their type as TensorFlow Serving writes them.
pub fn write(tensor: &Tensor) -> TensorProto {
    let dims = tensor.shape().iter().map(|dim| Some(*dim));
    let mut proto = TensorProto {
        dtype: names::tensorflow_number(tensor.dtype()),
        tensor_shape: Some(shape_proto(dims)),
        ..TensorProto::default()
    };
    macro_rules! wide {
        ($all:expr) => {
            $all.iter().map(|one| i32::from(*one)).collect()
        };
    }
    match tensor.data() {
        Data::F32(all) => proto.float_val.clone_from(all),
        Data::F64(all) => proto.double_val.clone_from(all),
        Data::I32(all) => proto.int_val.clone_from(all),
        Data::I64(all) => proto.int64_val.clone_from(all),
        Data::U32(all) => proto.uint32_val.clone_from(all),
        Data::U64(all) => proto.uint64_val.clone_from(all),
        Data::Bool(all) => proto.bool_val.clone_from(all),
        Data::U8(all) => proto.int_val = wide!(all),
        Data::I8(all) => proto.int_val = wide!(all),
        Data::U16(all) => proto.int_val = wide!(all),
        Data::I16(all) => proto.int_val = wide!(all),
        Data::F16(all) => proto.half_val = all.iter().map(|one| i32::from(one.to_bits())).collect(),
        Data::Bf16(all) => {
            proto.half_val = all.iter().map(|one| i32::from(one.to_bits())).collect()
        }
        Data::String(all) => {
            proto.string_val = all.iter().map(|one| Bytes::from(one.clone())).collect()
        }
    }
    proto
}

/// A shape, with -1 for dimensions of any size.
fn shape_proto(dims: impl IntoIterator<Item = Option<usize>>) -> TensorShapeProto {
    let dim = dims.into_iter().map(|dim| Dim {
        size: dim.and_then(|dim| i64::try_from(dim).ok()).unwrap_or(-1),
        name: String::new(),
    });
    TensorShapeProto {
        dim: dim.collect(),
        unknown_rank: false,
    }
}

/// What a signature says about a tensor.
pub fn info(spec: &TensorSpec) -> TensorInfo {
    TensorInfo {
        encoding: Some(tensor_info::Encoding::Name(spec.name.clone())),
        dtype: names::tensorflow_number(spec.dtype),
        tensor_shape: Some(shape_proto(spec.shape.iter().copied())),
    }
}

#[cfg(test)]
mod tests {
    use carrel_inference::{Data, Tensor};
    use half::{bf16, f16};

    use super::{TensorProto, read, shape_proto, write};

    #[test]
    fn every_type_is_read_as_it_is_written() {
        let all: Vec<Data> = vec![
            vec![true, false].into(),
            vec![1u8, 255].into(),
            vec![1u16, u16::MAX].into(),
            vec![1u32, u32::MAX].into(),
            vec![1u64, u64::MAX].into(),
            vec![-1i8, i8::MIN].into(),
            vec![-1i16, i16::MIN].into(),
            vec![-1i32, i32::MIN].into(),
            vec![-1i64, i64::MIN].into(),
            vec![f16::from_f32(0.5), f16::INFINITY].into(),
            vec![bf16::from_f32(0.5), bf16::NEG_INFINITY].into(),
            vec![0.1f32, f32::MIN_POSITIVE].into(),
            vec![0.1f64, f64::MAX].into(),
            vec!["a".to_owned(), String::new()].into(),
        ];
        for data in all {
            let tensor = Tensor::new([2, 1], data).unwrap();
            assert_eq!(read(write(&tensor), 1000), Ok(tensor.clone()));
            if let Some(bytes) = tensor.bytes() {
                let proto = TensorProto {
                    tensor_content: bytes.to_vec().into(),
                    dtype: write(&tensor).dtype,
                    tensor_shape: write(&tensor).tensor_shape,
                    ..TensorProto::default()
                };
                assert_eq!(read(proto, 1000), Ok(tensor.clone()));
            }
        }
    }

    #[test]
    fn the_last_value_is_repeated_within_bounds() {
        let proto = |size: usize, values: &[f32]| TensorProto {
            dtype: 1,
            tensor_shape: Some(shape_proto([Some(size)])),
            float_val: values.to_vec(),
            ..TensorProto::default()
        };
        assert_eq!(
            read(proto(3, &[1.0, 2.0]), 12),
            Tensor::new([3], vec![1.0f32, 2.0, 2.0]).map_err(|e| e.to_string())
        );
        assert_eq!(
            read(proto(2, &[]), 12),
            Tensor::new([2], vec![0.0f32; 2]).map_err(|e| e.to_string())
        );
        assert!(read(proto(4, &[1.0]), 12).is_err());
        assert!(read(proto(1, &[1.0, 2.0]), 12).is_err());
        assert!(read(proto(usize::MAX >> 1, &[1.0]), usize::MAX).is_err());
    }
}
