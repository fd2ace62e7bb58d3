//! The names and numbers of element types: TensorFlow's and KServe's.

use carrel_inference::DataType;

/// Triton's name for networks of ONNX files.
pub const PLATFORM: &str = "onnx_onnxv1";

/// The extensions of KServe's protocol, by their names at Triton.
pub const EXTENSIONS: [&str; 4] = [
    "binary_tensor_data",
    "model_repository",
    "statistics",
    "trace",
];

/// Ours, TensorFlow's number (`types.proto`) and name, KServe's name.
const TYPES: [(DataType, i32, &str, &str); 14] = [
    (DataType::F32, 1, "DT_FLOAT", "FP32"),
    (DataType::F64, 2, "DT_DOUBLE", "FP64"),
    (DataType::I32, 3, "DT_INT32", "INT32"),
    (DataType::U8, 4, "DT_UINT8", "UINT8"),
    (DataType::I16, 5, "DT_INT16", "INT16"),
    (DataType::I8, 6, "DT_INT8", "INT8"),
    (DataType::String, 7, "DT_STRING", "BYTES"),
    (DataType::I64, 9, "DT_INT64", "INT64"),
    (DataType::Bool, 10, "DT_BOOL", "BOOL"),
    (DataType::Bf16, 14, "DT_BFLOAT16", "BF16"),
    (DataType::U16, 17, "DT_UINT16", "UINT16"),
    (DataType::F16, 19, "DT_HALF", "FP16"),
    (DataType::U32, 22, "DT_UINT32", "UINT32"),
    (DataType::U64, 23, "DT_UINT64", "UINT64"),
];

fn find(
    wanted: impl Fn(&(DataType, i32, &str, &str)) -> bool,
) -> Option<(DataType, i32, &'static str, &'static str)> {
    TYPES.into_iter().find(|one| wanted(one))
}

/// TensorFlow's number; 0 is `DT_INVALID`.
#[must_use]
pub fn tensorflow_number(dtype: DataType) -> i32 {
    find(|one| one.0 == dtype).map_or(0, |one| one.1)
}

#[must_use]
pub fn of_tensorflow(number: i32) -> Option<DataType> {
    find(|one| one.1 == number).map(|one| one.0)
}

#[must_use]
pub fn tensorflow(dtype: DataType) -> &'static str {
    find(|one| one.0 == dtype).map_or("DT_INVALID", |one| one.2)
}

#[must_use]
pub fn kserve(dtype: DataType) -> &'static str {
    find(|one| one.0 == dtype).map_or("", |one| one.3)
}

#[must_use]
pub fn of_kserve(name: &str) -> Option<DataType> {
    find(|one| one.3 == name).map(|one| one.0)
}

#[cfg(test)]
mod tests {
    use carrel_inference::DataType;

    use super::{kserve, of_kserve, of_tensorflow, tensorflow_number};

    #[test]
    fn every_type_has_names_of_its_own() {
        for dtype in DataType::ALL {
            assert_eq!(of_tensorflow(tensorflow_number(dtype)), Some(dtype));
            assert_eq!(of_kserve(kserve(dtype)), Some(dtype));
        }
    }
}
