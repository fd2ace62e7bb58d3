//! Layers: gradients of every one, states, moves, and what they say when something does not fit.

use crate::harness::{difference, gradient_error, numbers};
use candle_core::{DType, Device, Result, Var};
use carrel_training::ops::{Conv2dConfig, Pool2dConfig, l1_loss, mse_loss};
use carrel_training::prelude::*;
use carrel_training::random::with_seed;
use std::slice::from_ref;

/// A layer of every kind with parameters.
fn network() -> Result<Sequential> {
    with_seed(3, || {
        Ok(sequential![
            Conv2d::new(1, 4, 3)?.padding(1),
            BatchNorm::new(4)?,
            Relu,
            MaxPool2d::new(2),
            Dropout2d::new(0.5),
            Flatten,
            LayerNorm::new(4 * 9)?,
            Linear::new(4 * 9, 5)?,
            Dropout::new(0.5),
            LogSoftmax
        ])
    })
}

#[test]
fn every_activation_and_loss_has_the_gradient_of_differences() -> Result<()> {
    let x = numbers(4, &[3, 5]);
    let layers: [(&str, Box<dyn Layer>); 8] = [
        ("relu", Box::new(Relu)),
        ("gelu", Box::new(Gelu)),
        ("silu", Box::new(Silu)),
        ("sigmoid", Box::new(Sigmoid)),
        ("tanh", Box::new(Tanh)),
        ("softmax", Box::new(Softmax)),
        ("log_softmax", Box::new(LogSoftmax)),
        ("flatten", Box::new(Flatten)),
    ];
    for (name, layer) in layers {
        let error = gradient_error(from_ref(&x), |t| layer.forward_t(&t[0], true));
        assert!(error < 1e-8, "{name}: {error}");
    }
    for (name, loss) in [("mse", mse_loss as fn(&_, &_) -> _), ("l1", l1_loss)] {
        let error = gradient_error(&[x.clone(), numbers(8, &[3, 5])], |t| loss(&t[0], &t[1]));
        assert!(error < 1e-8, "{name}: {error}");
    }
    Ok(())
}

#[test]
fn the_gradients_of_every_parameter_of_a_network_are_those_of_differences() -> Result<()> {
    let mut net = network()?;
    net.to_dtype(DType::F64)?;
    let x = numbers(5, &[3, 1, 6, 6]);
    let values: Vec<Tensor> = net
        .parameters()
        .iter()
        .map(|v| v.as_tensor().copy())
        .collect::<Result<_>>()?;
    let names: Vec<String> = net.state()?.into_keys().collect();
    assert!(names.contains(&"1.running_mean".to_owned()), "{names:?}");
    // The network with the given tensors as parameters, each time with the same masks.
    let error = gradient_error(&values, |t| {
        let mut net = network()?;
        net.to_dtype(DType::F64)?;
        let mut given = t.iter();
        let mut buffers = 0;
        net.map(&mut |var| {
            // Of batch norm, the third and fourth are buffers.
            let is_buffer = var.dims() == [4] && {
                buffers += 1;
                buffers == 4 || buffers == 5
            };
            if is_buffer {
                return Ok(var.clone());
            }
            var_of(given.next().expect("one tensor for each parameter"))
        })?;
        net.forward_t(&x, true)
    });
    assert!(error < 1e-7, "{error}");
    Ok(())
}

/// The tensor itself where it is a variable, else a variable with its values.
fn var_of(tensor: &Tensor) -> Result<Var> {
    Var::from_tensor(tensor)
}

#[test]
fn dropout_is_for_training_only_and_draws_anew_each_time() -> Result<()> {
    let layer = with_seed(1, || Dropout::new(0.5));
    let x = Tensor::ones((8, 8), DType::F32, &Device::Cpu)?;
    assert_eq!(difference(&layer.predict(&x)?, &x), 0.0);
    let (first, second) = (layer.forward_t(&x, true)?, layer.forward_t(&x, true)?);
    assert!(difference(&first, &second) > 0.0);
    let again = with_seed(1, || Dropout::new(0.5));
    assert_eq!(difference(&first, &again.forward_t(&x, true)?), 0.0);
    Ok(())
}

#[test]
fn a_state_makes_another_network_the_same() -> anyhow::Result<()> {
    let (net, other) = (network()?, with_seed(9, network)?);
    let x = numbers(5, &[3, 1, 6, 6]).to_dtype(DType::F32)?;
    net.forward_t(&x, true)?;
    for var in other.parameters() {
        var.set(&var.ones_like()?)?;
    }
    assert!(difference(&net.predict(&x)?, &other.predict(&x)?) > 0.0);
    other.load_state(&net.state()?)?;
    assert_eq!(difference(&net.predict(&x)?, &other.predict(&x)?), 0.0);
    Ok(())
}

#[test]
fn a_state_that_does_not_fit_is_named_and_changes_nothing() -> anyhow::Result<()> {
    let net = network()?;
    let before = net.state()?;
    let mut state = before.clone();
    state.insert("0.weight".into(), numbers(1, &[2, 2]));
    let said = net.load_state(&state).unwrap_err().to_string();
    assert_eq!(
        said,
        "0.weight has the shape [2, 2] in the state, but [4, 1, 3, 3] in the network"
    );
    let mut state = before.clone();
    state.remove("7.bias");
    let said = net.load_state(&state).unwrap_err().to_string();
    assert_eq!(said, "the state has no 7.bias, which the network has");
    let mut state = before.clone();
    state.insert("extra".into(), numbers(1, &[1]));
    let said = net.load_state(&state).unwrap_err().to_string();
    assert_eq!(said, "the state has extra, which the network does not have");
    for (name, value) in net.state()? {
        assert_eq!(difference(&value, &before[&name]), 0.0, "{name}");
    }
    Ok(())
}

#[test]
fn the_summary_counts_parameters_and_an_error_names_the_layer() -> Result<()> {
    let net = network()?;
    let summary = net.summary();
    // 4 * 9 + 4, 4 + 4, 36 + 36, 36 * 5 + 5
    assert!(summary.ends_with("305 parameters"), "{summary}");
    assert!(summary.contains("1.running_var"), "{summary}");
    let said = net
        .predict(&Tensor::zeros((1, 2, 6, 6), DType::F32, &Device::Cpu)?)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("in layer 0 of a Sequential") && said.contains("[1, 2, 6, 6]"),
        "{said}"
    );
    Ok(())
}

#[test]
fn weights_begin_within_the_bounds_of_pytorch() -> Result<()> {
    let layer = with_seed(5, || Conv2d::new(10, 20, 5))?;
    let bound = 1.0 / 250f32.sqrt();
    let most = layer.weight.abs()?.max_all()?.to_scalar::<f32>()?;
    // Of 5,000 draws the greatest is close to the bound.
    assert!(most <= bound && most > 0.98 * bound, "{most} of {bound}");
    let said = Conv2d::with(
        3,
        4,
        3,
        Conv2dConfig {
            groups: 2,
            ..Conv2dConfig::default()
        },
    );
    assert!(
        said.unwrap_err()
            .to_string()
            .contains("2 groups do not divide 3")
    );
    let pool = MaxPool2d::new(3).stride(2).padding(1);
    assert_eq!(
        pool.0,
        Pool2dConfig {
            kernel: 3,
            stride: 2,
            padding: 1
        }
    );
    Ok(())
}
