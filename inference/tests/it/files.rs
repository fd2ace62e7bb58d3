//! Broken ONNX files: each is refused, or is a network that runs, and nothing else happens.

use carrel_inference::{
    Choice, Engines, LoadOptions, Model, Named, SERVING_DEFAULT, Tensor, TensorSpec,
};
use tempfile::TempDir;

use crate::mutations::mutations;
use crate::site::{F32, I64, engines, network, node, value};

/// The largest input that a broken network is asked with.
const MOST: usize = 1 << 16;

/// A small network of several operators.
fn good() -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let inputs = vec![value("x", F32, &[-1, 8]), value("i", I64, &[2])];
    let nodes = vec![
        node("Relu", &["x"], "a"),
        node("Softmax", &["a"], "b"),
        node("Transpose", &["b"], "c"),
        node("MatMul", &["b", "c"], "d"),
        node("Gather", &["d", "i"], "y"),
    ];
    let file = network(
        folder.path(),
        inputs,
        vec![value("y", F32, &[2, -1])],
        nodes,
    );
    std::fs::read(file).unwrap()
}

fn zeros(spec: &TensorSpec) -> Option<(String, Tensor)> {
    let shape: Vec<usize> = spec.shape.iter().map(|dim| dim.unwrap_or(2)).collect();
    let count = shape
        .iter()
        .try_fold(1usize, |all, dim| all.checked_mul(*dim))?;
    let bytes = vec![
        0;
        count
            .checked_mul(spec.dtype.size()?)
            .filter(|all| *all <= MOST)?
    ];
    let tensor = Tensor::from_bytes(spec.dtype, shape, &bytes).ok()?;
    Some((spec.name.clone(), tensor))
}

fn try_all(engines: &Engines, choice: Choice) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("model.onnx");
    let options = LoadOptions {
        threads: 1,
        instances: 1,
    };
    let good = good();
    std::fs::write(&file, &good).unwrap();
    let whole = Model::load(&file, engines, choice, &options);
    whole.map(drop).unwrap();
    let mut refused = 0;
    for bad in mutations(&good) {
        std::fs::write(&file, bad).unwrap();
        let Ok(model) = Model::load(&file, engines, choice, &options) else {
            refused += 1;
            continue;
        };
        let signature = &model.signatures()[SERVING_DEFAULT];
        if let Some(inputs) = signature
            .inputs
            .iter()
            .map(zeros)
            .collect::<Option<Named>>()
        {
            let _ = model.run(SERVING_DEFAULT, inputs, &[]);
        }
    }
    assert!(refused > 0);
}

#[test]
fn on_onnxruntime() {
    if let Some(engines) = engines() {
        try_all(&engines, Choice::OnnxRuntime);
    }
}

#[cfg(feature = "rten")]
#[test]
fn on_rten() {
    try_all(&Engines::default(), Choice::Rten);
}
