//! Conversion of jobs for the API server: a `ConversionReview` of apiextensions.k8s.io/v1 in, the same with an answer out.

use carrel_jobs::convert::convert;
use serde_json::{Value, json};

/// The answer to a review, and how many objects it holds.
pub fn answer(review: &Value) -> (Value, u64) {
    let request = &review["request"];
    let to = request["desiredAPIVersion"].as_str().unwrap_or_default();
    let objects = request["objects"].as_array().into_iter().flatten();
    let converted: Result<Vec<_>, _> = objects.map(|object| convert(object, to)).collect();
    let mut response = json!({ "uid": request["uid"] });
    let mut count = 0;
    match converted {
        Ok(converted) => {
            count = u64::try_from(converted.len()).unwrap_or(u64::MAX);
            response["result"] = json!({ "status": "Success" });
            response["convertedObjects"] = Value::Array(converted);
        }
        Err(error) => {
            response["result"] = json!({ "status": "Failed", "message": error.to_string() });
        }
    }
    let review = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "response": response,
    });
    (review, count)
}
