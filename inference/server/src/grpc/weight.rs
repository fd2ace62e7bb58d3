//! What a message takes once it is read, beyond its bytes: two bytes of a nested message may become hundreds.

use std::any::TypeId;

use bytes::Bytes;

use crate::proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use crate::proto::inference::{InferParameter, InferTensorContents, ModelInferRequest};
use crate::proto::tensorflow::TensorProto;
use crate::proto::tensorflow::serving::PredictRequest;
use crate::proto::tensorflow::tensor_shape_proto::Dim;

/// A repeated field: its number, and what it takes.
pub type Fields = &'static [(u64, Field)];

pub enum Field {
    /// A message of this size, and its own fields.
    Message(usize, Fields),
    /// Bytes or a text, which take so much beside themselves.
    Bytes(usize),
    /// Numbers, which take so much for each byte.
    Numbers(usize),
}

/// Lists grow to twice what they hold.
const fn listed<T>() -> usize {
    2 * size_of::<T>()
}

/// An entry of a map, with its key.
const fn mapped<T>() -> usize {
    2 * (size_of::<String>() + size_of::<T>())
}

/// A text or bytes that are copied into a list, and what is allocated for one.
const COPIED: usize = listed::<Bytes>() + listed::<Vec<u8>>() + 32;

const PARAMETERS: Field = Field::Message(mapped::<InferParameter>(), &[]);

const CONTENTS: Fields = &[
    (2, Field::Numbers(4)),
    (3, Field::Numbers(8)),
    (4, Field::Numbers(4)),
    (5, Field::Numbers(8)),
    (8, Field::Bytes(COPIED)),
];

const INFER: Fields = &[
    (4, PARAMETERS),
    (
        5,
        Field::Message(
            listed::<InferInputTensor>(),
            &[
                (3, Field::Numbers(8)),
                (4, PARAMETERS),
                (
                    5,
                    Field::Message(size_of::<InferTensorContents>(), CONTENTS),
                ),
            ],
        ),
    ),
    (
        6,
        Field::Message(listed::<InferRequestedOutputTensor>(), &[(2, PARAMETERS)]),
    ),
    (7, Field::Bytes(COPIED)),
];

const TENSOR: Fields = &[
    (
        2,
        Field::Message(0, &[(2, Field::Message(listed::<Dim>(), &[]))]),
    ),
    (7, Field::Numbers(4)),
    (8, Field::Bytes(COPIED)),
    (10, Field::Numbers(8)),
    (13, Field::Numbers(4)),
    (16, Field::Numbers(4)),
    (17, Field::Numbers(8)),
];

const PREDICT: Fields = &[
    (
        2,
        Field::Message(mapped::<TensorProto>(), &[(2, Field::Message(0, TENSOR))]),
    ),
    (3, Field::Bytes(COPIED)),
];

/// The fields of those messages that may be large.
pub fn fields<T: 'static>() -> Option<Fields> {
    let of = TypeId::of::<T>();
    if of == TypeId::of::<ModelInferRequest>() {
        return Some(INFER);
    }
    (of == TypeId::of::<PredictRequest>()).then_some(PREDICT)
}

/// An upper bound of what the message takes beyond its bytes. What is no message weighs what comes before that: it is not
/// read on either.
pub fn weight(mut bytes: &[u8], fields: Fields) -> usize {
    let mut all = 0;
    while let Some(tag) = number(&mut bytes) {
        let field = fields.iter().find(|(number, _)| *number == tag >> 3);
        let field = field.map(|(_, field)| field);
        let skipped = match tag & 7 {
            0 => number(&mut bytes).map(|_| ()),
            1 => take(&mut bytes, 8).map(|_| ()),
            5 => take(&mut bytes, 4).map(|_| ()),
            // The begin or end of a group: what is in it counts as if it were outside.
            3 | 4 => Some(()),
            2 => number(&mut bytes)
                .and_then(|length| take(&mut bytes, usize::try_from(length).ok()?))
                .map(|part| {
                    all += match field {
                        Some(Field::Message(size, fields)) => size + weight(part, fields),
                        Some(Field::Bytes(size)) => *size,
                        Some(Field::Numbers(size)) => size * part.len(),
                        None => 0,
                    }
                }),
            _ => None,
        };
        if skipped.is_none() {
            break;
        }
        // Numbers one by one, each with its tag.
        if matches!((tag & 7, field), (0 | 1 | 5, Some(_))) {
            all += size_of::<u64>();
        }
    }
    all
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (part, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(part)
}

/// A number of seven bits in each byte.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut all = 0;
    for place in 0..10 {
        let [byte] = take(bytes, 1)? else { return None };
        all |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(all);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::{INFER, PREDICT, weight};
    use crate::proto::inference::ModelInferRequest;
    use crate::proto::inference::model_infer_request::InferInputTensor;
    use crate::proto::tensorflow::serving::PredictRequest;
    use crate::proto::tensorflow::{TensorProto, TensorShapeProto, tensor_shape_proto::Dim};

    #[test]
    fn small_parts_weigh_what_they_become() {
        const COUNT: usize = 1000;
        let request = ModelInferRequest {
            inputs: vec![InferInputTensor::default(); COUNT],
            ..ModelInferRequest::default()
        };
        let bytes = request.encode_to_vec();
        assert_eq!(bytes.len(), 2 * COUNT);
        assert!(weight(&bytes, INFER) >= COUNT * size_of::<InferInputTensor>());
        let shape = TensorShapeProto {
            dim: vec![Dim::default(); COUNT],
            unknown_rank: false,
        };
        let tensor = TensorProto {
            tensor_shape: Some(shape),
            int64_val: vec![1; COUNT],
            ..TensorProto::default()
        };
        let request = PredictRequest {
            inputs: [("x".to_owned(), tensor)].into(),
            ..PredictRequest::default()
        };
        let bytes = request.encode_to_vec();
        let wanted = COUNT * (size_of::<Dim>() + size_of::<i64>());
        assert!(weight(&bytes, PREDICT) >= wanted);
    }

    #[test]
    fn large_tensors_weigh_hardly_more_than_their_bytes() {
        let request = ModelInferRequest {
            inputs: vec![InferInputTensor::default()],
            raw_input_contents: vec![vec![1; 1 << 20].into()],
            ..ModelInferRequest::default()
        };
        assert!(weight(&request.encode_to_vec(), INFER) < 2000);
        // Nor do those that are no message take longer than their bytes.
        for broken in [&[0xff; 100][..], &[0x2a, 0xff, 0xff, 0x03], &[0x2b; 100]] {
            assert!(weight(broken, INFER) < 2000);
        }
    }
}
