//! Tensors as bytes by KServe's rules: numbers with the lowest byte first, strings each after its length in four bytes.

use std::borrow::Cow;

use carrel_inference::{Data, DataType, Tensor};

/// The tensor of these bytes. The error is the end of a sentence about it.
pub fn read(dtype: DataType, shape: Vec<usize>, bytes: &[u8]) -> Result<Tensor, String> {
    if dtype != DataType::String {
        return Tensor::from_bytes(dtype, shape, bytes).map_err(|error| error.to_string());
    }
    let mut strings = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return Err("its bytes end within the length of a string".into());
        };
        let length = u32::from_le_bytes(*length) as usize;
        let Some((string, after)) = after.split_at_checked(length) else {
            let left = after.len();
            return Err(format!("a string has {length} bytes, and {left} are left"));
        };
        strings.push(string.to_vec());
        rest = after;
    }
    Tensor::new(shape, Data::String(strings)).map_err(|error| error.to_string())
}

#[must_use]
pub fn write(tensor: &Tensor) -> Cow<'_, [u8]> {
    if let Some(bytes) = tensor.bytes() {
        return bytes;
    }
    let mut out = Vec::new();
    for string in tensor.strings().unwrap_or_default() {
        // A string of a request or a label: far below 4 GiB.
        let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(string);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use carrel_inference::{Data, DataType, Tensor};

    use super::{read, write};

    #[test]
    fn strings_are_read_as_they_are_written() {
        let strings = Data::String(vec![b"a".to_vec(), vec![], vec![0xff, 0]]);
        let tensor = Tensor::new([3], strings).unwrap();
        let bytes = write(&tensor);
        assert_eq!(&bytes[..5], b"\x01\0\0\0a");
        assert_eq!(read(DataType::String, vec![3], &bytes), Ok(tensor.clone()));
        for cut in 1..bytes.len() {
            assert!(
                read(DataType::String, vec![3], &bytes[..cut]).is_err(),
                "{cut}"
            );
        }
    }
}
