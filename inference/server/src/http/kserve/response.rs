//! The answer to an inference request of KServe's protocol v2.

use std::fmt::Write as _;

use carrel_inference::Named;

use super::request::Outputs;
use crate::json::write_string;
use crate::json_tensor::write_flat;
use crate::served::Served;
use crate::{kserve_bytes, names};

/// The JSON, and the bytes after it where an output is wanted so.
pub fn write(
    served: &Served,
    id: &str,
    computed: &Named,
    wanted: &Outputs,
) -> (String, Option<Vec<u8>>) {
    let mut bytes: Option<Vec<u8>> = None;
    let mut out = String::from("{\"model_name\":");
    write_string(&mut out, &served.name);
    // Writing to a string does not fail.
    let _ = write!(out, ",\"model_version\":\"{}\"", served.version);
    if !id.is_empty() {
        out.push_str(",\"id\":");
        write_string(&mut out, id);
    }
    out.push_str(",\"outputs\":[");
    for (index, (name, tensor)) in computed.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str("{\"name\":");
        write_string(&mut out, name);
        let datatype = names::kserve(tensor.dtype());
        let _ = write!(
            out,
            ",\"datatype\":\"{datatype}\",\"shape\":{:?}",
            tensor.shape()
        );
        if wanted
            .binary
            .get(name)
            .copied()
            .unwrap_or(wanted.all_binary)
        {
            let own = kserve_bytes::write(tensor);
            let _ = write!(
                out,
                ",\"parameters\":{{\"binary_data_size\":{}}}",
                own.len()
            );
            bytes.get_or_insert_default().extend_from_slice(&own);
        } else {
            out.push_str(",\"data\":");
            write_flat(&mut out, tensor);
        }
        out.push('}');
    }
    out.push_str("]}");
    (out, bytes)
}
