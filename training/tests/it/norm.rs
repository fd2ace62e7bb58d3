//! Batch and layer norm, average pool: values, gradients on both ways of computing them, refusals.

use crate::harness::{difference, gradient_error, numbers, refusal};
use candle_core::{DType, Device, Var};
use carrel_training::ops::{
    Pool2dConfig, avg_pool2d, batch_norm, batch_norm_then, layer_norm, portable, relu as relu_of,
};
use carrel_training::prelude::{BatchNorm, Layer, Linear, Module, ModuleT, Relu, Tensor};
use carrel_training::sequential;
use std::slice::from_ref;

const EPS: f64 = 1e-5;

#[test]
fn batch_norm_equals_candle_and_differences_for_every_rank() {
    for shape in [vec![5, 3], vec![2, 3, 4], vec![2, 3, 2, 5]] {
        let inputs = [numbers(1, &shape), numbers(2, &[3]), numbers(3, &[3])];
        let ours = batch_norm(&inputs[0], &inputs[1], &inputs[2], EPS).unwrap();
        let theirs = portable::batch_norm(&inputs[0], &inputs[1], &inputs[2], EPS).unwrap();
        assert!(difference(&ours.y, &theirs.y) < 1e-12);
        assert!(difference(&ours.mean, &theirs.mean) < 1e-14);
        assert!(difference(&ours.variance, &theirs.variance) < 1e-14);
        for error in [
            gradient_error(&inputs, |t| Ok(batch_norm(&t[0], &t[1], &t[2], EPS)?.y)),
            gradient_error(&inputs, |t| {
                Ok(portable::batch_norm(&t[0], &t[1], &t[2], EPS)?.y)
            }),
        ] {
            assert!(error < 1e-7, "{shape:?}: {error}");
        }
    }
}

#[test]
fn what_follows_a_batch_norm_in_its_pass_equals_the_chain_and_differences() {
    let shape = [2, 3, 2, 5];
    let inputs = [
        numbers(1, &shape),
        numbers(2, &[3]),
        numbers(3, &[3]),
        numbers(4, &shape),
    ];
    for (add, relu) in [(false, true), (true, false), (true, true)] {
        let of = |t: &[Tensor]| {
            let added = add.then_some(&t[3]);
            let y = batch_norm_then(&t[0], (&t[1], &t[2]), EPS, added, relu)?.y;
            // All inputs are to have a gradient.
            if add { Ok(y) } else { y + &t[3] }
        };
        let chain = |t: &[Tensor]| {
            let y = batch_norm(&t[0], &t[1], &t[2], EPS)?.y;
            match (add, relu) {
                (true, true) => relu_of(&(y + &t[3])?),
                (true, false) => y + &t[3],
                (false, _) => relu_of(&y)? + &t[3],
            }
        };
        assert!(difference(&of(&inputs).unwrap(), &chain(&inputs).unwrap()) < 1e-14);
        let error = gradient_error(&inputs, of);
        assert!(error < 1e-7, "{add}, {relu}: {error}");
        let half = inputs.clone().map(|t| t.to_dtype(DType::F16).unwrap());
        let off = difference(&of(&half).unwrap(), &of(&inputs).unwrap());
        assert!(off < 0.05, "{off}");
    }
    let said = refusal(
        batch_norm_then(
            &inputs[0],
            (&inputs[1], &inputs[2]),
            EPS,
            Some(&inputs[1]),
            true,
        )
        .map(|n| n.y),
    );
    assert!(
        said.contains("[3]") && said.contains("[2, 3, 2, 5]"),
        "{said}"
    );
}

#[test]
fn a_sequence_of_layers_does_a_rectifier_with_the_layer_before_it() {
    let net = sequential![
        Linear::new(4, 3).unwrap(),
        BatchNorm::new(3).unwrap(),
        Relu,
        Linear::new(3, 2).unwrap(),
        Relu
    ];
    let x = numbers(1, &[5, 4]).to_dtype(DType::F32).unwrap();
    let state = net.state().unwrap();
    let layer = |name: &str| Linear {
        weight: Var::from_tensor(&state[&format!("{name}.weight")]).unwrap(),
        bias: Some(Var::from_tensor(&state[&format!("{name}.bias")]).unwrap()),
    };
    let norm = BatchNorm::new(3).unwrap();
    for train in [true, false] {
        let y = layer("0").forward(&x).unwrap();
        let y = relu_of(&norm.forward_t(&y, train).unwrap()).unwrap();
        let y = relu_of(&layer("3").forward(&y).unwrap()).unwrap();
        assert!(difference(&net.forward_t(&x, train).unwrap(), &y) < 1e-6);
    }
    // The moments are kept as ever.
    assert_eq!(
        difference(&net.state().unwrap()["1.running_var"], &norm.running_var),
        0.0
    );
}

#[test]
fn batch_norm_keeps_the_moments_that_pytorch_keeps() {
    let x = Tensor::arange(0f32, 16., &Device::Cpu).unwrap();
    let x = x.reshape((2, 2, 2, 2)).unwrap();
    let layer = BatchNorm::new(2).unwrap();
    layer.forward_t(&x, true).unwrap();
    let expected = |values: [f64; 2]| Tensor::new(&values, &Device::Cpu).unwrap();
    assert!(difference(&layer.running_mean, &expected([0.55, 0.95])) < 1e-6);
    assert!(difference(&layer.running_var, &expected([2.871_428_6; 2])) < 1e-6);
    let y = layer.predict(&x).unwrap().flatten_all().unwrap();
    let first = y.narrow(0, 0, 3).unwrap();
    let torch = Tensor::new(&[-0.324_573_4, 0.265_560_05, 0.855_693_5], &Device::Cpu).unwrap();
    assert!(difference(&first, &torch) < 1e-6);
}

#[test]
fn batch_norm_in_use_has_the_gradients_of_differences() {
    let mut layer = BatchNorm::new(3).unwrap();
    layer.to_dtype(DType::F64).unwrap();
    layer.running_mean.set(&numbers(4, &[3])).unwrap();
    layer
        .running_var
        .set(&(numbers(5, &[3]) + 1.5).unwrap())
        .unwrap();
    for shape in [vec![5, 3], vec![2, 3, 2, 5]] {
        let inputs = [numbers(1, &shape), numbers(2, &[3]), numbers(3, &[3])];
        let error = gradient_error(&inputs, |t| {
            let mut layer = layer.clone();
            layer.weight = Var::from_tensor(&t[1])?;
            layer.bias = Var::from_tensor(&t[2])?;
            layer.forward_t(&t[0], false)
        });
        assert!(error < 1e-8, "{shape:?}: {error}");
    }
}

#[test]
fn layer_norm_equals_candle_and_differences() {
    for inner in [vec![4], vec![3, 4]] {
        let inputs = [
            numbers(1, &[2, 3, 4]),
            numbers(2, &inner),
            numbers(3, &inner),
        ];
        let y = layer_norm(&inputs[0], &inputs[1], &inputs[2], EPS).unwrap();
        let expected = portable::layer_norm(&inputs[0], &inputs[1], &inputs[2], EPS).unwrap();
        assert!(difference(&y, &expected) < 1e-12);
        for error in [
            gradient_error(&inputs, |t| layer_norm(&t[0], &t[1], &t[2], EPS)),
            gradient_error(&inputs, |t| portable::layer_norm(&t[0], &t[1], &t[2], EPS)),
        ] {
            assert!(error < 1e-7, "{inner:?}: {error}");
        }
    }
}

#[test]
fn average_pool_equals_candle_and_differences_also_with_padding_and_a_rest() {
    let config = |kernel, stride, padding| Pool2dConfig {
        kernel,
        stride,
        padding,
    };
    for config in [config(2, 2, 0), config(3, 2, 1), config(2, 1, 0)] {
        let x = numbers(5, &[2, 3, 5, 6]);
        let y = avg_pool2d(&x, &config).unwrap();
        assert!(difference(&y, &portable::avg_pool2d(&x, &config).unwrap()) < 1e-14);
        for error in [
            gradient_error(from_ref(&x), |t| avg_pool2d(&t[0], &config)),
            gradient_error(from_ref(&x), |t| portable::avg_pool2d(&t[0], &config)),
        ] {
            assert!(error < 1e-8, "{config:?}: {error}");
        }
    }
    let x = numbers(5, &[2, 3, 6, 6]);
    let y = avg_pool2d(&x, &Pool2dConfig::new(2)).unwrap();
    assert!(difference(&y, &x.avg_pool2d(2).unwrap()) < 1e-14);
}

#[test]
fn refusals_name_the_shapes() {
    let (three, four) = (numbers(1, &[3]), numbers(1, &[4]));
    let said = refusal(batch_norm(&numbers(1, &[2, 4]), &three, &three, EPS).map(|n| n.y));
    assert!(said.contains("[3]") && said.contains("[2, 4]"), "{said}");
    let said = refusal(layer_norm(&numbers(1, &[2, 3]), &four, &four, EPS));
    assert!(said.contains("[4]") && said.contains("[2, 3]"), "{said}");
    assert!(refusal(avg_pool2d(&numbers(1, &[3, 4]), &Pool2dConfig::new(2))).contains("[3, 4]"));
}
