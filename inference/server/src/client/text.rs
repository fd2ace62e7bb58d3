//! `PredictResponse` in the text format of Protocol Buffers, as `print(response)` of TensorFlow's client writes it.

use std::fmt::Write as _;

use crate::proto::tensorflow::serving::model_spec::VersionChoice;
use crate::proto::tensorflow::serving::{ModelSpec, PredictResponse};
use crate::proto::tensorflow::{DataType, TensorProto};

/// Writes lines, each message in its field's name and braces.
#[derive(Default)]
struct Writer {
    out: String,
    depth: usize,
}

impl Writer {
    fn line(&mut self, text: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.out, "{:1$}{text}", "", 2 * self.depth);
    }

    fn message(&mut self, name: &str, fields: impl FnOnce(&mut Self)) {
        self.line(&format!("{name} {{"));
        self.depth += 1;
        fields(self);
        self.depth -= 1;
        self.line("}");
    }
}

/// The fields in the order of their numbers, entries of maps in that of their keys.
pub fn write(response: &PredictResponse) -> String {
    let mut writer = Writer::default();
    let mut outputs: Vec<_> = response.outputs.iter().collect();
    outputs.sort_by_key(|(name, _)| *name);
    for (name, output) in outputs {
        writer.message("outputs", |writer| {
            writer.line(&format!("key: {}", quoted(name.as_bytes())));
            writer.message("value", |writer| tensor(writer, output));
        });
    }
    if let Some(spec) = &response.model_spec {
        writer.message("model_spec", |writer| model_spec(writer, spec));
    }
    writer.out
}

fn model_spec(writer: &mut Writer, spec: &ModelSpec) {
    if !spec.name.is_empty() {
        writer.line(&format!("name: {}", quoted(spec.name.as_bytes())));
    }
    match &spec.version_choice {
        Some(VersionChoice::Version(number)) => writer.message("version", |writer| {
            if *number != 0 {
                writer.line(&format!("value: {number}"));
            }
        }),
        Some(VersionChoice::VersionLabel(_)) | None => {}
    }
    if !spec.signature_name.is_empty() {
        writer.line(&format!(
            "signature_name: {}",
            quoted(spec.signature_name.as_bytes())
        ));
    }
    if let Some(VersionChoice::VersionLabel(label)) = &spec.version_choice {
        writer.line(&format!("version_label: {}", quoted(label.as_bytes())));
    }
}

fn tensor(writer: &mut Writer, tensor: &TensorProto) {
    if let Ok(dtype @ 1..) = DataType::try_from(tensor.dtype).map(|dtype| dtype as i32) {
        let name = DataType::try_from(dtype).map_or("", |dtype| dtype.as_str_name());
        writer.line(&format!("dtype: {name}"));
    }
    if let Some(shape) = &tensor.tensor_shape {
        writer.message("tensor_shape", |writer| {
            for dim in &shape.dim {
                writer.message("dim", |writer| {
                    if dim.size != 0 {
                        writer.line(&format!("size: {}", dim.size));
                    }
                });
            }
        });
    }
    if !tensor.tensor_content.is_empty() {
        writer.line(&format!(
            "tensor_content: {}",
            quoted(&tensor.tensor_content)
        ));
    }
    let mut each = |name: &str, values: Vec<String>| {
        for value in values {
            writer.line(&format!("{name}: {value}"));
        }
    };
    macro_rules! plain {
        ($values:expr) => {
            $values.iter().map(ToString::to_string).collect()
        };
    }
    each(
        "float_val",
        tensor.float_val.iter().map(|one| float(*one)).collect(),
    );
    each(
        "double_val",
        tensor.double_val.iter().map(|one| double(*one)).collect(),
    );
    each("int_val", plain!(tensor.int_val));
    each(
        "string_val",
        tensor.string_val.iter().map(|one| quoted(one)).collect(),
    );
    each("int64_val", plain!(tensor.int64_val));
    each("bool_val", plain!(tensor.bool_val));
    each("half_val", plain!(tensor.half_val));
    each("uint32_val", plain!(tensor.uint32_val));
    each("uint64_val", plain!(tensor.uint64_val));
}

/// C's `%.6g`, or `%.9g` where six digits are another number.
fn float(number: f32) -> String {
    let short = general(f64::from(number), 6);
    match short.parse::<f32>() {
        Ok(same) if number == same || number.is_nan() => short,
        _ => general(f64::from(number), 9),
    }
}

/// C's `%.15g`, or `%.17g`.
fn double(number: f64) -> String {
    let short = general(number, 15);
    match short.parse::<f64>() {
        Ok(same) if number == same || number.is_nan() => short,
        _ => general(number, 17),
    }
}

/// C's `%.{digits}g`.
fn general(number: f64, digits: usize) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match usize::try_from(exponent) {
        Ok(large) if large >= digits => format!("{}e+{exponent:02}", trimmed(mantissa)),
        Err(_) if exponent < -4 => format!("{}e-{:02}", trimmed(mantissa), -exponent),
        _ => {
            // At least one digit before the point, so that this is never below zero but for numbers below 1.
            let places = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
            trimmed(&format!("{number:.places$}"))
        }
    }
}

/// Bytes in quotes; what is no printable ASCII as octal digits.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'"' => out.push_str("\\\""),
            b'\'' => out.push_str("\\'"),
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\{byte:03o}");
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::{float, quoted};

    #[test]
    fn floats_are_those_of_c() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (0.5, "0.5"),
            (0.1, "0.1"),
            (0.750_876_6, "0.750876606"),
            (1e-5, "1e-05"),
            (123_456.0, "123456"),
            (1_234_567.0, "1234567"),
            (1e9, "1e+09"),
            (-0.000_123_4, "-0.0001234"),
            (f32::INFINITY, "inf"),
            (f32::NAN, "nan"),
        ];
        for (number, wanted) in cases {
            assert_eq!(float(number), wanted);
        }
    }

    #[test]
    fn bytes_are_escaped() {
        assert_eq!(quoted("a\n\"\\é'".as_bytes()), r#""a\n\"\\\303\251\'""#);
    }
}
