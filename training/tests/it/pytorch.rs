//! Values and gradients of operations, losses and optimizers against those of PyTorch 2.15.0, which
//! `tests/pytorch/values.py` wrote.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use carrel_training::ops::{self, Cell, Conv2dConfig, ConvTranspose2dConfig, Pool2dConfig, Then};
use carrel_training::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Values {
    cases: Vec<Case>,
    optimizers: BTreeMap<String, [Vec<f64>; 2]>,
}

#[derive(Deserialize)]
struct Case {
    operation: String,
    numbers: Vec<usize>,
    shapes: Vec<Vec<usize>>,
    scale: f64,
    y: Vec<f64>,
    gradients: Vec<Vec<f64>>,
}

fn values() -> Values {
    serde_json::from_str(include_str!("../pytorch/values.json")).unwrap()
}

/// As `numbers` of values.py.
fn numbers(seed: usize, shape: &[usize], scale: f64) -> Tensor {
    let count: usize = shape.iter().product();
    let number = |at| ((at * 37 + seed * 11) % 101) as f64 / 50.0 - 1.0;
    let values: Vec<f64> = (0..count).map(|at| number(at) * scale).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn apply(case: &Case, t: &[Tensor]) -> Result<Tensor> {
    let n = &case.numbers;
    let conv = || Conv2dConfig {
        stride: n[0],
        padding: n[1],
        dilation: n[2],
        groups: n[3],
    };
    let pool = || Pool2dConfig {
        kernel: n[0],
        stride: n[1],
        padding: n[2],
    };
    let targets = || Tensor::from_vec(n.iter().map(|n| *n as u32).collect(), n.len(), &Device::Cpu);
    match &*case.operation {
        "relu" => ops::relu(&t[0]),
        "gelu" => ops::gelu(&t[0]),
        "silu" => Silu.forward(&t[0]),
        "sigmoid" => ops::sigmoid(&t[0]),
        "tanh" => Tanh.forward(&t[0]),
        "softmax" => ops::softmax(&t[0], n[0]),
        "log_softmax" => ops::log_softmax(&t[0], n[0]),
        "cross_entropy" => ops::cross_entropy(&t[0], &targets()?),
        "nll_loss" => ops::nll_loss(&t[0], &targets()?),
        "mse_loss" => ops::mse_loss(&t[0], &t[1]),
        "l1_loss" => match t {
            [x] => ops::l1_loss(x, &x.detach()),
            _ => ops::l1_loss(&t[0], &t[1]),
        },
        "linear" => ops::linear(&t[0], &t[1], Some(&t[2]), Then::default()),
        "batch_norm" => Ok(ops::batch_norm(&t[0], &t[1], &t[2], 1e-5)?.y),
        "layer_norm" => ops::layer_norm(&t[0], &t[1], &t[2], 1e-5),
        "conv1d" => ops::conv1d(&t[0], &t[1], Some(&t[2]), &conv()),
        "conv2d" => ops::conv2d(&t[0], &t[1], Some(&t[2]), &conv()),
        "max_pool1d" => ops::max_pool1d(&t[0], &pool()),
        "avg_pool1d" => ops::avg_pool1d(&t[0], &pool()),
        "max_pool2d" => ops::max_pool2d(&t[0], &pool()),
        "avg_pool2d" => ops::avg_pool2d(&t[0], &pool()),
        _ => apply_later(case, t),
    }
}

/// The operations of larger networks.
fn apply_later(case: &Case, t: &[Tensor]) -> Result<Tensor> {
    let n = &case.numbers;
    let causal = n.first() == Some(&1);
    match &*case.operation {
        "group_norm" => ops::group_norm(&t[0], n[0], &t[1], &t[2], 1e-5),
        "conv_transpose2d" => {
            let config = ConvTranspose2dConfig {
                stride: n[0],
                padding: n[1],
                output_padding: n[2],
                dilation: n[3],
                groups: n[4],
            };
            ops::conv_transpose2d(&t[0], &t[1], Some(&t[2]), &config)
        }
        "adaptive_avg_pool2d" => ops::adaptive_avg_pool2d(&t[0], [n[0], n[1]]),
        "embedding" | "padded embedding" => {
            let ids: Vec<u32> = n.iter().map(|id| *id as u32).collect();
            let padding = (case.operation != "embedding").then_some(3);
            ops::embedding(
                &Tensor::from_vec(ids, (2, 3), &Device::Cpu)?,
                &t[0],
                padding,
            )
        }
        "attention" => ops::scaled_dot_product_attention(&t[0], &t[1], &t[2], causal),
        "multihead" => {
            let layer = MultiheadAttention {
                in_proj_weight: Var::from_tensor(&t[1])?,
                in_proj_bias: Some(Var::from_tensor(&t[2])?),
                out_proj: Linear {
                    weight: Var::from_tensor(&t[3])?,
                    bias: Some(Var::from_tensor(&t[4])?),
                },
                heads: 3,
                causal,
            };
            layer.forward(&t[0])
        }
        "lstm" | "gru" => {
            let cell = match &*case.operation {
                "lstm" => Cell::Lstm,
                _ => Cell::Gru,
            };
            let x = ops::linear(&t[0], &t[1], Some(&t[3]), Then::default())?;
            let state = Tensor::cat(&t[5..], 1)?;
            let (y, last) = ops::recurrent(cell, &x, (&t[2], &t[4]), &state)?;
            Tensor::cat(&[y, last], 1)
        }
        other => panic!("values.json has the unknown operation {other}"),
    }
}

/// The greatest difference, as a share of the expected number where that is more than 1.
fn error(found: &Tensor, expected: &[f64]) -> f64 {
    let found = found.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    let found = found.to_vec1::<f64>().unwrap();
    assert_eq!(found.len(), expected.len());
    let each = found.iter().zip(expected);
    let each = each.map(|(found, expected)| (found - expected).abs() / expected.abs().max(1.0));
    // Not by `max`, which passes over what is not a number.
    each.fold(0.0, |most, error| if error <= most { most } else { error })
}

#[test]
fn every_operation_and_loss_has_its_values_and_gradients() -> Result<()> {
    let cases = values().cases;
    assert!(cases.len() >= 80, "{}", cases.len());
    for case in &cases {
        for (dtype, most) in [(DType::F64, 1e-12), (DType::F32, 2e-6)] {
            let inputs = case.shapes.iter().enumerate();
            let inputs: Vec<Var> = inputs
                .map(|(seed, shape)| {
                    Var::from_tensor(&numbers(seed, shape, case.scale).to_dtype(dtype)?)
                })
                .collect::<Result<_>>()?;
            let tensors: Vec<Tensor> = inputs.iter().map(|var| var.as_tensor().clone()).collect();
            let y = apply(case, &tensors)?;
            let weights = numbers(99, y.dims(), 1.0).to_dtype(dtype)?;
            let gradients = (&y * weights)?.sum_all()?.backward()?;
            let name = format!(
                "{} {:?} {:?} times {}, {dtype:?}",
                case.operation, case.shapes, case.numbers, case.scale
            );
            let off = error(&y, &case.y);
            assert!(off < most, "{name}: {off}");
            for (input, expected) in inputs.iter().zip(&case.gradients) {
                let off = error(gradients.get(input).unwrap(), expected);
                assert!(off < 4.0 * most, "the gradient of {name}: {off}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_optimizer_goes_the_same_way_also_where_a_parameter_joins_late() -> Result<()> {
    let expected = values().optimizers;
    for (name, expected) in &expected {
        let vars = [1, 2].map(|seed| Var::from_tensor(&numbers(seed, &[5], 1.0)).unwrap());
        let p = vars.to_vec();
        let mut optimizer: Box<dyn Optimizer> = match &**name {
            "sgd" => Box::new(Sgd::new(p, 0.1)?),
            "momentum" | "clipped" => Box::new(Sgd::new(p, 0.1)?.momentum(0.9)),
            "decay" => Box::new(Sgd::new(p, 0.1)?.momentum(0.9).weight_decay(0.05)),
            "nesterov" => Box::new(
                Sgd::new(p, 0.1)?
                    .momentum(0.9)
                    .weight_decay(0.05)
                    .nesterov(),
            ),
            "adam" => Box::new(Adam::new(p, 0.1)?),
            "adam with decay" => Box::new(
                Adam::new(p, 0.1)?
                    .betas(0.8, 0.9)
                    .eps(1e-6)
                    .weight_decay(0.1),
            ),
            "adamw" => Box::new(AdamW::new(p, 0.1)?),
            "adamw with decay" => Box::new(AdamW::new(p, 0.1)?.betas(0.8, 0.9).weight_decay(0.1)),
            other => panic!("values.json has the unknown optimizer {other}"),
        };
        let [a, b] = &vars;
        for step in 0..12 {
            let mut used = (a.sin()?.sum_all()? + a.sqr()?.sum_all()?)?;
            if step >= 4 {
                used = (used + (b.cos()? * b.as_tensor())?.sum_all()?)?;
            }
            let mut gradients = used.backward()?;
            if name == "clipped" {
                clip_grad_norm(&mut gradients, &vars, 0.5)?;
            }
            optimizer.step(&gradients)?;
        }
        for (var, expected) in vars.iter().zip(expected) {
            let off = error(var, expected);
            assert!(off < 1e-12, "{name}: {off}");
        }
    }
    Ok(())
}
