//! Group norm, transposed convolutions, adaptive pools and residual blocks: values, gradients on both ways, refusals.

use crate::harness::{difference, gradient_error, numbers, refusal};
use candle_core::{DType, Result, Tensor};
use carrel_training::ops::{
    ConvTranspose2dConfig, adaptive_avg_pool2d, conv_transpose2d, group_norm, layer_norm, portable,
};
use carrel_training::prelude::*;
use std::slice::from_ref;

#[test]
fn group_norm_equals_candle_and_differences() -> Result<()> {
    for shape in [vec![3, 6], vec![2, 6, 4], vec![2, 6, 2, 5]] {
        let inputs = [numbers(1, &shape), numbers(2, &[6]), numbers(3, &[6])];
        for groups in [1, 2, 3] {
            let ours = |t: &[Tensor]| group_norm(&t[0], groups, &t[1], &t[2], 1e-5);
            let theirs = |t: &[Tensor]| portable::group_norm(&t[0], groups, &t[1], &t[2], 1e-5);
            assert!(difference(&ours(&inputs)?, &theirs(&inputs)?) < 1e-12);
            // Two elements of a group that are close to each other make a steep slope.
            for error in [
                gradient_error(&inputs, ours),
                gradient_error(&inputs, theirs),
            ] {
                assert!(error < 1e-6, "{shape:?}, {groups}: {error}");
            }
        }
    }
    // One group is a layer norm over all of an item.
    let x = numbers(1, &[2, 6, 4]);
    let (one, zero) = (
        Tensor::ones(6, DType::F64, x.device())?,
        Tensor::zeros(6, DType::F64, x.device())?,
    );
    let all = |t: &Tensor| t.reshape((6, 1))?.broadcast_as((6, 4))?.contiguous();
    let expected = layer_norm(&x, &all(&one)?, &all(&zero)?, 1e-5)?;
    assert!(difference(&group_norm(&x, 1, &one, &zero, 1e-5)?, &expected) < 1e-12);
    Ok(())
}

/// Stride, padding, output padding, dilation, groups.
fn config(
    [stride, padding, output_padding, dilation, groups]: [usize; 5],
) -> ConvTranspose2dConfig {
    ConvTranspose2dConfig {
        stride,
        padding,
        output_padding,
        dilation,
        groups,
    }
}

#[test]
fn a_transposed_convolution_equals_candle_and_differences() -> Result<()> {
    for numbers_of in [
        [1, 0, 0, 1, 1],
        [2, 1, 1, 1, 2],
        [3, 2, 2, 1, 1],
        [2, 0, 0, 2, 2],
        [2, 1, 0, 1, 4],
    ] {
        let config = config(numbers_of);
        let inputs = [
            numbers(1, &[2, 4, 4, 3]),
            numbers(2, &[4, 4 / config.groups, 3, 2]),
            numbers(3, &[4]),
        ];
        let ours = |t: &[Tensor]| conv_transpose2d(&t[0], &t[1], Some(&t[2]), &config);
        let theirs = |t: &[Tensor]| portable::conv_transpose2d(&t[0], &t[1], Some(&t[2]), &config);
        assert!(
            difference(&ours(&inputs)?, &theirs(&inputs)?) < 1e-12,
            "{config:?}"
        );
        let error = gradient_error(&inputs, ours);
        assert!(error < 1e-8, "{config:?}: {error}");
        let error = gradient_error(&inputs, theirs);
        assert!(error < 1e-8, "candle's, {config:?}: {error}");
    }
    Ok(())
}

#[test]
fn a_transposed_convolution_is_the_adjoint_of_the_convolution() -> Result<()> {
    // Many pictures, so that threads and blocks of pictures take their part: <conv(x), y> = <x, transposed(y)>.
    let (x, weight) = (numbers(1, &[40, 3, 16, 16]), numbers(2, &[8, 3, 3, 3]));
    let forward = Conv2dConfig {
        stride: 2,
        padding: 1,
        ..Conv2dConfig::default()
    };
    let there = carrel_training::ops::conv2d(&x, &weight, None, &forward)?;
    let y = numbers(3, there.dims());
    let back = conv_transpose2d(&y, &weight, None, &config([2, 1, 1, 1, 1]))?;
    assert_eq!(back.dims(), x.dims());
    let [left, right] = [(there * y)?, (x * back)?].map(|both| both.sum_all()?.to_scalar::<f64>());
    let (left, right) = (left?, right?);
    assert!(
        (left - right).abs() < 1e-9 * left.abs().max(1.0),
        "{left} and {right}"
    );
    Ok(())
}

#[test]
fn the_transposed_layer_begins_within_the_bounds_of_pytorch() -> Result<()> {
    let layer = ConvTranspose2d::new(6, 4, 3)?
        .stride(2)
        .padding(1)
        .output_padding(1);
    assert_eq!(layer.weight.dims(), [6, 4, 3, 3]);
    let most = layer.weight.abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(
        most <= 1.0 / 36f32.sqrt() && most > 0.9 / 36f32.sqrt(),
        "{most}"
    );
    let y = layer.forward(&Tensor::zeros((1, 6, 5, 7), DType::F32, &Device::Cpu)?)?;
    assert_eq!(y.dims(), [1, 4, 10, 14]);
    Ok(())
}

#[test]
fn adaptive_pools_cover_the_plane() -> Result<()> {
    let x = numbers(5, &[2, 3, 5, 7]);
    for out in [[1, 1], [2, 3], [5, 7]] {
        let y = adaptive_avg_pool2d(&x, out)?;
        assert_eq!(y.dims()[2..], out);
        let error = gradient_error(from_ref(&x), |t| adaptive_avg_pool2d(&t[0], out));
        assert!(error < 1e-9, "{out:?}: {error}");
    }
    assert_eq!(difference(&adaptive_avg_pool2d(&x, [5, 7])?, &x), 0.0);
    let all = AdaptiveAvgPool2d(1).forward(&x)?;
    assert!(difference(&all, &x.mean_keepdim((2, 3))?) < 1e-15);
    // Of five lines the first two windows of two are 0..3 and 2..5.
    let lines = adaptive_avg_pool2d(&x, [2, 1])?;
    let second = x.narrow(2, 2, 3)?.mean_keepdim((2, 3))?;
    assert!(difference(&lines.narrow(2, 1, 1)?, &second) < 1e-15);
    Ok(())
}

#[test]
fn a_residual_block_adds_what_comes_in_or_its_shortcut() -> anyhow::Result<()> {
    let x = numbers(1, &[2, 3]).to_dtype(DType::F32)?;
    let plain = Residual::new(sequential![Linear::new(3, 3)?, Relu]);
    let names: Vec<String> = plain.state()?.into_keys().collect();
    assert_eq!(names, ["layer.0.bias", "layer.0.weight"]);
    let inner = sequential![Linear::new(3, 3)?, Relu];
    let state = plain.state()?.into_iter();
    inner.load_state(
        &state
            .map(|(name, t)| (name.replace("layer.", ""), t))
            .collect(),
    )?;
    assert_eq!(
        difference(&plain.predict(&x)?, &(&x + inner.predict(&x)?)?),
        0.0
    );
    let net = || -> Result<Residual> {
        let block = Residual::new(sequential![Linear::new(3, 2)?, Tanh]);
        Ok(block.shortcut(Linear::new(3, 2)?))
    };
    let values = [
        numbers(2, &[2, 3]),
        numbers(3, &[2]),
        numbers(4, &[2, 3]),
        numbers(5, &[2]),
    ];
    let error = gradient_error(&values, |t| {
        let (mut net, mut given) = (net()?, t.iter());
        net.map(&mut |_| Var::from_tensor(given.next().expect("one for each")))?;
        net.forward_t(&numbers(1, &[2, 3]), true)
    });
    assert!(error < 1e-8, "{error}");
    Ok(())
}

#[test]
fn refusals_name_what_does_not_fit() {
    let (four, x) = (numbers(1, &[4]), numbers(1, &[2, 4, 3, 3]));
    let said = refusal(group_norm(&x, 3, &four, &four, 1e-5));
    assert!(said.contains("3 groups do not divide 4"), "{said}");
    assert!(GroupNorm::new(0, 4).is_err());
    let weight = numbers(1, &[4, 2, 3, 3]);
    let said = refusal(conv_transpose2d(
        &x,
        &weight,
        None,
        &config([2, 0, 2, 1, 1]),
    ));
    assert!(
        said.contains("output padding 2 is not below stride 2"),
        "{said}"
    );
    let said = refusal(conv_transpose2d(
        &x,
        &weight,
        None,
        &config([1, 0, 0, 1, 3]),
    ));
    assert!(
        said.contains("3 groups") && said.contains("[2, 4, 3, 3]"),
        "{said}"
    );
    let said = refusal(conv_transpose2d(
        &x,
        &weight,
        None,
        &config([1, 4, 0, 1, 1]),
    ));
    assert!(said.contains("[2, 4, 3, 3]"), "{said}");
    let said = refusal(adaptive_avg_pool2d(&x, [4, 1]));
    assert!(
        said.contains("[4, 1]") && said.contains("[2, 4, 3, 3]"),
        "{said}"
    );
    assert!(refusal(adaptive_avg_pool2d(&x.get(0).unwrap(), [1, 1])).contains("[4, 3, 3]"));
}
