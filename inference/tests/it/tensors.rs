//! Tensors without an engine.

use carrel_inference::{Data, DataType, Tensor, TensorError};
use half::{bf16, f16};

#[test]
fn bytes_and_numbers_are_the_same_tensor() -> Result<(), TensorError> {
    let all: Vec<Data> = vec![
        Data::Bool(vec![true, false]),
        Data::U8(vec![1, 255]),
        Data::U16(vec![1, u16::MAX]),
        Data::U32(vec![1, u32::MAX]),
        Data::U64(vec![1, u64::MAX]),
        Data::I8(vec![-1, i8::MIN]),
        Data::I16(vec![-1, i16::MIN]),
        Data::I32(vec![-1, i32::MIN]),
        Data::I64(vec![-1, i64::MIN]),
        Data::F16(vec![f16::from_f32(0.5), f16::INFINITY]),
        Data::Bf16(vec![bf16::from_f32(0.5), bf16::NEG_INFINITY]),
        Data::F32(vec![0.1, f32::MIN_POSITIVE]),
        Data::F64(vec![0.1, f64::MAX]),
    ];
    assert_eq!(all.len() + 1, DataType::ALL.len());
    for data in all {
        let tensor = Tensor::new([2, 1], data)?;
        let bytes = tensor.bytes().ok_or(TensorError::Strings)?;
        assert_eq!(Some(bytes.len() / 2), tensor.dtype().size());
        assert_eq!(Tensor::from_bytes(tensor.dtype(), [2, 1], &bytes)?, tensor);
    }
    let f16 = Tensor::new([1], vec![f16::from_f32(1.0)])?;
    assert_eq!(f16.bytes().as_deref(), Some(&[0x00, 0x3c][..]));
    Ok(())
}

#[test]
fn a_shape_of_another_size_is_refused() {
    let count = Tensor::new([2, 2], vec![1.0f32; 3]).unwrap_err();
    assert_eq!(
        count.to_string(),
        "the shape [2, 2] has 4 elements, and there are 3"
    );
    let bytes = Tensor::from_bytes(DataType::I64, [2], &[0; 15]).unwrap_err();
    assert_eq!(
        bytes.to_string(),
        "the shape [2] of i64 has 16 bytes, and there are 15"
    );
    // Also where there is nothing in it: `[[], [], ..]`.
    for shape in [
        [usize::MAX, 2],
        [usize::MAX, 1],
        [1 << 30, 0],
        [0, usize::MAX],
    ] {
        let many = Tensor::from_bytes(DataType::I64, shape, &[]).unwrap_err();
        assert_eq!(
            many,
            TensorError::TooMany {
                shape: shape.to_vec()
            }
        );
    }
    assert!(Tensor::from_bytes(DataType::String, [0], &[]).is_err());
    assert!(Tensor::from_bytes(DataType::I64, [1000, 0], &[]).is_ok());
}

#[test]
fn batches_are_put_together_and_taken_apart() -> Result<(), TensorError> {
    let a = Tensor::new([1, 2], vec![1i64, 2])?;
    let b = Tensor::new([2, 2], vec![3i64, 4, 5, 6])?;
    let none = Tensor::new([0, 2], Vec::<i64>::new())?;
    let all = Tensor::concatenate([&a, &none, &b])?;
    let all = all.unwrap_or_else(|| a.clone());
    assert_eq!(all, Tensor::new([3, 2], vec![1i64, 2, 3, 4, 5, 6])?);
    assert_eq!(all.split(&[1, 0, 2]), Some(vec![a.clone(), none, b]));
    assert_eq!(all.split(&[1, 1]), None);
    let other = Tensor::new([1, 3], vec![1i64; 3])?;
    assert!(Tensor::concatenate([&a, &other]).is_err());
    let other = Tensor::new([1, 2], vec![1i32; 2])?;
    assert!(Tensor::concatenate([&a, &other]).is_err());
    Ok(())
}
