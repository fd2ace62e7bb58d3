//! Exported networks, run by ONNX Runtime: they answer what the network itself does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use candle_core::Result;
use carrel_skip::{Need, skip};
use carrel_training::onnx;
use carrel_training::prelude::*;

use crate::harness::difference;

/// Runs `model.onnx` of a folder on the numbers in `input`.
const RUN: &str = "
import sys, json, numpy, onnxruntime
folder, shape = sys.argv[1], json.loads(sys.argv[2])
x = numpy.fromfile(folder + '/input', dtype=sys.argv[3]).reshape(shape)
session = onnxruntime.InferenceSession(folder + '/model.onnx', providers=['CPUExecutionProvider'])
y = session.run(['output'], {'input': x})[0]
y.astype(numpy.float32).tofile(folder + '/output')
print(json.dumps([list(y.shape), [session.get_inputs()[0].shape, session.get_outputs()[0].shape]]))
";

fn python() -> Option<PathBuf> {
    let prepared = std::env::var_os("CARREL_TEST_PREPARED");
    if prepared.is_none() {
        skip(
            Need::Prepared,
            "$CARREL_TEST_PREPARED is not set, run `make test`",
        );
    }
    prepared.map(|folder| Path::new(&folder).join("venv/bin/python"))
}

/// What ONNX Runtime answers, and the shapes that the model declares.
fn run(
    python: &Path,
    network: &dyn Layer,
    x: &Tensor,
) -> anyhow::Result<(Tensor, serde_json::Value)> {
    let folder = tempfile::tempdir()?;
    onnx::export(network, &x.dims()[1..], folder.path().join("model.onnx"))?;
    let mut bytes = Vec::new();
    x.flatten_all()?.write_bytes(&mut bytes)?;
    std::fs::write(folder.path().join("input"), bytes)?;
    let output = Command::new(python)
        .args(["-c", RUN])
        .arg(folder.path())
        .arg(format!("{:?}", x.dims()))
        .arg(if x.dtype().is_int() { "i8" } else { "f4" })
        .output()
        .context("python")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    let (shape, declared): (Vec<usize>, serde_json::Value) =
        serde_json::from_slice(&output.stdout)?;
    let bytes = std::fs::read(folder.path().join("output"))?;
    let floats = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned);
    let y: Vec<f32> = floats.collect();
    Ok((Tensor::from_vec(y, shape, &Device::Cpu)?, declared))
}

fn pictures(shape: &[usize]) -> Result<Tensor> {
    Random::new(3).uniform_tensor(1.0, shape)
}

#[test]
fn the_seeds_network_answers_the_same_for_any_batch() -> anyhow::Result<()> {
    let Some(python) = python() else {
        return Ok(());
    };
    let network = Mnist::default().network()?;
    for batch in [1, 5] {
        let x = pictures(&[batch, 1, 28, 28])?;
        let (y, declared) = run(&python, &network, &x)?;
        let off = difference(&y, &network.predict(&x)?);
        assert!(off < 1e-5, "{off}");
        let expected = serde_json::json!([["batch", 1, 28, 28], ["batch", 10]]);
        assert_eq!(declared, expected);
    }
    Ok(())
}

#[test]
fn every_layer_is_exported() -> anyhow::Result<()> {
    let Some(python) = python() else {
        return Ok(());
    };
    let norm = BatchNorm::new(4)?;
    norm.running_mean.set(&pictures(&[4])?)?;
    norm.running_var.set(&(pictures(&[4])? + 1.5)?)?;
    let wide = Conv2dConfig {
        groups: 2,
        ..Conv2dConfig::default()
    };
    let pictures_in = sequential![
        Conv2d::new(3, 4, 3)?.stride(2).padding(1),
        norm,
        Silu,
        Conv2d::with(4, 6, 3, wide)?
            .padding(2)
            .dilation(2)
            .without_bias(),
        Gelu,
        Dropout2d::new(0.5),
        MaxPool2d::new(3).stride(2).padding(1),
        Tanh,
        AvgPool2d::new(2).padding(1),
        Sigmoid,
        Flatten,
        Linear::new(6 * 2 * 2, 7)?,
        Relu,
        Dropout::new(0.5),
        Linear::new(7, 5)?.without_bias(),
        Softmax,
    ];
    let words_in = sequential![
        Linear::new(8, 6)?,
        LayerNorm::new((3, 6))?,
        Linear::new(6, 4)?.without_bias(),
        sequential![LogSoftmax],
    ];
    for (network, shape) in [(pictures_in, &[2, 3, 9, 9][..]), (words_in, &[2, 3, 8])] {
        let x = pictures(shape)?;
        let (y, _) = run(&python, &network, &x)?;
        let expected = network.predict(&x)?;
        assert_eq!(y.dims(), expected.dims());
        let off = difference(&y, &expected);
        assert!(off < 1e-5, "{off}");
    }
    Ok(())
}

#[test]
fn the_layers_of_larger_networks_are_exported() -> anyhow::Result<()> {
    let Some(python) = python() else {
        return Ok(());
    };
    let (weight, bias) = (pictures(&[4])?, pictures(&[4])?);
    let norm = GroupNorm::new(2, 4)?;
    norm.weight.set(&weight)?;
    norm.bias.set(&bias)?;
    let up = ConvTranspose2d::new(4, 4, 3)?.stride(2).padding(1);
    let pictures_in = sequential![
        Conv2d::new(3, 4, 3)?,
        norm,
        Residual::new(sequential![Conv2d::new(4, 4, 3)?.padding(1), Relu]),
        up.output_padding(1),
        Residual::new(Conv2d::new(4, 2, 1)?).shortcut(Conv2d::new(4, 2, 3)?.padding(1)),
        AdaptiveAvgPool2d(1),
        Flatten,
    ];
    let attention = MultiheadAttention::new(6, 3)?;
    attention
        .out_proj
        .bias
        .as_ref()
        .context("a bias")?
        .set(&pictures(&[6])?)?;
    let words_in = sequential![
        attention,
        Lstm::stacked(6, 5, 2)?,
        MultiheadAttention::new(5, 1)?.causal().without_bias(),
        Gru::new(5, 4)?,
        Gru::new(4, 3)?.without_bias(),
    ];
    for (network, shape) in [(pictures_in, &[2, 3, 7, 7][..]), (words_in, &[3, 4, 6])] {
        let x = pictures(shape)?;
        let (y, _) = run(&python, &network, &x)?;
        let off = difference(&y, &network.predict(&x)?);
        assert!(off < 1e-5, "{off}");
    }
    Ok(())
}

#[test]
fn a_network_that_begins_with_an_embedding_takes_whole_numbers() -> anyhow::Result<()> {
    let Some(python) = python() else {
        return Ok(());
    };
    let network = sequential![Embedding::new(5, 3)?, Linear::new(3, 2)?];
    let ids = Tensor::new(&[[0i64, 4, 1], [2, 2, 3]], &Device::Cpu)?;
    let (y, declared) = run(&python, &network, &ids)?;
    assert_eq!(declared, serde_json::json!([["batch", 3], ["batch", 3, 2]]));
    assert!(difference(&y, &network.predict(&ids)?) < 1e-6);
    Ok(())
}

struct Own(Linear);

impl ModuleT for Own {
    fn forward_t(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        self.0.forward(x)
    }
}

impl Layer for Own {
    fn parts<'a>(&'a self, parts: &mut carrel_training::nn::Parts<'a>) {
        parts.layer("0", &self.0);
    }

    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        self.0.map(change)
    }
}

#[test]
fn what_cannot_be_exported_is_said_and_nothing_is_written() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.onnx");
    let said = |network: &dyn Layer, item: &[usize], path: &Path| {
        onnx::export(network, item, path).unwrap_err().to_string()
    };
    let message = said(&Own(Linear::new(2, 2)?), &[2], &path);
    assert!(
        message.contains("Own does not say how it is exported"),
        "{message}"
    );
    let message = said(&sequential![AdaptiveAvgPool2d(2)], &[1, 4, 4], &path);
    assert!(message.contains("AdaptiveAvgPool2d(2)"), "{message}");
    let message = said(&sequential![Linear::new(2, 2)?], &[3], &path);
    assert!(
        message.contains("the network does not take items of [3]"),
        "{message}"
    );
    let nowhere = folder.path().join("no/model.onnx");
    let message = said(&sequential![Relu], &[3], &nowhere);
    assert!(
        message.contains("cannot write") && message.contains("no/model.onnx"),
        "{message}"
    );
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
    Ok(())
}
